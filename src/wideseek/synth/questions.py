"""Questions about a world's lists: English templates, golds computed from the tables.

    plain      the members of a list with one to three columns              wide
    filtered   only the members whose column is / is above / is below       wide
    attribute  one column of a named member                                 deep, 1 hop
    which      the member with a value, or with the highest / lowest one    deep, 2 hops
    of_which   a column of that member                                      deep, 3 hops

`tasks_of(lists)` asks more of the lists of train than of those of dev and test. Everything is seeded by what is
asked, so that a list's questions do not depend on the other lists. What can be misread is not asked: a value or a
name with punctuation inside, an extreme that two members share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from wideseek.records import Task
from wideseek.synth.cells import number_of, unit_of
from wideseek.synth.world import Column, Member, WorldList, seeded, url_of

PLAIN = (
    "List all {phrase} with their {columns}.",
    "I need a table of the {phrase}, together with their {columns}.",
    "What {are} the {columns} of each of the {phrase}?",
    "For each of the {phrase}, give the {columns}.",
    "Could you put together an overview of the {phrase}, including the {columns} of each?",
    "Which {phrase} are there, and what {are} their {columns}?",
    "Find every one of the {phrase} and state the {columns}.",
    "Compile a complete list of the {phrase} along with their {columns}.",
    "Give me all the {phrase} as well as the {columns} of each one.",
    "Show me the {columns} for all {phrase}.",
    "Please collect all {phrase} and note their {columns}.",
    "Tell me about all the {phrase}. I want to know the {columns} of each.",
    "Go through the {phrase} and write down the {columns} for every one of them.",
    "I would like to see all {phrase} in one table, with the {columns}.",
    "Name all of the {phrase}. Add the {columns} for each one.",
    "We are looking for the {phrase}, each with its {columns}.",
)
FILTERED = (
    "List all {phrase} {test}, with their {columns}.",
    "Which of the {phrase} are those {test}? Give the {columns} of each.",
    "I need a table of the {phrase} {test}, together with their {columns}.",
    "For each of the {phrase} {test}, give the {columns}.",
    "Find all {phrase} {test}, and state their {columns}.",
    "Compile a list of the {phrase}, but only those {test}, along with their {columns}.",
    "What {are} the {columns} of all {phrase} {test}?",
    "Show me every one of the {phrase} {test}. Include the {columns}.",
    "Could you give me the {phrase} {test}, including the {columns} of each?",
    "Please collect all {phrase} {test}. I need to know the {columns} of each one.",
    "I would like an overview of the {phrase}, only those {test}, with the {columns}.",
    "Name all the {phrase} {test}, along with their {columns}.",
)
ATTRIBUTE = (
    "What {be} the {column} of {member}?",
    "Which {column} does {member} have?",
    "What {column} {be} recorded for {member}?",
    "Tell me the {column} of {member}.",
    "Please look up {member} and tell me the {column}.",
    "I would like to know the {column} of {member}.",
    "Among the {phrase}, what {be} the {column} of {member}?",
    "What {be} the {column} of {member}, one of the {phrase}?",
    "For {member}, what {be} the {column}?",
    "Could you give me the {column} of {member}?",
    "Find the {column} given for {member}.",
    "Consider {member}: what {be} the {column}?",
)
WHICH = (
    "Which of the {phrase} is the one {pick}?",
    "Which one of the {phrase} can be described as the one {pick}?",
    "Among the {phrase}, which is the one {pick}?",
    "Name the one of the {phrase} {pick}.",
    "Find the single one of the {phrase} {pick}.",
    "Among the {phrase}, name the one {pick}.",
    "Of the {phrase}, which one is the one {pick}?",
    "I am looking for one of the {phrase}, the one {pick}.",
    "Tell me the name of the one of the {phrase} {pick}.",
    "Look through the {phrase} and name the one {pick}.",
    "What is the name of the one among the {phrase} {pick}?",
    "There is one among the {phrase} {pick}. Which one is it?",
)
WHICH_HAS = (
    "Which of the {phrase} has {has}?",
    "Which one of the {phrase} has {has}?",
    "Among the {phrase}, which one has {has}?",
    "Tell me which of the {phrase} has {has}.",
    "Of the {phrase}, which has {has}?",
)
OF_WHICH = (
    "What {be} the {column} of the one of the {phrase} {pick}?",
    "Among the {phrase}, what {be} the {column} of the one {pick}?",
    "Find the one of the {phrase} {pick}, and tell me its {column}.",
    "Of the {phrase}, take the one {pick}. What {be} its {column}?",
    "Tell me the {column} of the one among the {phrase} {pick}.",
    "Which {column} does the one of the {phrase} {pick} have?",
    "I would like to know the {column} of the one of the {phrase} {pick}.",
    "Among the {phrase}, find the one {pick}, and state its {column}.",
    "Look for the one of the {phrase} {pick}. What {be} its {column}?",
    "Could you tell me the {column} of the only one of the {phrase} {pick}?",
    "There is one among the {phrase} {pick}. Give its {column}.",
    "What {column} {be} recorded for the one of the {phrase} {pick}?",
)

IS = ("whose {column} {be} {value}", "where the {column} {be} {value}", "for which the {column} {be} {value}")
ABOVE = (
    "whose {column} {be} above {value}",
    "whose {column} {be} more than {value}",
    "whose {column} {be} over {value}",
)
BELOW = (
    "whose {column} {be} below {value}",
    "whose {column} {be} less than {value}",
    "where the {column} {be} under {value}",
)
AFTER = ("whose {column} {be} after {value}", "whose {column} {be} later than {value}")
BEFORE = ("whose {column} {be} before {value}", "whose {column} {be} earlier than {value}")
HIGHEST = ("with the highest {column}", "with the largest {column}", "whose {column} {be} the highest")
LOWEST = ("with the lowest {column}", "with the smallest {column}", "whose {column} {be} the lowest")
LATEST = ("with the latest {column}", "whose {column} is the latest")
EARLIEST = ("with the earliest {column}", "whose {column} is the earliest")

CONTEXT = (
    "I am writing a short article. ",
    "This is for a quiz night. ",
    "Hello! ",
    "I am checking some facts. ",
    "My students asked me about this. ",
    "For a school project, ",
    "For my notes, ",
    "Good morning! ",
)
THANKS = (" Thanks!", " Thank you.", " Thanks in advance.")

TRAIN_PLAIN, TRAIN_FILTERED = 3, 2
METRICS = {
    "text": {"preprocess": ["norm_str"], "metric": ["exact_match"]},
    "year": {"preprocess": ["norm_str"], "metric": ["exact_match"]},
    "number": {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.0001},
    "date": {"preprocess": ["norm_date"], "metric": ["date_near"]},
}


class Pick(msgspec.Struct, frozen=True):
    """What picks one member: a test or an extreme, as words ("whose ..."), as "has ...", and as meta data."""

    words: str
    has: str
    column: str
    member: int
    meta: dict[str, Any]


def tasks_of(lists: Sequence[WorldList], seed: int) -> list[Task]:
    """All tasks, numbered by kind; no question is asked twice."""
    members = Counter(member.name.casefold() for one in lists for member in one.members)
    asked: set[str] = set()
    numbers: Counter[str] = Counter()
    tasks = []
    for one in lists:
        if one.split == "distractor":
            continue
        for task in [*wide_tasks(one, seed), *deep_tasks(one, seed)]:
            if task.question in asked or any(
                members[answer.casefold()] > 1 for answer in task.answer or () if len(answer) > 1
            ):
                continue
            asked.add(task.question)
            numbers[task.kind or ""] += 1
            task.instance_id = f"pw_{task.kind}_{numbers[task.kind or '']:05d}"
            tasks.append(task)
    return tasks


# ---------------------------------------------------------------------------------------------------------------- wide


def wide_tasks(one: WorldList, seed: int) -> Iterator[Task]:
    train = one.split == "train"
    for turn in range(TRAIN_PLAIN if train else 1):
        yield _wide(one, one.members, {}, PLAIN, "plain", "", (seed, turn))
    filters = sorted(_filters(one), key=lambda found: seeded(seed, "filter", one.phrase, found[0]))
    for turn, (words, meta, kept) in enumerate(filters[: TRAIN_FILTERED if train else 1]):
        yield _wide(one, kept, meta, FILTERED, "filtered", words, (seed, turn))


def _wide(
    one: WorldList,
    kept: Sequence[Member],
    test: dict[str, Any],
    templates: Sequence[str],
    form: str,
    words: str,
    seed: object,
) -> Task:
    columns = _asked_columns(one, (form, seed), without=test.get("column", ""))
    at = seeded("template", form, one.phrase, seed) % len(templates)
    question = templates[at].format(
        phrase=one.phrase,
        test=words,
        columns=_enumerated([c.name for c in columns]),
        are=_be(columns[0].name) if len(columns) == 1 else "are",
    )
    required = ["name", *(column.name for column in columns)]
    places = [one.columns.index(column) for column in columns]
    rows = [[member.name, *(member.values[place] for place in places)] for member in kept]
    return Task(
        question=_in_context(question, one.phrase, form, seed),
        language="en",
        kind="wide",
        answer=_markdown(required, rows),
        unique_columns=["name"],
        required=required,
        evaluation=_evaluation(columns),
        split=one.split,
        meta={
            **_meta(one, form, f"{form}-{at + 1:02d}"),
            "columns": [column.name for column in columns],
            "filter": test or None,
            "hops": 2,
            "gold_pages": [one.url, *(url_of(member.name) for member in (one.members if test else kept))],
        },
    )


def _asked_columns(one: WorldList, seed: object, without: str = "") -> list[Column]:
    """One to three columns: one and two are asked most. The tested column is not asked for."""
    free = [column for column in one.columns if column.name != without]
    count = min(len(free), (1, 1, 2, 2, 3)[seeded("count", one.phrase, seed) % 5])
    chosen = sorted(free, key=lambda column: seeded("column", one.phrase, column.name, seed))[:count]
    return [column for column in one.columns if column in chosen] if seeded("order", one.phrase) % 2 else chosen


def _filters(one: WorldList) -> Iterator[tuple[str, dict[str, Any], list[Member]]]:
    """Every test that keeps two members or more, but not all: its words, its meta data and whom it keeps."""
    for column in one.columns:
        values = one.values(column.name)
        for value in dict.fromkeys(values):
            kept = [m for m, other in zip(one.members, values, strict=True) if other.casefold() == value.casefold()]
            if 2 <= len(kept) < len(values) and column.kind in ("text", "year") and is_askable(value):
                words = _choose(IS, one.phrase, column.name, value).format(
                    column=column.name, value=value, be=_be(column.name)
                )
                yield words, {"column": column.name, "op": "is", "value": value}, kept
        if column.kind in ("number", "year"):
            yield from _comparisons(one, column, values)


def _comparisons(
    one: WorldList, column: Column, values: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any], list[Member]]]:
    numbers = [number_of(value) or 0.0 for value in values]
    unit = f" {unit_of(values[0])}".rstrip() if unit_of(values[0]) != "%" else "%"
    bound = _bound(sorted(set(numbers)), column.kind == "year", one.phrase)
    if bound is None or min(numbers) < 0 or re.match(r"[$€£¥]", values[0]):
        return
    ways = (("above", AFTER, BEFORE) if column.kind == "year" else ("above", ABOVE, BELOW))[1:]
    for op, ways_to_say in zip(("above", "below"), ways, strict=True):
        kept = [m for m, n in zip(one.members, numbers, strict=True) if (n > bound if op == "above" else n < bound)]
        if 2 <= len(kept) < len(values):
            shown = f"{bound:.0f}" if column.kind == "year" else f"{bound:,.10g}{unit}"
            words = _choose(ways_to_say, one.phrase, column.name).format(
                column=column.name, value=shown, be=_be(column.name)
            )
            yield words, {"column": column.name, "op": op, "value": shown}, kept


def _bound(numbers: Sequence[float], is_year: bool, key: str) -> float | None:
    """A round number between two neighbours among the values; for years one of the years."""
    if len(numbers) < 4:
        return None
    low = 1 + seeded("bound", key) % (len(numbers) - 3)
    if is_year:
        return numbers[low]
    for digits in range(-9, 3):
        middle = round((numbers[low] + numbers[low + 1]) / 2, digits)
        if numbers[low] < middle < numbers[low + 1]:
            return middle
    return None


# ---------------------------------------------------------------------------------------------------------------- deep


def deep_tasks(one: WorldList, seed: int) -> Iterator[Task]:
    """Of a list of train one question of each kind; of the others one in turn."""
    kinds = (_attribute_task, _which_task, _of_which_task)
    first = seeded("deep", seed, one.phrase) % len(kinds)
    for kind in kinds if one.split == "train" else (kinds[first],):
        task = kind(one, seed)
        if task:
            yield task


def _attribute_task(one: WorldList, seed: int) -> Task | None:
    named = [place for place, member in enumerate(one.members) if is_askable(member.name, 40)]
    if not named:
        return None
    place = named[seeded("member", seed, one.phrase) % len(named)]
    column = one.columns[seeded("attribute", seed, one.phrase) % len(one.columns)]
    member = one.members[place]
    at = seeded("template", "attribute", seed, one.phrase) % len(ATTRIBUTE)
    question = ATTRIBUTE[at].format(column=column.name, be=_be(column.name), member=member.name, phrase=one.phrase)
    value = member.values[one.columns.index(column)]
    meta = {"hops": 1, "columns": [column.name], "member": member.name, "filter": None}
    return _deep(
        one,
        question,
        value,
        [url_of(member.name)],
        {**_meta(one, "attribute", f"attribute-{at + 1:02d}"), **meta},
        seed,
    )


def _which_task(one: WorldList, seed: int) -> Task | None:
    pick = _pick(one, ("which", seed))
    if not pick:
        return None
    templates = WHICH_HAS if pick.has and seeded("has", seed, one.phrase) % 2 else WHICH
    at = seeded("template", "which", seed, one.phrase) % len(templates)
    template = f"which{'-has' if templates is WHICH_HAS else ''}-{at + 1:02d}"
    question = templates[at].format(phrase=one.phrase, pick=pick.words, has=pick.has)
    answer = one.members[pick.member].name
    meta = {**_meta(one, "which", template), "hops": 2, "columns": [], **pick.meta}
    return _deep(one, question, answer, [one.url, *(url_of(m.name) for m in one.members)], meta, seed)


def _of_which_task(one: WorldList, seed: int) -> Task | None:
    pick = _pick(one, ("of which", seed))
    if not pick:
        return None
    told = dict(zip(one.columns, one.members[pick.member].values, strict=True))
    others = [c for c, value in told.items() if c.name != pick.column and value.casefold() not in pick.words.casefold()]
    if not others:
        return None
    column = others[seeded("other", seed, one.phrase) % len(others)]
    at = seeded("template", "of which", seed, one.phrase) % len(OF_WHICH)
    question = OF_WHICH[at].format(phrase=one.phrase, pick=pick.words, column=column.name, be=_be(column.name))
    answer = told[column]
    meta = {**_meta(one, "of_which", f"of-which-{at + 1:02d}"), "hops": 3, "columns": [column.name], **pick.meta}
    return _deep(one, question, answer, [one.url, *(url_of(m.name) for m in one.members)], meta, seed)


def _pick(one: WorldList, seed: object) -> Pick | None:
    """One of the ways to single out a member that cannot be misread."""
    picks = [*_unique_values(one), *_extremes(one)]
    return min(picks, key=lambda pick: seeded("pick", seed, one.phrase, pick.words), default=None)


def _unique_values(one: WorldList) -> Iterator[Pick]:
    for column in one.columns:
        values = one.values(column.name)
        count = Counter(value.casefold() for value in values)
        for place, value in enumerate(values):
            gives_away = one.members[place].name.casefold() in value.casefold()
            if count[value.casefold()] == 1 and is_askable(value) and not gives_away:
                words = _choose(IS, one.phrase, column.name, value).format(
                    column=column.name, value=value, be=_be(column.name)
                )
                meta = {"filter": {"column": column.name, "op": "is", "value": value}}
                yield Pick(words, f"{value} as its {column.name}", column.name, place, meta)


def _extremes(one: WorldList) -> Iterator[Pick]:
    for column in one.columns:
        if column.kind not in ("number", "year"):
            continue
        numbers = [number_of(value) or 0.0 for value in one.values(column.name)]
        ends = (("highest", max(numbers), HIGHEST, LATEST), ("lowest", min(numbers), LOWEST, EARLIEST))
        for end, number, of_numbers, of_years in ends:
            if numbers.count(number) == 1:
                ways = of_years if column.kind == "year" else of_numbers
                words = _choose(ways, one.phrase, column.name).format(column=column.name, be=_be(column.name))
                has = words.removeprefix("with ") if words.startswith("with ") else ""
                meta = {"filter": None, "extreme": {"column": column.name, "end": end}}
                yield Pick(words, has, column.name, numbers.index(number), meta)


def _deep(one: WorldList, question: str, answer: str, gold: list[str], meta: dict[str, Any], seed: int) -> Task:
    return Task(
        question=_in_context(question, one.phrase, "deep", seed),
        language="en",
        kind="deep",
        answer=accepted(answer),
        split=one.split,
        meta={**meta, "gold_pages": gold},
    )


def accepted(answer: str) -> list[str]:
    """The answer, and for a number how else it may be written: without separators, without its unit."""
    forms = [answer]
    if number_of(answer) is not None:
        forms += [answer.replace(",", ""), answer.partition(" ")[0], answer.partition(" ")[0].replace(",", "")]
    return list(dict.fromkeys(forms))


# --------------------------------------------------------------------------------------------------------------- words


def is_askable(text: str, longest: int = 30) -> bool:
    """Whether a value or name can stand in a question without being misread."""
    return len(text) <= longest and not re.search(
        r"[,;:?!()\"/|&]|\.(?:\s|$)|'\s|(?:^|\s)(?:and|with|as|their|its|whose|is|the one|which|by|for|of the)(?:\s|$)",
        text,
        re.I,
    )


def _be(column: str) -> str:
    """ "is", or "are" for a column in the plural."""
    return "are" if re.search(r"[^sui]s$", column) else "is"


def _enumerated(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _in_context(question: str, *key: object) -> str:
    """Three in ten questions come with a sentence before or thanks behind."""
    draw = seeded("context", *key)
    if draw % 10 < 2:
        context = CONTEXT[draw // 10 % len(CONTEXT)]
        return context + (
            question[0].lower() + question[1:] if context.endswith(", ") and question[:2] != "I " else question
        )
    return question + THANKS[draw // 10 % len(THANKS)] if draw % 10 == 2 else question


def _choose(ways: Sequence[str], *key: object) -> str:
    return ways[seeded("way", *key) % len(ways)]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row(header), "|" + "---|" * len(header), *map(_row, rows)]
    return "\n".join(["```markdown", *lines, "```"])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _evaluation(columns: Sequence[Column]) -> dict[str, Any]:
    """WideSearch's pipeline; its column names have no spaces."""
    kinds = {"name": "text"} | {column.name.replace(" ", ""): column.kind for column in columns}
    return {
        "unique_columns": ["name"],
        "required": list(kinds),
        "eval_pipeline": {name: METRICS[kind] for name, kind in kinds.items()},
    }


def _meta(one: WorldList, form: str, template: str) -> dict[str, Any]:
    return {"phrase": one.phrase, "list_url": one.url, "domain": one.domain, "form": form, "template": template}
