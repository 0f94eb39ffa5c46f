"""What can go wrong, as a tree.

    WideseekError
    ├── BadInput               the user's input or configuration: one line, exit code 2
    │   ├── BadConfig          an unknown or ill-typed configuration key (the nearest right one is named)
    │   └── RunDirError        a run folder that cannot be used: locked by another run, unwritable, disk full
    ├── PolicyError            the model's side
    │   ├── PolicyRejected     the server refuses for good: wrong key, unknown model, bad request; never retried
    │   └── PolicyUnavailable  the server could not be reached, or kept failing after every retry
    ├── ToolError              a tool could not do what was asked: becomes text for the agent
    └── BudgetEnded            tokens, money, time or calls ran out, or the user interrupted: an ending, not a failure

What an *agent* does wrong is never an exception: it is told so and goes on (docs/architecture.md, "Failure").
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from wideseek.redaction import redacted


class WideseekError(Exception):
    """Base of every error that wideseek raises on purpose. Its text is one line: where, what, and what next.

    No secret of this process is in it.
    """

    def __str__(self) -> str:
        return redacted(super().__str__())


class BadInput(WideseekError):
    """The user's input cannot be used as it is."""


class BadConfig(BadInput):
    """A configuration key or value is wrong."""


class RunDirError(BadInput):
    """A run folder cannot be used."""


class PolicyError(WideseekError):
    """The policy could not complete a turn."""


class PolicyRejected(PolicyError):
    """The policy will not complete this or any like request; retrying is pointless."""


class PolicyUnavailable(PolicyError):
    """The policy failed on every try."""


class ToolError(WideseekError):
    """A tool call failed; its text is told to the agent."""


class BudgetEnded(WideseekError):
    """The budget allows no further call."""


@contextlib.contextmanager
def as_bad_input(where: str) -> Iterator[None]:
    """Around libraries that read foreign files: whatever they raise becomes `BadInput` in one line, `where` first.

    A panic of a library in Rust is no `Exception`, but it is what such a library says of a file that it cannot read.
    """
    try:
        yield
    except WideseekError:
        raise
    except BaseException as error:
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        reason = " ".join(str(error).strip().partition("\n")[0].split()) or type(error).__name__
        raise BadInput(f"{where}: {reason}") from error
