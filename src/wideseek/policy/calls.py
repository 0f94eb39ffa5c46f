"""Tool calls as text, the way Qwen and Hermes models write them.

    split_reasoning   `<think>...</think>` and the rest
    read_calls        `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, several a turn, and the text around
    read_arguments    the arguments of a native call: a JSON string, checked in the same way
    render_tools      what a model is told about its tools where the server does not do it
    render_call, render_reply   one call and one reply, as the model's own chat template writes them

Whatever a model writes can be read: what cannot be understood is a `ToolCall` whose `malformed` says what and where.
Calls inside reasoning are not calls: split first, then read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from wideseek.policy.base import ToolSchema
from wideseek.records import ToolCall

THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
EXCERPT = 40  # characters shown on either side of a fault

_NAME = re.compile(r'"name"\s*:\s*"([\w.-]{1,64})"')
_SPACE = re.compile(r"\s*")


class _Unreadable(Exception):
    """Text that is no call; says what is wrong and where."""


# --------------------------------------------------------------------------------------------------------- reading


def split_reasoning(text: str) -> tuple[str, str]:
    """The first `<think>` block and the text without it, both stripped.

    Without an opening tag everything before `</think>` is reasoning (Qwen's template writes the tag into the prompt);
    a block that opens the text and never closes is reasoning to the end. Any other stray tag is text.
    """
    start, end = text.find(THINK), _end_of_thinking(text)
    if end < 0:
        opened = text.lstrip().startswith(THINK)
        return (text[start + len(THINK) :].strip(), "") if opened else ("", text.strip())
    if 0 <= start < end:
        before, reasoning = text[:start], text[start + len(THINK) : end]
    else:
        before, reasoning = "", text[:end]
    return reasoning.strip(), (before + text[end + len(THINK_END) :]).strip()


def _end_of_thinking(text: str) -> int:
    """Where the first closing tag stands that is not quoted in a table's row or as code; -1 where there is none."""
    end = text.find(THINK_END)
    while end >= 0 and (text[text.rfind("\n", 0, end) + 1 : end].lstrip().startswith("|") or text[:end].endswith("`")):
        end = text.find(THINK_END, end + 1)
    return end


def read_calls(text: str, turn: int = 0) -> tuple[str, list[ToolCall]]:
    """The text without its calls, stripped, and the calls in order; their ids are stable and name `turn`.

    A call ends where its JSON ends, so a `</tool_call>` inside an argument does no harm.
    """
    rest: list[str] = []
    calls: list[ToolCall] = []
    position = 0
    while (start := text.find(CALL, position)) >= 0:
        rest.append(text[position:start])
        call, position = _read_call(text, start + len(CALL), call_id(turn, len(calls)))
        calls.append(call)
    rest.append(text[position:])
    return "".join(rest).strip(), calls


def call_id(turn: int, index: int) -> str:
    """The id of a call that came without one: nine letters and digits, the only form that every server takes."""
    return f"call{turn:02d}{index:03d}"


def read_arguments(arguments: Any) -> dict[str, Any]:
    """Arguments given as an object, as JSON text, or not at all.

    Raises `ValueError` saying what is wrong and where. What is returned survives JSON unchanged.
    """
    try:
        return _checked_arguments(arguments)
    except _Unreadable as error:
        raise ValueError(str(error)) from error


def _read_call(text: str, start: int, id: str) -> tuple[ToolCall, int]:
    """The call whose opening tag ends at `start`, and where reading goes on."""
    try:
        value, json_end = _read_json(text, _skip_space(text, start))
        closing = _skip_space(text, json_end)
        if not text.startswith(CALL_END, closing):
            raise _Unreadable(_not_closed(text, closing))
        return _named_call(value, id), closing + len(CALL_END)
    except _Unreadable as error:
        end, following = _end_of_unreadable(text, start)
        name = _NAME.search(text, start, end)
        return ToolCall(id, name[1] if name else "", malformed=str(error)), following


def _end_of_unreadable(text: str, start: int) -> tuple[int, int]:
    """Where a call that cannot be read ends (its closing tag, the next call or the end), and where reading goes on."""
    closing, next_call = text.find(CALL_END, start), text.find(CALL, start)
    if closing >= 0 and not 0 <= next_call < closing:
        return closing, closing + len(CALL_END)
    end = next_call if next_call >= 0 else len(text)
    return end, end


def _named_call(value: Any, id: str) -> ToolCall:
    if not isinstance(value, dict):
        raise _Unreadable(f"a call is a JSON object with name and arguments, not {_kind(value)}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise _Unreadable('"name" is missing or not a string')
    try:
        return ToolCall(id, _encodable(name), _checked_arguments(value.get("arguments")))
    except _Unreadable as error:
        return ToolCall(id, _encodable(name, "?"), malformed=str(error))


def _checked_arguments(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        arguments = _parse_arguments(arguments)
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise _Unreadable(f"arguments have to be a JSON object, not {_kind(arguments)}")
    try:  # the journal keeps calls as JSON: an agent must not see more than a replay would
        kept: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(arguments))
    except (UnicodeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise _Unreadable(f"arguments hold what JSON cannot carry: {_one_line(str(error))}") from error
    return kept


def _parse_arguments(text: str) -> Any:
    value: Any = text
    for _ in range(2):  # some servers encode the arguments twice
        if not isinstance(value, str):
            break
        text = value
        if not text.strip():
            return None
        value, end = _read_json(text, _skip_space(text, 0))
        if text[end:].strip():
            raise _Unreadable(f"arguments go on after their JSON object, at character {end}: {_excerpt(text, end)}")
    return value


def _read_json(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends. Line breaks inside strings are let pass."""
    try:
        return _decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        where = f"at character {error.pos - start}: {_excerpt(text, error.pos)}"
        raise _Unreadable(f"not JSON: {error.msg} {where}") from error
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"not JSON: {_one_line(str(error))}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_decoder = json.JSONDecoder(strict=False, parse_constant=_no_constant)


def _not_closed(text: str, position: int) -> str:
    if not text[position:]:
        return f"{CALL} is not closed by {CALL_END}"
    return f"{CALL_END} is expected after the JSON object, not {_excerpt(text, position)}"


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _excerpt(text: str, position: int) -> str:
    """What stands around `position`, on one line; the fault is marked by ` >>> `."""
    before, after = text[max(0, position - EXCERPT) : position], text[position : position + EXCERPT]
    return _one_line(f"{before.rpartition(CALL)[2]} >>> {after.partition(CALL_END)[0] or 'the end'}")


def _one_line(text: str) -> str:
    return _encodable(" ".join(text.split()), "?")


def _encodable(text: str, replacement: str | None = None) -> str:
    """`text` as valid Unicode: half a surrogate pair is replaced, or refused where no `replacement` is given."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if replacement is None:
            raise _Unreadable(f"the name holds half a character: {_one_line(text)}") from error
        return text.encode(errors="replace").decode()
    return text


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return names.get(type(value), "a number")


# ------------------------------------------------------------------------------------------------------- rendering


def render_tools(schemas: Sequence[ToolSchema]) -> str:
    """The system block that Qwen and Hermes models were trained on; the empty string where there is no tool."""
    if not schemas:
        return ""
    signatures = "\n".join(_json({"type": "function", "function": msgspec.to_builtins(s)}) for s in schemas)
    return (
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{signatures}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        f"{CALL}{CALL_END} XML tags:\n"
        f'{CALL}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CALL_END}'
    )


def render_call(call: ToolCall) -> str:
    """A call as the model would have written it. A malformed one is shown without its arguments."""
    return f"{CALL}\n{_json({'name': call.name, 'arguments': call.arguments})}\n{CALL_END}"


def render_reply(text: str) -> str:
    """A tool's reply, as it is put into a user's message."""
    return f"<tool_response>\n{text}\n</tool_response>"


def _json(value: Any) -> str:
    """JSON with the spaces that chat templates put, which is what the models have seen."""
    return json.dumps(value, ensure_ascii=False)
