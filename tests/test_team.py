"""The agent loop and the team: what happens when agents delegate, fail, overrun and misuse their tools."""

from __future__ import annotations

import pytest

from tests.helpers import HOST, QUESTION, MemorySource, Model, call, delegate, replies, script, table, team
from wideseek.errors import PolicyRejected, PolicyUnavailable
from wideseek.policy.scripted import Expert
from wideseek.records import Completion, Message, Task, Trajectory
from wideseek.roles import LEAD, SINGLE, SUB, Profile
from wideseek.team import PageTools, Team, rollout_group
from wideseek.tools.pages import was_shown

TASK = Task(question=QUESTION)


def limited(role, **limits):
    return {role.name: type(role)(**{f: getattr(role, f) for f in role.__struct_fields__} | limits)}


async def test_the_lead_gets_its_subagents_answers_in_the_order_it_asked():
    lead = script(delegate("first", "second", "third"), table("| A | 1 |"))
    slow_first = Model(lambda run: f"report on {run.prompt}", seconds=0.0)
    rollout = await team(lead, slow_first).solve(TASK)
    reply = replies(rollout.lead)[0]
    assert reply.index("report on first") < reply.index("report on second") < reply.index("report on third")
    assert [run.path for run in rollout.trajectories] == ["lead", "lead/1.1", "lead/1.2", "lead/1.3"]
    assert (rollout.width, rollout.depth, rollout.stop) == (3, 2, "answer")


async def test_parallel_calls_and_one_call_with_a_list_are_the_same_fan_out():
    listed = await team(script(delegate("a", "b"), "done"), "report").solve(TASK)
    parallel = await team(script(delegate("a") + delegate("b"), "done"), "report").solve(TASK)
    assert [run.path for run in listed.trajectories] == [run.path for run in parallel.trajectories]
    assert parallel.width == 2
    assert [m.call_id for m in parallel.lead.turns[1].messages] == ["call_0", "call_1"]


async def test_subagents_see_their_subtask_and_the_question_but_not_the_leads_conversation():
    seen: list[str] = []

    def sub(run: Trajectory) -> str:
        seen.extend(m.text for m in run.pending)
        return "done"

    await team(script(delegate("count the steps"), "done"), sub).solve(TASK)
    assert any("count the steps" in text and QUESTION in text for text in seen)
    assert not any("You lead a team" in text for text in seen)


async def test_a_subagent_cannot_delegate():
    names: list[str] = []

    class Spy(Model):
        async def complete(self, trajectory, tools):
            names.extend(tool.name for tool in tools)
            return await super().complete(trajectory, tools)

    await team(script(delegate("x"), "done"), Spy(script("done"))).solve(TASK)
    assert names == ["search", "access"]


async def test_what_exceeds_the_width_is_not_started_and_the_lead_is_told():
    lead = script(delegate("a", "b", "c"), "done")
    rollout = await team(lead, "report", roles=limited(LEAD, max_calls=2)).solve(TASK)
    assert len(rollout.trajectories) == 3
    assert "Only the first 2 of 3" in replies(rollout.lead)[0]


async def test_the_width_limit_counts_over_all_calls_of_a_turn():
    lead = script(delegate("a", "b") + delegate("c", "d"), "done")
    rollout = await team(lead, "report", roles=limited(LEAD, max_calls=3)).solve(TASK)
    assert [run.prompt for run in rollout.trajectories[1:]] == ["a", "b", "c"]
    first, second = replies(rollout.lead)
    assert "Only" not in first
    assert "Only the first 1 of 2" in second


async def test_a_failed_subagent_is_reported_to_the_lead_and_marks_the_rollout():
    def sub(run: Trajectory) -> str:
        if run.prompt == "b":
            raise PolicyUnavailable("the server is down")
        return "fine"

    rollout = await team(script(delegate("a", "b"), table("| A | 1 |")), sub).solve(TASK)
    reply = replies(rollout.lead)[0]
    assert "fine" in reply
    assert "FAILED: the server is down" in reply
    assert rollout.stop == "answer"
    assert rollout.error == "the server is down"


async def test_a_subagent_that_ends_without_an_answer_is_reported_as_failed():
    rollout = await team(
        script(delegate("x"), "done"), script([("search", {"query": "y"})]), roles=limited(SUB, max_turns=2)
    ).solve(TASK)
    assert rollout.trajectories[1].stop == "max_turns"
    assert "FAILED" in replies(rollout.lead)[0]


async def test_a_lead_whose_policy_fails_gives_a_rollout_with_the_error():
    def lead(run: Trajectory) -> object:
        if run.turns:
            raise PolicyUnavailable("gone")
        return delegate("a")

    rollout = await team(lead, "report").solve(TASK)
    assert (rollout.stop, rollout.error, rollout.answer) == ("error", "gone", "")


async def test_a_model_that_refuses_from_the_start_stops_everything():
    def refuse(run: Trajectory) -> str:
        raise PolicyRejected("no such model")

    with pytest.raises(PolicyRejected, match="no such model"):
        await team(script(delegate("a", "b"), "done"), refuse).solve(TASK)


async def test_a_malformed_call_gets_an_error_reply_not_an_early_end():
    bad = Completion(tool_calls=[call("call_subagent", {}, malformed="a comma is missing")])
    rollout = await team(script(bad, table("| A | 1 |"))).solve(TASK)
    assert "a comma is missing" in replies(rollout.lead)[0]
    assert rollout.stop == "answer"


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("fly", {}, "There is no tool fly. You hold: call_subagent."),
        ("call_subagent", {"tasks": ["a"]}, "'subtasks' is a required property"),
        ("call_subagent", {"subtasks": [3]}, "arguments.subtasks[0]: 3 is not of type 'string'"),
        ("call_subagent", {"subtasks": []}, "call_subagent was not run"),
    ],
)
async def test_an_unknown_tool_or_a_wrong_argument_is_told_to_the_agent(name, arguments, told):
    rollout = await team(script([(name, arguments)], "done")).solve(TASK)
    assert told in replies(rollout.lead)[0]
    assert rollout.stop == "answer"
    assert len(rollout.trajectories) == 1


async def test_a_single_subtask_written_without_a_list_is_a_list_of_one():
    rollout = await team(script([("call_subagent", {"subtasks": "just this"})], "done"), "report").solve(TASK)
    assert rollout.trajectories[1].prompt == "just this"


async def test_the_last_turn_is_announced_and_starts_no_tool():
    source = MemorySource()
    always = script([("search", {"query": "Denmark"})])
    rollout = await team("unused", source=source, roles=limited(SINGLE, max_turns=3)).solve(TASK, workflow="single")
    assert rollout.stop == "answer"
    rollout = await team(always, source=source, roles=limited(SINGLE, max_turns=3)).solve(TASK, workflow="single")
    assert rollout.stop == "max_turns"
    assert len(source.calls) == 2
    assert "One turn is left" in replies(rollout.lead)[1]
    assert "Turn 1 of 3" in replies(rollout.lead)[0]


async def test_a_nearly_full_context_is_announced():
    model = Model(script([("search", {"query": "x"})], "done"), tokens=900)
    rollout = await team(model, roles=limited(SINGLE, context_tokens=1000)).solve(TASK, workflow="single")
    assert "context is nearly full: 900 of 1000" in replies(rollout.lead)[0]


@pytest.mark.parametrize("limit", ["turn_cap", "context"])
async def test_a_cut_off_turn_ends_the_agent_with_the_limit_as_its_stop_reason(limit):
    rollout = await team(Completion(text="half a", truncated=limit)).solve(TASK)
    assert rollout.stop == limit
    assert rollout.answer == ""


async def test_a_policy_per_role_is_used_for_that_role_only():
    lead, sub = Model(script(delegate("a"), "done")), Model(script("report"))
    await team(lead, sub).solve(TASK)
    assert (lead.calls, sub.calls) == (2, 1)


async def test_an_agent_opens_only_urls_that_it_was_shown():
    source = MemorySource()
    invented = [("access", {"url": f"{HOST}/bovbjerg"})]
    found = [("search", {"query": "lighthouses of Denmark"})]
    rollout = await team(script(invented, invented, found, invented, "done"), source=source).solve(
        TASK, workflow="single"
    )
    told = replies(rollout.lead)
    assert "was not opened" in told[0]
    assert "was not opened" in told[1]  # being refused does not show it
    assert "height: 26 m" in told[3]
    assert source.calls.count(f"page {HOST}/bovbjerg") == 1
    assert rollout.lead.read == [f"{HOST}/bovbjerg"]


async def test_a_url_in_the_subtask_may_be_opened_by_that_subagent_but_not_by_its_sibling():
    source = MemorySource()
    url = f"{HOST}/dueodde"
    sub = script([("access", {"url": url})], "done")
    rollout = await team(script(delegate(f"read {url}", "read it too"), "done"), sub, source=source).solve(TASK)
    first, second = rollout.trajectories[1:]
    assert first.read == [url]
    assert second.read == []
    assert "was not opened" in replies(second)[0]


async def test_part_of_a_shown_url_is_not_shown():
    found, part = [("search", {"query": "lighthouses of Denmark"})], [("access", {"url": f"{HOST}/bov"})]
    rollout = await team(script(found, part, "done")).solve(TASK, workflow="single")
    assert "was not opened" in replies(rollout.lead)[1]


async def test_any_url_opens_where_that_is_allowed():
    sub = script([("access", {"url": f"{HOST}/dueodde"})], "done")
    rollout = await team(sub, page_tools=PageTools(shown_only=False)).solve(TASK, workflow="single")
    assert rollout.lead.read == [f"{HOST}/dueodde"]


async def test_a_long_page_is_cut_and_the_agent_is_told():
    sub = script([("access", {"url": f"{HOST}/dueodde"})], "done")
    rollout = await team(sub, page_tools=PageTools(page_chars=10, shown_only=False)).solve(TASK, workflow="single")
    reply = replies(rollout.lead)[0]
    assert "the first 10 characters are shown" in reply
    assert "47 m" not in reply
    assert rollout.pages[f"{HOST}/dueodde"].text == "Dueodde is"


async def test_pages_are_summarised_by_the_sub_policy_and_the_evidence_stays_the_raw_page():
    def summary(run: Trajectory) -> str:
        assert run.role == "summary"
        assert "the height" in run.pending[-1].text
        return "It is 47 metres high."

    reader = script([("access", {"url": f"{HOST}/dueodde", "info_to_extract": "the height"})], "done")
    crew = Team(
        {"lead": Model(reader), "single": Model(reader), "summary": Model(summary, tokens=7)},
        MemorySource(),
        page_tools=PageTools(shown_only=False, summarise=True),
    )
    rollout = await crew.solve(TASK, workflow="single")
    assert "It is 47 metres high." in replies(rollout.lead)[0]
    assert "height: 47 m" in rollout.pages[f"{HOST}/dueodde"].text
    assert rollout.usage.tokens == 7


@pytest.mark.parametrize("workflow", ["team", "single"])
async def test_the_expert_reads_every_members_page(workflow):
    rollout = await team(Expert(), Expert()).solve(TASK, workflow=workflow)
    assert "| Dueodde | 47 m | 1962 |" in rollout.answer
    assert len(rollout.pages) == 4
    assert "no language model" in rollout.answer


@pytest.mark.parametrize("profile", ["default", "wideseek-r1", "nano"])
async def test_the_expert_works_with_every_profile(profile):
    rollout = await team(Expert(), Expert(), profile=Profile.load(profile)).solve(TASK)
    assert "| Hanstholm | 23 m | 1843 |" in rollout.answer


async def test_the_expert_comes_to_the_same_table_when_it_may_only_start_one_subagent_at_a_time():
    rollout = await team(Expert(), Expert(), roles=limited(LEAD, max_calls=1)).solve(TASK)
    assert "| Dueodde | 47 m | 1962 |" in rollout.answer
    assert rollout.width == 1


async def test_the_expert_answers_with_what_it_has_in_its_last_turn():
    rollout = await team(Expert(), Expert(), roles=limited(LEAD, max_calls=1, max_turns=3)).solve(TASK)
    assert rollout.stop == "answer"
    assert "| Bovbjerg | 26 m | 1877 |" in rollout.answer
    assert "| Dueodde |  |  |" in rollout.answer


async def test_a_group_is_independent_attempts_with_seeds_of_their_own():
    group = await rollout_group(team(script(delegate("a"), "done"), "report"), TASK, 3)
    assert [rollout.trial for rollout in group] == [0, 1, 2]
    seeds = {run.seed for rollout in group for run in rollout.trajectories}
    assert len(seeds) == 6


async def test_seeds_depend_on_the_place_alone():
    first = await team(script(delegate("a"), "done"), "report").solve(TASK)
    second = await team(script(delegate("a"), "done"), "report").solve(TASK)
    assert [run.seed for run in first.trajectories] == [run.seed for run in second.trajectories]


async def test_a_chinese_question_gets_chinese_prompts():
    rollout = await team("好").solve(Task(question="丹麦有哪些灯塔？请给出高度和建成年份。"))
    assert "你带领一个团队" in rollout.lead.turns[0].messages[0].text


async def test_a_short_question_is_asked_for_a_box():
    rollout = await team(r"\boxed{47 m}").solve(Task(question="How high is Dueodde?", answer=["47 m"]))
    assert r"\boxed{}" in rollout.lead.turns[0].messages[0].text


@pytest.mark.parametrize(
    ("told", "url", "shown"),
    [
        ("see https://a.example/x, and go on", "https://a.example/x", True),
        ("see **https://a.example/x**", "https://a.example/x", True),
        ("(https://a.example/wiki/Foo_(bar))", "https://a.example/wiki/Foo_(bar)", True),
        ("见 https://a.example/x。下一句", "https://a.example/x", True),
        ("[x](https://a.example/x)", "https://a.example/x", True),
        ("https://proxy.example/?u=http://10.0.0.1/x", "http://10.0.0.1/x", False),
        ("https://a.example/wiki/O'Brien", "https://a.example/wiki/O", False),
        ("https://a.example/x,y", "https://a.example/x", False),
        ("https://a.example/xy", "https://a.example/x", False),
        ("the", "e", False),
        ("a b", " ", False),
    ],
)
def test_a_url_was_shown_only_where_it_stands_whole(told, url, shown):
    assert was_shown(url, Trajectory(role="sub", pending=[Message("user", told)])) is shown


async def test_a_count_written_as_a_float_is_a_count():
    rollout = await team(script([("search", {"query": "Denmark", "count": 2.0})], "done")).solve(
        TASK, workflow="single"
    )
    assert "2. " in replies(rollout.lead)[0]


async def test_a_subtask_that_the_model_refuses_does_not_end_a_run_that_goes_well():
    def one_model(run: Trajectory) -> object:
        if run.prompt == "bad":
            raise PolicyRejected("400 content filter")
        return (delegate("bad", "good") if not run.turns else "done") if run.role == "lead" else "fine"

    model = Model(one_model)
    rollout = await team(model, model).solve(TASK)
    assert "FAILED: 400 content filter" in replies(rollout.lead)[0]
