"""How much work a regular expression is: the steps that a backtracking matcher takes, counted, not timed.

    steps(pattern, text)   every match of the pattern in the text, found one after another as `finditer` does;
                           or one match at the beginning, as `match` does

`re` works in C, where lines of Python do not count (tests/work.py). This walks the same parsed pattern in the same
order; one step is one look at one character or one place.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Then = Callable[[int], int | None]
"""What has to match from a place on: the end of the whole match, or `None`."""
RECURSION = 100_000

_IN_CATEGORY: dict[Any, Callable[[str], bool]] = {
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    op.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    op.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


def steps(pattern: re.Pattern[str], text: str, *, everywhere: bool = True) -> int:
    matcher = _Matcher(pattern, text)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(RECURSION)
    try:
        at = 0
        while at <= (len(text) if everywhere else 0):
            end = matcher.match(at)
            at = end if end is not None and end > at else at + 1
    finally:
        sys.setrecursionlimit(limit)
    return matcher.steps


def finds(pattern: re.Pattern[str], text: str) -> int | None:
    """Where the pattern matches from the beginning on: the matcher itself is tested by it."""
    return _Matcher(pattern, text).match(0)


class _Matcher:
    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self.text, self.steps = text, 0
        self._folds = bool(pattern.flags & re.IGNORECASE)
        self._dotall = bool(pattern.flags & re.DOTALL)
        self._lines = bool(pattern.flags & re.MULTILINE)
        self._tree = list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))

    def match(self, at: int) -> int | None:
        return self._run(self._tree, 0, at, lambda end: end)

    def _run(self, nodes: list[Any], index: int, at: int, then: Then) -> int | None:
        """Match nodes `index` and on from `at`, and then what follows them."""
        self.steps += 1
        if index == len(nodes):
            return then(at)
        kind, value = nodes[index]

        def rest(end: int) -> int | None:
            return self._run(nodes, index + 1, end, then)

        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            fits = at < len(self.text) and self._takes(kind, value, self.text[at])
            return rest(at + 1) if fits else None
        if kind is op.SUBPATTERN:
            return self._run(list(value[3]), 0, at, rest)
        if kind is op.BRANCH:
            return next((end for one in value[1] if (end := self._run(list(one), 0, at, rest)) is not None), None)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, most, body = value
            return self._repeat(list(body), least, most, kind is op.MAX_REPEAT, 0, at, rest)
        if kind in (op.POSSESSIVE_REPEAT, op.ATOMIC_GROUP):
            end = self._atomic(kind, value, at)
            return None if end is None else rest(end)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return rest(at) if self._looks(value[0], list(value[1]), at) == (kind is op.ASSERT) else None
        assert kind is op.AT, kind
        return rest(at) if self._is_at(value, at) else None

    def _repeat(
        self, body: list[Any], least: int, most: int, greedy: bool, count: int, at: int, then: Then
    ) -> int | None:
        def again(end: int) -> int | None:
            if end == at and count >= least:
                return None
            return self._repeat(body, least, most, greedy, count + 1, end, then)

        self.steps += 1
        if count < least:
            return self._run(body, 0, at, again)
        if greedy:
            end = self._run(body, 0, at, again) if count < most else None
            return then(at) if end is None else end
        end = then(at)
        return self._run(body, 0, at, again) if end is None and count < most else end

    def _atomic(self, kind: Any, value: Any, at: int) -> int | None:
        if kind is op.ATOMIC_GROUP:
            return self._run(list(value), 0, at, lambda end: end)
        least, most, body = value
        return self._repeat(list(body), least, most, True, 0, at, lambda end: end)

    def _looks(self, direction: int, body: list[Any], at: int) -> bool:
        if direction > 0:
            return self._run(body, 0, at, lambda end: end) is not None
        low, high = parser.SubPattern(parser.State(), body).getwidth()
        assert low == high, "a look behind has one width"
        return at >= low and self._run(body, 0, at - low, lambda end: end) is not None

    def _is_at(self, where: Any, at: int) -> bool:
        before, after = self.text[at - 1 : at] if at else "", self.text[at : at + 1]
        if where in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return at == 0 or (self._lines and before == "\n")
        if where in (op.AT_END, op.AT_END_STRING):
            return not after or (where is op.AT_END and self.text[at:] == "\n")
        is_edge = _is_word(before) != _is_word(after)
        return is_edge if where is op.AT_BOUNDARY else not is_edge

    def _takes(self, kind: Any, value: Any, char: str) -> bool:
        if kind is op.ANY:
            return self._dotall or char != "\n"
        spellings = {char, char.lower(), char.upper()} if self._folds else {char}
        if kind is op.LITERAL:
            return any(ord(one) == value for one in spellings if len(one) == 1)
        if kind is op.NOT_LITERAL:
            return all(ord(one) != value for one in spellings if len(one) == 1)
        negated = bool(value) and value[0][0] is op.NEGATE
        return negated != any(_is_in(one, value) for one in spellings if len(one) == 1)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _is_in(char: str, members: list[Any]) -> bool:
    for kind, value in members:
        if kind is op.LITERAL and ord(char) == value:
            return True
        if kind is op.RANGE and value[0] <= ord(char) <= value[1]:
            return True
        if kind is op.CATEGORY and _IN_CATEGORY[value](char):
            return True
    return False
