"""The command line: one function per command, grouped by what they are for.

    asking   ask, show, config
    pages    index, search
    scores   tasks, score, eval, compare, audit
    studies  report, study
    training train

Heavy imports stay inside the functions, so that `--help` is instant. Exit codes: 0 complete · 1 failed · 2 usage or bad
input · 3 partial (a budget or limit ended it, or something is missing) · 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from wideseek.cli import asking, pages, scores, studies, training
from wideseek.cli.options import BAD_INPUT, FAILED, INTERRUPTED, replace_unknown_characters, say
from wideseek.errors import WideseekError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog='Start with: wideseek ask "Which ... are there? Give ... and ... for each."',
)
@click.version_option(package_name="wideseek", message="%(version)s")
def app() -> None:
    """A broad question becomes one audited table: a lead agent splits it, parallel subagents search and read."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (default: the process's own); errors are one line on stderr."""
    replace_unknown_characters()
    try:
        code = app(arguments, standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        code = BAD_INPUT
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "wideseek"
        say(f"{where}: {' '.join(error.format_message().split())} (see {where} --help)", err=True)
        code = BAD_INPUT
    except WideseekError as error:
        say(_told(f"wideseek: {error}", arguments), err=True)
        code = BAD_INPUT
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        sys.stderr.close()
        code = FAILED
    except (OSError, UnicodeError) as error:
        say(_told(f"wideseek: cannot read or write: {error}", arguments), err=True)
        code = FAILED
    sys.exit(code or 0)


def _told(line: str, arguments: Sequence[str] | None) -> str:
    """An error's line, or with --debug its trace."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    return traceback.format_exc() if debug else line


for command in (
    *(asking.ask, asking.show, asking.config),
    *(pages.index, pages.search),
    *(scores.tasks, scores.score, scores.evaluate, scores.compare, scores.audit),
    *(studies.report, studies.study),
    training.train,
):
    app.add_command(command)
