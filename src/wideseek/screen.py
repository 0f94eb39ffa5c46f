"""Foreign text on its way to a terminal.

`wideseek.console` and `cli.options.say` put everything that is printed through here.
"""

from __future__ import annotations

import re

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Text without what would steer a terminal or hide in it: controls, marks of direction, unseen spaces.

    Each becomes U+FFFD, and so do halves of surrogate pairs (a file's name that is not UTF-8). Tabs and line breaks
    stay, and so do the joiners that scripts and emoji need.
    """
    return _STEERING.sub("\ufffd", text)


def plain_json(text: str) -> str:
    r"""The same JSON, in which such characters are written as \uXXXX: a reader gets every text as it was."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
