"""From a configuration to a team: policies, source, roles and tools, opened together and closed together.

    Config -> open_policies -> open_source -> Team

What evaluates and trains opens its team here too, so that a model name or a corpus means the same everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from wideseek.budget import Budget
from wideseek.config import Config
from wideseek.errors import BadInput
from wideseek.journal import Journal
from wideseek.policy.base import Policy, Sampling
from wideseek.roles import LEAD, SINGLE, SUB, Profile, Role
from wideseek.team import PageTools, Team
from wideseek.tools.base import Source


@contextlib.asynccontextmanager
async def open_team(config: Config, journal: Journal, budget: Budget) -> AsyncIterator[Team]:
    """The team that `config` describes; its policies and source are closed at the end."""
    profile = Profile.load(config.prompts)
    policies = open_policies(config)
    try:
        source = open_source(config.corpus)
        try:
            yield Team(
                policies,
                source,
                profile=profile,
                roles=_roles(config),
                page_tools=PageTools(**config.pages.model_dump()),
                budget=budget,
                journal=journal,
                seed=config.seed,
            )
        finally:
            await source.close()
    finally:
        for policy in {id(policy): policy for policy in policies.values()}.values():
            await policy.close()


def _roles(config: Config) -> dict[str, Role]:
    limits = {LEAD: config.lead, SUB: config.sub, SINGLE: config.single}
    return {role.name: msgspec.structs.replace(role, **limit.model_dump()) for role, limit in limits.items()}


def open_policies(config: Config) -> dict[str, Policy]:
    """A policy for every role. Raises `BadInput` for a model name that cannot be read."""
    lead = open_policy(config.model, config)
    sub = open_policy(config.sub_model, config) if config.sub_model else lead
    return {"lead": lead, "single": lead, "sub": sub, "summary": sub}


def open_policy(model: str, config: Config) -> Policy:
    """The policy that users call `model`."""
    from wideseek.policy.names import Provider, key_for, parse_model

    providers = {name: Provider(p.base_url, p.key_env) for name, p in config.providers.items()}
    name = parse_model(model, providers)
    if name.kind == "expert":
        from wideseek.policy.scripted import Expert

        return Expert()
    from wideseek.policy.chat import ChatPolicy, Prices

    price = config.prices.get(model)
    return ChatPolicy(
        model=name.model,
        base_url=name.base_url,
        name=model,
        key=lambda: key_for(name),  # asked for at the first call: a replay needs none
        key_env=name.key_env,
        sampling=Sampling(**config.sampling.model_dump()),
        prices=Prices(price.prompt, price.completion) if price else None,
        **config.chat.model_dump(),
    )


def open_source(corpus: Path | None) -> Source:
    """The index in `corpus`, or the bundled pocket world's (built on first use), behind a cache with single flight."""
    from wideseek.tools.cache import Cached
    from wideseek.tools.corpus import Corpus

    return Cached(Corpus.open(corpus if corpus else _pocket_index()))


def _pocket_index() -> Path:
    """The index of the pocket world in the user's cache, built on first use; its name holds the pages' fingerprint."""
    import hashlib
    import tempfile

    from filelock import FileLock
    from platformdirs import user_cache_path

    from wideseek.assets import world_pages
    from wideseek.records import Page, read_jsonl
    from wideseek.tools.corpus import FORMAT, Corpus

    pages = world_pages()
    name = f"pocket-{hashlib.blake2b(pages.read_bytes(), digest_size=6).hexdigest()}-{FORMAT}"
    for home in (user_cache_path("wideseek"), Path(tempfile.gettempdir()) / "wideseek"):
        index = home / name
        try:
            home.mkdir(parents=True, exist_ok=True)
            with FileLock(home / f"{name}.lock"):
                if not (home / f"{name}.done").exists():
                    Corpus.build(read_jsonl(pages, Page), index)
                    (home / f"{name}.done").touch()
            return index
        except OSError:  # a home that cannot be written (containers, batch jobs): the temporary folder will do
            continue
    raise BadInput(f"{user_cache_path('wideseek')}: cannot be written, nor can the temporary folder: make room in one")
