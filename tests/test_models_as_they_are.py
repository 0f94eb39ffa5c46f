"""What real servers send and refuse: each kind is read, sent back or told, against real local servers."""

from __future__ import annotations

import json

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from tests.faulty_server import FaultyServer, echo, refusal
from tests.test_chat import SEARCH, ask, completed, native_call, policy_for
from wideseek.policy.chat import estimated_length
from wideseek.policy.failures import ContextFull, FailedTry, Refused, failure_of
from wideseek.records import Completion, Message
from wideseek.roles import SUB, Profile

TABLE = "| a | b |\n|---|---|\n| 1 | 2 |"


def whole(message: dict, **fields) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **fields}).encode()


def raw(body: bytes):
    return lambda _: web.Response(body=body, content_type="application/json")


# -------------------------------------------------------------------------------------------------------- reasoning

SIGNED = {"google": {"thought_signature": "c2ln"}}
THINKING = {
    "content": None,
    "reasoning_content": "I search.",
    "reasoning_details": [{"type": "reasoning.text", "text": "I search."}],
    "extra_content": SIGNED,
    "tool_calls": [{**native_call("search", "{}"), "extra_content": SIGNED}],
}


async def second_request(answer) -> list[dict]:
    """The requests of a conversation whose first turn, read back from JSON as from a journal, is sent again."""
    async with FaultyServer(answer) as server:
        policy = policy_for(server)
        run = ask()
        said = await policy.complete(run, [SEARCH])
        run.add(msgspec.json.decode(msgspec.json.encode(said), type=Completion))
        run.pending = [Message("tool", "nothing", "x")]
        await policy.complete(run, [SEARCH])
        await policy.close()
        return server.requests


async def test_reasoning_and_signatures_go_back_to_the_server_as_they_came():
    _, second = await second_request(lambda _: THINKING)
    turn = second["messages"][2]
    for field in ("reasoning_content", "reasoning_details", "extra_content"):
        assert turn[field] == THINKING[field]
    assert turn["tool_calls"][0]["extra_content"] == SIGNED


async def test_a_server_that_refuses_reasoning_is_asked_without_it():
    def strict(request):
        if any("reasoning_content" in message for message in request["messages"]):
            return refusal(400, "property 'reasoning_content' is unsupported")
        return THINKING

    requests = await second_request(strict)
    assert len(requests) == 3
    assert set(requests[-1]["messages"][2]) == {"role", "content", "tool_calls"}
    assert set(requests[-1]["messages"][2]["tool_calls"][0]) == {"id", "type", "function"}


def test_reasoning_counts_in_the_next_request_only_where_it_is_sent_back():
    lengths = []
    for sent_back in ({"reasoning_content": "w" * 400}, {}):
        run = ask()
        run.add(Completion(text="well", reasoning="w" * 400, sent_back=sent_back))
        lengths.append(estimated_length(run, ()))
    assert lengths[0] - lengths[1] == 100


# ------------------------------------------------------------------------------------------------------ side fields


@pytest.mark.parametrize(
    "body",
    [
        whole({"content": TABLE, "reasoning": ["hm"]}),
        whole({"content": TABLE, "reasoning": {"text": "hm"}}),
        whole({"content": TABLE}, usage={"prompt_tokens": 1.5, "completion_tokens": "two"}),
        whole({"content": TABLE}, usage="none"),
        whole({"content": TABLE}, created="yesterday", id=7, model=3),
        whole({"content": TABLE, "tool_calls": [None]}),
        whole({"content": TABLE}, logprobs=float("nan")),
        b": PROCESSING\n\n" + whole({"content": TABLE}),
        whole({"content": TABLE}).replace(b'"choices": [', b'"choices": [null, '),
    ],
)
async def test_a_good_answer_with_an_odd_side_field_is_taken(body):
    said, requests = await completed(raw(body))
    assert (said.text, said.truncated, len(requests)) == (TABLE, None, 1)


async def test_half_a_character_becomes_the_replacement_character():
    said, requests = await completed(raw(whole({"content": "a\ud83d b", "reasoning": "\udc00"})))
    assert (said.text, said.reasoning, len(requests)) == ("a\ufffd b", "\ufffd", 1)


async def test_an_answer_that_comes_as_a_stream_is_put_together():
    call = {"index": 0, "id": "c1", "function": {"name": "search", "arguments": '{"que'}}
    deltas = [
        {"role": "assistant", "reasoning_content": "I "},
        {"reasoning_content": "look"},
        {"content": "Now"},
        {"tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ry": "x"}'}}]},
    ]
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    events += [{"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    said, _ = await completed(raw(body.encode()), tools=[SEARCH])
    assert (said.text, said.reasoning, said.usage.tokens) == ("Now", "I look", 10)
    assert [(call.id, call.arguments) for call in said.tool_calls] == [("c1", {"query": "x"})]


# ------------------------------------------------------------------------------------------------------------ calls


async def test_a_call_in_the_text_and_in_the_field_is_one_call():
    for text in ('<tool_call>{"name": "search", "arguments": {"query": "a"}}</tool_call>', "<tool_call>"):
        message = {"content": text, "tool_calls": [native_call("search", '{"query": "a"}')]}
        said, _ = await completed(lambda _, message=message: message, tools=[SEARCH])
        assert [(call.arguments, call.malformed) for call in said.tool_calls] == [({"query": "a"}, None)]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "search", "parameters": {"query": "a"}}',
        '```json\n[{"name": "search", "arguments": {"query": "a"}}]\n```',
        '<|python_tag|>{"name": "search", "parameters": {"query": "a"}}<|eom_id|>',
        '<function=search>{"query": "a"}</function>',
        "<tool_call>\n<function=search>\n<parameter=query>\na\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>a</arg_value>\n</tool_call>",
        '[TOOL_CALLS][{"name": "search", "arguments": {"query": "a"}}]',
        '[TOOL_CALLS]search[ARGS]{"query": "a"}',
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.search:0<|tool_call_argument_begin|>"
        '{"query": "a"}<|tool_call_end|><|tool_calls_section_end|>',
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n```json\n{"query": "a"}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>search<｜tool▁sep｜>{"query": "a"}<｜tool▁call▁end｜>',
    ],
)
async def test_a_call_in_another_dialect_is_a_call(text):
    said, _ = await completed(lambda _: {"content": text}, tools=[SEARCH])
    [call] = said.tool_calls
    assert (said.text, call.name, call.arguments, call.malformed) == ("", "search", {"query": "a"}, None)


async def test_a_call_in_another_dialect_that_cannot_be_read_is_malformed_and_no_answer():
    for text in ('[TOOL_CALLS]search[ARGS]{"query": ', '<function=search>{"query": </function>', '<|python_tag|>{"na'):
        said, _ = await completed(lambda _, text=text: {"content": text}, tools=[SEARCH])
        assert (said.text, len(said.tool_calls)) == ("", 1)
        assert said.tool_calls[0].malformed


async def test_json_that_is_no_call_stays_an_answer():
    text = '{"name": "Kelm Dam", "height": 61}'
    said, _ = await completed(lambda _: {"content": text}, tools=[SEARCH])
    assert (said.text, said.tool_calls) == (text, [])


@pytest.mark.parametrize("empty", [{"content": "", "reasoning_content": "The table is ready."}, {"content": None}])
async def test_a_turn_that_only_reasons_or_says_nothing_is_asked_for_once_more(empty):
    counted = {"usage": {"prompt_tokens": 100, "completion_tokens": 5}}
    answers = iter([{**empty, **counted}, {"content": TABLE, **counted}])
    said, requests = await completed(lambda _: next(answers))
    assert (said.text, len(requests)) == (TABLE, 2)
    assert (said.usage.calls, said.usage.prompt_tokens, said.usage.completion_tokens) == (2, 100, 10)


async def test_arguments_that_were_encoded_twice_are_decoded():
    twice = json.dumps(json.dumps({"query": "a"}))
    said, _ = await completed(lambda _: {"tool_calls": [native_call("search", twice)]}, tools=[SEARCH])
    assert said.tool_calls[0].arguments == {"query": "a"}


async def test_a_closing_mark_of_thinking_in_a_table_cuts_nothing():
    table = "| mark | use |\n|---|---|\n| </think> | ends it |"
    said, _ = await completed(lambda _: {"content": table})
    assert (said.text, said.reasoning) == (table, "")


@pytest.mark.parametrize(
    "message",
    [
        "registry.ollama.ai/library/gemma:latest does not support tools",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "No endpoints found that support tool use",
        "tools param requires --jinja flag",
    ],
)
async def test_a_server_that_refuses_tools_is_asked_with_the_tools_in_the_text(message):
    said, requests = await completed(lambda r: refusal(400, message) if "tools" in r else echo(r), tools=[SEARCH])
    assert said.text == "hello"
    assert '"name": "search"' in requests[-1]["messages"][0]["content"]


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|eot_id|>", "[INST]", "<think>", "</tool_response>", "<｜User｜>"])
async def test_control_marks_in_a_page_are_broken_for_chat_servers(mark):
    for mode in ("native", "text"):
        run = ask()
        run.add(Completion(text="well"))
        run.pending = [Message("tool", f"a page {mark} speaks", "x")]
        _, [request] = await completed(lambda _: {"content": "ok"}, run, tool_calls=mode)
        assert f"a page {mark[0]} {mark[1:]} speaks" in request["messages"][-1]["content"]


# --------------------------------------------------------------------------------------------------------- failures


def failed(status: int, **error) -> FailedTry | ContextFull | Refused:
    return failure_of(status, None, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "Invalid request: Your request exceeded model token limit: 131072",
        "model max length exceeded, max length:8192",
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "Input tokens exceed the configured limit of 272000 tokens.",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "`inputs` must have less than 1024 tokens. Given: 4096",
        "invalid params, context window exceeds limit (2013)",
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        "Prompt 超长",
    ],
)
def test_a_full_context_is_known_in_the_words_of_many_servers(message):
    assert isinstance(failed(400, message=message), ContextFull)
    assert isinstance(failed(400, message="Provider returned error", metadata={"raw": message}), ContextFull)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Your account is suspended, please check your plan", "type": "exceeded_current_quota_error"},
        {"message": "您的账户已欠费，请充值后重试。", "code": "1113"},
        {"message": "Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 50m10s."},
        {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day"},
        {"message": "Request too large for m on tokens per min (TPM): Limit 30000, Requested 41000."},
    ],
)
def test_a_429_that_waiting_does_not_mend_is_refused(error):
    assert isinstance(failed(429, **error), Refused)


def test_a_429_of_the_minute_is_waited_for():
    message = "Rate limit reached on requests per min (RPM). Add a payment method at /account/billing."
    assert isinstance(failed(429, message=message), FailedTry)


async def test_a_call_that_its_own_server_cannot_read_is_another_sample():
    answers = iter([refusal(400, "Failed to call a function.", code="tool_use_failed"), {"content": "yes"}])
    said, requests = await completed(lambda _: next(answers))
    assert (said.text, len(requests)) == ("yes", 2)


# ------------------------------------------------------------------------------------------------- headers, queries


async def test_headers_and_the_query_of_an_address_come_with_every_request():
    seen = []

    async def handle(request):
        seen.append((request.path_qs, request.headers["X-Team"], request.headers["Authorization"]))
        return web.Response(body=whole({"content": "hi"}), content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1?api-version=2024-10-21"
    policy = policy_for(address, key="k", headers={"X-Team": "a", "authorization": "Custom"})
    assert (await policy.complete(ask(), ())).text == "hi"
    await policy.close()
    await runner.cleanup()
    assert seen == [("/v1/chat/completions?api-version=2024-10-21", "a", "Custom")]


def test_the_tools_of_a_role_are_its_own_whatever_its_name():
    profile = Profile.load("default")
    assert {face.tool for face in profile.faces(SUB).values()} == set(SUB.tools)
    fewer = replace(SUB, tools=("search",))
    assert {face.tool for face in profile.faces(fewer).values()} == {"search"}
