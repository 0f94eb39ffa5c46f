"""A team answers a task: the lead delegates through a tool, the subagents it starts run in parallel.

    solve(task)  ->  lead  ->  call_subagent  ->  agent × N  ->  their answers, in order  ->  lead  ->  Rollout

Delegation is a tool like any other (`CallSubagent`); the single-agent baseline is the same code with another role.
Failures of the infrastructure end here: a subagent whose policy failed is reported to the lead as failed, and the
rollout carries the error, so that an answer can still be used and a training step can leave the whole rollout out.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from wideseek.agent import run_agent
from wideseek.budget import Budget, MeteredPolicy
from wideseek.concurrency import together
from wideseek.errors import PolicyError, PolicyRejected
from wideseek.journal import Journal, RecordedPolicy
from wideseek.policy.base import Policy
from wideseek.records import Page, Rollout, Task, Trajectory
from wideseek.roles import LEAD, SINGLE, SUB, SUMMARY, Profile, Role
from wideseek.toolbox import Toolbox
from wideseek.tools.base import Place, Source, Tool, ToolResult
from wideseek.tools.pages import Access, Search
from wideseek.tools.summary import Summary

Workflow = Literal["team", "single"]
Observe = Callable[[Rollout], None]


class PageTools(msgspec.Struct, frozen=True):
    """How `search` and `access` behave: hits per search, characters per page, whether only shown urls open."""

    search_count: int = 3
    page_chars: int = 25_000
    shown_only: bool = True
    summarise: bool = False


class Team:
    """Who works, with what.

    `policies` maps a role's name (`lead`, `sub`, `single`, `summary`) to its policy; a role that is not named uses the
    lead's. The team owns neither policies nor source: whoever opened them closes them.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        source: Source,
        *,
        profile: Profile | None = None,
        roles: Mapping[str, Role] | None = None,
        page_tools: PageTools | None = None,
        budget: Budget | None = None,
        journal: Journal | None = None,
        seed: int = 0,
    ) -> None:
        self.policies, self.source = policies, source
        self.profile = profile or Profile.load("default")
        self.roles = {role.name: role for role in (LEAD, SUB, SINGLE)} | dict(roles or {})
        self.page_tools = page_tools or PageTools()
        self.budget = budget or Budget()
        self.journal = journal or Journal()
        self.seed = seed

    def with_journal(self, journal: Journal) -> Team:
        """The same team, recording elsewhere."""
        team = copy.copy(self)
        team.journal = journal
        return team

    async def solve(
        self,
        task: Task,
        *,
        trial: int = 0,
        workflow: Workflow = "team",
        observe: Observe | None = None,
        on_page: Callable[[Page], None] | None = None,
    ) -> Rollout:
        """One attempt at `task`. `observe` gets the rollout before it starts, and may watch it grow; `on_page` gets
        each page when an agent has read it.

        Returns a rollout in every case but one: raises `PolicyRejected` when a model refuses the very first request of
        a role (a wrong key, an unknown model), because then the user has something to mend.
        """
        attempt = _Attempt(self, task, trial, workflow, on_page)
        if observe:
            observe(attempt.rollout)
        return await attempt.run()


async def rollout_group(team: Team, task: Task, size: int, workflow: Workflow = "team") -> list[Rollout]:
    """`size` independent attempts at one task, run concurrently: the group of GRPO."""
    return await together(team.solve(task, trial=trial, workflow=workflow) for trial in range(size))


class CallSubagent:
    """`call_subagent(task)`: start a subagent on a subtask, wait for it, return its answer."""

    name = "call_subagent"
    replayable = False

    def __init__(self, start: Callable[[str, str], Awaitable[Trajectory]], say: Callable[..., str]) -> None:
        self._start, self._say = start, say

    async def call(self, arguments: dict[str, Any], place: Place) -> ToolResult:
        task = arguments["task"]
        run = await self._start(f"{place.agent.path}/{place.turn}.{place.index + 1}", task)
        if run.answer:
            return ToolResult(self._say("subagent_result", index=place.index + 1, task=task, answer=run.answer))
        # Why the budget ended is left out: its amounts differ from run to run, and a resumed run has to say the same.
        problem = str(run.error) if run.stop == "error" else f"it stopped without an answer ({run.stop})"
        return ToolResult(self._say("subagent_failed", index=place.index + 1, task=task, problem=problem), error=True)


class _Attempt:
    """One rollout while it grows."""

    def __init__(
        self, team: Team, task: Task, trial: int, workflow: Workflow, on_page: Callable[[Page], None] | None
    ) -> None:
        self.team, self.on_page = team, on_page
        self.language = task.language or "en"
        self.scope = f"{task.instance_id or 'ask'}/{trial}"
        self.rollout = Rollout(task=task, trial=trial, workflow=workflow)
        self._refusal: PolicyError | None = None
        self.tools: dict[str, Tool] = {
            "call_subagent": CallSubagent(self._start_subagent, self._say),
            "search": Search(team.source, self._say, team.page_tools.search_count),
            "access": Access(
                team.source,
                self._say,
                team.page_tools.page_chars,
                team.page_tools.shown_only,
                Summary(self._metered("summary"), self._summary_request) if team.page_tools.summarise else None,
            ),
        }

    async def run(self) -> Rollout:
        started = time.monotonic()
        role = "lead" if self.rollout.workflow == "team" else "single"
        lead = await self._run_agent(self.team.roles[role], "lead", self.rollout.task.question)
        self.rollout.answer, self.rollout.stop = lead.answer, lead.stop
        self.rollout.seconds = time.monotonic() - started
        return self.rollout

    async def _start_subagent(self, path: str, task: str) -> Trajectory:
        return await self._run_agent(self.team.roles["sub"], path, task)

    async def _run_agent(self, role: Role, path: str, prompt: str) -> Trajectory:
        """The one boundary where a policy's failure becomes data."""
        run = Trajectory(
            role=role.name,
            path=path,
            prompt=prompt,
            context_tokens=role.context_tokens,
            seed=_seed(self.team.seed, self.scope, path),
            pending=self._opening(role, prompt),
        )
        self.rollout.trajectories.append(run)
        toolbox = Toolbox(
            role,
            self.tools,
            self.team.profile,
            self.language,
            self.team.budget,
            self.team.journal,
            self.scope,
            self.rollout.pages,
            self.on_page,
        )
        try:
            return await run_agent(run, role, self._policy(role.name), toolbox)
        except PolicyError as error:
            if error is self._refusal or (isinstance(error, PolicyRejected) and not self._has_answered(role.name)):
                self._refusal = self._refusal or error  # a subagent's passes through its lead as well
                raise
            self.rollout.error = self.rollout.error or str(error)
            return run.end("error", str(error))

    def _opening(self, role: Role, prompt: str) -> list[Any]:
        kind = self.rollout.task.kind
        return self.team.profile.opening(
            role,
            self.language,
            question=self.rollout.task.question,
            task=prompt,
            answer_format=self._say("answer_deep" if kind == "deep" else "answer_wide"),
            max_turns=role.max_turns,
            max_calls=role.max_calls,
        )

    def _summary_request(self, page: Page, wanted: str) -> list[Any]:
        return self.team.profile.opening(SUMMARY, self.language, title=page.title, text=page.text, wanted=wanted)

    def _policy(self, role: str) -> Policy:
        return RecordedPolicy(self._metered(role), self.team.journal, self.scope)

    def _metered(self, role: str) -> Policy:
        """Unrecorded: a summary is recorded, and its cost counted, with the call of the tool that asked for it."""
        return MeteredPolicy(self._source_of(role), self.team.budget)

    def _has_answered(self, role: str) -> bool:
        """Whether the policy of this role has said anything in this attempt, in whatever role."""
        policy = self._source_of(role)
        return any(run.turns for run in self.rollout.trajectories if self._source_of(run.role) is policy)

    def _source_of(self, role: str) -> Policy:
        return self.team.policies.get(role) or self.team.policies["lead"]

    def _say(self, notice: str, **values: object) -> str:
        return self.team.profile.notice(notice, self.language, **values)


def _seed(base: int, scope: str, path: str) -> int:
    """A 31-bit seed that depends on the place alone, so that a re-run samples the same."""
    return int.from_bytes(hashlib.blake2b(f"{base}/{scope}/{path}".encode(), digest_size=4).digest()) >> 1
