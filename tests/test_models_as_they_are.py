"""What real servers send and refuse: each kind is read, sent back or told, against real local servers."""

from __future__ import annotations

import json

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from tests.faulty_server import FaultyServer, echo, refusal
from tests.regex_work import steps
from tests.test_chat import SEARCH, ask, completed, native_call, policy_for, refused
from wideseek.assembly import open_policies, open_policy, price_day
from wideseek.budget import Budget, Limits, money
from wideseek.config import Config, read_headers, read_overrides
from wideseek.errors import BadConfig, BadInput, PolicyRejected
from wideseek.policy import dialects
from wideseek.policy.base import ToolSchema, sound
from wideseek.policy.chat import ChatPolicy, estimated_length
from wideseek.policy.failures import ContextFull, FailedTry, Refused, failure_of
from wideseek.policy.names import key_for, parse_model
from wideseek.policy.prices import price_list
from wideseek.policy.remote import RemoteSampler
from wideseek.policy.reply import Choice, Counted, Reply, Said, read_reply
from wideseek.policy.token import Request
from wideseek.records import Completion, Message, Usage
from wideseek.redaction import withhold
from wideseek.roles import SUB, Profile
from wideseek.servers import PROVIDERS

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


async def test_fields_of_unknown_names_go_back_to_the_server_and_no_further_once_it_refuses_them():
    call = {**native_call("search", "{}"), "provider_fields": {"signature": "c2ln"}}
    message = {"content": "", "thought_sig": "c2ln", "refusal": "no", "annotations": [1], "tool_calls": [call]}
    _, second = await second_request(lambda _: message)
    assert second["messages"][2]["thought_sig"] == "c2ln"
    assert second["messages"][2]["tool_calls"][0]["provider_fields"] == {"signature": "c2ln"}
    assert not {"refusal", "annotations"} & set(second["messages"][2])

    def strict(request):
        if any("thought_sig" in message for message in request["messages"]):
            return refusal(422, "messages.2.thought_sig: Extra inputs are not permitted")
        return message

    requests = await second_request(strict)
    assert set(requests[-1]["messages"][2]) == {"role", "content", "tool_calls"}


async def test_a_server_that_lacks_a_field_is_not_asked_without_it():
    def strict(request):
        if len(request["messages"]) > 2:
            return refusal(400, "Missing `reasoning_content` field in the assistant message at index 2")
        return THINKING

    with pytest.raises(PolicyRejected, match="Missing `reasoning_content`"):
        await second_request(strict)


async def test_thinking_that_came_in_the_text_goes_back_in_the_text():
    said = "<think>\nI search.\n</think>\n\nNow."
    _, second = await second_request(lambda _: {"content": said, "tool_calls": [native_call("search", "{}")]})
    assert second["messages"][2]["content"] == said


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


def events_of(*deltas: dict) -> bytes:
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "words",
    [
        "Stream must be set to true",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        "enable thinking can not be support when `stream=False`.",
        "This model only support stream mode, please enable the stream parameter to access the model.",
    ],
)
async def test_a_server_that_only_streams_is_asked_for_streams_from_then_on(words):
    def only_streams(request):
        if not request.get("stream"):
            return refusal(400, words)
        if "stream_options" in request:
            return refusal(400, "unknown field: stream_options")
        body = events_of({"reasoning_content": "I look."}, {"content": "| a |"})
        return web.Response(body=body, content_type="text/event-stream")

    async with FaultyServer(only_streams) as server:
        policy = policy_for(server)
        first, second = [await policy.complete(ask(), ()) for _ in range(2)]
        await policy.close()
    assert (first.text, first.reasoning) == (second.text, second.reasoning) == ("| a |", "I look.")
    assert [request.get("stream") for request in server.requests] == [None, True, True, True]


async def test_streamed_calls_are_told_apart_by_index_or_id_and_parts_of_reasoning_are_joined():
    def piece(arguments: str, **fields) -> dict:
        return {"tool_calls": [{"function": {"name": fields.pop("name", ""), "arguments": arguments}, **fields}]}

    for same in ({"index": 0}, {}):  # servers that give every call the same index, or none
        body = events_of(
            {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "I "}]},
            {"reasoning_details": [{"index": 0, "text": "look", "signature": "c2ln"}]},
            piece('{"query": ', name="search", id="a", **same),
            piece('"x"}', **same),
            piece('{"query": "y"}', name="search", id="b", **same),
        )
        said, _ = await completed(raw(body), tools=[SEARCH])
        assert [(call.id, call.arguments["query"]) for call in said.tool_calls] == [("a", "x"), ("b", "y")]
        assert said.reasoning == "I look"
        [whole_part] = said.sent_back["reasoning_details"]
        assert whole_part == {"index": 0, "type": "reasoning.text", "text": "I look", "signature": "c2ln"}


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


PICKY = ToolSchema(
    "search",
    "Find pages.",
    {"properties": {"query": {"type": "string"}, "year": {"type": "integer"}, "who": {"anyOf": [{"type": "string"}]}}},
)


@pytest.mark.parametrize(
    "text",
    [
        "<function=search><parameter=query>1984</parameter><parameter=year>1984</parameter>"
        "<parameter=who>7</parameter><parameter=more>7</parameter></function>",
        "<tool_call>search<arg_key>query</arg_key><arg_value>1984</arg_value><arg_key>year</arg_key>"
        "<arg_value>1984</arg_value><arg_key>who</arg_key><arg_value>7</arg_value><arg_key>more</arg_key>"
        "<arg_value>7</arg_value></tool_call>",
    ],
)
async def test_values_between_tags_have_the_type_of_the_tools_schema(text):
    said, _ = await completed(lambda _: {"content": text}, tools=[PICKY])
    assert said.tool_calls[0].arguments == {"query": "1984", "year": 1984, "who": "7", "more": 7}


async def test_a_second_malformed_call_beside_a_good_one_is_told_what_is_wrong():
    message = {"content": "<tool_call>\n<tool_call>{broken", "tool_calls": [native_call("search", '{"query": "a"}')]}
    said, _ = await completed(lambda _: message, tools=[SEARCH])
    assert [bool(call.malformed) for call in said.tool_calls] == [False, True]


async def test_a_part_of_a_call_that_stands_in_the_text_too_is_no_further_call():
    text = "<function=search><parameter=query>a</parameter></function>"
    call = native_call("search", '{"query": "a", "count": 3}')
    said, _ = await completed(lambda _: {"content": text, "tool_calls": [call]}, tools=[SEARCH])
    assert [call.arguments for call in said.tool_calls] == [{"query": "a", "count": 3}]


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
    assert (said.usage.calls, said.usage.prompt_tokens, said.usage.completion_tokens) == (2, 200, 10)
    run = ask()
    run.add(said)
    assert estimated_length(run, ()) == 105  # the context holds the last request alone


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


async def test_a_refusal_of_tools_in_unknown_words_says_what_to_try():
    line = await refused(lambda _: refusal(400, "functions: not implemented"), tools=[SEARCH])
    assert line.endswith("; if it takes no tools: --set chat.tool_calls=text")
    assert "tool_calls=text" not in await refused(lambda _: refusal(400, "functions: not implemented"))


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|eot_id|>", "[INST]", "<think>", "</tool_response>", "<｜User｜>"])
async def test_control_marks_in_a_page_are_broken_for_chat_servers(mark):
    for mode in ("native", "text"):
        run = ask()
        run.add(Completion(text="well"))
        run.pending = [Message("tool", f"a page {mark} speaks", "x")]
        _, [request] = await completed(lambda _: {"content": "ok"}, run, tool_calls=mode)
        assert f"a page {mark[0]} {mark[1:]} speaks" in request["messages"][-1]["content"]


# --------------------------------------------------------------------------------------------------------- failures


def failed(status: int, retry_after: str | None = None, **error) -> FailedTry | ContextFull | Refused:
    return failure_of(status, retry_after, json.dumps({"error": error}).encode())


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


@pytest.mark.parametrize(
    ("retry_after", "message"),
    [
        (None, "Rate limit reached on requests per min (RPM). Add a payment method at /account/billing."),
        (None, "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."),
        (None, "Limit of 3 requests per minute reached. An insufficient balance lowers it."),
        ("7", "You are over the limit. Accounts with insufficient balance have a lower one."),
        ("7", "Limit 100000 tokens per day (TPD), Used 99990, Requested 20."),
    ],
)
def test_a_429_that_waiting_mends_is_waited_for_whatever_else_it_says(retry_after, message):
    failure = failed(429, retry_after, message=message)
    assert isinstance(failure, FailedTry)
    assert failure.retry_after == (7.0 if retry_after else None)


@pytest.mark.parametrize(
    ("retry_after", "error"),
    [
        ("7", {"message": "You exceeded your current quota.", "code": "insufficient_quota"}),
        ("7", {"message": "Tokens per min (TPM): Limit 30000, Requested 41000."}),
        ("86400", {"message": "Too many requests per day."}),
    ],
)
def test_a_code_comes_before_a_short_wait_and_a_long_wait_is_none(retry_after, error):
    assert isinstance(failed(429, retry_after, **error), Refused)


def gemini_429(*quotas: str) -> FailedTry | ContextFull | Refused:
    """Gemini's answer, a list as it sends it, with a header that asks for 20 seconds."""
    details = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": q} for q in quotas]}]
    error = {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED"}
    return failure_of(429, "20", json.dumps([{"error": error | {"details": details}}]).encode())


def test_the_quota_of_geminis_minute_is_waited_for_and_that_of_its_day_is_not():
    minute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert isinstance(gemini_429(minute), FailedTry)
    assert isinstance(gemini_429(minute, "GenerateRequestsPerDayPerProjectPerModel-FreeTier"), Refused)


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


AZURE_ENVIRON = {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/", "AZURE_OPENAI_API_KEY": "azure-key-1"}


def test_azure_is_reached_by_name_once_its_resource_is_known():
    name = parse_model("azure/my-gpt", environ=AZURE_ENVIRON)
    assert (name.base_url, name.model) == ("https://mine.openai.azure.com/openai/v1", "my-gpt")
    assert key_for(name, AZURE_ENVIRON) == "azure-key-1"
    with pytest.raises(BadInput, match="AZURE_OPENAI_ENDPOINT to https://RESOURCE.openai.azure.com"):
        parse_model("azure/my-gpt", environ={})
    with pytest.raises(BadInput, match="AZURE_OPENAI_API_KEY"):
        key_for(name, {})


def test_azure_gets_its_key_in_a_header_of_its_own():
    for host, sent in (("mine.openai.azure.com", "azure-key-1"), ("api.openai.com", None)):
        policy = ChatPolicy(model="m", base_url=f"https://{host}/openai/v1", key="azure-key-1")
        assert policy._server._headers().get("api-key") == sent


@pytest.mark.parametrize(
    ("name", "address", "variable"),
    [
        ("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
        ("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
        ("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
        ("zhipu", "https://open.bigmodel.cn/api/paas/v4", "ZHIPUAI_API_KEY"),
        ("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
        ("siliconflow", "https://api.siliconflow.cn/v1", "SILICONFLOW_API_KEY"),
        ("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    ],
)
def test_a_provider_is_its_address_and_the_variable_of_its_key(name, address, variable):
    found = parse_model(f"{name}/m", environ={})
    assert (found.base_url, found.model, found.key_env, found.key_needed) == (address, "m", variable, True)


SECRET = "s3cr3t-value-of-a-header"


async def test_a_secret_header_reaches_the_server_and_stands_in_no_configuration_or_error():
    config = Config.merged({}, read_headers([f"X-Api-Key: {SECRET}", "X-Team: a"]))
    assert config.chat.headers["X-Team"] == "a"
    assert SECRET not in json.dumps(config.portable()) + str(config)
    assert Config.merged(config.portable(), {}).chat.headers == config.chat.headers  # a run goes on with the same
    seen = []

    async def handle(request):
        seen.append(request.headers["X-Api-Key"])
        return web.Response(status=400, text=f"bad key {SECRET}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1#m"
    policy = open_policy(address, config)
    sampler = RemoteSampler(base_url=address.partition("#")[0], model="m", headers=config.chat.headers)
    for asked in (policy.complete(ask(), ()), sampler.sample(Request([1], 4))):
        with pytest.raises(PolicyRejected) as refused_:
            await asked
        assert SECRET not in str(refused_.value)
    await policy.close()
    await sampler.close()
    await runner.cleanup()
    assert set(seen) == {SECRET}


async def test_a_secret_header_that_was_not_kept_is_asked_for_again():
    headers = {"Cookie": "[secret 0a1b2c]"}
    policy = policy_for("http://127.0.0.1:9/v1", headers=headers)
    with pytest.raises(PolicyRejected, match="header Cookie: its value was not kept: give it again by --header"):
        await policy.complete(ask(), ())


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host", "Connection"])
def test_a_header_that_belongs_to_the_connection_is_refused(name):
    with pytest.raises(BadConfig, match="belongs to the connection"):
        Config.merged({}, read_headers([f"{name}: 0"]))


@pytest.mark.parametrize("line", [f"no colon {SECRET}", f"a b: {SECRET}", f": {SECRET}", f"X-Key: {SECRET}\r\nX: y"])
def test_what_is_no_header_is_refused_without_showing_it(line):
    with pytest.raises(BadConfig) as error:
        Config.merged({}, read_headers([line]))
    assert SECRET not in str(error.value)


def test_a_found_file_sends_no_header_to_a_server_that_it_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "wideseek.toml").write_text('model = "http://elsewhere.example/v1#m"')
    with pytest.raises(BadConfig, match="would send questions and pages to") as refused:
        Config.load(overrides=read_headers([f"X-Token: {SECRET}"]))
    assert SECRET not in str(refused.value)
    trusted = Config.load(overrides=read_headers(["X-Team: a"]), confirm=lambda question: True)
    assert trusted.chat.headers == {"X-Team": "a"}


# ----------------------------------------------------------------------------------------------------------- prices


def priced(model: str, **changes) -> Config:
    return Config.merged({}, {"model": model, "budget.usd": 1.0, **changes})


def test_common_models_have_prices_of_a_stated_day():
    listed = price_list()
    assert listed.date == "2026-07-24"
    assert set(listed.pages) == set(listed.models)
    for provider, models in listed.models.items():
        assert provider in PROVIDERS
        for price in models.values():
            assert 0 < (price.cached or price.prompt) <= price.prompt < price.completion


async def test_a_budget_in_dollars_works_without_typing_prices_and_says_their_day():
    config = priced("openai/gpt-5-2025-08-07")
    policies = open_policies(config)
    usage = Reply(Choice(Said()), Counted(1_000_000, 100_000, 400_000))
    assert policies["lead"]._usage(usage, 0).usd == pytest.approx(0.6 * 1.25 + 0.4 * 0.125 + 0.1 * 10)
    budget = Budget(Limits(usd=1.0), Usage(usd=0.25))
    budget.prices_of = price_day(config)
    assert money(budget, 2) == "$0.25 of $1.00 (prices of 2026-07-24)"
    await policies["lead"].close()


async def test_a_configured_price_wins_and_has_no_day():
    config = priced("openai/gpt-5", prices={"openai/gpt-5": {"prompt": 1, "completion": 2}})
    usage = Reply(Choice(Said()), Counted(1_000_000, 1_000_000, 500_000))
    policy = open_policies(config)["lead"]
    assert (policy._usage(usage, 0).usd, price_day(config)) == (3.0, "")
    await policy.close()


@pytest.mark.parametrize("model", ["openai/unheard-of", "http://127.0.0.1:9/v1#gpt-5", "openrouter/openai/gpt-5"])
def test_a_model_without_a_price_says_what_to_type(model):
    with pytest.raises(BadInput) as error:
        open_policies(priced(model))
    typed = str(error.value).partition("--set '")[2].rstrip("'")
    open_policies(Config.merged(priced(model).model_dump(), read_overrides([typed])))


def test_list_prices_are_not_those_of_another_address(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(BadInput, match="not on the list"):
        open_policies(priced("openai/gpt-5"))


def test_the_tools_of_a_role_are_its_own_whatever_its_name():
    profile = Profile.load("default")
    assert {face.tool for face in profile.faces(SUB).values()} == set(SUB.tools)
    fewer = replace(SUB, tools=("search",))
    assert {face.tool for face in profile.faces(fewer).values()} == {"search"}


# ------------------------------------------------------------------------------------------------- hostile answers


def streamed(*events: dict[str, object]) -> Said:
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events) + "data: [DONE]\n\n"
    return read_reply(body.encode()).choice.message


def test_a_stream_is_cut_at_its_own_ends_of_lines_only():
    text = "a\u2028b\u2029c\u0085d"
    assert streamed({"choices": [{"delta": {"content": text}}]}).text == text


def test_a_whole_message_at_the_end_of_a_stream_is_what_the_deltas_said():
    deltas = [{"choices": [{"delta": {"content": part}}]} for part in ("| a |", " b |")]
    last = {"choices": [{"message": {"content": "| a | b |"}, "finish_reason": "stop"}]}
    assert streamed(*deltas, last).text == "| a | b |"


@pytest.mark.parametrize("count", [2**60, 2**70, 1e300, 10**25])
def test_a_count_of_tokens_beyond_any_request_is_none(count):
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": count, "completion_tokens": 7}}
    counted = read_reply(json.dumps(body).encode()).usage
    assert (counted.prompt_tokens, counted.completion_tokens) == (None, 7)


@pytest.mark.parametrize(
    ("message", "spent"),
    [
        ("tokens per min: Limit 1,000,000, Requested 2,000", False),
        ("tokens per min: Limit 30,000, Requested 4000", False),
        ("tokens per min: Limit 30,000, Requested 400,000", True),
    ],
)
def test_a_share_is_read_with_its_commas(message, spent):
    assert isinstance(failed(429, message=message), Refused) is spent


@pytest.mark.parametrize("crafted", ["<tool_call>a<arg_key>", "<arg_key>a</arg_key><arg_value>", "<parameter=b>"])
def test_marks_that_a_model_repeats_cost_no_more_than_their_length(crafted):
    patterns = (dialects._GLM, dialects._GLM_ARGUMENT, dialects._PARAMETER)
    once = sum(steps(pattern, crafted * 50) for pattern in patterns)
    assert sum(steps(pattern, crafted * 200) for pattern in patterns) < 5 * once


def test_a_secret_that_comes_in_escapes_or_in_the_pieces_of_a_stream_is_taken_out():
    withhold("sk-in-pieces-123")
    said = sound(Completion(text="| sk-in-pieces-123 |", reasoning="sk-in-pieces-123"), "m")
    assert (said.text, said.reasoning) == ("| [secret] |", "[secret]")
