"""The `chat` policy: any server that speaks OpenAI's `/chat/completions` (vLLM, SGLang, Ollama, llama.cpp, OpenAI ...).

    trajectory -> room left in the context? -> request -> server -> reply -> Completion
                  no: truncated="context"                 |
                                                          too long for it: truncated="context"

How a conversation is written for the server, and what it answers is read as, stands in `wire`; how it is reached, tried
again and given up, in `server`. Cancelling a call ends it at once. It speaks text: token ids stay `None`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from wideseek.errors import PolicyRejected
from wideseek.policy.base import Prices, Sampling, ToolSchema
from wideseek.policy.failures import ContextFull
from wideseek.policy.reply import Choice, Reply, breaks_off, read_reply, read_said
from wideseek.policy.server import MAX_BODY_MB, Server
from wideseek.policy.wire import encode, native_messages, native_tools, sent_back, text_messages
from wideseek.records import Completion, Message, ToolCall, Trajectory, Usage

MIN_ROOM = 256  # tokens; with less left in the context no useful turn fits
AMPLE_ROOM = 4_096  # tokens; with less left in the context an ordinary turn could overrun it
MESSAGE_TOKENS = 4  # what a chat template adds to a message

Limit = Literal["turn_cap", "context"]
Truncated = Literal["turn_cap", "context", "cut"]


class ChatPolicy:
    """The turns of agents, said by a chat completions server.

    * `model` is the server's name for it; `None` takes the only one that the server lists, asked at first use.
      `name` is how users write it (`model` where not given). `base_url` is what stands before `/chat/completions`.
    * `key`, `key_env`, `timeout_s`, `attempts`, `concurrency`, `backoff_s`, `max_body_mb` and `headers` say how the
      server is reached (`Server`).
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
        key: str | Callable[[], str | None] | None = None,
        key_env: str | None = None,
        sampling: Sampling | None = None,
        timeout_s: float = 600.0,
        attempts: int = 10,
        concurrency: int = 64,
        tool_calls: Literal["native", "text"] = "native",
        prices: Prices | None = None,
        extra: dict[str, Any] | None = None,
        backoff_s: float = 0.5,
        max_body_mb: float = MAX_BODY_MB,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.sampling = sampling or Sampling()
        self._server = Server(
            base_url,
            key=key,
            key_env=key_env,
            timeout_s=timeout_s,
            attempts=attempts,
            concurrency=concurrency,
            backoff_s=backoff_s,
            max_body_mb=max_body_mb,
            headers=headers,
        )
        self.name = name or model or self._server.base_url
        self._model = model
        self._in_text = tool_calls == "text"
        self._prices = prices or Prices()
        self._extra = extra or {}
        self._takes_back = True  # the fields that it gave: until the server refuses them
        self._streaming: dict[str, Any] = {}  # the fields that ask for a stream, once the server wants one
        self._says_endings = False  # whether the server has ever said why an answer ended
        self._cap_field = "max_completion_tokens" if _is_openai(base_url) else "max_tokens"

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        """The next turn. Raises `PolicyRejected` and `PolicyUnavailable` with one line: where, what, what next.

        A turn that says nothing, or only reasons, is asked for once more, and costs both requests.
        """
        said = await self._turn(trajectory, tools)
        if said.text or said.tool_calls or said.truncated:
            return said
        again = await self._turn(trajectory, tools, sample=1)
        again.last_usage, again.usage = again.usage, said.usage + again.usage
        return again

    async def _turn(self, trajectory: Trajectory, tools: Sequence[ToolSchema], sample: int = 0) -> Completion:
        """One turn; another `sample` of the same one has another seed."""
        length = estimated_length(trajectory, tools)
        room = trajectory.context_tokens - length
        if room < MIN_ROOM:
            return Completion(truncated="context", model=self.name)
        cap, limit = self._turn_cap(room)
        try:
            reply, limit = await self._reply(trajectory, tools, cap, limit, sample)
        except ContextFull:
            return Completion(truncated="context", model=self.name, usage=Usage(calls=1))
        return self._completion(reply, trajectory, length, limit, tools)

    async def _reply(
        self, trajectory: Trajectory, tools: Sequence[ToolSchema], cap: int | None, limit: Limit, sample: int
    ) -> tuple[Reply, Limit]:
        """The server's reply, and which limit is reached if it was cut off for its length. Raises `ContextFull`.

        What this server does not take is left out or asked in another way, now and from then on.
        """
        while True:
            request = await self._request(trajectory, tools, sample)
            try:
                try:
                    return await self._answer(request, cap), limit
                except ContextFull:
                    if cap is None:
                        raise
                    # The server's context may be shorter than ours: what it has left can be enough without our cap.
                    return await self._answer(request, None), "context"
            except PolicyRejected as refusal:
                if not self._adapts(request, str(refusal)):
                    raise _with_advice(request, refusal) from refusal

    def _adapts(self, request: dict[str, Any], refusal: str) -> bool:
        """Whether the next request will leave out what `refusal` says of this one; each is given up once."""
        if "tools" in request and _NO_TOOLS.search(refusal):
            self._in_text = True
        elif "stream_options" in request and "stream_options" in refusal:
            self._streaming = {"stream": True}
        elif "stream" not in request and _MUST_STREAM.search(refusal):
            self._streaming = {"stream": True, "stream_options": {"include_usage": True}}
        elif _refuses_fields(refusal, sent_back(request["messages"])):
            self._takes_back = False
        else:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    # ------------------------------------------------------------------------------------------------- the request

    def _turn_cap(self, room: int) -> tuple[int | None, Limit]:
        """How many tokens the turn may have (`None`: not said), and which limit is reached if it has them all."""
        wanted = self.sampling.max_tokens
        if wanted is not None and wanted <= room:
            return wanted, "turn_cap"
        if wanted is not None or room < AMPLE_ROOM:
            return room, "context"
        return None, "turn_cap"

    async def _request(self, trajectory: Trajectory, tools: Sequence[ToolSchema], sample: int) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model or (await self._server.served(None)).id,
            "messages": text_messages(trajectory, tools)
            if self._in_text
            else native_messages(trajectory, sent_back=self._takes_back),
            **self._streaming,
        }
        if tools and not self._in_text:
            request["tools"] = native_tools(tools)
        if self.sampling.temperature is not None:
            request["temperature"] = self.sampling.temperature
            request["seed"] = (trajectory.seed + len(trajectory.turns) + (sample << 20)) & 0x7FFFFFFF
        if self.sampling.top_p is not None:
            request["top_p"] = self.sampling.top_p
        return request

    async def _answer(self, request: dict[str, Any], cap: int | None) -> Reply:
        body = {**request, self._cap_field: cap, **self._extra}
        sent = {field: value for field, value in body.items() if value is not None}
        return await self._server.ask("/chat/completions", encode(sent), read_reply)

    # --------------------------------------------------------------------------------------------------- the reply

    def _completion(
        self, reply: Reply, trajectory: Trajectory, length: int, limit: Limit, tools: Sequence[ToolSchema]
    ) -> Completion:
        choice = reply.choice
        said = read_said(choice.message, len(trajectory.turns), tools)
        said.usage, said.model = self._usage(reply, length), reply.model or self.name
        full = said.usage.tokens >= trajectory.context_tokens
        said.truncated = self._truncated(choice, said.text, said.tool_calls, "context" if full else limit)
        said.ending = f"finish_reason: {choice.word or 'none'}" if said.truncated == "cut" else ""
        return said

    def _truncated(self, choice: Choice, text: str, calls: list[ToolCall], limit: Limit) -> Truncated | None:
        """What cut the turn off, if anything did.

        An answer that says nothing of its end is cut where its text breaks off, and where this server has said it of
        others: gateways leave it out when a stream ends early. Some servers never say it.
        """
        if choice.ending == "unsaid":
            broken = not calls and (self._says_endings or breaks_off(text))
            return "cut" if broken else None
        self._says_endings = True
        if choice.ending == "length":
            return limit
        return choice.ending if choice.ending in ("context", "cut") else None

    def _usage(self, reply: Reply, length: int) -> Usage:
        """The tokens that the server counted, estimated where it does not say; `length` is the prompt's estimate."""
        counted, said = reply.usage, reply.choice.message
        prompt, completion = counted.prompt_tokens, counted.completion_tokens
        if prompt is None:
            prompt = length
        if completion is None:
            arguments = sum(len(encode(call.arguments)) // 4 for call in said.tool_calls)
            completion = arguments + estimated_tokens(said.text) + estimated_tokens(said.thought)
        return Usage(1, prompt, completion, self._prices.usd(prompt, completion, counted.cached_tokens))


_NO_TOOLS = re.compile(
    r"not support\W+(the )?(use of )?(tool|function)|(tool|function)s?( use| calling| calls)? (is|are) not supported"
    r"|tool choice requires|support tool use|tools param requires",  # vLLM, OpenRouter, llama.cpp
    re.IGNORECASE,
)
_MUST_STREAM = re.compile(
    r"stream\W{1,4}(must|has to|should|needs to) be (set to )?\W?true|stream\W{0,3}=\W{0,3}false"  # Codex; ModelScope
    r"|(only|just) supports? (the )?stream|non-?stream\w*|非流式|仅支持流式",  # DashScope and others
    re.IGNORECASE,
)
_FOREIGN_FIELD = re.compile(
    r"reasoning|thinking|thought|(extra|additional) (inputs?|fields?|propert)"
    r"|(unknown|unrecognized|unexpected|unsupported) (name|field|key|parameter|argument|propert)",
    re.IGNORECASE,
)
_WANTED = re.compile(r"missing|required|must (be|have|contain|include)|expected", re.IGNORECASE)


def _refuses_fields(refusal: str, names: set[str]) -> bool:
    """Whether a refusal speaks of the fields of these names that went back, and not of one that it lacks."""
    named = any(re.search(rf"\b{re.escape(name)}\b", refusal) for name in names)
    return bool(names) and (named or bool(_FOREIGN_FIELD.search(refusal))) and not _WANTED.search(refusal)


def _with_advice(request: dict[str, Any], refusal: PolicyRejected) -> PolicyRejected:
    """The refusal; where it may be of the tools, in words that are not known here, with what to try."""
    if "tools" not in request or not re.search("tool|function", str(refusal), re.IGNORECASE):
        return refusal
    return PolicyRejected(f"{refusal}; if it takes no tools: --set chat.tool_calls=text")


def _is_openai(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))


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
    last = trajectory.turns[-1].completion if trajectory.turns else None
    # Reasoning was counted when it was said: it is in the next request where the server wants it back, else not.
    dropped = estimated_tokens(last.reasoning) if last and not last.sent_back else 0
    counted = max(last.held.prompt_tokens, last.held.tokens - dropped) if last else 0
    if counted:
        return counted + sum(_message_tokens(message) for message in trajectory.pending)
    return len(encode(tools)) // 4 + sum(_message_tokens(said) for said in trajectory.messages())


def _message_tokens(said: Message | Completion) -> int:
    further = 0
    if isinstance(said, Completion):
        further = sum(len(encode(call.arguments)) // 4 for call in said.tool_calls)
        further += estimated_tokens(said.reasoning) if said.sent_back else 0
    return estimated_tokens(said.text) + further + MESSAGE_TOKENS
