"""Tables survive every format they are written to, and are found in what models really write."""

from __future__ import annotations

import gzip
import json
import os
import string
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from tests.work import lines_run
from wideseek.errors import BadInput
from wideseek.table import Table, find_tables, merge_tables, norm_column, write_xlsx
from wideseek.table.exchange import formula_as_text, text_as_formula

# ------------------------------------------------------------------------------------------------------- any tables

TRICKY = [
    "", " ", "  ", "|", "||", "\\", "\\\\", "\\|", "\\\\|", "a\\", "---", ":-:", "-", "<br>", "<BR />",
    "\\<br>", "<br\n>", "&amp;", "&#13;", "&#x20;", "&nbsp;", "\\&lt;", "&", "&#0;", "&#xD800;", "&#99999999;",
    "AT&T;", "\n", "\r\n", "\r", "\n\r", "a\nb", "a\r\nb", "a\rb", "\nx\n", "'", '"', '""', 'say "hi"', "a,b",
    ";", "\t", " x ", "\u3000x\u3000", "\xa0", "\x85", "\x1c", "\u2028", "\x0b", "\x00", "\ufeff", "\ufffe",
    "é", "e\u0301", "שלום", "مرحبا | بك", "\u202eabc", "👩‍👩‍👧", "北京", "_x000D_", "_x0041\r", "_x005F_",
    "x005F_", "__x0041_x0042_", "=1+1", "+1", "@x", "#N/A", "TRUE", "1e5", "001", "1990.0", "```", "~~~",
    "> q", "# h", "**b**", "`a|b`", "[l](http://x.y/?a=1&b=2|3)", "<script>", "nan", "NA", "ſ", "&K;",
]  # fmt: skip

cells = st.one_of(
    st.sampled_from(TRICKY),
    st.text(alphabet="|\\\n\r\"'<br>/& ;#x13-:`~_=\t", max_size=8),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(TRICKY), min_size=2, max_size=3).map("".join),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    width = draw(st.integers(0, 4))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=4)) if width else []
    return Table(draw(st.lists(cells, min_size=width, max_size=width)), rows)


EVERY_TRICKY_CELL = Table(["cell", "again"], [[cell, cell] for cell in TRICKY])


@given(tables())
@example(EVERY_TRICKY_CELL)
@example(Table(["---"], [["---"], [""]]))
@example(Table([""], [[""]]))
@settings(max_examples=300, deadline=None)
def test_markdown_gives_back_every_table(table: Table) -> None:
    text = table.to_markdown()
    assert Table.from_markdown(text) == table
    assert find_tables(f"Here it is: a|b\n\n```markdown\n{text}\n```\nDone | dusted.") == (
        [table] if table.columns else []
    )
    assert len(text.split("\n")) == (2 + len(table.rows) if table.columns else 1)


@given(tables())
@example(EVERY_TRICKY_CELL)
@settings(max_examples=100, deadline=None)
def test_csv_gives_back_every_table(table: Table) -> None:
    assert Table.from_csv(table.to_csv()) == table


@given(tables())
@example(EVERY_TRICKY_CELL)
@settings(max_examples=100, deadline=None)
def test_json_gives_back_every_table(table: Table) -> None:
    assert Table.from_json(table.to_json()) == table
    assert msgspec.json.decode(msgspec.json.encode(table), type=Table) == table


@given(table=tables())
@example(table=EVERY_TRICKY_CELL)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_xlsx_gives_back_every_table(tmp_path: Path, table: Table) -> None:
    table.to_xlsx(tmp_path / "t.xlsx")
    assert Table.from_xlsx(tmp_path / "t.xlsx") == table


@given(
    st.one_of(st.text(), st.text(alphabet="|-\\\n\r ab`~>:&;#<br"), st.lists(st.sampled_from(TRICKY)).map("\n".join))
)
@settings(max_examples=300, deadline=None)
def test_reading_markdown_never_raises(text: str) -> None:
    for table in [Table.from_markdown(text), *find_tables(text)]:
        assert Table.from_markdown(table.to_markdown()) == table


@pytest.mark.parametrize(
    "piece", ["|", "| a ", "\n", "\n\n|", "```", " ", "\\", "<br ", "&a", "> ", "a|b\n\n", "|-|\n", "``` "]
)
def test_reading_markdown_is_work_in_proportion_to_the_text(piece: str) -> None:
    def work(characters: int) -> int:
        return lines_run(lambda: find_tables(piece * (characters // len(piece)) + "x"))

    assert work(16_000) < 2.5 * work(8_000)
    find_tables(piece * (200_000 // len(piece)) + "x")


def test_gold_tables_of_widesearch_survive_every_format(tmp_path: Path) -> None:
    if not (data := os.environ.get("WIDESEEK_DATA")):
        pytest.skip("WIDESEEK_DATA is not set: it names the folder of real data")
    for name in ("widesearch", "deepwidesearch"):
        with gzip.open(Path(data) / "widesearch" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        golds = [Table(record["columns"], record["rows"]) for record in records]
        assert len(golds) > 90
        for gold in golds:
            assert Table.from_markdown(gold.to_markdown()) == gold
            assert Table.from_csv(gold.to_csv()) == gold
            assert Table.from_json(gold.to_json()) == gold
        for record, gold in zip(records, golds, strict=True):
            found = Table.from_markdown(record["answer"])
            assert (found.columns, len(found.rows)) == (gold.columns, len(gold.rows)), record["instance_id"]
        for gold in golds[::20]:
            gold.to_xlsx(tmp_path / "gold.xlsx")
            assert Table.from_xlsx(tmp_path / "gold.xlsx") == gold


# ------------------------------------------------------------------------------------------------ what models write

AB = Table(["A", "B"], [["1", "2"], ["3", "4"]])


@pytest.mark.parametrize(
    "text",
    [
        "| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "|A|B|\n|:-|-:|\n|1|2|\n|3|4|",
        "A | B\n--- | :---:\n1 | 2\n3 | 4",
        "| A | B\n|---|---\n| 1 | 2\n| 3 | 4",
        "| A | B |\n|---|---|\n1 | 2\n3 | 4",
        "| A | B |\r\n|---|---|\r\n| 1 | 2 |\r\n| 3 | 4 |\r\n",
        "| A | B |\n\n| - | - |\n\n| 1 | 2 |\n\n| 3 | 4 |",
        "| A | B |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |",
        "| A | B |\n|---|\n| 1 | 2 |\n| 3 | 4 |",
        "| A | B |\n|---|---|---|\n| 1 | 2 |\n| 3 | 4 | |",
        "| A | B |\n| 1 | 2 |\n| 3 | 4 |",
        "  | A | B |\n  |---|---|\n  | 1 | 2 |\n  | 3 | 4 |",
        "> | A | B |\n> |---|---|\n> | 1 | 2 |\n> | 3 | 4 |",
        "```markdown\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n```",
        "```MD\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "~~~\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n~~~",
        "```markdown | A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |```",
        "Either a|b fits.\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\nNote: x.",
        "Either a|b fits.\nOr c|d.\n\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nSources: x | y",
        "| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\nSources: x | y | z",
        "```python\nc = a | b\nd = c | a\n```\n| A | B |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
        "<think>a | b\n</think>\n### Table\n| A | B |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n</answer>",
    ],
)
def test_a_table_is_read_however_a_model_puts_it(text: str) -> None:
    assert find_tables(text) == [AB]
    assert Table.from_markdown(text) == AB


@pytest.mark.parametrize(
    "text", ["", "no table", "a|b", "| a |", "|---|", "```\na|b\n```", "```c\nx | y\nz | w\n```", "a|b\nc"]
)
def test_prose_and_code_are_no_tables(text: str) -> None:
    assert find_tables(text) == []
    assert Table.from_markdown(text) == Table()


def test_tables_are_found_in_order_of_appearance() -> None:
    text = "First:\n| A |\n|---|\n| 1 |\n\n| B |\n|---|\n\n```\n| C |\n|---|\n| 3 |\n```\nand\n```md\nD|E\n-|-\n```"
    assert [table.columns for table in find_tables(text)] == [["A"], ["B"], ["C"], ["D", "E"]]


def test_a_row_of_dashes_is_a_row() -> None:
    table = Table.from_markdown("| A | B |\n|---|---|\n| --- | --- |\n| - | - |\n| 1 | 2 |")
    assert table.rows == [["---", "---"], ["-", "-"], ["1", "2"]]


def test_ragged_rows_lose_nothing() -> None:
    table = Table.from_markdown("| A | B |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |\n| 1 | 2 | |\n|  |")
    assert table.rows == [["1", ""], ["1", "2 | 3"], ["1", "2"], ["", ""]]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a \| b", "a | b"),
        (r"C:\Users\x", r"C:\Users\x"),
        (r"\_x\_ \$5 \*", "_x_ $5 *"),
        ("a<br>b<BR/>c<br />d", "a\nb\nc\nd"),
        ("AT&amp;T &#39;x&#x27;", "AT&T 'x'"),
        ("AT&T &bogus; &copy", "AT&T &bogus; &copy"),
        ("**bold** `code` [x](http://y)", "**bold** `code` [x](http://y)"),
        ('"quoted" and 5\'', '"quoted" and 5\''),
        ("\u3000宽\u3000", "宽"),
    ],
)
def test_a_cell_is_read_as_github_shows_it(written: str, read: str) -> None:
    assert Table.from_markdown(f"| A | B |\n|---|---|\n| {written} | x |").rows == [[read, "x"]]


def test_markdown_is_written_as_github_renders_it() -> None:
    table = Table(["a|b"], [["x\ny"], ["\\"], ["<br>"], ["&amp; R&D"], [" x"], ["x\r\ny"], ["<b>"]])
    assert table.to_markdown().split("\n") == [
        r"| a\|b |",
        "| --- |",
        "| x<br>y |",
        r"| \\ |",
        r"| \<br> |",
        r"| \&amp; R&D |",
        "| &#32;x |",
        "| x&#13;<br>y |",
        "| <b> |",
    ]


# --------------------------------------------------------------------------------------------------- other formats


def test_json_of_records_keeps_numbers_as_written() -> None:
    text = '[{"a": 1.50, "b": null}, {"b": true, "c": ["x", 2]}, {"a": 12345678901234567890, "c": {"k": []}}]'
    assert Table.from_json(text) == Table(
        ["a", "b", "c"], [["1.50", "", ""], ["", "true", "x; 2"], ["12345678901234567890", "", '{"k": []}']]
    )


@pytest.mark.parametrize(
    "text", ["", "{", "3", '"x"', "[1]", "{}", '{"columns": ["a"], "rows": [[1, 2]]}', "[" * 100_000]
)
def test_json_that_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="JSON table"):
        Table.from_json(text)


def test_csv_is_rfc_4180() -> None:
    assert Table(["a", "b"], [['x,"y"', "1\n2"]]).to_csv() == 'a,b\r\n"x,""y""","1\n2"\r\n'


def test_ragged_csv_is_filled_up_or_refused_by_line() -> None:
    assert Table.from_csv("a,b\n1\n\n1,2,\n").rows == [["1", ""], ["1", "2"]]
    with pytest.raises(BadInput, match="line 3: 3 cells for 2 columns"):
        Table.from_csv("a,b\n1,2\n1,2,3\n")
    with pytest.raises(BadInput, match="CSV, line"):
        Table.from_csv("a\n" + "x" * 200_000)


def test_html_is_escaped() -> None:
    assert Table(["<a>"], [["x & y\nz"], ['"']]).to_html() == (
        "<table>\n<thead>\n<tr><th>&lt;a&gt;</th></tr>\n</thead>\n<tbody>\n"
        "<tr><td>x &amp; y<br>z</td></tr>\n<tr><td>&quot;</td></tr>\n</tbody>\n</table>"
    )


def test_a_workbook_holds_named_sheets_that_read_well(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"table": AB, "sources": Table(["url"], [["=HYPERLINK(1)"], ["x" * 500], ["北京" * 5]])})
    assert Table.from_xlsx(path) == AB
    assert Table.from_xlsx(path, "sources").rows[0] == ["=HYPERLINK(1)"]
    sheet = load_workbook(path)["sources"]
    assert (sheet["A1"].font.bold, sheet.freeze_panes, sheet.auto_filter.ref) == (True, "A2", "A1:A4")
    assert (sheet["A2"].data_type, sheet["A2"].quotePrefix) == ("s", True)
    assert 40 < sheet.column_dimensions["A"].width < 80
    with pytest.raises(BadInput, match="no sheet 'x'; there are: 'table', 'sources'"):
        Table.from_xlsx(path, "x")


def test_a_workbook_made_by_hand_is_read_as_text(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["n", "f", "d", "t", "b", None])
    sheet.append([5, 2.5, date(2020, 5, 1), datetime(2020, 5, 1, 12, 30), True, None])
    sheet.append([5.0, None, None, None, None, None])
    sheet["F9"] = ""
    book.save(tmp_path / "t.xlsx")
    assert Table.from_xlsx(tmp_path / "t.xlsx") == Table(
        ["n", "f", "d", "t", "b"], [["5", "2.5", "2020-05-01", "2020-05-01 12:30:00", "TRUE"], ["5", "", "", "", ""]]
    )


def test_a_cell_too_long_for_excel_is_cut_visibly(tmp_path: Path) -> None:
    Table(["a"], [["x" * 40_000]]).to_xlsx(tmp_path / "t.xlsx")
    assert Table.from_xlsx(tmp_path / "t.xlsx").rows == [["x" * 32_766 + "…"]]


def test_a_workbook_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.xlsx").write_text("no workbook")
    for path in (tmp_path / "bad.xlsx", tmp_path / "none.xlsx", tmp_path):
        with pytest.raises(BadInput, match=str(path)):
            Table.from_xlsx(path)
    with pytest.raises(BadInput, match=r"nowhere.t\.xlsx: cannot be written: No such file"):
        AB.to_xlsx(tmp_path / "nowhere" / "t.xlsx")


def test_pandas_gets_text_and_its_absence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = Table(["a", "b"], [["1", ""]]).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.to_dict("list") == {"a": ["1"], "b": [""]}
    assert list(Table(["a"]).to_pandas().columns) == ["a"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match=r"pip install wideseek\[pandas\]"):
        AB.to_pandas()


def test_importing_tables_loads_nothing_heavy() -> None:
    code = "import sys, wideseek.table, wideseek.contract; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["pydantic", "openpyxl", "pandas", "rapidfuzz", "numpy"]
    run = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- columns and rows


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="row 2 has 1 cells for 2 columns"):
        Table(["a", "b"], [["1", "2"], ["1"]])
    with pytest.raises(ValueError, match="row 1 has 0 cells for 0 columns"):
        Table([], [[]])
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"columns": ["a"], "rows": [["1", "2"]]}', type=Table)


def test_columns_are_renamed_and_selected() -> None:
    assert AB.rename({"A": "X"}) == Table(["X", "B"], AB.rows)
    assert AB.select(["B", "A"]) == Table(["B", "A"], [["2", "1"], ["4", "3"]])
    assert AB.select([]) == Table()
    with pytest.raises(BadInput, match="no column 'C'; there are: 'A', 'B'"):
        AB.rename({"C": "X"})
    with pytest.raises(BadInput, match="no column 'C'; there are: 'A', 'B'"):
        AB.select(["C"])
    with pytest.raises(BadInput, match="no column 'C'; there are: 'A', 'B'"):
        AB.dedupe(["C"])


def test_records_are_dicts_and_the_first_of_two_equal_columns_counts() -> None:
    assert AB.records() == [{"A": "1", "B": "2"}, {"A": "3", "B": "4"}]
    assert Table(["A", "A"], [["1", "2"]]).records() == [{"A": "1"}]


def test_dedupe_keeps_the_first_row_and_fills_its_gaps() -> None:
    table = Table(
        ["k", "v", "w"],
        [["Paris", "", "1"], ["Rome", "2", ""], [" **paris** ", "3", "9"], ["", "4", ""], ["", "5", ""]],
    )
    assert table.dedupe(["k"]).rows == [["Paris", "3", "1"], ["Rome", "2", ""], ["", "4", ""], ["", "5", ""]]


def test_partial_tables_merge_by_key_whatever_their_column_order_and_spelling() -> None:
    first = Table(["City", "Mayor"], [["Paris", ""], ["Rome", "R"]])
    second = Table(["mayor ", "CITY", "Area km"], [["P", "paris", "105"], ["B", "Bern", "52"]])
    stray = Table(["Note"], [["x"]])
    merged, notes = first.merge([stray, second], ["city"])
    assert merged == Table(
        ["City", "Mayor", "Area km"], [["Paris", "P", "105"], ["Rome", "R", ""], ["Bern", "B", "52"]]
    )
    assert notes == ["Table 2 has no column 'city' and was left out."]
    assert merge_tables([stray], ["City"])[0] == Table()


@given(st.lists(tables(), max_size=3))
@settings(max_examples=100, deadline=None)
def test_merging_never_fails_and_merging_again_changes_nothing(parts: list[Table]) -> None:
    key = parts[0].columns[:1] if parts and parts[0].columns else ["k"]
    merged, _ = merge_tables(parts, key)
    if merged.columns:
        assert merged.merge([], key) == (merged, [])


def test_column_names_are_compared_without_case_and_spaces() -> None:
    assert norm_column(" Pack Size (Bottle)") == norm_column("packsize(bottle)") == "packsize(bottle)"
    assert set(string.whitespace) - set(norm_column("a\tb")) > {" "}


# --------------------------------------------------------------------------------------------- CSV for a spreadsheet


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+Vela",
        "-cmd|' /C calc'!A0",
        "@SUM(1)",
        "＝1+1",
        "－A1",
        "  =1+1",
        "\u3000=1+1",
        "\u200b=1+1",
        "\ufeff@SUM(1)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "\tplain",
        "-1+1",
        "-84 m",
        "+47 20 12 34",
        "-5+A1",
        "=",
    ],
)
def test_a_cell_that_begins_a_formula_gets_an_apostrophe(cell):
    assert formula_as_text(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell",
    ["", "-84", "+5", "-1,234.5", "-1234567", "-.5", "-2e-3", "-5%", "-", "--", "- ", "−84", "a=b", "1-2", "x@y", " 7"],
)
def test_numbers_dashes_and_other_text_stay_as_they_are(cell):
    assert formula_as_text(cell) == cell


@given(st.text())
def test_no_cell_begins_as_a_formula_and_the_apostrophe_is_all_that_is_added(cell):
    safe = formula_as_text(cell)
    assert safe in (cell, f"'{cell}")
    start = safe.lstrip()[:1]
    assert start not in tuple("=@＝＋－＠") or start == ""
    if start and start in "+-":
        assert set(safe.strip()) <= set("0123456789.,eE+-%")
    assert text_as_formula(safe) == cell


@given(tables(), st.sampled_from(["'=1", "''=1", "'-5", "=1", "+47 20", "'", "-5", "+3.2", "'\t", "'a"]))
def test_a_csv_with_formulas_as_text_gives_back_every_table(table, tricky):
    table = Table([*table.columns, tricky], [[*row, tricky] for row in table.rows])
    assert Table.from_csv(table.to_csv(formulas_as_text=True), formulas_as_text=True) == table


def test_a_tables_csv_is_raw_unless_asked():
    table = Table(["=a"], [["=1+1"], ["-84"]])
    assert table.to_csv() == "=a\r\n=1+1\r\n-84\r\n"
    assert table.to_csv(formulas_as_text=True) == "'=a\r\n'=1+1\r\n-84\r\n"
