"""Numbers as people write them, with the scale, the unit and the sign that belong to them.

    quantities    every quantity in a text, in order
    quantity      the first one, `None` where there is none or where the text can be read in two ways
    whole         the quantity that a text is, from its first to its last character
    near          whether two quantities agree within a tolerance
    Quantity      low and high (equal unless it is a range), the unit, the sign of an inequality

What belongs to a number:

    scale       thousand, million, bn, 万, 亿, lakh, crore, k / M / B; several multiply (万亿); 3亿5000万 adds up
    sign        - − – before the digits, "minus", 负, brackets around the whole text (accounting)
    exponent    1e6, 10^6, 1.5 × 10⁶, 10<sup>6</sup>
    groups      by comma, point (where there are several), apostrophe, space, underscore; 12,34,567 as in India
    decimals    a point; a comma where it cannot part groups (12,5 · 0,125 · 1.234,56); ½
    unit        lengths, areas, masses, times ... are converted (1 km = 1000 m), currencies are not; percent
    range       10–20, 10 to 20, 10至20, between 10 and 20

A number without a unit takes the other's: 35 equals 35 m. 50 % equals 0.5. A word that is no known unit says nothing
(1,000 people). What can be read in two ways is read in none: 1,2345, 2015-10-18, 3/4, 12:30, 1990s.

This module knows nothing of tables or scores, and depends on no other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from functools import lru_cache

import msgspec

# Exact for every number that a table holds: sums and products are not rounded before this many digits.
_EXACT = Context(prec=120, Emax=9_999, Emin=-9_999)
_LONGEST = 60  # digits of one number; what is longer is no quantity
_LARGEST = 400  # the largest exponent


class Quantity(msgspec.Struct, frozen=True):
    """A number from `low` to `high` in `unit` ("" where none is named), its scale multiplied in.

    `bound` is `<` or `>` where that sign stands before the number, `scaled` whether a scale word stands behind it.
    `start` and `end` are its place in the tidied text.
    """

    low: Decimal
    high: Decimal
    unit: str = ""
    bound: str = ""
    scaled: bool = False
    start: int = 0
    end: int = 0

    @property
    def kind(self) -> str:
        """What is measured: `length`, `area`, `share` (percent) ..., a currency, or "" for a bare number."""
        return _UNITS[self.unit][0] if self.unit else ""

    def in_base_unit(self) -> tuple[Decimal, Decimal]:
        """Both ends in the first unit of the kind: metres, square metres, seconds ..."""
        factor = _UNITS[self.unit][1] if self.unit else Decimal(1)
        return _EXACT.multiply(self.low, factor), _EXACT.multiply(self.high, factor)

    def text(self) -> str:
        """One spelling for equal quantities: `1000 m` for 1 km, `12%`, `1990`."""
        if not self.unit or self.kind == "share":
            ends, name = (self.low, self.high), self.unit
        else:
            ends, name = self.in_base_unit(), self.kind
        low, high = map(spelled, ends)
        span = low if low == high else f"{low}..{high}"
        return f"{self.bound}{span}{name}"


def near(said: Quantity, gold: Quantity, tolerance: float = 0.0) -> bool:
    """Whether `said` is off by no more than `tolerance` times the gold's value, at both ends of a range."""
    if said.bound != gold.bound or (said.low == said.high) != (gold.low == gold.high):
        return False
    if said.unit and gold.unit:
        if not _same_kind(said.kind, gold.kind):
            return False
        pairs = zip(said.in_base_unit(), gold.in_base_unit(), strict=True)
    elif "share" in (said.kind, gold.kind):  # 50 % is 0.5
        pairs = zip(said.in_base_unit(), gold.in_base_unit(), strict=True)
    else:  # a bare number is meant in the other's unit
        pairs = zip((said.low, said.high), (gold.low, gold.high), strict=True)
    allowed = Decimal(repr(tolerance))
    return all(abs(_EXACT.subtract(one, other)) <= _EXACT.multiply(abs(other), allowed) for one, other in pairs)


def spelled(number: Decimal) -> str:
    """The shortest plain spelling: 1990.0 and 1990 are one, no exponent."""
    return f"{number.normalize(_EXACT):f}" if number else "0"


# ----------------------------------------------------------------------------------------------------------- reading


@lru_cache(maxsize=65_536)
def quantity(text: str, column: str = "") -> Quantity | None:
    """The first quantity of `text`; a bare number takes the scale and unit that `column` names in brackets."""
    found = alternatives(text, column)
    return found[0] if found else None


@lru_cache(maxsize=65_536)
def alternatives(text: str, column: str = "") -> tuple[Quantity, ...]:
    """The first quantity of `text`, and those that state it again in another unit: `115 ft (35 m)`."""
    tidy = _tidied(text)
    try:
        found = list(quantities(tidy))
    except _Ambiguous:
        return ()
    if not found:
        numeral = _chinese_whole(tidy)
        return () if numeral is None else (numeral,)
    first, *others = found
    if _PLAIN_LIST.fullmatch(tidy) and others:
        return ()
    again = [
        other
        for other in others
        if other.kind == first.kind and first.kind and other.unit != first.unit and _restates(other, first)
    ]
    if _leaves_open(tidy, others, again):
        return ()
    return tuple(reading for each in (first, *again) for reading in _in_column(each, column))


def _leaves_open(tidy: str, others: Sequence[Quantity], again: Sequence[Quantity]) -> bool:
    """Whether the text offers more than one number, or denies the one it names: then it states none.

    A year, or what stands in a bracket without a word of doubt (`84 m (rank 3)`), is a remark and no second answer.
    """
    if _DENIED.search(tidy):
        return True
    rivals = [other for other in others if other not in again]
    if rivals and _HEDGED.search(tidy):
        return True
    bare = _BRACKET.sub(lambda bracket: " " * len(bracket[0]), tidy)
    return any(
        bare[other.start : other.end].strip() and not _YEAR.fullmatch(tidy[other.start : other.end].strip())
        for other in rivals
    )


_DENIED = re.compile(r"\b(?:not|never|isn't|wasn't)\s+(?:\w+\s+){0,2}[-+$€£¥]?\d|[不非]\s?\d", re.IGNORECASE)
_HEDGED = re.compile(
    r"\b(?:or|vs|versus|maybe|perhaps|possibly|probably|either|alternatively)\b|[或]|可能|也许", re.IGNORECASE
)
_BRACKET = re.compile(r"[(\[][^()\[\]]*[)\]]")
_YEAR = re.compile(r"1\d{3}|20\d\d")


@lru_cache(maxsize=65_536)
def whole(text: str) -> Quantity | None:
    """The quantity that the whole text is, `None` where anything else stands beside it."""
    if _ISO_DATE.fullmatch(text):
        return None
    tidy = _tidied(text)
    try:
        found = list(quantities(tidy))
    except _Ambiguous:
        return None
    if len(found) != 1 or tidy[: found[0].start].strip() or tidy[found[0].end :].strip():
        return None
    return found[0]


_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Ambiguous(Exception):
    """The text can be read in two ways."""


def quantities(tidy: str) -> Iterator[Quantity]:
    """Every quantity of a tidied text, in order. Raises `_Ambiguous` for digits that can be read in two ways."""
    at, pending = 0, None
    negative = bool(_BRACKETED.fullmatch(tidy))
    while (match := _NUMBER.search(tidy, at)) is not None:
        read = _read(match, tidy)
        at = match.end()
        if read is None:
            continue
        read, at = _ranged(read, tidy)
        if negative:
            low, high = sorted((-read.low, -read.high))
            read = msgspec.structs.replace(read, low=low, high=high, start=0, end=len(tidy))
        if pending is not None and (joined := _compound(pending, read, tidy)):
            pending = joined
            continue
        if pending is not None:
            yield pending
        pending = read
    if pending is not None:
        yield pending


_DASHES = "-‐‑‒–—―−﹘﹣－"
_TIDY = {
    **{ord(dash): "-" for dash in _DASHES},
    **{ord(mark): "'" for mark in "’‘ʼ´`ˈ＇′"},
    ord("٬"): ",",
    ord("٫"): ".",
    ord("×"): "x",
    ord("✕"): "x",
    ord("·"): "x",
    ord("⋅"): "x",
    ord("⁄"): "/",
    ord("〜"): "~",
    ord("∼"): "~",
    ord("～"): "~",
    ord("≤"): "<",
    ord("≥"): ">",
}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_POWER = re.compile(r"(?<=10)([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_RAISED = re.compile(r"(?<=\d)[⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUP_POWER = re.compile(r"(?<=10)\s*<sup>\s*([-−+]?\d+)\s*</sup>", re.IGNORECASE)
_SUP = re.compile(r"(?<=\d)\s*<sup>.{0,20}?</sup>", re.IGNORECASE)
_NOTE = re.compile(r"(?<=[^\s\[])\s?\[(?:\d{1,3}|[a-z]|\^?\w{1,10}|(?:note|nb|n|注)\s?\d{1,3})\]", re.IGNORECASE)
_SPACED_MINUS = re.compile(r"^−\s+(?=\d)")
_FRACTIONS = re.compile("[¼-¾⅐-⅞]")
_CHINESE_PERCENT = re.compile(r"百分之\s*([\d.,零〇一二两三四五六七八九十百点]+)")
_SPELLED_SIGN = re.compile(r"(?:\b(?:minus|negative)\s+|[负負▲△]\s*|零下\s*)(?=[^\d]{0,3}\d)", re.IGNORECASE)


def _tidied(text: str) -> str:
    """One spelling of digits, dashes, spaces and powers; footnote marks are gone."""
    text = text.strip()
    if text.isascii() and not _UNTIDY.search(text):
        return text
    text = _SPACED_MINUS.sub("-", text.replace("`", ""))
    text = _SUP.sub("", _SUP_POWER.sub(r"^\1", text))
    text = _POWER.sub(lambda match: "^" + "".join(_SUPERSCRIPTS[char] for char in match[1]), text)
    text = _RAISED.sub("", text)
    text = _FRACTIONS.sub(_decimal_fraction, text)
    text = "".join(_digit(char) for char in text)
    text = unicodedata.normalize("NFKC", text.translate(_TIDY)).translate(_TIDY)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = _NOTE.sub("", text.replace("**", ""))
    text = _CHINESE_PERCENT.sub(_percent_of, text)
    return " ".join(_SPELLED_SIGN.sub("-", text).split())


_UNTIDY = re.compile(r"[\[<*`\n\t]|  |minus|negative", re.IGNORECASE)


def _digit(char: str) -> str:
    return char if char.isascii() or unicodedata.category(char) != "Nd" else str(unicodedata.digit(char))


def _decimal_fraction(match: re.Match[str]) -> str:
    value = f"{unicodedata.numeric(match[0]):.6f}".rstrip("0")
    before = match.string[: match.start()]
    return value[1:] if before[-1:].isdigit() else value


def _percent_of(match: re.Match[str]) -> str:
    numeral = match[1]
    if not numeral[0].isdigit():
        value = chinese_number(numeral)
        numeral = numeral if value is None else spelled(value)
    return f"{numeral}%"


# ----------------------------------------------------------------------------------------------------------- numbers

_SIGNED = r"(?P<sign>(?<![A-Za-z0-9_)\]%.])[-+](?:\s(?=[^\s\d]))?)?"
_CURRENCY_MARKS = r"US\$|HK\$|NT\$|CA?\$|AU?\$|NZ\$|SG?\$|R\$|\$|€|£|¥|₹|₩|₽|₺|₫|฿|Rs\.?"
_CODES = "USD|HKD|TWD|NTD|AUD|CAD|NZD|SGD|BRL|EUR|GBP|JPY|CNY|RMB|INR|KRW|RUB|CHF|TRY|VND|THB"
_DIGITS = r"\d(?:[\d,.'_]*\d)?|\.\d+"
_GROUPED = r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?![\d]|[.,]\d)"
_NUMBER = re.compile(
    rf"(?P<bound>[<>]=?\s*)?{_SIGNED}(?P<money>(?:{_CURRENCY_MARKS}|(?<![A-Za-z])(?:{_CODES})(?=\s?[-+]?\d))\s?)?(?P<inner>[-+])?"
    rf"(?P<digits>(?<![\d.,'_])(?:{_GROUPED}|{_DIGITS}))"
)
_EXPONENT = re.compile(r"[eE]([-+]?\d{1,4})(?![\w.])|\s?[x*]\s?10(?:\^|\*\*)\s?\(?([-+]?\d{1,4})\)?(?!\d)")
_BARE_POWER = re.compile(r"\^\s?([-+]?\d{1,4})(?!\d)")
_BRACKETED = re.compile(r"\(\s?(?:[A-Z]{2,3}\s?)?[^\w\s()]?\s?\d[\d,.' ]*[^()\d]{0,12}\)")
_PLAIN_LIST = re.compile(r"[\d.]+(?:(?:,\s|\s?[;、/&|]\s?|\sand\s|\s)[\d.]+)+")
_NAME_BEFORE = re.compile(r"[A-Za-z]-?$")
_JOINED_AFTER = re.compile(r"\s?[/:]\s?\d|-\d|\^|(?:\*|x)\d")


def _read(match: re.Match[str], text: str, name_from: int = 0) -> Quantity | None:
    """The quantity whose digits `match` has found, with what follows them; `None` where they are a part of a name.

    What stands before `name_from` is no part of a name.
    """
    start, at = match.start(), match.end()
    if not match["money"] and _NAME_BEFORE.search(
        text, max(name_from, match.start("digits") - 2), match.start("digits")
    ):
        return None  # B2, COVID-19: a name
    if text[max(0, match.start() - 1) : match.start()] == "±":
        return None  # how exact another number is
    digits = match["digits"]
    value = _value(digits)
    if power := _EXPONENT.match(text, at):
        value, at = _raised(value, power[1] or power[2]), power.end()
    elif digits == "10" and (power := _BARE_POWER.match(text, at)):
        value, at = _raised(Decimal(1), power[1]), power.end()
    if "-" in (match["sign"] or "") + (match["inner"] or ""):
        value = -value
    money = _currency(match["money"])
    scale, at, scaled = _scale(text, at, money=bool(money), value=value)
    value = _EXACT.multiply(value, scale)
    if scaled and scaled in _CHINESE_SCALES:
        value, at = _more_chinese(value, scale, text, at)
    unit, at = _unit(text, at, digits)
    if not scaled and not unit and re.match(r"s\b", text[at:]):
        raise _Ambiguous  # 1990s
    if money and unit and _UNITS[unit][0] not in ("share",):
        unit = unit if _same_kind(_UNITS[unit][0], _UNITS[money][0]) else money
    bound = (match["bound"] or "").strip()[:1]
    return Quantity(value, value, unit or money, bound, bool(scaled), start, at)


def _value(digits: str) -> Decimal:
    """The value of digits with group and decimal marks. Raises `_Ambiguous` where they can be read in two ways."""
    plain = digits.replace(" ", "").replace("_", "")
    if len(plain) > _LONGEST:
        raise _Ambiguous
    if "'" in plain:
        if not re.fullmatch(r"\d{1,3}(?:'\d{3})+(?:[.,]\d+)?", plain):
            raise _Ambiguous
        plain = plain.replace("'", "").replace(",", ".")
    elif " " in digits:
        plain = plain.replace(",", ".")
    elif "," in plain:
        plain = _without_commas(plain)
    elif plain.count(".") > 1:
        if not re.fullmatch(r"\d{1,3}(?:\.\d{3})+", plain):
            raise _Ambiguous  # 1.2.3, a version or a date
        plain = plain.replace(".", "")
    return Decimal(plain)


def _without_commas(plain: str) -> str:
    """Digits with commas, and perhaps points, with a decimal point at most."""
    if "." in plain:
        if plain.rindex(".") > plain.rindex(","):  # 1,234.56
            if plain.count(".") > 1:
                raise _Ambiguous
            return plain.replace(",", "")
        if plain.count(",") > 1 or not re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", plain):
            raise _Ambiguous
        return plain.replace(".", "").replace(",", ".")  # 1.234,56
    thousands = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}|[1-9]\d{0,3}(?:,\d{4}){2,}"
    if re.fullmatch(thousands, plain):
        return plain.replace(",", "")
    if re.fullmatch(r"\d+,\d{1,2}|0,\d+", plain):  # a comma that cannot part groups
        return plain.replace(",", ".")
    raise _Ambiguous


def _raised(value: Decimal, exponent: str) -> Decimal:
    if abs(int(exponent)) > _LARGEST:
        raise _Ambiguous
    return value.scaleb(int(exponent), _EXACT)


# ------------------------------------------------------------------------------------------------------------- scales

_SCALE_WORDS: dict[str, int] = {
    **dict.fromkeys(("hundred", "百"), 2),
    **dict.fromkeys(("thousand", "thousands", "k", "千", "tausend"), 3),
    **dict.fromkeys(("万", "萬", "만", "ten thousand"), 4),
    **dict.fromkeys(("lakh", "lakhs", "lac", "lacs"), 5),
    **dict.fromkeys(("million", "millions", "mln", "mn", "mio", "mil.", "millionen", "millones", "百万", "百萬"), 6),
    **dict.fromkeys(("crore", "crores", "cr", "千万", "千萬"), 7),
    **dict.fromkeys(("亿", "億", "억"), 8),
    **dict.fromkeys(
        ("billion", "billions", "bn", "bln", "mrd", "milliard", "milliards", "milliarden", "mil millones", "十亿"), 9
    ),
    **dict.fromkeys(("trillion", "trillions", "tn", "trn", "兆", "조"), 12),
    **dict.fromkeys(("quadrillion", "quadrillions"), 15),
}
_CHINESE_SCALES = frozenset(word for word in _SCALE_WORDS if not word[0].isascii())
_CJK_WORDS = sorted(_CHINESE_SCALES, key=len, reverse=True)
_LATIN_WORDS = sorted((w for w in _SCALE_WORDS if w[0].isascii() and len(w) > 1), key=len, reverse=True)
_SCALE = re.compile(
    rf"[\s-]?(?:(?P<cjk>{'|'.join(_CJK_WORDS)})|(?P<word>{'|'.join(map(re.escape, _LATIN_WORDS))})(?![a-z]))",
    re.IGNORECASE,
)
_SCALE_LETTER = re.compile(r"\s?(?P<letter>[kKMmBbTt])(?![\w²³/])")
_LETTERS = {"k": 3, "m": 6, "b": 9, "t": 12}
_MONEY_MM = re.compile(r"\s?mm\b", re.IGNORECASE)


def _scale(text: str, at: int, *, money: bool, value: Decimal) -> tuple[Decimal, int, str]:
    """The factor of the scale words from `at` on, where they end, and the first of them."""
    exponent, first = 0, ""
    while match := _SCALE.match(text, at):
        word = (match["cjk"] or match["word"]).lower()
        if word in ("千", "兆") and re.match(r"[米克瓦卡赫字]|公[里斤]", text[match.end() :]):
            break  # 千米, 千克, 兆瓦: units
        exponent, at, first = exponent + _SCALE_WORDS[word], match.end(), first or word
    if not first and money and (match := _MONEY_MM.match(text, at)):
        return Decimal(10) ** 6, match.end(), "m"
    if not first and (match := _SCALE_LETTER.match(text, at)):
        letter = match["letter"]
        attached = match.start("letter") == at
        # 5m and 5 t are metres and tonnes, 5 K kelvins, unless money is counted.
        if money or (attached and letter in "KMBT") or letter in "kM":
            return Decimal(10) ** _LETTERS[letter.lower()], match.end(), letter
    return Decimal(10) ** exponent, at, first


def _more_chinese(value: Decimal, scale: Decimal, text: str, at: int) -> tuple[Decimal, int]:
    """The rest of 3亿5000万: each further number with a smaller scale is added."""
    while match := re.compile(r"\d+(?:\.\d+)?").match(text, at):
        smaller, end, word = _scale(text, match.end(), money=False, value=value)
        if (word and word not in _CHINESE_SCALES) or smaller >= scale:
            break
        value, at, scale = value + Decimal(match[0]) * smaller, end, smaller
    return value, at


_CHINESE_DIGITS = {char: i for i, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0, "○": 0, "两": 2, "兩": 2, "壹": 1, "贰": 2, "叁": 3, "肆": 4, "伍": 5, "陆": 6, "柒": 7, "捌": 8, "玖": 9,
}  # fmt: skip
_CHINESE_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_CHINESE_LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_CHINESE_NUMERAL = "[" + "".join([*_CHINESE_DIGITS, *_CHINESE_UNITS, *_CHINESE_LARGE]) + "点]+"
_CHINESE_WHOLE = re.compile(
    rf"(?:第|约|約|共|近|超|-)?(?P<numeral>{_CHINESE_NUMERAL})\s?(?P<rest>\w{{0,4}})", re.IGNORECASE
)


def chinese_number(numeral: str) -> Decimal | None:
    """三百五十 is 350, 二〇一九 is 2019, 三点五 is 3.5; `None` for what is no numeral."""
    before, point, after = numeral.partition("点")
    if point:
        whole_part = chinese_number(before)
        if whole_part is None or not after or any(char not in _CHINESE_DIGITS for char in after):
            return None
        return whole_part + Decimal("0." + "".join(str(_CHINESE_DIGITS[char]) for char in after))
    if len(numeral) > 30 or not numeral:
        return None
    if all(char in _CHINESE_DIGITS for char in numeral):
        return Decimal("".join(str(_CHINESE_DIGITS[char]) for char in numeral))
    total, section, digit = 0, 0, 0
    for char in numeral:
        if char in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[char]
        elif char in _CHINESE_UNITS:
            section, digit = section + (digit or 1) * _CHINESE_UNITS[char], 0
        elif char in _CHINESE_LARGE:
            total, section, digit = (total + section + digit) * _CHINESE_LARGE[char], 0, 0
        else:
            return None
    return Decimal(total + section + digit)


def _chinese_whole(text: str) -> Quantity | None:
    """A text without digits that is one Chinese numeral with a measure word: 第五章, 三百五十米."""
    match = _CHINESE_WHOLE.fullmatch(text)
    value = chinese_number(match["numeral"]) if match else None
    if match is None or value is None:
        return None
    unit, _ = _unit(match["rest"], 0, "")
    return Quantity(value, value, unit, end=len(text))


# -------------------------------------------------------------------------------------------------------------- units


def _units() -> dict[str, tuple[str, Decimal]]:
    """Every spelling of a unit: what it measures, and how many of the kind's first unit it is."""
    table: list[tuple[str, str, str]] = [
        ("length", "1", "m metre metres meter meters 米 公尺 メートル"),
        ("length", "1000", "km kilometre kilometres kilometer kilometers 公里 千米"),
        ("length", "0.01", "cm centimetre centimetres centimeter centimeters 厘米 公分"),
        ("length", "0.001", "mm millimetre millimetres millimeter millimeters 毫米"),
        ("length", "0.3048", "ft foot feet 英尺"),
        ("length", "0.0254", "inch inches 英寸"),
        ("length", "0.9144", "yd yard yards 码"),
        ("length", "1609.344", "mi mile miles 英里"),
        ("length", "1852", "nmi nautical_mile nautical_miles 海里"),
        ("area", "1", "m2 m^2 sq_m sqm square_metre square_metres square_meter square_meters 平方米 平米"),
        ("area", "1000000", "km2 km^2 sq_km sqkm square_kilometre square_kilometres square_kilometer "
         "square_kilometers 平方公里 平方千米"),
        ("area", "10000", "ha hectare hectares 公顷"),
        ("area", "4046.8564224", "acre acres 英亩"),
        ("area", "2589988.110336", "mi2 mi^2 sq_mi square_mile square_miles 平方英里"),
        ("area", "0.09290304", "ft2 ft^2 sq_ft sqft square_foot square_feet 平方英尺"),
        ("volume", "1", "m3 m^3 cubic_metre cubic_metres cubic_meter cubic_meters 立方米"),
        ("volume", "1000000000", "km3 km^3 cubic_kilometre cubic_kilometres cubic_kilometer cubic_kilometers 立方千米"),
        ("volume", "0.001", "L l litre litres liter liters 升"),
        ("volume", "0.000001", "ml mL millilitre millilitres milliliter milliliters 毫升"),
        ("mass", "1", "kg kilogram kilograms kilogramme kilogrammes 千克 公斤"),
        ("mass", "0.001", "g gram grams gramme grammes 克"),
        ("mass", "0.000001", "mg milligram milligrams 毫克"),
        ("mass", "1000", "t tonne tonnes metric_ton metric_tons 吨 公吨"),
        ("mass", "0.45359237", "lb lbs 磅"),
        ("mass", "0.028349523125", "oz ounce ounces 盎司"),
        ("time", "1", "s sec secs second seconds 秒 秒钟"),
        ("time", "60", "min mins minute minutes 分钟 分鐘"),
        ("time", "3600", "h hr hrs hour hours 小时 小時"),
        ("time", "86400", "day days 天"),
        ("time", "604800", "week weeks 周 星期"),
        ("months", "1", "month months 个月 個月"),
        ("months", "12", "year years yr yrs"),
        ("speed", "3.6", "m/s 米/秒"),
        ("speed", "1", "km/h kmh kph 公里/小时"),
        ("speed", "1.609344", "mph"),
        ("speed", "1.852", "kn knot knots 节"),
        ("power", "1", "W watt watts 瓦"),
        ("power", "1000", "kW kilowatt kilowatts 千瓦"),
        ("power", "1000000", "MW megawatt megawatts 兆瓦"),
        ("power", "1000000000", "GW gigawatt gigawatts 吉瓦"),
        ("energy", "1", "kWh 千瓦时 度电"),
        ("energy", "1000", "MWh"),
        ("energy", "1000000", "GWh"),
        ("energy", "1000000000", "TWh"),
        ("bytes", "1000", "KB kB"),
        ("bytes", "1000000", "MB"),
        ("bytes", "1000000000", "GB"),
        ("bytes", "1000000000000", "TB"),
        ("frequency", "1", "Hz 赫兹"),
        ("frequency", "1000", "kHz"),
        ("frequency", "1000000", "MHz"),
        ("frequency", "1000000000", "GHz"),
        ("celsius", "1", "°C °c ºC 摄氏度"),
        ("fahrenheit", "1", "°F °f ºF 华氏度"),
        ("share", "0.01", "% percent per_cent pct percentage_points percentage_point pp 个百分点"),
        ("share", "0.001", "‰ per_mille"),
        ("usd", "1", "USD US$ 美元 美金 US_dollar US_dollars U.S._dollars"),
        ("hkd", "1", "HKD HK$ 港元 港币 港幣"),
        ("twd", "1", "TWD NTD NT$ 新台币 新臺幣"),
        ("aud", "1", "AUD A$ AU$ 澳元"),
        ("cad", "1", "CAD C$ CA$ 加元"),
        ("nzd", "1", "NZD NZ$"),
        ("sgd", "1", "SGD S$ SG$ 新加坡元 新元"),
        ("brl", "1", "BRL R$"),
        ("eur", "1", "EUR € euro euros 欧元"),
        ("gbp", "1", "GBP £ 英镑"),
        ("jpy", "1", "JPY yen 日元 日圆 円"),
        ("cny", "1", "CNY RMB 人民币 元人民币 yuan"),
        ("inr", "1", "INR ₹ Rs Rs. rupees 卢比"),
        ("krw", "1", "KRW ₩ won 韩元"),
        ("rub", "1", "RUB ₽ rubles roubles 卢布"),
        ("chf", "1", "CHF 瑞士法郎"),
        ("try", "1", "₺ TRY"),
        ("vnd", "1", "₫ VND"),
        ("thb", "1", "฿ THB 泰铢"),
        ("dollars", "1", "$ dollar dollars"),
        ("yuan or yen", "1", "¥"),
        ("yuan", "1", "元 块"),
    ]  # fmt: skip
    units: dict[str, tuple[str, Decimal]] = {}
    for kind, factor, names in table:
        for name in names.split():
            units[name.replace("_", " ")] = (kind, Decimal(factor))
    return units


_UNITS = _units()
_WORDS = {name.lower(): name for name in reversed(_UNITS) if len(name) > 3 and name.isascii()}
# Signs that several currencies share.
_SHARED = {
    "dollars": frozenset({"usd", "hkd", "twd", "aud", "cad", "nzd", "sgd"}),
    "yuan or yen": frozenset({"cny", "jpy", "yuan"}),
    "yuan": frozenset({"cny", "yuan or yen"}),
}
_UNIT = re.compile(
    r"[\s-]?(?P<name>" + "|".join(re.escape(name) for name in sorted(_UNITS, key=len, reverse=True)) + r")",
)
_UNIT_WORD = re.compile(
    r"[\s-]?(?P<name>" + "|".join(re.escape(name) for name in sorted(_WORDS, key=len, reverse=True)) + r")(?![a-z])",
    re.IGNORECASE,
)
_INCHES = re.compile(r"\s?in\.?(?=$|\s?[),;])")


def _unit(text: str, at: int, digits: str) -> tuple[str, int]:
    """The unit that stands from `at` on ("" where none does), and where it ends."""
    if match := _INCHES.match(text, at):
        return "inch", match.end()
    match = _UNIT.match(text, at)
    if (
        match
        and not (match[0].startswith("-") and not match["name"][0].isalpha())
        and _ends(match["name"], text, match.end())
    ):
        name = match["name"]
        if name == "s" and match.start("name") == at and len(digits) == 4:
            raise _Ambiguous  # 1990s
        return name, match.end()
    if match := _UNIT_WORD.match(text, at):
        return _WORDS[match["name"].lower()], match.end()
    return "", at


def _ends(name: str, text: str, at: int) -> bool:
    """Whether a unit's name ends at `at`: no letter goes on, and no further unit is divided by."""
    after = text[at : at + 1]
    if name[-1].isascii() and name[-1].isalnum():
        return re.match(r"[A-Za-z0-9^/$']", after) is None
    return True


def _currency(mark: str | None) -> str:
    name = (mark or "").strip()
    return name if name in _UNITS else ""


def _same_kind(one: str, other: str) -> bool:
    return one == other or other in _SHARED.get(one, ()) or one in _SHARED.get(other, ())


# ------------------------------------------------------------------------------------------------ ranges, compounds

_TO = re.compile(r"\s?(?:-|~|至|到|\bto\b|\band\b)\s?", re.IGNORECASE)


def _ranged(read: Quantity, text: str) -> tuple[Quantity, int]:
    """The range that `read` opens, else itself, and where it ends. Raises `_Ambiguous` for dates, ratios, times."""
    joint = _TO.match(text, read.end)
    if (
        joint
        and "and" in joint[0].lower()
        and not re.search(r"(?:between|from)\s?$", text[: read.start], re.IGNORECASE)
    ):
        joint = None
    second = _NUMBER.match(text, joint.end()) if joint else None
    if joint is None or second is None:
        if _JOINED_AFTER.match(text, read.end):
            raise _Ambiguous
        return read, read.end
    other = _read(second, text, joint.end())
    if other is None or _JOINED_AFTER.match(text, other.end):
        raise _Ambiguous
    low = read
    if not low.unit:  # 10-20 m: the unit and the scale belong to both
        low = msgspec.structs.replace(low, unit=other.unit)
    scale = _scale_of(text[second.end() : other.end])
    if scale and not read.scaled:
        low = msgspec.structs.replace(low, low=_EXACT.multiply(low.low, scale))
    if other.unit and not _same_kind(low.kind, other.kind):
        raise _Ambiguous
    high = other.high
    if other.unit and other.unit != low.unit:
        high = _EXACT.divide(other.in_base_unit()[1], _UNITS[low.unit][1])
    start = (
        read.start - len(match[0]) if (match := re.search(r"(?:between|from)\s?$", text[: read.start])) else read.start
    )
    return Quantity(low.low, high, low.unit, read.bound, other.scaled, start, other.end), other.end


def _scale_of(text: str) -> Decimal | None:
    factor, _, word = _scale(text, 0, money=False, value=Decimal(1))
    return factor if word else None


def _compound(first: Quantity, second: Quantity, text: str) -> Quantity | None:
    """2 h 30 min, 5 ft 11 in: neighbours of one kind in falling units are one quantity."""
    if first.kind == "time" and second.unit == "m":  # 1h 30m
        second = msgspec.structs.replace(second, unit="min")
    if not first.unit or first.kind != second.kind or first.kind not in ("time", "length", "mass"):
        return None
    if text[first.end : second.start].strip() not in ("", "and") or first.low != first.high or second.low < 0:
        return None
    if _UNITS[second.unit][1] >= _UNITS[first.unit][1]:
        return None
    more = _EXACT.divide(second.in_base_unit()[0], _UNITS[first.unit][1])
    value = _EXACT.add(first.low, more)
    return msgspec.structs.replace(first, low=value, high=value, end=second.end)


def _restates(other: Quantity, first: Quantity) -> bool:
    """Whether two quantities in different units are the same but for rounding (2 %)."""
    pairs = zip(other.in_base_unit(), first.in_base_unit(), strict=True)
    return all(abs(one - two) * 50 <= abs(two) for one, two in pairs)


# ------------------------------------------------------------------------------------------------------- columns

_BRACKETS = re.compile(r"[(\[（](?:in\s?)?([^()\[\]（）]{1,30})[)\]）]")


@lru_cache(maxsize=4_096)
def _column_unit(column: str) -> tuple[Decimal, str]:
    """The scale and unit that a column's name puts in brackets: `revenue (million usd)`, `票房（亿元）`."""
    for inside in reversed(_BRACKETS.findall(column)):
        name = inside.strip().replace("²", "2").replace("³", "3")
        name = re.sub(r"^([$€£¥])\s?(?=\w)(.*)$", r"\2 \1", name)  # $ million
        scale, at, word = _scale_in_name(name)
        rest = name[at:].strip()
        unit = rest if rest in _UNITS else _WORDS.get(rest.lower(), _LOWER.get(rest.lower(), ""))
        if unit or (word and not rest):
            return scale, unit
    return Decimal(1), ""


_LOWER = {name.lower(): name for name in reversed(_UNITS)} | {
    name.replace(" ", "").lower(): name for name in reversed(_UNITS) if " " in name
}


def _scale_in_name(name: str) -> tuple[Decimal, int, str]:
    for word in sorted(_SCALE_WORDS, key=len, reverse=True):
        if len(word.encode()) > 1 and name.lower().startswith(word):
            rest = name[len(word) :].strip().lower()
            if not rest or rest in _LOWER or rest in _WORDS:
                return Decimal(10) ** _SCALE_WORDS[word], len(word), word
    return Decimal(1), 0, ""


def _in_column(read: Quantity, column: str) -> Iterator[Quantity]:
    """A number with the scale and the unit of its column where it has none of its own.

    `$12` in a column of million dollars has a unit and no scale: it is read with the column's, and as it stands.
    """
    scale, unit = _column_unit(column) if column else (Decimal(1), "")
    if read.unit and (read.scaled or scale == 1 or not unit or not _same_kind(read.kind, _UNITS[unit][0])):
        yield read
        return
    if read.unit:
        yield read
    factor = Decimal(1) if read.scaled else scale
    yield msgspec.structs.replace(
        read,
        low=_EXACT.multiply(read.low, factor),
        high=_EXACT.multiply(read.high, factor),
        unit=read.unit or unit,
    )
