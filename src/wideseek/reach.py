"""Whether a question was within reach of a model that knows one world: told from what was searched, found and read.

    the words first searched for           have to be the question's          else it was not understood
    ...                                    have to stand on the pages read    else there is no such page
    the title of a page that was read      has to be in these words           else it is about something else
    the answer's cells                     have to stand on the pages read    else they are made up

No question is known beforehand: a model of a million parameters answers anything in the form that it was taught, and
this is how a user learns that the answer is worth nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wideseek.records import Rollout, Trajectory

UNDERSTOOD, FOUND, SUPPORTED = 0.6, 0.75, 0.5  # least shares
_SMALL = frozenset(
    {"a", "all", "an", "and", "as", "at", "by", "for", "from", "in", "is", "of", "on", "the", "to", "with"}
)


def out_of_reach(rollout: Rollout, supported: float | None) -> str | None:
    """Why the answer cannot be trusted, or `None`. `supported` is the share of its cells that stand on a page read."""
    first = [run for run in rollout.trajectories if run.path.startswith("lead/1.")] or rollout.trajectories[:1]
    searched = _words(query for run in first for query in _first_queries(run))
    if not searched:
        return "nothing was searched for"
    foreign = searched - _words([rollout.task.question])
    if len(foreign) > (1 - UNDERSTOOD) * len(searched):
        return f"it was not understood (searched for: {', '.join(sorted(searched))})"
    read = [rollout.pages[url] for run in first for url in run.read if url in rollout.pages]
    absent = searched - _words(text for page in read for text in (page.title, page.text))
    if len(absent) > (1 - FOUND) * len(searched):
        full = [run.path for run in first if run.stop == "context"]
        return f"no page was found about {', '.join(sorted(absent))}" + (
            f" ({full[0]} ran out of room)" if full else ""
        )
    titles = [page.title for page in read]
    if not any(_share(_words([title]), searched) >= FOUND for title in titles):
        return f"what was found is about something else ({', '.join(titles[:3])})"
    if supported is None:
        return "no answer came of it"
    if supported < SUPPORTED:
        return f"only {supported:.0%} of the answer stands on a page that was read"
    return None


def _first_queries(run: Trajectory) -> list[str]:
    """What an agent searched for in the first turn in which it searched."""
    for turn in run.turns:
        queries = [
            query for call in turn.completion.tool_calls if isinstance(query := call.arguments.get("query"), str)
        ]
        if queries:
            return queries
    return []


def _share(part: set[str], whole: set[str]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _words(texts: Iterable[str]) -> set[str]:
    """The words that carry meaning, case and a plural s aside."""
    words = {word for text in texts for word in re.findall(r"\w+", text.casefold())}
    return {word.removesuffix("s") for word in words - _SMALL}
