"""How users name models, and what a name means.

    expert                          the scripted expert: no language model
    nano, nano-base                 the models that come with the package, run in this process
    local/FOLDER, local/HUB_NAME    a Hugging Face model, run in this process
    PROVIDER/NAME                   a server from the provider table: openai/NAME, ollama/NAME ... (`PROVIDERS`)
    azure/DEPLOYMENT                a deployment of the resource in AZURE_OPENAI_ENDPOINT
    http://HOST:PORT/v1#NAME        any OpenAI-compatible server; https too
    http://HOST:PORT/v1             the same, with the one model that it serves (asked at first use)
    tokens+SERVER                   SERVER, written as above, asked by token ids (vLLM or SGLang): for training

The tokenizer for `tokens+` is the one of NAME, a folder or a hub name, unless `tokens.tokenizer` is configured.
Keys come from the environment only, so that they never stand in a command line, a configuration or a run folder. A
login in an address (`http://USER:PASSWORD@HOST`) is sent to that host by this process; no text and no file holds it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from wideseek.errors import BadInput
from wideseek.redaction import without_login
from wideseek.servers import BY_IDS, FALLBACK_KEY, PROVIDERS, Provider, bare_name

BUNDLED = ("nano", "nano-base")


class ModelName(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model as named by the user (`name`), and where it is.

    `model` is a server's name for it, `None` for the only one that it lists; of a `local` one its folder or hub name,
    `None` for one that comes with the package.
    """

    kind: Literal["chat", "tokens", "local", "expert"]
    name: str
    base_url: str = ""
    model: str | None = None
    key_env: str | None = None
    key_needed: bool = False


def parse_model(
    name: str, providers: Mapping[str, Provider] | None = None, environ: Mapping[str, str] = os.environ
) -> ModelName:
    """What `name` means. `providers` are the user's own; they come before the built-in ones of the same name.

    Raises `BadInput` for a name of no known form, naming the nearest provider and the forms that there are.
    """
    name = without_login(name.strip())
    if name == "expert":
        return ModelName("expert", name)
    if name in BUNDLED:
        return ModelName("local", name)
    if name.startswith(BY_IDS):
        return _by_ids(name, providers, environ)
    if name.partition("://")[0].lower() in ("http", "https"):
        return _by_url(name)
    table = {**PROVIDERS, **(providers or {})}
    prefix, _, model = name.partition("/")
    if prefix == "local" and prefix not in table:
        return _in_process(name, model)
    if prefix not in table:
        raise BadInput(_unknown(name, table))
    return _by_provider(name, table[prefix], model, environ)


def key_for(model: ModelName, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key to send, `None` for none. Raises `BadInput` where the provider needs one that is not set."""
    key = environ.get(model.key_env or FALLBACK_KEY, "").strip()
    if not key and model.key_needed:
        raise BadInput(f"model {model.name!r}: needs a key: set the environment variable {model.key_env}")
    return key or None


def _by_ids(name: str, providers: Mapping[str, Provider] | None, environ: Mapping[str, str]) -> ModelName:
    server = parse_model(bare_name(name), providers, environ)
    if server.kind != "chat":
        raise BadInput(f"model {name!r}: {BY_IDS} stands before a server: write {BY_IDS}http://HOST:PORT/v1#NAME")
    return msgspec.structs.replace(server, kind="tokens", name=name)


def _in_process(name: str, model: str) -> ModelName:
    if not model:
        raise BadInput(f"model {name!r}: which one? write local/FOLDER or local/HUB_NAME")
    return ModelName("local", name, model=model)


def _by_url(name: str) -> ModelName:
    address, _, model = name.partition("#")
    return ModelName("chat", name, _base_url(address, f"model {name!r}"), model or None, FALLBACK_KEY)


def _by_provider(name: str, provider: Provider, model: str, environ: Mapping[str, str]) -> ModelName:
    elsewhere = without_login(environ.get(provider.base_url_env or "", "").strip())
    where = f"{provider.base_url_env}={elsewhere!r}" if elsewhere else f"model {name!r}"
    key_needed = provider.key_env is not None and not (elsewhere and provider.base_url)
    if not model and key_needed:
        raise BadInput(f"model {name!r}: which one? write {name.rstrip('/')}/NAME")
    if not elsewhere and not provider.base_url:
        raise BadInput(
            f"model {name!r}: on which resource? set the environment variable {provider.base_url_env} to "
            f"https://RESOURCE.openai.azure.com, and {provider.key_env} to its key"
        )
    base_url = _base_url(elsewhere or provider.base_url, where)
    if provider.path and not urlsplit(base_url).path.strip("/"):
        base_url = f"{base_url.rstrip('/')}{provider.path}"
    return ModelName("chat", name, base_url, model or None, provider.key_env or FALLBACK_KEY, key_needed)


def _base_url(address: str, where: str) -> str:
    """The address below which `/chat/completions` stands, with its query (Azure's).

    Raises `BadInput` for what is no address.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(c.isspace() for c in address):
        raise BadInput(f"{where}: {address!r} is not an address: write http://HOST:PORT/v1#NAME")
    path, mark, query = address.partition("?")
    return path.rstrip("/").removesuffix("/chat/completions") + mark + query


def _unknown(name: str, table: Mapping[str, Provider]) -> str:
    from rapidfuzz import process  # only where something is wrong: it takes longer to load than this module

    prefix, slash, model = name.partition("/")
    nearest = process.extractOne(prefix.lower(), [*table, "local", "expert", *BUNDLED], score_cutoff=60)
    alone = nearest is not None and nearest[0] in ("expert", *BUNDLED)
    meant = f"did you mean {nearest[0]}{'' if alone else slash + model}? " if nearest else ""
    forms = (
        "expert, nano, local/FOLDER, http://HOST:PORT/v1#NAME, "
        f"or PROVIDER/NAME with PROVIDER one of {', '.join(table)}; {BY_IDS} before a server asks it by token ids"
    )
    return f"model {name!r}: unknown; {meant}a model is {forms}"
