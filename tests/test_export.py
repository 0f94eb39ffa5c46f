"""Every output format carries the table and, for each cell, its page, quote and agent, or that it is unsupported."""

from __future__ import annotations

import json

import pytest
from openpyxl import load_workbook
from rich.console import Console

from tests.helpers import LIGHTHOUSES, QUESTION
from wideseek.api import Result
from wideseek.errors import BadInput
from wideseek.evidence import trace
from wideseek.export import check_output, sources_table, summary_line, with_sources, write_result
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


def test_a_column_called_sources_is_not_overwritten(result):
    result.table = result.table.rename({"year": "Sources"})
    assert with_sources(result)[0].columns[-2:] == ["Sources", "Sources "]


def test_the_sources_table_has_a_row_for_every_cell_that_is_not_empty(result):
    assert len(sources_table(result).rows) == 8


def test_the_summary_says_partial_why_and_the_supported_share(result):
    line = summary_line(result)
    assert "PARTIAL (budget: 5 of 5 model calls)" in line
    assert "3 rows" in line
    assert "88% of the cells supported" in line


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
