"""The secrets of this process, and texts without them: keys, and passwords that stand in addresses.

    withhold(secret)    from now on          redacted(text)    the text with `[secret]` in its place

What comes in (a server's answers, pages, search results) is redacted before anything reads it, so that prompts, journal
and report agree. What goes out (error lines, the journal, files that are written whole) is redacted once more.
"""

from __future__ import annotations

import json
from typing import AnyStr
from urllib.parse import quote

SHORTEST = 8  # characters; a shorter one is a word such as "none" or "ollama", which is in texts for other reasons
MARK = "[secret]"

_withheld: dict[str, bytes] = {}


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
