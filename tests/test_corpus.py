"""`Corpus`: what is found, in any script and for any query; and a folder that survives kills, full disks and damage."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wideseek.errors import BadInput, ToolError
from wideseek.records import Page, read_jsonl
from wideseek.tools.corpus import Corpus
from wideseek.tools.generation import merged
from wideseek.tools.snippet import SNIPPET_CHARS, snippet
from wideseek.tools.words import QUERY_CHARS, QUERY_WORDS, query_words

PAGES = [
    Page("https://x/sao-paulo", "São Paulo", "The largest city of Brazil, on the Tietê."),
    Page("https://x/lodz", "Łódź", "A city in central Poland, once known for its textile mills."),
    Page("https://x/tokyo", "東京", "東京は日本の首都である。人口は約千四百万人。"),
    Page("https://x/kyoto", "京都", "京都は日本の古都である。"),
    Page("https://x/beijing", "北京大学", "北京大学位于中国北京市海淀区，成立于一八九八年。"),
    Page("https://x/bangkok", "กรุงเทพมหานคร", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย"),
    Page("https://x/seoul", "서울", "서울은 대한민국의 수도이다."),
    Page("https://x/delhi", "दिल्ली", "दिल्ली भारत की राजधानी है।"),
    Page("https://x/moscow", "Москва", "Москва — столица России."),
    Page("https://x/medals", "Medal table", "Medals of the Winter Games: Norway 4, Finland 3."),
    Page("https://x/norway", "Norway", "A country in the north of Europe. Its cities are Oslo and Bergen."),
    Page("https://x/oslo", "Oslo", "The capital of Norway. Norway, Norway, Norway."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "index"
    assert Corpus.build(PAGES, out) == len(PAGES)
    return out


@pytest.fixture(scope="module")
def corpus(folder) -> Iterator[Corpus]:
    opened = Corpus.open(folder)
    yield opened
    asyncio.run(opened.close())


async def found(corpus: Corpus, query: str, count: int = 3) -> list[str]:
    return [hit.url.removeprefix("https://x/") for hit in await corpus.search(query, count)]


def built(out: Path, pages: list[Page]) -> Corpus:
    Corpus.build(pages, out)
    return Corpus.open(out)


# ---------------------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("Sao Paulo", "sao-paulo"),
        ("SÃO PAULO tiete", "sao-paulo"),
        ("Sa\u0303o Paulo", "sao-paulo"),
        ("Lodz textiles", "lodz"),
        ("日本の首都", "tokyo"),
        ("京", "kyoto"),
        ("北京大学在哪里", "beijing"),
        ("北京大学 1898", "beijing"),
        ("เมืองหลวงของไทย", "bangkok"),
        ("서울의 수도", "seoul"),
        ("भारत की राजधानी", "delhi"),
        ("столица россии", "moscow"),
        ("winter game medal", "medals"),
        ("ｎｏｒｗａｙ", "norway"),
    ],
)
async def test_the_page_is_found_in_any_script(corpus, query, url):
    assert (await found(corpus, query))[0] == url


async def test_the_page_whose_title_is_the_query_comes_first(corpus):
    assert (await found(corpus, "Norway"))[:2] == ["norway", "oslo"]


async def test_equal_scores_keep_the_order_of_the_pages(tmp_path):
    corpus = built(tmp_path / "i", [Page(f"https://x/{i}", "Same", "same words") for i in range(30)])
    assert await found(corpus, "same", 5) == ["0", "1", "2", "3", "4"]


async def test_no_more_hits_than_asked_for(corpus):
    assert len(await corpus.search("city capital country", 2)) == 2
    assert await corpus.search("city", 0) == []
    assert await corpus.search("city", -1) == []
    assert len(await corpus.search("city", 10**18)) > 2


@pytest.mark.parametrize("query", ["", "   ", "🎉🎉", '"(][}{:^~*?\\/!&|', "\ud83d", "\0"])
async def test_a_query_without_words_finds_nothing(corpus, query):
    assert await corpus.search(query, 3) == []


@pytest.mark.parametrize(
    "query",
    ['title:"Oslo', "Oslo AND", "NOT Oslo", "(Oslo OR", "Oslo^-1", "Oslo~9", "[Oslo TO", "+-Oslo", "Oslo 🎉 \ud83d \0"],
)
async def test_query_syntax_is_plain_text(corpus, query):
    assert "oslo" in await found(corpus, query)


async def test_a_query_of_100_kb_is_answered_from_its_beginning(corpus):
    assert (await found(corpus, "Oslo " + "x y z1 " * 20_000))[0] == "oslo"
    assert await found(corpus, "京" * 100_000) == await found(corpus, "京" * QUERY_CHARS)
    assert await found(corpus, "a" * 100_000) == []


@pytest.mark.parametrize("piece", ["x y z1 ", "京都", "京", "a", "w1 w2 ", "\u0301"])
def test_no_query_has_more_words_than_are_looked_up(piece):
    assert len(query_words(piece * 100_000)) <= QUERY_WORDS
    assert query_words(piece * 100_000) == query_words((piece * 100_000)[:QUERY_CHARS])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.characters(), max_size=200), count=st.integers(1, 5))
def test_any_text_is_a_query(corpus, query, count):
    hits = asyncio.run(corpus.search(query, count))
    assert len(hits) <= count
    assert asyncio.run(corpus.page(query)) is None


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(), max_size=1200), words=st.lists(st.text(min_size=1, max_size=8), max_size=5))
def test_a_snippet_is_one_line_of_at_most_300_characters(text, words):
    line = snippet(text, words)
    assert len(line) <= SNIPPET_CHARS
    assert len(line.splitlines()) <= 1


async def test_a_snippet_stands_around_the_words_of_the_query(tmp_path):
    text = "Nothing here. " * 200 + "The café's founder was Zoë Ångström.\n" + "More of nothing. " * 200
    corpus = built(tmp_path / "i", [Page("u", "Long", text)])
    [hit] = await corpus.search("founder zoe angstrom cafe", 1)
    assert "The café's founder was Zoë Ångström. More" in hit.snippet
    assert hit.snippet.startswith("… ")
    assert hit.snippet.endswith(" …")


async def test_a_snippet_of_a_text_without_spaces_stands_around_the_words_too(tmp_path):
    corpus = built(
        tmp_path / "i", [Page("u", "長", "無関係な文章。" * 200 + "創業者は山田太郎。" + "無関係な文章。" * 200)]
    )
    [hit] = await corpus.search("山田太郎", 1)
    assert "創業者は山田太郎" in hit.snippet


async def test_a_short_page_is_its_own_snippet(corpus):
    [hit] = await corpus.search("textile mills", 1)
    assert hit.snippet == "A city in central Poland, once known for its textile mills."


async def test_a_page_comes_back_whole_and_an_unknown_url_as_none(corpus):
    assert await corpus.page("https://x/lodz") == PAGES[1]
    assert await corpus.page("https://x/nowhere") is None
    assert await corpus.page("\ud83d") is None


async def test_a_hundred_searches_at_once_give_what_one_gives(corpus):
    alone = await corpus.search("capital Norway", 3)
    assert await asyncio.gather(*(corpus.search("capital Norway", 3) for _ in range(100))) == [alone] * 100


async def test_the_loop_goes_on_while_searches_run(corpus):
    with corpus._store_lock:  # a search that is at work waits here until the loop has had its turn
        searches = [asyncio.create_task(corpus.search("city of Norway", 3)) for _ in range(20)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(search.done() for search in searches)
    assert all(await asyncio.gather(*searches))


async def test_pages_are_searched_and_read_on_threads_of_the_corpus(folder):
    corpus, at_work = Corpus.open(folder), set()
    corpus._store.set_trace_callback(lambda _: at_work.add(threading.current_thread().name.partition("_")[0]))
    await corpus.search("Norway", 3)
    await corpus.page("https://x/oslo")
    await corpus.close()
    assert at_work == {"corpus"}


async def test_an_opened_corpus_says_what_it_is(corpus):
    assert len(corpus) == corpus.info.pages == len(PAGES)
    assert corpus.info.format == 1
    assert corpus.info.bytes > 0
    assert corpus.info.made_by


async def test_closing_twice_is_as_good_as_once(folder):
    corpus = Corpus.open(folder)
    await corpus.close()
    await corpus.close()


# ----------------------------------------------------------------------------------------------------------- adding


async def test_adding_replaces_what_differs_and_skips_what_is_the_same(tmp_path):
    out = tmp_path / "i"
    Corpus.build([Page("a", "A", "apples"), Page("b", "B", "berries")], out)
    assert Corpus.build([Page("a", "A", "apples"), Page("b", "B", "bananas"), Page("c", "C", "cherries")], out) == 2
    corpus = Corpus.open(out)
    assert len(corpus) == 3
    assert await found(corpus, "berries") == []
    assert await found(corpus, "bananas") == ["b"]
    assert await found(corpus, "apples") == ["a"]


async def test_building_the_same_again_changes_nothing(tmp_path):
    out = tmp_path / "i"
    pages = [Page("a", "A", "one"), Page("a", "A", "two"), Page("b", "B", "berries")]
    assert Corpus.build(pages, out) == 2
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert Corpus.build(pages, out) == 0
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


async def test_pages_with_the_same_url_in_one_build_are_merged(tmp_path):
    pages = [Page("a", "A", "An apple.\n\n- red: yes"), Page("b", "B", ""), Page("a", "", "An  apple.\n\n- sweet: yes")]
    corpus = built(tmp_path / "i", pages)
    assert await corpus.page("a") == Page("a", "A", "An apple.\n\n- red: yes\n\n- sweet: yes")
    assert await found(corpus, "sweet") == ["a"]


def test_merging_keeps_every_paragraph_once():
    assert merged("one\n\ntwo", "two\n\nthree") == "one\n\ntwo\n\nthree"
    assert merged("one", "one") == "one"
    assert merged("", "one") == "one"
    assert merged("one", " \n") == "one"


async def test_a_reader_goes_on_with_what_it_opened_while_the_index_grows(tmp_path):
    corpus = built(tmp_path / "i", [Page("a", "A", "apples")])
    Corpus.build([Page("a", "A", "pears")], tmp_path / "i")
    Corpus.build([Page("b", "B", "berries")], tmp_path / "i")
    assert await found(corpus, "apples") == ["a"]
    assert await corpus.page("a") == Page("a", "A", "apples")
    assert len(corpus) == 1


async def test_a_copied_index_opens_and_grows(tmp_path, folder):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.lock"))
    assert len(Corpus.open(copy)) == len(PAGES)
    assert Corpus.build([Page("n", "New", "new")], copy) == 1
    assert len(Corpus.open(copy)) == len(PAGES) + 1


async def test_an_index_without_pages_finds_nothing(tmp_path):
    corpus = built(tmp_path / "i", [])
    assert await found(corpus, "anything") == []


async def test_pages_with_odd_characters_are_kept(tmp_path):
    corpus = built(tmp_path / "i", [Page("u\ud800", "T\0\ud800", "zero\0 x\ud800y"), Page("", "", "")])
    assert await corpus.page("u") == Page("u", "T\0", "zero\0 xy")
    assert await found(corpus, "zero") == ["u"]


def test_progress_counts_the_pages_indexed(tmp_path):
    counts: list[int] = []
    Corpus.build([Page(str(i), "t", "x") for i in range(2500)], tmp_path / "i", progress=counts.append)
    assert counts == [0, 0, 0, 1000, 2000]


# ---------------------------------------------------------------------------------------- kills, damage, full disks


BUILDER = """
import sys
from wideseek.records import Page
from wideseek.tools.corpus import Corpus
Corpus.build([Page(f"https://x/{i}", f"Page {i}", f"text {i} " * 40) for i in range(int(sys.argv[2]))], sys.argv[1])
"""
KILL_POINTS = [
    ("wideseek.tools.indexing:NewGeneration.take", 1),  # the folder is there, no page is
    ("wideseek.tools.indexing:NewGeneration.take", 2),
    ("wideseek.tools.indexing:NewGeneration.index", 1),  # all pages are there, none is indexed
    ("wideseek.tools.generation:_document", 1),
    ("wideseek.tools.generation:_document", 1_500),
    ("wideseek.tools.indexing:NewGeneration.count", 1),  # all are indexed
    ("wideseek.tools.indexing:publish", 1),  # it is whole, but does not count yet
]


def kill_build(out: Path, point: str, number: int) -> None:
    """Build from 3,000 pages in a process that is killed when `point` is reached for the `number`th time."""
    script = f"from tests.points import signal_at\nsignal_at({point!r}, {number})\n{BUILDER}"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(out), "3000"], cwd=Path(__file__).parents[1], check=False
    )
    assert killed.returncode == -signal.SIGKILL


def refusal(work, *arguments) -> str:
    with pytest.raises(BadInput) as caught:
        work(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("point", "number"), KILL_POINTS)
async def test_a_first_build_that_was_killed_says_so_and_the_same_command_heals_it(tmp_path, point, number):
    out = tmp_path / "i"
    kill_build(out, point, number)
    assert refusal(Corpus.open, out).endswith("the build was not finished; run the same `wideseek index` command again")
    corpus = built(out, PAGES)
    assert len(corpus) == len(PAGES)
    assert await found(corpus, "Oslo", 1) == ["oslo"]


@pytest.mark.parametrize(("point", "number"), KILL_POINTS)
async def test_an_addition_that_was_killed_leaves_the_index_as_it_was(tmp_path, point, number):
    out = tmp_path / "i"
    Corpus.build(PAGES, out)
    kill_build(out, point, number)
    corpus = Corpus.open(out)
    assert len(corpus) == len(PAGES)
    assert await found(corpus, "Oslo", 1) == ["oslo"]
    assert Corpus.build([Page("n", "New", "new")], out) == 1
    assert len(Corpus.open(out)) == len(PAGES) + 1
    assert sorted(file.name for file in out.iterdir()) == ["build.lock", "g000002", "meta.json"]


def test_an_input_that_fails_half_way_leaves_the_index_as_it_was(tmp_path):
    out = tmp_path / "i"
    Corpus.build(PAGES, out)

    def pages() -> Iterator[Page]:
        for i in range(3000):
            yield Page(str(i), "t", "x")
        raise BadInput("pages.jsonl, line 3001: broken")

    assert refusal(Corpus.build, pages(), out) == "pages.jsonl, line 3001: broken"
    assert len(Corpus.open(out)) == len(PAGES)


def test_two_builds_at_once_are_refused(tmp_path):
    out = tmp_path / "i"
    Corpus.build(PAGES, out)
    with FileLock(out / "build.lock"):
        assert "another build is at work there" in refusal(Corpus.build, PAGES, out)
    assert len(Corpus.open(out)) == len(PAGES)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_told_and_the_index_is_as_it_was(tmp_path):
    out = tmp_path / "i"
    Corpus.build(PAGES, out)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n{BUILDER}"
    run = subprocess.run([sys.executable, "-c", limited, str(out), "5000"], capture_output=True, text=True, check=False)
    assert "BadInput" in run.stderr
    assert "cannot be written" in run.stderr.splitlines()[-1]
    assert len(Corpus.open(out)) == len(PAGES)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "cannot be written: Not a directory" in refusal(Corpus.build, PAGES, tmp_path / "file" / "i")


def test_a_folder_with_other_things_is_not_built_into(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    assert "holds something else than an index" in refusal(Corpus.build, PAGES, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_folder_and_one_without_index_are_told(tmp_path):
    assert "no such folder; build the index with `wideseek index" in refusal(Corpus.open, tmp_path / "none")
    assert "not an index (no meta.json)" in refusal(Corpus.open, tmp_path)
    (tmp_path / "file").write_text("x")
    assert "cannot be read" in refusal(Corpus.open, tmp_path / "file")


def test_an_index_of_a_newer_format_is_not_opened_nor_built_into(tmp_path):
    out = tmp_path / "i"
    Corpus.build(PAGES, out)
    (out / "meta.json").write_text(json.dumps({"format": 3, "shape": ["all", "new"]}))
    assert "made by format 3, this wideseek reads up to 1: upgrade" in refusal(Corpus.open, out)
    assert "made by format 3" in refusal(Corpus.build, PAGES, out)
    assert (out / "g000001" / "pages.sqlite").exists()


def files_of_an_index(out: Path) -> list[Path]:
    Corpus.build(PAGES, out)
    return [file for file in sorted(out.rglob("*")) if file.is_file() and file.stat().st_size]


@pytest.mark.parametrize("harm", ["missing", "cut", "overwritten"])
def test_damage_to_any_file_is_told_when_the_index_is_opened(tmp_path, harm):
    for number in range(len(files_of_an_index(tmp_path / "count"))):
        out = tmp_path / str(number)
        file = files_of_an_index(out)[number]
        size = file.stat().st_size
        if harm == "missing":
            file.unlink()
        elif harm == "cut":
            os.truncate(file, size // 2)
        else:
            file.write_bytes(b"\xff" * size)
        text = refusal(Corpus.open, out)
        assert text.startswith(f"{out}: ")
        if file.name != "meta.json" or file.parent != out or harm != "missing":
            assert "the index is damaged" in text
            assert "build it again" in text


async def test_damage_that_shows_only_later_is_a_tool_error(tmp_path):
    out = tmp_path / "i"
    Corpus.build([Page(f"u{i}", f"t{i}", f"word{i} " * 500) for i in range(200)], out)
    store = out / "g000001" / "pages.sqlite"
    raw = bytearray(store.read_bytes())
    raw[len(raw) // 2 : len(raw) * 5 // 6] = b"\xff" * (len(raw) // 3)
    store.write_bytes(raw)
    corpus = Corpus.open(out)
    assert await corpus.page("u0")
    with pytest.raises(ToolError, match="the index is damaged"):
        await corpus.page("u120")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="drops rights, so it needs them")
def test_an_index_that_may_only_be_read_opens():
    script = """
import asyncio, os, sys, tempfile
from pathlib import Path
from wideseek.records import Page
from wideseek.tools.corpus import Corpus
with tempfile.TemporaryDirectory() as folder:
    Path(folder).chmod(0o755)
    Corpus.build([Page("u", "Title", "words")], Path(folder) / "i")
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        corpus = Corpus.open(Path(folder) / "i")
        hits = asyncio.run(corpus.search("words", 1))
        try:
            Corpus.build([], Path(folder) / "i")
        except Exception as error:
            os._exit(0 if hits and "cannot be written" in str(error) else 1)
        os._exit(2)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_pages_can_be_read_with_any_sqlite_tool(folder):
    with sqlite3.connect(folder / "g000001" / "pages.sqlite") as store:
        assert store.execute("SELECT count(*) FROM pages").fetchone() == (len(PAGES),)


# -------------------------------------------------------------------------------------------------------- real pages


@pytest.mark.skipif("WIDESEEK_DATA" not in os.environ, reason="WIDESEEK_DATA (the real pages) is not set")
async def test_real_pages_are_found_by_their_titles(tmp_path):
    source = read_jsonl(Path(os.environ["WIDESEEK_DATA"]) / "wikitables" / "pages.jsonl.gz", Page)
    pages = [page for page, _ in zip(source, range(10_000), strict=False)]
    corpus = built(tmp_path / "i", pages)
    assert len(corpus) == len(pages)
    by_title = {page.title: page.url for page in pages}
    asked = list(by_title)[::50]
    hits = await asyncio.gather(*(corpus.search(title, 3) for title in asked))
    right = [by_title[title] in [hit.url for hit in found] for title, found in zip(asked, hits, strict=True)]
    assert sum(right) >= 0.97 * len(asked)
