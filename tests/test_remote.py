"""Token servers over real sockets: what vLLM and SGLang are asked, what their answers become, and what goes wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.clock import loop
from tests.faulty_server import Answer, FaultyServer, refusal
from tests.qwen3 import tokenizer
from wideseek.assembly import open_policy
from wideseek.config import Config
from wideseek.errors import BadInput, PolicyRejected, PolicyUnavailable
from wideseek.policy.failures import ContextFull
from wideseek.policy.remote import RemoteSampler
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import Request, Sampled, TokenPolicy
from wideseek.records import Message, Trajectory

STOP = 368
IDS = [70, 71, 72, STOP]
LOGPROBS = [-0.5, -1.25, -0.1234567890123456, -0.001]
REQUEST = Request([5, 6, 7], max_new=20, stop_ids=(STOP, 366), temperature=0.7, top_p=0.9, seed=41)
KINDS = ("vllm", "sglang")


def vllm(ids: list[int] = IDS, logprobs: list[Any] = LOGPROBS, finish: str = "stop", **choice: Any) -> dict[str, Any]:
    """An answer of vLLM's; `choice` replaces its fields."""
    named = {
        "tokens": [f"token_id:{i}" for i in ids],
        "token_logprobs": logprobs,
        "top_logprobs": [],
        "text_offset": [],
    }
    full = {"index": 0, "text": "...", "finish_reason": finish, "token_ids": ids, "logprobs": named, **choice}
    return {
        "id": "cmpl-1",
        "model": "m",
        "choices": [full],
        "usage": {"prompt_tokens": 3, "completion_tokens": len(ids)},
    }


def sglang(ids: list[int] = IDS, logprobs: list[Any] = LOGPROBS, finish: str = "stop", **meta: Any) -> dict[str, Any]:
    """An answer of SGLang's; `meta` replaces its fields."""
    pairs = [[logprob, id, None] for logprob, id in zip(logprobs, ids, strict=False)]
    full = {"id": "1", "finish_reason": {"type": finish, "matched": ids[-1:]}, "output_token_logprobs": pairs, **meta}
    return {"text": "...", "output_ids": ids, "meta_info": full}


def whole(body: Any) -> Answer:
    """A server that always answers with this body."""
    return lambda request: web.Response(body=msgspec.json.encode(body), content_type="application/json")


def server_of(kind: str, answer: Answer | None = None, context: int | None = 1_000, **options: Any) -> FaultyServer:
    entry = {"id": "m", "owned_by": kind, "max_model_len": context}
    return FaultyServer(answer or whole(vllm() if kind == "vllm" else sglang()), models=[entry], **options)


def sampler_of(server: FaultyServer, **options: Any) -> RemoteSampler:
    return RemoteSampler(**{"base_url": server.url, "backoff_s": 0.01, "attempts": 4, **options})


async def sampled(kind: str, answer: Answer | None = None, request: Request = REQUEST, **options: Any) -> Sampled:
    async with server_of(kind, answer) as server:
        sampler = sampler_of(server, **options)
        try:
            return await sampler.sample(request)
        finally:
            await sampler.close()


async def failure(kind: str, answer: Answer, **options: Any) -> str:
    with pytest.raises((PolicyRejected, PolicyUnavailable)) as error:
        await sampled(kind, answer, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------------------------------------------------- what is asked


async def test_vllm_is_asked_for_ids_with_every_parameter_said() -> None:
    async with server_of("vllm") as server:
        sampler = sampler_of(server, key="secret")
        await sampler.sample(REQUEST)
        await sampler.close()
    assert server.requests == [
        {
            "model": "m",
            "prompt": [5, 6, 7],
            "max_tokens": 20,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "seed": 41,
            "stop_token_ids": [STOP, 366],
            "ignore_eos": True,
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "authorization": "Bearer secret",
        }
    ]


async def test_sglang_is_asked_in_its_own_form_at_the_root_of_its_address() -> None:
    async with server_of("sglang") as server:
        sampler = sampler_of(server, key="secret")
        await sampler.sample(REQUEST)
        await sampler.close()
    assert server.requests == [
        {
            "input_ids": [5, 6, 7],
            "sampling_params": {
                "max_new_tokens": 20,
                "temperature": 0.7,
                "top_p": 0.9,
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "sampling_seed": 41,
                "stop_token_ids": [STOP, 366],
            },
            "return_logprob": True,
            "logprob_start_len": -1,
            "stream": False,
            "authorization": "Bearer secret",
        }
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_does_not_say_what_it_is_can_be_told(kind: str) -> None:
    async with server_of(kind) as server:
        server.models = ({"id": "m", "owned_by": "a proxy"},)
        sampler = sampler_of(server, kind=kind)
        assert (await sampler.sample(REQUEST)).ids == IDS
        await sampler.close()


async def test_a_server_is_asked_once_what_it_serves_however_many_sample() -> None:
    async with server_of("vllm") as server:
        sampler = sampler_of(server, model="m")
        await asyncio.gather(*(sampler.sample(REQUEST) for _ in range(20)))
        await sampler.close()
    assert (server.stats.listings, server.stats.requests) == (1, 20)
    assert sampler.context_tokens == 1_000


async def test_a_server_of_other_models_asks_which() -> None:
    assert "serves m: say which by" in await failure("vllm", whole(vllm()), model="another")


# --------------------------------------------------------------------------------------------------- what is made of answers


@pytest.mark.parametrize("kind", KINDS)
async def test_ids_and_logprobs_come_back_exactly(kind: str) -> None:
    assert await sampled(kind, version=3) == Sampled(IDS, LOGPROBS, [3, 3, 3, 3], ended=True)


@pytest.mark.parametrize(("kind", "answer"), [("vllm", vllm), ("sglang", sglang)])
async def test_a_turn_that_reached_its_cap_has_not_ended(kind: str, answer: Callable[..., Any]) -> None:
    got = await sampled(kind, whole(answer(ids=[70, 71], logprobs=[-0.5, -0.25], finish="length")))
    assert (got.ids, got.ended) == ([70, 71], False)


async def test_an_older_vllm_names_the_ids_instead_of_listing_them() -> None:
    assert (await sampled("vllm", whole(vllm(token_ids=None)))).ids == IDS


@pytest.mark.parametrize("kind", KINDS)
async def test_tokens_carry_the_version_that_was_set_when_they_were_asked_for(kind: str) -> None:
    async with server_of(kind) as server:
        sampler = sampler_of(server)
        server.answers_left = 0
        first = asyncio.ensure_future(sampler.sample(REQUEST))
        await server.until(lambda stats: stats.held)
        sampler.version = 1
        server.release()
        second = await sampler.sample(REQUEST)
        await sampler.close()
    assert [set((await first).versions), set(second.versions)] == [{0}, {1}]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_policy_says_a_turn_through_the_server(kind: str) -> None:
    template = ChatTemplate(tokenizer(), "qwen3")
    ids = template.tokenizer.encode('I look.\n<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call><|im_end|>')
    answer = (vllm if kind == "vllm" else sglang)(ids=ids, logprobs=[-0.5] * len(ids))
    async with server_of(kind, whole(answer)) as server:
        policy = TokenPolicy(sampler_of(server, name="tokens+x", version=2), template)
        run = Trajectory(role="sub", seed=7, pending=[Message("user", "How high?")])
        completion = await policy.complete(run, ())
        await policy.close()
    sent = server.requests[0]
    assert (sent.get("prompt") or sent.get("input_ids")) == completion.prompt_ids == template.opening(run.pending, ())
    assert (sent.get("seed") or sent["sampling_params"]["sampling_seed"]) == 7
    assert (completion.text, [call.name for call in completion.tool_calls]) == ("I look.", ["search"])
    assert (completion.completion_ids, completion.logprobs) == (ids, [-0.5] * len(ids))
    assert (completion.model, completion.version, completion.truncated) == ("tokens+x", 2, None)


# ---------------------------------------------------------------------------------------------------------------- context


@pytest.mark.parametrize("kind", KINDS)
async def test_no_more_is_asked_for_than_the_context_of_the_server_has_room_for(kind: str) -> None:
    async with server_of(kind, context=10) as server:
        sampler = sampler_of(server)
        await sampler.sample(REQUEST)
        assert (server.requests[0].get("max_tokens") or server.requests[0]["sampling_params"]["max_new_tokens"]) == 7
        with pytest.raises(ContextFull):
            await sampler.sample(Request(list(range(10)), max_new=5))
        await sampler.close()
    assert server.stats.requests == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "vllm",
            "This model's maximum context length is 40 tokens. However, you requested 43 tokens (3 in the messages).",
        ),
        ("sglang", "The input (43 tokens) is longer than the model's context length (40 tokens)."),
    ],
)
async def test_a_context_that_only_the_refusal_tells_is_full_too(kind: str, said: str) -> None:
    async with server_of(kind, lambda request: refusal(400, said), context=None) as server:
        sampler = sampler_of(server)
        with pytest.raises(ContextFull):
            await sampler.sample(REQUEST)
        await sampler.close()


# ---------------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["429", "429-retry-after", "500", "hang", "cut", "malformed", "reset"])
async def test_a_failed_try_is_repeated_until_it_is_answered(kind: str, fault: str) -> None:
    async with server_of(kind, faults=1.0, kinds=[fault], fault_attempts=2) as server:
        sampler = sampler_of(server, timeout_s=600.0)
        asked = asyncio.ensure_future(sampler.sample(REQUEST))
        for number in (1, 2) if fault == "hang" else ():
            await server.until(lambda stats: stats.faults[fault] == number)  # noqa: B023
            loop().skip(600.0)
        assert (await asked).ids == IDS
        await sampler.close()
    assert (server.stats.faults[fault], server.stats.completed) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_keeps_failing_is_given_up_in_one_line(kind: str) -> None:
    message = await failure(kind, lambda request: refusal(503, "no\nGPU"))
    assert "gave up after 4 tries; the last: 503 no GPU" in message


@pytest.mark.parametrize(("kind", "answer"), [("vllm", vllm), ("sglang", sglang)])
async def test_a_request_that_the_server_gave_up_is_made_again(kind: str, answer: Callable[..., Any]) -> None:
    answers = [answer(ids=[70], logprobs=[-0.5], finish="abort"), answer()]
    assert (await sampled(kind, lambda request: whole(answers.pop(0))(request))).ids == IDS


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("vllm", {"choices": []}),
        ("vllm", {"choices": "none"}),
        ("vllm", vllm(token_ids=["a", "b"])),
        ("sglang", {"text": "only"}),
        ("sglang", [sglang()]),
        ("sglang", sglang(output_token_logprobs=[[-0.5]])),
        ("sglang", sglang(finish_reason="stop")),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_told_in_one_line(kind: str, body: Any) -> None:
    assert "an answer that cannot be read" in await failure(kind, whole(body), attempts=2)


@pytest.mark.parametrize("logprobs", [None, {"tokens": ["I", " look"], "token_logprobs": [-0.5, -0.5]}])
async def test_a_server_that_returns_no_ids_is_told_what_to_set(logprobs: Any) -> None:
    body = vllm(token_ids=None)
    body["choices"][0]["logprobs"] = logprobs
    message = await failure("vllm", whole(body))
    assert "returns no token ids" in message
    assert "--return-tokens-as-token-ids" in message


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        ("vllm", vllm(logprobs=LOGPROBS[:2]), "4 token ids and 2 log-probabilities"),
        ("vllm", vllm(logprobs=[None, *LOGPROBS[1:]]), "4 token ids and 3 log-probabilities"),
        ("sglang", sglang(logprobs=[None, *LOGPROBS[1:]]), "4 token ids and 3 log-probabilities"),
        ("sglang", sglang(output_token_logprobs=[]), "0 token ids and 0 log-probabilities"),
    ],
)
async def test_ids_without_a_logprob_each_are_refused(kind: str, body: Any, count: str) -> None:
    assert f"returned {count}" in await failure(kind, whole(body))


@pytest.mark.parametrize(("kind", "answer"), [("vllm", vllm), ("sglang", sglang)])
async def test_a_turn_that_ends_with_a_foreign_token_shows_that_two_tokenizers_are_at_work(
    kind: str, answer: Callable[..., Any]
) -> None:
    message = await failure(kind, whole(answer(ids=[70, 99], logprobs=[-0.5, -0.5])))
    assert "ended a turn with token 99" in message
    assert "tokens.tokenizer" in message


async def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    sampler = RemoteSampler(base_url=url, backoff_s=0.01)
    with pytest.raises(PolicyUnavailable, match=f"^nothing answers at {url}: is the server running"):
        await sampler.sample(REQUEST)
    await sampler.close()


async def test_a_key_that_is_refused_names_its_variable() -> None:
    message = await failure("vllm", lambda request: refusal(401, "no entry"), key="wrong", key_env="VLLM_KEY")
    assert "set VLLM_KEY to a key that this server accepts (one was sent)" in message


# ------------------------------------------------------------------------------------------------------- as users name it


async def test_tokens_before_an_address_opens_a_token_policy_with_the_tokenizer_that_is_configured(
    tmp_path: Path,
) -> None:
    tokenizer().save_pretrained(tmp_path)
    async with server_of("vllm") as server:
        name = f"tokens+{server.url}#m"
        settings = {
            "tokens.tokenizer": str(tmp_path),
            "tokens.template": {"enable_thinking": False},
            "sampling.temperature": 0.5,
            "sampling.max_tokens": 9,
        }
        prices = {"prices": {name: {"prompt": 1, "completion": 2}}}
        policy = open_policy(name, Config.merged(prices, settings))
        completion = await policy.complete(Trajectory(role="sub", pending=[Message("user", "How high?")]), ())
        await policy.close()
    assert policy.name == completion.model == name
    assert (server.requests[0]["temperature"], server.requests[0]["max_tokens"]) == (0.5, 9)
    assert ChatTemplate.load(tmp_path).text(server.requests[0]["prompt"]).endswith("<think>\n\n</think>\n\n")
    assert completion.usage.usd == (completion.usage.prompt_tokens + 2 * 4) / 1e6


async def test_the_tokenizer_is_the_models_where_none_is_configured(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    policy = open_policy(f"tokens+http://127.0.0.1:9/v1#{tmp_path}", Config())
    assert policy.name.endswith(str(tmp_path))


def test_a_token_server_without_a_tokenizer_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="^model 'tokens\\+vllm': with which tokenizer\\? set tokens.tokenizer"):
        open_policy("tokens+vllm", Config())
    with pytest.raises(BadInput) as error:
        open_policy(f"tokens+vllm/{tmp_path}", Config())
    assert str(error.value).startswith(f"{tmp_path}: no tokenizer can be loaded from there: ")
    assert str(error.value).endswith("; tokens.tokenizer names another folder or hub name")
    assert "\n" not in str(error.value)


def test_a_tokenizer_in_a_folder_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer").mkdir()
    monkeypatch.chdir(tmp_path)
    portable = Config.merged({}, {"tokens.tokenizer": "tokenizer"}).portable()
    assert portable == {"tokens": {"tokenizer": str(tmp_path / "tokenizer")}}
    assert Config.merged({}, {"tokens.tokenizer": "Qwen/Qwen3-4B"}).portable() == {
        "tokens": {"tokenizer": "Qwen/Qwen3-4B"}
    }
