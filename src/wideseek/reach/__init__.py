"""Whether the answer of a model that knows one world is within its reach: told from what was searched, found, read.

    the words first searched for           have to be the question's          else it was not understood
    ...                                    have to stand on the pages read    else there is no such page
    the title of a page that was read      has to be in these words           else it is about something else
    the answer's cells                     have to stand on the pages read    else they are made up
    the answer's columns                   have to be labels on these pages, and asked for
    a test ("above 100 m")                 has to hold for every row shown, in the page's own unit
    a short answer                         has to be that of the page which the question picks out, of all read
    all other words of the question        have to be those of any request    else something asked was left out

No question is known beforehand: a model of a million parameters answers anything in the form that it was taught, and
this is how a user learns that the answer is worth nothing. The scripted expert is held to the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wideseek.answer import boxed, final_table
from wideseek.policy.grammar import Filter, Request, first_number, parse_question
from wideseek.reach.nearest import nearest_questions
from wideseek.reach.pages import facts, labels, members
from wideseek.reach.wording import SMALL, Wording, tokens
from wideseek.records import Page, Rollout, Trajectory
from wideseek.table import Table, norm_column

__all__ = ["left_out", "nearest_questions", "out_of_reach"]

UNDERSTOOD, FOUND, SUPPORTED = 0.6, 0.75, 0.5  # least shares
_OPERATORS = {
    "is": ("is", "are", "exactly", "equals", "equal"),
    "above": ("above", "over", "more", "greater", "higher", "larger", "bigger", "after", "later", "exceeds", "than"),
    "below": ("below", "under", "less", "fewer", "lower", "smaller", "before", "earlier", "than"),
}
_EXTREMES = {
    "highest": ("highest", "largest", "greatest", "biggest", "latest", "maximum"),
    "lowest": ("lowest", "smallest", "least", "earliest", "oldest", "minimum"),
}
_SCRAPS = re.compile(r"[\[{]\s*\"|\"\s*[\]}]|[\]}]{2,}|</?\w+>|<\||\|")


def out_of_reach(rollout: Rollout, supported: float | None) -> str | None:
    """Why the answer cannot be trusted, or `None`. `supported` is the share of a table's filled cells that stand on a
    page read; a short answer, which names neither its row nor its column, is looked for on the pages themselves."""
    first, read = _first_read(rollout)
    if (why := _not_found(rollout, first, read)) is not None:
        return why
    table, box = final_table(rollout.answer), boxed(rollout.answer)
    if supported is None:
        return "no answer came of it"
    if supported < SUPPORTED and (table is not None or box is None):
        return f"only {supported:.0%} of the answer stands on a page that was read"
    if table is None and box is None:
        return None
    return _not_asked(rollout, read, table, box or "")


def left_out(rollout: Rollout) -> list[str]:
    """Which members of the list that was read have no row, though nothing that was read of them rules them out."""
    table, page = final_table(rollout.answer), _subject(Wording(_question(rollout)), _first_read(rollout)[1])
    if table is None or page is None:
        return []
    request = parse_question(_question(rollout))
    test = request.filter if request else None
    shown = {row[0].casefold() for row in table.rows}
    known = {other.title.casefold(): other for other in rollout.pages.values()}
    return [
        name
        for name in members(page)
        if name.casefold() not in shown
        and not (test and (own := known.get(name.casefold())) and not test.holds(_value(own, test.column)))
    ]


def _first_read(rollout: Rollout) -> tuple[list[Trajectory], list[Page]]:
    """The agents that found what the question is about, and the pages that they read."""
    first = [run for run in rollout.trajectories if run.path.startswith("lead/1.")] or rollout.trajectories[:1]
    return first, [rollout.pages[url] for run in first for url in run.read if url in rollout.pages]


def _question(rollout: Rollout) -> str:
    """The question as it was asked, without what a contract added to it."""
    return rollout.task.question.partition("\n\n")[0] if rollout.task.required else rollout.task.question


def _not_found(rollout: Rollout, first: list[Trajectory], read: list[Page]) -> str | None:
    """Whether what was searched for is neither asked nor on the pages read."""
    searched = _words(query for run in first for query in _first_queries(run))
    if not searched:
        return "nothing was searched for"
    foreign = searched - _words([rollout.task.question])
    if len(foreign) > (1 - UNDERSTOOD) * len(searched):
        return f"it was not understood (searched for: {', '.join(sorted(searched))})"
    absent = searched - _words(text for page in read for text in (page.title, page.text))
    if len(absent) > (1 - FOUND) * len(searched):
        full = [run.path for run in first if run.stop == "context"]
        return f"no page was found about {', '.join(sorted(absent))}" + (
            f" ({full[0]} ran out of room)" if full else ""
        )
    titles = [page.title for page in read]
    if not any(_share(_words([title]), searched) >= FOUND for title in titles):
        return f"what was found is about something else ({', '.join(titles[:3])})"
    return None


def _not_asked(rollout: Rollout, read: list[Page], table: Table | None, short: str) -> str | None:
    """What the answer has that was not asked for, or lacks that was; the table is `None` for a short answer."""
    question = _question(rollout)
    wording, request = Wording(question), parse_question(question)
    if request and (request.kind == "deep") != (table is None):
        return f"the answer is {'one value' if table is None else 'a table'}, and the question asks for something else"
    page = _subject(wording, read)
    if page is None:
        return f"what was found is about something else ({', '.join(page.title for page in read[:3])})"
    if request and request.phrase and not members(page) and _stands_in(request.phrase, page.text):
        wording.take(request.phrase)
    known = {" ".join(tokens(label)) for other in rollout.pages.values() for label in labels(other)}
    why = _tested(wording, request, rollout, table, known) or _columns_asked(
        wording, rollout, request, table, known, bool(members(page))
    )
    if why:
        return why
    if why := _rows_listed(table, page) if table is not None else _picked(request, rollout, page, short):
        return why
    if wording.left:
        return f"nothing accounts for these words of the question: {', '.join(wording.left)}"
    return None


def _subject(wording: Wording, read: list[Page]) -> Page | None:
    """The page read whose whole title the question has, the longest one; its words are taken."""
    for page in sorted(read, key=lambda page: -len(tokens(page.title))):
        if wording.take(page.title) or wording.take_in_any_order(page.title):
            return page
    return None


def _tested(
    wording: Wording, request: Request | None, rollout: Rollout, table: Table | None, known: set[str]
) -> str | None:
    """Why the question's test or superlative was not followed; the words of one that was are taken."""
    if request and request.extreme and table is None:
        column, end = request.extreme
        if " ".join(tokens(column)) not in known:
            return f"no page that was read has a line called {column}"
        wording.take(column)
        wording.take_each(_EXTREMES[end])
    if not request or not (test := request.filter):
        return None
    told = {page.title: value for page in rollout.pages.values() if (value := _value(page, test.column))}
    if not told:
        return f"no page that was read has a line called {test.column}"
    if not _is_comparable(test, list(told.values())):
        return f"{test.value} cannot be compared with what the pages say ({next(iter(told.values()))})"
    wrong = [row[0] for row in table.rows if row[0] in told and not test.holds(told[row[0]])] if table else []
    if wrong:
        return f"these rows do not pass the test of the question ({test.column}): {', '.join(wrong[:3])}"
    wording.take(test.column)
    wording.take(test.value)
    wording.take_each(_OPERATORS[test.op])
    return None


def _is_comparable(test: Filter, values: list[str]) -> bool:
    """Whether a bound is one number in the unit of the values, or a value is one that a page has."""
    if test.op == "is":
        return any(test.holds(value) for value in values)
    bound = tokens(test.value)
    units = [word for word in bound if not word[0].isdigit()]
    return len(bound) - len(units) == 1 and set(units) <= set(tokens(" ".join(values)))


def _columns_asked(
    wording: Wording, rollout: Rollout, request: Request | None, table: Table | None, known: set[str], listed: bool
) -> str | None:
    """Why a column is none of the pages read, or none of the question; the words of the others are taken."""
    task = rollout.task
    fixed = [column for column in task.required or [] if column not in (task.unique_columns or [])]
    shown = table.columns[1:] if table else request.columns if request else []
    asked = request.columns if request else []
    for column in dict.fromkeys([*shown, *asked, *fixed]):
        if " ".join(tokens(column)) not in known:
            return f"no page that was read has a line called {column}"
    wanted = {norm_column(column) for column in fixed}  # a contract's columns, whatever the question says
    unasked = [column for column in shown if not wording.take(column) and norm_column(column) not in wanted]
    return f"{', '.join(unasked)} was not asked for" if unasked else None


def _rows_listed(table: Table, page: Page) -> str | None:
    cells = [cell for row in table.rows for cell in row]
    if scraps := [cell for cell in cells if _SCRAPS.search(cell) and cell not in page.text]:
        return f"a cell holds scraps of a call ({scraps[0][:40]})"
    listed = {name.casefold() for name in members(page)}
    strange = [row[0] for row in table.rows if listed and row[0].casefold() not in listed]
    if 2 * len(strange) > len(table.rows):
        return f"most rows are not on the list {page.title} ({', '.join(strange[:3])})"
    return None


def _picked(request: Request | None, rollout: Rollout, subject: Page, answer: str) -> str | None:
    """Why a short answer is not that of the page which the question picks out of those read."""
    request = request or Request("deep")
    listed = {name.casefold() for name in members(subject)}
    pages = [page for page in rollout.pages.values() if not listed or page.title.casefold() in listed]
    if request.member:
        pages = [page for page in pages if tokens(page.title) == tokens(request.member)]
    elif test := request.filter:
        pages = [page for page in pages if test.holds(_value(page, test.column))]
    elif request.extreme:
        if unread := sorted(listed - {page.title.casefold() for page in pages}):
            return f"{len(unread)} of the {len(listed)} members of {subject.title} were not read ({unread[0]} ...)"
        pages = _at_the_end(pages, *request.extreme)
    told = [_value(page, request.columns[0]) if request.columns else page.title for page in pages]
    if tokens(answer) in map(tokens, told):
        return None
    asked = request.columns[0] if request.columns else "name"
    return f"the pages that were read do not give {answer} as the {asked} that was asked for"


def _at_the_end(pages: list[Page], column: str, end: str) -> list[Page]:
    """The pages, several where they tie, that have the highest or the lowest number in this column."""
    numbers = [(number, page) for page in pages if (number := first_number(_value(page, column))) is not None]
    if not numbers:
        return []
    best = (max if end == "highest" else min)(number for number, _ in numbers)
    return [page for number, page in numbers if number == best]


def _value(page: Page, column: str) -> str:
    wanted = tokens(column)
    return next((value for label, value in facts(page).items() if tokens(label) == wanted), "")


def _stands_in(phrase: str, text: str) -> bool:
    return f" {' '.join(tokens(phrase))} " in f" {' '.join(tokens(text))} "


def _first_queries(run: Trajectory) -> list[str]:
    """What an agent searched for in the first turn in which it searched."""
    for turn in run.turns:
        queries = [
            query for call in turn.completion.tool_calls if isinstance(query := call.arguments.get("query"), str)
        ]
        if queries:
            return queries
    return []


def _share(part: set[str], whole: set[str]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _words(texts: Iterable[str]) -> set[str]:
    """The words that carry meaning, case and a plural s aside."""
    words = {word for text in texts for word in re.findall(r"\w+", text.casefold())}
    return {word.removesuffix("s") for word in words - SMALL}
