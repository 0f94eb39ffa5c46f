"""The unit that stands behind a number: a known one, or the words or the sign that stand there, as an opaque one.

    unit_after    the unit from a place in a text on, and where it ends
    per_after     the same with what it is divided by: `kg/ha`, `$` of `$5 per hour`

A known symbol is read as it stands: 5 mW are not 5 MW. An opaque unit is kept in quotes, without case and plural:
`“barrel”` for 5 Barrels, `“us gallon”`. Words that tell of the number and do not measure (`in 1990`, `high`) are none.
"""

from __future__ import annotations

import re

from wideseek.quantities.units import CODES, MONEY, UNITS, WORD_CODES, WORDS


def unit_after(text: str, at: int = 0) -> tuple[str, int]:
    """The name of the unit that stands at `text[at:]` ("" where none does), and where it ends.

    `text` is tidied (`tidied`). Known units have their name in `UNITS`, so equal units have equal names; the others
    are compared as they stand.
    """
    if at == len(text):
        return "", at
    if match := _INCHES.match(text, at):
        return "inch", match.end()
    at = match.end() if (match := _AND_MORE.match(text, at)) else at  # 50多人
    name, end = _one(text, at)
    return per_after(text, end, name) if name else ("", at)


def per_after(text: str, at: int, name: str) -> tuple[str, int]:
    """`name` with all that it is divided by from `at` on: `km` before ` per hour` is `km/h`. And where that ends."""
    while match := _PER.match(text, at):
        divisor, end = _known(text, match.end())
        if not divisor:
            divisor, end = _words(text, match.end(), most=1)
        if not divisor:
            break
        name, at = f"{name}/{divisor}", end
    return (UNITS[name].name if name in UNITS else name), at


_INCHES = re.compile(r"\s?in\.?(?=$|\s?[(),;]|\s(?:deep|high|long|tall|thick|wide)\b)")
_AND_MORE = re.compile(r"\s?[多余餘](?=[\w ])")
_PER = re.compile(r"\s?/\s?(?=[^\W\d])|\s+per\s+(?=[^\W\d])", re.IGNORECASE)


def _one(text: str, at: int) -> tuple[str, int]:
    """One unit without divisors: a known one, with its direction or factor, else a sign, else words."""
    name, end = _known(text, at)
    if name == "°" and (match := _DIRECTION.match(text, end)) and match["word"].casefold() not in _NO_UNITS:
        word = match["word"].casefold()
        return f"° {_COMPASS.get(word, word)}", match.end()
    if name:
        return _product(text, name, end)
    name, end = _sign(text, at)
    return (name, end) if name else _words(text, at, most=3)


# ------------------------------------------------------------------------------------------------------------- known

_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_LETTER = rf"[^\W\d_{_CJK}]"


def _one_of(names: list[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_SYMBOL = re.compile(rf"[\s-]?(?P<name>{_one_of([*UNITS])})")
_WORD = re.compile(rf"[\s-]?(?P<name>{_one_of([*WORDS])})(?!{_LETTER})", re.IGNORECASE)
_GOES_ON = re.compile(rf"{_LETTER}|[\d^$']")


def _known(text: str, at: int) -> tuple[str, int]:
    """The known unit at `at` by its first name, "" where there is none."""
    symbol, word = _SYMBOL.match(text, at), _WORD.match(text, at)
    if symbol and ((symbol[0][0] == "-" and not symbol["name"][0].isalpha()) or not _ends(symbol, text)):
        symbol = None
    if symbol and (word is None or word.end() <= symbol.end()):
        return UNITS[symbol["name"]].name, symbol.end()
    return (UNITS[WORDS[word["name"].lower()]].name, word.end()) if word else ("", at)


def _ends(match: re.Match[str], text: str) -> bool:
    """Whether the name ends where it was found: no letter goes on."""
    last = match["name"][-1]
    return not (last.isascii() and last.isalnum()) or _GOES_ON.match(text, match.end()) is None


def _product(text: str, name: str, end: int) -> tuple[str, int]:
    """kW h, 人公里: a further symbol that follows at once makes another unit, unless one of them is money."""
    match = _SYMBOL.match(text, end)
    if match is None or match[0].startswith("-") or not _ends(match, text):
        return name, end
    other = UNITS[match["name"]]
    spaced, asian = match[0][0] == " ", ord(match["name"][0]) > 0x2FFF
    if asian == spaced or {other.kind, UNITS[name].kind} & MONEY or other.kind == "share":
        return name, end
    return f"{name} {other.name}", match.end()


# ------------------------------------------------------------------------------------------------------------ opaque

MONEY_SIGNS = "¢-¥֏؋৲৳฿៛₠-₿"  # of a character class
_SIGN = re.compile(rf"\s?[{MONEY_SIGNS}]|(?:''|['\"])(?![\w'\"])")
_OPAQUE = re.compile(rf"[\s-]?(?:(?P<cjk>[{_CJK}]+)|(?P<word>{_LETTER}+(?:[.'-]{_LETTER}+)*(?:\^?\d(?![\d.,]))?))")
_ORDINAL = re.compile(rf"(?:st|nd|rd|th)(?!{_LETTER})", re.IGNORECASE)
_DIRECTION = re.compile(rf"\s?(?P<word>{_LETTER}+)(?![\d{_CJK}])")
_COMPASS = {"north": "n", "south": "s", "east": "e", "west": "w"}
# What stands behind a number and is no unit of it.
_REMARKS = """
    a about above after altogether and approx approximate approximately around as at before below between but by c ca
    circa deep during each est estimated estimates excl excluding for from high in incl including is long nearly
    not of old on only or over overall plus ranked roughly since tall the to total under until versus vs was were when
    which wide with without
"""
_NO_UNITS = frozenset(_REMARKS.split())
# Remarks that may stand before what they count: 5 estimated deaths are deaths.
_ADJECTIVES = frozenset({"approximate", "deep", "estimated", "high", "long", "old", "overall", "tall", "total", "wide"})
_DOT = re.compile(rf"\.(?=\s?{_LETTER})")  # of an abbreviation: imp. gal
_CJK_NO_UNIT = re.compile("[至到和与與及或的是为為于於在约約超共整第]|左右|以上|以下|以内|以內|上下|前后|前後")


def _sign(text: str, at: int) -> tuple[str, int]:
    """A sign of money, feet or inches that is in no table; a quotation mark that was opened before is none."""
    match = _SIGN.match(text, at)
    if match is None or (match[0][0] in "'\"" and match[0][0] in text[:at]):
        return "", at
    return match[0].strip(), match.end()


def _goes_on(text: str, at: int) -> bool:
    """Whether a word that may be a unit follows."""
    match = _OPAQUE.match(text, at)
    return match is not None and bool(match["word"]) and match["word"].casefold() not in _NO_UNITS


def _words(text: str, at: int, most: int) -> tuple[str, int]:
    """The words at `at`, up to `most`, as an opaque unit: without case, the last one without its plural."""
    if _ORDINAL.match(text, at):
        return "", at
    words: list[str] = []
    while len(words) < most and (match := _OPAQUE.match(text, at)):
        if match["cjk"]:
            run = _CJK_NO_UNIT.split(match["cjk"], maxsplit=1)[0]
            if not words and run:
                return f"“{run}”", match.start("cjk") + len(run)
            break
        word, end = match["word"].casefold(), match.end()
        if not words and word in _ADJECTIVES and _goes_on(text, end):
            return _one(text, end)
        if word in _NO_UNITS or (word == "x" and text[end:].lstrip()[:1].isdigit()):
            break
        words.append(word)
        at = end + bool(_DOT.match(text, end))
    if not words:
        return "", at
    if len(words) == 1 and (code := words[0].upper()) in CODES - WORD_CODES:
        return code, at
    if len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith("ss"):
        words[-1] = words[-1][:-1]
    return f"“{' '.join(words)}”", at
