"""The snippet: the part of a page that a hit shows, one line of at most `SNIPPET_CHARS` characters.

    snippet(text, words)    words as `query_words` gives them

It stands around the most different words of the query: of all windows that begin at one of them, the first that holds
the most.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

from wideseek.tools.words import lookalike, places

SNIPPET_CHARS = 300


def snippet(text: str, words: list[str]) -> str:
    """The part of `text` with the most of the `words`, the first of several; without any, the beginning."""
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(line) <= SNIPPET_CHARS:
        return line
    start = _best_start(line, words)
    part = line[start : start + SNIPPET_CHARS - 4]
    if start + len(part) < len(line):
        part = f"{_whole_words(part)} …"
    return f"… {part}" if start else part


def _best_start(line: str, words: list[str]) -> int:
    """Where the part with the most different words begins, some words before the first of them."""
    place = _fullest_window(line, words)
    lead = SNIPPET_CHARS // 6
    start = min(place - lead, len(line) - SNIPPET_CHARS + 4)
    if start <= 0:
        return 0
    space = line.find(" ", start, start + lead)
    return space + 1 if space >= 0 else start


def _fullest_window(line: str, words: list[str]) -> int:
    """Where the window with the most different words begins."""
    folded = lookalike(line)
    matches = sorted((place, word) for word in words for place in places(folded, word))
    most, best, end = 0, 0, 0
    inside: Counter[str] = Counter()  # the words of matches[i:end], i the match that the window begins at
    for start, word in matches:
        while end < len(matches) and matches[end][0] < start + SNIPPET_CHARS * 3 // 4:
            inside[matches[end][1]] += 1
            end += 1
        if len(inside) > most:
            most, best = len(inside), start
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    return best


def _whole_words(part: str) -> str:
    """`part` without the word that it ends in the middle of, if that is not most of it."""
    space = part.rfind(" ", len(part) // 2)
    return part[:space] if space >= 0 else part
