"""The secrets of this process, and texts without them: keys, and passwords that stand in addresses.

    withhold(secret)         keep it out of all texts from now on
    redacted(text)           the text with `[secret]` in its place
    without_login(address)   the address without its `user:password@`, which is remembered for its host, and withheld
    login_of(address)        the header that says what was remembered
    without_secret(name, value)   a header's value as it may be written down
    header_value(value)      what such a value stands for

What comes in (a server's answers, pages, search results) is redacted before anything reads it, so that prompts, journal
and report agree. What goes out as an error's line or into the journal is redacted once more.
"""

from __future__ import annotations

import base64
import json
import re
from hashlib import blake2b
from typing import AnyStr
from urllib.parse import quote, unquote, urlsplit

SHORTEST = 8  # characters; a shorter one is a word such as "none" or "ollama", which is in texts for other reasons
MARK = "[secret]"

_withheld: dict[str, bytes] = {}  # each form of each secret, as text and as bytes, the longest first
_logins: dict[str, str] = {}  # the header for each host and port
_values: dict[str, str] = {}  # the value of a header for the mark that is written in its place
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|passw|credential", re.IGNORECASE)
_WRITTEN = re.compile(r"\[secret [0-9a-f]{6}\]")
_LOGIN = re.compile(r"(?P<scheme>https?://)(?P<login>[^/?#\s]*)@(?P<host>[^/?#\s]*)", re.IGNORECASE)


def withhold(secret: str) -> None:
    """Keep `secret` out of all texts from now on, also as it stands in JSON and in an address."""
    if len(secret) < SHORTEST:
        return
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="")}
    for form in forms | {form.replace("/", "\\/") for form in forms}:
        _withheld[form] = form.encode(errors="replace")
    ordered = sorted(_withheld.items(), key=lambda item: -len(item[0]))  # a form may contain another
    _withheld.clear()
    _withheld.update(ordered)


def redacted(text: AnyStr) -> AnyStr:
    """`text` without any secret."""
    if isinstance(text, str):
        for secret in _withheld:
            if secret in text:
                text = text.replace(secret, MARK)
        return text
    for secret in _withheld.values():
        if secret in text:
            text = text.replace(secret, MARK.encode())
    return text


def without_login(address: str) -> str:
    """`address`, or the model's name that holds one, without `user:password@`: it stands in no configuration."""
    found = _LOGIN.search(address)
    if found is None:
        return address
    user, _, password = found["login"].partition(":")
    basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    for secret in (found["login"], password, unquote(password), basic):
        withhold(secret)
    _logins[found["host"].lower()] = f"Basic {basic}"
    return address[: found.start()] + found["scheme"] + found["host"] + address[found.end() :]


def login_of(address: str) -> str | None:
    """The value of the Authorization header for the host of `address`, where a login was given for it."""
    return _logins.get(urlsplit(address).netloc.lower())


def is_secret(name: str) -> bool:
    """Whether a header of this name holds a secret."""
    return bool(_SECRET_NAME.search(name))


def is_written(value: str) -> bool:
    """Whether this is the mark of a secret value, as a configuration has it."""
    return bool(_WRITTEN.fullmatch(value))


def without_secret(name: str, value: str) -> str:
    """A header's value as it stands in a configuration: a mark, where the header's name says that it is a secret.

    The value is withheld, and remembered in this process only. Equal values have equal marks, so that a run goes on
    with the same.
    """
    if not is_secret(name) or _WRITTEN.fullmatch(value):
        return value
    for secret in (value, value.rpartition(" ")[2]):  # `Bearer ...` also without its first word
        withhold(secret)
    mark = f"[secret {blake2b(value.encode(errors='replace'), digest_size=3).hexdigest()}]"
    _values[mark] = value
    return mark


def header_value(value: str) -> str | None:
    """What a header's value in a configuration stands for; `None` where this process was not given it."""
    return _values.get(value) if _WRITTEN.fullmatch(value) else value
