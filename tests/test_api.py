"""`wideseek.ask`: what a caller gets back, for good runs and bad ones."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

import wideseek
from tests.faulty_server import FaultyServer, refusal
from tests.helpers import QUESTION, lighthouse_pages
from wideseek.errors import BadConfig, BadInput, PolicyError, RunDirError
from wideseek.evidence import key_columns
from wideseek.tools.corpus import Corpus

ask = partial(wideseek.ask, model="expert")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "index"
    Corpus.build(lighthouse_pages(), folder)
    return folder


class Lighthouse(BaseModel):
    name: str
    height: str
    year: int = Field(gt=1000)


def test_a_question_becomes_a_table_with_evidence(corpus):
    result = ask(QUESTION, corpus=corpus)
    assert result.status == "complete"
    assert result.table.columns == ["name", "height", "year"]
    assert result.rows[2] == {"name": "Dueodde", "height": "47 m", "year": "1962"}
    assert result.supported == 1.0
    assert result.evidence[2][1].quote == "height: 47 m"
    assert result.rollout.width == 3
    assert result.label == "scripted expert, no language model"
    assert list(result.table.to_pandas()["year"]) == ["1877", "1843", "1962"]


def test_a_pydantic_model_gives_typed_rows(corpus):
    result = ask("Which lighthouses of Denmark are there?", corpus=corpus, schema=Lighthouse)
    assert [row.year for row in result.rows] == [1877, 1843, 1962]
    assert isinstance(result.rows[0], Lighthouse)


def test_named_columns_are_what_the_table_has(corpus):
    result = ask("Which lighthouses of Denmark are there?", corpus=corpus, columns="Name,Year", key="Name")
    assert result.status == "complete"
    assert result.table.columns == ["Name", "Year"]
    assert result.table.rows[0] == ["Bovbjerg", "1877"]
    assert [cell.status for cell in result.evidence[0]] == ["supported", "supported"]


def test_the_expert_refuses_a_column_that_no_page_has(corpus):
    result = ask("Which lighthouses of Denmark are there?", corpus=corpus, columns="Name,Year,Keeper", key="Name")
    assert (result.status, result.table.rows) == ("failed", [])
    assert "keeper" in result.reason.casefold()


async def test_asking_inside_a_running_loop(corpus):
    results = await asyncio.gather(*(wideseek.ask_async(QUESTION, corpus=corpus) for _ in range(3)))
    assert len({result.table.to_csv() for result in results}) == 1


def test_a_question_outside_the_world_fails_with_a_message_that_helps(corpus):
    result = ask("List all moons of Jupiter with their mass.", corpus=corpus)
    assert result.status == "failed"
    assert "moons of Jupiter" in result.reason
    assert "--model" in result.reason
    assert result.table.rows == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"question": "   "}, "the question is empty"),
        ({"question": "x" * 100_000}, "100,000 characters, at most 64,000"),
        ({"model": "opnai/gpt"}, "did you mean openai/gpt"),
        ({"model": "openai/gpt"}, "OPENAI_API_KEY"),
        ({"width": 0}, "lead.max_calls: input should be greater than or equal to 1, not 0"),
        ({"lead__max_tuns": 3}, "did you mean lead.max_turns"),
        ({"columns": "A,B", "key": "C"}, "'C'"),
        ({"key": "A"}, "needs columns"),
        ({"corpus": "/nowhere"}, "/nowhere: no such folder"),
        ({"prompts": "/nowhere"}, "neither a built-in profile"),
        ({"config": "/nowhere.toml"}, "/nowhere.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_that_says_where_and_what_next(corpus, monkeypatch, options, problem):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(BadInput) as caught:
        ask(**{"question": QUESTION, "corpus": corpus, **options})
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_server_that_is_not_there_is_an_error_not_an_empty_table(corpus):
    with pytest.raises(PolicyError, match="is the server running"):
        await wideseek.ask_async(QUESTION, corpus=corpus, model="http://127.0.0.1:9/v1#m", chat__backoff_s=0.01)


async def test_a_wrong_key_is_an_error_of_one_line(corpus):
    async with FaultyServer(lambda request: refusal(401, "Incorrect API key provided")) as server:
        with pytest.raises(PolicyError, match="WIDESEEK_API_KEY"):
            await wideseek.ask_async(QUESTION, corpus=corpus, model=f"{server.url}#m")


async def test_a_model_without_a_table_gives_the_findings_and_says_so(corpus):
    def chatty(request: dict[str, Any]) -> dict[str, Any]:
        return {"content": "I would rather not."}

    async with FaultyServer(chatty) as server:
        result = await wideseek.ask_async(QUESTION, corpus=corpus, model=f"{server.url}#m")
    assert result.status == "failed"
    assert result.reason == "I would rather not."
    assert result.table.rows == []


def calling(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"content": None, "tool_calls": [call]}


async def answered(corpus: Path, answer: dict[str, Any], *, read: bool = True, **options: Any) -> wideseek.Result:
    """What becomes of a model that reads the page of Dueodde (or none) and then gives this answer."""
    url = '{"url": "https://pocket.example/dueodde"}'
    turns = [calling("search", '{"query": "Dueodde"}'), calling("access", url)] if read else []

    def say(request: dict[str, Any]) -> dict[str, Any]:
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        return turns[turn] if turn < len(turns) else answer

    async with FaultyServer(say) as server:
        options = {"workflow": "single", "chat__attempts": 2, "chat__backoff_s": 0.01, **options}
        return await wideseek.ask_async(QUESTION, corpus=corpus, model=f"{server.url}#m", **options)


DUEODDE = "| name | height | year |\n|---|---|---|\n| Dueodde | 47 m | 1962 |"


async def test_an_answer_whose_cells_stand_on_the_page_that_was_read_is_complete(corpus):
    result = await answered(corpus, {"content": DUEODDE})
    assert (result.status, result.levels.supported, result.levels.cells) == ("complete", 3, 3)


async def test_an_answer_from_memory_is_partial(corpus):
    result = await answered(corpus, {"content": DUEODDE}, read=False)
    assert (result.status, result.table.rows[0][0]) == ("partial", "Dueodde")
    assert "no page was read" in result.reason


async def test_a_table_without_rows_has_failed(corpus):
    result = await answered(corpus, {"content": "| name | height | year |\n|---|---|---|"})
    assert (result.status, result.table.rows) == ("failed", [])


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "content_filter", "model_length", "of tomorrow"])
async def test_an_answer_that_was_cut_is_never_complete(corpus, reason):
    result = await answered(corpus, {"content": f"{DUEODDE}\n| Bovb", "finish_reason": reason})
    assert result.status == "partial"
    assert result.rollout.answer == ""


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
async def test_an_answer_that_the_server_gave_up_on_every_try_is_a_failed_run(corpus, reason):
    result = await answered(corpus, {"content": DUEODDE, "finish_reason": reason})
    assert result.status == "failed"
    assert f"gave up after 2 tries; the last: the server gave the answer up (finish_reason: {reason})" in result.reason


async def test_a_body_over_the_limit_ends_the_run_in_one_line_that_names_the_setting(corpus):
    result = await answered(corpus, {"content": "x" * 300_000}, chat__max_body_mb=0.1)
    assert result.status == "failed"
    assert result.reason.endswith("raise chat.max_body_mb")


async def test_the_share_of_supported_cells_can_be_asked_for(corpus):
    wrong = {"content": DUEODDE.replace("1962", "2001")}
    assert (await answered(corpus, wrong)).status == "complete"
    result = await answered(corpus, wrong, min_supported=0.8)
    assert result.status == "partial"
    assert result.reason == "2 of 3 cells are supported, fewer than the share of 0.8 that was asked for"


async def test_a_key_that_nobody_named_is_found_in_the_table(corpus):
    named = await answered(corpus, {"content": DUEODDE}, columns="year,name,height", key="name")
    assert named.key == ["name"]
    assumed = await answered(corpus, {"content": DUEODDE}, columns="year,name,height")
    assert assumed.key == key_columns(assumed.table)


async def test_money_is_counted_and_ends_the_run(corpus):
    def searching(request: dict[str, Any]) -> dict[str, Any]:
        function = {"name": "search", "arguments": '{"query": "Denmark"}'}
        call = {"id": "c", "type": "function", "function": function}
        return {"content": None, "tool_calls": [call], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}

    async with FaultyServer(searching) as server:
        model = f"{server.url}#m"
        prices = {model: {"prompt": 100.0, "completion": 1000.0}}  # 0.2 dollars a call
        result = await wideseek.ask_async(
            QUESTION, corpus=corpus, model=model, workflow="single", prices=prices, max_usd=1.0
        )
    assert result.status == "partial"
    assert "US dollars" in result.reason
    assert result.usage.usd == pytest.approx(1.0)
    assert result.usage.calls == 5


async def test_a_secret_header_is_sent_and_stands_in_no_file_of_the_run_which_goes_on_with_it(corpus, tmp_path):
    secret = "a-value-that-nobody-writes-down"
    async with FaultyServer(lambda request: {"content": f"{DUEODDE}\n\nkey: {secret}"}) as server:
        options = {"model": f"{server.url}#m", "workflow": "single", "corpus": corpus, "run_dir": tmp_path / "run"}
        first = await wideseek.ask_async(QUESTION, chat__headers={"X-Api-Key": secret}, **options)
        again = await wideseek.ask_async(QUESTION, chat__headers={"X-Api-Key": secret}, **options)
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert (first.replayed, again.replayed) == (0, 1)


async def test_the_json_says_the_day_of_the_prices_that_the_money_was_counted_with(corpus):
    result = await wideseek.ask_async(QUESTION, corpus=corpus, model="expert")
    assert result.as_json()["usage"]["prices_of"] == ""
    result.prices_of = "2026-07-24"
    assert result.as_json()["usage"]["prices_of"] == "2026-07-24"


async def test_a_run_folder_resumes_and_belongs_to_one_question(corpus, tmp_path):
    first = await wideseek.ask_async(QUESTION, corpus=corpus, run_dir=tmp_path)
    again = await wideseek.ask_async(QUESTION, corpus=corpus, run_dir=tmp_path)
    assert again.table == first.table
    assert again.usage.calls == first.usage.calls
    with pytest.raises(RunDirError, match="was asked something else"):
        await wideseek.ask_async("Another question?", corpus=corpus, run_dir=tmp_path)


def test_a_wrong_key_in_a_config_file_names_the_file_and_the_nearest_key(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[budget]\ncals = 3\n")
    with pytest.raises(BadConfig, match=r"own\.toml: budget\.cals: unknown; did you mean budget\.calls"):
        ask(QUESTION, config=file)


def test_importing_wideseek_loads_nothing_heavy():
    heavy = ["torch", "transformers", "pydantic", "httptools", "tantivy", "rich", "pandas", "openpyxl", "jsonschema"]
    code = f"import sys, wideseek; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_short_answer_where_columns_were_asked_for_has_evidence_for_every_cell(corpus):
    said = {"content": "\\boxed{47 m}", "finish_reason": "stop"}
    result = await answered(corpus, said, columns="name, height, year")
    assert result.table.rows
    assert [len(row) for row in result.evidence] == [3] * len(result.table.rows)
    assert result.status == "partial"


@pytest.mark.parametrize("last", ["| Extra Dam | Ve", "| Bovbjerg | 26 m | 18", "| Bovb"])
async def test_an_answer_that_stops_within_its_last_row_is_partial_although_the_server_reports_an_end(corpus, last):
    result = await answered(corpus, {"content": f"{DUEODDE}\n{last}", "finish_reason": "stop"})
    assert (result.status, last in result.reason) == ("partial", True)
