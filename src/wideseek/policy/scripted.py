"""Policies without a model: a function as a policy, and the expert.

The expert answers the pocket world's questions by really searching and reading, through the same tools and the same loop as a
model. It understands questions by a small grammar (`policy/grammar.py`), never sees a gold answer, and says of every output
that no language model made it. It shows newcomers the whole system without a download, and later teaches the nano model.

Its subtasks and reports have fixed forms, so that a small model can learn them:

    list lighthouses of Denmark          ->  #1 Bovbjerg
                                             #2 Hanstholm
    get #1 Bovbjerg | height | year      ->  | #1 | Bovbjerg | 26 | 1877 |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from wideseek.policy.base import Sampling, ToolSchema
from wideseek.policy.grammar import Request, parse_question
from wideseek.records import Completion, Message, ToolCall, Trajectory

LABEL = "scripted expert, no language model"
Words = str | list[ToolCall]
"""What a script says in a turn: an answer, or calls."""


class Scripted:
    """A function as a policy: what it returns is what the agent says. For tests, and for scripts such as the expert."""

    version = 0
    sampling = Sampling()

    def __init__(
        self, say: Callable[[Trajectory, Sequence[ToolSchema]], Words], name: str = "scripted", label: str = LABEL
    ) -> None:
        self._say = say
        self.name, self.label = name, label

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        words = self._say(trajectory, tools)
        if isinstance(words, str):
            return Completion(text=words, model=self.name)
        return Completion(tool_calls=words, model=self.name)

    async def close(self) -> None:
        return None


class Expert(Scripted):
    """The scripted expert. Which part it plays follows from the tools it is offered, and from the form of its task."""

    def __init__(self) -> None:
        super().__init__(_play, name="expert")


def _play(trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Words:
    hands = _Hands(tools)
    if hands.delegate:
        return _Lead(trajectory, hands).say()
    if (subtask := _Subtask.read(trajectory.prompt)) is not None:
        return _Reader(trajectory, hands).say(subtask)
    return _Alone(trajectory, hands).say()


# ------------------------------------------------------------------------------------------------- reading and writing

_LISTED = re.compile(r"^#(\d+) +(\S.*?) *$", re.MULTILINE)
_REPORTED = re.compile(r"^\| *#(\d+) *\|(.*)\| *$", re.MULTILINE)
_FACT = re.compile(r"^([^:\n|#][^:\n]*?): +(\S.*?) *$", re.MULTILINE)
_URL = re.compile(r"https?://\S+")
_ANSWER_NOW = "answer now"  # what every English notice says to an agent that has to come to an end


class _Subtask(msgspec.Struct, frozen=True):
    """`list PHRASE`, or `get #NUMBER NAME | COLUMN | ...`."""

    name: str
    number: int = 0
    columns: list[str] = []

    @classmethod
    def read(cls, text: str) -> _Subtask | None:
        if text.startswith("list "):
            return cls(text.removeprefix("list "))
        match = re.fullmatch(r"get #(\d+) ([^|]+?)((?: \| [^|]+)+)", text)
        if match is None:
            return None
        return cls(match[2], int(match[1]), [part.strip() for part in match[3].split(" | ")[1:]])

    def __str__(self) -> str:
        if not self.columns:
            return f"list {self.name}"
        return f"get #{self.number} {' | '.join([self.name, *self.columns])}"


class _Hands:
    """The tools it is offered, known by their arguments: names and schemas are the prompt profile's."""

    def __init__(self, tools: Sequence[ToolSchema]) -> None:
        arguments = {_main_argument(tool.parameters): tool for tool in tools}
        self.search, self.access = arguments.get("query"), arguments.get("url")
        others = [tool for name, tool in arguments.items() if name not in ("query", "url")]
        self.delegate = others[0] if others else None


def _main_argument(schema: dict[str, Any]) -> str:
    """The name of the argument that carries the matter, inside a list if the tool takes one."""
    (name, *_) = schema["required"]
    items = schema["properties"][name].get("items", {})
    return _main_argument(items) if items.get("type") == "object" else str(name)


def _arguments(schema: dict[str, Any], values: list[str]) -> list[dict[str, Any]]:
    """The arguments of the calls that carry `values`: one call with a list where the tool takes one, else one each."""
    (name, *_) = schema["required"]
    items = schema["properties"][name].get("items")
    if items is None:
        return [{name: value} for value in values]
    if items.get("type") == "object":
        return [{name: [argument for value in values for argument in _arguments(items, [value])]}]
    return [{name: values}]


class _Conversation:
    """What has been said so far, as a script needs it."""

    def __init__(self, trajectory: Trajectory, hands: _Hands) -> None:
        self.trajectory, self.hands = trajectory, hands
        self.turn = len(trajectory.turns)

    @property
    def replies(self) -> list[Message]:
        return [m for m in self.trajectory.messages() if isinstance(m, Message) and m.role == "tool"]

    @property
    def hurried(self) -> bool:
        return any(_ANSWER_NOW in message.text.lower() for message in self.trajectory.pending)

    def exchanges(self, tool: ToolSchema | None) -> Iterator[tuple[str, str]]:
        """(the value asked for, the reply) of every call of `tool`, in order; failed calls have an empty reply."""
        replies = {message.call_id: message for message in self.replies}
        for turn in self.trajectory.turns:
            for call in turn.completion.tool_calls:
                if tool is not None and call.name == tool.name:
                    reply = replies.get(call.id)
                    value = re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(list(_leaves(call.arguments)), ensure_ascii=False))
                    yield json.loads(f'"{value[0]}"') if value else "", reply.text if reply and not reply.error else ""

    def calls(self, tool: ToolSchema, values: list[str]) -> list[ToolCall]:
        arguments = _arguments(tool.parameters, values)
        return [ToolCall(f"call_{self.turn}_{i}", tool.name, one) for i, one in enumerate(arguments)]
