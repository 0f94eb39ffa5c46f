"""The one loop that every role runs.

    while turns are left:  the policy says a turn  ->  no call: that is the answer
                                                   ->  calls: the tools reply, in order

An agent ends by answering (`answer`), by a limit (`max_turns`, `turn_cap`, `context`), because the server cut its
answer off (`cut`), or because the budget ended (`budget`). A malformed call is an attempt to call: it gets an error
reply, not an early end.
"""

from __future__ import annotations

import time

from wideseek.errors import BudgetEnded
from wideseek.policy.base import Policy
from wideseek.records import Trajectory
from wideseek.roles import Role
from wideseek.toolbox import Toolbox


async def run_agent(run: Trajectory, role: Role, policy: Policy, tools: Toolbox) -> Trajectory:
    """Run `run`, which holds its opening messages as pending, until it stops; returns the same, grown.

    Raises `PolicyError` when the policy fails for good: what that means is for the team to say.
    """
    started = time.monotonic()
    try:
        while len(run.turns) < role.max_turns:
            asked = time.monotonic()
            completion = run.add(await policy.complete(run, tools.schemas), time.monotonic() - asked)
            if completion.truncated:
                return run.end(completion.truncated, completion.ending or None)
            if not completion.tool_calls:
                return run.end("answer")
            if len(run.turns) == role.max_turns:  # no turn is left to read a result: start nothing
                break
            run.pending = await tools.reply(run, completion.tool_calls)
        return run.end("max_turns")
    except BudgetEnded as ending:
        return run.end("budget", str(ending))
    finally:
        run.seconds = time.monotonic() - started
