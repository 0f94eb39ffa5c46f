"""Worlds that do not exist: lists spliced from the words, names and values of real ones.

    known_lists(pages, tasks)        the real lists that these tasks ask about, read back from the world's pages
    spliced_lists(real, count, seed) lists of their kind about nothing real, of as many members or of `sizes`

A model that is trained on a few hundred real lists learns them by heart instead of learning to read. In a spliced list
phrase, names, columns and values are new at every turn, so the only way to answer is to copy from the pages. Nothing
but the given real lists enters: give the lists of train, and dev and test stay unseen.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from wideseek.records import Page, Task
from wideseek.synth.cells import column_kind, is_usable_cell, is_usable_name
from wideseek.synth.phrases import is_clean_phrase
from wideseek.synth.world import Column, Member, WorldList, slug_of, url_of

_NUMBERED = re.compile(r"^#\d+ (.+)$", re.MULTILINE)
_FACT = re.compile(r"^([^:\n]+): (.+)$", re.MULTILINE)
_HEAD = re.compile(r"^(.+?) (of|in|at|from) (.+)$")

SHORTEST, LONGEST = 3, 12  # members of a list, as in the pocket world
FOREIGN = 0.15  # share of lists whose names are written in a script of their own
NEAR_DUPLICATES = 0.15  # share of names made from another name of the same list: the hard copies
REPEATING = 0.3  # share of columns with few different values
SHARING = 0.3  # share of text columns that have words of the name or of another column: a city, the city's stadium
LONGEST_NAME, LONGEST_VALUE = 36, 32


SCRIPTS = {
    "greek": (0x0370, 0x03FF),
    "cyrillic": (0x0410, 0x045F),
    "armenian": (0x0531, 0x0587),
    "hebrew": (0x05D0, 0x05EA),
    "arabic": (0x0620, 0x064A),
    "devanagari": (0x0900, 0x0963),
    "bengali": (0x0980, 0x09E3),
    "gurmukhi": (0x0A01, 0x0A75),
    "gujarati": (0x0A81, 0x0AE3),
    "tamil": (0x0B82, 0x0BD7),
    "telugu": (0x0C00, 0x0C63),
    "kannada": (0x0C80, 0x0CE3),
    "malayalam": (0x0D00, 0x0D63),
    "sinhala": (0x0D81, 0x0DDF),
    "thai": (0x0E01, 0x0E4E),
    "lao": (0x0E81, 0x0ECD),
    "myanmar": (0x1000, 0x103E),
    "georgian": (0x10D0, 0x10FA),
    "ethiopic": (0x1200, 0x135A),
    "khmer": (0x1780, 0x17D3),
    "kana": (0x3041, 0x30FF),
}
"""The blocks of Unicode in which names are made up: writing systems with few enough letters to be learnt one by one."""


def letters_of(script: str) -> str:
    """The letters and marks of a script in `SCRIPTS`."""
    first, last = SCRIPTS[script]
    return "".join(char for char in map(chr, range(first, last + 1)) if unicodedata.category(char)[0] in "LM")


def known_lists(pages: Iterable[Page], tasks: Iterable[Task]) -> list[WorldList]:
    """The lists that `tasks` ask about, with all their members and columns, in the order of the tasks."""
    by_url = {page.url: page for page in pages}
    asked = {str(task.meta["list_url"]): str(task.meta["phrase"]) for task in tasks}
    return [_known_list(by_url, url, phrase) for url, phrase in asked.items()]


def _known_list(pages: dict[str, Page], url: str, phrase: str) -> WorldList:
    names = _NUMBERED.findall(pages[url].text)
    facts = [dict(_FACT.findall(pages[url_of(name)].text.partition("\n")[2])) for name in names]
    values = {column: [fact[column] for fact in facts] for column in facts[0]}
    return WorldList(
        phrase=phrase,
        article=phrase,
        topic=phrase,
        domain="",
        columns=[Column(column, column_kind(found)) for column, found in values.items()],
        members=[Member(name, list(fact.values())) for name, fact in zip(names, facts, strict=True)],
        whole="as collected here" not in pages[url].text,
    )


def spliced_lists(
    real: Sequence[WorldList], count: int, seed: int, sizes: tuple[int, int] = (SHORTEST, LONGEST)
) -> list[WorldList]:
    """`count` lists spliced from `real`, equal for equal seeds. No name is used twice, in one list or in two.

    `sizes` are the fewest and the most members of a list.
    """
    splicer = _Splicer(real, random.Random(seed), sizes)
    return [splicer.make() for _ in range(count)]


class _Splicer:
    def __init__(self, real: Sequence[WorldList], rng: random.Random, sizes: tuple[int, int]) -> None:
        self.rng, self.sizes = rng, sizes
        self.phrases = [one.phrase for one in real]
        self.names = [member.name for one in real for member in one.members]
        self.columns = [(column, one.values(column.name)) for one in real for column in one.columns]
        self.values = [value for _, values in self.columns for value in values]
        self.characters = [char for name in self.names for char in name if char.isalnum() and char.isascii()]
        self.taken: set[str] = set()

    def make(self) -> WorldList:
        """One list."""
        phrase = self._fresh(self._phrase, is_clean_phrase)
        names: list[str] = []
        draw = self._foreign_name() if self.rng.random() < FOREIGN else partial(self._name, names)
        size = self.rng.randint(*self.sizes)
        while len(names) < size:
            names.append(self._fresh(draw, is_usable_name))
        columns = self._columns(phrase, len(names))
        self._share_words(names, columns)
        return WorldList(
            phrase=phrase,
            article=phrase,
            topic=phrase,
            domain="",
            columns=[Column(name, column_kind(values)) for name, values in columns.items()],
            members=[Member(name, [values[row] for values in columns.values()]) for row, name in enumerate(names)],
            whole=self.rng.random() < 0.2,
        )

    def _fresh(self, draw: Callable[[], str], fits: Callable[[str], bool]) -> str:
        """What `draw` gives, drawn again until it fits and its page's address is free."""
        while True:
            text = draw()
            slug = slug_of(text)
            if slug and slug not in self.taken and fits(text):
                self.taken.add(slug)
                return text

    def _phrase(self) -> str:
        """A real phrase's head with another's tail, the words of the tail exchanged or made up."""
        head, joint, tail = self._cut_phrase()
        words = tail.split()
        _, _, other = self._cut_phrase()
        draws: list[Callable[[], str]] = [self._word, self._invented, partial(self.rng.choice, other.split())]
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randrange(len(words))
            if words[at][0].isupper() or words[at].isdigit():
                words[at] = self.rng.choice(draws)()
        if self.rng.random() < 0.3:
            words += [self.rng.choice(["in", "of"]), self._word()]
        return f"{head} {joint} {' '.join(words)}"

    def _cut_phrase(self) -> tuple[str, str, str]:
        while True:
            if match := _HEAD.match(self.rng.choice(self.phrases)):
                return match[1], match[2], match[3]

    def _word(self) -> str:
        return self.rng.choice(self.rng.choice(self.names).split())

    def _invented(self) -> str:
        """Letters in the frequencies of real names."""
        return "".join(self.rng.choices(self.characters, k=self.rng.randint(3, 9))).capitalize()

    def _name(self, others: Sequence[str]) -> str:
        rng = self.rng
        if others and rng.random() < NEAR_DUPLICATES:
            return self._cut(rng.choice(others), rng.choice(self.names))
        draw = rng.random()
        if draw < 0.25:
            return rng.choice(self.names)
        if draw < 0.6:
            return self._cut(rng.choice(self.names), rng.choice(self.names))
        if draw < 0.85:
            return " ".join(self._word() for _ in range(rng.randint(1, 3)))[:LONGEST_NAME].strip()
        return " ".join(self._invented() for _ in range(rng.randint(1, 2)))

    def _foreign_name(self) -> Callable[[], str]:
        """A way to make up names in one script."""
        letters = letters_of(self.rng.choice(list(SCRIPTS)))

        def name() -> str:
            words = [
                "".join(self.rng.choices(letters, k=self.rng.randint(2, 9))) for _ in range(self.rng.randint(1, 2))
            ]
            return unicodedata.normalize("NFC", " ".join(words)).strip()

        return name

    def _cut(self, start: str, end: str) -> str:
        """The beginning of one text and the end of another."""
        at, back = self.rng.randint(1, len(start)), self.rng.randint(0, len(end) - 1)
        return " ".join((start[:at] + end[back:]).split())[:LONGEST_NAME].strip()

    # ----------------------------------------------------------------------------------------------------- columns

    def _columns(self, phrase: str, rows: int) -> dict[str, list[str]]:
        said = set(phrase.lower().split())
        columns: dict[str, list[str]] = {}
        wanted = self.rng.choice((2, 2, 3, 3, 4))
        while len(columns) < wanted:
            column, values = self.rng.choice(self.columns)
            name = column.name if self.rng.random() < 0.8 else self._column_name()
            if set(name.split()) & said or not name:
                continue
            made = self._values(column, values, rows)
            if len({value.lower() for value in made}) > 1:
                said |= set(name.split())
                columns[name] = made
        return columns

    def _column_name(self) -> str:
        words = [self.rng.choice(self.rng.choice(self.columns)[0].name.split()) for _ in range(2)]
        return " ".join(dict.fromkeys(words[: self.rng.randint(1, 2)]))

    def _values(self, column: Column, values: Sequence[str], rows: int) -> list[str]:
        """`rows` values like the real ones: digits and words exchanged; few different ones in some columns."""
        made = [self._value(column, self.rng.choice(values)) for _ in range(rows)]
        if self.rng.random() < REPEATING:
            few = made[: self.rng.randint(2, 4)]
            made = [self.rng.choice(few) for _ in range(rows)]
        return made

    def _share_words(self, names: Sequence[str], columns: dict[str, list[str]]) -> None:
        """Some text columns get values with words of what stands beside them, which are easily mistaken for it."""
        texts = [name for name, values in columns.items() if column_kind(values) == "text"]
        for name in texts:
            if self.rng.random() < SHARING:
                sources = [names, *(columns[other] for other in texts if other != name)]
                beside = zip(columns[name], self.rng.choice(sources), strict=True)
                made = [self._akin(value, other) for value, other in beside]
                if len({value.lower() for value in made}) > 1:
                    columns[name] = made

    def _akin(self, value: str, other: str) -> str:
        """A value with words of `other`; as it was where that makes none that is usable."""
        word, part = self._word(), self.rng.choice(other.split())
        drafts = [
            f"{other} {word}",
            f"{part} {word}",
            f"{word} {part}",
            f"{word} ({part})",
            f"{word}, {part}",
            part,
            other,
        ]
        draft = self.rng.choice([*drafts, value])
        return draft if is_usable_cell(draft) and len(draft) <= LONGEST_VALUE else value

    def _value(self, column: Column, like: str) -> str:
        for value in self._drafts(column, like):
            if is_usable_cell(value) and len(value) <= LONGEST_VALUE:
                return value
        return like

    def _drafts(self, column: Column, like: str) -> Iterator[str]:
        for _ in range(5):
            if column.kind != "text":
                yield self._other_digits(like, is_year=column.kind == "year")
            elif (draw := self.rng.random()) < 0.3:
                yield self.rng.choice(self.values)
            elif draw < 0.65:
                yield self._cut(like, self.rng.choice(self.values))
            elif draw < 0.8:
                yield self._name(())
            else:
                yield self._other_digits(like, is_year=False)

    def _other_digits(self, text: str, *, is_year: bool) -> str:
        if is_year:
            return re.sub(r"\d{4}", lambda _: str(self.rng.randint(1850, 2024)), text)
        return re.sub(r"\d+", self._other_number, text)

    def _other_number(self, run: re.Match[str]) -> str:
        """As many digits, none of them a zero at the front where there was none."""
        first = "0" if run[0][0] == "0" else self.rng.choice("123456789")
        return first + "".join(self.rng.choices("0123456789", k=len(run[0]) - 1))
