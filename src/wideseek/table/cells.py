"""What decorates a cell: marks of markup around its text, and a column that only counts the rows.

    plain_cell      the text without links, emphasis, tags, footnote marks and invisible marks, for people to read
    undecorated     the same without flags, other pictures and trade marks: the words that two cells are compared by
    plain_key       the same for a cell that names a row: check marks and a list's number go as well
    unchecked       a cell without the check marks around it
    counts_rows     whether cells count 1, 2, 3
    says_nothing    whether a cell holds no value

A cell that is nothing but decoration (a flag, "[1]") stays as it is: it is what it stands for. Text that may mean
something stays: `km²`, `[sic]`, a bare address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 2_000  # characters of a cell that may be decorated: a longer one is a text of its own

_LINK = re.compile(
    r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?((?:[^()\s<>]|\([^()]*\))*)>?(?:\s+[\"'][^\"']*[\"'])?\s*\)"
)
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
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁻ᵃᵇᶜᵈᵉ"
_RAISED_END = re.compile(
    rf"(?<=[^\W\d_]{{3}})[{_RAISED}](?:[{_RAISED},]*[{_RAISED}])?(?=$|[\s,;)])"
    r"|(?<=[^\W\d_])¹(?=$|[\s,;)])"
    r"|(?<=[)\].\"”])[⁰¹²³⁴⁵⁶⁷⁸⁹]+(?=$|\s)"
)
_MEASURES = re.compile(r"(?:metres?|meters?|miles?|feet|foot|inch(?:es)?|yards?)$", re.IGNORECASE)
_PICTURE = (
    r"(?:[\U0001F1E6-\U0001F1FF]{2}|\U0001F3F4[\U000E0061-\U000E007F]+|"
    r"[\U0001F300-\U0001FAFF\u2600-\u2604\u260E-\u2712\u2721-\u27B0\u2B50\u2B55\u231A-\u23FF](?<![✅✓✔✗✘❌❎\u2610-\u2612])"
    r"[\uFE0F\u200D\U0001F3FB-\U0001F3FF]*)"
)
_PICTURES = re.compile(rf"^(?:{_PICTURE}\s*)+|(?:\s*{_PICTURE})+$")
_CHECKS = r"[✅✓✔✗✘❌❎\u2610-\u2612]\uFE0F?"
_CHECKS_AROUND = re.compile(rf"^(?:{_CHECKS}\s*)+|(?:\s*{_CHECKS})+$")
_TRADE_MARKS = re.compile("[™®©℠]+$")
_DECORATING = re.compile(r"[\[\]<`_*~=【†‡]|[^\x00-\x7f]")
# Direction marks, zero-width spaces, soft hyphens, byte order marks; what shapes letters, flags and emoji stays.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_LIST_NUMBER = re.compile(r"^\d{1,4}[.)]\s+(?=\D)")


def plain_cell(cell: str, *, address: bool = False) -> str:
    """The cell without markup. A link gives its text, or its target where an `address` is wanted."""
    if len(cell) > LONGEST or not _DECORATING.search(cell):
        return cell
    text = _without_links(_INVISIBLE.sub("", cell).strip(), address=address)
    text = _SUP_UNIT.sub(r"\1\2", _SUP_POWER.sub(r"^\1", text))
    text = _TAG.sub("", _replaced(_SUP_NOTE, text))
    text = _CODE.sub(r"\2", text)
    for form in _EMPHASIS:
        text = form.sub(r"\2", text)
    return _RAISED_END.sub(_without_mark, _replaced(_NOTE, text)).strip() or cell.strip()


def undecorated(cell: str) -> str:
    """The words of a cell: `plain_cell` without the pictures and trade marks around it."""
    if not _DECORATING.search(cell):
        return cell
    composed = unicodedata.normalize("NFC", cell)  # so that an accent is a part of its letter
    return _replaced(_PICTURES, _replaced(_TRADE_MARKS, plain_cell(composed)))


def plain_key(cell: str) -> str:
    """The cell as a name of a row, without anything that stands around the name."""
    text = undecorated(unchecked(undecorated(cell)))
    return _replaced(_LIST_NUMBER, text)


_NOTHING = re.compile(
    r"[\s\-–—―/?？.…·~*_`]*"
    r"|n\.?/?a\.?|nan|none|null|unknown|t\.?b\.?[adc]\.?|no (?:data|information|info|value|answer)"
    r"|(?:data |information )?not (?:found|available|specified|known|disclosed|applicable|given|stated|listed|provided"
    r"|reported|mentioned)"
    r"|未知|无|不详|暂无|未提供|未找到|不明",
    re.IGNORECASE,
)
_REMARK_BEHIND = re.compile(r"\s*[(（][^()（）]{0,200}[)）]\s*$")


def says_nothing(cell: str) -> bool:
    """Whether a cell holds no value: it is empty, only marks (`...`, `?`), or says that there is none (`N/A`)."""
    if len(cell) > LONGEST:
        return False
    text = cell.strip("*_` \n\t")
    return _NOTHING.fullmatch(text) is not None or _NOTHING.fullmatch(_REMARK_BEHIND.sub("", text)) is not None


def unchecked(cell: str) -> str:
    """The cell without the check marks around it: they say something of a row, and are no part of its name."""
    return _replaced(_CHECKS_AROUND, cell)


def _without_links(text: str, *, address: bool) -> str:
    """The text with what links show in their place; of a picture, which shows no text, only where that is all."""
    if "[" not in text:
        return text
    shown = 3 if address else 2
    named = _LINK.sub(lambda match: "" if match[1] else match[shown], text)
    text = named if named.strip() else _LINK.sub(lambda match: match[shown], text)
    return _REFERENCE_LINK.sub(r"\1", _WIKI_LINK.sub(r"\1", text))


def _replaced(marks: re.Pattern[str], text: str) -> str:
    """The text without the marks, or as it is where they are all of it."""
    rest = marks.sub("", text).strip()
    return rest or text


def _without_mark(match: re.Match[str]) -> str:
    """A raised number behind a word is a footnote, behind a unit of length a power."""
    return match[0] if _MEASURES.search(match.string[: match.start()]) else ""


_NUMBER = re.compile(r"#?([0-9]{1,9})[.)]?")


def counts_rows(cells: Sequence[str]) -> bool:
    """Whether the cells are whole numbers, each one more than the cell before."""
    numbers = [int(match[1]) for cell in cells if (match := _NUMBER.fullmatch(cell.strip()))]
    return 0 < len(numbers) == len(cells) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
