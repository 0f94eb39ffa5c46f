"""Roles are values, and what they are told is data.

    Role      which tools an agent holds and how far it may go: LEAD, SUB, SINGLE
    Profile   a folder of prompts: system and user texts per role and language, tool names and argument schemas,
              and every notice that wideseek says to a model (turn hints, budget notices, error replies)
    ToolFace  how one tool looks to a model: its schema, and where the tool's own arguments stand in it

A profile folder holds `lead.en.md`, `sub.en.md`, `single.en.md` (and `.zh.md`), `notices.en.toml` (and `.zh.toml`) and
`tools.toml`. What it lacks is taken from its own English file, then from `default`, so a folder with one file will do.
Texts use `$name` placeholders; a tool's placeholder (`$search`) is the name that the profile gives it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from wideseek.config import PROMPTS, built_in_prompts
from wideseek.errors import BadInput, ToolError
from wideseek.files import read_text
from wideseek.policy.base import ToolSchema
from wideseek.records import Language, Message

USER_MARK = "<!-- user -->"


class Role(msgspec.Struct, frozen=True):
    """What an agent holds and how far it may go.

    `max_calls` is per turn, where a call that carries a list counts once per item: for the lead it is the *width*.
    """

    name: str
    tools: tuple[str, ...]
    max_turns: int
    max_calls: int
    context_tokens: int = 32_000


LEAD = Role("lead", tools=("call_subagent",), max_turns=10, max_calls=10)
SUB = Role("sub", tools=("search", "access"), max_turns=20, max_calls=5)
SINGLE = Role("single", tools=("search", "access"), max_turns=50, max_calls=5)
SUMMARY = Role("summary", tools=(), max_turns=1, max_calls=0)


@dataclass(frozen=True)
class ToolFace:
    """A tool as one profile shows it.

    `each` names the argument that holds a list of which every item is one call; `arguments` maps the tool's own
    argument names to the profile's (the same name where it is not given; `""` is the item itself).
    """

    tool: str
    schema: ToolSchema
    each: str | None = None
    arguments: dict[str, str] = field(default_factory=dict)

    def calls(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """The tool's own arguments, one dict a call. Raises `ToolError` saying what does not fit the schema."""
        arguments = self._lenient(arguments)
        self._check(arguments)
        items = arguments[self.each] if self.each else [arguments]
        return [self._own(item) for item in items]

    def _lenient(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A single item where a list is asked for is a list of one: models often write it so."""
        if self.each and not isinstance(arguments.get(self.each, []), list):
            return {**arguments, self.each: [arguments[self.each]]}
        return arguments

    def _own(self, item: Any) -> dict[str, Any]:
        names = {theirs: own for own, theirs in self.arguments.items()}
        if "" in names:
            return {names[""]: item}
        return {names.get(name, name): value for name, value in item.items()}

    def _check(self, arguments: dict[str, Any]) -> None:
        if self._validator.is_valid(arguments):
            return
        from jsonschema.exceptions import best_match

        error = best_match(self._validator.iter_errors(arguments))
        if error is not None:
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
            raise ToolError(f"arguments{where}: {error.message}")

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.schema.parameters)


class Profile:
    """A folder of prompts. `Profile.load` takes a built-in name (`default`, `wideseek-r1`, `nano`) or a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self._faces: dict[tuple[str, tuple[str, ...]], dict[str, ToolFace]] = {}

    @classmethod
    def load(cls, name: str | Path) -> Profile:
        """Raises `BadInput` for a profile that does not exist or lacks a file, key or placeholder it needs."""
        built_in = built_in_prompts()
        folder = built_in.get(str(name), Path(name))
        if not any(folder.glob("*.md")) and not any(folder.glob("*.toml")):
            raise BadInput(
                f"prompts: {str(name)!r} is neither a built-in profile ({', '.join(built_in)}) nor a folder with "
                "prompts (lead.en.md, tools.toml ...)"
            )
        profile = cls(folder)
        for role in (LEAD, SUB, SINGLE, SUMMARY):
            profile.opening(role, "en", **dict.fromkeys(PLACEHOLDERS, ""))
        for name_ in NOTICES:
            profile.notice(name_, "en")
        return profile

    def opening(self, role: Role, language: Language, **values: object) -> list[Message]:
        """The system and user messages that an agent starts with."""
        path = self._find(role.name, "md", language)
        values |= {face.tool: name for name, face in self.faces(role).items()}
        system, mark, user = _text(path).partition(USER_MARK)
        if not mark:
            raise BadInput(f"{path}: needs a line {USER_MARK!r} before the user's message")
        return [Message("system", _fill(system, values, path)), Message("user", _fill(user, values, path))]

    def notice(self, name: str, language: Language, **values: object) -> str:
        """One of the texts that wideseek says to a model, by name (`NOTICES`)."""
        return _notice(self._find("notices", "toml", language), name).safe_substitute(values)

    def faces(self, role: Role) -> dict[str, ToolFace]:
        """The tools of a role by the name that the model calls them. A `[role.tool]` table overrides `[tool]`."""
        key = (role.name, tuple(role.tools))
        if key not in self._faces:
            faces = [self._face(role.name, tool) for tool in role.tools]
            self._faces[key] = {face.schema.name: face for face in faces}
        return self._faces[key]

    def _face(self, role: str, tool: str) -> ToolFace:
        path = self._find("tools", "toml")
        tables = _toml(path)
        table = tables.get(role, {}).get(tool) or tables.get(tool)
        if table is None:
            raise BadInput(f"{path}: [{tool}] is missing, which the role {role!r} needs")
        try:
            schema = msgspec.convert(
                {"name": tool, **{k: v for k, v in table.items() if k not in ("each", "arguments")}}, type=ToolSchema
            )
            return ToolFace(tool, schema, table.get("each"), table.get("arguments", {}))
        except msgspec.ValidationError as error:
            raise BadInput(f"{path}: [{tool}]: {error}") from error

    def _find(self, stem: str, suffix: str, language: Language | None = None) -> Path:
        return _find(self.folder, stem, suffix, language)


NOTICES = (
    "answer_wide",  # what the final answer must look like
    "answer_deep",
    "contract",  # $columns, $key: the columns that the user asked for
    "turn_hint",  # $turn, $max_turns: after every tool reply
    "last_turn",  # instead, when one turn is left
    "context_low",  # $used, $limit: tokens; answer soon
    "budget_closing",  # answer now with what you have
    "not_run_budget",  # the reply to a call that the budget refused
    "malformed_call",  # $problem
    "unknown_tool",  # $tool, $tools
    "bad_arguments",  # $tool, $problem
    "tool_failed",  # $problem
    "over_limit",  # $done, $asked, $limit: calls beyond the limit of a turn
    "search_hit",  # $number, $title, $url, $snippet
    "page",  # $title, $text
    "no_results",  # of a search
    "url_not_shown",
    "no_page",
    "page_cut",  # $limit: characters
    "subagent_result",  # $index, $task, $answer
    "subagent_failed",  # $index, $task, $problem
)
PLACEHOLDERS = (
    *("question", "task", "answer_format", "max_turns", "max_calls"),  # of every agent
    *("title", "text", "wanted"),  # of the summary of a page
)


def _fill(text: str, values: dict[str, object], path: Path) -> str:
    try:
        return Template(text).substitute({key: str(value) for key, value in values.items()}).strip()
    except KeyError as error:
        raise BadInput(f"{path}: ${error.args[0]} is not filled here; what is: ${', $'.join(values)}") from error
    except ValueError as error:
        raise BadInput(f"{path}: {error} (write $$ for a dollar sign)") from error


@cache
def _text(path: Path) -> str:
    return read_text(path)


@cache
def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: is not TOML: {error}") from error


@cache
def _find(home: Path, stem: str, suffix: str, language: Language | None) -> Path:
    names = [f"{stem}.{language}.{suffix}", f"{stem}.en.{suffix}"] if language else [f"{stem}.{suffix}"]
    paths = [folder / name for folder in (home, PROMPTS / "default") for name in names]
    return next(path for path in paths if path.is_file())


@cache
def _notice(path: Path, name: str) -> Template:
    text = _toml(path).get(name)
    if not isinstance(text, str):
        raise BadInput(f"{path}: the text {name!r} is missing")
    return Template(text.strip())
