"""Policies without a model: a function as a policy, and the expert.

The expert answers the pocket world's questions by really searching and reading, through the same tools and the same
loop as a model. It understands questions by a small grammar (`policy/grammar.py`), never sees a gold answer, and says
of every output that no language model made it. It shows newcomers the whole system without a download, and later
teaches the nano model.

Its subtasks and reports have fixed forms, so that a small model can learn them:

    list lighthouses of Denmark              ->  #1 Bovbjerg
                                                 #2 Hanstholm
    get #1 Bovbjerg | height | year          ->  | #1 | Bovbjerg | 26 | 1877 |
    get #1 Bovbjerg | height | year > 1900   ->  #1 no

`Expert(TEACHING)` is how it teaches: it does not sign, it notes what it reads before it reports, and its tables keep
the members' numbers, in a column without a name (an index, which readers drop).
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import unquote

import msgspec

from wideseek.policy.base import Sampling, ToolSchema
from wideseek.policy.grammar import Extreme, Filter, Op, Request, first_number, parse_question
from wideseek.records import Completion, Message, ToolCall, Trajectory, Usage
from wideseek.table import Table

TRUNCATED = 3  # members in a truncated list
LABEL = "scripted expert, no language model"
Words = str | list[ToolCall] | Completion
"""What a script says in a turn: an answer, calls, or both with a thought before."""


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
        if isinstance(words, Completion):
            return words
        said = {"text": words} if isinstance(words, str) else {"tool_calls": words}
        return Completion(model=self.name, usage=Usage(calls=1), **said)

    async def close(self) -> None:
        return None


class Habits(msgspec.Struct, frozen=True):
    """Bad habits: with which probability an agent has each, drawn from its seed.

    `direct`: the lead writes the table from the list alone. `truncated`: a list is reported up to its third member.
    `lumped`: the lead puts two members into one subtask, of which a reader looks up the first, and does not ask again.
    `unread`: a reader reports without opening a page.
    """

    direct: float = 0.0
    truncated: float = 0.0
    lumped: float = 0.0
    unread: float = 0.0

    def has(self, habit: str, trajectory: Trajectory) -> bool:
        chance: float = getattr(self, habit)
        return chance > 0 and random.Random(f"{trajectory.seed}/{habit}").random() < chance


class Manner(msgspec.Struct, frozen=True):
    """How the expert works and says what it has found out.

    `signed`: its answers say that no language model made them. `numbered`: its tables keep the members' numbers.
    `thinks`: it notes the facts that it needs before it reports or compares. `habits`: what it does worse than it can.
    """

    signed: bool = True
    numbered: bool = False
    thinks: bool = False
    habits: Habits = Habits()


TEACHING = Manner(signed=False, numbered=True, thinks=True)
WEAK = msgspec.structs.replace(TEACHING, habits=Habits(direct=0.12, truncated=0.3, lumped=0.3, unread=0.25))
"""A weak teacher: who learns from it copies well and works badly, and has something left for reinforcement learning."""


class Expert(Scripted):
    """The scripted expert. Which part it plays follows from the tools it is offered, and from the form of its task."""

    def __init__(self, manner: Manner | None = None) -> None:
        self.manner = manner or Manner()
        super().__init__(self._play, name="expert", label=LABEL if self.manner.signed else "")

    def _play(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Words:
        hands = _Hands(tools)
        if hands.delegate:
            return _Lead(trajectory, hands, self.manner).say()
        if (subtask := _Subtask.read(trajectory.prompt)) is not None:
            return _Reader(trajectory, hands, self.manner).say(subtask)
        return _Alone(trajectory, hands, self.manner).say()


# ------------------------------------------------------------------------------------------------- reading and writing

_LISTED = re.compile(r"^#(\d+) +(\S.*?) *$", re.MULTILINE)
_REPORTED = re.compile(r"^\| *#(\d+) *\|(.*)\| *$", re.MULTILINE)
_RULED_OUT = re.compile(r"^#(\d+) no *$", re.MULTILINE)
_FACT = re.compile(r"^([^:\n|#][^:\n]*?): +(\S.*?) *$", re.MULTILINE)
_URL = re.compile(r"https?://\S+")
_ANSWER_NOW = "answer now"  # what every English notice says to an agent that has to come to an end


class _Subtask(msgspec.Struct, frozen=True):
    """`list PHRASE`, or `get #NUMBER NAME | COLUMN | ... | COLUMN > VALUE`; a test comes last, if there is one."""

    name: str
    number: int = 0
    columns: list[str] = []
    test: Filter | None = None

    @classmethod
    def read(cls, text: str) -> _Subtask | None:
        if text.startswith("list "):
            return cls(text.removeprefix("list "))
        match = re.fullmatch(r"get #(\d+) ([^|]+?)(?: & #[^|]+?)?((?: \| [^|]+)+)", text)
        if match is None:
            return None
        *columns, last = [part.strip() for part in match[3].split(" | ")[1:]]
        tested = re.fullmatch(r"(.+?) ([=<>]) (.+)", last)
        if tested is None:
            return cls(match[2], int(match[1]), [*columns, last])
        return cls(match[2], int(match[1]), columns, Filter(tested[1], _OPERATORS[tested[2]], tested[3]))

    def __str__(self) -> str:
        if not self.columns and not self.test:
            return f"list {self.name}"
        test = [f"{self.test.column} {_SIGNS[self.test.op]} {self.test.value}"] if self.test else []
        return f"get #{self.number} {' | '.join([self.name, *self.columns, *test])}"


_SIGNS: dict[Op, str] = {"is": "=", "above": ">", "below": "<"}
_YES_NO = {True: "yes", False: "no"}
_OPERATORS: dict[str, Op] = {sign: op for op, sign in _SIGNS.items()}


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
        self.hands = hands
        self.question = trajectory.prompt
        self.trajectory = trajectory
        self._replies = [m for m in trajectory.messages() if isinstance(m, Message) and m.role == "tool"]

    @property
    def turns(self) -> int:
        return len(self.trajectory.turns)

    @property
    def pending(self) -> list[Message]:
        return self.trajectory.pending

    @property
    def told(self) -> str:
        """All that tools have replied."""
        return "\n".join(message.text for message in self._replies)

    @property
    def stuck(self) -> bool:
        """Whether every call of the last turn failed: then asking again is pointless."""
        return bool(self.pending) and all(message.error for message in self.pending)

    @property
    def hurried(self) -> bool:
        return any(_ANSWER_NOW in message.text.lower() for message in self.pending)

    def exchanges(self, tool: ToolSchema) -> Iterator[tuple[str, str]]:
        """(the value asked for, the reply) of every call of `tool` that was run and did not fail, in order."""
        replies = {message.call_id: message for message in self._replies if not message.error}
        for turn in self.trajectory.turns:
            for call in turn.completion.tool_calls:
                if call.name == tool.name and call.id in replies:
                    yield _main_value(call.arguments), replies[call.id].text

    def calls(self, tool: ToolSchema, values: list[str]) -> list[ToolCall]:
        arguments = _arguments(tool.parameters, values)
        return [ToolCall(f"call_{self.turns}_{i}", tool.name, one) for i, one in enumerate(arguments)]


def _main_value(arguments: Any) -> str:
    """The text that a call of one item carries."""
    while not isinstance(arguments, str):
        arguments = next(iter(arguments.values() if isinstance(arguments, dict) else arguments), "")
    return arguments


# ------------------------------------------------------------------------------------------------------ the parts


@dataclass
class _Found:
    """What is known so far: members by number, facts (column -> value) of those that pass the test, who does not."""

    members: dict[int, str] = field(default_factory=dict)
    facts: dict[int, dict[str, str]] = field(default_factory=dict)
    ruled_out: set[int] = field(default_factory=set)

    @property
    def missing(self) -> list[int]:
        return [number for number in self.members if number not in self.facts and number not in self.ruled_out]


def _answer(request: Request, found: _Found, manner: Manner) -> Completion:
    """The last words: a table, or a box."""
    tested = request.filter is not None
    numbers = [n for n in found.members if n in found.facts or not (tested or n in found.ruled_out)]
    if request.kind == "wide":
        return _said(f"```markdown\n{_table(request, found, numbers, manner)}\n```", manner)
    best = _running_best(request, found, numbers)
    chosen = best[-1][0] if best else numbers[0] if numbers and not request.extreme else None
    name = found.members[chosen] if chosen else ""
    value = found.facts.get(chosen, {}).get(request.columns[0], "") if chosen and request.columns else name
    if not value:
        return _said("nothing fits the question", manner)
    thought = "\n".join(f"#{number} {value}" for number, value in best) if manner.thinks else ""
    return _said(f"\\boxed{{{value}}}", manner, name, thought)


def _said(text: str, manner: Manner, name: str = "", thought: str = "") -> Completion:
    if manner.signed:
        text = f"By the {LABEL}{f': {name}' if name else ''}.\n\n{text}"
    return Completion(text=text, reasoning=thought, model="expert", usage=Usage(calls=1))


def _table(request: Request, found: _Found, numbers: list[int], manner: Manner) -> str:
    rows = [[found.members[n], *(found.facts.get(n, {}).get(c, "") for c in request.columns)] for n in numbers]
    columns = ["name", *request.columns]
    if manner.numbered:
        columns = ["", *columns]
        rows = [[f"#{number}", *row] for number, row in zip(numbers, rows, strict=True)]
    return Table(columns, rows).to_markdown()


def _running_best(request: Request, found: _Found, numbers: list[int]) -> list[tuple[int, str]]:
    """Member by member the best so far in the asked end of a column, with its value; empty without an extreme."""
    if not request.extreme:
        return []
    column, end = request.extreme
    best: list[tuple[int, str]] = []
    for number in numbers:
        value = found.facts.get(number, {}).get(column, "")
        if best and not _is_beyond(value, best[-1][1], end):
            best.append(best[-1])
        elif first_number(value) is not None:
            best.append((number, value))
    return best


def _is_beyond(value: str, other: str, end: Extreme) -> bool:
    number, bound = first_number(value), first_number(other)
    if number is None or bound is None:
        return False
    return number > bound if end == "highest" else number < bound


def _columns_needed(request: Request) -> list[str]:
    """The columns to look up: those asked for, then what the comparison needs."""
    extreme = [request.extreme[0]] if request.extreme else []
    return list(dict.fromkeys([*request.columns, *extreme]))


def _not_understood(question: str) -> str:
    return (
        f"The {LABEL}, reads only plain questions about the lists of the bundled pocket world, and could not read this "
        f"one: {' '.join(question.split())[:200]}. For other questions choose a language model (--model openai/NAME, "
        "--model http://HOST:PORT/v1#NAME) and your own pages (--corpus FOLDER)."
    )


def _not_found(what: str) -> str:
    return (
        f"The {LABEL}, found no list of {what} in this corpus. It knows the bundled pocket world only: `wideseek tasks "
        "pocket` shows what can be asked. For other questions choose a language model (--model) and your own pages "
        "(--corpus)."
    )


class _Lead:
    """Has the list found, then every member looked up, as often as that brings something new."""

    def __init__(self, trajectory: Trajectory, hands: _Hands, manner: Manner) -> None:
        self.talk = _Conversation(trajectory, hands)
        self.hands, self.manner = hands, manner

    def say(self) -> Words:
        request = parse_question(self.talk.question)
        if request is None:
            return _not_understood(self.talk.question)
        columns = _columns_needed(request)
        if self.talk.turns == 0:
            first = _Subtask(request.member, 1, columns) if request.member else _Subtask(request.phrase)
            return self._delegate([first])
        found = self._found(request, columns)
        if not found.members:
            return _not_found(request.phrase or request.member)
        if request.kind == "wide" and self.manner.habits.has("direct", self.talk.trajectory):
            return _answer(replace(request, filter=None), found, self.manner)
        asking = columns or request.filter
        if asking and found.missing and not self.talk.hurried and self._is_worth_asking(found):
            wanted = [_Subtask(found.members[n], n, columns, request.filter) for n in found.missing]
            return self._delegate(self._lumped(wanted))
        return _answer(request, found, self.manner)

    def _found(self, request: Request, columns: list[str]) -> _Found:
        told = self.talk.told
        ruled_out = {int(number) for number in _RULED_OUT.findall(told)}
        found = _Found({int(n): name for n, name in _LISTED.findall(told) if name != "no"}, {}, ruled_out)
        for number, cells in _REPORTED.findall(told):
            name, *values = [cell.strip() for cell in cells.split("|")]
            if request.member:
                found.members.setdefault(int(number), name)
            if found.members.get(int(number)) == name and (any(values) or request.filter):
                found.facts[int(number)] = dict(zip(columns, values, strict=False))
        return found

    def _is_worth_asking(self, found: _Found) -> bool:
        """Whether the last round brought something: the list, or a member that was missing."""
        if self.talk.turns > 1 and self.manner.habits.has("lumped", self.talk.trajectory):
            return False
        last = "\n".join(message.text for message in self.talk.pending)
        return bool(_LISTED.search(last) or any(int(n) in found.facts for n, _ in _REPORTED.findall(last)))

    def _lumped(self, subtasks: list[_Subtask]) -> list[_Subtask]:
        """Two members in one subtask, where that is this lead's habit."""
        if not self.manner.habits.has("lumped", self.talk.trajectory):
            return subtasks
        pairs = zip(subtasks[::2], subtasks[1::2], strict=False)
        lumped = [msgspec.structs.replace(a, name=f"{a.name} & #{b.number} {b.name}") for a, b in pairs]
        return lumped + subtasks[2 * len(lumped) :]

    def _delegate(self, subtasks: list[_Subtask]) -> Words:
        assert self.hands.delegate is not None
        return self.talk.calls(self.hands.delegate, [str(subtask) for subtask in subtasks])


class _Reader:
    """Searches for one page and reports what is on it; looks at the next hit where a page is not the one."""

    def __init__(self, trajectory: Trajectory, hands: _Hands, manner: Manner) -> None:
        self.talk = _Conversation(trajectory, hands)
        self.hands, self.manner = hands, manner

    def say(self, subtask: _Subtask) -> Words:
        if self.hands.search is None or self.hands.access is None:
            return f"The {LABEL}, needs a tool to search and one to read."
        pages = list(self.talk.exchanges(self.hands.access))
        for url, text in pages:
            report = _report(subtask, url, text, self.manner)
            if report:
                return self._as_is_its_habit(report)
        if self.talk.turns == 0:
            return self.talk.calls(self.hands.search, [subtask.name])
        if subtask.number and self.manner.habits.has("unread", self.talk.trajectory):
            return f"| {' | '.join([f'#{subtask.number}', subtask.name, *('unknown' for _ in subtask.columns)])} |"
        left = [url for url in self._hits(subtask) if url not in dict(pages)]
        if not left or self.talk.hurried or self.talk.stuck:
            return f"none: the {LABEL}, found no page of {subtask.name}" if self.manner.signed else "none"
        return self.talk.calls(self.hands.access, left[:1])

    def _as_is_its_habit(self, report: Completion) -> Completion:
        members = _LISTED.findall(report.text)
        if not members or not self.manner.habits.has("truncated", self.talk.trajectory):
            return report
        return msgspec.structs.replace(report, text="\n".join(report.text.splitlines()[:TRUNCATED]))

    def _hits(self, subtask: _Subtask) -> list[str]:
        """The urls found, those that are called like what is wanted first."""
        assert self.hands.search is not None
        urls = [url for _, reply in self.talk.exchanges(self.hands.search) for url in _URL.findall(reply)]
        return sorted(dict.fromkeys(urls), key=lambda url: -_likeness(url, subtask.name))


def _report(subtask: _Subtask, url: str, text: str, manner: Manner) -> Completion | None:
    """What a page says for a subtask; nothing where it is another page."""
    if not subtask.number:
        members = _LISTED.findall(text) if _is_called_like(url, subtask.name) else []
        listed = "\n".join(f"#{number} {name}" for number, name in members)
        return Completion(text=listed, model="expert", usage=Usage(calls=1)) if listed else None
    facts = _facts(text)
    if not _is_called(url, subtask.name) or not facts:
        return None
    values = [_value(facts, column) for column in subtask.columns]
    notes = [f"{column}: {value}" for column, value in zip(subtask.columns, values, strict=True)]
    report = f"| {' | '.join([f'#{subtask.number}', subtask.name, *values])} |"
    if subtask.test:
        tested = _value(facts, subtask.test.column)
        passes = subtask.test.holds(tested)
        steps = "" if subtask.test.op == "is" else _compared(tested, subtask.test.value)
        notes.append(
            f"{subtask.test.column}: {tested} {_SIGNS[subtask.test.op]} {subtask.test.value}: {steps}{_YES_NO[passes]}"
        )
        report = report if passes else f"#{subtask.number} no"
    thought = "\n".join(notes) if manner.thinks else ""
    return Completion(text=report, reasoning=thought, model="expert", usage=Usage(calls=1))


def _compared(value: str, bound: str) -> str:
    """How two numbers compare, in steps that a small model can take: how many digits each has before the point, then
    digit by digit, until they differ (8,460 and 15,000: `4 5 <: `; 18,360 and 15,000: `5 5 =, 1 1 =, 8 5 >: `)."""
    numbers = [number for number in (first_number(value), first_number(bound)) if number is not None and number >= 0]
    if len(numbers) < 2:
        return ""
    (one, one_part), (other, other_part) = (f"{number:f}".rstrip("0").split(".") for number in numbers)
    pairs = [
        (str(len(one)), str(len(other))),
        *zip(one, other, strict=False),
        *zip_longest(one_part, other_part, fillvalue="0"),
    ]
    differ = next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
    return f"{', '.join(f'{a} {b} {_relation(int(a), int(b))}' for a, b in pairs[: differ + 1])}: "


def _relation(one: int, other: int) -> str:
    return "=" if one == other else ">" if one > other else "<"


def _value(facts: dict[str, str], column: str) -> str:
    """The fact called `column`, a plural s aside; empty where the page does not name it so."""
    return facts.get(column) or facts.get(column.removesuffix("s"), "")


def _facts(text: str) -> dict[str, str]:
    return {key.strip().lower(): value for key, value in _FACT.findall(text)}


def _is_called(url: str, name: str) -> bool:
    return _likeness(url, name) > 0


def _likeness(url: str, name: str) -> int:
    """2 where the last part of a url is the slug of `name`, 1 where a number follows that tells equal slugs apart."""
    slug, wanted = _last_part(url), _letters(name)
    return 2 if _letters(slug) == wanted else int(_letters(re.sub(r"-\d+$", "", slug)) == wanted)


def _is_called_like(url: str, phrase: str) -> bool:
    """Whether a url names a list in a person's words: the same ones, but for small words, order and a plural s."""
    return _is_called(url, phrase) or _content_words(_last_part(url)) == _content_words(phrase)


def _content_words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.casefold())
    return sorted(word.removesuffix("s") for word in words if word not in {"the", "a", "an", "of", "in", "all"})


def _last_part(url: str) -> str:
    return unquote(url).rstrip("/").rpartition("/")[2]


def _letters(text: str) -> str:
    """Letters, their marks and digits alone: what is left of a name when it becomes part of a url."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in text if unicodedata.category(char)[0] in "LMN")


class _Alone:
    """Does the lead's and the readers' work in one context: search the list, read it, search and read every member."""

    def __init__(self, trajectory: Trajectory, hands: _Hands, manner: Manner) -> None:
        self.talk = _Conversation(trajectory, hands)
        self.hands, self.manner = hands, manner

    def say(self) -> Words:
        request = parse_question(self.talk.question)
        if request is None or self.hands.search is None or self.hands.access is None:
            return _not_understood(self.talk.question)
        columns = _columns_needed(request)
        searched = dict(self.talk.exchanges(self.hands.search))
        pages = dict(self.talk.exchanges(self.hands.access))
        found = self._found(request, pages, columns)
        if not found.members:
            return self._look_up([request.phrase], searched, pages) or _not_found(request.phrase)
        wanted = [found.members[n] for n in found.missing] if columns or request.filter else []
        return self._look_up(wanted, searched, pages) or _answer(request, found, self.manner)

    def _found(self, request: Request, pages: dict[str, str], columns: list[str]) -> _Found:
        if request.member:
            members = {1: request.member}
        else:
            lists = [_LISTED.findall(text) for url, text in pages.items() if _is_called_like(url, request.phrase)]
            members = {int(number): name for number, name in next((found for found in lists if found), [])}
        found = _Found(members)
        for number, name in members.items():
            read = self._read(name, pages)
            if read and request.filter and not request.filter.holds(_value(read, request.filter.column)):
                found.ruled_out.add(number)
            elif read:
                found.facts[number] = {column: _value(read, column) for column in columns}
        return found

    def _read(self, name: str, pages: dict[str, str]) -> dict[str, str]:
        """The facts on the page that is called most like `name`, among those opened."""
        urls = sorted((url for url in pages if _is_called(url, name)), key=lambda url: -_likeness(url, name))
        return next((facts for url in urls if (facts := _facts(pages[url]))), {})

    def _look_up(self, names: list[str], searched: dict[str, str], pages: dict[str, str]) -> list[ToolCall]:
        """The next calls for what is called `names`: read what was found, else search; none where all was tried."""
        assert self.hands.search is not None
        assert self.hands.access is not None
        if self.talk.hurried or self.talk.stuck:
            return []
        to_read = []
        for name in names:
            urls = sorted(_URL.findall(searched.get(name, "")), key=lambda url: -_likeness(url, name))
            to_read += [url for url in urls if url not in pages][:1]
        if to_read:
            return self.talk.calls(self.hands.access, list(dict.fromkeys(to_read)))
        return self.talk.calls(self.hands.search, [name for name in names if name not in searched])
