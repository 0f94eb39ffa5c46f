"""A contract repairs or reports what a model's table gets wrong, and types its rows without guessing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, create_model, model_validator

from wideseek.contract import Contract
from wideseek.errors import BadInput
from wideseek.table import Table

NYC = Contract.parse("Name,Year,Country", "Name")


# ------------------------------------------------------------------------------------------------------------- parse


@pytest.mark.parametrize(
    ("columns", "key", "expected"),
    [
        ("Name,Year,Country", "Name", (["Name", "Year", "Country"], ["Name"], False)),
        (" Name , Year ", "year, NAME", (["Name", "Year"], ["Year", "Name"], False)),
        ("Name", None, (["Name"], ["Name"], True)),
        ('"City, State",Size', '"City, State"', (["City, State", "Size"], ["City, State"], False)),
        ("姓名，年份", "年份", (["姓名", "年份"], ["年份"], False)),
        (["a, b", "c"], ["c"], (["a, b", "c"], ["c"], False)),
    ],
)
def test_a_contract_is_read_from_the_command_line(columns: Any, key: Any, expected: Any) -> None:
    contract = Contract.parse(columns, key)
    assert (contract.columns, contract.key, contract.assumed_key) == expected


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        ("", None, "columns: no name given; write them as in Name,Year,Country"),
        (" , ", None, "columns: no name given"),
        ([], None, "columns: no name given"),
        ("Name,,Year", None, "columns: name 2 of 3 is empty"),
        ("Name,Year,name", None, r"columns: 'name' is named twice \(as 'Name'\)"),
        ("Name,Name", None, "columns: 'Name' is named twice$"),
        ('"Name,Year', None, "columns: .*double quotes"),
        ("Name,Year", "", "key: no name given"),
        ("Name,Year", "Nmae", r"key: 'Nmae' is not among the columns \(Name, Year\); did you mean 'Name'\?"),
        ("Name,Year", "Zz", r"key: 'Zz' is not among .* the key names one or more of them"),
        ("Name,Year", "Name,name", "key: 'name' is named twice"),
    ],
)
def test_a_wrong_contract_says_where_and_what_next(columns: Any, key: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Contract.parse(columns, key)


# ----------------------------------------------------------------------------------------------------------- conform


def test_columns_in_another_order_case_or_spacing_are_put_right_without_a_note() -> None:
    table = Table([" country", "YEAR", "Name"], [["France", "1900", "Paris"]])
    assert NYC.conform(table) == (Table(["Name", "Year", "Country"], [["Paris", "1900", "France"]]), [])


def test_missing_and_extra_columns_are_reported() -> None:
    conformed, notes = NYC.conform(Table(["Name", "Notes"], [["Paris", "x"]]))
    assert conformed.rows == [["Paris", "", ""]]
    assert notes == [
        "Column 'Year' is missing; its cells are empty.",
        "Column 'Country' is missing; its cells are empty.",
        "Column 'Notes' was not asked for and was left out.",
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("Year", "**Year**"),
        ("Birth year", "birth_year"),
        ("ABV %", "ABV (%)"),
        ("Revenue", "Revenue (USD)"),
        ("Pack Size (Bottle)", "Pack size"),
        ("Year", "Years"),
        ("Population", "Populaton"),
        ("Gold medals 2020", "Gold medal 2020"),
        ("国家（地区）", "国家"),
    ],
)
def test_a_column_under_another_spelling_is_read_with_a_note(wanted: str, found: str) -> None:
    conformed, notes = Contract.parse(["Id", wanted]).conform(Table(["Id", found], [["a", "b"]]))
    assert conformed == Table(["Id", wanted], [["a", "b"]])
    assert notes == [f"Column {found!r} was read as {wanted!r}."]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("Country", "County"),
        ("Population 2010", "Population 2020"),
        ("Number of male students", "Number of female students"),
        ("Revenue (USD)", "Revenue (EUR)"),
        ("Latitude", "Altitude"),
        ("Start date", "End date"),
        ("#", "%"),
        ("出生日期", "出版日期"),
        ("Name", "Country name"),
        ("Team 1", "Team"),
    ],
)
def test_a_column_that_may_mean_something_else_is_not_taken(wanted: str, found: str) -> None:
    conformed, notes = Contract.parse(["Id", wanted]).conform(Table(["Id", found], [["a", "b"]]))
    assert conformed.rows == [["a", ""]]
    assert len(notes) == 2


def test_where_two_columns_compete_neither_is_taken() -> None:
    contract = Contract.parse("Id,Revenue")
    conformed, notes = contract.conform(Table(["Id", "Revenue (2019)", "Revenue (2020)"], [["a", "1", "2"]]))
    assert conformed.rows == [["a", ""]]
    assert len(notes) == 3


def test_a_doubled_column_gives_the_first_filled_cell() -> None:
    table = Table(
        ["Name", "Year", "year", "Country"], [["a", "", "1", "x"], ["b", "2", "3", "y"], ["c", "4", "4", "z"]]
    )
    conformed, notes = NYC.conform(table)
    assert [row[1] for row in conformed.rows] == ["1", "2", "4"]
    assert notes == ["Column 'Year' came 2 times; the first filled cell of each row was kept (1 row differed)."]


def test_rows_that_repeat_a_named_key_are_merged_where_they_agree() -> None:
    rows = [["Paris", "", "France"], ["Rome", "1", "Italy"], ["**paris**", "2", "FRANCE"], ["Rome", "7", ""]]
    conformed, notes = NYC.conform(Table(NYC.columns, rows))
    assert conformed.rows == [["Paris", "2", "France"], ["Rome", "1", "Italy"], ["Rome", "7", ""]]
    assert notes == [
        "2 rows for 'Paris' were merged.",
        "2 rows share the key 'Rome' but differ in Year; they were kept apart.",
    ]


OHIO, ILLINOIS = ["Springfield", "Ohio", "", "1801"], ["Springfield", "Illinois", "114394", ""]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([OHIO, ILLINOIS], [OHIO, ILLINOIS]),
        ([ILLINOIS, OHIO, OHIO], [ILLINOIS, OHIO]),
        (
            [OHIO, ILLINOIS, ["Springfield", "Ohio", "58662", ""]],
            [["Springfield", "Ohio", "58662", "1801"], ILLINOIS],
        ),
        ([OHIO, ["springfield", "", "", ""], ILLINOIS], [OHIO, ILLINOIS]),
        (
            [["Springfield", "", "155929", ""], ["Springfield", "Massachusetts", "", ""], OHIO],
            [["Springfield", "", "155929", ""], ["Springfield", "Massachusetts", "", ""], OHIO],
        ),
    ],
    ids=["two", "a repeated one", "one in two parts", "one that says nothing", "one that may be either"],
)
def test_no_row_takes_a_cell_from_a_row_that_differs(rows: list[list[str]], kept: list[list[str]]) -> None:
    contract = Contract.parse("City,State,People,Since", "City")
    conformed, notes = contract.conform(Table(contract.columns, rows))
    assert conformed.rows == kept
    assert notes[0].startswith(f"{len(kept)} rows share the key 'Springfield' but differ in State")


@given(st.lists(st.tuples(*[st.sampled_from(["", "a", "b", "c"])] * 3), max_size=6), st.randoms())
@settings(max_examples=200, deadline=None)
def test_merging_invents_no_row_loses_no_cell_and_does_not_depend_on_the_order(rows, random) -> None:
    contract = Contract.parse("Name,A,B,C", "Name")
    given_rows = [["x", *row] for row in rows]
    merged = contract.conform(Table(contract.columns, given_rows))[0].rows
    for row in given_rows:
        assert any(all(not a or a == b for a, b in zip(row, other, strict=True)) for other in merged)
    shuffled = random.sample(given_rows, len(given_rows))
    assert sorted(contract.conform(Table(contract.columns, shuffled))[0].rows) == sorted(merged)


def test_many_different_rows_under_one_key_are_kept_apart_at_once() -> None:
    rows = [["x", str(number), ""] for number in range(20_000)]
    assert NYC.conform(Table(NYC.columns, rows))[0].rows == rows


def test_rows_that_differ_under_an_assumed_key_are_kept_apart() -> None:
    contract = Contract.parse("Country,City")
    table = Table(["Country", "City"], [["US", "NY"], ["US", "LA"], ["US", "NY"], ["FR", "Paris"], ["FR", ""]])
    conformed, notes = contract.conform(table)
    assert conformed.rows == [["US", "NY"], ["US", "LA"], ["FR", "Paris"]]
    assert notes == [
        "2 rows share the key 'US' but differ in City; they were kept apart (no key was named).",
        "2 rows for 'FR' were merged.",
    ]


def test_rows_without_a_key_are_left_out_unless_no_row_has_one() -> None:
    conformed, notes = NYC.conform(Table(NYC.columns, [["a", "1", ""], [" ", "2", ""], ["", "", ""]]))
    assert conformed.rows == [["a", "1", ""]]
    assert notes == ["2 rows without a key ('Name') left out."]
    conformed, notes = NYC.conform(Table(["Year"], [["1"], [""], ["1"]]))
    assert conformed.rows == [["", "1", ""], ["", "1", ""]]
    assert "No row has a key ('Name'): rows were kept as they are." in notes


def test_half_a_key_is_a_key() -> None:
    contract = Contract.parse("Show,City", "Show,City")
    table = Table(["Show", "City"], [["-", "Bonn"], ["", "Bonn"], ["-", "Bern"]])
    assert contract.conform(table) == (table, [])


def test_no_table_conforms_to_an_empty_one() -> None:
    conformed, notes = NYC.conform(Table())
    assert conformed == Table(NYC.columns)
    assert len(notes) == 3


names = st.sampled_from(
    ["Name", "name ", "Names", "**Name**", "Year", "Year (AD)", "Years", "Country", "County", "", "#"]
)
words = st.sampled_from(["", " ", "a", "A", "**a**", "b", "1", "é", "e\u0301"])


@st.composite
def messy_tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(names, max_size=5))
    rows = draw(st.lists(st.lists(words, min_size=len(columns), max_size=len(columns)), max_size=5)) if columns else []
    return Table(columns, rows)


@given(messy_tables(), st.sampled_from(["Name", "Year,Name", None]))
@settings(max_examples=300, deadline=None)
def test_conforming_twice_changes_nothing(table: Table, key: str | None) -> None:
    contract = Contract.parse("Name,Year,Country", key)
    once, _ = contract.conform(table)
    twice, notes = contract.conform(once)
    assert twice == once
    assert once.columns == contract.columns
    assert all("kept apart" in note or note.startswith("No row has a key") for note in notes)


# ---------------------------------------------------------------------------------------------------------- of_model


def test_a_model_names_columns_by_title_alias_or_field_and_marks_its_key() -> None:
    class City(BaseModel):
        country: str = Field(title="Country name")
        city: str = Field(alias="City", json_schema_extra={"key": True})
        area: float | None = None

    contract = Contract.of_model(City)
    assert contract == Contract(["Country name", "City", "area"], ["City"])
    rows, notes = contract.typed(
        Table(["City", "Country name", "Area"], [["Bonn", "DE", "141.1"], ["Bern", "CH", ""]]), City
    )
    assert [(row.country, row.city, row.area) for row in rows] == [("DE", "Bonn", 141.1), ("CH", "Bern", None)]
    assert notes == []


def test_a_model_without_a_marked_key_has_its_first_field_assumed() -> None:
    assert Contract.of_model(create_model("M", a=(str, ...), b=(int, 0))) == Contract(
        ["a", "b"], ["a"], assumed_key=True
    )


@pytest.mark.parametrize("model", [int, "City", create_model("Empty")])
def test_what_is_no_model_with_fields_is_refused(model: Any) -> None:
    with pytest.raises(BadInput, match="schema:"):
        Contract.of_model(model)


# ------------------------------------------------------------------------------------------------------------- typed


class Colour(Enum):
    RED = "red"


LEFT_OUT = "left out"


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (int, "1234", 1234),
        (int, "1,234", 1234),
        (int, "1,234,567", 1234567),
        (int, "−5", -5),
        (int, "12 %", 12),
        (int, "**1,234** [3]", 1234),
        (int, "12\u202f345", 12345),
        (int, "1.0", 1),
        (int, "1.5", LEFT_OUT),
        (int, "1,23", LEFT_OUT),
        (int, "12,34,567", LEFT_OUT),
        (int, "about 5", LEFT_OUT),
        (int, "5 km", LEFT_OUT),
        (int, "$5", LEFT_OUT),
        (int, "", LEFT_OUT),
        (int, "N/A", LEFT_OUT),
        (int, "10²", LEFT_OUT),
        (int, "9" * 5000, LEFT_OUT),
        (int | None, "", None),
        (int | None, "N/A", None),
        (int | None, "—", None),
        (int | None, "1,000", 1000),
        (float, "12.5 %", 12.5),
        (float, "1,234.5", 1234.5),
        (float, "40", 40.0),
        (float, "1e6", 1e6),
        (float, "1.234,5", LEFT_OUT),
        (float, "nan", LEFT_OUT),
        (Decimal, "1,234.50", Decimal("1234.50")),
        (Annotated[int, Field(ge=0)] | None, "1,234", 1234),
        (Annotated[int, Field(ge=0)], "-1", LEFT_OUT),
        (str, "", ""),
        (str, "N/A", "N/A"),
        (str, " x ", " x "),
        (str | None, "", None),
        (str | None, "-", "-"),
        (bool, "Yes", True),
        (bool, "✓", True),
        (bool, "否", False),
        (bool, "no", False),
        (bool, "maybe", LEFT_OUT),
        (date, "2020-05-12", date(2020, 5, 12)),
        (date, "12 May 2020", date(2020, 5, 12)),
        (date, "May 12, 2020", date(2020, 5, 12)),
        (date, "2020年5月12日", date(2020, 5, 12)),
        (date, "20200512", date(2020, 5, 12)),
        (date, "Feb 01, 1994", date(1994, 2, 1)),
        (date, "1990", LEFT_OUT),
        (date, "05/12/2020", LEFT_OUT),
        (date, "0", LEFT_OUT),
        (date | None, "", None),
        (datetime, "2020-05-12 10:30", datetime(2020, 5, 12, 10, 30)),
        (datetime, "1990", LEFT_OUT),
        (list[str], "a, b，c", ["a", "b", "c"]),
        (list[str], "Bonn, DE; Bern, CH", ["Bonn, DE", "Bern, CH"]),
        (list[str], "a\nb", ["a", "b"]),
        (list[str], "", []),
        (list[str], "-", []),
        (list[str] | None, "", None),
        (list[int], "1,234, 5", [1234, 5]),
        (set[int], "1;2", {1, 2}),
        (tuple[str, ...], "a", ("a",)),
        (Sequence[str], "a;b", ["a", "b"]),
        (Literal["a", "N/A"], "N/A", "N/A"),
        (Colour, "red", Colour.RED),
        (int | str, "1,5", "1,5"),
        (Any, "x", "x"),
    ],
)
def test_cells_are_cleaned_by_type_and_never_by_guessing(kind: Any, cell: str, value: Any) -> None:
    model = create_model("M", name=(str, ...), value=(kind, ...))
    rows, notes = Contract.of_model(model).typed(Table(["name", "value"], [["a", cell]]), model)
    if value is LEFT_OUT:
        assert rows == []
        assert len(notes) == 1
        assert notes[0].startswith("Row 'a' was left out: value: ")
    else:
        got = rows[0].model_dump()["value"]
        assert (got, type(got)) == (value, type(value))
        assert notes == []


def test_strict_models_get_values_of_their_types() -> None:
    class Row(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid")
        name: str
        count: int
        share: float
        price: Decimal
        on: date
        ok: bool

    table = Table(["name", "count", "share", "price", "on", "ok"], [["a", "1,000", "5 %", "2.50", "2020-01-02", "yes"]])
    rows, notes = Contract.of_model(Row).typed(table, Row)
    assert rows == [Row(name="a", count=1000, share=5, price=Decimal("2.50"), on=date(2020, 1, 2), ok=True)]
    assert notes == []


def test_an_empty_cell_gives_the_default() -> None:
    model = create_model("M", name=(str, ...), n=(int, 7), tags=(list[str] | None, None), text=(str, "none"))
    rows, _ = Contract.of_model(model).typed(Table(["name", "n", "tags", "text"], [["a", "N/A", "", ""]]), model)
    assert rows[0].model_dump() == {"name": "a", "n": 7, "tags": None, "text": "none"}


def test_validation_aliases_and_model_validators_are_heard() -> None:
    class Row(BaseModel):
        name: str = Field(validation_alias=AliasChoices("Name", "Label"))
        low: int = Field(validation_alias="Low")
        high: int

        @model_validator(mode="after")
        def ordered(self) -> Row:
            if self.low > self.high:
                raise ValueError("low exceeds high")
            return self

    contract = Contract.of_model(Row)
    rows, notes = contract.typed(
        Table(["name", "low", "high"], [["a", "1", "2"], ["b", "2", "1"], ["c", "x", "y" * 99]]), Row
    )
    assert [row.name for row in rows] == ["a"]
    assert notes[0] == "Row 'b' was left out: Value error, low exceeds high."
    assert notes[1].startswith("Row 'c' was left out: low: Input should be a valid integer")
    assert "(the cell is 'x'); high: " in notes[1]
    assert "y" * 60 not in notes[1]


def test_typing_conforms_first_and_a_foreign_model_is_refused() -> None:
    model = create_model("M", Name=(str, ...), Year=(int, ...))
    rows, notes = Contract.of_model(model).typed(Table(["year", "Name", "x"], [["1", "a", "?"]]), model)
    assert rows[0].model_dump() == {"Name": "a", "Year": 1}
    assert notes == ["Column 'x' was not asked for and was left out."]
    with pytest.raises(BadInput, match="no column 'Name'"):
        Contract.parse("Id").typed(Table(["Id"]), model)


def test_a_key_that_no_column_is_called_like_is_read_from_the_first_column():
    contract = Contract.parse("Island,Inhabitants")
    table, notes = contract.conform(Table(["name", "area"], [["Koror", "60"], ["Angaur", "8"]]))
    assert [row[0] for row in table.rows] == ["Koror", "Angaur"]
    assert any("'name', the first, was read as the key 'Island'" in note for note in notes)


def test_rows_without_any_wanted_column_are_left_out_with_a_note():
    contract = Contract.parse("Island,Inhabitants")
    table, notes = contract.conform(Table(["Inhabitants"], [[""], [""]]))
    assert table.rows == []
    assert any("2 rows without any of the columns left out" in note for note in notes)


def test_a_key_column_that_is_empty_is_read_from_the_first_column():
    table = Table(["name", "Island", "Inhabitants"], [["Koror", "", "11,444"]])
    conformed, _ = Contract.parse("Island,Inhabitants").conform(table)
    assert conformed.rows == [["Koror", "11,444"]]
