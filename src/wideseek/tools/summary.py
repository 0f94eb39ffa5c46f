"""Summaries of pages by a policy: with them `access` gives the agent what it asked for instead of the whole page."""

from __future__ import annotations

from collections.abc import Callable

from wideseek.policy.base import Policy
from wideseek.records import Completion, Message, Page, Trajectory
from wideseek.tools.base import Place


class Summary:
    """Asks `policy` what a page says about the wanted information; `opening(page, wanted)` writes the request."""

    def __init__(self, policy: Policy, opening: Callable[[Page, str], list[Message]]) -> None:
        self._policy, self._opening = policy, opening

    async def __call__(self, page: Page, wanted: str, place: Place) -> Completion:
        """Raises `PolicyError` like the policy does. The request's place is under the agent that asked."""
        request = Trajectory(
            role="summary",
            path=f"{place.agent.path}/{place.turn}.{place.index}s",
            context_tokens=place.agent.context_tokens,
            seed=place.agent.seed,
            pending=self._opening(page, wanted),
        )
        return await self._policy.complete(request, [])
