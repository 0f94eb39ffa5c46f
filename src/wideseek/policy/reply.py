"""An answer of `/chat/completions`, read as leniently as servers differ.

    read_reply    an answer, whole or as a stream of events; what is none raises
    ending_of     why an answer ended, in whatever words the server has for it
    breaks_off    whether a text stops in the middle, where the server does not say why it ended
    read_said     what the model said in it: reasoning, text, calls (native, and written as text)

Only the model's own words decide whether an answer can be read. A side field of a wrong type is left aside, and half a
character becomes U+FFFD: an answer that was paid for is not asked for again because of them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from wideseek.policy.calls import call_id, read_arguments, read_calls, split_reasoning
from wideseek.policy.dialects import in_one_dialect
from wideseek.policy.failures import FailedTry, one_line, upstream_failure
from wideseek.records import ToolCall

KEPT = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "extra_content")
"""Fields of a message or a call that servers want back as they gave them: DeepSeek and Kimi refuse a call without its
reasoning, Gemini one without the signature of its thought (`extra_content`)."""


class NativeCall(msgspec.Struct):
    """A call of the `tool_calls` field. `sent_back` has its `KEPT` fields."""

    id: str = ""
    name: str = ""
    arguments: Any = None
    sent_back: dict[str, Any] = {}


class Said(msgspec.Struct):
    """The assistant's message: `text` and `thought` are the same however the server gives them."""

    text: str = ""
    thought: str = ""
    tool_calls: list[NativeCall] = []
    sent_back: dict[str, Any] = {}


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


@functools.lru_cache(maxsize=64)
def ending_of(word: str | None) -> Ending:
    """What a server's word for the end of an answer means, `FinishReason.MAX_TOKENS` as well as `max-tokens`."""
    plain = re.sub(r"[\s-]+", "_", (word or "").rpartition(".")[2].strip().lower())
    return _ENDINGS.get(plain.removeprefix("finish_reason_"), "cut")


class Counted(msgspec.Struct):
    """Tokens as the server counted them, `None` where it does not say so in a whole number."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Reply(msgspec.Struct):
    """An answer of the server: its first choice, what it counted, and the model's name there."""

    choice: Choice
    usage: Counted = msgspec.field(default_factory=Counted)
    model: str = ""


# -------------------------------------------------------------------------------------------------------- the body


def read_reply(payload: bytes) -> Reply:
    """The answer in `payload`.

    Raises `ValidationError` or `UnicodeDecodeError` for what is no answer, `FailedTry` or `ContextFull` for one that
    failed.
    """
    body = _body(payload)
    if not isinstance(body, dict):
        raise msgspec.ValidationError("an answer is a JSON object")
    found = _first(body.get("choices"))
    if error := found.get("error") or body.get("error"):
        raise upstream_failure(error)
    if not isinstance(found.get("message"), dict):
        raise msgspec.ValidationError("an answer without a message of the assistant")
    choice = Choice(_said(found["message"]), found.get("finish_reason"))
    if choice.ending == "failed":
        raise FailedTry(f"the server gave the answer up (finish_reason: {choice.word})")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    counted = Counted(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
    return Reply(choice, counted, _text(body.get("model")))


def _body(payload: bytes) -> Any:
    """The JSON of a body, of one behind comment lines (`: PROCESSING`), or of a stream of events put together."""
    text = payload.decode(errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith((":", "data:", "event:")):
        lines = text.splitlines()
        events = [line[5:].strip() for line in lines if line.startswith("data:")]
        if events:
            return _assembled([_json(event) for event in events if event and event != "[DONE]"])
        text = "\n".join(line for line in lines if not line.startswith(":"))
    return _json(text)


def _json(text: str) -> Any:
    """The value of a JSON text, with half characters replaced. Raises `ValidationError`."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise msgspec.ValidationError(one_line(str(error))) from error
    return _whole(value) if "\\u" in text else value


def _whole(value: Any) -> Any:
    """`value` without half a character in any of its texts: each becomes U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _first(choices: Any) -> dict[str, Any]:
    """The first choice that is one; an empty object where there is none."""
    return next((one for one in choices if isinstance(one, dict)), {}) if isinstance(choices, list) else {}


def _count(value: Any) -> int | None:
    """A number of tokens, also as a text or a fraction; `None` for what is no number of anything."""
    try:
        return max(0, int(float(value))) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------------------------------------------------- streams


def _assembled(events: list[Any]) -> dict[str, Any]:
    """One answer from the events of a stream: deltas are joined, the last usage and the last ending count."""
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    calls: dict[Any, dict[str, Any]] = {}
    choice: dict[str, Any] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        whole |= {name: value for name, value in event.items() if name != "choices" and value is not None}
        part = _first(event.get("choices"))
        choice |= {name: part[name] for name in ("finish_reason", "error") if part.get(name) is not None}
        delta = part.get("delta") or part.get("message") or {}
        for call in delta.get("tool_calls") or () if isinstance(delta, dict) else ():
            if isinstance(call, dict):
                _join(calls.setdefault(call.get("index", len(calls)), {}), call)
        if isinstance(delta, dict) and delta:
            choice["message"] = message
            _join(message, {name: value for name, value in delta.items() if name != "tool_calls"})
    if calls:
        message["tool_calls"] = list(calls.values())
    return whole | {"choices": [choice]}


_SAID_ONCE = frozenset({"role", "id", "type", "index", "name"})


def _join(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to `whole`: texts and lists go on, what is said once is replaced."""
    for name, value in delta.items():
        before = whole.get(name)
        if isinstance(before, list) and isinstance(value, list):
            whole[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _join(before, value)
        elif isinstance(before, str) and isinstance(value, str) and name not in _SAID_ONCE:
            whole[name] = before + value
        elif value is not None and (value or name not in _SAID_ONCE):
            whole[name] = value


# ------------------------------------------------------------------------------------------------------ the message


def _said(message: dict[str, Any]) -> Said:
    kept = _kept(message)
    thought = _plain(kept.get("reasoning_content")) or _plain(kept.get("reasoning")) or _plain(kept.get("thinking"))
    calls = message.get("tool_calls")
    return Said(
        _plain(message.get("content")),
        thought or _plain(kept.get("reasoning_details")),
        [_native(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else [],
        kept,
    )


def _native(call: dict[str, Any]) -> NativeCall:
    function = call.get("function")
    id, function = call.get("id"), function if isinstance(function, dict) else {}
    named = str(id) if isinstance(id, str | int) and not isinstance(id, bool) else ""
    return NativeCall(named, _text(function.get("name")), function.get("arguments"), _kept(call))


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in KEPT if fields.get(name)}


def _plain(value: Any) -> str:
    """The text of a content or a reasoning: a text, an object that has one, or a list of such parts."""
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        return _text(value.get("text")) or _text(value.get("summary"))
    return _text(value)


def breaks_off(text: str) -> bool:
    """Whether a text stops in the middle: a fence that is not closed, or a table's row without its last bar."""
    lines = text.rstrip().split("\n")
    fences = sum(line.lstrip().startswith("```") for line in lines)
    last = lines[-1].strip()
    return fences % 2 == 1 or (last.startswith("|") and not last.endswith("|"))


def read_said(said: Said, turn: int, *, written: bool) -> tuple[str, str, list[ToolCall]]:
    """Reasoning, text and calls of the message; calls `written` in the text are read if there can be any.

    A call that stands in the text and in the field is one call; beside good calls a lone mark in the text is none.
    """
    thought, text = split_reasoning(said.text)
    calls = list(_native_calls(said.tool_calls))
    if written:
        text, others = read_calls(in_one_dialect(text), turn)
        calls += _further(others, calls)
    return "\n\n".join(filter(None, (said.thought, thought))), text, _with_ids(calls, turn)


def _further(others: Iterable[ToolCall], calls: list[ToolCall]) -> list[ToolCall]:
    """Those of `others` that say something which `calls` do not: the same request, or no name beside one, is none."""
    left = [(call.name, call.arguments) for call in calls]
    further = []
    for call in others:
        if not call.malformed and (call.name, call.arguments) in left:
            left.remove((call.name, call.arguments))
        elif not (call.malformed and calls and call.name in ("", *(one.name for one in calls))):
            further.append(call)
    return further


def _native_calls(calls: list[NativeCall]) -> Iterator[ToolCall]:
    for call in calls:
        if not call.name:
            yield ToolCall(call.id, "", malformed="the call names no function", sent_back=call.sent_back)
            continue
        try:
            yield ToolCall(call.id, call.name, read_arguments(call.arguments), sent_back=call.sent_back)
        except ValueError as error:
            yield ToolCall(call.id, call.name, malformed=str(error), sent_back=call.sent_back)


def _with_ids(calls: list[ToolCall], turn: int) -> list[ToolCall]:
    """The calls, each with an id of its own: a missing or repeated one is replaced by a stable one."""
    taken: set[str] = set()
    for index, call in enumerate(calls):
        if not call.id or call.id in taken:
            call.id = call_id(turn, index)
        taken.add(call.id)
    return calls
