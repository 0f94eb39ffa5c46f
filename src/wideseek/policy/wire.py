"""The wire of `/chat/completions`: what is sent of a conversation. How an answer is read stands in `reply`.

native_messages, native_tools   calls and their replies in OpenAI's form
text_messages                   without it: tools in the system's message, replies in the user's, calls in the text
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import render_call, render_reply, render_tools
from wideseek.policy.marks import without_marks
from wideseek.records import Completion, Message, Trajectory

encode = msgspec.json.Encoder().encode


# ------------------------------------------------------------------------------------------------------------- out


def native_tools(tools: Sequence[ToolSchema]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": schema} for schema in tools]


def native_messages(trajectory: Trajectory, *, sent_back: bool = True) -> list[dict[str, Any]]:
    """The conversation in OpenAI's fields, and what its server wants `sent_back`: reasoning, signatures of thoughts."""
    return [
        _native_turn(said, sent_back) if isinstance(said, Completion) else _native_message(said)
        for said in trajectory.messages()
    ]


def _native_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id or "", "content": without_marks(message.text)}
    return {"role": message.role, "content": message.text}


def _native_turn(completion: Completion, sent_back: bool) -> dict[str, Any]:
    """An assistant's message. Malformed calls are in it, so that their error replies have an id to refer to."""
    turn: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if sent_back:
        turn |= completion.sent_back
    if completion.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": _allowed_name(call.name), "arguments": encode(call.arguments).decode()},
                **(call.sent_back if sent_back else {}),
            }
            for call in completion.tool_calls
        ]
    return turn


def sent_back(messages: Sequence[dict[str, Any]]) -> set[str]:
    """The names of the fields in `messages` that go back to the server as it gave them."""
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    own = {"role", "content", "tool_calls", "tool_call_id", "id", "type", "function"}
    return {name for one in (*messages, *calls) for name in one} - own


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
            replies.append(render_reply(without_marks(said.text)))
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
