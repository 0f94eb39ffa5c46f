"""Numbers, dates and cells as evidence reads them: each notation is read as itself, and a part of one never is."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_evidence_text import ANY
from tests.work import lines_run
from wideseek.evidence.text import Text, clean
from wideseek.evidence.values import Value, dates, han_number, numbers

COUNTS = st.integers(0, 10**12)
DECIMALS = st.decimals(0, 10**6, places=2, allow_nan=False, allow_infinity=False)
DAYS = st.dates(date(1000, 1, 1), date(2099, 12, 31))
MONTHS = [date(2000, month, 1).strftime("%B") for month in range(1, 13)]


def grouped(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


NOTATIONS = {
    "plain": str,
    "comma": lambda n: grouped(n, ","),
    "blank": lambda n: grouped(n, " "),
    "no-break blank": lambda n: grouped(n, "\u00a0"),
    "thin blank": lambda n: grouped(n, "\u2009"),
    "apostrophe": lambda n: grouped(n, "'"),
    "typographic apostrophe": lambda n: grouped(n, "’"),
    "full width": lambda n: str(n).translate({48 + d: 0xFF10 + d for d in range(10)}),
    "decimals": lambda n: f"{n}.0",
}


def read(text: str) -> list[tuple[float, str]]:
    """The value and the unit of each number of its own."""
    return [(number.value, number.unit) for number in numbers(Text(clean(text))) if number.own]


@pytest.mark.parametrize("write", NOTATIONS.values(), ids=NOTATIONS)
@given(number=COUNTS)
def test_a_number_in_any_notation_is_read_as_itself(write, number):
    assert read(write(number)) == [(number, "")]
    assert read(f"a count of {write(number)} exactly") == [(number, "")]
    cell = Value(write(number)).number
    assert cell is not None
    assert cell.value == number


@given(number=st.integers(10**6, 10**12))
def test_thousands_may_be_parted_by_points_from_a_million_on(number):
    assert read(grouped(number, ".")) == [(number, "")]


@given(number=st.integers(1, 10**6), places=st.integers(1, 99))
def test_a_decimal_comma_is_a_decimal_point(number, places):
    assert read(f"{number},{places:02d}") == [(pytest.approx(number + places / 100), "")]


@pytest.mark.parametrize(
    ("word", "power"),
    [*(("thousand", 3), ("million", 6), ("billion", 9), ("bn", 9), ("lakh", 5), ("crore", 7)), ("万", 4), ("亿", 8)],
)
@given(number=DECIMALS)
def test_a_scale_word_belongs_to_the_number(word, power, number):
    assert read(f"{number} {word}") == [(pytest.approx(float(number) * 10**power), "")]


@pytest.mark.parametrize("name", ["m", "metres", "meters", "metre", "米"])
@pytest.mark.parametrize("gap", ["", " ", "\u00a0"])
@given(number=COUNTS)
def test_a_unit_belongs_to_the_number(name, gap, number):
    if gap or len(name) == 1:
        assert read(f"{number}{gap}{name}") == [(number, "m")]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("−5 °C", (-5, "°c")),
        ("-5", (-5, "")),
        ("–5", (-5, "")),
        ("$35", (35, "$")),
        ("US$35", (35, "$")),
        ("€ 35", (35, "€")),
        ("35 €", (35, "€")),
        ("-$35", (-35, "$")),
        ("12 %", (12, "%")),
        ("12 per cent", (12, "%")),
        ("10⁵", (100000, "")),
        ("1.2 × 10^6 m", (1200000, "m")),
        ("1.2e6", (1200000, "")),
        ("1½", (1.5, "")),
        ("90 km/h", (90, "kmh")),
        ("12 square kilometres", (12, "km2")),
        ("21-metre", (21, "m")),
        ("三十五米", (35, "m")),
        ("120万人", (1200000, "")),
        ("twelve", (12, "")),
    ],
)
def test_sign_currency_percent_exponent_and_unit_belong_to_the_number(text, number):
    assert read(text) == [number]


@given(number=COUNTS, digits=st.integers(0, 10**6), mark=st.sampled_from("./:*_^/"))
def test_a_number_that_touches_another_is_none_of_its_own(number, digits, mark):
    if mark == ".":  # a decimal number is one
        assert (number, "") not in read(f"{number}.{digits}.{digits}") or number == float(f"{number}{digits}{digits}")
    else:
        assert read(f"{number}{mark}{digits}") == []


@given(number=st.integers(1, 10**6), more=st.integers(1, 9), before=st.booleans())
def test_a_number_inside_a_longer_digit_string_is_never_read_as_its_own(number, more, before):
    longer = f"{more}{number}" if before else f"{number}{more}"
    for text in (longer, f"id {longer}.", f"{longer} m", f"({longer})"):
        assert number not in [value for value, _ in read(text)]


@given(
    number=st.integers(1, 10**12),
    mark=st.sampled_from(["\u200b", "\u00ad", "\u2060", "\ufeff"]),
    digits=st.integers(1, 999),
)
def test_a_hidden_character_does_not_cut_a_number(number, mark, digits):
    assert read(f"{number}{mark}{digits}") == [(int(f"{number}{digits}"), "")]


@given(low=st.integers(0, 10**6), high=st.integers(0, 10**6), dash=st.sampled_from(["-", "–", " – ", " to "]))
def test_the_ends_of_a_range_are_no_numbers_of_their_own(low, high, dash):
    assert read(f"{low}{dash}{high}") == []


@given(letters=st.text("ABCXYZ", min_size=1, max_size=3), number=COUNTS)
def test_a_number_in_a_name_is_none_of_its_own(letters, number):
    assert read(f"{letters}-{number}") == []
    assert read(f"{letters}{number}") == []


@given(number=st.integers(1, 9999))
def test_chinese_numerals_are_read_as_the_number(number):
    digits, parts, gap = "零一二三四五六七八九", "", False
    for power, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // power % 10
        parts += ("零" if gap and parts and digit else "") + (digits[digit] + name if digit else "")
        gap = not digit
    assert han_number(parts) == number


@given(day=DAYS)
def test_a_date_in_any_notation_is_read_as_itself(day):
    month = MONTHS[day.month - 1]
    written = [
        *(f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", f"{day.day} {month[:3]} {day.year}"),
        *(f"{day.year}-{day.month:02d}-{day.day:02d}", f"{day.day:02d}.{day.month:02d}.{day.year}"),
        *(f"{day.year}/{day.month}/{day.day}", f"{day.year}年{day.month}月{day.day}日"),
        *(f"{day.day}. {day.month}. {day.year}", f"{day.year} 年 {day.month} 月 {day.day} 日"),
    ]
    for text in written:
        assert Value(text).day == (day.year, day.month, day.day), text
        found = dates(Text(clean(f"It was on {text} that it began.")))
        assert (day.year, day.month, day.day) in [dated.day for dated in found], text


@given(day=DAYS)
def test_two_numbers_are_day_and_month_only_where_one_can_only_be_the_day(day):
    found = Value(f"{day.day}/{day.month}/{day.year}").day
    assert found == ((day.year, day.month, day.day) if day.day > 12 else None)


@pytest.mark.parametrize("text", ["31 February 2001", "2001-13-01", "2001年13月1日", "32.01.2001", "30/30/2001"])
def test_a_day_that_does_not_exist_is_no_date(text):
    assert Value(text).day is None


@given(ANY)
def test_numbers_and_dates_of_any_text_have_their_places_in_it(text):
    for raw in (text, clean(text)):
        cut = Text(raw)
        for number in numbers(cut):
            assert 0 <= number.at < number.end <= len(cut.words)
        for dated in dates(cut):
            assert 0 <= dated.at <= dated.end <= len(cut.words)


@given(ANY)
def test_any_cell_is_a_number_a_date_or_words(text):
    value = Value(text)
    assert value.number is None or value.day is None
    assert not value.parts or (value.number is None and value.day is None)
    assert value.is_year in (True, False)
    assert value.without_bracket is not None


@pytest.mark.parametrize("text", ["10^999", "1 × 10^999", "一" * 400 + "年", "一" * 5000 + "年"], ids=len)
def test_a_number_too_large_for_a_float_does_not_fail(text):
    assert len(numbers(Text(text))) <= 1


@pytest.mark.parametrize("text", ["1e999", "9" * 5000, "1" + " million" * 80, "1 × 10^-999"], ids=len)
def test_a_number_far_too_large_or_small_does_not_fail(text):
    assert Value(text).day is None


@pytest.mark.parametrize(
    "seed",
    [
        *("1 ", "35 m ", "a", "五百", "May 1994 ", "12 to "),
        "一",
        "1994-05-03 ",
    ],
)
def test_a_text_twice_as_long_is_twice_as_much_work(seed):
    def work(times: int) -> int:
        text = Text(seed * times)
        return lines_run(lambda: (numbers(text), dates(text)))

    assert work(400) <= 2.3 * work(200) + 50
