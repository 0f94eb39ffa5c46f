"""Files of tasks, responses and pages as other programs write them: read, or named with line and fault."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from wideseek.cli.scores import score
from wideseek.errors import BadInput
from wideseek.evals.benchmarks import load_bench
from wideseek.records import Page, read_jsonl
from wideseek.scoring.files import score_files
from wideseek.scoring.judge import ExactJudge
from wideseek.scoring.spec import gold_table
from wideseek.scoring.table import score_response
from wideseek.scoring.tasks import read_tasks
from wideseek.table import Table
from wideseek.train.questions import read_tasks as training_tasks

GOLD = "| name | n |\n|---|---|\n| Café | 1 |"
PAGE = {"url": "https://a.example", "title": "Café", "text": "A café."}


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


LATIN = lines(PAGE).decode().encode("latin-1")


def read(path: Path, content: bytes) -> list[Page]:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return list(read_jsonl(path, Page))


# ----------------------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz"])
@pytest.mark.parametrize(
    "written",
    [
        codecs.BOM_UTF8 + lines(PAGE),
        codecs.BOM_UTF8 + lines(PAGE).replace(b"\n", b"\r\n") + b"\r\n\r\n",
        lines(PAGE).rstrip(b"\n"),
        b"\n  \n" + lines(PAGE),
        lines(PAGE) + codecs.BOM_UTF8,
    ],
    ids=["mark", "mark and CRLF", "no last line end", "blank lines", "mark at the end"],
)
def test_a_mark_other_line_ends_and_blank_lines_are_read(tmp_path: Path, name: str, written: bytes) -> None:
    assert read(tmp_path / name, written) == [Page(**PAGE)]


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz"])
@pytest.mark.parametrize(
    ("written", "says"),
    [
        (lines(PAGE) + LATIN, f"line 2: is not UTF-8 text, at byte {len(lines(PAGE)) + LATIN.index(0xE9) + 1} (0xe9)"),
        (lines(PAGE).decode().encode("cp1252"), "line 1: is not UTF-8"),
        (lines(PAGE).decode().encode("gb18030"), "line 1: is not UTF-8"),
        (lines(PAGE).decode().encode("utf-16"), "line 1: is UTF-16, not UTF-8"),
        (lines(PAGE).decode().encode("utf-16-be"), "line 1: holds NUL bytes: it may be UTF-16"),
        (lines(PAGE) + b'{"url": "u", "title": "t", "text": "\\ud83d"}\n', "line 2: \\ud83d is half a character"),
        (lines(PAGE) + b'{"url": "u", "title": "t", "text": "\\ud83d no"}\n', "line 2: \\ud83d is half a character"),
        (b'{"url": "u", "title": "t", "text": "\\ude00"}\n', "line 1: \\ude00 is half a character"),
        (b"[" * 100_000 + b"\n", "line 1:"),
        (b'{"url": "u"}\n', "line 1: Object missing required field `title`"),
        (b'{"url": "u", \n', "line 1:"),
    ],
    ids=[
        "latin 1",
        "windows",
        "chinese",
        "utf-16",
        "utf-16 unmarked",
        "half at the end",
        "half",
        "second half",
        "deep",
        "field",
        "cut",
    ],
)
def test_what_cannot_be_read_is_named_with_file_line_and_fault(
    tmp_path: Path, name: str, written: bytes, says: str
) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path / name, written)
    assert str(error.value).startswith(f"{tmp_path / name}, line ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_whole_pairs_and_escaped_backslashes_are_text(tmp_path: Path) -> None:
    (page,) = read(tmp_path / "pages.jsonl", b'{"url": "u", "title": "\\ud83d\\ude00", "text": "\\\\ud83d"}\n')
    assert (page.title, page.text) == ("\U0001f600", "\\ud83d")


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-12], lambda packed: packed[:30] + b"\0\1\2\3" + packed[34:]]
)
def test_a_damaged_packed_file_is_one_line(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "pages.jsonl.gz"
    path.write_bytes(damage(gzip.compress(lines(PAGE) * 50, mtime=0)))
    with pytest.raises(BadInput, match=r"pages\.jsonl\.gz") as error:
        list(read_jsonl(path, Page))
    assert "\n" not in str(error.value)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    with contextlib.suppress(BadInput):
        list(read_jsonl(path, Page))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wideseek", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_commands_read_marked_files_and_end_with_2_for_others(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(
        codecs.BOM_UTF8 + lines({"instance_id": "t", "question": "q", "answer": GOLD})
    )
    (tmp_path / "pages.jsonl").write_bytes(codecs.BOM_UTF8 + lines(PAGE))
    response = lines({"instance_id": "t", "response": GOLD})
    (tmp_path / "good.jsonl").write_bytes(codecs.BOM_UTF8 + response)
    (tmp_path / "bad.jsonl").write_bytes(response.decode().encode("latin-1"))
    good, bad = (
        command("score", tmp_path / name, "--tasks", tmp_path / "tasks.jsonl", "--json")
        for name in ("good.jsonl", "bad.jsonl")
    )
    assert json.loads(good.stdout)["results"][0]["f1_by_item"] == 1.0
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "bad.jsonl, line 1: is not UTF-8" in bad.stderr
    assert command("index", tmp_path / "pages.jsonl", "-o", tmp_path / "index", "-q").returncode == 0


# --------------------------------------------------------------------------------- one reader for eval, score and train


def task(**fields: Any) -> dict[str, Any]:
    return {"instance_id": "t1", "question": "Which?", "answer": GOLD} | fields


READERS: list[Callable[[Path], list[Any]]] = [
    read_tasks,
    lambda path: load_bench(str(path)),
    lambda path: training_tasks([str(path)]),
]


@pytest.mark.parametrize("reader", READERS, ids=["score", "eval", "train"])
def test_every_command_takes_the_same_tasks(tmp_path: Path, reader: Callable[[Path], list[Any]]) -> None:
    path = tmp_path / "mine.jsonl"
    published = {"id": "csv", "query": "Which?", "answer_csv": "\ufeffname,n\nCafé,1\n"}
    unnamed = {"question": "Who?", "golden_answers": ["her"]}
    short = {"instance_id": 7, "query": "Who?", "answer": "her", "is_markdown": False}
    path.write_bytes(lines(task(), published, unnamed, short))
    table, csv, first, second = reader(path)
    assert [each.instance_id for each in (table, csv, first, second)] == ["t1", "csv", "mine_00003", "7"]
    assert "| Café | 1 |" in csv.answer
    assert (csv.kind, first.kind, first.answer, second.answer) == ("wide", "deep", ["her"], ["her"])


@pytest.mark.parametrize("reader", READERS, ids=["score", "eval", "train"])
@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([task(), task()], "line 2: the id 't1' occurs twice (first: "),
        ([task(), task(instance_id="t2", answer=None)], "line 2: task 't2' has no gold answer"),
        ([task(answer=[])], "line 1: task 't1' has no gold answer"),
        ([task(question=" ")], "line 1: task 't1' has no question"),
        ([task(answer="no table")], "line 1: task t1: no gold table"),
        ([task(required=["name", "year"])], "line 1: task t1: its gold table lacks the required column 'year'"),
        ([task(answer=None, answer_csv="name\nCafé,1")], "line 1: gold: "),
        ([task(evaluation="{")], "line 1: evaluation"),
        ([task(evaluation=[1])], "line 1: `evaluation` has to be an object"),
        ([task(meta="x")], "line 1: `meta` has to be an object"),
        ([task(evaluation={"eval_pipeline": []})], "line 1: task t1: evaluation: Expected `object"),
        (
            [task(evaluation={"eval_pipeline": {"n": {"metric": ["number_near"], "criterion": "5 %"}}})],
            "line 1: task t1: evaluation of column 'n': the criterion of number_near has to be a number",
        ),
        ([task(language="fr")], "line 1: Invalid enum value 'fr'"),
    ],
)
def test_every_command_refuses_the_same_tasks_in_one_line(
    tmp_path: Path, reader: Callable[[Path], list[Any]], records: list[dict[str, Any]], says: str
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\n".join([lines(record).strip() for record in records]))
    with pytest.raises(BadInput) as error:
        reader(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_two_files_of_a_training_may_not_share_an_id(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(lines(task()))
    with pytest.raises(BadInput, match=r"b\.jsonl, line 1: the id 't1' occurs twice \(first: .*a\.jsonl, line 1\)"):
        training_tasks([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])


async def test_the_summary_names_the_packages_behind_published_scores(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    (tmp_path / "tasks.jsonl").write_bytes(lines(task()))
    (tmp_path / "said.jsonl").write_bytes(lines({"instance_id": "t1", "response": f"```markdown\n{GOLD}\n```"}))
    for mode, named in (("official", True), ("rlinf", True), ("strict", False)):
        files = tmp_path / "said.jsonl", tmp_path / "tasks.jsonl"
        summary = (await score_files(*files, mode=mode, judge=ExactJudge()))["summary"]  # type: ignore[arg-type]
        assert ("versions" in summary) is named
        assert not named or set(summary["versions"]) == {"pandas", "dateparser"}


async def test_a_response_whose_id_is_a_number_belongs_to_the_task_with_that_number(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(lines({**task(), "instance_id": 5}))
    (tmp_path / "said.jsonl").write_bytes(lines({"instance_id": 5, "response": f"```markdown\n{GOLD}\n```"}))
    scored = await score_files(tmp_path / "said.jsonl", tmp_path / "tasks.jsonl", mode="strict", judge=ExactJudge())
    assert (scored["summary"]["scored"], scored["results"][0]["instance_id"]) == (1, "5")


async def test_a_file_without_a_response_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(lines(task()))
    (tmp_path / "said.jsonl").write_bytes(b"\n")
    for tasks in (tmp_path / "tasks.jsonl", None):
        with pytest.raises(BadInput, match=r"said\.jsonl: holds no response"):
            await score_files(tmp_path / "said.jsonl", tasks, judge=ExactJudge())


@pytest.mark.parametrize("as_json", [False, True])
def test_tasks_without_a_response_are_counted_and_named_and_make_exit_code_3(tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(lines(task(), {**task(), "instance_id": "t2"}))
    (tmp_path / "said.jsonl").write_bytes(lines({"instance_id": "t1", "response": GOLD}))
    files = [str(tmp_path / "said.jsonl"), "--tasks", str(tmp_path / "tasks.jsonl")]
    done = CliRunner().invoke(score, [*files, "--json"] if as_json else files, standalone_mode=False)
    assert done.return_value == 3
    if as_json:
        said = json.loads(done.output)
        assert (said["unanswered"], said["summary"]["unanswered"]) == (["t2"], 1)
    else:
        assert "note: tasks without a response: t2\n" in done.output


# ------------------------------------------------------------------------------------------------- our own CSV as gold

CELLS = st.sampled_from(["+47 20 12", "=1+1", "'=1", "-5", "+3.2", "@home", "plain", "'quoted'", "\tindented", "-"])


def gold_csv(folder: Path, text: str, *, beside: bool) -> Path:
    """A file of one task whose gold is the CSV `text`, inline or in a file beside it."""
    task = {"instance_id": "t", "question": "Which?", "evaluation": {"unique_columns": ["name"]}}
    path = folder / "own.jsonl"
    if beside:
        (folder / "own_gold").mkdir(exist_ok=True)
        (folder / "own_gold" / "t.csv").write_bytes(text.encode())
    else:
        task["answer_csv"] = text
    path.write_bytes(lines(task))
    return path


@pytest.mark.parametrize("beside", [False, True], ids=["inline", "in a file"])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_a_csv_that_we_wrote_is_gold_with_the_cells_that_it_was_written_from(
    tmp_path_factory: pytest.TempPathFactory, beside: bool, rows: list[tuple[str, str]]
) -> None:
    table = Table(["name", "=n"], [list(row) for row in rows])
    path = gold_csv(tmp_path_factory.mktemp("gold"), table.to_csv(formulas_as_text=True), beside=beside)
    assert gold_table(read_tasks(path)[0]) == table


@pytest.mark.parametrize("mode", ["strict", "official"])
async def test_an_answer_scores_in_full_against_the_csv_that_we_wrote_of_it(tmp_path: Path, mode: Any) -> None:
    table = Table(["name", "phone"], [["Bovbjerg", "+47 20 12"], ["Hanstholm", "=1+1"]])
    task = read_tasks(gold_csv(tmp_path, table.to_csv(formulas_as_text=True), beside=True))[0]
    said = f"```markdown\n{table.to_markdown()}\n```"
    assert (await score_response(said, task, mode=mode)).value == 1.0


def test_a_published_csv_without_such_apostrophes_stays_as_it_is(tmp_path: Path) -> None:
    text = "name,n\n\"a\",1\n\n'b',-5\n"
    assert read_tasks(gold_csv(tmp_path, text, beside=True))[0].meta["answer_csv"] == text
