"""From a configuration to a team: policies, source, roles and tools, opened together and closed together.

    Config -> open_policies -> open_source -> Team

What evaluates and trains opens its team here too, so that a model name or a corpus means the same everywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wideseek.assets import bundled_model
from wideseek.budget import Budget
from wideseek.concurrency import LOADING, in_own_thread
from wideseek.config import AUTO, Config
from wideseek.errors import BadInput, BudgetEnded
from wideseek.journal import Journal
from wideseek.policy.base import Policy, Prices, Sampling, ToolSchema
from wideseek.policy.names import BUNDLED, key_for, parse_model
from wideseek.policy.sheet import ModelSheet
from wideseek.roles import LEAD, SINGLE, SUB, Profile, Role
from wideseek.servers import FALLBACK_KEY, Provider
from wideseek.team import PageTools, Team
from wideseek.tools.base import Source

if TYPE_CHECKING:
    from wideseek.policy.names import ModelName
    from wideseek.records import Completion, Page, Trajectory
    from wideseek.tools.corpus import Corpus


Load = Callable[[Config], dict[str, Policy]]
"""A configuration becomes a policy for every role."""


@contextlib.asynccontextmanager
async def open_team(
    config: Config, journal: Journal, budget: Budget, *, load: Load | None = None
) -> AsyncIterator[Team]:
    """The team that `config` describes; its policies and source are closed at the end.

    Where the budget ends while a model is being loaded, the team says nothing, and its runs end by the budget.
    """
    config = settled(config)
    profile = Profile.load(config.prompts)
    policies = await _policies_within(budget, config, load or open_policies)
    budget.prices_of = price_day(config)
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


async def _policies_within(budget: Budget, config: Config, load: Load) -> dict[str, Policy]:
    """The policies, loaded beside the event loop: time and the user end the wait for them."""
    try:
        async with budget.guard(lead=True):
            return await in_own_thread(lambda: load(config))
    except BudgetEnded:
        return {"lead": _Unloaded(config.model)}


class _Unloaded:
    """Stands for a model that was not loaded when the budget ended."""

    version = 0
    label = ""
    sampling = Sampling()

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        raise BudgetEnded(f"{self.name}: was not loaded when the budget ended")

    async def close(self) -> None:
        return None


def settled(config: Config) -> Config:
    """The same with a name for each "auto": the model, then the prompts that this model was trained with."""
    model = default_model() if config.model == AUTO else config.model
    prompts = (sheet_of(model).prompts or "default") if config.prompts == AUTO else config.prompts
    return config.model_copy(update={"model": model, "prompts": prompts})


def default_model() -> str:
    """The bundled model; where what it needs is not installed (`wideseek[local]`), or older, the scripted expert."""
    return "nano" if _installed("torch", 2, 9) and _installed("transformers", 5) else "expert"


def _installed(package: str, *least: int) -> bool:
    try:
        numbers = re.findall(r"\d+", version(package))
    except PackageNotFoundError:
        return False
    return tuple(map(int, numbers[: len(least)])) >= least


def sheet_of(model: str) -> ModelSheet:
    """What the folder of a model that runs in this process says about it; empty for every other model."""
    name = parse_model(model) if model.startswith(("local/", *BUNDLED)) else None
    return ModelSheet.of(_folder(name)) if name and name.kind == "local" else ModelSheet()


def _folder(name: ModelName) -> str:
    """Where the weights of a model are that runs in this process: a folder, or a hub name."""
    return name.model or str(bundled_model(name.name))


def _roles(config: Config) -> dict[str, Role]:
    limits = {LEAD: config.lead, SUB: config.sub, SINGLE: config.single}
    return {role.name: msgspec.structs.replace(role, **limit.model_dump()) for role, limit in limits.items()}


def open_policies(config: Config) -> dict[str, Policy]:
    """A policy for every role.

    Raises `BadInput` for a model name that cannot be read, and for a budget in dollars without the models' prices.
    """
    for name in _paid_models(config):
        if config.budget.usd is not None and _prices(name, config) is None:
            raise BadInput(
                f"budget.usd: needs what {name.name!r} costs, which is not on the list: in dollars per million tokens "
                f"--set 'prices={{\"{name.name}\" = {{prompt = 1.0, completion = 2.0}}}}'"
            )
    lead = open_policy(config.model, config)
    sub = open_policy(config.sub_model, config) if config.sub_model else lead
    return {"lead": lead, "single": lead, "sub": sub, "summary": sub}


def _paid_models(config: Config) -> list[ModelName]:
    """The models that `config` names and that may cost money."""
    named = {config.model, config.sub_model or config.model, config.verify or config.model}
    return [_named(model, config) for model in sorted(named - {"expert", *BUNDLED})]


def price_day(config: Config) -> str:
    """The day of the list prices with which `config` counts money; empty where it counts with none of them."""
    from wideseek.policy.prices import list_prices, price_list

    listed = [name for name in _paid_models(config) if name.name not in config.prices and list_prices(name)]
    return price_list().date if listed else ""


def open_policy(model: str, config: Config) -> Policy:
    """The policy that users call `model`."""
    name = _named(model, config)
    if name.kind == "expert":
        from wideseek.policy.scripted import Expert

        return Expert()
    if name.kind == "chat":
        return _chat_policy(name, config)
    with LOADING:
        return _local_policy(name, config) if name.kind == "local" else _token_policy(name, config)


def _named(model: str, config: Config) -> ModelName:
    """What users mean by `model`, with the providers that they configured. Raises `BadInput`."""
    return parse_model(model, {name: Provider(p.base_url, p.key_env) for name, p in config.providers.items()})


def keys_sent(
    config: Config, models: Iterable[str | None], environ: Mapping[str, str] = os.environ
) -> list[tuple[str, str]]:
    """(variable, server) of every key that is set and goes to a server when `models` are asked.

    The server is its scheme, host and port. Raises `BadInput` for a model's name that cannot be read.
    """
    sent = []
    for model in models:
        if model is None or model == AUTO:
            continue
        name = _named(model, config)
        variable = name.key_env or FALLBACK_KEY
        if name.base_url and environ.get(variable, "").strip():
            sent.append((variable, "/".join(name.base_url.split("/")[:3])))
    return list(dict.fromkeys(sent))


def check_verifier(config: Config) -> None:
    """Raises `BadInput` where the model that is to verify cells cannot be one, before anything runs."""
    if config.verify is not None and config.verify in ("expert", *BUNDLED):
        raise BadInput(f"verify: {config.verify} answers the pocket world's questions only: choose a language model")
    if config.verify is not None:
        _named(config.verify, config)


def open_verifier(config: Config) -> Policy:
    """The model that reads cells beside their quotes, at temperature 0."""
    check_verifier(config)
    greedy = config.sampling.model_copy(update={"temperature": 0.0})
    return open_policy(config.verify or config.model, config.model_copy(update={"sampling": greedy}))


def _chat_policy(name: ModelName, config: Config) -> Policy:
    from wideseek.policy.chat import ChatPolicy

    return ChatPolicy(
        model=name.model,
        sampling=_sampling(config),
        prices=_prices(name, config),
        **_server(name, config),
        **config.chat.model_dump(include={"tool_calls", "extra"}),
    )


def _local_policy(name: ModelName, config: Config) -> Policy:
    """A model that runs in this process. Raises `BadInput` where it, or what it needs, is not there."""
    try:
        from wideseek.policy.local import LocalEngine
    except ImportError as error:
        raise BadInput(
            f"model {name.name!r}: needs {error.name}: pip install 'wideseek[local]' (or choose another model)"
        ) from error
    from wideseek.policy.template import ChatTemplate
    from wideseek.policy.token import TokenPolicy

    folder = _folder(name)
    sheet = ModelSheet.of(folder)
    template = ChatTemplate.load(folder, config.tokens.template)
    engine = LocalEngine.open(folder, name=name.name, **config.local.model_dump())
    asked = config.sampling.model_dump(exclude_none=True)
    sampling = Sampling(**{"temperature": sheet.temperature, "max_tokens": sheet.max_tokens, **asked})
    return TokenPolicy(engine, template, sampling, label=sheet.about)


def _token_policy(name: ModelName, config: Config) -> Policy:
    """A server that is asked by token ids. Raises `BadInput` where its tokenizer is not known or cannot be loaded."""
    from wideseek.policy.remote import RemoteSampler
    from wideseek.policy.template import ChatTemplate
    from wideseek.policy.token import TokenPolicy

    tokenizer = config.tokens.tokenizer or name.model
    if tokenizer is None:
        raise BadInput(f"model {name.name!r}: with which tokenizer? set tokens.tokenizer to its folder or hub name")
    try:
        template = ChatTemplate.load(tokenizer, config.tokens.template)
    except BadInput as error:
        raise BadInput(f"{error}; tokens.tokenizer names another folder or hub name") from error
    sampler = RemoteSampler(
        model=name.model, kind=config.tokens.server, vocab_size=template.vocab_size, **_server(name, config)
    )
    return TokenPolicy(sampler, template, _sampling(config), prices=_prices(name, config))


def _server(name: ModelName, config: Config) -> dict[str, Any]:
    """How the server is reached, in the words that policies and samplers share."""
    return {
        "name": name.name,
        "base_url": name.base_url,
        "key": lambda: key_for(name),  # asked for at the first call: a replay needs none
        "key_env": name.key_env,
        **config.chat.model_dump(exclude={"tool_calls", "extra"}),
    }


def _sampling(config: Config) -> Sampling:
    return Sampling(**config.sampling.model_dump())


def _prices(name: ModelName, config: Config) -> Prices | None:
    """What the user says that the model costs, else what the list says."""
    from wideseek.policy.prices import list_prices

    price = config.prices.get(name.name)
    return Prices(price.prompt, price.completion, price.cached) if price else list_prices(name)


def open_source(corpus: Path | None) -> Source:
    """The index in `corpus`, or the bundled pocket world's (built on first use), behind a cache with single flight."""
    from wideseek.tools.cache import Cached
    from wideseek.tools.corpus import Corpus

    return Cached(Corpus.open(corpus) if corpus else _pocket_corpus())


MOST_LISTED = 100_000


def pages_of(corpus: Path | None) -> Iterator[Page]:
    """All pages of the index in `corpus`, or of the pocket world; none of one with over `MOST_LISTED` pages."""
    from wideseek.assets import world_pages
    from wideseek.records import Page, read_jsonl
    from wideseek.tools.corpus import Corpus

    if not corpus:
        yield from read_jsonl(world_pages(), Page)
        return
    index = Corpus.open(corpus)
    yield from index.pages() if len(index) <= MOST_LISTED else ()


def _pocket_corpus() -> Corpus:
    """The pocket world, indexed in the user's cache on first use, and again where that index is damaged or gone."""
    import hashlib
    import tempfile

    from filelock import FileLock
    from platformdirs import user_cache_path

    from wideseek.assets import world_pages
    from wideseek.tools.corpus import FORMAT

    fingerprint = hashlib.blake2b(world_pages().read_bytes(), digest_size=6).hexdigest()
    for home in (user_cache_path("wideseek"), Path(tempfile.gettempdir()) / "wideseek"):
        try:
            home.mkdir(parents=True, exist_ok=True)
            with FileLock(home / f"pocket-{fingerprint}.lock"):
                return _opened_or_rebuilt(home / f"pocket-{fingerprint}-{FORMAT}")
        except (OSError, BadInput):  # a home that cannot be written (containers, a full disk): another may do
            continue
    raise BadInput(f"{user_cache_path('wideseek')}: cannot be written, nor can the temporary folder: make room in one")


def _opened_or_rebuilt(index: Path) -> Corpus:
    import shutil

    from wideseek.assets import world_pages
    from wideseek.records import Page, read_jsonl
    from wideseek.tools.corpus import Corpus

    try:
        return Corpus.open(index)
    except BadInput:
        shutil.rmtree(index, ignore_errors=True)
        Corpus.build(read_jsonl(world_pages(), Page), index)
        return Corpus.open(index)
