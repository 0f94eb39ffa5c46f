"""The units that are known, as data: what each measures, how much of it, and how it is spelled.

    UNITS          spelling -> Unit; symbols as they stand (mW is not MW), words in lower case
    WORDS          the spellings that are words, which stand in any case
    LOWERED        every spelling in lower case and without spaces -> the spelling, for the names of columns
    CODES          the codes of ISO 4217; those in COMMON_CODES may touch the number (USD5)
    same_kind      whether two kinds can be the same measure: `$` may be any dollar

An opaque unit is made of words or signs that stand here nowhere (`“barrel”`, `kg/ha`). It is its own kind.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Unit(msgspec.Struct, frozen=True):
    """`factor` is how many of the kind's first unit it is, `name` its first spelling."""

    name: str
    kind: str
    factor: Decimal


# kind, factor, symbols (case counts; _ is a space), words (any case).
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("length", "1000", "km Km KM", "公里 千米"),
    ("length", "1", "m", "米 公尺 メートル"),
    ("length", "0.01", "cm", "厘米 公分"),
    ("length", "0.001", "mm", "毫米"),
    ("length", "0.3048", "ft", "foot feet 英尺"),
    ("length", "0.0254", "inch", "inches 英寸"),
    ("length", "0.9144", "yd", "yard yards 码"),
    ("length", "1609.344", "mi", "mile miles 英里"),
    ("length", "1852", "nmi", "nautical_mile nautical_miles 海里"),
    ("area", "1", "m2 m^2 sq_m sq._m sqm", "square_metre square_metres square_meter square_meters 平方米 平米"),
    ("area", "1000000", "km2 km^2 sq_km sq._km sqkm",
     "square_kilometre square_kilometres square_kilometer square_kilometers "
     "平方公里 平方千米"),
    ("area", "10000", "ha", "hectare hectares 公顷"),
    ("area", "4046.8564224", "acre", "acres 英亩"),
    ("area", "2589988.110336", "mi2 mi^2 sq_mi sq._mi sq._mi.",
     "sq_mile sq_miles sq._mile sq._miles square_mile square_miles 平方英里"),
    ("area", "0.09290304", "ft2 ft^2 sq_ft sq._ft sqft", "sq_feet sq._feet square_foot square_feet 平方英尺"),
    ("volume", "1", "m3 m^3 cu_m cu._m", "cubic_metre cubic_metres cubic_meter cubic_meters 立方米"),
    ("volume", "1000000000", "km3 km^3", "cubic_kilometre cubic_kilometres cubic_kilometer cubic_kilometers 立方千米"),
    ("volume", "0.001", "L l", "升"),
    ("volume", "0.000001", "mL ml", "毫升"),
    ("mass", "1", "kg Kg KG", "kgs kilogramme kilogrammes 千克 公斤"),
    ("mass", "0.001", "g", "gramme grammes 克"),
    ("mass", "0.000001", "mg", "毫克"),
    ("mass", "1000", "t", "metric_ton metric_tons metric_tonne metric_tonnes 吨 公吨"),
    ("mass", "1016.0469088", "long_ton", "long_tons"),
    ("mass", "907.18474", "short_ton", "short_tons"),
    ("mass", "0.45359237", "lb", "lbs 磅"),
    ("mass", "0.028349523125", "oz", "ounce ounces 盎司"),
    ("time", "1", "s sec", "secs 秒 秒钟"),
    ("time", "60", "min", "mins minute minutes 分钟 分鐘"),
    ("time", "3600", "h hr", "hrs hour hours 小时 小時"),
    ("time", "86400", "day", "days 天"),
    ("time", "604800", "week", "weeks 周 星期"),
    ("months", "1", "month", "months 个月 個月"),
    ("months", "12", "year yr", "yrs years 年"),
    ("speed", "3.6", "m/s", "米/秒"),
    ("speed", "1", "km/h", "kmh kph 公里/小时"),
    ("speed", "1.609344", "mph mi/h", ""),
    ("speed", "1.852", "kn", "knot knots 节"),
    ("power", "1", "W", "瓦"),
    ("power", "1000", "kW KW", "千瓦"),
    ("power", "1000000", "MW", "兆瓦"),
    ("power", "1000000000", "GW", "吉瓦"),
    ("energy", "3600000", "kWh KWh kwh", "kilowatt_hour kilowatt_hours 千瓦时 度电"),
    ("bytes", "1000", "KB kB", ""),
    ("bits", "1000", "kb Kb", ""),
    ("bits", "1000000", "Mb", ""),
    ("bits", "1000000000", "Gb", ""),
    ("frequency", "1", "Hz", "赫兹"),
    ("celsius", "1", "°C °c ºC", "degrees_celsius degree_celsius degrees_c degree_c 摄氏度"),
    ("fahrenheit", "1", "°F °f ºF", "degrees_fahrenheit degree_fahrenheit degrees_f degree_f 华氏度"),
    ("angle", "1", "°", "degree degrees"),
    ("share", "0.01", "% pct pp", "percent per_cent percentage_points percentage_point 个百分点"),
    ("share", "0.001", "‰", "per_mille"),
    ("parts", "0.001", "ppb", "parts_per_billion"),
    ("parts", "1", "ppm", "parts_per_million"),
    ("people", "1", "person", "people persons inhabitants residents 人 名 位"),
    ("visits", "1", "人次", ""),
    ("dollars", "1", "$", "dollar dollars"),
    ("pounds", "1", "pounds", "pound"),
    ("kroner", "1", "kr kr.", "krona kronor krone kroner"),
    ("yuan or yen", "1", "¥", ""),
    ("yuan", "1", "元", "块"),
)  # fmt: skip

# kind, symbol, factor, words, prefixes; in the name of a column, whose case is lost, the first counts: (mw) is MW.
_PREFIXED: tuple[tuple[str, str, str, str, str], ...] = (
    ("length", "m", "1", "metre meter", "kcmdμun"),
    ("mass", "g", "0.001", "gram", "kmμun"),
    ("mass", "t", "1000", "tonne", "kMG"),
    ("volume", "L", "0.001", "litre liter", "mMkhdcμu"),
    ("volume", "l", "0.001", "", "mMkhdcμu"),
    ("time", "s", "1", "second", "mμun"),
    ("power", "W", "1", "watt", "kMGTmμun"),
    ("energy", "Wh", "3600", "watt-hour", "kMGTm"),
    ("energy", "J", "1", "joule", "kMGTPm"),
    ("energy", "cal", "4.184", "calorie", "kM"),
    ("bytes", "B", "1", "byte", "kMGTP"),
    ("bits", "bit", "1", "", "kMGT"),
    ("bit rate", "bps", "1", "", "kMGT"),
    ("frequency", "Hz", "1", "hertz", "kMGTm"),
    ("voltage", "V", "1", "volt", "kMmμu"),
    ("current", "A", "1", "ampere amp", "kmμun"),
    ("resistance", "Ω", "1", "", "kMm"),
    ("resistance", "ohm", "1", "", "kMm"),
    ("pressure", "Pa", "1", "pascal", "hkMGm"),
    ("pressure", "bar", "100000", "", "mkM"),
    ("force", "N", "1", "newton", "kMm"),
    ("electron volts", "eV", "1", "", "kMGTm"),
    ("field", "T", "1", "tesla", "mμun"),
    ("amount", "mol", "1", "", "mkMμun"),
    ("radioactivity", "Bq", "1", "becquerel", "kMGTm"),
    ("dose", "Sv", "1", "sievert", "mMμu"),
    ("absorbed dose", "Gy", "1", "", "mMkμu"),
    ("peak power", "Wp", "1", "", "kMG"),
    ("apparent power", "VA", "1", "", "kMG"),
)
_PREFIXES = {
    "n": ("nano", -9), "μ": ("micro", -6), "u": ("micro", -6), "m": ("milli", -3), "c": ("centi", -2),
    "d": ("deci", -1), "h": ("hecto", 2), "k": ("kilo", 3), "M": ("mega", 6), "G": ("giga", 9), "T": ("tera", 12),
    "P": ("peta", 15),
}  # fmt: skip

# What each currency is called beside its code.
_MONEY = {
    "USD": "US$ 美元 美金 US_dollar US_dollars U.S._dollar U.S._dollars", "HKD": "HK$ 港元 港币 港幣",
    "TWD": "NTD NT$ 新台币 新臺幣", "AUD": "A$ AU$ 澳元", "CAD": "C$ CA$ 加元", "NZD": "NZ$",
    "SGD": "S$ SG$ 新加坡元 新元", "BRL": "R$", "EUR": "€ euro euros 欧元", "GBP": "£ 英镑 pounds_sterling",
    "JPY": "yen 日元 日圆 円", "CNY": "RMB 人民币 元人民币 yuan", "INR": "₹ Rs Rs. rupees 卢比", "KRW": "₩ won 韩元",
    "RUB": "₽ rubles roubles 卢布", "CHF": "瑞士法郎", "TRY": "₺", "VND": "₫", "THB": "฿ baht 泰铢",
    "PLN": "zł zloty złoty", "CZK": "Kč", "HUF": "forint forints", "MYR": "RM ringgit", "IDR": "Rp Rp. rupiah",
    "ZAR": "rand", "NGN": "₦ naira", "UAH": "₴ hryvnia", "PHP": "₱", "ILS": "₪", "KZT": "₸", "AZN": "₼", "GEL": "₾",
    "BDT": "৳", "GHS": "₵", "CRC": "₡", "PYG": "₲", "KHR": "៛", "MNT": "₮", "LAK": "₭",
}  # fmt: skip
_COMMON = "USD HKD TWD NTD AUD CAD NZD SGD BRL EUR GBP JPY CNY RMB INR KRW RUB CHF TRY VND THB"
_ALL = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
    CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB
    PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
    THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL
"""
COMMON_CODES = _COMMON.split()
CODES = frozenset(_ALL.split())
# Codes that are words, too: lower case (`5 all`) or before a number (`TOP 5`) they are no currency.
_WORD_LIKE = "ALL BOB CUP SOS TOP"
WORD_CODES = frozenset(_WORD_LIKE.split())

# Signs and words that several currencies share.
_SHARED = {
    "dollars": frozenset({"usd", "hkd", "twd", "aud", "cad", "nzd", "sgd"}),
    "pounds": frozenset({"gbp"}),
    "kroner": frozenset({"sek", "nok", "dkk", "isk"}),
    "yuan or yen": frozenset({"cny", "jpy", "yuan"}),
    "yuan": frozenset({"cny", "yuan or yen"}),
}
MONEY = frozenset({code.lower() for code in CODES} | _SHARED.keys())
# 5 pounds are money or a weight: both readings count.
READINGS = {"pounds": ("GBP", "lb")}


def same_kind(one: str, other: str) -> bool:
    """Whether two kinds are one, or a shared sign and one of its currencies."""
    (one, _, per), (other, _, other_per) = one.partition("/"), other.partition("/")
    return per == other_per and (one == other or other in _SHARED.get(one, ()) or one in _SHARED.get(other, ()))


def _units() -> tuple[dict[str, Unit], frozenset[str]]:
    """Every spelling of a unit, and which of them are words."""
    units: dict[str, Unit] = {}
    words: set[str] = set()
    for kind, factor, symbols, long in _ROWS:
        names = [name.replace("_", " ") for name in (symbols + " " + long).split()]
        unit = Unit(names[0], kind, Decimal(factor))
        units |= dict.fromkeys(names, unit)
        words.update(name.replace("_", " ") for name in long.split())
    for kind, symbol, factor, long, prefixes in _PREFIXED:
        for letter in ["", *prefixes]:
            prefix, exponent = _PREFIXES[letter] if letter else ("", 0)
            spelled = [prefix + word + ending for word in long.split() for ending in ("", "s")]
            unit = units.get(letter + symbol, Unit(letter + symbol, kind, Decimal(factor).scaleb(exponent)))
            units |= dict.fromkeys([letter + symbol, *spelled], unit)
            words.update(spelled)
    for code in CODES:
        names = [code, *(name.replace("_", " ") for name in _MONEY.get(code, "").split())]
        units |= dict.fromkeys(names, Unit(code, code.lower(), Decimal(1)))
        words.update(name for name in names if len(name) > 3 and name[:2].isalpha())
    for name in [name for name, unit in units.items() if len(name) > 3 and name == unit.name and name.islower()]:
        words.add(name)  # inch, acre, month, year, week
    return units, frozenset(words - {"mbar", "mohm", "mbit"})


UNITS, _WORDS = _units()
WORDS = {name.lower(): name for name in _WORDS}
LOWERED = {name.lower(): name for name in reversed(UNITS)} | {
    name.replace(" ", "").lower(): name for name in reversed(UNITS) if " " in name
}
