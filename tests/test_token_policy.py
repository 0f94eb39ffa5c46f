"""Token policies: what the sampler is given, what comes of what it samples, and that nothing is tokenised twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import QUESTION, MemorySource, table
from tests.qwen3 import CONTROLS, MARKS, tokenizer
from wideseek.errors import PolicyRejected
from wideseek.journal import Journal, RecordedPolicy
from wideseek.policy.base import Prices, Sampling, ToolSchema
from wideseek.policy.failures import ContextFull
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import Request, Sampled, TokenPolicy, sequence
from wideseek.records import Completion, Message, Rollout, Task, ToolCall, Trajectory
from wideseek.team import Team

TEMPLATE = ChatTemplate(tokenizer(), "qwen3")
SEARCH = ToolSchema("search", "Finds pages.", {"type": "object", "properties": {"query": {"type": "string"}}})
OPENING = [Message("system", "You look things up."), Message("user", "How high is Bovbjerg?")]
CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "Bovbjerg"}}\n</tool_call>'


class FakeSampler:
    """Samples what `say` makes of a request, as text or as ids; keeps the requests."""

    name, more_context = "fake", "serve more context"

    def __init__(
        self, say: Callable[[Request], str | list[int]], context_tokens: int = 100_000, version: int = 0
    ) -> None:
        self._say, self.context_tokens, self.version = say, context_tokens, version
        self.requests: list[Request] = []

    async def sample(self, request: Request) -> Sampled:
        self.requests.append(request)
        said = self._say(request)
        ids = [*TEMPLATE.tokenizer.encode(said), TEMPLATE.eos_id] if isinstance(said, str) else said
        ids = ids[: request.max_new]
        logprobs = [-1.0 / (3 + i) for i in range(len(ids))]
        return Sampled(ids, logprobs, [self.version] * len(ids), bool(ids) and ids[-1] in request.stop_ids)

    async def close(self) -> None:
        return None


def turns(*said: str | list[int]) -> Callable[[Request], str | list[int]]:
    left = iter(said)
    return lambda request: next(left)


def agent(**options: Any) -> Trajectory:
    return Trajectory(role="sub", path="lead/1.1", pending=list(OPENING), **options)


async def test_a_turn_holds_what_was_appended_sampled_and_read() -> None:
    sampler = FakeSampler(turns(f"<think>\nHm.\n</think>\n\nI look.\n{CALL}"), version=7)
    completion = await TokenPolicy(sampler, TEMPLATE, prices=Prices(1.0, 2.0)).complete(agent(), [SEARCH])
    assert (completion.reasoning, completion.text) == ("Hm.", "I look.")
    assert [(c.name, c.arguments) for c in completion.tool_calls] == [("search", {"query": "Bovbjerg"})]
    assert completion.prompt_ids == TEMPLATE.opening(OPENING, [SEARCH]) == sampler.requests[0].ids
    assert completion.completion_ids is not None
    assert completion.completion_ids[-1] == TEMPLATE.eos_id
    assert completion.logprobs is not None
    assert len(completion.logprobs) == len(completion.completion_ids) == completion.usage.completion_tokens
    assert completion.usage.prompt_tokens == len(completion.prompt_ids)
    assert completion.usage.usd == (completion.usage.prompt_tokens + 2 * completion.usage.completion_tokens) / 1e6
    assert (completion.version, completion.versions, completion.truncated) == (7, None, None)


async def test_a_later_turn_is_given_all_ids_as_they_were_and_only_what_is_pending_is_rendered() -> None:
    sampler = FakeSampler(turns(CALL, "26 m"))
    policy, run = TokenPolicy(sampler, TEMPLATE), agent(seed=40)
    run.add(await policy.complete(run, [SEARCH]))
    run.pending = [Message("tool", "height: 26 m"), Message("tool", "year: 1877")]
    run.add(await policy.complete(run, [SEARCH]))
    first, second = sampler.requests
    assert second.ids == [
        *first.ids,
        *(run.turns[0].completion.completion_ids or ()),
        *TEMPLATE.reply(run.turns[1].messages),
    ]
    assert [first.seed, second.seed] == [40, 41]
    assert run.turns[1].completion.text == "26 m"


async def test_sampling_is_passed_on_and_plain_where_nothing_is_said() -> None:
    for sampling, sent in ((None, (1.0, 1.0)), (Sampling(temperature=0.0, top_p=0.9), (0.0, 0.9))):
        sampler = FakeSampler(turns("26 m"))
        await TokenPolicy(sampler, TEMPLATE, sampling).complete(agent(), [])
        assert (sampler.requests[0].temperature, sampler.requests[0].top_p) == sent
        assert sampler.requests[0].stop_ids == TEMPLATE.stop_ids


async def test_earlier_turns_of_a_policy_that_speaks_text_are_rendered() -> None:
    run = agent()
    run.add(
        Completion(reasoning="Hm.", text="I look.", tool_calls=[ToolCall("call00000", "search", {"query": "Bovbjerg"})])
    )
    run.pending = [Message("tool", "26 m")]
    sampler = FakeSampler(turns("26 m"))
    run.add(await TokenPolicy(sampler, TEMPLATE).complete(run, [SEARCH]))
    said = TEMPLATE.tokenizer.encode(f"<think>\nHm.\n</think>\n\nI look.\n{CALL}<|im_end|>")
    assert sampler.requests[0].ids == [
        *TEMPLATE.opening(OPENING, [SEARCH]),
        *said,
        *TEMPLATE.reply([Message("tool", "26 m")]),
    ]
    assert run.turns[1].completion.prompt_ids == TEMPLATE.reply([Message("tool", "26 m")])


async def test_weights_that_changed_in_a_turn_are_recorded_token_by_token() -> None:
    class Changing(FakeSampler):
        async def sample(self, request: Request) -> Sampled:
            sampled = await super().sample(request)
            return Sampled(sampled.ids, sampled.logprobs, [3, *[4] * (len(sampled.ids) - 1)], sampled.ended)

    completion = await TokenPolicy(Changing(turns("26 m"), version=4), TEMPLATE).complete(agent(), [])
    assert completion.version == 3
    assert completion.versions is not None
    assert completion.versions[:2] == [3, 4]


# ------------------------------------------------------------------------------------------------------------- limits


async def test_the_cap_of_a_turn_and_the_context_are_two_ways_to_be_cut_off() -> None:
    prompt = len(TEMPLATE.opening(OPENING, []))
    for cap, context, limit, length in (
        (5, 1_000, "turn_cap", 5),
        (50, prompt + 7, "context", 7),
        (None, prompt + 7, "context", 7),
    ):
        sampler = FakeSampler(lambda _: [9] * 99)
        policy = TokenPolicy(sampler, TEMPLATE, Sampling(max_tokens=cap))
        completion = await policy.complete(agent(context_tokens=context), [])
        assert (completion.truncated, len(completion.completion_ids or ())) == (limit, length)


@pytest.mark.parametrize("role", ["sub", "scout"])
async def test_a_subtask_too_long_for_its_subagent_ends_it_whatever_its_role_is_called(role: str) -> None:
    policy = TokenPolicy(FakeSampler(turns()), TEMPLATE)
    long = [Message("system", "You look things up."), Message("user", "word " * 2_000)]
    subagent = Trajectory(role=role, path="lead/1.1", prompt=long[1].text, pending=long)
    subagent.context_tokens = 1_000
    assert (await policy.complete(subagent, [SEARCH])).truncated == "context"
    alone = msgspec.structs.replace(subagent, path="single")
    with pytest.raises(PolicyRejected, match=f"raise {role}.context_tokens above 1,000"):
        await policy.complete(alone, [SEARCH])


async def test_a_call_in_another_dialect_is_a_call_of_a_token_policy_where_tools_were_offered() -> None:
    said = "<function=search><parameter=query>1984</parameter></function>"
    policy = TokenPolicy(FakeSampler(turns(said, said)), TEMPLATE)
    offered, alone = await policy.complete(agent(), [SEARCH]), await policy.complete(agent(), [])
    assert [(call.name, call.arguments) for call in offered.tool_calls] == [("search", {"query": "1984"})]
    assert (alone.text, alone.tool_calls) == (said, [])


async def test_an_engine_whose_context_ends_before_ours_cuts_off_by_context() -> None:
    class Short(FakeSampler):
        async def sample(self, request: Request) -> Sampled:
            return await super().sample(msgspec.structs.replace(request, max_new=3))

    policy = TokenPolicy(Short(lambda _: [9] * 99), TEMPLATE, Sampling(max_tokens=50))
    assert (await policy.complete(agent(), [])).truncated == "context"


@pytest.mark.parametrize("refuses", [False, True], ids=["counted", "said by the engine"])
async def test_a_later_turn_without_room_ends_the_agent_and_trains_nothing(refuses: bool) -> None:
    def say(request: Request) -> str | list[int]:
        if len(sampler.requests) > 1:
            raise ContextFull
        return CALL

    sampler = FakeSampler(say)
    policy, run = TokenPolicy(sampler, TEMPLATE), agent(context_tokens=100_000 if refuses else 400)
    run.add(await policy.complete(run, [SEARCH]))
    run.pending = [Message("tool", "height " * 400)]
    completion = run.add(await policy.complete(run, [SEARCH]))
    assert (completion.truncated, completion.completion_ids, completion.logprobs) == ("context", [], [])
    assert len(sampler.requests) == 1 + refuses
    assert sequence(run, TEMPLATE, [SEARCH])[-3:] == TEMPLATE.reply(run.turns[1].messages)[-3:]


@pytest.mark.parametrize(
    ("agents", "engines", "advice"),
    [
        (20, 100_000, "raise sub.context_tokens above 20"),
        (100_000, 20, "serve more context"),
        (100_000, None, "serve more context"),
    ],
    ids=["the agent's", "the engine's", "said by the engine when asked"],
)
async def test_a_first_prompt_beyond_the_context_is_refused_with_what_to_do(
    agents: int, engines: int | None, advice: str
) -> None:
    def say(request: Request) -> str:
        raise ContextFull

    policy = TokenPolicy(FakeSampler(say, context_tokens=engines or 2**60), TEMPLATE)
    with pytest.raises(PolicyRejected, match=r"^fake: the prompt has \d+ tokens") as error:
        await policy.complete(agent(context_tokens=agents), [SEARCH])
    assert str(error.value).endswith(f"shorten the question, or {advice}")


@pytest.mark.parametrize("ours", [True, False], ids=["the agent's context", "the engine's"])
async def test_a_subtask_beyond_the_context_ends_the_subagent_which_is_the_leads_mistake(ours: bool) -> None:
    sampler = FakeSampler(turns(), context_tokens=100_000 if ours else 600)
    run = agent(context_tokens=600 if ours else 100_000, prompt="height " * 400)
    run.pending = [OPENING[0], Message("user", run.prompt)]
    completion = run.add(await TokenPolicy(sampler, TEMPLATE).complete(run, [SEARCH]))
    assert (completion.truncated, completion.completion_ids, sampler.requests) == ("context", [], [])


# ------------------------------------------------------------------------------------------- journal, files, a whole team


def counting(version: int = 0) -> FakeSampler:
    """A lead that delegates twice and writes a table; subagents that search. What it says has a random spelling."""

    def say(request: Request) -> list[int]:
        text = TEMPLATE.text(request.ids)
        turn = text.count("<|im_start|>assistant") - 1
        if '"name": "call_subagent"' in text:
            subtasks = '{"name": "call_subagent", "arguments": {"subtasks": ["Bovbjerg", "Dueodde"]}}'
            words = (
                f"<tool_call>\n{subtasks}\n</tool_call>"
                if turn == 0
                else table("| Bovbjerg | 26 m |", "| Dueodde | 47 m |")
            )
        else:
            words = CALL if turn == 0 else "26 m"
        return [*spelled(words, request.seed), TEMPLATE.eos_id]

    return FakeSampler(say, version=version)


def spelled(words: str, seed: int) -> list[int]:
    """Ids that say these words, cut at random places: seldom the ids that the tokenizer would choose."""
    draw, ids, start = random.Random(seed), [], 0
    while start < len(words):
        end = start + draw.randint(1, 9)
        ids += TEMPLATE.tokenizer.encode(words[start:end], add_special_tokens=False)
        start = end
    return ids


async def solved(sampler: FakeSampler, folder: Path | None = None) -> Rollout:
    policy = TokenPolicy(sampler, TEMPLATE)
    with Journal(folder) as journal:
        team = Team({"lead": policy, "single": policy, "sub": policy}, MemorySource(), journal=journal)
        return await team.solve(Task(question=QUESTION))


async def test_a_team_runs_on_token_ids_and_its_sequences_are_what_was_sampled() -> None:
    sampler = counting()
    rollout = await solved(sampler)
    assert "47 m" in rollout.answer
    assert [len(run.turns) for run in rollout.trajectories] == [2, 2, 2]
    asked = {tuple(request.ids) for request in sampler.requests}
    for run in rollout.trajectories:
        ids = sequence(run, TEMPLATE, [])
        said = run.turns[-1].completion.completion_ids or []
        assert tuple(ids[: -len(said)]) in asked
        assert ids[-len(said) :] == said


async def test_a_replay_gives_equal_ids_and_samples_nothing(tmp_path: Path) -> None:
    first = await solved(counting(), tmp_path)
    replaying = counting()
    again = await solved(replaying, tmp_path)
    assert replaying.requests == []
    assert [r.turns[t].completion for r in again.trajectories for t in (0, 1)] == [
        r.turns[t].completion for r in first.trajectories for t in (0, 1)
    ]
    assert first.lead.turns[0].completion.completion_ids


async def test_what_identifies_a_request_is_in_its_digest(tmp_path: Path) -> None:
    """Each of these asks for something else at the same place, so none may be answered from the journal."""
    asked = [
        ({}, Sampling(), [SEARCH], {}),
        ({"seed": 1}, Sampling(), [SEARCH], {}),
        ({"context_tokens": 500}, Sampling(), [SEARCH], {}),
        ({}, Sampling(temperature=0.5), [SEARCH], {}),
        ({}, Sampling(), [], {}),
        ({}, Sampling(), [SEARCH], {"version": 1}),
    ]
    with Journal(tmp_path) as journal:
        for options, sampling, tools, version in asked:
            sampler = FakeSampler(turns("26 m"), **version)
            await RecordedPolicy(TokenPolicy(sampler, TEMPLATE, sampling), journal, "task/0").complete(
                agent(**options), tools
            )
    for options, sampling, tools, version in asked:
        sampler = FakeSampler(turns(), **version)
        with Journal(tmp_path) as journal:
            await RecordedPolicy(TokenPolicy(sampler, TEMPLATE, sampling), journal, "task/0").complete(
                agent(**options), tools
            )
            assert journal.recalled == 1
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 1 + len(asked)


async def test_other_ids_for_the_same_words_in_an_earlier_turn_are_another_request(tmp_path: Path) -> None:
    samplers = []
    for seed in (1, 2, 1):
        run = agent()
        run.add(
            Completion(
                text="lighthouses of Denmark", prompt_ids=[], completion_ids=spelled("lighthouses of Denmark", seed)
            )
        )
        run.pending = [Message("user", "?")]
        samplers.append(FakeSampler(turns("26 m")))
        with Journal(tmp_path) as journal:
            await RecordedPolicy(TokenPolicy(samplers[-1], TEMPLATE), journal, "task/0").complete(run, [])
    assert [len(sampler.requests) for sampler in samplers] == [1, 1, 0]


async def test_a_rollout_survives_its_file_with_ids_and_is_read_without(tmp_path: Path) -> None:
    rollout = await solved(counting())
    encoded = msgspec.json.encode(rollout)
    assert msgspec.json.decode(encoded, type=Rollout) == rollout
    bare = msgspec.json.decode(encoded)
    for run in bare["trajectories"]:
        for turn in run["turns"]:
            for key in ("prompt_ids", "completion_ids", "logprobs"):
                del turn["completion"][key]
    read = msgspec.json.decode(msgspec.json.encode(bare), type=Rollout)
    assert read.answer == rollout.answer
    assert all(turn.completion.completion_ids is None for run in read.trajectories for turn in run.turns)
    assert sequence(read.lead, TEMPLATE, [SEARCH])  # rendered: what the model would have sampled


_WORDS = st.lists(
    st.sampled_from([*CONTROLS, *MARKS, CALL, "\n", " ", "lighthouse", "é", "页"]) | st.text(max_size=6)
).map("".join)


@settings(max_examples=100, deadline=None)
@given(
    said=st.lists(_WORDS, min_size=1, max_size=4),
    heard=st.lists(st.lists(_WORDS, min_size=1, max_size=3), min_size=4),
    seed=st.integers(0, 99),
)
async def test_a_sequence_is_exactly_what_was_given_and_sampled(
    said: list[str], heard: list[list[str]], seed: int
) -> None:
    sampler = FakeSampler(turns(*([*spelled(words, seed), TEMPLATE.eos_id] for words in said)))
    policy, run = TokenPolicy(sampler, TEMPLATE), agent()
    given: list[int] = []
    for turn in range(len(said)):
        completion = run.add(await policy.complete(run, [SEARCH]))
        assert sampler.requests[turn].ids[: len(given)] == given
        given = [*sampler.requests[turn].ids, *(completion.completion_ids or ())]
        run.pending = _replies(heard[turn])
    assert sequence(run, TEMPLATE, [SEARCH]) == given
    saved = msgspec.json.decode(msgspec.json.encode(run), type=Trajectory)
    assert sequence(saved, TEMPLATE, [SEARCH]) == given


def _replies(texts: Sequence[str]) -> list[Message]:
    return [Message("tool", text) for text in texts]
