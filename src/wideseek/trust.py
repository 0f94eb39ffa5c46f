"""Which configuration may say where a key is sent.

What the user types (options, `--config FILE`, environment variables) is the user's word. A `wideseek.toml` that was
found in the current folder, and the configuration in a run folder, may come from a stranger: where they name a server
that would get a key, the command ends, unless the variable `WIDESEEK_TRUST` is `1`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wideseek.errors import BadConfig

TRUST = "WIDESEEK_TRUST"
FALLBACK_KEY = "WIDESEEK_API_KEY"  # of a server for which no other variable is named
BY_IDS = "tokens+"  # before a server that is asked by token ids


def check_servers(
    values: Mapping[str, Any],
    where: str,
    remedy: str,
    environ: Mapping[str, str] = os.environ,
    *,
    headers: Sequence[str] = (),
) -> None:
    """Raise `BadConfig` where `values`, read from `where`, send a key that is set to a server that they name.

    `remedy` is what the user can do who knows these servers; `headers` are the names of the secret headers that the
    user gave. The message has the name of a variable or a header, never its value.
    """
    if environ.get(TRUST, "").strip() == "1":
        return
    for key, server, variable in _servers(values):
        if headers or environ.get(variable, "").strip():
            secret = f"the header {headers[0]}" if headers else f"the key in {variable}"
            raise BadConfig(
                f"{where}: {key} would send {secret} to {server!r}: if you know this server, {remedy} or set {TRUST}=1"
            )


def _servers(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(configuration key, address, variable of the key) for every server that `values` name themselves."""
    for key in ("model", "sub_model", "verify"):
        address = str(values.get(key) or "").strip().removeprefix(BY_IDS).partition("#")[0]
        if address.partition("://")[0].lower() in ("http", "https"):
            yield key, _host(address), FALLBACK_KEY
    providers = values.get("providers")
    for name, provider in providers.items() if isinstance(providers, Mapping) else ():
        if isinstance(provider, Mapping):
            variable = str(provider.get("key_env") or FALLBACK_KEY)
            yield f"providers.{name}", _host(str(provider.get("base_url"))), variable


def _host(address: str) -> str:
    """The address without a user's name and password."""
    scheme, mark, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
