"""Numbers as people write them: what is the same amount agrees, what is another does not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.quantities import Quantity, alternatives, near, quantity, unit_after, whole
from wideseek.quantities.units import CODES, UNITS, WORD_CODES, same_kind

SAME = [
    ("31.1亿元", "3,110,000,000元"), ("12.5", "12,5"), ("1234.56", "1.234,56"), ("-5", "−5"),
    ("1,234,567 people", "1 234 567 people"), ("1,234,567", "1'234'567"), ("1234567", "１，２３４，５６７"),
    ("50%", "50％"), ("12 %", "12.0%"), ("1000000", "1e6"), ("$1.2B", "$1,200,000,000"),
    ("1,234.5", "1234.5"), ("50%", "0.5"), ("1,000", "1000 people"), ("1.2 million", "1,200,000"),
    ("21 m", "21 metres"), ("21 m", "21-metre"), ("1 km", "1000 m"), ("35 m", "115 ft (35 m)"),
    ("35 m (115 ft)", "35"), ("5-10", "5 to 10"), ("5-10 million", "5,000,000–10,000,000"),
    ("between 5 and 10", "5–10"), ("5至10", "5-10"), ("1.5×10⁶", "1,500,000"), ("10⁶", "1000000"),
    ("35¹", "35"), ("1½", "1.5"), ("10<sup>6</sup>", "1000000"), ("1.5 x 10^6", "1.5 million"),
    ("1.5·10^6", "1.5M"), ("(5)", "-5"), ("($5.2 million)", "-5200000"), ("minus 5", "-5"), ("负5", "-5"),
    ("-$5", "$-5"), ("−$5", "-5"), ("3亿5000万", "350,000,000"), ("1.2万亿", "1.2 trillion"),
    ("3千万", "30 million"), ("5 lakh", "500000"), ("2 crore", "20,000,000"),
    ("1.2 lakh crore", "1.2 trillion"), ("12,34,567", "1234567"), ("1\u202f234\u202f567", "1234567"),
    ("1\u2009234,5", "1234.5"), ("１２３", "123"), ("٣٤٥", "345"), ("€5 million", "5 million euros"),
    ("$5", "US$5"), ("5 USD", "$5"), ("USD 5m", "$5 million"), ("£5m", "5,000,000"), ("1336港元", "1336"),
    ("3.3亿美元", "$330 million"), ("5元", "5 yuan"), ("¥5", "5元"), ("33.3 km²", "33.3 sq km"),
    ("33.3 km2", "33.3平方千米"), ("100 ha", "1 km²"), ("2 h 30 min", "150 minutes"), ("2小时30分钟", "150分钟"),
    ("5 ft 11 in", "5\xa0ft\xa011 in"), ("第五章", "5"), ("三百五十", "350"), ("两千", "2000"), ("百分之五十", "50%"),
    ("50 percent", "50%"), ("5 per cent", "5%"), ("1,234[1]", "1234"), ("约1.2亿", "120000000"), ("~5", "5"),
    ("≈ 5 million", "5,000,000"), ("over 5 million", "5 million"), ("5k", "5,000"), ("3 Mrd.", "3 billion"),
    ("1_000_000", "1000000"), ("0,125", "0.125"), ("1.5e-3", "0.0015"), ("5 kg", "5000 g"), ("5 °C", "5℃"),
    ("100 km/h", "100 kph"), ("1.14 ", "1.14"), ("2,186.00", "2186.00港元"), ("439500000.00 ", "4.395亿"),
    ("49,8800000.00", "498800000"), ("5 years", "5年"), ("2019年", "2019"), ("121分钟", "121 min"),
    ("1,000+", "1000"), ("−5 °C", "-5°C"), ("5", "5.0"), ("10,000 – 20,000", "10000-20000"),
    ("10 m – 20 m", "10–20 m"), ("1.5 million USD", "$1.5M"), ("USD1.5 million", "$1.5M"),
    ("Rs 5 crore", "₹50,000,000"), ("5 million", "5 Million"), ("5 MILLION", "5 million"),
    ("1.000.000", "1000000"), ("30 million tons", "30,000,000"),
    ("1.2 billion people", "1,200,000,000"), ("12 thousand", "12,000"), ("3.5 万", "35000"),
    ("三千五百万", "35,000,000"), ("USD 1.2 bn", "$1.2 billion"), ("approx. 35", "35"), ("-1,234.5", "−1234,5"),
    ("1’234’567.50", "1234567.5"), ("10,5 %", "10.5%"), ("5 × 10³", "5000"), ("1e+06", "1000000"),
    ("35m", "35 metres"), ("１．５", "1.5"), ("− 5", "-5"), ("5‰", "0.5%"),
    ("5 million–10 million", "5–10 million"), ("$5–10 million", "$5 million–$10 million"),
    ("5-10%", "5%–10%"), ("10 ~ 20", "10～20"), ("-5 – -3", "-5 to -3"), ("1990-1995", "1990–1995"),
    ("1,2 Mio.", "1.2 million"), ("100 million (est.)", "100,000,000"), ("€ 5", "5 €"), ("5€", "€5.00"),
    ("5,-", "5"), ("US $5 million", "$5 million"), ("A$5", "5 AUD"), ("RMB 5 million", "500万元"),
    ("人民币500万元", "5 million yuan"), ("5亿人民币", "5亿元"), ("5百万", "5 million"), ("12億", "12亿"),
    ("1.2億円", "120 million yen"), ("120만", "1.2 million"), ("1 mile", "1609.344 m"),
    ("8,848.86 m (29,031.7 ft)", "8848.86"), ("29,031.7 ft (8,848.86 m)", "8848.86 m"),
    ("1.5 hours", "90 min"), ("1h 30m", "90 min"), ("21-storey", "21"), ("5th", "5"), ("No. 5", "5"),
    ("#5", "5"), ("第5名", "5"), ("1 000", "1000"), ("1\xa0000", "1,000"), ("12 345,67", "12345.67"),
    ("+5", "5"), ("＋5", "5"), ("－5", "-5"), ("5 °C", "5 degrees Celsius"), ("1 t", "1000 kg"),
    ("3 GW", "3,000 MW"), ("1.5 million m³", "1,500,000 m3"), ("1.45亿立方米", "145 million m³"),
    ("98.6%", "98.6 percent"), ("2×10^-3", "0.002"), ("1.5E6", "1,500,000"), ("$1.2 Billion", "$1.2B"),
    ("£1.2bn", "1.2 billion pounds"), ("1.2 billion dollars", "$1.2bn"), ("(1,234)", "-1234"),
    ("($1,234)", "-$1,234"), ("1,234*", "1234"), ("1,234†", "1234"), ("**1,234**", "1234"),
    ("`1234`", "1234"), ("[1,234](http://x.y/9)", "1234"), ("1234 [3]", "1234"),
    ("1234<sup>[3]</sup>", "1234"), ("1 234 567,89 €", "€1,234,567.89"), ("2 000 000", "2 million"),
    ("20 lakhs", "2 million"), ("Rs. 20 lakh", "₹2,000,000"), ("5 years old", "5"),
    ("18 months", "1.5 years"), ("3.5 stars", "3.5"), ("10 – 20 km", "10 km to 20 km"), ("5mm", "5 mm"),
    ("$5mm", "$5 million"), ("250 k", "250,000"), ("250K", "250,000"),
]  # fmt: skip
OTHER = [
    ("3.2 billion", "3.2 million"), ("31.1亿元", "31.1万元"), ("$1.2B", "$1.2M"), ("125", "12,5"), ("5", "−5"),
    ("5", "–5"), ("100 m", "100 km"), ("10–20", "10–99"), ("1", "1e6"), ("1.5×10^6", "1.5×10^3"),
    ("35 m", "35 ft"), ("5", "5–10"), ("5-10", "5"), ("10⁵", "105"), ("(5)", "5"), ("€5", "£5"),
    ("$5", "€5"), ("HK$5", "US$5"), ("3.3亿美元", "3.3亿港元"), ("5 acres", "5 ha"), ("50%", "50"), ("5K", "5"),
    ("1990s", "1990"), ("2015-10-18", "2015"), ("3/4", "3"), ("12:30", "12"), ("<5", "5"),
    ("3 million", "3"), ("3 bn", "3 mn"), ("1.5e-3", "1.5e3"), ("5 kg", "5 g"), ("5 °C", "5 °F"),
    ("100 km/h", "100 km"), ("5 MW", "5 kW"), ("10 m – 20 m", "10–20 km"),
    ("5.5", "55"),
    ("1990-95", "1990"), ("A$5", "NZ$5"), ("1.2亿", "1.2万"), ("1.2 lakh", "1.2 crore"), ("5 m", "5 cm"),
    ("5 km", "5 miles"), ("1.5 h", "1.5 min"), ("1 000", "1"), ("1.234,56", "1.23456"), ("－5", "5"),
    ("-5%", "5%"), ("±5", "5"), ("20°", "20%"), ("5 kg", "5 lb"), ("10^6", "10"), ("10⁶", "10^3"),
    ("1.5 million", "1.5 billion"), ("5 months", "5 years"), ("10–20", "15"),
]  # fmt: skip


SAME_UNIT = [
    ("5 sq. km", "5 km²"), ("5 sq. mi.", "5 sq mi"), ("5 sq. miles", "5 square miles"), ("5 in. tall", "5 inches"),
    ("5 estimated deaths", "5 deaths"), ("1 long ton", "1016.0469088 kg"), ("5 in 1990", "5"),
    ("5 Hrs", "5 hours"), ("5 LBS", "5 lb"), ("5 KMH", "5 km/h"), ("5 degrees C", "5 °C"), ("5 kWh", "5 kilowatt hours"),
    ("5 dozen", "60"), ("33° S", "33° south"), ("33°S", "33° S"), ("5 SEK", "SEK 5"), ("5 sek", "5 SEK"),
    ("5 barrels", "5 barrel"), ("5 Barrels", "5 barrels"), ("5 kt", "5000 t"), ("1 MW", "1000 kW"),
    ("$5 per hour", "5 USD/h"), ("€5/kg", "5 EUR per kg"), ("100 kilometres per hour", "100 km/h"),
    ("5 pounds", "£5"), ("5 pounds", "5 lb"), ("5 m EUR", "5 million euros"), ("5 EUR million", "€5 million"),
    ("50多人", "50 people"), ("5 people", "5人"), ("1000人", "1000 inhabitants"), ("35 high", "35 m"),
    ("5 metric tons", "5 t"), ("5 MWh", "5000 kWh"), ("1 kcal", "1000 cal"), ('5"', "5"), ('"5"', "5 m"),
    ("5 kWp", "5000 Wp"), ("5 years", "5年"), ("10 barrels – 20 barrels", "10–20 barrels"),
    ("10-20 barrels", "10 to 20 barrels"), ("5 ppm", "5000 ppb"), ("5 tons", "5 ton"), ("5 KM", "5 km"),
    ("5 stars", "5-star"), ("5 NOK", "5 kr"), ("5 million Swedish kronor", "5000000"), ("21st", "21"),
    ("5th place", "5"), ("5个左右", "5个"), ("$5 million gross", "$5 million"),
    ("US$5 million (gross)", "$5 million"), ("5 square kilometers", "5 km2"),
]  # fmt: skip
OTHER_UNIT = [
    ("5 sq. km", "5 sq. mi."), ("5 sq. ft", "5 sq. miles"), ("5 cu. ft", "5 cu. m"), ("5 imp. gal", "5 imp. pints"),
    ("5 U.S. gallons", "5 U.S. pints"), ("5 long tons", "5 short tons"), ("5 long tons", "5 kg"), ("5 in tall", "5 ft"),
    ("5 estimated deaths", "5 injuries"), ("5 high schools", "5 universities"), ("5 total kg", "5 lb"), ("5 Gb", "5 GB"),
    ("5 in (width)", "5 ft"), ("100 Mb/s", "100 MB/s"),
    ("5 SEK", "5 EUR"), ("5 kt", "5 t"), ("5 mW", "5 MW"), ("33° S", "33° N"), ("33°S", "33°N"),
    ("33 S", "33 N"), ("5 dozen", "5"), ("5 ppm", "5 ppb"), ("SEK 5", "EUR 5"), ("5 barrels", "5 bottles"),
    ("₦5", "€5"), ("kr 5", "€5"), ("$5 per hour", "$5 per day"), ("$5/kg", "$5/lb"), ("5 m EUR", "5 m USD"),
    ("5 light years", "5 light bulbs"), ("5 US gallons", "5 UK gallons"), ("5 EUR million", "5 EUR"),
    ("5亿吨公里", "5亿吨"), ("5亿人公里", "5亿人"), ("5人次", "5人"), ("5 score", "5"), ("5 gross", "5"),
    ("5 mm", "5 Mm"), ("5 mg", "5 Mg"), ("5 km/s", "5 km/h"), ("5 m per s", "5 m"), ("5 kW h", "5 kW"),
    ("5 GB", "5 Gb"), ("5 °C", "5 °R"), ("44 BC", "44 AD"), ("5 期", "5 条"), ("5 pounds", "5 kg"),
    ("5 € per kg", "5 €"), ("5' ", '5"'), ("5 tons", "5 tonnes"), ("5 thousand barrels", "5 barrels"),
    ("2 dozen", "20"), ("12 dozen eggs", "12 eggs"), ("5 mol", "5 Mol"), ("5 ct", "5 kt"), ("5 bpm", "5 rpm"),
    ("5 bn EUR", "5 bn SEK"), ("5 sq ft", "5 sq yd"), ("5 ms", "5 Ms"), ("40° W", "40° E"),
    ("40° west", "40° east"), ("5 MΩ", "5 mΩ"), ("5 Mbit", "5 MB"), ("5 metric tons", "5 short tons"),
    ("第5章", "第5名"), ("5 kcal", "5 cal"), ("5 mSv", "5 Sv"), ("COP 5 million", "EUR 5 million"),
]  # fmt: skip


def agree(one: str, other: str, tolerance: float = 0.0) -> bool:
    return any(near(a, b, tolerance) for a in alternatives(one) for b in alternatives(other))


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_amount_agrees_however_it_is_written(one: str, other: str) -> None:
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_amount_does_not_agree(one: str, other: str) -> None:
    assert not agree(one, other, 0.05)
    assert not agree(other, one, 0.05)


@pytest.mark.parametrize(("one", "other"), SAME_UNIT)
def test_a_unit_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER_UNIT)
def test_an_unknown_unit_equals_no_other(one: str, other: str) -> None:
    assert not agree(one, other, 0.05)
    assert not agree(other, one, 0.05)


@given(st.sampled_from(sorted(CODES)), st.sampled_from(sorted(CODES)), st.sampled_from(["{n} {c}", "{c} {n}"]))
def test_no_currency_equals_another(one: str, other: str, form: str) -> None:
    said, gold = (form.format(n="5", c=code) for code in (one, other))
    known = (CODES - WORD_CODES) if form.startswith("{c}") else CODES
    assert agree(said, gold) is (one == other or not {one, other} <= known)


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_units_of_two_kinds_never_agree(one: str, other: str) -> None:
    first, second = (
        Quantity(Decimal(5), Decimal(5), UNITS[one].name),
        Quantity(Decimal(5), Decimal(5), UNITS[other].name),
    )
    assert near(first, second) is (same_kind(first.kind, second.kind) and first.factor == second.factor)


WORD_OF_A_UNIT = st.text("bcdfghjklmnpqrtvwxz", min_size=4, max_size=8)


@given(WORD_OF_A_UNIT, WORD_OF_A_UNIT, st.sampled_from([" ", "-", ""]))
def test_two_words_behind_a_number_agree_only_if_they_are_one(one: str, other: str, gap: str) -> None:
    assert agree(f"5{gap}{one}", f"5{gap}{other}") is (one == other)
    assert agree(f"5 {one}", "5")
    assert agree(f"5 {one}s", f"5 {one.upper()}")


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        (" km/h on average", "km/h", " on average"), (" SEK", "SEK", ""), (" Barrels (est.)", "“barrel”", " (est.)"),
        ("°S", "° s", ""), ("平方公里", "km2", ""), (" in 1990", "", " in 1990"), ("th place", "", "th place"), ("", "", ""),
        (" kilograms per hectare", "kg/ha", ""),
    ],
)  # fmt: skip
def test_the_unit_after_a_number_has_a_name_and_an_end(text: str, name: str, rest: str) -> None:
    found, end = unit_after(text)
    assert (found, text[end:]) == (name, rest)


def test_long_numbers_are_compared_exactly() -> None:
    assert not agree("1234567890123456789", "1234567890123456788")


@pytest.mark.parametrize(
    "text", ["1,2345", "1.2.3", "2015-10-18", "3/4", "12:30", "1990s", "B2", "COVID-19", "1, 2, 3", "", "none", "1e999"]
)
def test_what_can_be_read_in_two_ways_or_is_a_name_is_no_quantity(text: str) -> None:
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("column", "bare", "full"),
    [
        ("票房（亿元）", "33.3", "33.3亿元"),
        ("revenue (million usd)", "12", "$12,000,000"),
        ("revenue(millionusd)", "12", "$12 million"),
        ("height (m)", "35", "0.035 km"),
        ("share (%)", "50", "50%"),
        ("population (millions)", "3", "3 million"),
        ("gross ($ million)", "12", "$12 million"),
    ],
)
def test_a_bare_number_takes_the_scale_and_the_unit_of_its_column(column: str, bare: str, full: str) -> None:
    one, other = quantity(bare, column), quantity(full, column)
    assert one is not None
    assert other is not None
    assert near(one, other)


def test_a_sign_of_money_leaves_the_scale_to_the_column() -> None:
    gold = quantity("12", "gross ($ million)")
    assert gold is not None
    for said, agrees in (("$12", True), ("$12 million", True), ("$12,000,000", True), ("$13", False), ("€12", False)):
        assert any(near(read, gold) for read in alternatives(said, "gross ($ million)")) is agrees


def test_the_unit_of_a_column_is_another_than_the_cells() -> None:
    said, gold = quantity("35 ft", "height (m)"), quantity("35", "height (m)")
    assert said is not None
    assert gold is not None
    assert not near(said, gold, 0.05)


@pytest.mark.parametrize(
    ("text", "spelling"),
    [("1,990.0", "1990"), ("35 metres", "35length"), ("1 km", "1000length"), ("12.0 %", "12%"), ("35 m high", None)],
)
def test_a_text_that_is_one_quantity_has_one_spelling(text: str, spelling: str | None) -> None:
    read = whole(text)
    assert (read and read.text()) == spelling


PIECES = [
    "1",
    "12",
    "000",
    "1,234",
    ".5",
    ",",
    " ",
    "-",
    "–",
    "e6",
    "^",
    "×",
    "%",
    "万",
    "亿",
    "m",
    "km²",
    "$",
    "(",
    ")",
    "[1]",
]
PIECES += [
    "to",
    "and",
    "million",
    "½",
    "¹",
    "<sup>",
    "</sup>",
    "百分之",
    "三",
    "s",
    "'",
    "/",
    ":",
    "元",
    "minus ",
    "US$",
    "*",
]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_every_quantity_equals_itself_whatever_the_text(text: str) -> None:
    for read in alternatives(text):
        assert near(read, read)
        assert read.text()


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    alternatives(text)
    whole(text)


@given(st.integers(-(10**15), 10**15), st.sampled_from(["{:,}", "{}", "{}.0"]), st.sampled_from(["-", "−", "–"]))
def test_grouping_and_the_kind_of_minus_change_nothing(number: int, style: str, minus: str) -> None:
    assert agree(style.format(number).replace("-", minus), str(number))


@pytest.mark.parametrize(
    "said",
    [
        "10 or 99",
        "10, maybe 99",
        "10 (or 99)",
        "10 vs. 30",
        "10, 30, or 40",
        "10 in 1990, 30 in 2000",
        "not 10",
        "10 of 99",
        "10 out of 99",
        "10或99",
    ],
)
def test_a_number_that_is_one_of_several_or_denied_is_not_stated(said):
    assert alternatives(said) == ()


@pytest.mark.parametrize(
    "said", ["10", "10 (rank 3)", "10 (2019 estimate)", "10 in 1990", "about 10", "10 m (33 ft)", "10 [2]"]
)
def test_a_remark_beside_a_number_leaves_it_stated(said):
    assert alternatives(said)[0].low == 10
