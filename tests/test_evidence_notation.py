"""How pages write things down: headers of two rows, units, scales in labels, codes, namesakes, and what belongs to whom."""

from __future__ import annotations

import pytest

from tests.test_evidence import evidence_of, levels_of, page, status, statuses
from tests.work import lines_run
from wideseek.evidence.labels import label_of
from wideseek.evidence.text import Text
from wideseek.evidence.units import Measure, measure_called, unit_called
from wideseek.evidence.values import numbers

# --------------------------------------------------------------------------------------------------------- headers

TWO_ROWS = """| District | Population | | Area | |
|---|---|---|---|---|
| | Urban | Rural | Land | Water |
| Morvik | 812 | 43 | 612 | 48 |
| Tessby | 229 | 178 | 1904 | 233 |"""
ABOVE_THE_RULE = TWO_ROWS.replace("|---|---|---|---|---|\n", "").replace(
    "Water |\n", "Water |\n|---|---|---|---|---|\n"
)
NO_RULE = TWO_ROWS.replace("|---|---|---|---|---|\n", "")
WITHOUT_KEY_COLUMN = """| Population | | Area | |
|---|---|---|---|
| Urban | Rural | Land | Water |
| 812 | 43 | 612 | 48 |"""
REPEATED = TWO_ROWS.replace("Population | |", "Population | Population |").replace("Area | |", "Area | Area |")
CAPTIONED = "| Districts of Orland | | | | |\n" + ABOVE_THE_RULE
TABLES = {
    "below the rule": TWO_ROWS,
    "above the rule": ABOVE_THE_RULE,
    "no rule": NO_RULE,
    "repeated": REPEATED,
    "captioned": CAPTIONED,
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_two_header_rows_name_their_columns_together(text):
    columns = ["District", "Urban population", "Rural population", "Land area", "Water area"]
    rows = [["Morvik", "812", "43", "612", "48"], ["Morvik", "43", "812", "48", "612"]]
    right, wrong = levels_of(columns, rows, page(text, "Districts"))
    assert right == ["supported"] * 5
    assert wrong[1:] == ["unsupported"] * 4


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("value", ["812", "43"])
def test_the_upper_header_alone_names_none_of_the_columns_that_it_spans(text, value):
    assert statuses(["District", "Population"], ["Morvik", value], page(text, "Districts"))[1] == "mentioned"


def test_two_header_rows_need_no_column_that_names_the_rows():
    assert status("Urban population", "812", WITHOUT_KEY_COLUMN) == "supported"
    assert status("Rural population", "812", WITHOUT_KEY_COLUMN) == "unsupported"
    assert status("Population", "812", WITHOUT_KEY_COLUMN) == "mentioned"


def test_a_header_that_stands_twice_ties_neither_of_its_columns():
    text = "| Year | Votes | % | Votes | % |\n|---|---|---|---|---|\n| 1998 | 4120 | 31.2 | 5022 | 38.1 |"
    for votes in ("4120", "5022"):
        assert statuses(["Year", "Votes"], ["1998", votes], page(text, "Elections"))[1] == "mentioned"


def test_a_first_row_of_words_under_a_header_with_an_empty_cell_is_no_header():
    text = "| Name | | Country |\n|---|---|---|\n| Alpha | x | Norway |\n| Beta | y | Sweden |"
    assert statuses(["Name", "Country"], ["Alpha", "Norway"], page(text, "Towers")) == ["supported", "supported"]


# ----------------------------------------------------------------------------------------------------------- units

OTHER_UNITS = [
    *(("5 million SEK", "5 million EUR"), ("5 million yen", "5 million yuan"), ("5 million CHF", "$5 million")),
    *(("5 kt", "5 t"), ("5 Mt", "5 kt"), ("5 mW", "5 MW"), ("16 GB", "16 Gb"), ("30 mg", "30 g"), ("5 T", "5 t")),
    *(("250 kWh", "250 kW"), ("7 m³/s", "7 m³"), ("7 m³/s", "7 m³/h"), ("40 ppb", "40 ppm"), ("12 mbar", "12 bar")),
    *(("33° S", "33° N"), ("5 quux", "5 m"), ("5 fathoms", "5 m"), ("48 million CHF", "48 million"), ("5 ‰", "5 %")),
    *(("90 kg per day", "90 kg"), ("5 smoots", "5 metres"), ("41,700 long tons", "41,700 tonnes")),
    *(("41,700 short tons", "41,700 long tons"), ("5 tonnes", "5 tons"), ("5 long tons", "5 tons")),
]


@pytest.mark.parametrize(("said", "claimed"), OTHER_UNITS)
def test_a_number_in_another_unit_is_another_number_whether_the_unit_is_known_or_not(said, claimed):
    assert status("Output", claimed, f"output: {said}") != "supported"
    assert status("Output", said, f"output: {claimed}") != "supported" or said.split()[-1] not in claimed


@pytest.mark.parametrize(
    ("said", "claimed"),
    [
        *(("5 million SEK", "SEK 5,000,000"), ("SEK 5 million", "5 million SEK"), ("5 kt", "5 kilotonnes")),
        *(("5 MW", "5 megawatts"), ("33° S", "33°S"), ("¥5 million", "5 million yen"), ("90 km per hour", "90 km/h")),
        *(("16GB", "16 GB"), ("A$20", "20 AUD"), ("5,200 spectators", "5200"), ("5 quux", "5 quux")),
    ],
)
def test_the_same_unit_may_be_written_otherwise(said, claimed):
    assert status("Output", claimed, f"output: {said}") == "supported"


def test_a_word_that_is_no_unit_stands_beside_its_number_as_it_is_written():
    (number,) = numbers(Text("5 Smoots"))
    assert (number.unit, number.word) == ("", "Smoots")
    assert unit_called("Smoots") == ""
    assert [unit_called(written) for written in ("mW", "MW", "mw")] == ["mW", "mw", "mw"]


def test_a_unit_in_the_pages_label_belongs_to_its_numbers():
    text = "cost (SEK): 310,000"
    assert status("Cost", "310,000 SEK", text) == "supported"
    assert status("Cost", "310,000 EUR", text) != "supported"
    assert status("Cost (EUR)", "310,000", text) != "supported"


# ---------------------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize(
    ("written", "measure"),
    [
        *(("thousands", Measure("", 3)), ("in thousands", Measure("", 3)), ("000s", Measure("", 3))),
        *(("'000", Measure("", 3)), ("million EUR", Measure("€", 6)), ("$ bn", Measure("$", 9)), ("$M", Measure("$", 6))),
        *(("US$ millions", Measure("$", 6)), ("km/h", Measure("kmh")), ("square miles", Measure("mi2"))),
        *(("m", Measure("m")), ("m / ft", None), ("2011", None), ("US", None), ("estimated", None), ("", None)),
        *(("SEK", Measure("SEK")), ("/km²", Measure("km2")), ("亿元", None), ("万", Measure("", 4))),
    ],
)  # fmt: skip
def test_a_bracket_of_a_label_gives_a_unit_and_a_scale_or_says_something_else(written, measure):
    assert measure_called(written) == measure


SCALED = ["Population (thousands)", "Population (in thousands)", "Population ('000)", "Population in thousands"]


@pytest.mark.parametrize("label", SCALED)
def test_a_number_under_a_label_with_a_scale_is_that_many_times_as_large(label):
    for text in (f"{label}: 5", f"| Name | {label} | Area |\n|---|---|---|\n| Alpha | 5 | 9 |"):
        assert status("Population", "5", text) != "supported"
        assert status("Population", "5,000", text) == "supported"
        assert status("Population", "5 thousand", text) == "supported"
        assert status(label, "5", text) == "supported"
        assert status(label, "5,000", text) != "supported"


def test_a_column_with_a_scale_gives_it_to_its_cells():
    assert status("Turnover (million $)", "1,400", "turnover: $1.4 billion") == "supported"
    assert status("Turnover (million $)", "1.4", "turnover (bn $): 1.4") != "supported"
    assert status("Population (thousands)", "5", "population: 5") != "supported"


def test_a_label_without_a_scale_keeps_its_meaning():
    assert label_of("Area (sq mi)").measure == Measure("mi2")
    assert label_of("Population (2011)").measure == Measure()


# ----------------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize(
    ("column", "said", "claimed"),
    [
        *(("Code", "01001", "1001"), ("Code", "1001", "01001"), ("Zip code", "02134", "2134")),
        *(("Version", "3.1", "3.10"), ("Version", "3.10", "3.1"), ("Release id", "2.0", "2"), ("Ports", "08", "8")),
        *(("Calling code", "+236", "236"), ("版本", "3.10", "3.1")),
    ],
)
def test_a_code_is_a_name_and_only_the_same_digits_are_the_same(column, said, claimed):
    for text in (f"{column}: {said}", f"| Name | {column} | Area |\n|---|---|---|\n| Alpha | {said} | 9 |"):
        assert status(column, said, text) == "supported"
        assert status(column, claimed, text) != "supported"


def test_a_version_in_a_sentence_is_the_same_digits_too():
    assert status("Version", "3.1", "Alpha runs version 3.1.") == "supported"
    assert status("Version", "3.1", "Alpha runs version 3.10.") == "unsupported"


@pytest.mark.parametrize(("said", "claimed"), [("1,240", "1240"), ("3.10 m", "3.1 m"), ("0.50", "0.5"), ("0", "0.0")])
def test_other_numbers_stay_numbers(said, claimed):
    assert status("Height", claimed, f"height: {said}") == "supported"


# ------------------------------------------------------------------------------------------------------- namesakes

NAMESAKES = """| Reactor | Capacity |
|---|---|
| Alpha (proposed) | 900 MW |
| Alpha | 450 MW |
| Beta (proposed) | 620 MW |"""


def test_the_exact_name_on_a_page_wins_over_one_with_a_remark():
    rows = [["Alpha", "450 MW"], ["Alpha", "900 MW"], ["Alpha (proposed)", "900 MW"], ["Alpha (proposed)", "450 MW"]]
    levels = [row[1] for row in levels_of(["Reactor", "Capacity"], rows, page(NAMESAKES, "Reactors"))]
    assert levels == ["supported", "unsupported", "supported", "unsupported"]


def test_a_name_with_a_remark_speaks_for_the_name_where_the_page_has_no_other():
    assert statuses(["Reactor", "Capacity"], ["Beta", "620 MW"], page(NAMESAKES, "Reactors")) == ["supported"] * 2


# ----------------------------------------------------------------------------------------------------- possessions


@pytest.mark.parametrize(
    "text",
    [
        *("Alpha's keeper's house is 12 m high.", "Alpha's house is 12 m high.", "Alpha's keeper's height is 12 m."),
        *("Alpha's annexe has a height of 12 m.", "Alpha's 12 m high gate was built late."),
    ],
)
@pytest.mark.parametrize("title", ["Alpha", "Lighthouses"])
def test_a_number_belongs_to_the_last_thing_that_is_owned(text, title):
    assert status("Height", "12 m", text, title) == "mentioned"


def test_the_twins_own_their_gate():
    assert status("Height", "12 m", "The Twins' gate is 12 m high.", "Lighthouses", "The Twins") == "mentioned"


@pytest.mark.parametrize("text", ["Alpha's height is 12 m.", "Alpha's total height of 12 m is known."])
def test_what_a_thing_owns_may_be_the_column(text):
    assert status("Height", "12 m", text, "Lighthouses") == "supported"


def test_the_owner_of_the_column_has_to_be_the_row():
    text = "Tessby's mayor is Ann Lee. Tessby's mayor's sister is Bea Lee."
    columns, town = ["City", "Mayor"], page(text, "Officials")
    assert evidence_of(columns, ["Tessby", "Ann Lee"], town)[1].tie == "words: Mayor"
    assert statuses(columns, ["Tessby", "Bea Lee"], town)[1] == "mentioned"


# ------------------------------------------------------------------------------------------------------------ cost


def test_many_records_of_one_row_are_as_much_work_as_they_are_many():
    def work(times: int) -> int:
        rows = "\n".join(f"| Alpha | {number} |" for number in range(times))
        text = f"| Name | Height |\n|---|---|\n{rows}"
        return lines_run(lambda: statuses(["Name", "Height"], ["Alpha", "35"], page(text, "Towers")))

    assert work(400) <= 4.6 * work(100)
