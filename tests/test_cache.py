"""`Cached`: one lookup for many callers, failures forgotten, cancelled callers apart."""

import asyncio

import pytest

from wideseek.errors import ToolError
from wideseek.records import Page
from wideseek.tools.base import Hit
from wideseek.tools.cache import Cached


class SlowSource:
    """Answers when `ready` is set; fails the first `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.ready = asyncio.Event()
        self.failures = failures
        self.started: list[object] = []
        self.ended: list[object] = []
        self.closed = False

    async def search(self, query: str, count: int) -> list[Hit]:
        await self._look_up((query, count))
        return [Hit(query, f"https://x/{query}", "")][:count]

    async def page(self, url: str) -> Page | None:
        await self._look_up(url)
        return None if url.endswith("missing") else Page(url, "title", "text")

    async def close(self) -> None:
        self.closed = True

    async def _look_up(self, what: object) -> None:
        self.started.append(what)
        await self.ready.wait()
        if self.failures:
            self.failures -= 1
            raise ToolError("down")
        self.ended.append(what)


@pytest.fixture
async def source() -> SlowSource:
    return SlowSource()


async def waiting() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_hundred_concurrent_identical_searches_cause_one_lookup(source):
    cached = Cached(source)
    asked = [asyncio.create_task(cached.search("a", 3)) for _ in range(100)]
    await waiting()
    source.ready.set()
    assert await asyncio.gather(*asked) == [[Hit("a", "https://x/a", "")]] * 100
    assert source.started == [("a", 3)]
    assert (cached.hits, cached.misses) == (99, 1)


async def test_a_later_identical_lookup_is_answered_from_memory(source):
    cached = Cached(source)
    source.ready.set()
    assert await cached.page("u") == await cached.page("u") == Page("u", "title", "text")
    assert source.started == ["u"]


async def test_another_count_is_another_search(source):
    cached = Cached(source)
    source.ready.set()
    assert await cached.search("a", 0) == []
    assert len(await cached.search("a", 1)) == 1


async def test_that_there_is_no_page_is_remembered(source):
    cached = Cached(source)
    source.ready.set()
    assert await cached.page("missing") is None
    assert await cached.page("missing") is None
    assert (cached.hits, cached.misses) == (1, 1)


async def test_a_failure_reaches_all_who_wait_and_the_next_caller_tries_again():
    source = SlowSource(failures=1)
    cached = Cached(source)
    asked = [asyncio.create_task(cached.page("u")) for _ in range(10)]
    await waiting()
    source.ready.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(result) for result in results] == ["down"] * 10
    assert await cached.page("u") == Page("u", "title", "text")
    assert source.started == ["u", "u"]


async def test_who_hears_of_a_failure_and_tries_again_at_once_is_not_told_the_old_failure():
    source = SlowSource(failures=1)
    cached = Cached(source)
    source.ready.set()

    async def stubborn() -> Page | None:
        try:
            return await cached.page("u")
        except ToolError:
            return await cached.page("u")

    pages = await asyncio.gather(*(stubborn() for _ in range(10)))
    assert pages == [Page("u", "title", "text")] * 10
    assert source.started == ["u", "u"]


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_cancelled_caller_does_not_cancel_the_lookup_of_the_others(source, cancelled):
    cached = Cached(source)
    asked = [asyncio.create_task(cached.page("u")) for _ in range(3)]
    await waiting()
    asked[cancelled].cancel()
    await waiting()
    source.ready.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(results.pop(cancelled), asyncio.CancelledError)
    assert results == [Page("u", "title", "text")] * 2
    assert source.started == ["u"]


async def test_a_lookup_ends_with_the_last_caller_who_waits_for_it(source):
    cached = Cached(source)
    asked = [asyncio.create_task(cached.page("u")) for _ in range(2)]
    await waiting()
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    source.ready.set()
    await waiting()
    assert source.ended == []
    assert await cached.page("u") == Page("u", "title", "text")


async def test_callers_after_a_cancelled_one_share_one_lookup(source):
    cached = Cached(source)
    first = asyncio.create_task(cached.page("u"))
    await waiting()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(cached.page("u"))
    await waiting()
    third = asyncio.create_task(cached.page("u"))
    await waiting()
    source.ready.set()
    assert await second == await third == Page("u", "title", "text")
    assert source.started == ["u", "u"]


async def test_the_least_recently_used_result_is_forgotten_first(source):
    cached = Cached(source, pages=2)
    source.ready.set()
    for url in ("a", "b", "a", "c", "a", "b"):
        await cached.page(url)
    assert source.started == ["a", "b", "c", "b"]


async def test_a_caller_may_change_the_list_of_hits_that_it_got(source):
    cached = Cached(source)
    source.ready.set()
    (await cached.search("a", 1)).clear()
    assert len(await cached.search("a", 1)) == 1


async def test_closing_ends_what_runs_and_closes_the_source(source):
    cached = Cached(source)
    asked = asyncio.create_task(cached.page("u"))
    await waiting()
    await cached.close()
    assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], asyncio.CancelledError)
    assert source.closed
