"""The records of wideseek: what is read and written between its parts, one JSON object a line.

    Task        a question, with its gold answer where it has one
    Message     one message of an agent's conversation
    ToolCall    what the model asked a tool to do
    Completion  what the model said in one turn: text, reasoning, tool calls; token ids and logprobs where known
    Turn        the messages appended since the last turn, and the completion that followed (a delta, see below)
    Trajectory  one agent: its role, its place in the agent tree, its turns and why it stopped
    Rollout     one attempt at a task: trajectories lead first, the answer, the pages read, the error if any
    Score       how good an answer is: one value, the figures behind it, row by row what is wrong

Rollout ⊃ Trajectory ⊃ Turn are the paper's indices *i*, *a*, *t* (arXiv 2602.04634, section 3). A `Turn` stores what
was appended, never the whole history: concatenating a trajectory's turns gives the exact sequence that was sampled.
"""

from __future__ import annotations

import gzip
import re
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from wideseek.errors import BadInput, RunDirError
from wideseek.files import not_utf8, read_own

Kind = Literal["wide", "deep"]
Language = Literal["en", "zh"]
Stop = Literal["answer", "max_turns", "turn_cap", "context", "cut", "budget", "error"]


# ---------------------------------------------------------------------------------------------------------- tasks


class Task(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A question and, where known, its gold answer. `query` is read as `question`.

    `answer` is a fenced markdown table (`kind="wide"`) or a list of accepted strings (`kind="deep"`).
    `unique_columns` is the key, `required` the columns in order; `evaluation` is WideSearch's per-column pipeline.
    """

    instance_id: str = ""
    question: str = ""
    language: Language | None = None
    kind: Kind | None = None
    answer: str | list[str] | None = None
    unique_columns: list[str] = []
    required: list[str] = []
    evaluation: dict[str, Any] | None = None
    is_markdown: bool | None = None
    split: str | None = None
    meta: dict[str, Any] = {}
    query: str | None = None

    def __post_init__(self) -> None:
        if self.query is not None:
            self.question, self.query = self.question or self.query, None
        self.language = self.language or language_of(self.question)
        self.kind = self.kind or _kind_of(self)


def language_of(text: str) -> Language:
    """`zh` where a fifth of the letters or more are Chinese characters, else `en`."""
    letters = [c for c in text if c.isalpha()]
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in letters)
    return "zh" if letters and chinese * 5 >= len(letters) else "en"


def _kind_of(task: Task) -> Kind:
    if isinstance(task.answer, list) or task.is_markdown is False:
        return "deep"
    return "wide"


# ----------------------------------------------------------------------------------------------------------- turns


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
"""Bounds of what is read: sums and means of such numbers stay numbers."""


class Usage(msgspec.Struct, omit_defaults=True, gc=False):
    """What one or more model calls consumed. Tokens are counted by the server, or estimated where it does not say."""

    calls: Count = 0
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    usd: Amount = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
        )


class ToolCall(msgspec.Struct, omit_defaults=True):
    """A call as the model wrote it. `malformed` says what is wrong with a call that could not be read.

    `sent_back` has further fields of the server's, which it wants back as they are with the next request.
    """

    id: str
    name: str
    arguments: dict[str, Any] = {}
    malformed: str | None = None
    sent_back: dict[str, Any] = {}


class Message(msgspec.Struct, omit_defaults=True, gc=False):
    """One message to the model. A tool's reply names its `call_id`; `error` marks a reply that reports a failure."""

    role: Literal["system", "user", "tool"]
    text: str
    call_id: str | None = None
    error: bool = False


class Completion(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the model said in one turn.

    `truncated` says which limit cut it off: of the turn's tokens, of the context, or (`cut`) something else that the
    server did (a content filter, a stream that broke), and then `ending` has the server's word for it.

    `sent_back` has further fields of the server's message (reasoning, signatures of thoughts), which it wants back as
    they are with the next request.

    `usage` counts all requests of the turn; where it was asked for more than once, `last_usage` counts the last alone,
    which is what the context holds.

    `completion_ids` and `logprobs` (one float per id, natural log, at the sampling temperature) and `prompt_ids` (the
    ids appended before it) are `None` where the backend speaks text only. `version` counts the weight updates of the
    model that said it: the oldest, where the weights changed meanwhile, and then `versions` has the one that sampled
    each id.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = []
    truncated: Literal["turn_cap", "context", "cut"] | None = None
    ending: str = ""
    sent_back: dict[str, Any] = {}
    usage: Usage = msgspec.field(default_factory=Usage)
    last_usage: Usage | None = None
    model: str = ""
    version: int = 0
    prompt_ids: list[int] | None = None
    completion_ids: list[int] | None = None
    logprobs: list[float] | None = None
    versions: list[int] | None = None

    @property
    def held(self) -> Usage:
        """What the context holds: the prompt and the answer of the last request."""
        return self.last_usage or self.usage


class Turn(msgspec.Struct, omit_defaults=True):
    """The messages appended since the last turn, and what the model then said. `seconds` is the model's wall time."""

    messages: list[Message]
    completion: Completion
    seconds: float = 0.0
    trainable: bool = True


class Trajectory(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One agent's whole conversation.

    `path` is its place in the agent tree: `lead`, then `lead/2.7` for the seventh subagent of the lead's second turn.
    `prompt` is its question or subtask, `context_tokens` the length it may grow to, `seed` its own (derived from its
    place). `pending` holds the messages that the model has not answered yet; `read` the urls whose pages it opened;
    `hurried` is set once it was told to answer because the budget was nearly spent.
    """

    role: str
    path: str = "lead"
    prompt: str = ""
    context_tokens: int = 32_000
    seed: int = 0
    turns: list[Turn] = []
    pending: list[Message] = []
    read: list[str] = []
    stop: Stop | None = None
    error: str | None = None
    hurried: bool = False
    tool_usage: Usage = msgspec.field(default_factory=Usage)
    seconds: float = 0.0

    def add(self, completion: Completion, seconds: float = 0.0) -> Completion:
        """Append the turn in which the model answered what was pending."""
        self.turns.append(Turn(self.pending, completion, seconds))
        self.pending = []
        return completion

    def end(self, stop: Stop, error: str | None = None) -> Trajectory:
        self.stop, self.error = stop, error
        return self

    @property
    def parent(self) -> str | None:
        return self.path.rpartition("/")[0] or None

    @property
    def answer(self) -> str:
        """The text of the last turn if the agent ended by answering, else the empty string."""
        return self.turns[-1].completion.text if self.stop == "answer" else ""

    @property
    def usage(self) -> Usage:
        return sum((turn.completion.usage for turn in self.turns), self.tool_usage)

    def messages(self) -> Iterator[Message | Completion]:
        """The conversation in order, the completions among the messages, ending with what is pending."""
        for turn in self.turns:
            yield from turn.messages
            yield turn.completion
        yield from self.pending


class Rollout(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One attempt at a task: the lead's trajectory first, then its subagents' in the order they were started."""

    task: Task
    trial: int = 0
    workflow: Literal["team", "single"] = "team"
    trajectories: list[Trajectory] = []
    pages: dict[str, Page] = {}
    answer: str = ""
    stop: Stop | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def lead(self) -> Trajectory:
        return self.trajectories[0]

    @property
    def usage(self) -> Usage:
        return sum((run.usage for run in self.trajectories), Usage())

    @property
    def partial(self) -> bool:
        """Whether the budget cut the work short, so that the answer may lack what there was no time to find."""
        return any(run.stop == "budget" or run.hurried for run in self.trajectories)

    @property
    def width(self) -> int:
        """The largest number of subagents that the lead started in one turn."""
        rounds = [run.path.rpartition("/")[2].partition(".")[0] for run in self.trajectories if run.parent]
        return max((rounds.count(r) for r in set(rounds)), default=0)

    @property
    def depth(self) -> int:
        """The largest number of turns that one agent took."""
        return max((len(run.turns) for run in self.trajectories), default=0)


# ---------------------------------------------------------------------------------------------------------- scores


class WrongCell(msgspec.Struct, gc=False):
    """A cell of a row that is in the gold table too, with another value."""

    column: str
    said: str
    gold: str


class RowScore(msgspec.Struct, omit_defaults=True, gc=False):
    """One row of a scored table: in both tables (`wrong` lists its cells that are not right), or in one of them.

    `key` holds its key cells, as the gold table writes them unless the row is invented.
    """

    key: list[str]
    found: Literal["both", "missing", "invented"] = "both"
    wrong: list[WrongCell] = []


class Score(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How good one answer is.

    `value` is the item F1 of a table (`kind="wide"`) and 0 or 1 for a short answer (`kind="deep"`); `None` means
    unscored, and `unscored` says why (the judge failed, the infrastructure did), which is never the agent's fault.
    `parts` are the named figures: `score` (success), `precision_by_row` ... `f1_by_item` for tables, `em`, `f1`,
    `contains`, `judged` for short answers. `columns` is the share of the matched rows in which a column is right,
    `rows` what is right, wrong, missing and invented (in `strict` mode). `format_ok` is whether there was an answer in
    the form asked for; `note` says why a score is 0 where there was none. `judge` counts what judging cost. `versions`
    names the packages that a published scorer reads tables and dates with, since its figures depend on them.
    """

    value: float | None = None
    mode: str = "strict"
    parts: dict[str, float] = {}
    unscored: str | None = None
    format_ok: bool = True
    note: str | None = None
    columns: dict[str, float] = {}
    rows: list[RowScore] = []
    judge: Usage = msgspec.field(default_factory=Usage)
    judge_cached: int = 0
    versions: dict[str, str] = {}


# ----------------------------------------------------------------------------------------------------------- pages


class Page(msgspec.Struct, frozen=True):
    """A page of a corpus or of the web, as plain text."""

    url: str
    title: str
    text: str


# ------------------------------------------------------------------------------------------------------ JSON lines

R = TypeVar("R")


def read_jsonl(path: str | Path, type: type[R]) -> Iterator[R]:
    """The records of a `.jsonl` or `.jsonl.gz` file, one a line, blank lines skipped.

    The file is UTF-8, with a byte order mark or without, its lines ended as Unix or Windows does it. Raises `BadInput`
    naming the file, the line and what is wrong for what cannot be read.
    """
    return (record for _, record in read_jsonl_lines(path, type))


def read_jsonl_lines(path: str | Path, type: type[R]) -> Iterator[tuple[int, R]]:
    """The same, each with the number of its line, counted from 1."""
    path = Path(path)
    decoder = msgspec.json.Decoder(type)
    number = before = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for line in lines:
                number += 1
                if number == 1 and line.startswith(_UTF16_MARKS):
                    raise BadInput(f"{path}, line 1: is UTF-16, not UTF-8: save the file as UTF-8")
                if line.removeprefix(BOM_UTF8).strip():
                    yield number, decoded_record(line, decoder, f"{path}, line {number}", before)
                before += len(line)
    except (OSError, EOFError, zlib.error) as error:
        where = f"{path}: cannot be read" if not number else f"{path}: cannot be read after line {number}"
        raise BadInput(f"{where}: {error}") from error


_UTF16_MARKS = (BOM_UTF16_LE, BOM_UTF16_BE)
_HALF_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def read_record(path: Path, type: type[R]) -> R:
    """The one record in a file of a run folder. Raises `RunDirError` for whatever is there that is not such a record.

    `FileNotFoundError` is left to the caller, who knows what a missing file means.
    """
    try:
        return decoded_record(read_own(path), msgspec.json.Decoder(type), f"{path}: cannot be read")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunDirError(f"{path}: cannot be read: {error.strerror or error}") from error
    except BadInput as error:
        raise RunDirError(str(error)) from error


def decoded_record(data: bytes, decoder: msgspec.json.Decoder[R], where: str, before: int = 0) -> R:
    """The record in `data`, before which `before` bytes stand in its file.

    Raises `BadInput` that says what is wrong with the text before what is wrong with the JSON.
    """
    try:
        return decoder.decode(data.removeprefix(BOM_UTF8))
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error}") from error
    except RecursionError as error:
        raise BadInput(f"{where}: is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = _bad_text(data, where, before) or _half_a_pair(data, where) or f"{where}: {error}"
        raise BadInput(problem) from error


def _bad_text(data: bytes, where: str, before: int) -> str:
    """What is wrong with the encoding of a text, "" where nothing is."""
    if b"\0" in data:
        return f"{where}: holds NUL bytes: it may be UTF-16, save the file as UTF-8"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(where, data, error, before)
    return ""


def _half_a_pair(line: bytes, where: str) -> str:
    """That a line has one half of a surrogate pair, which is no character, "" where it has none."""
    half = _HALF_PAIR.search(line)
    if half is None:
        return ""
    escape = half[0].decode("ascii")[-6:]
    return f"{where}: {escape} is half a character (a lone surrogate): write the whole character, or \\ufffd for it"


def write_jsonl(path: str | Path, records: Iterable[Any]) -> int:
    """Write records one a line, gzip-packed where the name ends in `.gz` (byte-identical for equal records).

    Returns how many were written.
    """
    path = Path(path)
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as raw:
        out = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else raw
        for record in records:
            out.write(encoder.encode(record) + b"\n")
            count += 1
        if out is not raw:
            out.close()
    return count
