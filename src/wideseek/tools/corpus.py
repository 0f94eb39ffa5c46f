"""The offline index: a folder of pages that can be searched and read, as a `Source`.

    Corpus.build(pages, out)    make the index, or add to it        Corpus.open(path)    search and read it

    out/
      meta.json       which generation is current, its counts, the format; replaced in one step, last of all
      build.lock      held while a build runs
      g000002/        the current generation: files that never change
        pages.sqlite  the pages
        text/         the tantivy index of their titles and texts

A build works on a copy (text segments are hard links) in a new generation, and only the new `meta.json` makes it
count. So a build that is killed, fails or meets a full disk leaves the previous index as it was, the same command again
heals what it left behind, and readers go on with the generation that they opened.

Text is indexed as words in lower case, accents folded, English endings stemmed; scripts written without spaces
(Chinese, Japanese, Thai ...) as characters and pairs of characters. A query is a bag of such words: it has no syntax.
The score is BM25 of the text plus BM25 of the title, plus `EXACT_TITLE` times that of the whole query as a title.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tantivy
from filelock import FileLock, Timeout

from wideseek.errors import BadInput, ToolError
from wideseek.records import Page
from wideseek.tools.base import Hit

T = TypeVar("T")

FORMAT = 1
EXACT_TITLE = 3.0  # tuned on wikitables tasks_train, like COMMON
COMMON = 0.3  # a word on more than this share of the pages is sought in titles only: it costs most and tells least
COMMON_FROM = 1_000  # pages; below, every word is cheap
MOST_HITS = 100  # of one search, however many a model asks for
TIES = 20  # hits fetched beyond those asked for, so that equal scores are cut in the same order each time
QUERY_CHARS, QUERY_WORDS = 10_000, 64  # what is read of a query
SNIPPET_CHARS = 300
SNIPPET_FROM = 200_000  # characters of a page that are looked through for its snippet
WORKERS = min(4, os.cpu_count() or 1)
BATCH = 1_000
WRITER_BYTES = 128_000_000


class CorpusInfo(msgspec.Struct, frozen=True):
    """What an index holds: pages, bytes on disk, its format, and the version of wideseek that built it."""

    format: int
    made_by: str
    pages: int
    bytes: int


class Corpus:
    """An index, open for reading. Safe to use from many tasks at once; at most `WORKERS` lookups run at a time."""

    def __init__(self, path: Path, meta: _Meta, store: sqlite3.Connection, index: tantivy.Index) -> None:
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
        return _build(pages, Path(out), progress or (lambda count: None))

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """The index at `path`, in milliseconds. Raises `BadInput` saying what is wrong with it and what next."""
        path = Path(path)
        meta = _read_meta(path)
        try:
            return cls(path, meta, *_open_generation(path, meta))
        except BadInput:
            now = _read_meta(path)
            if now.generation == meta.generation:
                raise
            return cls(path, now, *_open_generation(path, now))  # a build was finished in between

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

    async def close(self) -> None:
        """Wait for lookups that run, then close the files. Closing twice does nothing more."""
        await asyncio.to_thread(self._workers.shutdown)
        self._store.close()

    async def _run(self, work: Callable[[], T]) -> T:
        """`work` on one of the corpus's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        with _index_errors(lambda problem: ToolError(_damaged(self.path, problem))):
            return work()

    def _search(self, query: str, count: int) -> list[Hit]:
        words, count = _query_words(query), min(count, MOST_HITS)
        if not words or count < 1:
            return []
        telling = self._telling(words)
        found = self._searcher.search(self._query(words, telling), count + TIES, count=False).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in found])
        ranked = sorted((-score, int(id or 0)) for (score, _), id in zip(found, ids, strict=True))
        best = [id for _, id in ranked[:count]]
        places = ",".join("?" * len(best))
        sql = f"SELECT id, title, url, substr(text, 1, {SNIPPET_FROM}) FROM pages WHERE id IN ({places})"
        rows = self._rows(sql, tuple(best))
        by_id = {id: Hit(title, url, snippet(text, telling)) for id, title, url, text in rows}
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
        rows = self._rows("SELECT url, title, text FROM pages WHERE url = ?", (_encodable(url),))
        return Page(*rows[0]) if rows else None

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._store_lock:
            return self._store.execute(sql, values).fetchall()


# ------------------------------------------------------------------------------------------------------------ words

_MARKS = re.compile(  # diacritics, Hebrew points, Arabic vowels; tone marks and the like that tantivy would split at
    "[\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e47-\u0e4e\u0ec8-\u0ecd\u1039\u103a\u17c9-\u17d3]"
)
_SPACELESS = re.compile(  # Thai, Lao; Myanmar; Khmer; kana; Han; Hangul (its endings are glued to the words)
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def _analyzer(*more: tantivy.Filter) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for step in (tantivy.Filter.remove_long(100), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold(), *more):
        builder = builder.filter(step)
    return builder.build()


_PLAIN, _STEMMED = _analyzer(), _analyzer(tantivy.Filter.stemmer("english"))


def _indexable(text: str) -> str:
    """`text` with accents folded, and runs of a script without spaces as their characters and pairs of characters."""
    return text if text.isascii() else _SPACELESS.sub(lambda run: _pieces(run[0], singles=True), _folded(text))


def _query_words(query: str) -> list[str]:
    """The distinct words of a query as they stand in the index; of runs without spaces, the pairs."""
    text = _folded(query[:QUERY_CHARS])
    text = _SPACELESS.sub(lambda run: _pieces(run[0], singles=len(run[0]) == 1), text)
    return list(dict.fromkeys(_STEMMED.analyze(text)))[:QUERY_WORDS]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", _encodable(text))))


def _pieces(run: str, singles: bool) -> str:
    pairs = [run[i : i + 2] for i in range(len(run) - 1)]
    return f" {' '.join([*run, *pairs] if singles else pairs)} " if len(run) > 1 else f" {run} "


def _encodable(text: str) -> str:
    """Without lone surrogates, which JSON may hold and UTF-8 may not."""
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()


# --------------------------------------------------------------------------------------------------------- snippets


def snippet(text: str, words: list[str]) -> str:
    """One line of at most `SNIPPET_CHARS` characters: the part of `text` with the most of the `words` (as indexed).

    Of several parts with as many it is the first; without any, the beginning.
    """
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    if len(line) <= SNIPPET_CHARS:
        return line
    start = _best_start(line, words)
    part = line[start : start + SNIPPET_CHARS - 4]
    if start + len(part) < len(line):
        part = f"{_whole_words(part)} …"
    return f"… {part}" if start else part


def _best_start(line: str, words: list[str]) -> int:
    """Where the part with the most different words begins, some words before the first of them."""
    folded = line.lower() if line.isascii() else line.translate(_LOOKALIKES)
    matches = sorted((start, word) for word in words for start in _places(folded, word))
    best, best_start, last = 0, 0, 0
    inside: Counter[str] = Counter()
    for start, word in matches:
        while last < len(matches) and matches[last][0] < start + SNIPPET_CHARS * 3 // 4:
            inside[matches[last][1]] += 1
            last += 1
        if len(inside) > best:
            best, best_start = len(inside), start
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    lead = SNIPPET_CHARS // 6
    start = min(best_start - lead, len(line) - SNIPPET_CHARS + 4)
    if start <= 0:
        return 0
    space = line.find(" ", start, start + lead)
    return space + 1 if space >= 0 else start


def _places(line: str, word: str) -> Iterator[int]:
    """Where `word`, a stem, begins a word of `line`.

    Of up to three letters it must be the whole word; of a script without spaces it may stand anywhere.
    """
    anywhere, whole = _SPACELESS.match(word), len(word) <= 3
    start = line.find(word)
    while start >= 0:
        end = start + len(word)
        inside = start > 0 and line[start - 1].isalnum()
        goes_on = whole and end < len(line) and line[end].isalnum()
        if anywhere or not (inside or goes_on):
            yield start
        start = line.find(word, end)


def _whole_words(part: str) -> str:
    """`part` without the word that it ends in the middle of, if that is not most of it."""
    space = part.rfind(" ", len(part) // 2)
    return part[:space] if space >= 0 else part


class _Lookalikes(dict[int, str]):
    """Each character to one folded character, so that places in the folded line are places in the line."""

    def __missing__(self, code: int) -> str:
        found = _PLAIN.analyze(_folded(chr(code)))
        self[code] = found[0][0] if found else chr(code)
        return self[code]


_LOOKALIKES = _Lookalikes()


# --------------------------------------------------------------------------------------------------------- building


class _Meta(msgspec.Struct):
    """`meta.json`: `files` has the size in bytes of each file of the generation, by its path there."""

    format: int
    made_by: str
    generation: int
    pages: int
    files: dict[str, int]

    @property
    def folder(self) -> str:
        return f"g{self.generation:06d}"


class _Format(msgspec.Struct):
    format: int


def _build(pages: Iterable[Page], out: Path, progress: Callable[[int], None]) -> int:
    with _writing(out):
        if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
            raise BadInput(f"{out}: holds something else than an index; name a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / "build.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise BadInput(f"{out}: another build is at work there; try again when it has ended") from None
    try:
        return _build_locked(iter(pages), out, progress)
    finally:
        lock.release()


def _build_locked(pages: Iterator[Page], out: Path, progress: Callable[[int], None]) -> int:
    with _writing(out):
        old = _read_meta(out) if (out / "meta.json").exists() else None
        if old:
            _open_generation(out, old)[0].close()
        _remove_other_generations(out)
        new = _Meta(FORMAT, version("wideseek"), old.generation + 1 if old else 1, 0, {})
    try:
        changed = _write_generation(pages, out, old, new, progress)
        if old is None or changed:
            with _writing(out):
                _publish(out, new)
        return changed
    finally:
        _remove_other_generations(out)


def _write_generation(
    pages: Iterator[Page], out: Path, old: _Meta | None, new: _Meta, progress: Callable[[int], None]
) -> int:
    """Write the files of `new`, and how many pages it has. Returns how many of them are new or changed."""
    folder = out / new.folder
    with _writing(out):
        if old:
            shutil.copytree(out / old.folder, folder, copy_function=_copied)
        (folder / "text").mkdir(parents=True, exist_ok=True)
        generation = _Generation(folder, new.generation)
    with contextlib.closing(generation):
        while batch := list(islice(pages, BATCH)):  # outside of _writing: what `pages` raises is its own
            with _writing(out):
                generation.take(batch)
            progress(0)
        with _writing(out):
            changed = generation.index(progress)
            new.pages = generation.count()
    return changed


class _Generation:
    """A generation being written: first pages are taken in, then what is new or changed is indexed, once each."""

    def __init__(self, folder: Path, number: int) -> None:
        self._number = number
        self._text = folder / "text"
        self._store = sqlite3.connect(folder / "pages.sqlite", isolation_level=None)
        # No journal: a build that fails is thrown away whole.
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
        self._store.execute("BEGIN")
        for page in pages:
            url, title, text = map(_encodable, (page.url, page.title, page.text))
            row = self._store.execute("SELECT id, title, text, generation FROM pages WHERE url = ?", (url,)).fetchone()
            if row is None:
                self._store.execute(
                    "INSERT INTO pages (url, title, text, generation) VALUES (?, ?, ?, ?)",
                    (url, title, text, self._number),
                )
                continue
            id, old_title, old_text, generation = row
            if generation == self._number:
                title, text = old_title or title, merged(old_text, text)
            if (title, text, self._number) != row[1:]:
                self._store.execute(
                    "UPDATE pages SET title = ?, text = ?, generation = ? WHERE id = ?", (title, text, self._number, id)
                )
        self._store.execute("COMMIT")

    def index(self, progress: Callable[[int], None]) -> int:
        """Bring the text index up to date with the pages. Returns how many were new or changed."""
        schema = _schema()
        index = tantivy.Index(schema, path=str(self._text))
        index.register_tokenizer("words", _STEMMED)
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
        return changed

    def _taken(self) -> Iterator[tuple[int, str, str, bytes | None]]:
        """Id, title, text and digest when last indexed of each page of this build, in order."""
        sql = """SELECT pages.id, title, text, digest FROM pages LEFT JOIN indexed USING (id)
                 WHERE pages.id > ? AND generation = ? ORDER BY pages.id LIMIT ?"""
        last = 0
        while rows := self._store.execute(sql, (last, self._number, BATCH)).fetchall():
            self._store.execute("BEGIN")
            yield from rows
            self._store.execute("COMMIT")
            last = rows[-1][0]

    def count(self) -> int:
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


def _document(id: int, title: str, text: str) -> tantivy.Document:
    document = tantivy.Document(title=_indexable(title), text=_indexable(text), exact=" ".join(_query_words(title)))
    document.add_unsigned("id", id)
    return document


def _schema() -> tantivy.Schema:
    schema = tantivy.SchemaBuilder()
    schema.add_unsigned_field("id", indexed=True, fast=True)
    schema.add_text_field("title", tokenizer_name="words", index_option="freq")
    schema.add_text_field("text", tokenizer_name="words", index_option="freq")
    schema.add_text_field("exact", tokenizer_name="raw", index_option="freq")
    return schema.build()


# -------------------------------------------------------------------------------------------------- files and errors


def _read_meta(path: Path) -> _Meta:
    """What `meta.json` says, once it is known to be of a format that this version reads."""
    try:
        raw = (path / "meta.json").read_bytes()
        made = msgspec.json.decode(raw, type=_Format).format
        if made <= FORMAT:
            return msgspec.json.decode(raw, type=_Meta)
    except FileNotFoundError:
        raise BadInput(_why_not_there(path)) from None
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror}; name another folder or mend its permissions"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(_damaged(path, f"meta.json: {error}")) from None
    raise BadInput(
        f"{path}: made by format {made}, this wideseek reads up to {FORMAT}: "
        "upgrade, or build it again with `wideseek index`"
    )


def _why_not_there(path: Path) -> str:
    if not path.exists():
        return f"{path}: no such folder; build the index with `wideseek index PAGES.jsonl.gz --out {path}`"
    if _is_ours(path):
        return f"{path}: the build was not finished; run the same `wideseek index` command again"
    return f"{path}: not an index (no meta.json); build one with `wideseek index PAGES.jsonl.gz --out FOLDER`"


def _is_ours(path: Path) -> bool:
    return (path / "build.lock").exists() or (path / "meta.json").exists()


def _open_generation(path: Path, meta: _Meta) -> tuple[sqlite3.Connection, tantivy.Index]:
    folder = path / meta.folder
    for name, size in meta.files.items():
        file = folder / name
        if not file.is_file():
            raise BadInput(_damaged(path, f"{meta.folder}/{name} is missing"))
        if file.stat().st_size != size:
            raise BadInput(_damaged(path, f"{meta.folder}/{name} has {file.stat().st_size} bytes instead of {size}"))
    with _index_errors(lambda problem: BadInput(_damaged(path, problem))):
        index = _opened(folder / "text")
        uri = (folder / "pages.sqlite").absolute().as_uri()
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
    with tempfile.TemporaryDirectory(prefix="wideseek-") as links:
        for file in folder.iterdir():
            if not file.name.endswith(".lock"):
                (Path(links) / file.name).symlink_to(file.absolute())
        return tantivy.Index.open(links)


def _publish(out: Path, meta: _Meta) -> None:
    """Make the new generation the current one: everything on disk first, then `meta.json` in one step."""
    folder = out / meta.folder
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.endswith(".lock")]
    mode = (folder / "pages.sqlite").stat().st_mode
    for file in files:
        file.chmod(mode)  # as the umask says; tantivy makes some files private
    meta.files = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    for file in files:
        _to_disk(file)
    draft = out / "meta.json.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(meta)))
    _to_disk(draft)
    draft.replace(out / "meta.json")


def _to_disk(file: Path) -> None:
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def _remove_other_generations(out: Path) -> None:
    """Remove what is not current: an older generation, or what a build left that did not end."""
    current = _read_meta(out).folder if (out / "meta.json").exists() else None
    for folder in out.glob("g[0-9]*"):
        if folder.name != current:
            shutil.rmtree(folder, ignore_errors=True)


def _copied(source: str, target: str) -> str:
    """A hard link where the file never changes (a tantivy segment) and the disk has them, else a copy."""
    if re.fullmatch(r"[0-9a-f]{32}\..+", Path(source).name):
        with contextlib.suppress(OSError):
            os.link(source, target)
            return target
    return shutil.copy2(source, target)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the disk refuses, as `BadInput`."""

    def refused(problem: str) -> BadInput:
        return BadInput(
            f"{out}: cannot be written: {problem}; free some space or name another folder (nothing is lost)"
        )

    try:
        with _index_errors(refused):
            yield
    except OSError as error:
        raise refused(error.strerror or str(error)) from error


@contextlib.contextmanager
def _index_errors(as_error: Callable[[str], Exception]) -> Iterator[None]:
    """What tantivy and sqlite raise, as the error that `as_error` makes of its first line."""
    try:
        yield
    except (ValueError, sqlite3.Error) as error:
        raise as_error(str(error).partition("\n")[0][:200]) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, not importable and no Exception
            raise
        raise as_error(str(error).partition("\n")[0][:200]) from None


def _damaged(path: Path, problem: str) -> str:
    return f"{path}: the index is damaged: {problem}; remove the folder and build it again with `wideseek index`"
