"""Units, currencies and scale words, as they are written beside a number and in a label.

    unit_called(written)     the unit that a word names, "" where it names none; its case counts where SI says so
    same_unit(one, other)    whether two units are the same
    measure_called(written)  what a label's bracket gives to bare numbers: `(m)`, `(thousands)`, `(million EUR)`

Units are not converted: 5 kt is not 5,000 t. What is no unit here stands beside the number as its `word`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wideseek.evidence.text import clean, fold


class Measure(NamedTuple):
    """A unit, "" where none is said, and a scale as a power of ten."""

    unit: str = ""
    scale: int = 0


BARE = Measure()

_SCALE_NAMES = {
    2: "hundred 百",
    3: "thousand thousands k 千",
    4: "万 萬",
    5: "lakh lakhs",
    6: "million millions mn mio",
    7: "crore crores",
    8: "亿 億",
    9: "billion billions bn mrd",
    12: "trillion trillions tn 兆",
}
SCALES = {name: power for power, names in _SCALE_NAMES.items() for name in names.split()}
"""Scale words as powers of ten."""

_UNIT_NAMES = {
    "m": "metre metres meter meters 米 公尺",
    "km": "kilometre kilometres kilometer kilometers kms 公里 千米",
    "cm": "centimetre centimetres centimeter centimeters 厘米 公分",
    "mm": "millimetre millimetres millimeter millimeters 毫米",
    "μm": "micrometre micrometres micrometer micrometers micron microns um",
    "ft": "feet foot 英尺",
    "in": "inch inches 英寸",
    "yd": "yard yards",
    "mi": "mile miles 英里",
    "nmi": "",
    "fathom": "fathoms",
    "km2": "sqkm 平方公里 平方千米",
    "m2": "sqm 平方米",
    "mi2": "sqmi 平方英里",
    "ft2": "sqft",
    "ha": "hectare hectares 公顷",
    "acre": "acres 英亩",
    "m3": "cubicmetres 立方米",
    "km3": "",
    "l": "litre litres liter liters 升",
    "ml": "millilitre millilitres milliliter milliliters 毫升",
    "cl": "centilitre centilitres",
    "gallon": "gallons gal",
    "kg": "kilogram kilograms kilo kilos 公斤 千克",
    "g": "gram grams 克",
    "mg": "milligram milligrams 毫克",
    "μg": "microgram micrograms ug mcg",
    "t": "tonne tonnes 吨",
    "ton": "ton tons",
    "kt": "kilotonne kilotonnes kiloton kilotons",
    "mt": "megatonne megatonnes megaton megatons",
    "lb": "pound pounds lbs",
    "oz": "ounce ounces",
    "watt": "watts",
    "kw": "kilowatt kilowatts",
    "mw": "megawatt megawatts",
    "gw": "gigawatt gigawatts",
    "wh": "",
    "kwh": "",
    "mwh": "",
    "gwh": "",
    "twh": "",
    "hp": "horsepower",
    "kmh": "kph",
    "mph": "",
    "kn": "knot knots",
    "s": "second seconds sec secs 秒",
    "min": "minute minutes mins 分钟",
    "h": "hour hours hr hrs 小时",
    "day": "days 天",
    "month": "months",
    "year": "years yr yrs",
    "hz": "hertz",
    "khz": "kilohertz",
    "mhz": "megahertz",
    "ghz": "gigahertz",
    "kb": "kilobyte kilobytes",
    "mb": "megabyte megabytes",
    "gb": "gigabyte gigabytes",
    "tb": "terabyte terabytes",
    "kv": "kilovolt kilovolts",
    "volt": "volts",
    "pa": "pascal pascals",
    "hpa": "hectopascal",
    "kpa": "kilopascal",
    "mpa": "megapascal",
    "mbar": "millibar millibars",
    "bar": "bars",
    "psi": "",
    "kj": "kilojoule kilojoules",
    "mj": "megajoule megajoules",
    "kcal": "kilocalorie kilocalories",
    "ppm": "",
    "ppb": "",
    "cc": "",
    "rpm": "",
    "c": "celsius",
    "f": "fahrenheit",
    "u": "",
    "%": "percent 百分",
    "‰": "",
    "$": "dollar dollars usd 美元",
    "€": "euro euros eur 欧元",
    "£": "gbp 英镑",
    "¥": "",
    "CNY": "yuan rmb cny 元 人民币",
    "JPY": "yen jpy 日元 円 圆",
    "₹": "rupee rupees inr",
}
UNITS = {name: unit for unit, names in _UNIT_NAMES.items() for name in [fold(unit), *names.split()]}
"""What a unit is called, folded, to its symbol."""

# What only its case tells from a unit above: milliwatt and megawatt, bit and byte, tesla and tonne.
_AS_WRITTEN = frozenset("mW mWh mHz mPa mJ mV MV MG Mg kb Kb Mb Gb Tb mT MT G T S H W V J Ω".split())
_CODES = frozenset(
    "AED ARS AUD BDT BGN BRL CAD CHF CLP COP CZK DKK EGP HKD HRK HUF IDR ILS ISK KRW KZT LKR MAD MXN MYR NGN NOK NPR "
    "NZD PEN PHP PKR PLN RON RSD RUB SAR SEK SGD THB TRY TWD UAH UYU VND ZAR "
    "ATS BEF DEM ESP FIM FRF GRD IEP ITL NLG PTE".split()
)
SIGNS = "$€£¥₹₽₩"
_DOLLARS = {"A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "R$": "BRL"}
CURRENCIES = frozenset(SIGNS) | _CODES | {"CNY", "JPY"}
UNSPACED_UNITS = sorted((name for name in UNITS if not name.isascii()), key=len, reverse=True)
POWERS = {"square": "2", "sq": "2", "cubic": "3"}
_SPEEDS = {"km/h": "kmh", "mi/h": "mph"}
_DIVISORS = frozenset("s min h day month year m2 km2 ha m3 l kg".split())


def unit_called(written: str) -> str:
    """The unit that a word names, "" where it names none."""
    if written in _AS_WRITTEN or written in _CODES or (written[:1] in ("k", "M") and written[1:] in _CODES):
        return written
    return _DOLLARS.get(written) or UNITS.get(fold(written), "")


def currency_called(written: str) -> str:
    """The currency that a code or a sign before a number names, "" where it is none."""
    unit = unit_called(written)
    return unit if unit in CURRENCIES else written if written.endswith("$") else ""


def same_unit(one: str, other: str) -> bool:
    """Whether two units are the same; ¥ may be yen and yuan."""
    return one == other or {one, other} in ({"¥", "JPY"}, {"¥", "CNY"})


def over(unit: str, other: str) -> str:
    """A unit over another: `km/h` is kmh; "" where nothing is divided: `m / ft` is one or the other."""
    return _SPEEDS.get(f"{unit}/{other}", f"{unit}/{other}") if other in _DIVISORS else ""


_PIECE = re.compile(rf"'?000s?\b|[^\W\d_]+\d?|[{SIGNS}%°]")
_MEASURE = re.compile(rf"(?:(?:{_PIECE.pattern})[\s/.,²³-]*+)++")
_THOUSANDS = re.compile(r"'?000s?")
_MONEY_SCALES = {"m": 6, "b": 9}


def measure_called(written: str) -> Measure | None:
    """What a label's bracket gives to bare numbers; `None` where it says something else."""
    text = clean(written).strip(" /")
    if not _MEASURE.fullmatch(text):
        return None
    pieces = [piece for piece in _PIECE.findall(text) if fold(piece) not in ("in", "of", "us")]
    known = SCALES | _MONEY_SCALES if any(map(currency_called, pieces)) else SCALES
    powers = [3 if _THOUSANDS.fullmatch(piece) else known.get(fold(piece)) for piece in pieces]
    scale = sum(power or 0 for power in powers)
    names = [piece for piece, power in zip(pieces, powers, strict=True) if power is None]
    if not names:
        return Measure("", scale) if scale else None
    unit = _unit_of(names)
    return Measure(unit, scale) if unit else None


def _unit_of(names: list[str]) -> str:
    folded = [fold(name) for name in names]
    if folded[0] in POWERS and len(names) == 2 and (base := unit_called(names[1])):
        return base + POWERS[folded[0]]
    if folded[0] == "per":
        return unit_called(names[1]) if len(names) == 2 else ""
    if not names[0].isascii():
        return unit_called("".join(names))
    parts = [unit_called(name) for name in names if fold(name) != "per"]
    if len(parts) == 2 and all(parts):
        return over(*parts)
    return parts[0] if len(parts) == 1 else ""
