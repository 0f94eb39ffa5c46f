"""What decorates a cell: marks of markup around its text, and a column that only counts the rows.

    plain_cell     the text without links, emphasis, footnote marks and invisible marks
    plain_key      the same for a cell that names a row: emoji, superscripts and a leading number go as well
    counts_rows    whether cells count 1, 2, 3

A cell that is nothing but decoration stays as it is. Text that may mean something stays: `km²`,
`[sic]`, a bare address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Direction marks, zero-width space, word joiner, byte order mark; the joiners that shape letters and emoji stay.
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(\s*<?([^()\s<>]+(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
_FOOTNOTE = re.compile(r"\s*(?:\[\^?\d{1,3}(?:\s*[,–-]\s*\d{1,3})*\]|\[\^\w{1,20}\]|<sup>[^<>]{1,10}</sup>)$", re.I)
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,3}|`{1,2}|~~)(?=\S)((?:(?!\1).)+)(?<=\S)\1")
_EMOJI = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0f\u200d]+"
_EMOJI_AROUND = re.compile(rf"^(?:{_EMOJI}\s*)+|(?:\s*{_EMOJI})+$")
_SUPERSCRIPT = re.compile(r"(?<=\w{3})[⁰¹²³⁴-⁹]+$")
_LIST_NUMBER = re.compile(r"^\d{1,4}[.)]\s+(?=\D)")


def plain_cell(cell: str, *, address: bool = False) -> str:
    """The cell without markup. A link gives its text, or its target where an `address` is wanted."""
    text = _INVISIBLE.sub("", cell).strip()
    text = _LINK.sub(lambda link: link[2] if address else link[1], text)
    while (shorter := _undecorated(text)) != text:
        text = shorter
    return text or cell


def _undecorated(text: str) -> str:
    text = _FOOTNOTE.sub("", text)
    whole = _EMPHASIS.fullmatch(text)
    return whole[2] if whole else text


def plain_key(cell: str) -> str:
    """The cell as a name of a row, without anything that stands around the name."""
    text = plain_cell(cell)
    bare = _LIST_NUMBER.sub("", _SUPERSCRIPT.sub("", _EMOJI_AROUND.sub("", text)))
    return plain_cell(bare) if bare.strip() else text


_NUMBER = re.compile(r"#?([0-9]{1,9})[.)]?")


def counts_rows(cells: Sequence[str]) -> bool:
    """Whether the cells are whole numbers, each one more than the cell before."""
    numbers = [int(match[1]) for cell in cells if (match := _NUMBER.fullmatch(cell.strip()))]
    return 0 < len(numbers) == len(cells) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
