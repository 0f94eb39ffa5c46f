"""A generation: the files of one state of an index, written by one build and never changed after it.

g000002/
  pages.sqlite  `pages`: each page, the generation of the build that last brought it; `indexed`: digest of each
                page when it was last put in the text index
  text/         the tantivy index of titles and texts: `title` and `text` as words, `exact` the title as one term

copy_generation(old, new)           where an addition begins; text segments are hard links
NewGeneration(folder, number)       take(pages) as often as there are more, then index() once
open_generation(folder)             to read
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import tantivy

from wideseek.records import Page
from wideseek.tools.words import STEMMED, encodable, indexable, query_words

PAGES, TEXT = "pages.sqlite", "text"
BATCH = 1_000  # pages between two calls of `progress`
WRITER_BYTES = 128_000_000


def copy_generation(old: Path, new: Path) -> None:
    """Make the folder `new` with what `old` has."""
    shutil.copytree(old, new, copy_function=_copied)


def _copied(source: str, target: str) -> str:
    """A hard link where the file never changes (a tantivy segment) and the disk has them, else a copy."""
    if re.fullmatch(r"[0-9a-f]{32}\..+", Path(source).name):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return target
    return shutil.copy2(source, target)


class NewGeneration:
    """A generation being written: first pages are taken in, then what is new or changed is indexed, once each."""

    def __init__(self, folder: Path, number: int) -> None:
        self._number = number
        self._text = folder / TEXT
        self._text.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(folder / PAGES)
        # No journal, one transaction: a build that fails is thrown away whole.
        self._store.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS pages (
                id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL,
                generation INTEGER NOT NULL
            );
            CREATE TABLE IF NOT EXISTS indexed (id INTEGER PRIMARY KEY, digest BLOB NOT NULL);
            """
        )

    def take(self, pages: list[Page]) -> None:
        """Store pages, each merged with what this build already has at its url."""
        taken = "SELECT title, text FROM pages WHERE url = ? AND generation = ?"
        store = """INSERT INTO pages (url, title, text, generation) VALUES (?, ?, ?, ?) ON CONFLICT (url)
                   DO UPDATE SET title = excluded.title, text = excluded.text, generation = excluded.generation"""
        for page in pages:
            url, title, text = map(encodable, (page.url, page.title, page.text))
            for earlier_title, earlier_text in self._store.execute(taken, (url, self._number)).fetchall():
                title, text = earlier_title or title, merged(earlier_text, text)
            self._store.execute(store, (url, title, text, self._number))

    def index(self, progress: Callable[[int], None]) -> int:
        """Bring the text index up to date with the pages. Returns how many were new or changed."""
        schema = _schema()
        index = tantivy.Index(schema, path=str(self._text))
        index.register_tokenizer("words", STEMMED)
        writer = index.writer(WRITER_BYTES, num_threads=1)  # one thread: the same pages make the same index
        changed = 0
        for done, (id, title, text, known) in enumerate(self._taken(), 1):
            digest = blake2b(f"{title}\0{text}".encode(), digest_size=16).digest()
            if digest != known:
                if known is not None:
                    # By query: delete_documents_by_term takes the id for a signed number and finds nothing.
                    writer.delete_documents_by_query(tantivy.Query.term_query(schema, "id", id))
                writer.add_document(_document(id, title, text))
                self._store.execute("INSERT OR REPLACE INTO indexed VALUES (?, ?)", (id, digest))
                changed += 1
            if done % BATCH == 0:
                progress(done)
        writer.commit()
        writer.wait_merging_threads()
        self._store.commit()
        return changed

    def _taken(self) -> Iterator[tuple[int, str, str, bytes | None]]:
        """Id, title, text and digest when last indexed of each page of this build, in order."""
        sql = """SELECT pages.id, title, text, digest FROM pages LEFT JOIN indexed USING (id)
                 WHERE pages.id > ? AND generation = ? ORDER BY pages.id LIMIT ?"""
        last = 0
        while rows := self._store.execute(sql, (last, self._number, BATCH)).fetchall():
            yield from rows
            last = rows[-1][0]

    def count(self) -> int:
        """How many pages there are, those of earlier builds included."""
        return int(self._store.execute("SELECT count(*) FROM pages").fetchone()[0])

    def close(self) -> None:
        self._store.close()


def merged(text: str, more: str) -> str:
    """`text`, and the paragraphs of `more` that it lacks (blank lines part paragraphs; white space does not count)."""
    if more == text or not more.strip():
        return text
    squeezed = " ".join(text.split())
    new = [part for part in re.split(r"\n\s*\n", more.strip()) if " ".join(part.split()) not in squeezed]
    return "\n\n".join([text.rstrip(), *new] if text.strip() else new) if new else text


def _schema() -> tantivy.Schema:
    schema = tantivy.SchemaBuilder()
    schema.add_unsigned_field("id", indexed=True, fast=True)
    schema.add_text_field("title", tokenizer_name="words", index_option="freq")
    schema.add_text_field("text", tokenizer_name="words", index_option="freq")
    schema.add_text_field("exact", tokenizer_name="raw", index_option="freq")
    return schema.build()


def _document(id: int, title: str, text: str) -> tantivy.Document:
    document = tantivy.Document(title=indexable(title), text=indexable(text), exact=" ".join(query_words(title)))
    document.add_unsigned("id", id)
    return document


def open_generation(folder: Path) -> tuple[sqlite3.Connection, tantivy.Index]:
    """The pages and their text index, to be read from any thread. Raises as `index_errors` knows."""
    index = _opened(folder / TEXT)
    uri = (folder / PAGES).absolute().as_uri()
    store = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        store.execute("SELECT url, title, text FROM pages LIMIT 1").fetchone()
    except sqlite3.Error:
        store.close()
        raise
    return store, index


def _opened(folder: Path) -> tantivy.Index:
    """The text index, also from a folder that cannot be written: tantivy wants to make a lock file beside its files."""
    if os.access(folder, os.W_OK):
        return tantivy.Index.open(str(folder))
    links = Path(tempfile.mkdtemp(prefix="wideseek-"))
    try:
        for file in folder.iterdir():
            if not file.name.endswith(".lock"):
                (links / file.name).symlink_to(file.absolute())
        return tantivy.Index.open(str(links))
    finally:
        shutil.rmtree(links, ignore_errors=True)  # tantivy may be making its lock file there just now


@contextlib.contextmanager
def index_errors(as_error: Callable[[str], Exception]) -> Iterator[None]:
    """What tantivy and sqlite raise, as the error that `as_error` makes of its first line."""
    try:
        yield
    except (ValueError, sqlite3.Error) as error:
        raise as_error(str(error).partition("\n")[0][:200]) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, not importable and no Exception
            raise
        raise as_error(str(error).partition("\n")[0][:200]) from None
