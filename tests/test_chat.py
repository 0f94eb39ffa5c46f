"""The chat policy against real local servers that answer, fail and refuse."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from email.utils import formatdate

import pytest
from aiohttp import web

from tests.clock import loop, wait_begun
from tests.faulty_server import FAULTS, FaultyServer, echo, refusal, team
from wideseek.errors import PolicyRejected, PolicyUnavailable
from wideseek.policy.base import Prices, Sampling, ToolSchema
from wideseek.policy.chat import ChatPolicy, estimated_tokens
from wideseek.policy.server import LONGEST_RETRY_AFTER_S
from wideseek.records import Completion, Message, ToolCall, Trajectory, Usage

TIMEOUT_S = 600.0
SEARCH = ToolSchema("search", "Find pages.", {"type": "object", "properties": {"query": {"type": "string"}}})


def ask(text: str = "hello", **fields) -> Trajectory:
    return Trajectory(role="lead", pending=[Message("system", "Be brief."), Message("user", text)], **fields)


def policy_for(server: FaultyServer | str, **options) -> ChatPolicy:
    url = server if isinstance(server, str) else server.url
    return ChatPolicy(**{"model": "mock", "base_url": url, "backoff_s": 0.005, "timeout_s": TIMEOUT_S, **options})


async def completed(answer, run: Trajectory | None = None, tools=(), **options) -> tuple[Completion, list[dict]]:
    """What a policy makes of one answer, and the requests that the server got."""
    async with FaultyServer(answer) as server:
        policy = policy_for(server, **options)
        try:
            return await policy.complete(run or ask(), tools), server.requests
        finally:
            await policy.close()


async def refused(answer, run: Trajectory | None = None, tools=(), **options) -> str:
    with pytest.raises(PolicyRejected) as error:
        await completed(answer, run, tools, **options)
    assert "\n" not in str(error.value)
    return str(error.value).partition("/v1: ")[2]


def native_call(name: str | None, arguments: object, id: str | None = "x") -> dict:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --------------------------------------------------------------------------------------------------------- replies


async def test_a_turn_is_text_with_the_tokens_that_the_server_counted():
    said, [request] = await completed(
        lambda _: {"content": "hi", "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    )
    assert said == Completion(text="hi", model="mock", usage=Usage(1, 7, 2))
    assert request["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]


async def test_only_what_is_set_is_sent():
    _, [request] = await completed(echo)
    assert set(request) == {"model", "messages", "authorization"}
    assert request["authorization"] is None


async def test_sampling_is_sent_with_a_seed_of_the_trajectory_and_the_turn():
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=100)
    run = ask(seed=2**31 + 5)
    run.add(Completion(text="well"))
    run.pending = [Message("user", "so?")]
    _, [request] = await completed(echo, run, sampling=sampling, key="secret")
    assert (request["temperature"], request["top_p"], request["max_tokens"], request["seed"]) == (0.7, 0.9, 100, 6)
    assert request["authorization"] == "Bearer secret"


async def test_extra_fields_are_merged_last_and_none_removes_one():
    extra = {"top_k": 5, "seed": None}
    _, [request] = await completed(echo, extra=extra, sampling=Sampling(temperature=1.0))
    assert request["top_k"] == 5
    assert "seed" not in request


async def test_reasoning_is_kept_apart_however_it_comes():
    for message in (
        {"content": "yes", "reasoning_content": "hm"},
        {"content": "yes", "reasoning": "hm"},
        {"content": "<think>hm</think>yes"},
        {"content": [{"type": "thinking"}, {"type": "text", "text": "hm</think>yes"}]},
    ):
        said, _ = await completed(lambda _, message=message: message)
        assert (said.reasoning, said.text) == ("hm", "yes")


async def test_native_and_written_calls_are_read_together():
    message = {
        "content": 'I look. <tool_call>{"name": "access", "arguments": {"url": "u"}}</tool_call>',
        "tool_calls": [native_call("search", '{"query": "a"}', "c1")],
    }
    said, _ = await completed(lambda _: message, tools=[SEARCH])
    assert said.text == "I look."
    assert said.tool_calls == [
        ToolCall("c1", "search", {"query": "a"}),
        ToolCall("call00000", "access", {"url": "u"}),
    ]


async def test_missing_and_repeated_ids_become_stable_ones():
    calls = [native_call("search", {}, None), native_call("search", None, "x"), native_call("search", "", "x")]
    said, _ = await completed(lambda _: {"content": None, "tool_calls": calls}, tools=[SEARCH])
    assert [call.id for call in said.tool_calls] == ["call00000", "x", "call00002"]


async def test_a_malformed_native_call_is_an_attempt():
    calls = [native_call("search", '{"query": '), native_call(None, "{}", "y")]
    said, _ = await completed(lambda _: {"tool_calls": calls}, tools=[SEARCH])
    assert said.tool_calls[0].malformed.startswith("not JSON")
    assert said.tool_calls[1].malformed == "the call names no function"


async def test_without_tools_a_written_call_is_text():
    text = 'They write <tool_call>{"name": "a"}</tool_call>'
    said, _ = await completed(lambda _: {"content": text})
    assert (said.text, said.tool_calls) == (text, [])


async def test_tokens_are_estimated_where_the_server_does_not_count():
    said, _ = await completed(lambda _: {"content": "x" * 400, "usage": None}, ask("y" * 4000))
    assert said.usage.completion_tokens == 100
    assert 1000 <= said.usage.prompt_tokens <= 1020


async def test_money_is_counted_from_prices_per_million_tokens():
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
    said, _ = await completed(lambda _: {"content": "hi", "usage": usage}, prices=Prices(prompt=2.0, completion=8.0))
    assert said.usage.usd == pytest.approx(6.0)


# -------------------------------------------------------------------------------------------------------- messages


def after_a_call(*calls: ToolCall) -> Trajectory:
    run = ask()
    run.add(Completion(text="I look.", reasoning="hm", tool_calls=list(calls)))
    run.pending = [Message("tool", f"reply to {call.id}", call.id) for call in calls]
    return run


async def test_calls_and_replies_go_back_in_openai_form():
    run = after_a_call(ToolCall("a", "search", {"query": "ü"}), ToolCall("b", "no such tool", malformed="not JSON"))
    _, [request] = await completed(echo, run, [SEARCH])
    assert request["tools"][0]["function"]["name"] == "search"
    assert request["messages"][2:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [native_call("search", '{"query":"ü"}', "a"), native_call("no_such_tool", "{}", "b")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "reply to a"},
        {"role": "tool", "tool_call_id": "b", "content": "reply to b"},
    ]


async def test_as_text_tools_stand_in_the_system_message_and_replies_in_one_users_message():
    run = after_a_call(ToolCall("a", "search", {"query": "ü"}), ToolCall("b", "search"))
    _, [request] = await completed(echo, run, [SEARCH], tool_calls="text")
    assert "tools" not in request
    system, _, turn, replies = request["messages"]
    assert system["content"].startswith("Be brief.\n\n# Tools\n\n")
    assert turn["content"].startswith(
        'I look.\n<tool_call>\n{"name": "search", "arguments": {"query": "ü"}}\n</tool_call>'
    )
    assert replies == {
        "role": "user",
        "content": "<tool_response>\nreply to a\n</tool_response>\n<tool_response>\nreply to b\n</tool_response>",
    }


async def test_as_text_a_conversation_without_system_message_gets_one():
    run = Trajectory(role="lead", pending=[Message("user", "hello")])
    _, [request] = await completed(echo, run, [SEARCH], tool_calls="text")
    assert [m["role"] for m in request["messages"]] == ["system", "user"]


# --------------------------------------------------------------------------------------------------------- limits


def cut_off(usage: dict[str, int]):
    return lambda _: {"content": "and so", "finish_reason": "length", "usage": usage}


async def test_a_turn_cut_off_by_its_cap_and_one_cut_off_by_the_context_are_told_apart():
    short, full = {"prompt_tokens": 50, "completion_tokens": 9}, {"prompt_tokens": 9_000, "completion_tokens": 1_000}
    assert (await completed(cut_off(short)))[0].truncated == "turn_cap"
    assert (await completed(cut_off(full), ask(context_tokens=10_000)))[0].truncated == "context"


async def test_near_the_end_of_the_context_the_turn_is_capped_by_what_is_left():
    said, [request] = await completed(cut_off({"prompt_tokens": 50, "completion_tokens": 9}), ask(context_tokens=1_000))
    assert 900 < request["max_tokens"] < 1_000
    assert said.truncated == "context"


async def test_an_agent_without_room_is_stopped_without_a_call():
    run = ask()
    run.add(Completion(text="hi", usage=Usage(1, 31_000, 500)))
    run.pending = [Message("tool", "x" * 1_200, "a")]
    said, requests = await completed(echo, run)
    assert (said.truncated, said.usage.calls, requests) == ("context", 0, [])
    run.context_tokens += 300
    assert (await completed(echo, run))[0].truncated is None


async def test_chinese_text_is_estimated_by_the_character():
    assert estimated_tokens("a" * 400) == 100
    assert estimated_tokens("大学" * 200) == 400
    assert (await completed(echo, ask("大" * 32_000)))[1] == []


@pytest.mark.parametrize(
    "error",
    [
        {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"},
        {"message": "too long", "code": "context_length_exceeded"},
        {"message": "The input (61709 tokens) is longer than the model's context length (40960 tokens)."},
        {"message": "Requested token count exceeds the model's maximum context length of 202752 tokens."},
        {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 8192."},
        {"message": "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens)."},
        {"message": "the request exceeds the available context size. try increasing the context size"},
        {"message": "request (9000 tokens) is too large", "type": "exceed_context_size_error"},
        {"message": "the input length exceeds the context length"},
        {"message": "prompt too long; exceeded max context length by 12 tokens"},
    ],
)
async def test_a_server_whose_context_is_full_ends_the_agent_not_the_run(error):
    said, requests = await completed(lambda _: refusal(400, **error))
    assert (said.truncated, said.usage.calls, len(requests)) == ("context", 1, 1)


async def test_a_cap_that_the_servers_shorter_context_refuses_is_left_out():
    def small(request):
        too_large = refusal(400, "max_tokens is too large: this model's maximum context length is 4096 tokens")
        return too_large if "max_tokens" in request else {"content": "hi"}

    said, requests = await completed(small, sampling=Sampling(max_tokens=8_000))
    assert (said.text, said.truncated, len(requests)) == ("hi", None, 2)


PROPER = ["stop", "STOP", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence", "COMPLETE"]
CAPPED = ["length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "max-output-tokens", "incomplete"]
FULL = ["model_length", "model_context_window_exceeded"]
CUT = [
    "content_filter",
    "SAFETY",
    "refusal",
    "pause_turn",
    "sensitive",
    "a word of tomorrow",
    7,
    {"type": "recitation"},
]
GIVEN_UP = ["error", "ERROR", "abort", "insufficient_system_resource", "network_error", {"type": "abort"}]


@pytest.mark.parametrize(
    ("reason", "truncated"),
    [
        *((reason, None) for reason in PROPER),
        *((reason, "turn_cap") for reason in CAPPED),
        *((reason, "context") for reason in FULL),
        *((reason, "cut") for reason in CUT),
    ],
)
async def test_only_a_proper_end_is_an_end_in_whatever_words_the_server_has_for_it(reason, truncated):
    usage = {"prompt_tokens": 50, "completion_tokens": 9}
    said, _ = await completed(lambda _: {"content": "| a | b |", "finish_reason": reason, "usage": usage})
    assert said.truncated == truncated
    assert bool(said.ending) == (truncated == "cut")


async def test_the_servers_word_for_a_cut_is_kept():
    said, _ = await completed(lambda _: {"content": "half", "finish_reason": "content_filter"})
    assert (said.text, said.ending) == ("half", "finish_reason: content_filter")


@pytest.mark.parametrize("reason", GIVEN_UP)
async def test_an_answer_that_the_server_gave_up_is_asked_for_again(reason):
    answers = iter([{"content": "half", "finish_reason": reason}, {"content": "whole"}])
    said, requests = await completed(lambda _: next(answers))
    assert (said.text, len(requests)) == ("whole", 2)


async def test_a_server_that_gives_up_every_time_fails_with_its_own_word():
    with pytest.raises(PolicyUnavailable, match=r"gave up after 2 tries; .* \(finish_reason: abort\)"):
        await completed(lambda _: {"content": "half", "finish_reason": "abort"}, attempts=2)


def inside(error: object, **fields: object) -> web.Response:
    """A gateway's answer of status 200 whose only choice holds the error of the server behind it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop", "error": error}
    return web.json_response({"choices": [{**choice, **fields}]})


@pytest.mark.parametrize("error", [{"code": 502, "message": "Provider returned error"}, "upstream is down"])
async def test_an_error_inside_a_choice_is_a_failed_try_and_not_an_empty_answer(error):
    answers = iter([inside(error), inside(error, finish_reason="error"), {"content": "hi"}])
    said, requests = await completed(lambda _: next(answers))
    assert (said.text, len(requests)) == ("hi", 3)
    message = error if isinstance(error, str) else error["message"]
    with pytest.raises(PolicyUnavailable, match=f"holds an error: {message}"):
        await completed(lambda _: inside(error), attempts=2)


async def test_a_full_context_inside_a_choice_ends_the_agent():
    error = {"code": 400, "message": "This model's maximum context length is 8192 tokens."}
    said, requests = await completed(lambda _: inside(error))
    assert (said.truncated, len(requests)) == ("context", 1)


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("```markdown\n| a | b |\n|---|---|\n| x | y", "cut"),
        ("| a | b |\n|---|---|\n| x | y", "cut"),
        ("```markdown\n| a | b |\n|---|---|\n| x | y |\n```", None),
        ("That is all.", None),
    ],
)
async def test_where_a_server_never_says_why_it_ended_a_text_that_breaks_off_was_cut(text, truncated):
    for reason in (None, "", "null"):
        said, _ = await completed(lambda _, reason=reason: {"content": text, "finish_reason": reason})
        assert said.truncated == truncated


async def test_where_a_server_says_why_it_ended_an_answer_without_a_word_was_cut():
    answers = iter([{"content": "first"}, {"content": "second", "finish_reason": None}])
    async with FaultyServer(lambda _: next(answers)) as server:
        policy = policy_for(server)
        said = [(await policy.complete(ask(), ())).truncated for _ in range(2)]
        await policy.close()
    assert said == [None, "cut"]


async def test_calls_without_a_word_of_the_end_are_calls():
    message = {"content": None, "tool_calls": [native_call("search", "{}")], "finish_reason": None}
    answers = iter([{"content": "first"}, message])
    async with FaultyServer(lambda _: next(answers)) as server:
        policy = policy_for(server)
        turns = [await policy.complete(ask(), [SEARCH]) for _ in range(2)]
        await policy.close()
    assert (turns[1].truncated, len(turns[1].tool_calls)) == (None, 1)


# --------------------------------------------------------------------------------------------------- size of a body


def packed(text: str) -> web.Response:
    body = gzip.compress(json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


@pytest.mark.parametrize("large", [packed("x" * 3_000_000), {"content": "x" * 3_000_000}], ids=["packed", "plain"])
async def test_a_body_over_the_limit_is_a_failed_try_that_names_the_setting(large):
    answers = iter([large, {"content": "short"}])
    said, requests = await completed(lambda _: next(answers), max_body_mb=1)
    assert (said.text, len(requests)) == ("short", 2)


async def test_bodies_that_are_always_too_large_end_in_one_line():
    with pytest.raises(PolicyUnavailable, match=r"more than 0.5 MB .* raise chat.max_body_mb$"):
        await completed(lambda _: {"content": "x" * 600_000}, max_body_mb=0.5, attempts=2)


async def test_an_error_page_over_the_limit_is_not_read_to_its_end():
    with pytest.raises(PolicyUnavailable, match=r"raise chat.max_body_mb"):
        await completed(lambda _: web.Response(status=500, text="x" * 600_000), max_body_mb=0.5, attempts=2)


async def test_a_packed_body_below_the_limit_is_read():
    assert len((await completed(lambda _: packed("x" * 3_000_000)))[0].text) == 3_000_000


# --------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("kind", FAULTS)
async def test_each_failure_is_recovered_from(kind):
    async with FaultyServer(faults=1.0, kinds=[kind], fault_attempts=2, retry_after="0.01") as server:
        policy = policy_for(server)
        call = asyncio.ensure_future(policy.complete(ask(), ()))
        for number in (1, 2) if kind == "hang" else ():
            await server.until(lambda stats: stats.faults[kind] == number)  # noqa: B023
            loop().skip(TIMEOUT_S)
        assert (await call).text == "hello"
        assert server.stats.faults == {kind: 2}
        assert server.stats.completed == 1
        await policy.close()


async def test_an_answer_without_choices_is_a_failed_try():
    answers = iter([web.json_response({"error": {"message": "upstream"}}), web.json_response([]), {"content": "hi"}])
    assert (await completed(lambda _: next(answers)))[0].text == "hi"


def date_in(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("77", 77),
        ("0.25", 0.25),
        ("100000", LONGEST_RETRY_AFTER_S),
        (date_in(-86_400), 0),
        (date_in(86_400), LONGEST_RETRY_AFTER_S),
    ],
    ids=["seconds", "less than one", "more than the limit", "a date that has passed", "a date of tomorrow"],
)
async def test_retry_after_is_honoured_up_to_a_limit(header, waits):
    async with FaultyServer(faults=1.0, kinds=["429-retry-after"], fault_attempts=1, retry_after=header) as server:
        policy = policy_for(server, backoff_s=0.5)
        begun, call = len(loop().waits), asyncio.ensure_future(policy.complete(ask(), ()))
        await server.until(lambda stats: stats.faults and not stats.in_flight)
        while not any(waits <= seconds <= waits + 0.5 for seconds in loop().waits[begun:]):
            await asyncio.sleep(0)
        loop().skip(waits + 0.5)
        assert (await call).text == "hello"
        await policy.close()


async def test_a_retry_after_that_says_nothing_is_as_if_it_were_not_there():
    async with FaultyServer(faults=1.0, kinds=["429-retry-after"], fault_attempts=1, retry_after="soon") as server:
        policy = policy_for(server)
        assert (await policy.complete(ask(), ())).text == "hello"
        await policy.close()


async def test_after_all_tries_the_error_names_them_and_the_last_cause():
    async with FaultyServer(faults=1.0, kinds=["500"]) as server:
        policy = policy_for(server, attempts=4)
        with pytest.raises(PolicyUnavailable) as error:
            await policy.complete(ask(), ())
        last = "500 the server is not feeling well"
        assert str(error.value) == f"{server.url}/chat/completions: gave up after 4 tries; the last: {last}"
        assert server.stats.requests == 4
        await policy.close()


async def test_a_server_that_never_answered_is_given_up_after_three_quick_tries():
    policy = policy_for(f"http://127.0.0.1:{free_port()}/v1", backoff_s=0.05)
    begun = len(loop().waits)
    with pytest.raises(PolicyUnavailable, match=r"^nothing answers at http://127.*: is the server running"):
        await policy.complete(ask(), ())
    between = [seconds for seconds in loop().waits[begun:] if seconds > 0]
    assert len(between) == 2
    assert sum(between) <= 0.05 + 0.1
    await policy.close()


async def test_an_unknown_host_is_given_up_quickly():
    policy = policy_for("http://no-such-host.invalid/v1")
    with pytest.raises(PolicyUnavailable, match="nothing answers at"):
        await policy.complete(ask(), ())
    await policy.close()


async def test_a_server_that_has_answered_is_waited_for_while_it_restarts():
    port = free_port()
    server = await FaultyServer().start(port)
    policy = policy_for(server, backoff_s=0.05)
    await policy.complete(ask(), ())
    await server.stop()
    begun, call = len(loop().waits), asyncio.ensure_future(policy.complete(ask(), ()))
    while len(loop().waits) < begun + 5:  # it has failed five times, and waits again
        await asyncio.sleep(0)
    async with FaultyServer(port=port):
        assert (await call).text == "hello"
        await policy.close()


async def test_faults_at_a_fifth_of_the_calls_lose_no_answer():
    kinds = [kind for kind in FAULTS if kind != "hang"]  # a time-out would end the others too
    async with FaultyServer(faults=0.2, kinds=kinds) as server:
        policy = policy_for(server)
        said = await asyncio.gather(*(policy.complete(ask(f"question {i}"), ()) for i in range(200)))
        assert [turn.text for turn in said] == [f"question {i}" for i in range(200)]
        assert server.stats.faults.keys() == set(kinds)
        await policy.close()


# --------------------------------------------------------------------------------------------------------- refusals


async def test_a_wrong_key_says_which_variable_to_set():
    said = await refused(lambda _: refusal(401, "Incorrect API key."), key="k", key_env="LAB_KEY")
    assert said == "401 Incorrect API key: set LAB_KEY to a key that this server accepts (one was sent)"


@pytest.mark.parametrize("status", [400, 404])
async def test_an_unknown_model_is_answered_with_those_that_are_served(status):
    said = await refused(lambda _: refusal(status, "The model `nope` does not exist."), model="nope")
    assert said == f"{status} The model `nope` does not exist: it serves mock"


async def test_a_wrong_path_asks_for_the_address():
    async with FaultyServer() as server:
        policy = policy_for(server.url + "/v2")
        with pytest.raises(PolicyRejected, match="404 404: Not Found: is the address right"):
            await policy.complete(ask(), ())
        await policy.close()


async def test_a_bad_request_is_not_tried_again_and_its_message_is_shortened():
    long = "no\n" * 500
    async with FaultyServer(lambda _: web.Response(status=422, text=long)) as server:
        policy = policy_for(server)
        with pytest.raises(PolicyRejected) as error:
            await policy.complete(ask(), ())
        assert len(str(error.value)) < 400
        assert server.stats.requests == 1
        await policy.close()


async def test_an_empty_account_is_not_waited_for():
    said = await refused(lambda _: refusal(429, "You exceeded your current quota.", code="insufficient_quota"))
    assert said.startswith("429 You exceeded your current quota: look at the plan")


async def test_an_address_that_is_none_is_refused():
    policy = policy_for("http://127.0.0.1:99999999/v1")
    with pytest.raises(PolicyRejected, match="is not an address"):
        await policy.complete(ask(), ())
    await policy.close()


async def test_the_only_model_of_a_server_is_found_once():
    async with FaultyServer(models=["only"]) as server:
        policy = policy_for(server, model=None)
        await asyncio.gather(*(policy.complete(ask(str(i)), ()) for i in range(5)))
        assert {request["model"] for request in server.requests} == {"only"}
        assert policy.name == server.url
        await policy.close()


async def test_a_server_of_many_models_asks_which():
    async with FaultyServer(models=[f"m{i}" for i in range(10)]) as server:
        policy = policy_for(server, model=None)
        with pytest.raises(PolicyRejected) as error:
            await policy.complete(ask(), ())
        listed = "m0, m1, m2, m3, m4, m5, m6, m7 and 2 more"
        assert str(error.value) == f"{server.url}: serves {listed}: say which by {server.url}#NAME"
        await policy.close()


# ----------------------------------------------------------------------------------------- cancelling, concurrency


async def test_cancelling_goes_straight_through_a_running_call():
    async with FaultyServer(faults=1.0, kinds=["hang"]) as server:
        policy = policy_for(server)
        call = asyncio.ensure_future(policy.complete(ask(), ()))
        await server.until(lambda stats: stats.faults)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until(lambda stats: not stats.in_flight)
        assert server.stats.requests == 1
        await policy.close()


async def test_cancelling_goes_straight_through_a_later_try():
    async with FaultyServer(faults=1.0, kinds=["500"], fault_attempts=1) as server:
        policy = policy_for(server)
        server.answers_left = 1
        call = asyncio.ensure_future(policy.complete(ask(), ()))
        await server.until(lambda stats: stats.held)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert server.stats.requests == 2
        await policy.close()


async def test_cancelling_goes_straight_through_the_wait_between_tries():
    async with FaultyServer(faults=1.0, kinds=["429-retry-after"], retry_after="60") as server:
        policy = policy_for(server)
        call = asyncio.ensure_future(policy.complete(ask(), ()))
        await wait_begun(60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert server.stats.requests == 1
        await policy.close()


async def test_no_more_calls_run_at_once_than_allowed():
    async with FaultyServer() as server:
        server.answers_left = 0
        policy = policy_for(server, concurrency=7)
        calls = [asyncio.ensure_future(policy.complete(ask(str(i)), ())) for i in range(50)]
        await server.until(lambda stats: stats.held == 7)
        server.release()
        await asyncio.gather(*calls)
        assert server.stats.most_in_flight == 7
        await policy.close()


async def test_a_call_that_waits_for_its_next_try_holds_no_place():
    async with FaultyServer(faults=1.0, kinds=["429-retry-after"], retry_after="30") as server:
        policy = policy_for(server, concurrency=1)
        waiting = asyncio.ensure_future(policy.complete(ask("first"), ()))
        await wait_begun(30)
        server.faults = 0.0
        assert (await policy.complete(ask("second"), ())).text == "second"
        assert not waiting.done()
        waiting.cancel()
        await policy.close()


async def test_a_closed_policy_leaves_no_connection():
    async with FaultyServer() as server:
        policy = policy_for(server)
        await policy.complete(ask(), ())
        await policy.close()
        await policy.close()


def test_a_policy_that_was_closed_may_be_used_in_another_loop():
    async def once() -> str:
        server = await FaultyServer().start(port)
        said = await policy.complete(ask(), ())
        await policy.close()
        await server.stop()
        return said.text

    port = free_port()
    policy = policy_for(f"http://127.0.0.1:{port}/v1")
    assert [asyncio.run(once()), asyncio.run(once())] == ["hello", "hello"]


# ---------------------------------------------------------------------------------------------------- the mock team


@pytest.mark.parametrize("lists", [True, False])
def test_the_mock_lead_delegates_through_any_tool_and_writes_what_its_subagents_report(lists):
    text = {"type": "string"}
    properties = {"subtasks": {"type": "array", "items": text}} if lists else {"task": text}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    tools = [{"type": "function", "function": {"name": "call_subagent", "description": "", "parameters": schema}}]
    answer, opening = team(width=3), [{"role": "user", "content": "which?"}]
    calls = answer({"messages": opening, "tools": tools})["tool_calls"]
    tasks = [task for call in calls for task in _texts(json.loads(call["function"]["arguments"]))]
    rows = [answer({"messages": [{"role": "user", "content": task}]})["content"] for task in tasks]
    assert rows == [f"| name {i} | value {i} |" for i in range(3)]
    turns = [*opening, {"role": "assistant", "content": ""}, *({"role": "tool", "content": row} for row in rows)]
    assert answer({"messages": turns, "tools": tools})["content"].count("value") == 3


def _texts(arguments: dict) -> list[str]:
    return [text for value in arguments.values() for text in (value if isinstance(value, list) else [value])]


async def test_the_server_runs_as_a_process_and_prints_its_url_first():
    import sys
    from pathlib import Path

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faulty_server", "--faults", "0.3", "--kinds", "500", "reset"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    policy = policy_for((await process.stdout.readline()).decode().strip())
    said = await asyncio.gather(*(policy.complete(ask(f"look up item {i}"), ()) for i in range(20)))
    assert [turn.text for turn in said] == [f"| name {i} | value {i} |" for i in range(20)]
    await policy.close()
    process.terminate()
    await process.wait()
