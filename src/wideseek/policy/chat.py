"""The `chat` policy: any server that speaks OpenAI's `/chat/completions` (vLLM, SGLang, Ollama, llama.cpp, OpenAI ...).

    trajectory -> room left in the context? -> request -> tries -> reply -> Completion
                  no: truncated="context"                 |
                                                          failed: wait, try again; at last PolicyUnavailable
                                                          refused: PolicyRejected, one line with what to do
                                                          too long for the server: truncated="context"

Failures of the server are retried with exponential backoff, or after as long as its `Retry-After` says; a waiting call
holds no place among the concurrent ones. Cancelling a call ends it at once. It speaks text: token ids stay `None`.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from wideseek.errors import PolicyRejected, PolicyUnavailable
from wideseek.policy.base import Sampling, ToolSchema
from wideseek.policy.calls import (
    call_id,
    read_arguments,
    read_calls,
    render_call,
    render_reply,
    render_tools,
    split_reasoning,
)
from wideseek.records import Completion, Message, ToolCall, Trajectory, Usage

MIN_ROOM = 256  # tokens; with less left in the context no useful turn fits
AMPLE_ROOM = 4_096  # tokens; with less left in the context an ordinary turn could overrun it
MESSAGE_TOKENS = 4  # what a chat template adds to a message
CONNECT_S = 30.0
LONGEST_BACKOFF_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0
TRIES_UNANSWERED = 3  # where nothing has ever answered at that address: most likely it is wrong
RETRIED = frozenset({408, 409, 425, 429})  # and every 5xx
LISTED = 8  # names of models shown in an error

T = TypeVar("T")
Limit = Literal["turn_cap", "context"]


class Prices(msgspec.Struct, frozen=True):
    """US dollars per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


# -------------------------------------------------------------------------------------------------------- the wire


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Part(msgspec.Struct):
    text: str | None = None


class _Said(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Counted(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Counted | None = None
    model: str | None = None


class _Listed(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Listed] = []


_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(_Reply, strict=False).decode
_decode_models = msgspec.json.Decoder(_Models).decode


# ---------------------------------------------------------------------------------------------------------- errors


class _FailedTry(Exception):
    """A try that another may mend. `retry_after` is in seconds; `unreachable`: there was no connection at all."""

    def __init__(self, cause: str, *, retry_after: float | None = None, unreachable: bool = False) -> None:
        super().__init__(cause)
        self.retry_after, self.unreachable = retry_after, unreachable


class _ContextFull(Exception):
    """The request does not fit into the server's context."""


class _Refused(Exception):
    """The server refuses this request for good."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size"  # the codes of OpenAI and llama.cpp
    r"|maximum (context|model) length|max(imum)? context (length|size|window)"  # OpenAI, vLLM, SGLang, Ollama
    r"|(longer than|greater than|exceeds?|exceeded|exceeding) (the |its )?(model'?s? |maximum |available |allowed )*"
    r"(context|allowed length|input length|number of tokens allowed)"  # SGLang, llama.cpp, Ollama, LM Studio, Gemini
    r"|prompt (is )?too long|reduce the length of (the|your) (messages|prompt|input)"
    r"|range of input length|max_new_tokens` must be <=",  # DashScope, Together
    re.IGNORECASE,
)


# ---------------------------------------------------------------------------------------------------------- policy


class ChatPolicy:
    """The turns of agents, said by a chat completions server.

    * `model` is the server's name for it; `None` takes the only one that the server lists, asked at first use.
      `name` is how users write it (`model` where not given). `base_url` is what stands before `/chat/completions`.
    * `key` is sent as a bearer token; `key_env` names the variable that it came from, for the error text.
    * `timeout_s` bounds one try from connecting to the last byte, `attempts` counts tries, `backoff_s` is the first
      wait between two (it doubles, up to 30 s). `concurrency` is the most tries that run at once.
    * `tool_calls="text"` writes the tools into the system message and reads calls from text only, for servers without
      native tool calls. In either mode calls written as text are read, if tools were offered.
    * `extra` is merged into the request's body last; a `None` in it removes a field (servers refuse unknown ones).

    Only what is set is sent: `temperature` and `top_p` from `sampling`; with a temperature also a `seed`, derived from
    the trajectory's and the turn. The cap of a turn is sent where `sampling.max_tokens` is set (never more than the
    context has room for), or where less than 4,096 tokens of the context are left: servers have an upper bound of
    their own, and asking for more than that is an error.
    """

    version = 0
    label = ""

    def __init__(
        self,
        *,
        model: str | None,
        base_url: str,
        name: str | None = None,
        key: str | None = None,
        key_env: str | None = None,
        sampling: Sampling | None = None,
        timeout_s: float = 600.0,
        attempts: int = 10,
        concurrency: int = 64,
        tool_calls: Literal["native", "text"] = "native",
        prices: Prices | None = None,
        extra: dict[str, Any] | None = None,
        backoff_s: float = 0.5,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.name = name or model or self.base_url
        self.sampling = sampling or Sampling()
        self._model, self._key, self._key_env = model, key, key_env
        self._timeout_s, self._attempts, self._backoff_s = timeout_s, attempts, backoff_s
        self._concurrency = concurrency
        self._in_text = tool_calls == "text"
        self._prices = prices or Prices()
        self._extra = extra or {}
        self._cap_field = "max_completion_tokens" if _is_openai(self.base_url) else "max_tokens"
        self._answered = False
        self._connection: _Connection | None = None

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        """The next turn. Raises `PolicyRejected` and `PolicyUnavailable` with one line: where, what, what next."""
        length = estimated_length(trajectory, tools)
        room = trajectory.context_tokens - length
        if room < MIN_ROOM:
            return Completion(truncated="context", model=self.name)
        cap, limit = self._turn_cap(room)
        request = await self._request(trajectory, tools)
        try:
            reply = await self._answer(request, cap)
        except _ContextFull:
            if cap is None:
                return self._context_full()
            # The server's context may be shorter than ours: what it has left can still be enough without our cap.
            try:
                reply, limit = await self._answer(request, None), "context"
            except _ContextFull:
                return self._context_full()
        return self._completion(reply, trajectory, length, limit, offered=bool(tools))

    async def close(self) -> None:
        """Close the connections."""
        if self._connection is not None:
            await self._connection.session.close()
            self._connection = None

    # ------------------------------------------------------------------------------------------------- the request

    async def _request(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> dict[str, Any]:
        messages = _text_messages(trajectory, tools) if self._in_text else _native_messages(trajectory)
        request: dict[str, Any] = {"model": await self._model_id(), "messages": messages}
        if tools and not self._in_text:
            request["tools"] = [{"type": "function", "function": schema} for schema in tools]
        if self.sampling.temperature is not None:
            request["temperature"] = self.sampling.temperature
            request["seed"] = (trajectory.seed + len(trajectory.turns)) & 0x7FFFFFFF
        if self.sampling.top_p is not None:
            request["top_p"] = self.sampling.top_p
        return request

    def _turn_cap(self, room: int) -> tuple[int | None, Limit]:
        """How many tokens the turn may have (`None`: not said), and which limit is reached if it has them all."""
        wanted = self.sampling.max_tokens
        if wanted is not None and wanted <= room:
            return wanted, "turn_cap"
        if wanted is not None or room < AMPLE_ROOM:
            return room, "context"
        return None, "turn_cap"

    async def _answer(self, request: dict[str, Any], cap: int | None) -> _Reply:
        body = {**request, self._cap_field: cap, **self._extra}
        sent = {field: value for field, value in body.items() if value is not None}
        try:
            return await self._ask("/chat/completions", _encode(sent), _read_reply)
        except _Refused as refusal:
            raise PolicyRejected(await self._rejection(refusal)) from refusal

    async def _model_id(self) -> str:
        if self._model is None:
            async with self._connected().naming:
                if self._model is None:
                    self._model = await self._only_model()
        return self._model

    async def _only_model(self) -> str:
        try:
            names = await self._ask("/models", None, _read_models)
        except _Refused as refusal:
            raise PolicyRejected(await self._rejection(refusal)) from refusal
        if len(names) == 1:
            return names[0]
        raise PolicyRejected(f"{self.base_url}: serves {_some(names)}: say which by {self.base_url}#NAME")

    # ----------------------------------------------------------------------------------------------------- the reply

    def _completion(
        self, reply: _Reply, trajectory: Trajectory, length: int, limit: Limit, *, offered: bool
    ) -> Completion:
        choice = reply.choices[0]
        said, turn = choice.message, len(trajectory.turns)
        thought, text = split_reasoning(said.text)
        calls = [_native_call(call) for call in said.tool_calls or ()]
        written: list[ToolCall] = []
        if offered:
            text, written = read_calls(text, turn)
        usage = self._usage(reply, length)
        truncated: Limit | None = None
        if choice.finish_reason == "length":
            truncated = "context" if usage.tokens >= trajectory.context_tokens else limit
        return Completion(
            text=text,
            reasoning="\n\n".join(filter(None, (said.reasoning_content or said.reasoning, thought))),
            tool_calls=_with_ids(calls + written, turn),
            truncated=truncated,
            usage=usage,
            model=reply.model or self.name,
        )

    def _usage(self, reply: _Reply, length: int) -> Usage:
        counted, said = reply.usage or _Counted(), reply.choices[0].message
        prompt, completion = counted.prompt_tokens, counted.completion_tokens
        if prompt is None:
            prompt = length
        if completion is None:
            arguments = sum(len(_encode(call.function.arguments)) // 4 for call in said.tool_calls or ())
            completion = arguments + sum(
                estimated_tokens(text or "") for text in (said.text, said.reasoning_content or said.reasoning)
            )
        return Usage(1, prompt, completion, self._prices.usd(prompt, completion))

    def _context_full(self) -> Completion:
        return Completion(truncated="context", model=self.name, usage=Usage(calls=1))

    # ---------------------------------------------------------------------------------------------------- the tries

    async def _ask(self, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the answer, tried until there is one. Raises `PolicyUnavailable` after all tries."""
        try:
            return await self._try(path, body, read)
        except _FailedTry as failure:
            return await self._ask_again(failure, path, body, read)

    async def _ask_again(self, failed: _FailedTry, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """The tries after the first, which `failed`: most calls need none, and do without the cost of retrying."""
        failures = [failed]

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await self._try(path, body, read)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_FailedTry), wait=self._wait_s, stop=self._is_over, reraise=True
        )
        try:
            return await retrying(attempt)
        except _FailedTry as failure:
            tries = retrying.statistics["attempt_number"]
            raise PolicyUnavailable(self._after(tries, path, failure)) from failure

    def _after(self, tries: int, path: str, last: _FailedTry) -> str:
        """One line: where, how often it was tried, why it failed at last."""
        if last.unreachable and not self._answered:
            return f"nothing answers at {self.base_url}: is the server running, and the address right? ({last})"
        count = f"{tries} {'try' if tries == 1 else 'tries'}"
        return f"{self.base_url}{path}: gave up after {count}; the last: {last}"

    async def _try(self, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """One try. Raises `_FailedTry`, `_Refused`, `_ContextFull`."""
        connection = self._connected()
        method = "GET" if body is None else "POST"
        try:
            async with (
                connection.slots,
                connection.session.request(method, self.base_url + path, data=body, proxy=connection.proxy) as response,
            ):
                self._answered = True
                status, headers, payload = response.status, response.headers, await response.read()
        except aiohttp.InvalidURL as error:
            raise PolicyRejected(f"{self.base_url}: is not an address: write http://HOST:PORT/v1") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _FailedTry(_one_line(str(error)), unreachable=True) from error
        except TimeoutError as error:
            raise _FailedTry(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _FailedTry(f"the connection broke: {_one_line(str(error)) or type(error).__name__}") from error
        if status >= 400:
            raise _refusal(status, headers.get("Retry-After"), payload)
        try:
            return read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _FailedTry(f"an answer that cannot be read: {error}: {_excerpt(payload)}") from error

    def _is_over(self, state: RetryCallState) -> bool:
        unanswered = _failure(state).unreachable and not self._answered
        return state.attempt_number >= (min(TRIES_UNANSWERED, self._attempts) if unanswered else self._attempts)

    def _wait_s(self, state: RetryCallState) -> float:
        """Seconds until the next try, with jitter, so that calls that failed together do not come back together."""
        retry_after = _failure(state).retry_after
        if retry_after is not None:
            return min(retry_after, LONGEST_RETRY_AFTER_S) + random.uniform(0, self._backoff_s)
        doubled = self._backoff_s * 2.0 ** min(state.attempt_number - 1, 16)
        return min(doubled, LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)

    async def _rejection(self, refusal: _Refused) -> str:
        """One line: where, what the server says, what next."""
        status, message = refusal.status, refusal.message
        return f"{self.base_url}: {status} {message}: {await self._next_step(status, message)}"

    async def _next_step(self, status: int, message: str) -> str:
        if status in (401, 403):
            variable = self._key_env or "the environment variable of its key"
            return f"set {variable} to a key that this server accepts ({'one' if self._key else 'none'} was sent)"
        if status in (402, 429):
            return "look at the plan and the limits of your account, or choose another --model"
        if status == 404 or "model" in message.lower():
            names = await self._listed_models()
            if names:
                return f"it serves {_some(names)}"
        if status == 404:
            return "is the address right? it usually ends in /v1"
        return "the request will not do as it is: look at the model's options (sampling, extra) and --model"

    async def _listed_models(self) -> list[str]:
        """The models that the server lists, none where it does not say: one try, for an error text."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._try("/models", None, _read_models)
        except (_FailedTry, _Refused, _ContextFull, TimeoutError):
            return []

    def _connected(self) -> _Connection:
        if self._connection is None:
            self._connection = _Connection(self.base_url, self._key, self._timeout_s, self._concurrency)
        return self._connection


class _Connection:
    """What belongs to the running event loop: the session, the places for concurrent tries, and a lock."""

    def __init__(self, base_url: str, key: str | None, timeout_s: float, concurrency: int) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.slots = asyncio.Semaphore(concurrency)
        self.naming = asyncio.Lock()
        self.proxy = _proxy_for(base_url)


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`; asked once, since aiohttp would ask with every request."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _is_openai(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))


# -------------------------------------------------------------------------------------------------------- messages


def _native_messages(trajectory: Trajectory) -> list[dict[str, Any]]:
    return [
        _native_turn(said) if isinstance(said, Completion) else _native_message(said) for said in trajectory.messages()
    ]


def _native_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id or "", "content": message.text}
    return {"role": message.role, "content": message.text}


def _native_turn(completion: Completion) -> dict[str, Any]:
    """An assistant's message. Malformed calls are in it, so that their error replies have an id to refer to."""
    turn: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if completion.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": _allowed_name(call.name), "arguments": _encode(call.arguments).decode()},
            }
            for call in completion.tool_calls
        ]
    return turn


def _allowed_name(name: str) -> str:
    """A function name that servers take: a name that the model made up must not get the next request refused."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unknown"


def _text_messages(trajectory: Trajectory, tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    """The conversation without any tool message: tools in the system's, replies in the user's, calls in the text."""
    said = list(_text_turns(trajectory))
    block = render_tools(tools)
    if block and said and said[0]["role"] == "system":
        said[0]["content"] = f"{said[0]['content']}\n\n{block}"
    elif block:
        said.insert(0, {"role": "system", "content": block})
    return said


def _text_turns(trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    replies: list[str] = []
    for said in trajectory.messages():
        if isinstance(said, Message) and said.role == "tool":
            replies.append(render_reply(said.text))
            continue
        if replies:
            yield {"role": "user", "content": "\n".join(replies)}
            replies = []
        if isinstance(said, Message):
            yield {"role": said.role, "content": said.text}
        else:
            parts = [said.text, *map(render_call, said.tool_calls)]
            yield {"role": "assistant", "content": "\n".join(filter(None, parts))}
    if replies:
        yield {"role": "user", "content": "\n".join(replies)}


# ----------------------------------------------------------------------------------------------------------- calls


def _native_call(call: _Call) -> ToolCall:
    name = call.function.name or ""
    if not name:
        return ToolCall(call.id or "", "", malformed="the call names no function")
    try:
        return ToolCall(call.id or "", name, read_arguments(call.function.arguments))
    except ValueError as error:
        return ToolCall(call.id or "", name, malformed=str(error))


def _with_ids(calls: list[ToolCall], turn: int) -> list[ToolCall]:
    """The calls, each with an id of its own: a missing or repeated one is replaced by a stable one."""
    taken: set[str] = set()
    for index, call in enumerate(calls):
        if not call.id or call.id in taken:
            call.id = call_id(turn, index)
        taken.add(call.id)
    return calls


# ------------------------------------------------------------------------------------------------------- estimates

_WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


def estimated_tokens(text: str) -> int:
    """About how many tokens `text` has: one per Chinese, Japanese or Korean character, one per four others."""
    if text.isascii():
        return (len(text) + 3) // 4
    wide = len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


def estimated_length(trajectory: Trajectory, tools: Sequence[ToolSchema]) -> int:
    """About how many tokens the next request has: counted up to the last turn where known, estimated from there."""
    counted = trajectory.turns[-1].completion.usage.tokens if trajectory.turns else 0
    if counted:
        return counted + sum(_message_tokens(message) for message in trajectory.pending)
    return len(_encode(tools)) // 4 + sum(_message_tokens(said) for said in trajectory.messages())


def _message_tokens(said: Message | Completion) -> int:
    calls = sum(len(_encode(call.arguments)) // 4 for call in said.tool_calls) if isinstance(said, Completion) else 0
    return estimated_tokens(said.text) + calls + MESSAGE_TOKENS


# --------------------------------------------------------------------------------------------------------- answers


def _read_reply(payload: bytes) -> _Reply:
    reply = _decode_reply(payload)
    if not reply.choices:
        raise _FailedTry(f"an answer without choices: {_server_message(payload)[0]}")
    return reply


def _read_models(payload: bytes) -> list[str]:
    return [listed.id for listed in _decode_models(payload).data]


def _refusal(status: int, retry_after: str | None, payload: bytes) -> Exception:
    """What an answer with an error status means."""
    message, code = _server_message(payload)
    if status in (400, 413, 422, 500) and _TOO_LONG.search(f"{code} {message}"):
        return _ContextFull()
    spent = status == 429 and "insufficient_quota" in code  # waiting does not fill an account
    if status >= 500 or (status in RETRIED and not spent):
        return _FailedTry(f"{status} {message}", retry_after=_seconds(retry_after))
    return _Refused(status, message)


def _server_message(payload: bytes) -> tuple[str, str]:
    """The error text, on one line, and its codes, in any of the forms that servers give them."""
    try:
        body = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _excerpt(payload), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return _one_line(str(error)), ""
    message = error.get("message") or error.get("detail") or error.get("error")
    return _one_line(str(message or error)), f"{error.get('code')} {error.get('type')}"


def _seconds(retry_after: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks to wait, given as a number or as a date."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
    return max(0.0, seconds) if seconds < float("inf") else None


def _failure(state: RetryCallState) -> _FailedTry:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, _FailedTry)
    return failure


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "no model") + more


def _excerpt(payload: bytes) -> str:
    return _one_line(payload[:400].decode(errors="replace")) or "an empty body"


def _one_line(text: str, limit: int = 200) -> str:
    text = " ".join(text.split()).rstrip(".: ")
    return text if len(text) <= limit else f"{text[:limit]}…"
