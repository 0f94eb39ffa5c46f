"""The questions that can be asked of a world's lists, nearest first: what a refusal offers.

A word of the question counts for a list by where the list has it, and by how few other lists have it there:

    the list's title            most
    the name of a member        where the question has the whole name
    the label of a line         all that a word asked for as a column counts for
    any other text of it        least: it orders lists, and is no reason to offer one
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz import process
from rapidfuzz.distance import OSA

from wideseek.policy.grammar import parse_question
from wideseek.reach.pages import facts, members
from wideseek.reach.wording import FUNCTION_WORDS, SMALL, stem, tokens
from wideseek.records import Page
from wideseek.tools.words import query_words

OFFERED, COLUMNS = 3, 2
ALIKE = 0.81  # of 1: a slip of the pen ("chemcial"), not another word ("noble", "Nobel")
ROOT, ENDING = 5, 3  # letters: a word and a longer one of the same root ("Africa", "African")
TITLE, NAME, LABEL, TEXT = 1.0, 0.6, 0.5, 0.1
RELATED = 0.22  # least weight, numbers aside, as a share of the rarest title word's: a label of one list in twenty
NEAR = 0.5  # ... and least share of the weight of the nearest one
_FUNCTION = frozenset(map(stem, FUNCTION_WORDS | SMALL))


@dataclass
class _List:
    """A page that numbers its members, with the words by which it is found."""

    page: Page
    columns: list[str]
    words: dict[float, set[str]]  # by what a word counts where it stands


def nearest_questions(question: str, pages: Iterable[Page], count: int = OFFERED) -> list[str]:
    """A question about each of the lists, at most `count`, that the words of `question` lead to; none where none do.

    A list is a page that numbers its members, each of which has a page with `column: value` lines.
    """
    asked = tokens(question)
    lists = _lists(list(pages), f" {' '.join(asked)} ")
    columns = _columns(question)
    weights, related = [0.0] * len(lists), [0.0] * len(lists)
    for word in dict.fromkeys(word for word in asked if word not in _FUNCTION):
        for at, weight in _weights(word, lists, (LABEL,) if word in columns else (TITLE, NAME, LABEL, TEXT)).items():
            weights[at] += weight
            related[at] += 0.0 if word[0].isdigit() else weight
    best = max(weights, default=0.0)
    near = [
        at
        for at in range(len(lists))
        if related[at] >= RELATED * math.log(len(lists) + 1) and weights[at] >= NEAR * best
    ]
    near.sort(key=lambda at: (-round(weights[at], 6), lists[at].page.title))
    return [_question(lists[at], asked) for at in near[:count]]


def _columns(question: str) -> set[str]:
    """The words that ask for columns and stand nowhere else in what is asked."""
    request = parse_question(question)
    if request is None:
        return set()
    return {word for column in request.columns for word in tokens(column)} - set(tokens(request.phrase))


def _lists(pages: list[Page], asked: str) -> list[_List]:
    by_title = {page.title.casefold(): page for page in pages}
    found = []
    for page in by_title.values():
        known = [by_title[name.casefold()] for name in members(page) if name.casefold() in by_title]
        if not known or not (columns := list(facts(known[0]))):
            continue
        names = [name for one in known if f" {' '.join(name := tokens(one.title))} " in asked]
        words = {
            TITLE: set(tokens(page.title)),
            NAME: {word for name in names for word in name},
            LABEL: {word for one in known for label in facts(one) for word in tokens(label)},
            TEXT: {word for one in (page, *known) for word in tokens(one.text)},
        }
        found.append(_List(page, columns, words))
    return found


def _weights(word: str, lists: list[_List], places: Iterable[float]) -> dict[int, float]:
    """What a word of the question counts for each list that has it, by the place where it counts most."""
    best: dict[int, float] = {}
    for place in places:
        likeness = {word: 1.0} if place == TEXT else _alike(word, {w for one in lists for w in one.words[place]})
        has = {
            at: max(likeness[other] for other in found)
            for at, one in enumerate(lists)
            if (found := one.words[place] & likeness.keys())
        }
        rarity = math.log(len(lists) / len(has) + 1) if has else 0.0
        for at, like in has.items():
            best[at] = max(best.get(at, 0.0), place * rarity * like)
    return best


def _alike(word: str, others: set[str]) -> dict[str, float]:
    """Those of `others` that are this word, a slip of it, or another of its root; and how alike they are, up to 1."""
    if word.isdigit():
        return {word: 1.0} if word in others else {}
    slips = process.extract(word, others, scorer=OSA.normalized_similarity, score_cutoff=ALIKE, limit=None)
    alike = {other: score**2 for other, score, _ in slips}
    root = _root(word)
    return {other: 0.8 for other in others if _same_root(root, other)} | alike


def _same_root(root: str, other: str) -> bool:
    if root[:ROOT] != other[:ROOT] or min(len(root), len(other)) < ROOT:
        return False
    short, long = sorted((root, _root(other)), key=len)
    return long.startswith(short) and len(long) - len(short) <= ENDING


def _root(word: str) -> str:
    return "".join(query_words(word))


def _question(one: _List, asked: list[str]) -> str:
    """A question about the list: with the columns that were asked for, else with its first ones."""
    wanted = [column for column in one.columns if set(tokens(column)) <= set(asked)] or one.columns
    return f"List all {_phrase(one.page)} with their {' and '.join(wanted[:COLUMNS])}."


def _phrase(page: Page) -> str:
    """The title as it stands inside a sentence: as the page's own text writes it."""
    title = page.title.strip()
    inside = re.search(rf"(?<=\w ){re.escape(title)}", page.text, re.I)
    return inside[0] if inside else title
