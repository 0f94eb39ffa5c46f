"""`Corpus`, the offline index: a folder of pages that can be searched and read, as a `Source`.

    Corpus.build(pages, out)    make the index, or add to it        Corpus.open(path)    search and read it

Below it, each on the one before:

    words           what a word is, in a text and in a query        snippet    the part of a page that a hit shows
    generation      the files of one state of an index
    index_folder    which generation is current
    indexing        a build

The score of a page is BM25 of its text plus BM25 of its title, plus `EXACT_TITLE` times that of the whole query as a
title.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tantivy

from wideseek.errors import ToolError
from wideseek.records import Page
from wideseek.tools.base import Hit
from wideseek.tools.generation import index_errors
from wideseek.tools.index_folder import FORMAT as FORMAT
from wideseek.tools.index_folder import Meta, damaged, open_index
from wideseek.tools.indexing import build
from wideseek.tools.snippet import snippet
from wideseek.tools.words import encodable, query_words

T = TypeVar("T")

EXACT_TITLE = 3.0  # tuned on wikitables tasks_train, like COMMON
COMMON = 0.3  # a word on more than this share of the pages is sought in titles only: it costs most and tells least
COMMON_FROM = 1_000  # pages; below, every word is cheap
MOST_HITS = 100  # of one search, however many a model asks for
TIES = 20  # hits fetched beyond those asked for, so that equal scores are cut in the same order each time
SNIPPET_FROM = 200_000  # characters of a page that are looked through for its snippet
WORKERS = min(4, os.cpu_count() or 1)


class CorpusInfo(msgspec.Struct, frozen=True):
    """What an index holds: pages, bytes on disk, its format, and the version of wideseek that built it."""

    format: int
    made_by: str
    pages: int
    bytes: int


class Corpus:
    """An index, open for reading. Safe to use from many tasks at once; at most `WORKERS` lookups run at a time."""

    def __init__(self, path: Path, meta: Meta, store: sqlite3.Connection, index: tantivy.Index) -> None:
        self.path = path
        self.info = CorpusInfo(meta.format, meta.made_by, meta.pages, sum(meta.files.values()))
        self._store, self._store_lock = store, threading.Lock()
        self._schema, self._searcher = index.schema, index.searcher()
        self._workers = ThreadPoolExecutor(WORKERS, "corpus")

    @staticmethod
    def build(pages: Iterable[Page], out: str | Path, *, progress: Callable[[int], None] | None = None) -> int:
        """Make the index `out`, or add to it. Returns how many pages are new or changed.

        Within one build, pages with the same url are merged: the paragraphs that the earlier text lacks are appended.
        So files that overlap belong in one build. A page that an earlier build put in is replaced, or skipped if it is
        the same. `progress` is called every thousand pages with the number indexed so far, 0 while input is still read.

        Raises `BadInput` where the folder cannot be used (another build is at it, it holds something else, a damaged or
        newer index, it cannot be written, the disk is full), and lets through what `pages` raises.
        """
        return build(pages, Path(out), progress or (lambda count: None))

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """The index at `path`, in milliseconds. Raises `BadInput` saying what is wrong with it and what next."""
        path = Path(path)
        return cls(path, *open_index(path))

    def __len__(self) -> int:
        return self.info.pages

    async def search(self, query: str, count: int) -> list[Hit]:
        """The best `count` pages for the words of `query`, best first; equal scores in the order the pages came in.

        At most `MOST_HITS`. Any text is a valid query; one without words finds nothing. Raises `ToolError` where the
        index is damaged.
        """
        return await self._run(lambda: self._search(query, count))

    async def page(self, url: str) -> Page | None:
        """The page at exactly this `url`. Raises `ToolError` where the index is damaged."""
        return await self._run(lambda: self._page(url))

    def pages(self) -> Iterator[Page]:
        """Every page, in the order in which they came in. Raises `ToolError` where the index is damaged."""
        with index_errors(lambda problem: ToolError(damaged(self.path, problem))):
            yield from (Page(*row) for row in self._rows("SELECT url, title, text FROM pages ORDER BY id"))

    async def close(self) -> None:
        """Wait for lookups that run, then close the files. Closing twice does nothing more."""
        await asyncio.to_thread(self._workers.shutdown)
        self._store.close()

    async def _run(self, work: Callable[[], T]) -> T:
        """`work` on one of the corpus's threads."""
        with index_errors(lambda problem: ToolError(damaged(self.path, problem))):
            return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def _search(self, query: str, count: int) -> list[Hit]:
        words, count = query_words(query), min(count, MOST_HITS)
        if not words or count < 1:
            return []
        telling = self._telling(words)
        found = self._searcher.search(self._query(words, telling), count + TIES, count=False).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in found])
        ranked = sorted((-score, int(id or 0)) for (score, _), id in zip(found, ids, strict=True))
        best = [id for _, id in ranked[:count]]
        places = ",".join("?" * len(best))
        sql = f"SELECT id, title, url, substr(text, 1, {SNIPPET_FROM}) FROM pages WHERE id IN ({places})"
        by_id = {id: Hit(title, url, snippet(text, telling)) for id, title, url, text in self._rows(sql, *best)}
        if missing := [id for id in best if id not in by_id]:
            raise ValueError(f"page {missing[0]} is in the index and not in the store")
        return [by_id[id] for id in best]

    def _telling(self, words: list[str]) -> list[str]:
        """Those words that are not on most pages; all, where all are."""
        limit = max(COMMON * self._searcher.num_docs, COMMON_FROM)
        return [word for word in words if self._searcher.doc_freq("text", word) <= limit] or words

    def _query(self, words: list[str], telling: list[str]) -> tantivy.Query:
        """One flat union of terms, which tantivy can cut short (block-max WAND)."""
        clauses = [self._term("text", word) for word in telling]
        clauses += [self._term("title", word) for word in words]
        clauses.append(tantivy.Query.boost_query(self._term("exact", " ".join(words)), EXACT_TITLE))
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, clause) for clause in clauses])

    def _term(self, field: str, word: str) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, word, "freq")

    def _page(self, url: str) -> Page | None:
        rows = self._rows("SELECT url, title, text FROM pages WHERE url = ?", encodable(url))
        return Page(*rows[0]) if rows else None

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._store_lock:
            return self._store.execute(sql, values).fetchall()
