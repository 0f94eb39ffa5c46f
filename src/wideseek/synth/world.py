"""A world of pages out of real tables, without any model.

    TableSource   a table as it was found: title, section, header, rows
    WorldList     a clean list: its noun phrase, its columns, its members with one value per column
    Page          one for the list (it names and numbers the members, nothing else), one for each member (`column:
    value`
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
from functools import lru_cache
from typing import Literal

import msgspec

from wideseek.records import Page
from wideseek.synth.cells import (
    ColumnKind,
    clean_name,
    clean_text,
    column_kind,
    column_name,
    has_lost_separators,
    is_usable_cell,
    is_usable_name,
    noun_name,
    number_of,
    squared,
)
from wideseek.synth.phrases import (
    Casing,
    decade_phrase,
    head_stems,
    is_clean_phrase,
    is_people_header,
    list_phrase,
    narrowed_phrase,
)

HOST = "https://pocket.example"
MAX_MEMBERS = 12
MIN_MEMBERS = 3
MAX_COLUMNS = 6
USUAL_MEMBERS = 8
USABLE_SHARE = 0.7

_DATING = {
    "year",
    "released",
    "opened",
    "completed",
    "built",
    "founded",
    "established",
    "season",
    "inducted",
    "first flight",
}
_NAMING = {
    "player",
    "team",
    "club",
    "title",
    "athlete",
    "driver",
    "rider",
    "song",
    "film",
    "album",
    "artist",
    "member",
    "school",
}

Split = Literal["train", "dev", "test", "distractor"]


class TableSource(msgspec.Struct, frozen=True, kw_only=True):
    """A table as found.

    `phrase` names its list outright; `cut_at` is the length at which the source cuts its tables; `complete` is false
    where the rows are known to be a choice.
    """

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
    complete: bool = True


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


@lru_cache(200_000)
def slug_of(title: str) -> str:
    """Letters of any script and digits, lower-case, words joined by "-"."""
    kept = "".join(
        c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in title.lower().replace("'", "")
    )
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
    at, phrase = _name_and_phrase(source, rows, casing, places)
    if at is None or not phrase:
        return []
    cut = len(rows) == source.cut_at
    named = _uniquely_named(rows, at)
    whole = source.complete and not cut and len(named) == len(source.rows)
    if len(named) <= USUAL_MEMBERS + 1 and not cut:
        return _as_lists([_make_list(source, phrase, named, at, whole=whole)])
    parts = _best_parts(source, phrase, named, at, places, whole=whole)
    if parts or cut:
        return parts
    uncut = len(named) <= MAX_MEMBERS and seeded("uncut", source.key) % 3 == 0
    keep = len(named) if uncut else 5 + seeded("keep", source.key) % 4
    return _as_lists([_make_list(source, phrase, named[:keep], at, whole=whole and keep == len(named))])


def _as_lists(found: Iterable[WorldList | None]) -> list[WorldList]:
    return [one for one in found if one]


def _name_and_phrase(
    source: TableSource, rows: Sequence[Sequence[str]], casing: Casing, places: frozenset[str]
) -> tuple[int | None, str | None]:
    """The column that names the members, and the phrase that calls them together: each has to fit the other."""
    at = _name_column(rows, [_plain_header(header) for header in source.header])
    header = source.header[at] if at is not None else ""
    phrase = source.phrase or list_phrase(source.title, source.section, header, source.intro, casing, places)
    if at is None or not phrase:
        return None, None
    heads = head_stems(phrase)
    called = [place for place, header in enumerate(source.header) if _plain_header(header) in heads]
    if called and at not in called and "name" not in _plain_header(source.header[at]).split():
        at = next((place for place in called if _share_named(rows, place) >= USABLE_SHARE), None)
    return at, phrase


def _plain_header(header: str) -> str:
    return re.sub(r"\s*\(.*", "", header).strip().lower()


def _name_column(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> int | None:
    """The first column with unique clean names, one whose header says so before others."""
    usable = [at for at in range(len(headers)) if _share_named(rows, at) >= USABLE_SHARE]

    def saying(at: int) -> bool:
        return "name" in headers[at].split() or headers[at] in _NAMING

    best = min(usable, key=lambda at: (not saying(at), at), default=None)
    return best if best is not None and (saying(best) or best <= 1) else None


def _uniquely_named(rows: Sequence[list[str]], at: int) -> list[list[str]]:
    """The rows with a usable name that no other row has."""
    rows = [[*row[:at], clean_name(row[at]), *row[at + 1 :]] for row in rows]
    counts = Counter(slug_of(row[at]) for row in rows)
    return [row for row in rows if is_usable_name(row[at]) and counts[slug_of(row[at])] == 1]


def _share_named(rows: Sequence[Sequence[str]], at: int) -> float:
    return len(_uniquely_named([list(row) for row in rows], at)) / max(1, len(rows))


def _best_parts(
    source: TableSource, phrase: str, rows: Sequence[Sequence[str]], at: int, places: frozenset[str], *, whole: bool
) -> list[WorldList]:
    """The lists that one column's values (or decades) split the rows into: the column that keeps most members."""
    best: list[WorldList] = []
    people = is_people_header(source.header[at])
    for column, header in enumerate(source.header):
        name, _ = column_name(header)
        if column == at or not name:
            continue
        by_value = [
            (narrowed_phrase(phrase, name, value, people, places), part)
            for value, part in _grouped(rows, column).items()
        ]
        by_decade = [(decade_phrase(phrase, decade), part) for decade, part in _by_decade(rows, column, name).items()]
        for groups, fixed in ((by_value, column), (by_decade, -1)):
            parts = _as_lists(
                _make_list(source, narrowed, part, at, whole=whole, fixed=fixed)
                for narrowed, part in groups
                if narrowed and len(part) >= MIN_MEMBERS
            )
            if sum(len(part.members) for part in parts) > sum(len(part.members) for part in best):
                best = parts
    return best


def _grouped(rows: Iterable[Sequence[str]], column: int) -> dict[str, list[Sequence[str]]]:
    groups: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def _by_decade(rows: Iterable[Sequence[str]], column: int, name: str) -> dict[str, list[Sequence[str]]]:
    """The rows by the decade of a year: only where the column is one that a thing is "from"."""
    if name not in _DATING:
        return {}
    dated = [row for row in rows if re.match(r"(?:1[5-9]|20)\d\d\b", row[column])]
    return {
        decade: [row for row in dated if row[column][:3] == decade[:3]]
        for decade in dict.fromkeys(f"{row[column][:3]}0s" for row in dated)
    }


def _make_list(
    source: TableSource, phrase: str, rows: Sequence[Sequence[str]], at: int, *, whole: bool, fixed: int = -1
) -> WorldList | None:
    """The list of these rows, or `None` where too little of it is clean. `fixed` is the column that the phrase states.

    A column stays if most of its cells are usable, and then a row stays if all of its cells are.
    """
    if not is_clean_phrase(phrase) or not MIN_MEMBERS <= len(rows) <= MAX_MEMBERS:
        return None
    columns = _usable_columns(source.header, rows, {at, fixed}, set(phrase.lower().split()) | {"name"})
    full = [row for row in rows if all(is_usable_cell(row[column]) for column in columns)]
    if len(full) < max(MIN_MEMBERS, USABLE_SHARE * len(rows)):
        return None
    names = [row[at] for row in full]
    told = {}
    for column, name in columns.items():
        values = _with_units(source, full, column)
        bare_day = name == "date" and column_kind(values) == "number"
        if _is_telling(values, names) and not bare_day:
            told[name] = values
    if len(told) < 2:
        return None
    return WorldList(
        phrase=phrase,
        article=source.article,
        topic=source.title,
        domain=source.domain or domain_of(f"{phrase} {' '.join(source.header)}"),
        columns=[Column(name, column_kind(values)) for name, values in told.items()],
        members=[Member(name, [values[row] for values in told.values()]) for row, name in enumerate(names)],
        whole=whole and len(full) == len(rows),
    )


def _usable_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], taken: set[int], said: set[str]
) -> dict[int, str]:
    """Position and clean name of each column that has mostly usable cells and shares no word with what is `said`."""
    columns: dict[int, str] = {}
    for position, text in enumerate(header):
        values = [row[position] for row in rows if is_usable_cell(row[position])]
        name = noun_name(column_name(text)[0], column_kind(values))
        usable = len(values) >= USABLE_SHARE * len(rows) and not has_lost_separators(values)
        if name and usable and position not in taken and not set(name.split()) & said and len(columns) < MAX_COLUMNS:
            columns[position] = name
            said = said | set(name.split())
    return columns


def _with_units(source: TableSource, rows: Sequence[Sequence[str]], position: int) -> list[str]:
    """The values of a column, with the unit that its header gives in brackets."""
    name, unit = column_name(source.header[position])
    values = [row[position] for row in rows]
    if unit and all(number_of(value) is not None and value[-1].isdigit() for value in values):
        values = [f"{value} {unit}" for value in values]
    return [squared(value) for value in values] if "area" in name.split() else values


def _is_telling(values: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a column says something of each member: not one value for all, the name, or the place in the list."""
    if len({value.lower() for value in values}) == 1:
        return False
    if 3 * sum(value.lower() == name.lower() for value, name in zip(values, names, strict=True)) > len(names):
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
    (
        "screen and music",
        "film films television song songs album albums singles artist director role genre network label",
    ),
    (
        "sport",
        "team teams club clubs player players athlete championship olympics cup league driver drivers rider coach",
    ),
    ("sport", "medalists season stadium draft roster gymnast sport horse tournament squad games football entrants"),
    (
        "politics and people",
        "party senator election minister members alumni parliament incumbent congress judge recipients",
    ),
    ("politics and people", "politicians people inmates governors mayors office university"),
    (
        "transport",
        "airport airports station stations airline line aircraft ship ships railway bridge roads road route car",
    ),
    (
        "science",
        "species crater craters element atomic mineral glacier star asteroid engine protein languages programming",
    ),
    (
        "culture and heritage",
        "church churches museum castle monuments historic heritage school schools library art listed",
    ),
    ("culture and heritage", "college colleges universities buildings magazine newspaper book books dish dishes award"),
    (
        "geography",
        "city cities county counties district districts province provinces population area region state town",
    ),
    (
        "geography",
        "mountains island islands river lakes municipality municipalities parish venues parks country location",
    ),
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
    pages: dict[str, Page] = {}
    for topic, found in titles.items():
        if len(found) >= 2:
            sentence = _pick(_TOPIC_SENTENCES, topic).format(topic=topic, count=len(found), titles="; ".join(found))
            pages.setdefault(url_of(topic), Page(url_of(topic), topic, sentence))
    return list(pages.values())


def _pick(templates: Sequence[str], *parts: object) -> str:
    return templates[seeded("sentence", *parts) % len(templates)]
