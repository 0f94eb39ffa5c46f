"""Calls that a model writes in another dialect than `<tool_call>{...}</tool_call>`, rewritten into that form.

    {"name": ..., "parameters": {...}}                       bare JSON, as the whole text; Llama's <|python_tag|> too
    <function=NAME>{...}</function>, <parameter=KEY>         Llama's and Qwen3-Coder's
    <tool_call>NAME <arg_key>KEY</arg_key><arg_value>...     GLM's
    [TOOL_CALLS][{...}], [TOOL_CALLS]NAME[ARGS]{...}         Mistral's
    <|tool_call_begin|>functions.NAME:0 ...                  Kimi's
    <｜tool▁call▁begin｜>NAME<｜tool▁sep｜> ...                 DeepSeek's

They come as text where a server has no parser for its model. Arguments that cannot be read stay as they are, so that
`calls.read_calls` finds what is wrong with them and the model is told. Values between tags have no quotes: the tool's
schema says whether `1984` is a text or a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import CALL, CALL_END, read_calls
from wideseek.records import ToolCall

# What stands between two marks never holds the opening one: each search ends there, however often a model repeats it.
_NAME = r"([\w.-]{1,64})"
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")
_FUNCTION = re.compile(rf"(?:<tool_call>\s*)?<function={_NAME}>(.*?)(?:</function>|\Z)(?:\s*</tool_call>)?", re.DOTALL)
_PARAMETER = re.compile(rf"<parameter={_NAME}>((?:(?!<parameter=).)*?)</parameter>", re.DOTALL)
_GLM = re.compile(rf"<tool_call>\s*{_NAME}\s*((?:<arg_key>(?:(?!<tool_call>).)*?)?)</tool_call>", re.DOTALL)
_GLM_ARGUMENT = re.compile(
    r"<arg_key>((?:(?!<arg_key>).)*?)</arg_key>\s*<arg_value>((?:(?!<arg_key>).)*?)</arg_value>", re.DOTALL
)
_WITH_NAME = (
    re.compile(rf"\[TOOL_CALLS\]\s*{_NAME}(?:\[CALL_ID\]\w+)?\[ARGS\](.*?)(?=\[TOOL_CALLS\]|</s>|\Z)", re.DOTALL),
    re.compile(
        rf"<\|tool_call_begin\|>\s*(?:functions\.)?{_NAME}(?::\d+)?\s*<\|tool_call_argument_begin\|>(.*?)"
        r"(?:<\|tool_call_end\|>|\Z)",
        re.DOTALL,
    ),
    re.compile(
        rf"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?{_NAME}(?:<｜tool▁sep｜>|\s)(.*?)(?:<｜tool▁call▁end｜>|\Z)",
        re.DOTALL,
    ),
)
_JSON_AFTER = re.compile(
    r"(?:\[TOOL_CALLS\]|<\|python_tag\|>)\s*(?=[\[{])(.*?)(?=</s>|<\|eom_id\|>|<\|eot_id\|>|\Z)", re.DOTALL
)
_FRAMES = re.compile(r"<\|tool_calls_section_(?:begin|end)\|>|<｜tool▁calls▁(?:begin|end)｜>|<\|eo[mt]_id\|>")


def read_written(text: str, turn: int, tools: Sequence[ToolSchema]) -> tuple[str, list[ToolCall]]:
    """The text without its calls, in whichever dialect, and the calls in order, as `calls.read_calls` gives them.

    Other dialects than `<tool_call>{...}</tool_call>` are read only where `tools` were offered.
    """
    return read_calls(in_one_dialect(text, tools) if tools else text, turn)


def in_one_dialect(text: str, tools: Sequence[ToolSchema] = ()) -> str:
    """`text` with the calls of other dialects in `<tool_call>` tags; any other text unchanged."""
    types = {tool.name: tool.parameters.get("properties", {}) for tool in tools}
    bare = _calls_of_json(_FENCE.sub("", text.strip()), alone=True)
    if bare:
        return bare
    for pattern in _WITH_NAME:
        text = pattern.sub(lambda found: _call(found[1], _FENCE.sub("", found[2].strip())), text)
    text = _JSON_AFTER.sub(lambda found: _calls_of_json(found[1]), text)
    text = _FUNCTION.sub(lambda found: _call(found[1], _parameters(found[2], types.get(found[1], {}))), text)
    text = _GLM.sub(
        lambda found: _call(found[1], json.dumps(_values(_GLM_ARGUMENT.findall(found[2]), types.get(found[1], {})))),
        text,
    )
    return _FRAMES.sub("", text)


def _call(name: str, arguments: str) -> str:
    return f'{CALL}{{"name": {json.dumps(name)}, "arguments": {arguments or "{}"}}}{CALL_END}'


def _calls_of_json(text: str, *, alone: bool = False) -> str:
    """The calls of a JSON object or list; what is none is nothing where it stands `alone`, else a malformed call."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return "" if alone else f"{CALL}{text}{CALL_END}"
    calls = [_object(one) for one in (value if isinstance(value, list) else [value])]
    known = [call for call in calls if call]
    if alone and len(known) != len(calls):
        return ""
    return "\n".join(known)


def _object(value: Any) -> str:
    """The call that a JSON object is: a name, and arguments by either word; empty for any other."""
    if not isinstance(value, dict):
        return ""
    value = value["function"] if isinstance(value.get("function"), dict) else value
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(value.get("name"), str) or not isinstance(arguments, dict | str):
        return ""
    return _call(value["name"], json.dumps(arguments))


def _parameters(body: str, types: dict[str, Any]) -> str:
    named = _PARAMETER.findall(body)
    return json.dumps(_values(named, types)) if named else body.strip()


def _values(named: list[tuple[str, str]], types: dict[str, Any]) -> dict[str, Any]:
    return {key.strip(): _value(text.strip(), types.get(key.strip())) for key, text in named}


def _value(text: str, schema: Any) -> Any:
    """A value written without quotes: a text where its schema takes texts, else JSON where it is JSON."""
    allowed = _types(schema)
    if "string" in allowed and not (text == "null" and "null" in allowed):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _types(schema: Any) -> set[str]:
    """The JSON types that a schema allows; empty where it does not say."""
    if not isinstance(schema, dict):
        return set()
    own = schema.get("type", [])
    either = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {own} if isinstance(own, str) else set(own).union(*map(_types, either))
