"""Evidence: a cell is supported where key, value and column are tied to each other on a page that was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import LIGHTHOUSES, QUESTION, team
from wideseek.evidence import Evidence, Levels, supported_share, trace
from wideseek.policy.scripted import Expert
from wideseek.records import Page, Rollout, Task, Trajectory
from wideseek.table import Table

HEIGHT = ["Name", "Height"]
TOWERS = "| Name | Height | Span |\n|---|---|---|\n| Alpha | 20 m | 35 m |\n| Beta | 55 m | 70 m |"


def page(text: str, title: str = "Alpha", url: str = "https://a.example/1") -> Page:
    return Page(url, title, text)


def rollout_that_read(*pages: Page) -> Rollout:
    reader = Trajectory(role="sub", path="lead/1.1", read=[page.url for page in pages])
    return Rollout(task=Task(question="q"), trajectories=[reader], pages={page.url: page for page in pages})


def evidence_of(columns: list[str], row: list[str], *pages: Page, key: list[str] | None = None) -> list[Evidence]:
    (evidence,) = trace(Table(columns, [row]), columns[:1] if key is None else key, rollout_that_read(*pages))
    return evidence


def statuses(columns: list[str], row: list[str], *pages: Page, key: list[str] | None = None) -> list[str]:
    return [cell.status for cell in evidence_of(columns, row, *pages, key=key)]


def status(column: str, value: str, text: str, title: str = "Alpha", name: str = "Alpha") -> str:
    """The level of the value of one column, for the row that `name` names."""
    return statuses(["Name", column], [name, value], page(text, title))[1]


def levels_of(columns: list[str], rows: list[list[str]], *pages: Page) -> list[list[str]]:
    evidence = trace(Table(columns, rows), columns[:1], rollout_that_read(*pages))
    return [[cell.status for cell in row] for row in evidence]


# ------------------------------------------------------------------------------------------- what evidence carries


async def test_a_cell_carries_the_page_the_quote_the_tie_and_the_agent_that_read_it():
    rollout = await team(Expert(), Expert()).solve(Task(question=QUESTION))
    table = Table(["name", "height", "year"], [[name, *facts] for name, facts in LIGHTHOUSES.items()])
    evidence = trace(table, ["name"], rollout)
    assert supported_share(evidence) == 1.0
    height = evidence[2][1]
    assert height.url == "https://pocket.example/dueodde"
    assert height.quote == "height: 47 m"
    assert height.tie == "label: height"
    assert height.agent == "lead/2.3"


async def test_two_rows_with_swapped_values_are_both_unsupported():
    rollout = await team(Expert(), Expert()).solve(Task(question=QUESTION))
    table = Table(["name", "height"], [["Bovbjerg", "23 m"], ["Hanstholm", "26 m"], ["Dueodde", "47 m"]])
    evidence = trace(table, ["name"], rollout)
    assert [row[1].status for row in evidence] == ["unsupported", "unsupported", "supported"]


def test_the_tie_says_whether_a_label_a_header_or_words_tie_the_cell():
    texts = ["height: 20 m", TOWERS, "Alpha has a height of 20 m."]
    ties = [evidence_of(HEIGHT, ["Alpha", "20 m"], page(text))[1].tie for text in texts]
    assert ties == ["label: height", "header: Height", "words: Height"]


def test_a_cell_that_is_only_mentioned_has_a_quote_and_no_tie():
    cell = evidence_of(HEIGHT, ["Alpha", "20 m"], page("Alpha was moved 20 m in 1950."))[1]
    assert (cell.status, cell.quote, cell.tie) == ("mentioned", "Alpha was moved 20 m in 1950.", None)


def test_an_unsupported_cell_has_neither_page_nor_quote():
    assert evidence_of(HEIGHT, ["Alpha", "35 m"], page("height: 20 m"))[1] == Evidence("unsupported")


def test_only_supported_cells_count_and_empty_ones_count_against():
    evidence = trace(
        Table(["Name", "Height", "Span", "Year"], [["Alpha", "20 m", "", "1999"]]),
        ["Name"],
        rollout_that_read(page("height: 20 m")),
    )
    assert Levels.of(evidence) == Levels(supported=2, mentioned=0, unsupported=1, empty=1)
    assert supported_share(evidence) == 0.5
    assert supported_share([]) is None


@pytest.mark.parametrize("blank", ["", " ", "–", "-", "\u200b", "**"])
def test_a_cell_without_a_word_is_empty(blank):
    assert statuses(HEIGHT, ["Alpha", blank], page("height: 20 m")) == ["supported", "empty"]


def test_a_table_of_empty_cells_has_no_share():
    assert supported_share(trace(Table(HEIGHT, [["", ""]]), ["Name"], rollout_that_read(page("x")))) is None


def test_a_row_without_a_key_has_no_support():
    assert statuses(HEIGHT, ["", "20 m"], page("height: 20 m")) == ["empty", "unsupported"]


def test_a_page_that_was_not_read_supports_nothing():
    rollout = rollout_that_read(page("height: 20 m"))
    rollout.trajectories[0].read = []
    (row,) = trace(Table(HEIGHT, [["Alpha", "20 m"]]), ["Name"], rollout)
    assert [cell.status for cell in row] == ["unsupported", "unsupported"]


def test_the_first_agent_that_read_the_page_is_named():
    rollout = rollout_that_read(page("height: 20 m"))
    rollout.trajectories.append(Trajectory(role="sub", path="lead/1.2", read=list(rollout.pages)))
    (row,) = trace(Table(HEIGHT, [["Alpha", "20 m"]]), ["Name"], rollout)
    assert row[1].agent == "lead/1.1"


def test_the_entitys_own_page_is_quoted_before_a_list_that_says_the_same():
    listing = page(TOWERS, "Towers", "https://a.example/list")
    own = page("height: 20 m", "Alpha", "https://a.example/alpha")
    assert evidence_of(HEIGHT, ["Alpha", "20 m"], listing, own)[1].url == "https://a.example/alpha"


def test_a_line_under_the_columns_label_is_quoted_before_a_coincidence():
    own = page("Alpha is number 3 of the towers.\nyear: 1950\nfloors: 3")
    assert evidence_of(["Name", "Floors"], ["Alpha", "3"], own)[1].quote == "floors: 3"


def test_a_long_passage_is_quoted_around_the_value():
    prose = page(f"{'they say that ' * 100}Alpha has a height of 4711 m {'and more ' * 200}.", "Towers")
    quote = evidence_of(HEIGHT, ["Alpha", "4711 m"], prose)[1].quote
    assert quote is not None
    assert "4711" in quote
    assert len(quote) < 300


# --------------------------------------------------------------------------------------- labels, headers and lists

LAYOUTS = {
    "a labelled line": "height: 20 m\nspan: 35 m",
    "a bold label in a list": "- **Height:** 20 m\n- **Span:** 35 m",
    "a table": TOWERS,
    "an infobox": "| Height | 20 m |\n| Span | 35 m |",
    "an infobox with a header that says nothing": "| Property | Value |\n|---|---|\n| Height | 20 m |\n| Span | 35 m |",
    "a turned table": "| | Alpha | Beta |\n|---|---|---|\n| Height | 20 m | 55 m |\n| Span | 35 m | 70 m |",
    "a one-line list": "Alpha; height: 20 m; span: 35 m",
    "a list of one-line lists": "- Alpha; height: 20 m; span: 35 m\n- Beta; height: 55 m; span: 70 m",
    "an item with children": "- Alpha\n  - height: 20 m\n  - span: 35 m\n- Beta\n  - height: 55 m\n  - span: 70 m",
    "a heading": "## Alpha\nheight: 20 m\nspan: 35 m\n\n## Beta\nheight: 55 m\nspan: 70 m",
    "a label above its value": "Height\n20 m\nSpan\n35 m",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_a_value_is_supported_under_its_own_label_and_unsupported_under_another(text):
    assert status("Height", "20 m", text) == "supported"
    assert status("Height", "35 m", text) == "unsupported"
    assert status("Span", "35 m", text) == "supported"
    assert status("Span", "20 m", text) == "unsupported"


@pytest.mark.parametrize("name", [n for n, text in LAYOUTS.items() if "Beta" in text])
def test_on_a_page_about_many_the_value_of_another_row_is_unsupported(name):
    assert status("Height", "20 m", LAYOUTS[name], title="Towers") == "supported"
    assert status("Height", "55 m", LAYOUTS[name], title="Towers") == "unsupported"


def test_swapped_rows_of_one_table_are_unsupported():
    swapped = levels_of(["Name", "Height"], [["Alpha", "55 m"], ["Beta", "20 m"]], page(TOWERS, "Towers"))
    assert swapped == [["supported", "unsupported"]] * 2


def test_swapped_columns_of_one_table_are_unsupported():
    swapped = levels_of(["Name", "Height", "Span"], [["Alpha", "35 m", "20 m"]], page(TOWERS, "Towers"))
    assert swapped == [["supported", "unsupported", "unsupported"]]


@pytest.mark.parametrize("label", ["height", "Height", "HEIGHT", "**Height**", "Height (m)", "the height", "elevation"])
def test_a_label_names_a_column_in_other_words(label):
    assert status("Height", "20 m", f"{label}: 20 m") == "supported"


@pytest.mark.parametrize("label", ["width", "span", "year", "next height", "height rank"])
def test_a_label_that_says_something_else_supports_nothing(label):
    assert status("Height", "20 m", f"{label}: 20 m") != "supported"


@pytest.mark.parametrize(
    ("column", "value", "label"),
    [
        ("Director", "Ann Lee", "assistant director"),
        ("Height", "20", "former height"),
        ("Height", "20 m", "former height"),
    ],
)
def test_a_label_that_says_more_than_the_column_only_mentions(column, value, label):
    assert status(column, value, f"{label}: {value}") == "mentioned"


def test_a_label_that_fits_another_column_better_does_not_speak_for_this_one():
    levels = levels_of(
        ["Name", "Height", "Roof height"], [["Alpha", "20 m", "20 m"]], page("height: 25 m\nroof height: 20 m")
    )
    assert levels == [["supported", "unsupported", "supported"]]


def test_the_unit_in_a_label_tells_two_lines_apart():
    text = "length (mi): 40\nlength (km): 64"
    assert status("Length (km)", "64", text) == "supported"
    assert status("Length (km)", "40", text) == "unsupported"


def test_an_unlabelled_row_mentions_its_values():
    assert status("Height", "20 m", "| Alpha | 20 m | 35 m |", "Towers") == "mentioned"


def test_a_line_that_names_the_key_alone_mentions_its_value():
    assert status("Height", "20 m", "Alpha: 20 m; Beta: 55 m", "Towers") == "mentioned"
    assert status("Height", "55 m", "Alpha: 20 m; Beta: 55 m", "Towers") == "unsupported"


def test_a_row_about_another_key_does_not_speak_for_the_title():
    listing = page("| Country | Gold |\n|---|---|\n| Sweden | 10 |\n| Denmark | 5 |", "Denmark")
    levels = levels_of(["Country", "Gold"], [["Denmark", "10"], ["Sweden", "10"]], listing)
    assert levels == [["supported", "unsupported"], ["supported", "supported"]]


def test_a_key_in_a_line_of_another_label_names_no_record():
    assert status("Height", "20 m", "name: Beta\nnext: Alpha\nheight: 20 m", "Towers") == "unsupported"


def test_a_see_also_section_of_the_own_page_is_about_others():
    assert status("Height", "20 m", "span: 5 m\n\n## See also\nheight: 20 m") == "unsupported"


@pytest.mark.parametrize(
    "value", ["[20 m](https://b.example)", "20 m[3]", "20 m [note 2]", "**20 m**", "20&nbsp;m", "20 m<sup>3</sup>"]
)
def test_marks_and_footnotes_in_a_field_are_no_part_of_the_value(value):
    assert status("Span", "20 m", f"span: {value.replace('<sup>3</sup>', '<sup>[3]</sup>')}") == "supported"
    assert status("Span", "20 m", f"| Name | Span |\n|---|---|\n| Alpha | {value.split('<')[0]} |") == "supported"


def test_an_abbreviation_in_a_field_does_not_cut_it():
    assert status("Role", "Mrs. Clarissa Morris", "role: Mrs. Clarissa Morris\ncategory: Ind.") == "supported"


# ------------------------------------------------------------------------------------------------------------ prose


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("Height", "35 m", "Alpha has a height of 35 m."),
        ("Height", "35 m", "The tower is 35 metres tall."),
        ("Height", "35 m", "Alpha is a 35-metre-high tower."),
        ("Director", "Ann Lee", "Alpha is a 1999 film directed by Ann Lee."),
        ("Year", "1999", "Alpha is a 1999 film directed by Ann Lee."),
        ("Opened", "1994", "The station opened on 3 May 1994."),
        ("Opened", "1994-05-03", "The station opened on 3 May 1994."),
        ("Population", "1,200,000", "Alpha has a population of 1.2 million."),
        ("Born", "1901", "Alpha (3 May 1901 - 4 June 1980) was a poet."),
        ("Died", "1980", "Alpha (3 May 1901 - 4 June 1980) was a poet."),
        ("Starring", "Bob Ray, Cy Fox", "Alpha is a film starring Bob Ray and Cy Fox."),
    ],
)
def test_a_clause_that_names_the_column_beside_the_value_ties_them(column, value, text):
    assert status(column, value, text) == "supported"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("Height", "35 m", "Alpha was moved by 35 m in 1950."),
        ("Height", "1877", "Alpha, whose height was measured in 1877, is a tower."),
        ("Height", "35", "The height of 35 towers was measured at Alpha."),
        ("Director", "Bob Ray", "Alpha was directed by Ann Lee and produced by Bob Ray."),
        ("Born", "1980", "Alpha (3 May 1901 - 4 June 1980) was a poet."),
        ("Opened", "1980", "The station opened in 1901 and closed in 1980."),
        ("Height", "35 m", "The height of Alpha is not 35 m."),
        ("Height", "35 m", "Is the height of Alpha 35 m?"),
        ("Height", "35 m", "If built, the height of Alpha would be 35 m."),
        ("Height", "35 m", "Alpha was planned to have a height of 35 m."),
        ("Height", "35 m", "According to a legend, Alpha has a height of 35 m."),
        ("Height", "35 m", "The height of 35 m given in older books is wrong."),
        ("Height", "35 m", "Its neighbour Beta has a height of 35 m."),
        ("Height", "35 m", "The base of Alpha is 35 m high."),
        ("Height", "35 m", "Its base is 35 m high."),
        ("Height", "35 m", "Before 1990 the height of Alpha was 35 m."),
        ("Height", "35 m", "The former tower had a height of 35 m."),
        ("Height", "35 m", "Alpha is 20 m tall, while Beta is 35 m tall."),
        ("Height", "35 m", "Alpha is taller than the 35 m high Beta."),
    ],
)
def test_a_clause_that_does_not_state_it_takes_a_cell_down(column, value, text):
    assert status(column, value, text) in ("mentioned", "unsupported")


@pytest.mark.parametrize(
    "text",
    [
        "The height of Alpha is not 35 m.",
        "Is the height of Alpha 35 m?",
        "If built, the height of Alpha would be 35 m.",
        "Its neighbour Beta has a height of 35 m.",
        "The base of Alpha is 35 m high.",
    ],
)
def test_a_value_that_is_denied_asked_supposed_or_anothers_is_mentioned(text):
    assert status("Height", "35 m", text) == "mentioned"


@pytest.mark.parametrize(
    "text",
    [
        "Alpha is 20 m tall; Beta is 35 m tall.",
        "Alpha is 20 m tall, but Beta is 35 m tall.",
        "Alpha is 20 m tall and Beta is 35 m tall.",
        "In the north, Beta is 35 m tall.",
        "The Beta tower is 35 m tall.",
        "Alpha's rival Beta is 35 m tall.",
    ],
)
def test_on_the_entitys_own_page_a_clause_about_another_supports_nothing(text):
    assert status("Height", "35 m", text) != "supported"


@pytest.mark.parametrize(
    "text",
    [
        "It used to be 35 m tall.",
        "Reportedly it is 35 m tall.",
        "It is wrongly said to be 35 m tall.",
        "It hardly reaches a height of 35 m.",
        "The plan for a height of 35 m was dropped.",
        "It is 35 m taller than Beta.",
        "It is up to 35 m tall.",
    ],
)
def test_a_clause_that_does_not_state_the_value_as_it_is_supports_nothing(text):
    assert status("Height", "35 m", text) != "supported"


def test_prose_supports_within_one_sentence_only():
    text = "Alpha was built in 1877. Beta was built in 1843."
    assert status("Built", "1877", text, "Towers") == "supported"
    assert status("Built", "1843", text, "Towers") == "unsupported"


def test_chinese_prose_supports_within_one_sentence_only():
    text = "甲塔高度为35米。乙塔高度为55米。"
    assert status("高度", "35米", text, "塔", name="甲塔") == "supported"
    assert status("高度", "55米", text, "塔", name="甲塔") == "unsupported"


def test_an_abbreviation_does_not_end_a_sentence():
    text = "The lighthouse of St. Alban was designed by Dr. Gray."
    assert status("Designer", "Dr. Gray", text, "Towers", name="St. Alban") in ("supported", "mentioned")


def test_a_company_that_ends_a_sentence_does_not_join_it_to_the_next():
    text = "The tower was sold by Alpha Co. Beta is 55 m high."
    assert status("Height", "55 m", text, "Towers", name="Alpha Co.") == "unsupported"


def test_prose_does_not_overrule_a_label_of_the_same_page():
    assert status("Height", "35 m", "height: 20 m\n\nAlpha has a height of 35 m.") == "unsupported"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Beta", "12 m", "Alpha has a height of 12 m. The tower of Beta is lower."),
        ("Москва", "1703", "Москва основана в 1147 году. Санкт-Петербург основан в 1703 году."),
        ("Alpha", "1950", "History: Alpha opened in 1900 there. Beta opened in 1950 there."),
        ("Alpha", "1950", "- Alpha opened in 1900. Beta opened in 1950."),
        ("Guinea", "2", "Guinea-Bissau has 2 coasts."),
    ],
)
def test_what_another_sentence_or_name_says_is_unsupported(name, value, text):
    assert status("Height", value, text, "Towers", name=name) == "unsupported"


# ---------------------------------------------------------------------------------------------------------- numbers

SAME_NUMBERS = [
    *[("Population", "1200000", t) for t in ("1,200,000", "1 200 000", "1'200'000", "1.200.000", "1’200’000")],
    *[("Population", "1200000", t) for t in ("1\u00a0200\u00a0000", "1\u202f200\u202f000", "1.2 million", "120万")],
    *[("Population", "1,200,000", t) for t in ("1200000", "1.2 million", "120 万", "120萬", "12 lakh", "1.2e6")],
    ("Population", "1.2 million", "1,200,000"),
    ("Population", "1.2 million", "1200 thousand"),
    ("Population", "3亿", "300 million"),
    ("Population", "150000000", "1.5亿"),
    ("Population", "1.2 × 10^6", "1.2 million"),
    *[("Height", "21 m", t) for t in ("21 metres", "21-metre", "21m", "21 meters", "21 米", "21\u00a0m", "21 m high")],
    *[("Height", value, "21 m") for value in ("21 metres", "21-metre", "21m", "21米", "21 米", "21.0 m")],
    ("Height", "47 m", "47m"),
    ("Height", "47", "47 m (154 ft)"),
    ("Height", "35 m", "115 ft (35 m)"),
    ("Height", "35 m", "about 35 m"),
    ("Height", "35 m", "三十五米"),
    ("Height", "35米", "三十五米"),
    ("Area", "12.5 km²", "12,5 km2"),
    ("Area", "12.5 km²", "12.5 square kilometres"),
    ("Area", "12.5 km²", "12.5 sq km"),
    ("Share", "12 %", "12 percent"),
    ("Share", "12%", "12 per cent"),
    ("Price", "$35", "US$35"),
    ("Price", "35 dollars", "$35"),
    ("Temperature", "-5", "−5"),
    ("Width", "1.5", "1½"),
    ("Rank", "3", "3rd"),
    ("Founded", "1971", "1971年"),
    ("Speed", "90 km/h", "90 kmh"),
]


@pytest.mark.parametrize(("column", "value", "text"), SAME_NUMBERS)
def test_a_number_in_another_notation_is_the_same(column, value, text):
    if column == "Height" and value == "47":
        column = "Height (m)"
    assert status(column, value, f"{column}: {text}") == "supported"


OTHER_NUMBERS = [
    ("Population", "3", "3 million"),
    ("Population", "58", "58 thousand"),
    ("Population", "1.2", "1.2 million"),
    ("Population", "5", "5万"),
    ("Population", "3 million", "3"),
    ("Population", "3 million", "3 billion"),
    ("Population", "234", "1,234"),
    ("Population", "1,234", "11,234"),
    ("Population", "234", "1 234"),
    ("Population", "12", "2012"),
    ("Height", "35 m", "35 ft"),
    ("Height", "35 m", "35 km"),
    ("Height (m)", "35", "35 ft"),
    ("Area", "35 km", "35 km²"),
    ("Share", "12", "12 million"),
    ("Share", "12 %", "12 million"),
    ("Price", "$35", "€35"),
    ("Price", "$35", "£35"),
    ("Temperature", "189", "-189"),
    ("Temperature", "5", "−5"),
    ("Temperature", "5", "–5"),
    ("Product", "35", "3*5"),
    ("Product", "3", "3*5"),
    ("Height", "351", "35¹"),
    ("Count", "105", "10⁵"),
    ("Count", "10", "10⁵"),
    ("Count", "5", "10⁵"),
    ("Width", "11", "1½"),
    ("Width", "1", "1½"),
    ("Width", "12", "1½"),
    ("Count", "3", "3\u200b5"),
    ("Count", "5", "3\u200b5"),
    ("Mass", "39", "39.95"),
    ("Mass", "95", "39.95"),
    ("Age", "10", "10–12"),
    ("Age", "12", "10-12"),
    ("Age", "12", "10 to 12"),
    ("Score", "2-3", "3-2"),
    ("Score", "3", "3:2"),
    ("Time", "35", "12:35"),
    ("Phone", "35", "555-35"),
    ("ISBN", "148410", "978-3-16-148410-0"),
    ("Version", "3", "1.3.2"),
    ("Road", "5", "A-5"),
    ("Road", "5", "A5"),
    ("Number", "1", "35 [1]"),
    ("Height", "35 m", "less than 35 m"),
    ("Height", "5", "三十五米"),
]


@pytest.mark.parametrize(("column", "value", "text"), OTHER_NUMBERS)
def test_a_part_of_a_number_or_another_unit_scale_or_sign_is_another_number(column, value, text):
    assert status(column, value, f"{column}: {text}") != "supported"
    assert status(column, value, f"Alpha has a {column} of {text}.") != "supported"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("Count", "5", "<5"),
        ("Count", "5", ">5"),
        ("Count", "5", "≥5"),
        ("Count", "5", "5+"),
        ("Count", "5", "5 or more"),
        ("Count", "5", "5 / 8"),
        ("Price", "$35", "C$35"),
        ("Opened", "1971", "1971 BC"),
        ("Opened", "12 May 1971", "not before 12 May 1971"),
    ],
)
def test_a_bound_a_fraction_another_dollar_and_another_era_are_other_values(column, value, text):
    assert status(column, value, f"{column}: {text}") != "supported"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("Population", "1.2 million", "1.2M"),
        ("Price", "$3 million", "$3m"),
        ("Count", "0.5", "½"),
        ("Opened", "May 1971", "1971-05"),
    ],
)
def test_a_number_or_date_in_a_rarer_notation_is_the_same(column, value, text):
    assert status(column, value, f"{column}: {text}") == "supported"


def test_a_footnote_mark_behind_a_number_leaves_the_number():
    assert status("Height", "35", "height: 35¹") == "supported"


def test_an_exponent_belongs_to_the_number():
    assert status("Count", "100,000", "count: 10⁵") == "supported"
    assert status("Count", "100,000", "count: 10<sup>5</sup>") == "supported"


def test_a_hidden_character_between_digits_joins_them():
    assert status("Count", "35", "count: 3\u200b5") == "supported"


# ------------------------------------------------------------------------------------------------------------ dates

DATES = ["12 May 1971", "May 12, 1971", "12th May 1971", "1971-05-12", "12.05.1971", "12. 5. 1971", "1971/05/12"]
DATES += ["1971年5月12日", "1971 年 5 月 12 日", "一九七一年五月十二日", "12 MAY 1971", "Sept 12 1971"][:-1]


@pytest.mark.parametrize("written", DATES)
def test_a_date_in_another_notation_is_the_same(written):
    for value in ("12 May 1971", "1971-05-12", "1971年5月12日"):
        assert status("Opened", value, f"opened: {written}") == "supported"
    assert status("Opened", written, "opened: 12 May 1971") == "supported"


@pytest.mark.parametrize("written", DATES)
def test_another_day_month_or_year_is_another_date(written):
    for value in ("13 May 1971", "1971-06-12", "1972年5月12日", "2 May 1971", "12 May 197"):
        assert status("Opened", value, f"opened: {written}") != "supported"


@pytest.mark.parametrize("written", DATES)
def test_the_year_of_a_date_is_supported_and_its_day_is_no_number(written):
    assert status("Opened", "1971", f"opened: {written}") == "supported"
    assert status("Opened", "12", f"opened: {written}") != "supported"


def test_the_month_of_a_date_is_supported():
    assert status("Opened", "May 1971", "opened: 12 May 1971") == "supported"
    assert status("Opened", "June 1971", "opened: 12 May 1971") != "supported"


def test_a_page_that_says_less_than_the_date_does_not_support_it():
    assert status("Opened", "12 May 1971", "opened: May 1971") != "supported"
    assert status("Opened", "12 May 1971", "opened: 1971") != "supported"


def test_a_date_with_two_readings_is_no_date():
    assert status("Opened", "1994-05-03", "opened: 03/05/1994") != "supported"
    assert status("Opened", "1994-05-13", "opened: 13/05/1994") == "supported"


# ------------------------------------------------------------------------------------------------- words and lists


@pytest.mark.parametrize("field", ["Oslo; Bergen", "Oslo and Bergen", "Oslo, Bergen", "Bergen, Oslo", "Oslo & Bergen"])
@pytest.mark.parametrize("value", ["Oslo; Bergen", "Oslo and Bergen", "Bergen; Oslo"])
def test_a_list_is_the_same_in_any_order_and_with_any_separator(field, value):
    assert status("Cities", value, f"cities: {field}") == "supported"


@pytest.mark.parametrize("value", ["Oslo", "Oslo; Bergen; Moss", "Oslo; Moss"])
def test_a_part_of_a_list_or_a_longer_list_is_not_the_list(value):
    assert status("Cities", value, "cities: Oslo; Bergen") != "supported"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("new york", "New  York"),
        ("**bold**", "bold"),
        ("ＡＢＣ", "ABC"),
        ("São Tomé", "Sao Tome"),
        ("Sao Tome", "São Tomé"),
        ("Lodz", "Łódź"),
        ("O'Neill", "O’Neill"),
        ("“Blue”", '"Blue"'),
        ("10–12", "10-12"),
        ("东京", "东京"),
        ("C++", "C++"),
    ],
)
def test_words_are_the_same_without_marks_accents_width_and_case(value, field):
    assert status("City", value, f"city: {field}") == "supported"


@pytest.mark.parametrize(
    ("value", "field"),
    [("York", "Yorkshire"), ("York", "New York"), ("C", "C++"), ("Guinea", "Guinea-Bissau"), ("東京", "京東")],
)
def test_a_part_of_a_longer_word_or_name_is_another(value, field):
    assert status("City", value, f"city: {field}") != "supported"


# ------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "title",
    [
        "Skagen Lighthouse - Wikipedia",
        "Skagen Lighthouse | Lights of Denmark",
        "Skagen Lighthouse – Wikipedia",
        "Skagen Lighthouse (Denmark)",
        "SKAGEN LIGHTHOUSE",
        "The Skagen Lighthouse",
    ],
)
def test_a_title_with_a_site_a_bracket_or_an_article_is_the_key(title):
    assert status("Height", "46 m", "height: 46 m", title, name="Skagen Lighthouse") == "supported"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Cyclone Hellen", "Hellen"),
        ("Sepahan F.C.", "Sepahan"),
        ("The Cape Light", "Cape Light"),
        ("Cape Light", "The Cape Light"),
        ("São Tomé", "Sao Tome"),
    ],
)
def test_a_title_that_says_what_kind_of_thing_the_key_is_names_it(title, name):
    assert statuses(HEIGHT, [name, "46 m"], page("height: 46 m", title)) == ["supported", "supported"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("New York", "York"),
        ("北京路", "北京"),
        ("John Smith Jr.", "John Smith"),
        ("John Adam Smith", "John Smith"),
        ("Elizabeth II", "Elizabeth"),
        ("Rocky II", "Rocky"),
        ("History of Alpha", "Alpha"),
        ("List of towers in Alpha", "Alpha"),
        ("Alpha and other towers", "Alpha"),
        ("Alphaville", "Alpha"),
    ],
)
def test_a_title_that_is_a_longer_name_is_another(title, name):
    assert status("Height", "46 m", "height: 46 m", title, name=name) == "unsupported"


@pytest.mark.parametrize(
    ("name", "longer"),
    [("York", "New York"), ("北京", "北京路"), ("Guinea", "Guinea-Bissau"), ("Alpha", "Alpha Bridge")],
)
def test_a_row_of_a_longer_name_is_not_the_keys(name, longer):
    listing = f"| Name | Height |\n|---|---|\n| {longer} | 46 m |"
    assert statuses(HEIGHT, [name, "46 m"], page(listing, "Towers"))[1] == "unsupported"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("US", "They told us that the height is 46 m."),
        ("IT", "It has a height of 46 m."),
        ("No", "No tower has a height of 46 m."),
    ],
)
def test_a_common_word_is_not_the_name(name, text):
    assert statuses(HEIGHT, [name, "46 m"], page(text, "Towers")) == ["unsupported", "unsupported"]


def test_a_name_that_is_a_common_word_is_found_in_a_table():
    listing = "| Name | Height |\n|---|---|\n| US | 46 m |\n| No | 20 m |"
    levels = levels_of(HEIGHT, [["US", "46 m"], ["No", "20 m"], ["No", "46 m"]][:2], page(listing, "Countries"))
    assert levels == [["supported"] * 2] * 2


def test_a_page_of_one_springfield_does_not_speak_for_the_name_where_another_was_read():
    ohio = page("height: 20 m", "Springfield (Ohio)", "https://a.example/ohio")
    illinois = page("height: 35 m", "Springfield (Illinois)", "https://a.example/illinois")
    assert statuses(HEIGHT, ["Springfield", "20 m"], ohio)[1] == "supported"
    assert statuses(HEIGHT, ["Springfield", "20 m"], ohio, illinois)[1] != "supported"
    assert statuses(HEIGHT, ["Springfield (Ohio)", "20 m"], ohio, illinois)[1] == "supported"
    assert statuses(HEIGHT, ["Springfield (Ohio)", "35 m"], ohio, illinois)[1] == "unsupported"


YEARS = "| Year | Name | Medal |\n|---|---|---|\n| 1990 | Alpha | gold |\n| 1991 | Alpha | silver |"


def test_a_key_of_two_columns_needs_both_in_one_row():
    columns, key = ["Year", "Name", "Medal"], ["Year", "Name"]
    listing = page(YEARS, "Games")
    assert statuses(columns, ["1990", "Alpha", "gold"], listing, key=key) == ["supported"] * 3
    assert statuses(columns, ["1990", "Alpha", "silver"], listing, key=key)[2] == "unsupported"
    assert statuses(columns, ["1992", "Alpha", "gold"], listing, key=key)[2] == "unsupported"


def test_a_key_of_two_columns_may_have_one_in_the_title():
    columns, key = ["Name", "Year", "Medals"], ["Name", "Year"]
    own = page("| Year | Medals |\n|---|---|\n| 2001 | 3 |\n| 2002 | 7 |", "Ann Lee")
    assert statuses(columns, ["Ann Lee", "2001", "3"], own, key=key) == ["supported"] * 3
    assert statuses(columns, ["Ann Lee", "2001", "7"], own, key=key)[2] == "unsupported"


def test_a_name_of_no_page_is_unsupported():
    assert statuses(HEIGHT, ["Gamma", "20 m"], page(TOWERS, "Towers")) == ["unsupported", "unsupported"]


@given(st.text(), st.text(), st.text(max_size=300))
def test_any_text_can_be_traced(key, value, text):
    assert len(statuses(HEIGHT, [key, value], page(text, title=key))) == 2


def test_a_list_of_numbers_is_looked_for_number_by_number():
    pages = page("Alpha won the cup in 2001 and in 2005.", title="Alpha")
    assert statuses(["Name", "Cup won"], ["Alpha", "2001, 2005"], pages, key=("Name",))[1] in ("supported", "mentioned")
    assert statuses(["Name", "Cup won"], ["Alpha", "2001, 2007"], pages, key=("Name",))[1] == "unsupported"


@pytest.mark.parametrize(
    ("column", "value", "label", "text"),
    [
        ("Height", "66 m", "Height (ft)", "66"),
        ("Weight", "66 kg", "Weight (lb)", "66"),
        ("Height", "66 m", "Height in feet", "66"),
        ("Length", "66 miles", "Length [km]", "66"),
        ("Price", "€66", "Price (USD)", "66"),
        ("Price", "66 EUR", "Price (USD)", "66"),
    ],
)
def test_the_unit_in_the_pages_own_label_belongs_to_the_number(column, value, label, text):
    for shown in (f"{label}: {text}", f"| Name | {label} |\n|---|---|\n| Alpha | {text} |"):
        about = page(shown, title="Alpha")
        assert statuses(["Name", column], ["Alpha", value], about, key=("Name",))[1] == "unsupported"


@pytest.mark.parametrize(("value", "label"), [("66 ft", "Height (ft)"), ("66 feet", "Height in feet")])
def test_a_value_in_the_unit_of_the_pages_label_is_supported(value, label):
    about = page(f"{label}: 66", title="Alpha")
    assert statuses(["Name", "Height"], ["Alpha", value], about, key=("Name",))[1] == "supported"


def test_a_cell_that_says_nothing_is_empty_unless_a_page_says_just_that():
    about = page("height: 20 m\nkeeper: none", title="Alpha")
    columns = ["Name", "Height", "Owner", "Keeper"]
    row = ["Alpha", "20 m", "not found", "none"]
    assert statuses(columns, row, about, key=("Name",)) == ["supported", "supported", "empty", "supported"]
