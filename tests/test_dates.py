"""Dates as people write them: each with the parts that were said, and no other."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.dates import Date, common_date
from wideseek.scoring.dates import date_near, read_date

DATES = [
    ("1994-05-03", "1994-05-03"), ("1994/5/3", "1994-05-03"), ("1994.5.3", "1994-05-03"),
    ("19940503", "1994-05-03"), ("1994-05", "1994-05"), ("1994", "1994"),
    ("2016-12-30 00:00:00", "2016-12-30"), ("1994-06-05T10:00:00Z", "1994-06-05"),
    ("3 May 1994", "1994-05-03"), ("3rd of May, 1994", "1994-05-03"), ("May 3, 1994", "1994-05-03"),
    ("May 1994", "1994-05"), ("3 May", "--05-03"), ("May 3", "--05-03"), ("03 Nov", "--11-03"),
    ("Sept. 5 1994", "1994-09-05"), ("03.05.1994", "1994-05-03"), ("3. 5. 1994", "1994-05-03"),
    ("05/03/1994", "1994-05-03"), ("25/12/1994", "1994-12-25"), ("25-12-1994", "1994-12-25"),
    ("Q3 2019", "2019-Q3"), ("2019 Q3", "2019-Q3"), ("2019Q3", "2019-Q3"), ("2019年第三季度", "2019-Q3"),
    ("third quarter of 2019", "2019-Q3"), ("44 BC", "-0043"), ("15 March 44 BC", "-0043-03-15"),
    ("March 15, 44 BC", "-0043-03-15"), ("AD 79", "0079"), ("79 AD", "0079"), ("公元前297年", "-0296"),
    ("公元79年", "0079"), ("297 B.C.", "-0296"), ("44 BCE", "-0043"), ("1994年5月3日", "1994-05-03"),
    ("一九九四年五月三日", "1994-05-03"), ("二〇二四年十二月三十一日", "2024-12-31"), ("民國83年5月3日", "1994-05-03"),
    ("民国八十三年", "1994"), ("民國元年", "1912"), ("昭和64年1月7日", "1989-01-07"), ("令和元年", "2019"),
    ("1994년 5월 3일", "1994-05-03"), ("5月3日", "--05-03"), ("五月三日", "--05-03"), ("2019年", "2019"),
    ("2023年12月", "2023-12"), ("c. 1994", "1994~"), ("circa 1994", "1994~"), ("约1994年", "1994~"),
    ("c. 300 BC", "-0299~"), ("1994年前后", "1994~"), ("Tuesday, 3 May 1994", "1994-05-03"),
    ("May 3, 1994 (Tuesday)", "1994-05-03"), ("1994年5月3日（星期二）", "1994-05-03"),
    ("November\xa04,\xa01996", "1996-11-04"), ("10–12 May 1994", "1994-05-10/1994-05-12"),
    ("10-12 May 1994", "1994-05-10/1994-05-12"), ("May 10–12, 1994", "1994-05-10/1994-05-12"),
    ("May–June 1994", "1994-05/1994-06"), ("2016–2023", "2016/2023"), ("2016-2023", "2016/2023"),
    ("2016 to 2023", "2016/2023"), ("2010年10月—12月", "2010-10/2010-12"),
    ("3 May – 5 June 1994", "1994-05-03/1994-06-05"), ("3 May 1993 – 5 June 1994", "1993-05-03/1994-06-05"),
    ("1994-05-03 – 1994-05-08", "1994-05-03/1994-05-08"), ("May 3 – June 5, 1994", "1994-05-03/1994-06-05"),
    ("44–40 BC", "-0043/-0039"), ("1994年5月3日至8日", "1994-05-03/1994-05-08"), ("1994年至1996年", "1994/1996"),
    ("29 February", "--02-29"), ("2020年5月1号", "2020-05-01"), ("1 Jan 2000", "2000-01-01"),
    ("100 BC – 50 BC", "-0099/-0049"),
]  # fmt: skip
NO_DATES = [
    "31 February 1994", "29 Feb 1994", "79", "5/12/94", "1990s", "750ml", "yesterday", "", "1700000000",
    "199405", "10458", "May", "19th century", "1994年上半年", "5", "13/13/1994", "1990年代", "79年",
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), DATES)
def test_a_date_has_the_parts_that_were_said(text: str, said: str) -> None:
    read = common_date(text)
    assert read is not None
    assert read.text() == said


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_or_leaves_its_century_open_is_none(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5 de junio de 1994", "1994-06-05"), ("junio de 1994", "1994-06"), ("3. Mai 1994", "1994-05-03"),
        ("5 мая 1994 г.", "1994-05-05"), ("12 May 1994 (aged 70)", "1994-05-12"), ("1994 (premiere)", "1994"),
        ("Dienstag, 3. Mai 1994", "1994-05-03"), ("le 1er juin 1994", "1994-06-01"), ("5 de junho de 1994", "1994-06-05"),
        ("3 May 1994 10:30 PM", "1994-05-03"), ("3. května 1994", "1994-05-03"),
    ],
)  # fmt: skip
def test_other_languages_are_read_and_remarks_left_aside(text: str, said: str) -> None:
    read = read_date(text)
    assert read is not None
    assert read.text() == said


@pytest.mark.parametrize(
    ("gold", "said", "agrees"),
    [
        ("1994", "5 June 1994", True),  # the gold says no more
        ("1994", "1994年", True),
        ("1994", "1995", False),
        ("20 January 1994", "1994", False),  # the first of January was not said
        ("1994-06-20", "June 1994", False),
        ("June 1994", "1994-06-20", True),
        ("1994-06-20", "1994-07-10", True),  # WideSearch's 31 days
        ("1994-06-20", "1994-08-10", False),
        ("Q3 2019", "2019-08-15", True),
        ("Q3 2019", "2019-10-01", False),
        ("Q3 2019", "2019年第三季度", True),
        ("2019-08-15", "Q3 2019", False),
        ("44 BC", "公元前44年", True),
        ("44 BC", "AD 44", False),
        ("3 May", "May 3", True),
        ("3 May", "4 May", False),
        ("3 May 1994", "3 May", False),
        ("03.05.1994", "3 May 1994", True),
        ("03.05.1994", "5 March 1994", False),
        ("2016–2023", "2016 to 2023", True),
        ("2016–2023", "2016", False),
        ("2016", "2016–2023", False),
        ("2016–2023", "2016–2019", False),
        ("c. 1450", "circa 1450", True),
        ("c. 1450", "1450", False),
        ("1450", "c. 1450", False),
        ("民國83年5月3日", "1994-05-03", True),
        ("一九九四年五月三日", "1994-05-03", True),
        ("19940503", "May 3, 1994", True),
    ],
)
def test_a_date_agrees_with_one_that_says_as_much(gold: str, said: str, agrees: bool) -> None:
    one, other = read_date(said), read_date(gold)
    assert one is not None
    assert other is not None
    assert date_near(one, other) is agrees


EXACT = ["2021-03-04", "4 March 2021", "March 4, 2021", "March 2021", "2021", "4 de marzo de 2021", "2021年3月4日"]
HEDGES = [
    "after", "before", "since", "until", "by", "from", "early", "late", "mid", "mid-", "not", "not before", "no later than",
    "shortly after", "probably", "possibly", "either", "expected", "spring", "week of", "first half of", "end of",
    "circa", "c.", "about", "around", "approx.", "~", "约", "nach", "vor dem", "après", "antes de", "после", "около",
]  # fmt: skip
DOUBTS = [
    " or later",
    " or earlier",
    "?",
    " onwards",
    " at the latest",
    " (approx.)",
    " (or 2022)",
    " (before)",
    "左右",
    "之前",
]


@pytest.mark.parametrize("date", EXACT)
@pytest.mark.parametrize(("before", "behind"), [(f"{hedge} ", "") for hedge in HEDGES] + [("", it) for it in DOUBTS])
def test_a_hedged_date_is_not_the_date_in_it(date: str, before: str, behind: str) -> None:
    exact, hedged = read_date(date), read_date(f"{before}{date}{behind}")
    assert exact is not None
    assert hedged is None or not (date_near(hedged, exact) or date_near(exact, hedged))


@pytest.mark.parametrize(
    "text",
    [
        "H1 2020", "H2 2020", "2020 H2", "2020-H1", "2H 2020", "2020-W05", "2020W05", "W05 2020", "week 5 2020", "2020 week 5",
        "2020s", "20th century", "FY2020", "FY 2020", "S2 2020", "T1 2020", "2020-S1", "Q5 2020", "3 or 4 May 2020",
        "May or June 2020", "3 May 2020, 10 June", "spring 2020", "2020-05-03 v2", "May 2020 no. 3", "mid-2020", "late 2020",
    ],
)  # fmt: skip
def test_a_half_a_week_or_a_decade_is_no_date(text: str) -> None:
    assert read_date(text) is None


@given(
    st.dates(datetime.date(1500, 1, 1), datetime.date(2100, 1, 1)),
    st.text("bcdfghjklmnpqrtvwxz", min_size=4, max_size=9),
)
def test_an_unknown_word_beside_a_date_is_never_passed_over(day: datetime.date, word: str) -> None:
    exact = read_date(day.isoformat())
    assert exact is not None
    for text in (f"{word} {day.isoformat()}", f"{day.year} {word}{day.month}", f"{day.isoformat()} {word}"):
        assert read_date(text) is None


@given(st.dates())
def test_days_are_counted_as_the_calendar_counts_them(day: datetime.date) -> None:
    read = Date(day.year, None, day.month, day.day)
    assert read.first_day - Date(1970, None, 1, 1).first_day == (day - datetime.date(1970, 1, 1)).days
    assert common_date(day.isoformat()) == read


@given(st.text(alphabet="0123456789年月日.-/–, abcMayJuneBQ第季至前约()", max_size=30))
def test_no_text_breaks_the_reader_and_every_date_agrees_with_itself(text: str) -> None:
    if (read := common_date(text)) is not None:
        assert date_near(read, read)
