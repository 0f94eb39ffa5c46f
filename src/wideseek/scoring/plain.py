"""Text as `strict` compares it: what a reader sees, not how it is encoded.

    folded             a text whatever its code points: NFKC, case, typographic marks, invisible characters
    without_number     a name without the number that a list put before it, `None` where there is none

What decorates a cell (links, emphasis, footnote marks, flags) is left out by `table.undecorated`.
"""

from __future__ import annotations

import re
import unicodedata

from wideseek.table import undecorated

_NUMBERED = re.compile(r"(?:\(?\d{1,4}[.)、．]|#\d{1,4}[.:)]?|\d{1,4}\s+[-–—]|[①-⑳]|[-•·▪◦‣*])\s*(?=\S)|№\s?\d{1,4}\s+")


def without_number(cell: str) -> str | None:
    """`Alpha` for `1. Alpha`, `1) Alpha`, `#1 Alpha`, `- Alpha`; `None` where nothing stands before the name."""
    text = undecorated(cell).strip()
    match = _NUMBERED.match(text)
    rest = text[match.end() :].strip() if match else ""
    return rest if rest and not rest[0].isdigit() else None


_LIKE = str.maketrans(
    {
        **dict.fromkeys("’‘‚‛ʼʹ′´`ˈ＇ʻ", "'"),
        **dict.fromkeys("“”„‟″«»〝〞＂", '"'),
        **dict.fromkeys("‐‑‒–—―−﹘﹣－⁃", "-"),
        **dict.fromkeys("・•‧∙⋅●ᐧ･", "·"),
        "⁄": "/",
        "∕": "/",
        "〜": "~",
        "∼": "~",
        "×": "x",
        "∶": ":",
    }
)
_POWERS = re.compile(r"(?<=\d)([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_FRACTION = re.compile("(?<=[0-9])(?=[¼-¾⅐-⅞])")


def folded(text: str) -> str:
    """The text without white space and asterisks, in one case and one encoding."""
    if text.isascii():
        return "".join(_without_asterisks(text.lower()).replace("`", "'").split())
    text = _POWERS.sub(r"^\1", _FRACTION.sub("+", text.translate(_LIKE)))
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _without_asterisks(unicodedata.normalize("NFKC", text).translate(_LIKE))
    return "".join(_plain_digit(char) for char in text if not char.isspace() and not _invisible(char))


_ASTERISK = re.compile(r"(?<!\d)\*|\*(?!\d)")


def _without_asterisks(text: str) -> str:
    """WideSearch leaves asterisks aside; between digits one multiplies."""
    return _ASTERISK.sub("", text) if "*" in text else text


def _invisible(char: str) -> bool:
    """Format characters, variation selectors and fillers: nothing is seen of them."""
    if char.isascii():
        return ord(char) < 32 and not char.isspace()
    return (
        unicodedata.category(char) in ("Cf", "Cc")
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0100" <= char <= "\U000e01ef"
        or char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"
    )


def _plain_digit(char: str) -> str:
    if char.isascii() or unicodedata.category(char) != "Nd":
        return char
    return str(unicodedata.digit(char))
