"""Text as evidence compares it: cleaned of marks, folded, and cut into words.

    clean(text)      what a reader sees: no hidden characters, comments, link or footnote marks; NFKC; plain quotes
    fold(text)       lower case without accents, one character to one, so that positions stay
    Text(text)       its words (folded, thousands separators gone) and where they stand
    words(text)      the words of a text that may hold marks, kept

A superscript is an exponent (10⁵), a unit (km²) or a footnote (35¹), and only the last one is dropped. A vulgar
fraction is added to the number before it: 1½ is 1.5, never 1 or 11.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property, lru_cache
from typing import ClassVar

# Scripts without blanks between words: one character is one word. Thai, Lao, Myanmar, Khmer; kana and Han; Hangul.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff"

_PLAIN = re.compile(r"[^\n\r\t -~]|[\[*_`<&\\~]|US\$")  # text without any of these needs no cleaning
_HIDDEN = re.compile(r"[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe0e\ufe0f\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?(?:a|b|i|u|em|strong|span|small|abbr|code|mark|font|nobr)(?:\s[^<>]{0,300})?>", re.IGNORECASE)
_SUP = re.compile(r"<sup[^<>]{0,100}>(.{0,40}?)</sup>", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"\n]*\")?\)")
_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]*)\]\]")
_FOOTNOTE = re.compile(
    r"\s?\[(?:\d{1,3}(?:[,–-]\s?\d{1,3})*|[a-zA-Z]|[ivx]{1,4}|\^?\s?n(?:ote|b)?\.?\s?\d*|citation needed"
    r"|[a-z]+ \d{1,2}|来源请求|註\s?\d*|注\s?\d*|†|\*)\](?!\()"
)
_SUPERSCRIPT = re.compile(r"(?<=[^\W_])[¹²³⁰⁴-⁹⁻⁺]*[¹²³⁰⁴-⁹](?!\w)|(?<=[^\W_])[¹²³⁰⁴-⁹]+")
_EMPHASIS = re.compile(r"(?<!\d)[*_`]+|[*_`]+(?!\d)|~~")
_DASH = re.compile(r"[‐-―−﹣－]")
_QUOTES = str.maketrans(
    {**dict.fromkeys("’‘‛′ʹʼ＇", "'"), **dict.fromkeys("“”„«»″＂", '"')}
    | dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f", " ")
    | dict.fromkeys("†‡", "")
)
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅛": 0.125, "⅜": 0.375, "⅝": 0.625, "⅞": 0.875, "⅕": 0.2, "⅖": 0.4}
_FRACTION = re.compile(rf"(?:(?<!\d)(\d+)\s?)?([{''.join(_FRACTIONS)}])")
_AREA = re.compile(r"(?:^|[^A-Za-z])(?:[kcdm]?m|mi|ft|in|yd)$")


def clean(text: str) -> str:
    """The text as a reader sees it."""
    if _MANY_BLANKS in text:
        text = _LONG_GAP.sub(_MANY_BLANKS, text)  # what follows may be quadratic in the length of a gap
    if not _PLAIN.search(text):
        return text
    text = _CONTROL.sub(" ", _HIDDEN.sub("", text))
    if "<" in text:
        text = _SUP.sub(_raised, _TAG.sub("", _COMMENT.sub(" ", text)))
    if "[" in text:
        text = _FOOTNOTE.sub("", _WIKI_LINK.sub(r"\1", _LINK.sub(r"\1", text)))
    text = _FRACTION.sub(lambda m: f"{float(m[1] or 0) + _FRACTIONS[m[2]]:g}", _SUPERSCRIPT.sub(_superscript, text))
    text = text.replace("US$", "$").replace("：", ": ").replace("；", "; ").translate(_QUOTES)
    text = unicodedata.normalize("NFKC", text)
    if "&" in text:
        text = text.replace("&amp;", "&").replace("&nbsp;", " ").replace(" & ", " and ")
    return _DASH.sub("-", _EMPHASIS.sub("", text))


def _raised(match: re.Match[str]) -> str:
    """`<sup>` holds an exponent or the power of a unit; anything else in it is a footnote."""
    inner, before = match[1].strip(), match.string[max(0, match.start() - 4) : match.start()]
    if before.endswith("10") and re.fullmatch(r"[-−]?\d{1,2}", inner):
        return "^" + inner
    return inner if inner in ("2", "3") and _AREA.search(before) else ""


def _superscript(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 4) : match.start()]
    digits = unicodedata.normalize("NFKC", match[0]).replace("−", "-")
    if before.endswith("10"):
        return "^" + digits
    return digits if digits in ("2", "3") and _AREA.search(before) else ""


class _Folding(dict[int, str]):
    """Character to character: lower case, without the accents of Latin, Greek and Cyrillic letters."""

    _SPECIAL: ClassVar = {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "ħ": "h", "ŧ": "t"}

    def __missing__(self, code: int) -> str:
        char = chr(code)
        base, marks = unicodedata.normalize("NFD", char)[0], unicodedata.normalize("NFD", char)[1:]
        plain = base if marks and all(unicodedata.category(mark) == "Mn" for mark in marks) else char
        lower = plain.lower()
        self[code] = folded = self._SPECIAL.get(lower, lower if len(lower) == 1 else lower[0])
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Lower case without accents; as long as `text`."""
    return text.translate(_FOLDING)


_LETTER = rf"(?:[^\W_\d{UNSPACED}]|[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd\u0b82-\u0bcd])"
_WORD_CHAR = rf"(?:{_LETTER}|\d)"
_SHORT_UNITS = r"km2|km|m2|m3|m|cm|mm|kg|ft|mi|kw|mw|gw|hp|ha|kmh|mph|k|bn|mn|lb|lbs|kn|min|hrs|h|s|l|t|g|c|f"
_GROUPED = r"\d{1,3}(?:,\d{3}){1,9}(?![\d])|\d{1,3}(?:[ ']\d{3}){1,9}(?!\d)|\d{1,3}(?:\.\d{3}){2,9}(?!\d)"
_DIGITS = rf"(?:{_GROUPED}|\d+,\d{{1,2}}(?![\d,])|\d+)(?:\.\d+)?"
_WORD = re.compile(
    rf"[{UNSPACED}]"
    rf"|(?<!{_WORD_CHAR})\d+(?:\.\d+)?e[+-]?\d{{1,3}}(?!{_WORD_CHAR})"
    rf"|(?<!{_WORD_CHAR}){_DIGITS}(?!{_WORD_CHAR}|[.,]\d)"
    rf"|(?<!{_WORD_CHAR})\d+(?:[.,]\d+){{0,9}}(?=(?:{_SHORT_UNITS})(?!{_WORD_CHAR}))"
    rf"|{_WORD_CHAR}+(?:'{_WORD_CHAR}+)*(?:\+\+|\#(?!{_WORD_CHAR}))?",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\d+,\d{1,2}")


class Text:
    """A cleaned text as words: `words` folded, `spans` their places in `text` (start, end)."""

    __slots__ = ("__dict__", "spans", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.spans: list[tuple[int, int]] = []
        for match in _WORD.finditer(text):
            word = match[0]
            if word[0].isdigit():
                word = _plain_digits(word)
            elif word[-2:] in ("'s", "'S"):
                word = word[:-2]
            self.words.append(word.translate(_FOLDING))
            self.spans.append(match.span())

    @cached_property
    def joined(self) -> str:
        return f" {' '.join(self.words)} "

    @cached_property
    def folded(self) -> str:
        return fold(self.text)

    def find(self, wanted: tuple[str, ...]) -> list[int]:
        """Where these words stand side by side: positions of the first of them."""
        if not wanted:
            return []
        found, needle = [], f" {' '.join(wanted)} "
        at, before, counted = self.joined.find(needle), 0, 0
        while at >= 0:
            before, counted = before + self.joined.count(" ", counted, at + 1), at + 1
            found.append(before - 1)
            at = self.joined.find(needle, at + 1)
        return found

    def original(self, index: int) -> str:
        """The word as it is written; the empty text beyond either end."""
        if not 0 <= index < len(self.spans):
            return ""
        start, end = self.spans[index]
        return self.text[start:end]

    def gap(self, index: int) -> str:
        """What stands between word `index - 1` and word `index`."""
        start = self.spans[index - 1][1] if index else 0
        return self.text[start : self.spans[index][0] if index < len(self.spans) else None]


def _plain_digits(word: str) -> str:
    """Digits without thousands separators, with a decimal point."""
    if _DECIMAL_COMMA.fullmatch(word):
        return word.replace(",", ".")
    if word.count(".") > 1:
        word = word.replace(".", "")
    return word.replace(",", "").replace(" ", "").replace("'", "")


_MANY_BLANKS = " " * 12
_LONG_GAP = re.compile(r"[ \t]{12,}")


@lru_cache(maxsize=65_536)
def words(text: str) -> tuple[str, ...]:
    """The folded words of a text."""
    return tuple(Text(clean(text)).words)


def is_unspaced(char: str) -> bool:
    """Whether the character belongs to a script that puts no blanks between words."""
    return re.match(f"[{UNSPACED}]", char) is not None


_CLOSING = {")": "(", "）": "（", "]": "["}


def without_bracket(text: str) -> str:
    """The text without a remark in brackets at its end: `Springfield (Ohio)` is `Springfield`."""
    bare = text.rstrip()
    opening = _CLOSING.get(bare[-1:])
    at = bare.rfind(opening) if opening else -1
    return bare[:at].rstrip() if at > 0 else text
