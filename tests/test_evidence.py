"""Evidence: key and value stand in one passage of a page that was read, or the cell is unsupported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import LIGHTHOUSES, QUESTION, team
from wideseek.evidence import supported_share, trace
from wideseek.policy.scripted import Expert
from wideseek.records import Page, Rollout, Task, Trajectory
from wideseek.table import Table


def rollout_that_read(*pages: Page) -> Rollout:
    reader = Trajectory(role="sub", path="lead/1.1", read=[page.url for page in pages])
    return Rollout(task=Task(question="q"), trajectories=[reader], pages={page.url: page for page in pages})


def statuses(columns: list[str], row: list[str], *pages: Page, key: tuple[str, ...] = ("name",)) -> list[str]:
    (evidence,) = trace(Table(columns, [row]), key, rollout_that_read(*pages))
    return [cell.status for cell in evidence]


def page(text: str, title: str = "Something", url: str = "https://a.example/1") -> Page:
    return Page(url, title, text)


async def test_a_cell_carries_the_page_the_quote_and_the_agent_that_read_it():
    rollout = await team(Expert(), Expert()).solve(Task(question=QUESTION))
    table = Table(["name", "height", "year"], [[name, *facts] for name, facts in LIGHTHOUSES.items()])
    evidence = trace(table, ["name"], rollout)
    assert supported_share(evidence) == 1.0
    height = evidence[2][1]
    assert height.url == "https://pocket.example/dueodde"
    assert height.quote == "height: 47 m"
    assert height.agent == "lead/2.3"


async def test_two_rows_with_swapped_values_are_both_unsupported():
    rollout = await team(Expert(), Expert()).solve(Task(question=QUESTION))
    table = Table(["name", "height"], [["Bovbjerg", "23 m"], ["Hanstholm", "26 m"], ["Dueodde", "47 m"]])
    evidence = trace(table, ["name"], rollout)
    assert [row[1].status for row in evidence] == ["unsupported", "unsupported", "supported"]


def test_swapped_values_are_unsupported_even_where_both_stand_in_one_table_of_one_page():
    listing = page("| name | height |\n|---|---|\n| Alpha | 10 |\n| Beta | 20 |\n")
    assert statuses(["name", "height"], ["Alpha", "10"], listing) == ["supported", "supported"]
    assert statuses(["name", "height"], ["Alpha", "20"], listing) == ["supported", "unsupported"]


def test_prose_supports_within_one_sentence_only():
    prose = page("Alpha was built in 1877. Beta was built in 1843.")
    assert statuses(["name", "year"], ["Alpha", "1877"], prose) == ["supported", "supported"]
    assert statuses(["name", "year"], ["Alpha", "1843"], prose) == ["supported", "unsupported"]


def test_chinese_prose_supports_within_one_sentence_only():
    prose = page("甲塔建于1877年。乙塔建于1843年。")
    assert statuses(["name", "year"], ["甲塔", "1877"], prose) == ["supported", "supported"]
    assert statuses(["name", "year"], ["甲塔", "1843"], prose) == ["supported", "unsupported"]


def test_an_abbreviation_does_not_end_a_sentence():
    prose = page("The lighthouse of St. Alban was finished in 1880 by Dr. Gray.")
    assert statuses(["name", "by"], ["St. Alban", "Dr. Gray"], prose) == ["supported", "supported"]


def test_a_page_about_the_entity_supports_a_value_without_repeating_the_name():
    about = page("height: 47 m\nyear: 1962", title="Dueodde (lighthouse)")
    assert statuses(["name", "height"], ["Dueodde", "47 m"], about) == ["supported", "supported"]


def test_a_title_that_merely_contains_the_name_does_not_make_the_page_about_it():
    other = page("height: 47 m", title="Dueodde and other lighthouses")
    assert statuses(["name", "height"], ["Dueodde", "47 m"], other) == ["supported", "unsupported"]


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("12", "Alpha: 2012", False),
        ("12", "Alpha: 12", True),
        ("1234", "Alpha: 1,234", True),
        ("1,234", "Alpha: 1234 m", True),
        ("1,234", "Alpha: 11,234", False),
        ("1994-05-03", "Alpha opened on 3 May 1994", True),
        ("1994-05-03", "Alpha opened on May 3, 1994", True),
        ("1994-05-03", "Alpha opened on 13 May 1994", False),
        ("new york", "Alpha is in New  York", True),
        ("York", "Alpha is in Yorkshire", False),
        ("**bold**", "Alpha is bold", True),
        ("ＡＢＣ", "Alpha ABC", True),
        ("São Tomé", "Alpha, São Tomé", True),
        ("东京", "Alpha在东京的", True),
        ("10–12", "Alpha 10-12", True),
    ],
)
def test_values_are_compared_as_text_with_word_boundaries(value, text, found):
    assert statuses(["name", "value"], ["Alpha", value], page(text))[1] == ("supported" if found else "unsupported")


def test_empty_cells_count_as_not_supported():
    evidence = trace(Table(["name", "x", "y"], [["Alpha", "", "–"]]), ["name"], rollout_that_read(page("Alpha")))
    assert [cell.status for cell in evidence[0]] == ["supported", "empty", "empty"]
    assert supported_share(evidence) == 1 / 3
    assert supported_share([]) is None


def test_a_row_without_a_key_has_no_support():
    assert statuses(["name", "x"], ["", "10"], page("Alpha 10")) == ["empty", "unsupported"]


def test_a_key_of_two_columns_needs_both_in_the_passage():
    listing = page("| 1990 | Alpha | gold |\n| 1991 | Alpha | silver |")
    columns, key = ["year", "name", "medal"], ("year", "name")
    assert statuses(columns, ["1990", "Alpha", "gold"], listing, key=key) == ["supported"] * 3
    assert statuses(columns, ["1990", "Alpha", "silver"], listing, key=key)[2] == "unsupported"


def test_the_entitys_own_page_is_quoted_before_a_list_that_says_the_same():
    listing = page("| Alpha | 10 |", url="https://a.example/list")
    own = page("size: 10", title="Alpha", url="https://a.example/alpha")
    (row,) = trace(Table(["name", "size"], [["Alpha", "10"]]), ["name"], rollout_that_read(listing, own))
    assert row[1].url == "https://a.example/alpha"


def test_a_long_passage_is_quoted_around_the_value():
    prose = page(f"{'Alpha ' * 200}has 4711 rooms {'and more ' * 200}")
    (row,) = trace(Table(["name", "rooms"], [["Alpha", "4711"]]), ["name"], rollout_that_read(prose))
    assert "4711" in row[1].quote
    assert len(row[1].quote) < 300


def test_a_page_that_was_not_read_supports_nothing():
    rollout = rollout_that_read(page("Alpha 10"))
    rollout.trajectories[0].read = []
    (row,) = trace(Table(["name", "size"], [["Alpha", "10"]]), ["name"], rollout)
    assert [cell.status for cell in row] == ["unsupported", "unsupported"]


@given(st.text(), st.text(), st.text(max_size=300))
def test_any_text_can_be_traced(key, value, text):
    assert len(statuses(["name", "x"], [key, value], page(text, title=key))) == 2


def test_a_passage_that_names_the_column_is_quoted_before_a_coincidence():
    own = page("Alpha is number 3 of the towers.\nyear: 1950\nfloors: 3", title="Alpha")
    (row,) = trace(Table(["name", "floors"], [["Alpha", "3"]]), ["name"], rollout_that_read(own))
    assert row[1].quote == "floors: 3"


def test_a_key_of_two_columns_is_supported_where_one_of_them_is_the_title():
    own = page("Alpha is one of the towers.\nheight: 12", title="Alpha")
    key = ("name", "height")
    assert statuses(["name", "height"], ["Alpha", "12"], own, key=key) == ["supported", "supported"]


@pytest.mark.parametrize(
    ("row", "text", "title"),
    [
        (["Alpha", "39"], "Alpha mass: 39.95", "x"),
        (["Alpha", "95"], "Alpha mass: 39.95", "x"),
        (["Alpha", "189"], "Alpha is at -189 C", "x"),
        (["Alpha", "1"], "Alpha is tall.[1]", "x"),
        (["Alpha", "5"], "Alpha opened 1990-05-5", "x"),
        (["Alpha", "15"], "Alpha is 12. Beta is 15.", "x"),
        (["Beta", "12"], "Alpha has a height of 12 m. The tower of Beta is lower.", "x"),
        (["Москва", "1703"], "Москва основана в 1147 году. Санкт-Петербург основан в 1703 году.", "x"),
        (["Alpha", "1950"], "History: Alpha opened in 1900 there. Beta opened in 1950 there.", "x"),
        (["Alpha", "1950"], "- Alpha opened in 1900. Beta opened in 1950.", "x"),
        (["York", "8336817"], "| New York | 8,336,817 |", "x"),
        (["Guinea", "2"], "| Guinea-Bissau | 2 |\n| Guinea | 14 |", "x"),
        (["Guinea", "2"], "Guinea-Bissau has 2 coasts", "x"),
        (["Dueodde", "1962"], "height: 47 m\nyear: 1962", "Dueodde"),
    ],
)
def test_what_only_looks_like_support_is_none(row, text, title):
    assert statuses(["name", "height"], row, page(text, title=title))[1] == "unsupported"


def test_a_row_about_another_key_does_not_speak_for_the_title():
    listing = page("| Sweden | 10 |\n| Denmark | 5 |", title="Denmark")
    table = Table(["name", "gold"], [["Denmark", "10"], ["Sweden", "10"]])
    evidence = trace(table, ["name"], rollout_that_read(listing))
    assert [row[1].status for row in evidence] == ["unsupported", "supported"]


def test_an_abbreviation_in_a_labelled_fact_does_not_cut_it():
    own = page("role: Mrs. Clarissa Morris\ncategory: Ind. Christian", title="Alpha")
    assert statuses(["name", "role"], ["Alpha", "Mrs. Clarissa Morris"], own)[1] == "supported"
