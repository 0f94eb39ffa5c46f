"""The LLM judge against a server that fails and a model that talks nonsense."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.faulty_server import FaultyServer, refusal
from tests.helpers import Model
from wideseek.errors import BadInput
from wideseek.policy.base import Prices, Sampling
from wideseek.policy.chat import ChatPolicy
from wideseek.records import Completion, Message, Score, Task, Trajectory, Usage
from wideseek.scoring.judge import Case, ExactJudge, JudgeFailed
from wideseek.scoring.llm_judge import PER_QUESTION, PROMPTS, LLMJudge
from wideseek.scoring.table import score_response
from wideseek.table import Table

QUICK = ("429", "500", "cut", "malformed", "reset")  # every fault of the server but to hang
GREEDY = Sampling(temperature=0)
PAIR = [("big apple", "New York")]


def colour_task(name: str, rows: int = 4) -> Task:
    """Towns with two judged columns; the key is judged too."""
    judged = {"preprocess": ["norm_str"], "metric": ["llm_judge"], "criterion": f"The same colour, says {name}."}
    columns = ["town", "colour", "shade"]
    gold = Table(columns, [[f"Town {i} {name}", f"blue {i}", f"light {i}"] for i in range(rows)])
    evaluation = {"unique_columns": ["town"], "required": columns, "eval_pipeline": dict.fromkeys(columns, judged)}
    return Task(instance_id=name, kind="wide", question=f"{name}?", answer=gold.to_markdown(), evaluation=evaluation)


def colour_response(name: str, rows: int = 4) -> str:
    """The gold in other words, the shade of the first town wrong."""
    table = Table(
        ["The town", "Colour", "Shade"],
        [[f"Town {i} {name} (city)", f"azure {i}", f"{'dark' if i == 0 else 'pale'} {i}"] for i in range(rows)],
    )
    return table.to_markdown()


def bilingual(request: dict[str, Any]) -> dict[str, Any]:
    """A judge as a server: reads the prompts' lists, takes azure for blue and pale for light."""
    return {"content": verdict(request["messages"][1]["content"])}


def verdict(asked: str) -> str:
    listed = [json.loads(found) for found in re.findall(r"^[^{\n]*: (\{.*\})$", asked, re.MULTILINE)]
    if len(listed) == 1:
        meant = {"azure": "blue", "pale": "light"}
        return json.dumps(
            {n: meant.get(p["said"].split()[0]) == p["reference"].split()[0] for n, p in listed[0].items()}
        )
    names, references = listed
    numbers = {core(reference): int(n) for n, reference in references.items()}
    return json.dumps({n: numbers.get(core(name)) for n, name in names.items()})


def core(name: str) -> str:
    return name.lower().removeprefix("the").removeprefix(" ").replace(" (city)", "").replace(" ", "")


def judge_at(server: FaultyServer, attempts: int = 1, cache: Path | None = None, **options: Any) -> LLMJudge:
    options = {"attempts": 1, "backoff_s": 0.001, "sampling": GREEDY, **options}
    return LLMJudge(ChatPolicy(model="mock", base_url=server.url, **options), cache, attempts)


def says(*words: str | Exception, usage: Usage | None = None) -> Model:
    """A policy at temperature 0 that gives these answers in turn."""
    turns = iter(words)

    def say(run: Trajectory) -> Completion:
        said = next(turns)
        if isinstance(said, Exception):
            raise said
        return Completion(text=said, usage=usage or Usage(1, 10, 5, 0.01))

    model = Model(say)
    model.sampling = GREEDY
    return model


async def scores(judge: LLMJudge, names: list[str]) -> list[Score]:
    return [await score_response(colour_response(name), colour_task(name), judge=judge) for name in names]


# ------------------------------------------------------------------------------------------------------------ failures


async def test_a_judge_that_fails_a_fifth_of_its_calls_gives_equal_figures_after_retries() -> None:
    names = [f"t{i}" for i in range(12)]
    async with FaultyServer(bilingual) as steady, FaultyServer(bilingual, faults=0.2, kinds=QUICK) as shaky:
        wanted = await scores(judge_at(steady), names)
        got = await scores(judge_at(shaky, attempts=12), names)
        assert sum(shaky.stats.faults.values()) > 3
    assert [score.parts for score in got] == [score.parts for score in wanted]
    assert [score.value for score in got] == [pytest.approx(11 / 12)] * 12


async def test_without_retries_failures_leave_items_unscored_and_never_zero() -> None:
    names = [f"t{i}" for i in range(12)]
    async with FaultyServer(bilingual, faults=0.2, kinds=QUICK) as shaky:
        got = await scores(judge_at(shaky), names)
    unscored = [score for score in got if score.value is None]
    assert 0 < len(unscored) < 12
    assert all(score.unscored and "attempts" in score.unscored for score in unscored)
    assert all(score.value == pytest.approx(11 / 12) for score in got if score.value is not None)


@pytest.mark.parametrize("mode", ["strict", "official", "rlinf"])
@pytest.mark.filterwarnings("ignore")
async def test_a_judge_that_refuses_leaves_every_mode_unscored(mode: Any) -> None:
    async with FaultyServer(lambda request: refusal(401, "no such key")) as server:
        response = f"```markdown\n{colour_response('t')}\n```"
        score = await score_response(response, colour_task("t"), mode=mode, judge=judge_at(server, attempts=3))
        assert server.stats.requests == 1  # a wrong key is not tried again
    assert score.value is None
    assert "no such key" in str(score.unscored)


# ---------------------------------------------------------------------------------------------------- what is asked


async def test_temperature_zero_is_really_sent() -> None:
    async with FaultyServer(bilingual) as server:
        await scores(judge_at(server), ["t"])
        assert server.requests
        assert {request["temperature"] for request in server.requests} == {0}


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0)])
def test_a_policy_at_another_temperature_is_no_judge(sampling: Sampling) -> None:
    model = says()
    model.sampling = sampling
    with pytest.raises(BadInput, match="temperature"):
        LLMJudge(model)


async def test_prompts_are_in_the_language_of_the_task() -> None:
    asked: list[str] = []

    def say(run: Trajectory) -> str:
        asked.extend(m.text for m in run.messages() if isinstance(m, Message))
        return '{"1": true}'

    model = Model(say)
    model.sampling = GREEDY
    for language, word in (("en", "criterion"), ("zh", "标准")):
        asked.clear()
        task = Task(question="?", language=language)
        assert await LLMJudge(model).agree(Case(task), "c", PAIR, "$criterion {x}") == [1.0]
        assert word in asked[0]
        assert "$criterion {x}" in asked[0]


def test_every_prompt_is_there_in_both_languages() -> None:
    names = {path.name for path in PROMPTS.glob("*.md")}
    assert names == {
        f"{kind}.{language}.md" for kind in ("columns", "keys", "cells", "answer") for language in ("en", "zh")
    }


async def test_equal_cells_and_names_cost_no_call() -> None:
    judge, case = LLMJudge(says()), Case(Task())
    assert await judge.agree(case, "c", [("A b", "ab"), ("x", "X")], "") == [1.0, 1.0]
    assert await judge.map_keys(case, "c", ["**Ab**"], ["a b"]) == {"**Ab**": "a b"}
    assert await judge.accepts(case, "ab", ["A B"])
    assert case.usage == Usage()


async def test_a_long_column_is_asked_about_in_parts() -> None:
    pairs = [(f"a{i}", f"b{i}") for i in range(2 * PER_QUESTION + 1)]
    model = Model(lambda run: json.dumps(dict.fromkeys(json.loads(run.pending[1].text.rpartition("Pairs: ")[2]), True)))
    model.sampling = GREEDY
    assert sum(await LLMJudge(model).agree(Case(Task(language="en")), "c", pairs, "")) == len(pairs)
    assert model.calls == 3


async def test_a_short_answer_in_other_words_is_judged() -> None:
    task = Task(instance_id="q", question="Where?", answer=["New York City", "NYC"])
    score = await score_response(r"\boxed{the Big Apple}", task, judge=LLMJudge(says('{"right": true}')))
    assert (score.value, score.parts["em"], score.parts["judged"]) == (1.0, 0.0, 1.0)


# ------------------------------------------------------------------------------------------------------ strict answers


@pytest.mark.parametrize(
    "nonsense",
    ["", "yes", '{"1": 1}', '{"1": "true"}', "{}", '{"1": true, "2": true}', "[true]", '{"1": true} and so on'],
)
async def test_an_answer_that_is_not_the_json_asked_for_is_asked_for_again(nonsense: str) -> None:
    case = Case(Task(language="en"))
    good = '```json\n{"1": true}\n```'
    assert await LLMJudge(says(nonsense, good), attempts=2).agree(case, "c", PAIR, "") == [1.0]
    assert case.usage.calls == 2
    with pytest.raises(JudgeFailed, match="in 1 attempts; the last: not the JSON"):
        await LLMJudge(says(nonsense), attempts=1).agree(case, "c", PAIR, "")


@pytest.mark.parametrize("nonsense", ['{"1": 3}', '{"1": 0}', '{"1": "x"}', '{"2": 1}'])
async def test_a_name_is_mapped_onto_a_reference_or_onto_nothing(nonsense: str) -> None:
    case = Case(Task(language="en"))
    judge = LLMJudge(says(nonsense, '{"1": 2}'), attempts=2)
    assert await judge.map_keys(case, "c", ["z"], ["x", "y"]) == {"z": "y"}
    assert await LLMJudge(says('{"1": null}')).map_columns(case, ["z"], ["x", "y"]) == {}


# --------------------------------------------------------------------------------------------------- cache and costs


async def test_what_was_judged_once_is_not_asked_again(tmp_path: Path) -> None:
    task = colour_task("t")
    async with FaultyServer(bilingual) as server:
        first = await score_response(colour_response("t"), task, judge=judge_at(server, cache=tmp_path))
        again = await score_response(colour_response("t"), task, judge=judge_at(server, cache=tmp_path))
        assert server.stats.requests == first.judge.calls == 4  # columns, keys, two columns of cells
    assert (again.judge.calls, again.judge_cached, again.parts) == (0, 4, first.parts)
    assert "prompts" in judge_at(server).pin


@pytest.mark.parametrize("change", ["model", "criterion", "question"])
async def test_another_model_or_question_is_asked_anew(tmp_path: Path, change: str) -> None:
    async def ask(name: str, criterion: str, question: str) -> int:
        model = says('{"1": true}')
        model.name = name
        await LLMJudge(model, tmp_path).agree(Case(Task(question=question)), "c", PAIR, criterion)
        return model.calls

    asked = {"model": "m", "criterion": "c", "question": "q"}
    assert await ask(*asked.values()) == 1
    assert await ask(*asked.values()) == 0
    assert await ask(*{**asked, change: "other"}.values()) == 1


async def test_nonsense_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(JudgeFailed):
        await LLMJudge(says("no"), tmp_path, attempts=1).agree(Case(Task()), "c", PAIR, "")
    assert not list(tmp_path.rglob("*.json"))


async def test_a_score_says_what_judging_cost_also_where_it_failed() -> None:
    prices = Prices(prompt=1.0, completion=1.0)
    async with FaultyServer(bilingual) as server:
        score = await score_response(colour_response("t"), colour_task("t"), judge=judge_at(server, prices=prices))
    assert score.judge.calls == 4
    assert score.judge.usd == pytest.approx(score.judge.tokens / 1e6)
    failed = await score_response(colour_response("t"), colour_task("t"), judge=LLMJudge(says("no", "no"), attempts=2))
    assert (failed.value, failed.judge.calls, failed.judge.usd) == (None, 2, pytest.approx(0.02))


# --------------------------------------------------------------------------------------------------------------- exact


async def test_the_exact_judge_maps_onto_the_first_reference_that_is_equal() -> None:
    judge, case = ExactJudge(), Case(Task())
    assert await judge.map_columns(case, ["ABV %", "x"], ["abv%", "ABV%"]) == {"ABV %": "abv%"}
    assert await judge.map_keys(case, "c", ["*A b*", "c"], ["ab", "A B"]) == {"*A b*": "ab"}
    assert await judge.agree(case, "c", [("A", "a"), ("a", "b")], "") == [1.0, 0.0]
    assert await judge.accepts(case, "N Y C", ["nyc"])
