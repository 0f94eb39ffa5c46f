"""Which configuration may say where keys and questions are sent.

    claims           what a configuration says: this server gets the key in this variable
    check_servers    ask, or refuse, where a stranger's file says so
    remember         the claims that the user typed or confirmed are not asked about again

What the user types (options, `--config FILE`, environment variables) is the user's word. A `wideseek.toml` that was
found in the current folder, and the configuration in a run folder, may come from a stranger: what such a file claims is
compared with what the user typed, with the built-in servers and with what was remembered; the rest is asked about.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wideseek.errors import BadConfig
from wideseek.redaction import is_secret, is_written, without_login
from wideseek.servers import FALLBACK_KEY, PROVIDERS, bare_name

TRUST = "WIDESEEK_TRUST"
Confirm = Callable[[str], bool]
"""Puts a question to the user; whether the answer is yes."""

_THIS_MACHINE = re.compile(r"https?://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?(?:/|$)", re.IGNORECASE)


class Claim(NamedTuple):
    """A configuration key that names a server: its address without a login, and the variable that holds its key."""

    key: str
    server: str
    variable: str

    def what(self, environ: Mapping[str, str]) -> str:
        """What would be sent: a key has a name here, never a value."""
        return f"the key in {self.variable}" if self.has_key(environ) else "questions and pages"

    def has_key(self, environ: Mapping[str, str]) -> bool:
        return bool(environ.get(self.variable, "").strip())

    @property
    def digest(self) -> str:
        pair = f"{self.server}\0{self.variable}".encode(errors="replace")
        return hashlib.blake2b(pair, digest_size=16).hexdigest()


def claims(values: Mapping[str, Any]) -> list[Claim]:
    """Every server that configuration `values` (nested dicts, perhaps not valid) name themselves."""
    return [*_models(values), *_providers(values)]


def _models(values: Mapping[str, Any]) -> Iterator[Claim]:
    for key in ("model", "sub_model", "verify"):
        address = bare_name(str(values.get(key) or "")).partition("#")[0]
        if address.partition("://")[0].lower() in ("http", "https"):
            yield Claim(key, _host(address), FALLBACK_KEY)


def _providers(values: Mapping[str, Any]) -> Iterator[Claim]:
    providers = values.get("providers")
    for name, provider in providers.items() if isinstance(providers, Mapping) else ():
        if isinstance(provider, Mapping):
            variable = str(provider.get("key_env") or FALLBACK_KEY)
            yield Claim(f"providers.{name}", _host(str(provider.get("base_url"))), variable)


def _host(address: str) -> str:
    """The address without a login, and without slashes at its end."""
    return without_login(address).rstrip("/")


_BUILT_IN = {(_host(known.base_url), known.key_env or FALLBACK_KEY) for known in PROVIDERS.values()}


def check_servers(
    values: Mapping[str, Any],
    typed: Mapping[str, Any],
    where: str,
    confirm: Confirm | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Raise `BadConfig` where `values`, read from `where`, send something to a server that the user does not know.

    `values` have what the user `typed` on top. A server on this machine for which no key is set gets nothing that
    leaves the machine, and passes, unless the user typed a secret header. The others are put to `confirm`; a yes is
    remembered. Without it they are refused.
    """
    if environ.get(TRUST, "").strip() == "1":
        return
    known = _BUILT_IN | {claim[1:] for claim in claims(typed)}
    keeps_secrets = any(map(is_secret, _headers(typed)))
    for claim in claims(values):
        harmless = bool(_THIS_MACHINE.match(claim.server)) and not (claim.has_key(environ) or keeps_secrets)
        if claim[1:] in known or harmless or claim.digest in _remembered():
            continue
        what = claim.what(environ)
        if confirm is None:
            raise BadConfig(
                f"{where}: {claim.key} would send {what} to {claim.server!r}: if you know this server, "
                f"add --trust to the command, or set {TRUST}=1"
            )
        if not confirm(f"{where}: {claim.key}: Send {what} to {claim.server}?"):
            raise BadConfig(f"{where}: {claim.key}: nothing was sent to {claim.server!r}: choose another --model")
        remember([claim])
        known |= {claim[1:]}


def check_headers(
    values: Mapping[str, Any],
    typed: Mapping[str, Any],
    where: str,
    confirm: Confirm | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Raise `BadConfig` where `values`, as they stand in `where`, say as whom requests are made.

    A secret header of a stranger would replace the user's key: questions and pages would go to the stranger's account.
    """
    given = {name.lower() for name in _headers(typed)}
    for name, value in _headers(values).items():
        if not is_secret(name) or name.lower() in given or is_written(str(value)):
            continue
        if environ.get(TRUST, "").strip() == "1" or (confirm and confirm(f"{where}: Send its own header {name}?")):
            continue
        raise BadConfig(
            f"{where}: chat.headers.{name} would be sent in the place of your own: if you know who wrote it, "
            f"add --trust to the command, or set {TRUST}=1"
        )


def _headers(values: Mapping[str, Any]) -> dict[str, Any]:
    chat = values.get("chat")
    headers = chat.get("headers") if isinstance(chat, Mapping) else None
    return {str(name): value for name, value in headers.items()} if isinstance(headers, Mapping) else {}


def remember(known: Iterable[Claim]) -> None:
    """Note these servers with their variables as the user's own. Where there is no place for it, nothing is noted."""
    new = {claim.digest for claim in known if claim[1:] not in _BUILT_IN} - _remembered()
    if new:
        with contextlib.suppress(OSError):
            _memory().parent.mkdir(parents=True, exist_ok=True)
            with _memory().open("a", encoding="ascii") as file:
                file.write("".join(f"{digest}\n" for digest in sorted(new)))


def _remembered() -> set[str]:
    try:
        return set(_memory().read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return set()


def _memory() -> Path:
    """A file of digests in the user's state folder: it names no server, and lies outside of every run folder."""
    from platformdirs import user_state_path

    return user_state_path("wideseek") / "trusted"
