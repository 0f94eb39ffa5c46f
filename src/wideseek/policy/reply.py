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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import THINK, THINK_END, call_id, read_arguments, split_reasoning
from wideseek.policy.dialects import read_written
from wideseek.policy.failures import FailedTry, one_line, upstream_failure
from wideseek.records import Completion, ToolCall

OWN = frozenset({"role", "content", "tool_calls", "id", "type", "function", "index"})
"""The fields of a message or a call that are OpenAI's own, and that are written from the records."""

ONLY_SAID = frozenset({"refusal", "annotations", "citations", "audio", "images", "function_call", "name"}) | frozenset(
    {"logprobs", "token_ids", "parsed", "parsed_arguments", "stop_reason"}
)
"""Fields that no server takes in a request. Every other one that is not `OWN` goes back to the server as it came: it
may refuse a call without them. DeepSeek and Kimi want the reasoning, Gemini the signature of a thought
(`extra_content`), gateways the same under names of their own."""


class NativeCall(msgspec.Struct):
    """A call of the `tool_calls` field. `sent_back` has the fields that the server may want back."""

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
    cached_tokens: int = 0  # those of the prompt that cost less, since the server had them already


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
    return Reply(choice, _counted(usage), _text(body.get("model")))


def _counted(usage: dict[str, Any]) -> Counted:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    return Counted(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached) or 0)


_LINE_END = re.compile(r"\r\n|\n|\r")  # the ends of lines in a stream of events; others stand inside of texts
MOST_TOKENS = 10**9  # of one request; a larger count is none


def _body(payload: bytes) -> Any:
    """The JSON of a body, of one behind comment lines (`: PROCESSING`), or of a stream of events put together."""
    text = payload.decode(errors="replace").lstrip("\ufeff \r\n\t")
    if text.startswith((":", "data:", "event:")):
        lines = _LINE_END.split(text)
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
        count = max(0, int(float(value))) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count is None or count < MOST_TOKENS else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------------------------------------------------- streams


def _assembled(events: list[Any]) -> dict[str, Any]:
    """One answer from the events of a stream: deltas are joined, the last usage and the last ending count."""
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    choice: dict[str, Any] = {}
    for event in events:
        if not isinstance(event, dict):
            continue
        whole |= {name: value for name, value in event.items() if name != "choices" and value is not None}
        part = _first(event.get("choices"))
        choice |= {name: part[name] for name in ("finish_reason", "error") if part.get(name) is not None}
        delta = part.get("delta") or {}
        if not delta and isinstance(part.get("message"), dict):  # what MiniMax ends with: all that the deltas said
            delta, message, calls = part["message"], {}, []
        for call in delta.get("tool_calls") or () if isinstance(delta, dict) else ():
            if isinstance(call, dict):
                _join(_begun(calls, call), call)
        if isinstance(delta, dict) and delta:
            choice["message"] = message
            _join(message, {name: value for name, value in delta.items() if name != "tool_calls"})
    if calls:
        message["tool_calls"] = calls
    return whole | {"choices": [choice]}


def _begun(calls: list[dict[str, Any]], delta: dict[str, Any]) -> dict[str, Any]:
    """The call that a delta goes on with; a new one where there is none."""
    goes_on = [call for call in calls if _is_of(delta, call)]
    if not goes_on:
        calls.append({})
    return calls[-1] if not goes_on else goes_on[-1]


def _is_of(delta: dict[str, Any], call: dict[str, Any]) -> bool:
    """Whether a delta belongs to `call`: another index or another id is another call.

    Some servers leave the index out, and some give every call the same one.
    """
    index, id, known = delta.get("index"), delta.get("id"), call.get("id")
    if index is not None and call.get("index") != index:
        return False
    return not id or bool(id == known) or (not known and index is not None)


_SAID_ONCE = frozenset({"role", "id", "type", "index", "name", "format"})


def _join(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to `whole`: texts and lists go on, what is said once is replaced."""
    for name, value in delta.items():
        before = whole.get(name)
        if isinstance(before, list) and isinstance(value, list):
            _join_parts(before, value)
        elif isinstance(before, dict) and isinstance(value, dict):
            _join(before, value)
        elif isinstance(before, str) and isinstance(value, str) and name not in _SAID_ONCE:
            whole[name] = before + value
        elif value is not None and not (value == "" and name in _SAID_ONCE):
            whole[name] = value


def _join_parts(before: list[Any], value: list[Any]) -> None:
    """Add the parts of a list: one that has the last part's index goes on with it."""
    for part in value:
        last = before[-1] if before else None
        if isinstance(part, dict) and isinstance(last, dict) and part.get("index", part) == last.get("index"):
            _join(last, part)
        else:
            before.append(part)


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
    return {name: value for name, value in fields.items() if value and name not in OWN | ONLY_SAID}


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


def read_said(said: Said, turn: int, tools: Sequence[ToolSchema]) -> Completion:
    """Reasoning, text, calls and fields to send back; calls in the text are read if `tools` were offered.

    A call that stands in the text and in the field is one call. Reasoning that came in the text goes back in the text.
    """
    thought, text = split_reasoning(said.text)
    calls, sent_back = list(_native_calls(said.tool_calls)), said.sent_back
    if tools:
        text, others = read_written(text, turn, tools)
        calls += _further(others, calls)
    if thought:
        sent_back = sent_back | {"content": f"{THINK}\n{thought}\n{THINK_END}\n\n{text}"}
    reasoning = "\n\n".join(filter(None, (said.thought, thought)))
    return Completion(text=text, reasoning=reasoning, tool_calls=_with_ids(calls, turn), sent_back=sent_back)


def _further(others: Iterable[ToolCall], calls: list[ToolCall]) -> list[ToolCall]:
    """Those of `others` that are not the trace of one of `calls`: the same request, a part of it, or its remains.

    Each call leaves one trace at most, so a second malformed one is a call, and is answered with what is wrong.
    """
    left = [(call.name, call.arguments) for call in calls]
    further = []
    for call in sorted(others, key=lambda call: (bool(call.malformed), (call.name, call.arguments) not in left)):
        trace = next((one for one in left if _is_trace(call, *one)), None)
        if trace is None:
            further.append(call)
        else:
            left.remove(trace)
    return further


def _is_trace(call: ToolCall, name: str, arguments: dict[str, Any]) -> bool:
    return call.name in ("", name) if call.malformed else call.name == name and _is_part(call.arguments, arguments)


def _is_part(value: Any, whole: Any) -> bool:
    """Whether a JSON value asks for nothing that `whole` does not ask for."""
    if isinstance(value, dict) and isinstance(whole, dict):
        return all(key in whole and _is_part(item, whole[key]) for key, item in value.items())
    if isinstance(value, list) and isinstance(whole, list):
        return all(item in whole for item in value)
    return bool(value == whole)


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
