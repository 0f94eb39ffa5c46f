"""A world of pages out of real tables, without any model.

    TableSource   a table as it was found: title, section, header, rows
    WorldList     a clean list: its noun phrase, its columns, its members with one value per column
    Page          one for the list (it names and numbers the members, nothing else), one for each member (`column: value`
                  lines), one for a topic that several lists share

    lists_of(sources)   -> list[WorldList]    cleaning, naming, splitting, and dropping what clashes
    split_lists(lists)  -> list[WorldList]    train, dev, test or a distractor, by the source article
    pages_of(lists)     -> list[Page]

A member's name is unique in the whole world, so its page is too. The facts are the tables' own; every sentence is ours.
Tables that may be cut in their source are split by the value of a column; a list that does not hold everything is told
to be "as collected here" on its page.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from wideseek.records import Page
from wideseek.synth.cells import ColumnKind, clean_text, column_kind, column_name, is_usable_cell, is_usable_name, number_of
from wideseek.synth.phrases import Casing, is_clean_phrase, is_people_header, list_phrase, narrowed_phrase

HOST = "https://pocket.example"
MAX_MEMBERS = 12
MIN_MEMBERS = 3
MAX_COLUMNS = 6
USUAL_MEMBERS = 8
CUT_LENGTH = 20

Split = Literal["train", "dev", "test", "distractor"]


class TableSource(msgspec.Struct, frozen=True, kw_only=True):
    """A table as found. `phrase` names its list outright; `cut_at` is the length at which the source cuts its tables."""

    key: str
    article: str
    title: str
    section: str = ""
    intro: str = ""
    header: list[str]
    rows: list[list[str]]
    phrase: str = ""
    domain: str = ""
    cut_at: int = 0


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: ColumnKind


class Member(msgspec.Struct, frozen=True):
    name: str
    values: list[str]


class WorldList(msgspec.Struct, frozen=True, kw_only=True):
    """A list of the world. `whole` is false where the source may hold more members than are collected here."""

    phrase: str
    article: str
    topic: str
    domain: str
    columns: list[Column]
    members: list[Member]
    whole: bool
    split: Split = "train"

    @property
    def title(self) -> str:
        return self.phrase[0].upper() + self.phrase[1:]

    @property
    def url(self) -> str:
        return url_of(self.title)

    def values(self, column: str) -> list[str]:
        """The values of a column, one per member in order."""
        at = [c.name for c in self.columns].index(column)
        return [member.values[at] for member in self.members]


def slug_of(title: str) -> str:
    """Letters of any script and digits, lower-case, words joined by "-"."""
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in title.lower().replace("'", ""))
    return "-".join(kept.split())


def url_of(title: str) -> str:
    return f"{HOST}/{slug_of(title)}"


def seeded(*parts: object) -> int:
    """A number that depends on the parts only: the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8])


# ---------------------------------------------------------------------------------------------------- tables to lists


def lists_of(sources: Sequence[TableSource], excluded: Iterable[str] = ()) -> list[WorldList]:
    """The clean lists of all sources, in order; of those that clash in a phrase, a member or a url, the first stays."""
    casing = Casing(source.intro for source in sources)
    places = known_places(sources)
    left_out = set(excluded)
    candidates = [found for source in sources for found in _lists_of_table(source, casing, places)]
    return list(_without_clashes(found for found in candidates if found.phrase not in left_out))


def known_places(sources: Iterable[TableSource]) -> frozenset[str]:
    """What stands in columns that hold places: so that a section "Ohio" is known to be one."""
    columns = {"country", "state", "province", "county", "region", "nation", "city", "island", "continent"}
    found: Counter[str] = Counter()
    for source in sources:
        for at, header in enumerate(source.header):
            if header.lower() in columns:
                found.update({clean_text(row[at]) for row in source.rows if len(row) == len(source.header)})
    return frozenset(place for place, count in found.items() if count > 1 and re.fullmatch(r"[A-Z][\w' -]{3,}", place))


def _lists_of_table(source: TableSource, casing: Casing, places: frozenset[str]) -> list[WorldList]:
    rows = [[clean_text(cell) for cell in row] for row in source.rows if len(row) == len(source.header)]
    at = _name_column(source, rows)
    if at is None or len(rows) != len(source.rows):
        return []
    header = source.header[at]
    phrase = source.phrase or list_phrase(source.title, source.section, header, source.intro, casing, places)
    if not phrase:
        return []
    cut = len(rows) == source.cut_at
    if len(rows) <= USUAL_MEMBERS + 1 and not cut:
        return _as_lists([_make_list(source, phrase, rows, at, whole=True)])
    parts = _best_parts(source, phrase, rows, at, whole=not cut)
    if parts or cut:
        return parts
    keep = len(rows) if len(rows) <= MAX_MEMBERS and seeded("whole", source.key) % 3 == 0 else 5 + seeded("keep", source.key) % 4
    return _as_lists([_make_list(source, phrase, rows[:keep], at, whole=keep == len(rows))])


def _as_lists(found: Iterable[WorldList | None]) -> list[WorldList]:
    return [one for one in found if one]


def _name_column(source: TableSource, rows: Sequence[Sequence[str]]) -> int | None:
    """The column that names the members: unique clean names, and best a header that says so."""
    usable = [
        at
        for at in range(len(source.header))
        if rows and all(is_usable_name(row[at]) for row in rows) and len({row[at].lower() for row in rows}) == len(rows)
    ]
    subject = f"{source.title} {source.section} {source.phrase}".lower()

    def fit(at: int) -> tuple[int, int]:
        header = re.sub(r"\s*\(.*", "", source.header[at]).strip().lower()
        named = header == "name" or "name" in header.split() and "nick" not in header
        said = bool(header) and header[:4] in subject
        return (-(2 * named + said + (header in {"player", "team", "club", "title"})), at)

    best = min(usable, key=fit, default=None)
    return best if best is not None and (fit(best)[0] < 0 or best <= 1) else None


def _best_parts(
    source: TableSource, phrase: str, rows: Sequence[Sequence[str]], at: int, whole: bool
) -> list[WorldList]:
    """The lists that one column's values split the rows into: the column that keeps most members."""
    best: list[WorldList] = []
    for column in range(len(source.header)):
        if column == at:
            continue
        groups: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
        for row in rows:
            groups[row[column]].append(row)
        name, _ = column_name(source.header[column])
        people = is_people_header(source.header[at])
        parts = _as_lists(
            _make_list(source, narrowed, group, at, whole=whole, fixed=column)
            for value, group in groups.items()
            if len(group) >= MIN_MEMBERS and (narrowed := narrowed_phrase(phrase, name, value, people))
        )
        if sum(len(part.members) for part in parts) > sum(len(part.members) for part in best):
            best = parts
    return best


def _make_list(
    source: TableSource, phrase: str, rows: Sequence[Sequence[str]], at: int, *, whole: bool, fixed: int = -1
) -> WorldList | None:
    """The list of these rows, or `None` where too little of it is clean. `fixed` is the column that the phrase states."""
    if not is_clean_phrase(phrase) or not MIN_MEMBERS <= len(rows) <= MAX_MEMBERS:
        return None
    said = set(phrase.lower().split())
    names = [row[at] for row in rows]
    columns: list[tuple[Column, list[str]]] = []
    for position, header in enumerate(source.header):
        name, unit = column_name(header)
        values = [row[position] for row in rows]
        if position in (at, fixed) or not name or len(columns) == MAX_COLUMNS or not all(map(is_usable_cell, values)):
            continue
        if unit and all(number_of(value) is not None and value[-1].isdigit() for value in values):
            values = [f"{value} {unit}" for value in values]
        taken = {word for column, _ in columns for word in column.name.split()} | said | {"name"}
        if set(name.split()) & taken or not _is_telling(values, names):
            continue
        columns.append((Column(name, column_kind(values)), values))
    if len(columns) < 2 or len({slug_of(name) for name in names}) < len(names):
        return None
    return WorldList(
        phrase=phrase,
        article=source.article,
        topic=source.title,
        domain=source.domain or domain_of(f"{phrase} {' '.join(source.header)}"),
        columns=[column for column, _ in columns],
        members=[Member(name, [values[row] for _, values in columns]) for row, name in enumerate(names)],
        whole=whole,
    )


def _is_telling(values: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a column says something of each member: not one value for all, not the name, not the place in the list."""
    if len({value.lower() for value in values}) == 1:
        return False
    if any(value.lower() == name.lower() for value, name in zip(values, names, strict=True)):
        return False
    numbers = [number_of(value) for value in values]
    counting = [float(place) for place in range(1, len(values) + 1)]
    return not (all(n is not None and n < 100 for n in numbers) and [n for n in numbers if n is not None] == counting)


def _without_clashes(candidates: Iterable[WorldList]) -> Iterable[WorldList]:
    taken: set[str] = set()
    for found in candidates:
        slugs = {slug_of(found.title), *(slug_of(member.name) for member in found.members)}
        if len(slugs) == len(found.members) + 1 and not slugs & taken and "" not in slugs:
            taken |= slugs
            yield found


# ------------------------------------------------------------------------------------------------------------- domains

_DOMAINS = (
    ("screen and music", "film films television song songs album albums singles artist director role genre network label"),
    ("sport", "team teams club clubs player players athlete championship olympics cup league driver drivers rider coach"),
    ("sport", "medalists season stadium draft roster gymnast sport horse tournament squad games football entrants"),
    ("politics and people", "party senator election minister members alumni parliament incumbent congress judge recipients"),
    ("politics and people", "politicians people inmates governors mayors office university"),
    ("transport", "airport airports station stations airline line aircraft ship ships railway bridge roads road route car"),
    ("science", "species crater craters element atomic mineral glacier star asteroid engine protein languages programming"),
    ("culture and heritage", "church churches museum castle monuments historic heritage school schools library art listed"),
    ("culture and heritage", "college colleges universities buildings magazine newspaper book books dish dishes award"),
    ("geography", "city cities county counties district districts province provinces population area region state town"),
    ("geography", "mountains island islands river lakes municipality municipalities parish venues parks country location"),
)


def domain_of(text: str) -> str:
    """The field that most of the words speak of."""
    words = Counter(re.findall(r"[a-z]+", text.lower()))
    votes: Counter[str] = Counter()
    for domain, keys in _DOMAINS:
        votes[domain] += sum(words[key] for key in keys.split())
    domain, count = votes.most_common(1)[0]
    return domain if count else "culture and heritage"


# -------------------------------------------------------------------------------------------------------------- splits


def split_lists(lists: Sequence[WorldList], seed: int) -> list[WorldList]:
    """Every list with its split: a fifth of the articles to dev, a fifth to test; lists of one article stay together.

    Of an article with three lists or more, the last becomes a distractor: a page like the others, never asked about.
    """
    siblings: defaultdict[str, list[str]] = defaultdict(list)
    for one in lists:
        siblings[one.article].append(one.phrase)
    done = []
    for one in lists:
        place = seeded("split", seed, one.article) % 10
        split: Split = "test" if place < 2 else "dev" if place < 4 else "train"
        if len(siblings[one.article]) >= 3 and siblings[one.article][-1] == one.phrase:
            split = "distractor"
        done.append(msgspec.structs.replace(one, split=split))
    return done


# --------------------------------------------------------------------------------------------------------------- pages

_LIST_SENTENCES = (
    "This page collects the {phrase}; every entry has a page of its own.",
    "Here are the {phrase}, numbered; what is known of each stands on its own page.",
    "The {phrase}, one a line. Look up an entry's page for its facts.",
)
_PART_SENTENCES = (
    "This page holds the {phrase} as collected here; every entry has a page of its own.",
    "Here are the {phrase} as collected here, numbered; what is known of each stands on its own page.",
    "The {phrase} as collected here, one a line. Look up an entry's page for its facts.",
)
_MEMBER_SENTENCES = (
    "{name} is one of the {phrase}, number {number} as collected here.",
    "{name} stands as number {number} among the {phrase} as collected here.",
    "Number {number} of the {phrase} as collected here is {name}.",
)
_TOPIC_SENTENCES = (
    "{topic} is the subject of {count} lists here: {titles}.",
    "Lists about {topic}, {count} in all: {titles}.",
)


def pages_of(lists: Sequence[WorldList]) -> list[Page]:
    """All pages: a list and then its members, list by list, and the topics at the end."""
    pages = [page for one in lists for page in (list_page(one), *member_pages(one))]
    taken = {page.url for page in pages}
    return pages + [page for page in topic_pages(lists) if page.url not in taken]


def list_page(one: WorldList) -> Page:
    sentence = _pick(_LIST_SENTENCES if one.whole else _PART_SENTENCES, one.phrase).format(phrase=one.phrase)
    lines = [f"#{number} {member.name}" for number, member in enumerate(one.members, 1)]
    return Page(one.url, one.title, "\n".join([sentence, *lines]))


def member_pages(one: WorldList) -> list[Page]:
    pages = []
    for number, member in enumerate(one.members, 1):
        template = _pick(_MEMBER_SENTENCES, member.name)
        sentence = template.format(name=member.name, phrase=one.phrase, number=number)
        facts = [f"{column.name}: {value}" for column, value in zip(one.columns, member.values, strict=True)]
        pages.append(Page(url_of(member.name), member.name, "\n".join([sentence, *facts])))
    return pages


def topic_pages(lists: Sequence[WorldList]) -> list[Page]:
    """A page for every article that several lists come from: similar words, no facts."""
    titles: defaultdict[str, list[str]] = defaultdict(list)
    for one in lists:
        titles[one.topic].append(one.title)
    pages = {}
    for topic, found in titles.items():
        if len(found) >= 2:
            sentence = _pick(_TOPIC_SENTENCES, topic).format(topic=topic, count=len(found), titles="; ".join(found))
            pages.setdefault(url_of(topic), Page(url_of(topic), topic, sentence))
    return list(pages.values())


def _pick(templates: Sequence[str], *parts: object) -> str:
    return templates[seeded("sentence", *parts) % len(templates)]
