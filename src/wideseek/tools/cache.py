"""Any `Source` with a memory: what was asked is not looked up again, and what many ask at once is looked up once.

    Cached(source)    -> a Source; the least recently used results are forgotten

Failures are not kept: the next caller tries again. A caller that is cancelled leaves the others' lookup running; it
ends with the last of them.
"""

from __future__ import annotations

from async_lru import alru_cache

from wideseek.records import Page
from wideseek.redaction import redacted
from wideseek.tools.base import Hit, Source

SEARCHES, PAGES = 10_000, 2_000  # results kept in memory


class Cached:
    """`source`, with its results kept for as long as this object lives. That there is no page is a result too.

    No secret of this process is in what it returns: a page that holds a key is shown to no model and stands in no file.

    It belongs to one event loop: called from a second, it forgets what it knows and async-lru warns
    (`AlruCacheLoopResetWarning`). So make one for each `asyncio.run`; a closed one answers no more.
    """

    def __init__(self, source: Source, searches: int = SEARCHES, pages: int = PAGES) -> None:
        self._source = source
        self._search = alru_cache(maxsize=searches)(self._looked_up)
        self._page = alru_cache(maxsize=pages)(self._read)

    @property
    def hits(self) -> int:
        """Calls that were answered from memory or joined a lookup under way."""
        return self._search.cache_info().hits + self._page.cache_info().hits

    @property
    def misses(self) -> int:
        """Calls that caused a lookup."""
        return self._search.cache_info().misses + self._page.cache_info().misses

    async def search(self, query: str, count: int) -> list[Hit]:
        """See `Source.search`."""
        return list(await self._search(query, count))

    async def page(self, url: str) -> Page | None:
        """See `Source.page`."""
        return await self._page(url)

    async def _looked_up(self, query: str, count: int) -> list[Hit]:
        hits = await self._source.search(query, count)
        return [Hit(redacted(hit.title), redacted(hit.url), redacted(hit.snippet)) for hit in hits]

    async def _read(self, url: str) -> Page | None:
        page = await self._source.page(url)
        return page and Page(redacted(page.url), redacted(page.title), redacted(page.text))

    async def close(self) -> None:
        """End the lookups under way, then close the source."""
        await self._search.cache_close()
        await self._page.cache_close()
        await self._source.close()
