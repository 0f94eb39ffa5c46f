"""Benchmarks by name and by file; what cannot be scored is said in one line."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wideseek.errors import BadInput
from wideseek.evals.benchmarks import BENCHES, load_bench

DATA = os.environ.get("WIDESEEK_DATA")
GOLD = "| Name | Height |\n|---|---|\n| Iron | 10 |"
EVALUATION = {
    "unique_columns": ["name"],
    "required": ["name", "height"],
    "eval_pipeline": {
        "name": {"preprocess": ["norm_str"], "metric": ["exact_match"]},
        "height": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.05},
    },
}


def write(path: Path, *records: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def published(folder: Path) -> Path:
    """A tiny WideSearch in its published layout: questions, and one CSV a gold table."""
    asked = [
        {"instance_id": "ws_en_001", "query": "Which towers?", "evaluation": json.dumps(EVALUATION), "language": "en"},
        {"instance_id": "ws_zh_001", "query": "哪些塔？", "evaluation": json.dumps(EVALUATION), "language": "zh"},
    ]
    write(folder / "widesearch.jsonl", *asked)
    (folder / "widesearch_gold").mkdir()
    text = '\ufeff,Name,Height,Note\n0,Iron,"1,000",x\n1,"Glass | Steel",12 m,\n'
    for task in asked:
        (folder / "widesearch_gold" / f"{task['instance_id']}.csv").write_text(text, encoding="utf-8")
    return folder


# ----------------------------------------------------------------------------------------------------------- loading


def test_the_pocket_bench_is_its_test_split():
    tasks = load_bench("pocket", limit=7)
    assert len(tasks) == 7
    assert {task.split for task in tasks} == {"test"}
    assert {task.kind for task in load_bench("pocket", "dev", kind="deep")} == {"deep"}


def test_widesearch_is_read_in_its_published_layout(tmp_path):
    for data in (published(tmp_path / "widesearch"), tmp_path):  # the folder itself, and one that holds it
        en, zh = load_bench("widesearch", data=data)
        assert (en.instance_id, en.question, en.language, en.kind) == ("ws_en_001", "Which towers?", "en", "wide")
        assert (zh.language, zh.required, zh.unique_columns) == ("zh", ["name", "height"], ["name"])
        assert en.evaluation == EVALUATION
        assert en.meta["answer_csv"].startswith(",Name,Height")
        assert "| Name | Height |" in en.answer
        assert "Note" not in en.answer


def test_a_bench_is_found_through_the_environment(tmp_path, monkeypatch):
    write(tmp_path / "qa" / "nq.jsonl.gz", {"id": "nq_1", "question": "When?", "answers": ["1799", "in 1799"]})
    monkeypatch.setenv("WIDESEEK_BENCHES", str(tmp_path))
    (task,) = load_bench("qa/nq")
    assert (task.instance_id, task.answer, task.kind) == ("nq_1", ["1799", "in 1799"], "deep")


def test_question_answering_is_read_in_its_published_layout(tmp_path):
    write(tmp_path / "hotpotqa" / "dev.jsonl", {"id": "dev_0", "question": "Who?", "golden_answers": ["her"]})
    (task,) = load_bench("qa/hotpotqa", data=tmp_path)
    assert (task.instance_id, task.answer) == ("dev_0", ["her"])


def test_splits_are_files_where_the_bench_has_files_for_them(tmp_path):
    for split in ("train", "dev"):
        write(tmp_path / f"tasks_{split}.jsonl", {"instance_id": split, "question": "q", "answer": GOLD})
    assert [task.instance_id for task in load_bench("wikitables", data=tmp_path)] == ["dev"]
    assert [task.instance_id for task in load_bench("wikitables", "train", data=tmp_path)] == ["train"]


def test_any_file_in_the_train_format_is_a_bench(tmp_path):
    wide = {"question": "Which?", "answer": GOLD, "unique_columns": ["Name"], "is_markdown": True, "split": "a"}
    deep = {"query": "Who?", "answer": "her", "is_markdown": False, "split": "b"}
    path = write(tmp_path / "mine.jsonl", wide, deep)
    one, other = load_bench(path)
    assert (one.instance_id, one.kind) == ("mine_00001", "wide")
    assert (other.instance_id, other.kind, other.answer) == ("mine_00002", "deep", ["her"])
    assert load_bench(path, "b") == [other]


def test_the_hub_is_asked_where_its_client_is_installed(tmp_path, monkeypatch):
    asked = {}

    def snapshot_download(name: str, **options: Any) -> str:
        asked[name] = options
        return str(published(tmp_path / "snapshot"))

    monkeypatch.delenv("WIDESEEK_BENCHES", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    assert len(load_bench("widesearch")) == 2
    assert asked == {
        "ByteDance-Seed/WideSearch": {
            "repo_type": "dataset",
            "allow_patterns": ["widesearch.jsonl", "widesearch_gold/*"],
        }
    }


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def snapshot_download(name: str, **options: Any) -> str:
        raise ConnectionError("no\nnetwork")

    monkeypatch.delenv("WIDESEEK_BENCHES", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    with pytest.raises(BadInput, match=r"--data DIR or WIDESEEK_BENCHES .*could not be fetched: no network") as error:
        load_bench("widesearch")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not DATA, reason="needs WIDESEEK_DATA")
@pytest.mark.parametrize("name", [name for name in BENCHES if name != "pocket"])
def test_real_benchmarks_load_and_have_gold(name):
    tasks = load_bench(name, data=DATA)
    assert len(tasks) > 50
    assert {task.kind for task in tasks} == {"deep" if "qa" in name else "wide"}
    assert {task.language for task in tasks} == ({"en", "zh"} if "widesearch" in name else {"en"})


# --------------------------------------------------------------------------------------------------------- bad input


def task(**fields: Any) -> dict[str, Any]:
    return {"instance_id": "t1", "question": "Which?", "answer": GOLD} | fields


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([task(), task()], "the id 't1' occurs twice"),
        ([task(answer=None)], "task 't1' has no gold answer"),
        ([task(answer=[])], "task 't1' has no gold answer"),
        ([task(answer="no table")], "task t1: no gold table"),
        ([task(required=["Name", "Year"])], "task t1: its gold table lacks the required column 'year'"),
        ([task(unique_columns=["Id"])], "task t1: the key column 'id' is not among the required ones"),
        ([task(question="")], "task 't1' has no question"),
        ([task(evaluation="{")], "line 1: evaluation"),
        ([task(language="fr")], "line 1: Invalid enum value 'fr'"),
        ([], "no task"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path, records, problem):
    with pytest.raises(BadInput) as error:
        load_bench(write(tmp_path / "bad.jsonl", *records))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_bench_names_the_nearest():
    with pytest.raises(BadInput, match=r"widesaerch: unknown bench; did you mean widesearch\?"):
        load_bench("widesaerch")


def test_a_missing_file_is_told_as_such(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        load_bench(str(tmp_path / "none.jsonl"))


def test_missing_data_says_where_it_was_looked_for(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"wikitables: no tasks_dev.jsonl\[.gz\] in .*"):
        load_bench("wikitables", data=tmp_path)
    monkeypatch.delenv("WIDESEEK_BENCHES", raising=False)
    with pytest.raises(BadInput, match=r"its data is not bundled: name its folder with --data DIR or WIDESEEK_BENCHES"):
        load_bench("wikitables")


def test_a_gold_file_without_a_required_column_is_told(tmp_path):
    folder = published(tmp_path)
    (folder / "widesearch_gold" / "ws_en_001.csv").write_text("Name,Size\nIron,1\n")
    with pytest.raises(BadInput, match="task ws_en_001: its gold table lacks the required column 'height'"):
        load_bench("widesearch", data=folder)


def test_a_missing_gold_file_is_told(tmp_path):
    folder = published(tmp_path)
    (folder / "widesearch_gold" / "ws_zh_001.csv").unlink()
    with pytest.raises(BadInput, match="task 'ws_zh_001' has no gold answer"):
        load_bench("widesearch", data=folder)
