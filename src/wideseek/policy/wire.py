"""The wire of `/chat/completions`: what is sent of a conversation, and what an answer holds.

native_messages, native_tools   calls and their replies in OpenAI's form
text_messages                   without it: tools in the system's message, replies in the user's, calls in the text
read_reply                      an answer, as leniently as servers differ; what is none raises
ending_of                       why an answer ended, in whatever words the server has for it
breaks_off                      whether a text stops in the middle, where the server does not say why it ended
read_said                       what the model said in it: reasoning, text, calls (native, and written as text)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec

from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import (
    call_id,
    read_arguments,
    read_calls,
    render_call,
    render_reply,
    render_tools,
    split_reasoning,
)
from wideseek.policy.failures import FailedTry, one_line, upstream_failure
from wideseek.records import Completion, Message, ToolCall, Trajectory

encode = msgspec.json.Encoder().encode


# ------------------------------------------------------------------------------------------------------------- out


def native_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": schema} for schema in tools]


def native_messages(trajectory: Trajectory) -> list[dict[str, Any]]:
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
                "function": {"name": _allowed_name(call.name), "arguments": encode(call.arguments).decode()},
            }
            for call in completion.tool_calls
        ]
    return turn


def _allowed_name(name: str) -> str:
    """A function name that servers take: a name that the model made up must not get the next request refused."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unknown"


def text_messages(trajectory: Trajectory, tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
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


# -------------------------------------------------------------------------------------------------------------- in


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Part(msgspec.Struct):
    text: str | None = None


class Said(msgspec.Struct):
    """The assistant's message. `text` and `thought` are the same however the server gives them."""

    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""


Ending = Literal["end", "length", "context", "failed", "cut", "unsaid"]

_ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(("stop", "stop_sequence", "end_turn", "eos", "eos_token", "end", "complete", "completed"), "end"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"), "end"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_completion_tokens", "incomplete"), "length"),
    **dict.fromkeys(("model_length", "context_length", "context_length_exceeded"), "context"),
    **dict.fromkeys(("context_window_exceeded", "model_context_window_exceeded"), "context"),
    **dict.fromkeys(("error", "server_error", "internal_error", "engine_error", "network_error"), "failed"),
    **dict.fromkeys(("abort", "aborted", "cancel", "cancelled", "canceled", "timeout", "unavailable"), "failed"),
    **dict.fromkeys(("insufficient_system_resource", "insufficient_system_resources", "overloaded"), "failed"),
    **dict.fromkeys(("", "null", "none", "unspecified"), "unsaid"),
}
"""What the words of servers mean: OpenAI, Anthropic, Gemini, Mistral, DeepSeek, Cohere, Zhipu, TGI, vLLM, SGLang.

    length   the turn had all the tokens that it was given        failed   the server gave it up: another try may do
    context  the model's context is full                           cut      any other word: a filter, a refusal, a pause
"""


class Choice(msgspec.Struct):
    message: Said
    finish_reason: Any = None
    error: Any = None

    @property
    def word(self) -> str:
        """The server's word for why it ended: a text, the `type` of an object, or empty."""
        reason = self.finish_reason
        if isinstance(reason, dict):
            reason = reason.get("type") or reason.get("reason")
        return "" if reason is None else one_line(str(reason), 60)

    @property
    def ending(self) -> Ending:
        """Why the answer ended. `unsaid`: the server does not say; `cut`: by what is no proper end."""
        return ending_of(self.word)


def ending_of(word: str | None) -> Ending:
    """What a server's word for the end of an answer means, `FinishReason.MAX_TOKENS` as well as `max-tokens`."""
    plain = re.sub(r"[\s-]+", "_", (word or "").rpartition(".")[2].strip().lower())
    return _ENDINGS.get(plain.removeprefix("finish_reason_"), "cut")


class Counted(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(msgspec.Struct):
    """An answer of the server. One without choices is none: it cannot be read."""

    choices: Annotated[list[Choice], msgspec.Meta(min_length=1)]
    usage: Counted | None = None
    model: str | None = None
    error: Any = None


_decode_reply = msgspec.json.Decoder(Reply, strict=False).decode


def read_reply(payload: bytes) -> Reply:
    """The answer in `payload`. Raises what msgspec raises, and `FailedTry` or `ContextFull` for one that failed."""
    reply = _decode_reply(payload)
    choice = reply.choices[0]
    if error := choice.error or reply.error:
        raise upstream_failure(error)
    if choice.ending == "failed":
        raise FailedTry(f"the server gave the answer up (finish_reason: {choice.word})")
    return reply


def breaks_off(text: str) -> bool:
    """Whether a text stops in the middle: a fence that is not closed, or a table's row without its last bar."""
    lines = text.rstrip().split("\n")
    fences = sum(line.lstrip().startswith("```") for line in lines)
    last = lines[-1].strip()
    return fences % 2 == 1 or (last.startswith("|") and not last.endswith("|"))


def read_said(said: Said, turn: int, *, written: bool) -> tuple[str, str, list[ToolCall]]:
    """Reasoning, text and calls of the message; calls `written` in the text are read if there can be any."""
    thought, text = split_reasoning(said.text)
    calls = [_native_call(call) for call in said.tool_calls or ()]
    if written:
        text, others = read_calls(text, turn)
        calls += others
    return "\n\n".join(filter(None, (said.thought, thought))), text, _with_ids(calls, turn)


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
