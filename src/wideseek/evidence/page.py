"""A page that was read: indexed once, its structure parsed when a key may stand on it.

ReadPage(page, agent)   the page's words, records and sentences, and which of them hold a word, number or date
Shelf                   the pages of a run, each prepared once; `prepare` may be called as soon as a page was read
"""

from __future__ import annotations

import re
import threading
from functools import cached_property
from itertools import pairwise

from wideseek.evidence.layout import Record, Sentence, read_layout
from wideseek.evidence.text import UNSPACED, Text, clean, fold, without_bracket, words
from wideseek.evidence.values import Day, Value
from wideseek.records import Page

Name = tuple[str, ...]
"""A name as folded words."""

_SIMPLE_WORD = re.compile(rf"[^\W_{UNSPACED}]+")
_DIGIT_OR_SPELT = re.compile(
    r"\d|[零〇一二三四五六七八九十]|\b(?:t(?:wo|hree|en|w)|f(?:our|ive|if)|s(?:ix|ev)|eight|nine)"
)
_SITE = re.compile(r"\s+[-|·»:~]+\s+|\s*[|»]\s*")
_FRONT_PAGES = frozenset(("home", "about", "about us", "contact", "welcome", "imprint", "company", "profile", "facts"))
FEW = 6  # so few sentences are read one by one


class ReadPage:
    """A page with its indexes. `agent` is the path of the first agent that read it."""

    def __init__(self, page: Page) -> None:
        self.url = page.url
        title = " ".join(clean(page.title).split())
        self.title = Text(title)
        self.names, self.bare_names = _title_names(title)
        self.is_qualified = unqualified(title) != title
        self._text = clean(page.text)
        self.folded = fold(self._text)
        simple = _SIMPLE_WORD.findall(self.folded)
        self.squeezed = f" {' '.join(simple)} | {' '.join(_SIMPLE_WORD.findall(fold(title)))} "
        self.simple_words = frozenset(simple) | frozenset(_SIMPLE_WORD.findall(fold(title)))

    @cached_property
    def _layout(self) -> tuple[list[Record], list[Sentence]]:
        return read_layout(self._text)

    @property
    def records(self) -> list[Record]:
        return self._layout[0]

    @property
    def sentences(self) -> list[Sentence]:
        return self._layout[1]

    @cached_property
    def simple_pairs(self) -> frozenset[tuple[str, str]]:
        """Neighbouring words, to look names up."""
        simple = self.squeezed.split()
        return frozenset(pairwise(simple))

    @cached_property
    def common_words(self) -> frozenset[str]:
        """The words that the page writes in lower case: what a name shares with them is no part of a name."""
        return frozenset(re.findall(r"(?<![^\s(\"'/-])[a-z][a-z]+", self._text))

    def mentions(self, name: Name, simple: Name) -> bool:
        if simple:
            return f" {' '.join(simple)} " in self.squeezed
        return all(word in self.folded for word in name)

    @cached_property
    def _records_by_word(self) -> dict[str, list[Record]]:
        by_word: dict[str, list[Record]] = {}
        for record in self.records:
            found = {word for field in record.fields for word in (*field.text.words, *field.label.words)}
            for word in found | set(words(record.heading)):
                by_word.setdefault(word, []).append(record)
        return by_word

    def records_with(self, word: str) -> list[Record]:
        return self._records_by_word.get(word, [])

    @cached_property
    def _sentences_by_word(self) -> dict[str, list[Sentence]]:
        by_word: dict[str, list[Sentence]] = {}
        for sentence in self.sentences:
            for word in set(_SIMPLE_WORD.findall(sentence.folded)):
                by_word.setdefault(word, []).append(sentence)
        return by_word

    def sentences_naming(self, word: str) -> list[Sentence]:
        """The sentences that hold a word of a name, perhaps inside a longer one."""
        if _SIMPLE_WORD.fullmatch(word):
            return self._sentences_by_word.get(word, [])
        return [sentence for sentence in self.sentences if word in sentence.folded]

    @cached_property
    def _sentences_by_value(self) -> dict[float | Day, list[Sentence]]:
        by_value: dict[float | Day, list[Sentence]] = {}
        for sentence in self.sentences:
            if _DIGIT_OR_SPELT.search(sentence.folded):
                for value in {number.value for number in sentence.numbers} | {found.day for found in sentence.dates}:
                    by_value.setdefault(value, []).append(sentence)
        return by_value

    def sentences_with(self, value: Value, sentences: list[Sentence]) -> list[Sentence]:
        """Of these sentences, those that may say the value."""
        if len(sentences) < FEW:
            return sentences
        if value.number is not None and not value.is_year:
            found = self._sentences_by_value.get(value.number.value, [])
            return _shared(found, sentences, self.sentences)
        rarest = [max(part, key=len) for part in (value.parts if len(value.parts) > 1 else [value.words])]
        if value.day is not None:
            rarest = [str(value.day[0] or value.day[2])]
        if not any(word in self.folded for word in rarest) and value.day is None:
            return []
        return [s for s in sentences if value.day is not None or any(word in s.folded for word in rarest)]


def unqualified(title: str) -> str:
    """The title without what tells it from others of its name: `Springfield (Ohio)`, `Springfield, Ohio`."""
    bare = without_bracket(title)
    name, comma, rest = bare.partition(", ")
    return name if comma and len(rest.split()) <= 3 and rest[:1].isupper() and "," not in rest else bare


def _shared(found: list[Sentence], sentences: list[Sentence], every: list[Sentence]) -> list[Sentence]:
    if sentences is every:
        return found
    mine = {id(sentence) for sentence in sentences}
    return [sentence for sentence in found if id(sentence) in mine]


def _title_names(title: str) -> tuple[frozenset[Name], frozenset[Name]]:
    """What the title calls its page: whole or without the name of its site; and the same without a bracket."""
    parts = [part for part in _SITE.split(title) if part.strip()]
    texts = [title, parts[0], " - ".join(parts[:-1])] if len(parts) > 1 else [title]
    if len(parts) > 1 and fold(parts[0].strip()) in _FRONT_PAGES:
        texts = [title, parts[-1]]
    names = frozenset(name for text in texts if (name := words(text)))
    return names, frozenset(name for text in texts if (name := words(unqualified(text))))


class Shelf:
    """The pages of a run by their url, each indexed once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._pages: dict[str, ReadPage] = {}
        self._lock = threading.Lock()

    def prepare(self, page: Page) -> ReadPage:
        """The page, indexed and parsed; about 7 ms for 20,000 characters the first time."""
        with self._lock:
            ready = self._pages.get(page.url)
        if ready is None:
            ready = self.indexed(page)
            _ = ready.records, ready.simple_pairs, ready._records_by_word, ready._sentences_by_word
        return ready

    def indexed(self, page: Page) -> ReadPage:
        """The page, indexed; its structure is parsed when it is asked for."""
        with self._lock:
            ready = self._pages.get(page.url)
        if ready is None:
            ready = ReadPage(page)
            with self._lock:
                ready = self._pages.setdefault(page.url, ready)
        return ready
