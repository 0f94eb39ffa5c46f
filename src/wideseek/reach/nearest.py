"""The questions that can be asked of a world's lists, nearest first: what a refusal offers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rapidfuzz import fuzz

from wideseek.reach.pages import facts, members
from wideseek.reach.wording import FUNCTION_WORDS, stem, tokens
from wideseek.records import Page

OFFERED, COLUMNS = 3, 2
_FUNCTION = frozenset(map(stem, FUNCTION_WORDS))


def nearest_questions(question: str, pages: Iterable[Page], count: int = OFFERED) -> list[str]:
    """A question about each of the `count` lists whose titles are nearest to the words of `question`.

    A list is a page that numbers its members, each of which has a page with `column: value` lines.
    """
    by_title = {page.title.casefold(): page for page in pages}
    lists = [page for page in by_title.values() if members(page)]
    wanted = " ".join(word for word in tokens(question) if word not in _FUNCTION)
    ranked = sorted(lists, key=lambda page: (-_likeness(wanted, page.title), page.title))
    offered = (asked for page in ranked if (asked := _question(page, by_title)))
    return [asked for asked, _ in zip(offered, range(count), strict=False)]


def _likeness(wanted: str, title: str) -> float:
    words = " ".join(word for word in tokens(title) if word not in _FUNCTION)
    return fuzz.token_set_ratio(wanted, words) + fuzz.token_sort_ratio(wanted, words)


def _question(page: Page, by_title: dict[str, Page]) -> str:
    known = (by_title[name.casefold()] for name in members(page) if name.casefold() in by_title)
    columns = list(facts(next(known, Page("", "", ""))))[:COLUMNS]
    return f"List all {_phrase(page)} with their {' and '.join(columns)}." if columns else ""


def _phrase(page: Page) -> str:
    """The title as it stands inside a sentence: as the page's own text writes it."""
    title = page.title.strip()
    inside = re.search(rf"(?<=\w ){re.escape(title)}", page.text, re.I)
    return inside[0] if inside else title
