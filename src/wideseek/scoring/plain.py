"""Text as `strict` compares it: what a reader sees, not how it is encoded or decorated.

    undecorated        a cell without links, emphasis, footnote marks, flags: its words
    folded             the same text whatever its code points: NFKC, case, typographic marks, invisible characters
    without_number     a name without the number that a list put before it, `None` where there is none

`undecorated` never empties a cell: where everything is decoration (a flag, "[1]"), the cell is what it stands for.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2_000  # characters of a cell that may be decorated: a longer one is a text of its own

# --------------------------------------------------------------------------------------------------------- decoration

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?(?:[^()\s]|\([^()]*\))*>?(?:\s+[\"'][^\"']*[\"'])?\s*\)")
_REFERENCE_LINK = re.compile(r"(?<![\w\]!])\[([^\[\]]*[^\W\d][^\[\]]*)\]\[[^\[\]]{0,40}\]")
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]+)\]\]")
_SUP_NOTE = re.compile(r"<sup\b[^<>]*>(?:(?!</?sup\b).){0,60}</sup>", re.IGNORECASE)
_SUP_POWER = re.compile(r"(?<=10)\s*<sup>\s*([-−+]?\d+)\s*</sup>", re.IGNORECASE)
_SUP_UNIT = re.compile(r"\b([kcm]?m|mi|ft)\s*<sup>\s*([23])\s*</sup>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|em|font|i|ins|mark|nobr|q|s|small|span|strong|sub|u)(?:\s[^<>]*)?/?>", re.IGNORECASE
)
_CODE = re.compile(r"(`+)([^`]+)\1")
_EMPHASIS = [
    re.compile(form)
    for form in (
        r"(\*\*\*|\*\*|~~|==)(?=\S)(.+?)(?<=\S)\1",
        r"(?<!\w)(___|__)(?=\S)(.+?)(?<=\S)\1(?!\w)",
        r"(?<![\w*])(\*)(?=[^\s*])([^*]*[^\s*])\1(?![\w*])",
        r"(?<![\w_])(_)(?=[^\s_])([^_]*[^\s_])\1(?![\w_])",
    )
]
_NOTE = re.compile(
    r"\s?(?:\[(?:\^[\w-]{1,20}|\d{1,3}|[a-z]|(?:note|nb|n|ref|fn|注|註)\.?\s?\d{1,3}|citation needed)\](?!\()"
    r"|【[^【】]{0,20}(?:†|:|\d)[^【】]{0,20}】|[†‡])",
    re.IGNORECASE,
)
_RAISED_END = re.compile(r"(?<=[^\W\d_]{3})[⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾,⁻ᵃᵇᶜᵈᵉ]+(?=$|[\s,;)])|(?<=[)\].\"”])[⁰¹²³⁴⁵⁶⁷⁸⁹]+(?=$|\s)")
_MEASURES = re.compile(r"(?:metres?|meters?|miles?|feet|foot|inch(?:es)?|yards?)$", re.IGNORECASE)
_PICTURE = (
    r"(?:[\U0001F1E6-\U0001F1FF]{2}|\U0001F3F4[\U000E0061-\U000E007F]+|"
    r"[\U0001F300-\U0001FAFF\u2600-\u2604\u260E-\u2712\u2721-\u27B0\u2B50\u2B55\u231A-\u23FF](?<![✅✓✔✗✘❌❎\u2610-\u2612])"
    r"[\uFE0F\u200D\U0001F3FB-\U0001F3FF]*)"
)
_PICTURES = re.compile(rf"^(?:{_PICTURE}\s*)+|(?:\s*{_PICTURE})+$")
_TRADE_MARKS = re.compile("[™®©℠]+$")
_DECORATING = re.compile(r"[\[\]<`_*~=【†‡]|[^\x00-\x7f]")


def undecorated(cell: str) -> str:
    """The words of a cell: links, emphasis, code marks, footnote marks and flags are not a part of them."""
    if len(cell) > LONGEST or not _DECORATING.search(cell):
        return cell
    text = "".join(char for char in cell if not _invisible(char) or char in "\u200d\ufe0f").strip()
    named = _LINK.sub(
        lambda match: "" if match[1] else match[2], text
    )  # a picture's text counts where there is no other
    text = named if named.strip() else _LINK.sub(r"\2", text)
    text = _REFERENCE_LINK.sub(r"\1", _WIKI_LINK.sub(r"\1", text))
    text = _SUP_UNIT.sub(r"\1\2", _SUP_POWER.sub(r"^\1", text))
    text = _replaced(_SUP_NOTE, text)
    text = _TAG.sub("", text)
    text = _CODE.sub(r"\2", text)
    for form in _EMPHASIS:
        text = form.sub(r"\2", text)
    text = _replaced(_NOTE, text)
    text = _RAISED_END.sub(_without_mark, text)
    text = _replaced(_TRADE_MARKS, text)
    return (_replaced(_PICTURES, text)).strip() or cell.strip()


def _replaced(marks: re.Pattern[str], text: str) -> str:
    """The text without the marks, or as it is where they are all of it."""
    rest = marks.sub("", text).strip()
    return rest or text


def _without_mark(match: re.Match[str]) -> str:
    """A raised number behind a word is a footnote, behind a unit of length a power."""
    return match[0] if _MEASURES.search(match.string[: match.start()]) else ""


_NUMBERED = re.compile(r"(?:\(?\d{1,4}[.)、．]|#\d{1,4}[.:)]?|\d{1,4}\s+[-–—]|[①-⑳]|[-•·▪◦‣*])\s*(?=\S)|№\s?\d{1,4}\s+")


def without_number(cell: str) -> str | None:
    """`Alpha` for `1. Alpha`, `1) Alpha`, `#1 Alpha`, `- Alpha`; `None` where nothing stands before the name."""
    text = undecorated(cell).strip()
    match = _NUMBERED.match(text)
    rest = text[match.end() :].strip() if match else ""
    return rest if rest and not rest[0].isdigit() else None


# -------------------------------------------------------------------------------------------------------- code points

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
