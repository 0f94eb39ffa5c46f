"""`search` and `access`: what subagents hold. They give text from any `Source`.

An agent may open a url only if it was shown it: in its question or subtask, in its own search results, or on a page
that it read. That depends on this agent alone, never on the timing of its siblings, and keeps a model from fetching
an address that it made up or that somebody planted in its weights. Replies never repeat an argument, so that a
refused url stays unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from wideseek.errors import ToolError
from wideseek.records import Completion, Page
from wideseek.tools.base import Hit, Place, Source, ToolResult
from wideseek.tools.shown import was_shown

Say = Callable[..., str]
"""A notice of the prompt profile, in the language of the task: `say("no_results")`."""

Summarise = Callable[[Page, str, Place], Awaitable[Completion]]
"""What a page says about the wanted information: `(page, wanted, place) -> completion`."""


class Search:
    """`search(query, count)`: titles, urls and snippets of the best hits, numbered."""

    name = "search"
    replayable = True

    def __init__(self, source: Source, say: Say, count: int = 3) -> None:
        self._source, self._say, self._count = source, say, count

    async def call(self, arguments: dict[str, Any], place: Place) -> ToolResult:
        hits = await self._source.search(arguments["query"], int(arguments.get("count", self._count)))
        shown = [self._shown(number, hit) for number, hit in enumerate(hits, 1)]
        return ToolResult("\n\n".join(shown) or self._say("no_results"))

    def _shown(self, number: int, hit: Hit) -> str:
        return self._say("search_hit", number=number, title=hit.title, url=hit.url, snippet=hit.snippet)


class Access:
    """`access(url, info_to_extract)`: the page's text, at most `page_chars` characters of it.

    With `summarise`, the text is what that function makes of the page and the wanted information; the evidence still is
    the raw page. `shown_only=False` lets agents open any url.
    """

    name = "access"
    replayable = True

    def __init__(
        self,
        source: Source,
        say: Say,
        page_chars: int = 25_000,
        shown_only: bool = True,
        summarise: Summarise | None = None,
    ) -> None:
        self._source, self._say = source, say
        self._page_chars, self._shown_only, self._summarise = page_chars, shown_only, summarise

    async def call(self, arguments: dict[str, Any], place: Place) -> ToolResult:
        page = await self._page(arguments["url"], place)
        seen = Page(page.url, page.title, page.text[: self._page_chars])
        if self._summarise:
            summary = await self._summarise(seen, arguments.get("info_to_extract", ""), place)
            return ToolResult(summary.text, [seen], summary.usage)
        cut = len(page.text) > self._page_chars
        notes = [self._say("page_cut", limit=self._page_chars)] if cut else []
        text = self._say("page", title=page.title, text=seen.text)
        return ToolResult("\n\n".join([text, *notes]), [seen])

    async def _page(self, asked: str, place: Place) -> Page:
        """The page at the address that was asked for, without the spaces around it or with them. Raises `ToolError`."""
        urls = dict.fromkeys((asked.strip(), asked))
        shown = [url for url in urls if not self._shown_only or was_shown(url, place.agent)]
        if not shown:
            raise ToolError(self._say("url_not_shown"))
        for url in shown:
            page = await self._source.page(url)
            if page is not None:
                return page
        raise ToolError(self._say("no_page"))
