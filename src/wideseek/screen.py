"""Foreign text on its way to a terminal."""

from __future__ import annotations

import re

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def plain(text: str) -> str:
    """Text without what would steer a terminal or hide in it: controls, marks of direction, unseen spaces.

    Each becomes U+FFFD. Tabs and line breaks stay, and so do the joiners that scripts and emoji need.
    """
    return _STEERING.sub("\ufffd", text)
