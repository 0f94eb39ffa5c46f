"""An agent's tools: from the calls that a model wrote to the replies that it reads.

    call -> which tool, which arguments (by the prompt profile) -> within the turn's limit? -> the journal, or the tool
         -> text, in the order of the calls, ending with the notice that the agent has to see

Whatever the agent does wrong (a malformed call, an unknown tool, wrong arguments, too many calls) is told to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from wideseek.budget import Budget
from wideseek.concurrency import together
from wideseek.errors import ToolError
from wideseek.journal import Journal, digest
from wideseek.policy.base import ToolSchema
from wideseek.records import Language, Message, Page, ToolCall, Trajectory
from wideseek.roles import Profile, Role, ToolFace
from wideseek.tools.base import Place, Tool, ToolResult

CONTEXT_LOW = 0.8  # share of the context from which an agent is told to come to an end


class _Plan(msgspec.Struct):
    """What is to be done for one call: its tool and the arguments of each item, or the problem that prevents it."""

    tool: str = ""
    items: list[dict[str, Any]] = []
    asked: int = 0
    problem: str = ""


class _Note(msgspec.Struct):
    closing: bool


@dataclass(frozen=True)
class Toolbox:
    """The tools of one agent, under its role's limits and the run's budget.

    `scope` is the task and trial: the first part of every place in the journal. Raw pages that the tools read are put
    into `pages`, by url: the rollout's evidence. `on_page` is called with each page that was not there before.
    """

    role: Role
    tools: Mapping[str, Tool]
    profile: Profile
    language: Language
    budget: Budget
    journal: Journal
    scope: str
    pages: dict[str, Page]
    on_page: Callable[[Page], None] | None = None

    @property
    def schemas(self) -> list[ToolSchema]:
        return [face.schema for face in self._faces.values()]

    async def reply(self, run: Trajectory, calls: list[ToolCall]) -> list[Message]:
        """The replies to one turn's calls, in their order. Raises `BudgetEnded` when time or the user cuts it off."""
        if self._closing(run, "before"):
            replies = [Message("tool", self._say("not_run_budget"), call.id, error=True) for call in calls]
        else:
            replies = await self._run_calls(run, calls)
        notice = self._notice(run)
        if notice:
            replies[-1].text = f"{replies[-1].text}\n\n{notice}"
        return replies

    async def _run_calls(self, run: Trajectory, calls: list[ToolCall]) -> list[Message]:
        plans = self._within_limit([self._plan(call) for call in calls])
        jobs = [(plan.tool, item) for plan in plans for item in plan.items]
        places = [Place(run, len(run.turns), index) for index in range(len(jobs))]
        results = iter(await together(self._run(*job, place) for job, place in zip(jobs, places, strict=True)))
        return [
            self._message(run, call, plan, [next(results) for _ in plan.items])
            for call, plan in zip(calls, plans, strict=True)
        ]

    def _plan(self, call: ToolCall) -> _Plan:
        if call.malformed:
            return _Plan(problem=self._say("malformed_call", problem=call.malformed))
        face = self._faces.get(call.name)
        if face is None:
            return _Plan(problem=self._say("unknown_tool", tool=call.name, tools=", ".join(self._faces)))
        try:
            items = face.calls(call.arguments)
        except ToolError as error:
            return _Plan(problem=self._say("bad_arguments", tool=call.name, problem=error))
        return _Plan(face.tool, items, len(items))

    def _within_limit(self, plans: list[_Plan]) -> list[_Plan]:
        left = self.role.max_calls
        for plan in plans:
            plan.items = plan.items[:left]
            left -= len(plan.items)
        return plans

    async def _run(self, name: str, arguments: dict[str, Any], place: Place) -> ToolResult:
        """One call of one tool, from the journal where it is there."""
        tool = self.tools[name]
        if not tool.replayable:
            return await tool.call(arguments, place)
        key = f"{self.scope}/{place.agent.path}/{place.turn}/{place.index}"
        request = digest(name, arguments)
        recalled = self.journal.recall(key, request, ToolResult)
        if recalled is not None:
            self.journal.recalled += 1
            return recalled
        try:
            async with self.budget.guard(lead=place.agent.parent is None):
                result = await tool.call(arguments, place)
        except ToolError as error:
            result = ToolResult(self._say("tool_failed", problem=error), error=True)
        self.journal.record(key, request, result)
        return result

    def _message(self, run: Trajectory, call: ToolCall, plan: _Plan, results: list[ToolResult]) -> Message:
        if plan.problem:
            return Message("tool", plan.problem, call.id, error=True)
        for result in results:
            run.tool_usage = run.tool_usage + result.usage
            for page in result.pages:
                if self.pages.setdefault(page.url, page) is page and self.on_page:
                    self.on_page(page)
                if page.url not in run.read:
                    run.read.append(page.url)
        texts = [result.text for result in results]
        if len(plan.items) < plan.asked:
            limit = self.role.max_calls
            texts.append(self._say("over_limit", done=len(plan.items), asked=plan.asked, limit=limit))
        return Message("tool", "\n\n".join(texts), call.id, error=all(result.error for result in results))

    def _notice(self, run: Trajectory) -> str:
        """The one notice that matters most now: what an agent is told twice it stops reading."""
        turns, limit = len(run.turns), self.role.max_turns
        used = run.turns[-1].completion.held.tokens
        if self._closing(run, "after"):
            run.hurried = True
            return self._say("budget_closing")
        if turns == limit - 1:
            return self._say("last_turn")
        if used > run.context_tokens * CONTEXT_LOW:
            return self._say("context_low", used=used, limit=run.context_tokens)
        return self._say("turn_hint", turn=turns, max_turns=limit)

    def _closing(self, run: Trajectory, moment: Literal["before", "after"]) -> bool:
        """Whether the budget was closing here; journalled, so that a replay says the same to the agent."""
        if not self.budget.limited:
            return False
        place = f"{self.scope}/{run.path}/{len(run.turns)}/budget-{moment}"
        request = digest(self.budget.limits)
        note = self.journal.recall(place, request, _Note)
        if note is None:
            note = _Note(self.budget.closing)
            self.journal.record(place, request, note)
        return note.closing

    def _say(self, notice: str, **values: object) -> str:
        return self.profile.notice(notice, self.language, **values)

    @property
    def _faces(self) -> dict[str, ToolFace]:
        return self.profile.faces(self.role)
