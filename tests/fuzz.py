"""Outputs of models as nobody would want them, the same for the same seed.

    Outputs(seed).text(run)         what an agent says in its next turn: real outputs, broken in some way, or made up
    Outputs(seed).completion(run)   the same as a policy gives it, with native calls that are broken in their own ways
    Outputs(seed).message(request)  the same as a server of chat completions sends it

Real outputs are the gold tables of the pocket world and the calls that the prompts ask for.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from wideseek.assets import world_tasks
from wideseek.records import Completion, ToolCall, Trajectory, Usage

TOOLS = ("call_subagent", "search", "access", "", "no_such_tool", "search\n", "Search", "\u202esearch")
ODD = (
    "\ud800", "\udfff", "\x00", "\x1b[31m", "\u202e", "\ufeff", "\u200b", "\u0301" * 40, "\U0001f9d1\u200d\U0001f680",
    "|", "\\|", "```", "<think>", "</think>", "<tool_call>", "</tool_call>", "\r", "\u2028", "\x85", "\\boxed{",
    "&#124;", "<br>", "=1+1", "١٢٣", "1e999", "-0", "NaN", "9" * 5000, "$" * 9, "[1](http://[)", "\t", "１２", "½",
    "0001-02-30", "31.02.-5", "http://[::1", "https://pocket.example/\ud834", "​", "%00", "None", "﷽" * 30,
)  # fmt: skip
WORDS = (
    "Bovbjerg",
    "26 m",
    "1877",
    "-",
    "",
    "?",
    "n/a",
    "Denmark",
    "height",
    "a, b; c",
    "12,5 km²",
    "März 1999",
    "北京",
)


@functools.cache
def gold() -> tuple[str, ...]:
    """The gold tables of the pocket world that are not long."""
    answers = [task.answer for task in world_tasks("test") if isinstance(task.answer, str)]
    return tuple(answer for answer in answers if len(answer) < 4_000)


class Outputs:
    """A source of outputs; `made` counts them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made = 0

    def completion(self, run: Trajectory) -> Completion:
        """What a policy on the seam says in the next turn of `run`."""
        text, draw = self.text(), self._random
        calls = [self._call() for _ in range(draw.choice((0, 0, 0, 1, 1, 2, 7)))]
        return Completion(
            text=text,
            reasoning=draw.choice(("", "", self._word())),
            tool_calls=calls,
            truncated=draw.choice((None,) * 9 + ("turn_cap", "context", "cut")),
            ending=draw.choice(("", self._word())),
            usage=Usage(1, draw.choice((0, 9, 10**9)), draw.choice((0, 9))),
            model="fuzz",
        )

    def message(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a server says to `request`: native calls, calls in the text, or none."""
        text, draw = self.text(), self._random
        said: dict[str, Any] = {"content": draw.choice((text, text, text, None, "", [{"type": "text", "text": text}]))}
        if draw.random() < 0.4:
            said["tool_calls"] = [self._native() for _ in range(draw.choice((1, 1, 2, 5)))]
        if draw.random() < 0.2:
            said["reasoning_content"] = self._word()
        if draw.random() < 0.2:
            said["finish_reason"] = draw.choice(("length", "stop", None, "", "content_filter", {"type": "stop"}, 7, []))
        if draw.random() < 0.2:
            said["usage"] = draw.choice((None, {}, {"prompt_tokens": -5, "completion_tokens": 10**12}))
        return said

    def text(self) -> str:
        """One output."""
        self.made += 1
        kinds: Sequence[Callable[[], str]] = (self._real, self._table, self._called, self._nested, self._words)
        text = self._random.choice(kinds)()
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 4))):
            text = self._broken(text)
        return text

    # ---------------------------------------------------------------------------------------------- what is said

    def _real(self) -> str:
        return self._random.choice(gold())

    def _table(self) -> str:
        """A table of any size, with a header, a separator and rows that need not fit."""
        draw = self._random
        width, fence = draw.choice((0, 1, 2, 3, 40)), draw.choice(("```markdown\n", "```\n", "", "````\n", "~~~\n"))
        lines = [self._row(width), draw.choice(("|---" * width + "|", "", ":-:|-", "| - |", "|===|", "---"))]
        lines += [self._row(max(0, width + draw.choice((0, 0, 0, -1, 1)))) for _ in range(draw.choice((0, 1, 3, 60)))]
        ends = draw.choice(("\n", "\r\n", "\n\n", "\u2028"))
        return self._word() + "\n" + fence + ends.join(lines) + draw.choice(("\n```", "", "\n```\n" + self._word()))

    def _row(self, width: int) -> str:
        bars = self._random.choice(("|", "|", "|", "||", "\t", ",", "｜"))
        return bars + bars.join(f" {self._word()} " for _ in range(width)) + bars

    def _called(self) -> str:
        """A call in one of the dialects in which models write them, or in none."""
        name, arguments = self._random.choice(TOOLS), self._arguments()
        said = json.dumps(arguments)
        call = json.dumps({"name": name, "arguments": arguments})
        return self._random.choice(
            (
                f"<tool_call>\n{call}\n</tool_call>",
                f"<tool_call>{call}<tool_call>{call}</tool_call>",
                f"<function={name}>\n<parameter=query>\n{self._word()}\n</parameter>\n</function>",
                f"[TOOL_CALLS][{call}]",
                f"<|python_tag|>{call}",
                f"```json\n{call}\n```",
                f"<invoke name={name!r}><parameter name='query'>{self._word()}</parameter></invoke>",
                f"<|tool_calls_section_begin|><|tool_call_begin|>{name}:0<|tool_call_argument_begin|>{said}",
                f"{name}({said})",
                f"<think>{call}</think>{call}",
            )
        )

    def _nested(self) -> str:
        """JSON that is nested more deeply than anything should be, or of a size that nothing should have."""
        depth = self._random.choice((10, 900, 3_000, 100_000))
        opening, closing = self._random.choice(
            (("[", "]"), ('{"name":', "}"), ("<tool_call>", ""), ("| ", " |"), ("> ", ""))
        )
        return f"<tool_call>{opening * depth}1{closing * self._random.choice((0, depth))}</tool_call>"

    def _words(self) -> str:
        return " ".join(self._word() for _ in range(self._random.choice((0, 1, 5, 300))))

    def _word(self) -> str:
        return self._random.choice(WORDS if self._random.random() < 0.8 else ODD)

    def _broken(self, text: str) -> str:
        """The text with one thing done to it: cut, doubled, a piece moved, or something odd put into it."""
        draw = self._random
        first, last = sorted(draw.randrange(len(text) + 1) for _ in range(2))
        return draw.choice(
            (
                text[:first],
                text[first:],
                text[:first] + text[last:],
                text[:first] + draw.choice(ODD) + text[first:],
                text[:last] + text[first:],
                text[:first] + text[first:last][::-1] + text[last:],
                text.replace(draw.choice(("|", "\n", '"', "-", "{", "name")), draw.choice(("", "||", *ODD))),
                text + "\n\n" + self._table(),
            )
        )

    # --------------------------------------------------------------------------------------------------- the calls

    def _call(self) -> ToolCall:
        draw = self._random
        arguments = self._arguments()
        kept = arguments if isinstance(arguments, dict) else {"query": arguments}
        return ToolCall(
            draw.choice(("c", "", self._word())), draw.choice(TOOLS), kept, draw.choice((None, None, "odd"))
        )

    def _native(self) -> Any:
        draw = self._random
        arguments = self._arguments()
        said = json.dumps(arguments)
        function = {
            "name": draw.choice((*TOOLS, None)),
            "arguments": draw.choice((said, said, said[: draw.randrange(len(said) + 1)], arguments, None, "", 7)),
        }
        return {
            "id": draw.choice(("c", "", None)),
            "type": "function",
            "function": draw.choice((function, function, {})),
        }

    def _arguments(self) -> Any:
        """What a tool is called with: near to what it takes, or of any type."""
        draw = self._random
        value: Any = draw.choice(
            (self._word(), None, 7, -1, 1e308, True, [], {}, [[]], [self._word()], {"a": [None]}, 2**70)
        )
        return draw.choice(
            (
                {"query": self._word(), "count": draw.choice((3, 0, -1, 2**40, "3", None, 1.5))},
                {"url": f"https://pocket.example/{self._word()}", "info_to_extract": value},
                {"subtasks": [self._word() for _ in range(draw.choice((0, 1, 3, 50)))]},
                {"subtasks": value},
                {"query": value},
                {"url": value},
                value,
            )
        )
