"""The command line, as processes of their own: what is printed where, and which exit code says what."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faulty_server import FaultyServer, reader
from tests.helpers import LIGHTHOUSES, QUESTION, lighthouse_pages
from wideseek.records import Page, write_jsonl
from wideseek.table import Table
from wideseek.tools.corpus import Corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "index"
    Corpus.build(lighthouse_pages(), folder)
    return folder


@pytest.fixture
def wideseek(tmp_path: Path):
    (tmp_path / "wideseek.toml").write_text('model = "expert"\n')

    def run(
        *arguments: object, environment: dict[str, str] | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
        environ |= {"XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "100"} | (environment or {})
        command = [sys.executable, "-m", "wideseek", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environ, cwd=tmp_path, check=False, **options
        )

    return run


def test_the_table_goes_to_standard_output_and_progress_to_standard_error(wideseek, corpus):
    done = wideseek("ask", QUESTION, "--corpus", corpus)
    assert done.returncode == 0
    table = Table.from_markdown(done.stdout)
    assert [row[0] for row in table.rows] == list(LIGHTHOUSES)
    assert "[3] https://pocket.example/dueodde" in done.stdout
    assert "complete · 3 rows · 9 of 9 cells found, 9 supported · scripted expert" in done.stdout
    assert "lead/2.3: answer" in done.stderr


def test_json_prints_one_object_and_nothing_else(wideseek, corpus):
    done = wideseek("ask", QUESTION, "--corpus", corpus, "--json")
    said = json.loads(done.stdout)
    assert {"columns", "rows", "evidence", "cells", "usage", "stop", "run_dir"} <= said.keys()
    assert said["cells"]["supported"] == said["cells"]["wanted"] == 9
    assert said["rows"][0] == ["Bovbjerg", "26 m", "1877"]
    assert said["stop"] == "answer"
    assert done.stderr == ""


def test_a_run_can_be_shown_agent_by_agent(wideseek, corpus, tmp_path):
    wideseek("ask", QUESTION, "--corpus", corpus, "--run-dir", tmp_path / "run", "-q")
    assert "lead/2.3" in wideseek("show", tmp_path / "run").stdout
    turns = wideseek("show", tmp_path / "run", "lead/2.3").stdout
    assert "height: 47 m" in turns
    assert "→ access" in turns
    unknown = wideseek("show", tmp_path / "run", "lead/9.9")
    assert (unknown.returncode, "there are: lead, lead/1.1" in unknown.stderr) == (2, True)


def test_the_single_agent_gives_the_same_table(wideseek, corpus):
    single = wideseek("ask", QUESTION, "--corpus", corpus, "--workflow", "single", "--json")
    assert [row[0] for row in json.loads(single.stdout)["rows"]] == list(LIGHTHOUSES)


def test_a_budget_that_ends_the_run_gives_a_partial_table_and_exit_code_3(wideseek, corpus):
    done = wideseek("ask", QUESTION, "--corpus", corpus, "--max-calls", "9")
    assert done.returncode == 3
    assert "PARTIAL (budget:" in done.stdout
    assert "9 model calls" in done.stdout
    assert "--resume" in done.stderr


def test_a_question_that_cannot_be_answered_is_exit_code_1_with_the_reason(wideseek, corpus):
    done = wideseek("ask", "What is the meaning of life?", "--corpus", corpus, "-q")
    assert done.returncode == 1
    assert "For other questions choose a language model" in done.stdout


THREE_LIGHTS = "| Name | Year | Keeper |\n|---|---|---|\n" + "".join(
    f"| {name} | {year} |  |\n" for name, (_, year) in LIGHTHOUSES.items()
)


async def asked_of_a_reader(wideseek, corpus: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A model that reads the lighthouses' pages and finds no keeper on them."""
    async with FaultyServer(reader(THREE_LIGHTS, list(LIGHTHOUSES))) as server:
        asked = ["ask", "Which lighthouses of Denmark are there?", "--corpus", corpus, "--workflow", "single"]
        return await asyncio.to_thread(wideseek, *asked, "--model", f"{server.url}#mock", *options)


async def test_a_wanted_column_that_stays_empty_makes_the_run_partial_with_exit_code_3(wideseek, corpus):
    done = await asked_of_a_reader(wideseek, corpus, "--columns", "Name,Keeper")
    assert done.returncode == 3
    assert "PARTIAL (no row has a value for Keeper: " in done.stdout
    assert "3 of 6 cells found, 3 supported" in done.stdout
    assert "larger budget" not in done.stderr


async def test_too_few_supported_cells_are_exit_code_3_in_words_of_both_shares(wideseek, corpus, tmp_path):
    (tmp_path / "own.toml").write_text("min_supported = 0.8\n")
    for more in (["--min-supported", "0.8"], ["--config", "own.toml"]):
        done = await asked_of_a_reader(wideseek, corpus, "--columns", "Name,Year,Keeper", *more)
        assert done.returncode == 3
        assert "6 of 9 cells are supported, fewer than the share of 0.8 that was asked for" in done.stdout
    done = wideseek("ask", QUESTION, "--corpus", corpus, "--min-supported", "1")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["What is the meaning of life?"], 1, "the run failed"),
        ([QUESTION, "--max-calls", "1"], 3, "there is no row"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "xlsx", "html", "md", "json"])
def test_a_run_that_found_nothing_leaves_an_earlier_file_as_it_was(
    wideseek, corpus, tmp_path, arguments, code, reason, ending
):
    kept = tmp_path / f"kept.{ending}"
    kept.write_text("yesterday's table")
    before = kept.stat()
    done = wideseek("ask", *arguments, "--corpus", corpus, "--out", kept, "-q")
    assert done.returncode == code
    assert done.stderr == f"not written: {kept}: {reason}\n"
    assert kept.read_text() == "yesterday's table"
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    assert not (tmp_path / "kept.sources.csv").exists()


def test_the_file_is_written_though_the_reader_of_the_screen_has_gone(wideseek, corpus, tmp_path):
    out = tmp_path / "out.md"
    command = f"{sys.executable} -m wideseek ask '{QUESTION}' --corpus {corpus} --model expert --out {out} -q | true"
    environ = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environ, check=False)
    assert "Traceback" not in done.stderr
    assert "Dueodde" in out.read_text()


def test_csv_files_are_safe_for_spreadsheets_and_raw_or_with_a_mark_on_request(wideseek, tmp_path):
    pages = [Page(page.url, page.title, page.text.replace("26 m", "=26 m ü")) for page in lighthouse_pages()]
    Corpus.build(pages, tmp_path / "own")
    asked = ["ask", QUESTION, "--corpus", "own", "-q", "--out", "out.csv"]
    done = wideseek(*asked)
    assert "--csv-bom" in done.stderr
    safe = (tmp_path / "out.csv").read_bytes()
    assert (safe[:4], b",'=26 m" in safe) == (b"name", True)
    assert b",'=26 m" in (tmp_path / "out.sources.csv").read_bytes()
    done = wideseek(*asked, "--raw-csv", "--csv-bom")
    assert "--csv-bom" not in done.stderr
    raw = (tmp_path / "out.csv").read_bytes()
    assert (raw[:3], b",=26 m" in raw) == (b"\xef\xbb\xbf", True)


ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": ""}


def test_a_terminal_of_pure_ascii_gets_the_table_with_characters_replaced_and_the_folder_named(wideseek, tmp_path):
    pages = [Page(page.url, page.title, page.text.replace("26 m", "26 m, ü 中")) for page in lighthouse_pages()]
    Corpus.build(pages, tmp_path / "own")
    done = wideseek("ask", QUESTION, "--corpus", "own", "--run-dir", "run", "-q", environment=ASCII)
    assert done.returncode == 0
    assert "| Bovbjerg | 26 m, ? ? | 1877 | [1] |" in done.stdout
    assert done.stderr == "characters that this terminal does not know were replaced by ?; the run is in run\n"
    said = json.loads(wideseek("ask", "--resume", "run", "--json", environment=ASCII).stdout)
    assert said["rows"][0][1] == "26 m, ü 中"
    assert "ü" not in wideseek("show", "run", "lead/2.1", environment=ASCII).stdout


def test_a_home_that_cannot_be_written_asks_for_a_run_dir(wideseek, corpus, tmp_path):
    (tmp_path / "home").write_text("a file")
    done = wideseek("ask", QUESTION, "--corpus", corpus, environment={"XDG_STATE_HOME": str(tmp_path / "home")})
    assert done.returncode == 2
    assert "choose a --run-dir" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ask"], "a question is missing"),
        (["ask", "x", "--min-supported", "80"], "'--min-supported': 80.0 is not in the range"),
        (["ask", "x", "--set", "chat.max_body_mb=0"], "chat.max_body_mb: input should be greater than 0"),
        (["ask", ""], "the question is empty"),
        (["ask", "x", "--width", "0"], "'--width': 0 is not in the range"),
        (["ask", "x", "--workflow", "pair"], "'pair' is not one of 'team', 'single'"),
        (["ask", "x", "--model", "gpt"], "model 'gpt': unknown"),
        (["ask", "x", "--model", "openai/gpt"], "set the environment variable OPENAI_API_KEY"),
        (
            ["ask", "x", "--model", "http://127.0.0.1:9/v1#m", "--set", "chat.backoff_s=0.01"],
            "is the server running",
        ),
        (["ask", "x", "--corpus", "nowhere"], "nowhere: no such folder"),
        (["ask", "x", "--columns", "A,B", "--key", "C"], "key: 'C' is not among the columns"),
        (["ask", "x", "--out", "nowhere/x.md"], "the folder nowhere does not exist"),
        (["ask", "x", "--out", "x.pdf"], "known endings: .md, .csv, .json, .xlsx, .html"),
        (["ask", "x", "--set", "sub.max_tuns=3"], "did you mean sub.max_turns?"),
        (["ask", "x", "--set", "sub"], "write key=value"),
        (["ask", "--resume", "nowhere"], "there is no run"),
        (["ask", "x", "--prompts", "nowhere"], "neither a built-in profile"),
        (["ask", "x", "--prompt", "y"], "No such option '--prompt'"),
        (["aks", "x"], "No such command 'aks'"),
        (["tasks", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["tasks", "pocket", "--split", "tset"], "no split 'tset'"),
        (["index", "nowhere.jsonl", "--out", "x"], "'nowhere.jsonl' does not exist"),
        (["show", "nowhere"], "there is no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(wideseek, arguments, problem):
    done = wideseek(*arguments)
    assert done.returncode == 2, done.stderr
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_debug_shows_the_trace(wideseek):
    done = wideseek("ask", "", "--debug")
    assert "Traceback" in done.stderr


def test_a_question_can_come_from_standard_input(wideseek, corpus):
    done = wideseek("ask", "-", "--corpus", corpus, "--json", input=QUESTION)
    assert len(json.loads(done.stdout)["rows"]) == 3


def test_pages_become_an_index_that_can_be_searched_and_asked(wideseek, tmp_path):
    write_jsonl(tmp_path / "pages.jsonl.gz", lighthouse_pages())
    assert "4 pages, 4 of them new or changed" in wideseek("index", "pages.jsonl.gz", "--out", "own", "-q").stdout
    hit = json.loads(wideseek("search", "Dueodde", "--corpus", "own", "-n", "1", "--json").stdout)
    assert hit["url"] == "https://pocket.example/dueodde"
    assert wideseek("ask", QUESTION, "--corpus", "own").returncode == 0


def test_a_search_that_finds_nothing_says_so_in_one_line(wideseek, corpus):
    found = wideseek("search", "zyxwvut", "--corpus", corpus)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == f"no page of {corpus} matches the query: try other words, or the title of a page\n"
    assert "no page of the bundled pocket world matches" in wideseek("search", "?!").stdout
    found = wideseek("search", "zyxwvut", "--corpus", corpus, "--json")
    assert (found.stdout, found.stderr.count("\n")) == ("", 1)


def test_the_pocket_worlds_tasks_are_json_lines(wideseek):
    lines = wideseek("tasks", "pocket", "--split", "test", "--limit", "5").stdout.splitlines()
    assert len(lines) == 5
    assert all(json.loads(line)["split"] == "test" for line in lines)


def test_the_printed_configuration_is_a_valid_configuration_file(wideseek, corpus, tmp_path):
    (tmp_path / "wideseek.toml").write_text(wideseek("config").stdout)
    assert wideseek("ask", QUESTION, "--corpus", corpus, "--json", "--model", "expert").returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    heavy = [
        "torch",
        "transformers",
        "pydantic",
        "httptools",
        "tantivy",
        "rich",
        "pandas",
        "numpy",
        "openpyxl",
        "jsonschema",
    ]
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([name for name in {heavy} if name in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['wideseek', *{arguments}]\n"
        "from wideseek.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_a_reader_that_goes_away_is_no_error(wideseek, corpus):
    command = f"{sys.executable} -m wideseek tasks pocket | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_an_evaluation_is_scored_compared_and_reported(wideseek, tmp_path):
    team = ["eval", "pocket", "--split", "test", "--kind", "wide", "-n", "5"]
    done = wideseek(*team, "--trials", "2", "--out", "a", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert said["item_f1"]["avg"] == said["official"]["success"]["avg"] == 1.0
    wideseek(*team, "--workflow", "single", "--out", "b", "-q")
    assert json.loads(wideseek("compare", "a", "b", "--json").stdout)["shared"] == 5
    assert "report.html" in wideseek("report", "a").stdout
    scored = json.loads(wideseek("score", "a/rollouts.jsonl", "--json").stdout)
    assert len(scored["results"]) == 10
    assert scored["summary"]["means"]["f1_by_item"] == 1.0


def test_a_study_writes_its_curve(wideseek, tmp_path):
    done = wideseek("study", "width", "--values", "1,2", "--turn-limit", "5", "-n", "3", "--out", "s", "--json")
    points = json.loads(done.stdout)
    assert [point["value"] for point in points] == [1, 2]
    assert (tmp_path / "s" / "study.html").is_file()


def test_train_tasks_that_overlap_a_benchmark_are_listed(wideseek):
    found = wideseek("audit", "pocket", "--against", "pocket", "--json", "--question-share", "1")
    assert found.returncode == 1
    assert len(json.loads(found.stdout)["overlaps"]) > 0
