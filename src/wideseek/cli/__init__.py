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

import click

from wideseek.cli import asking, pages, scores, studies, training
from wideseek.cli.options import BAD_INPUT, FAILED, INTERRUPTED, replace_unknown_characters
from wideseek.errors import WideseekError
from wideseek.screen import plain


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog='Start with: wideseek ask "Which ... are there? Give ... and ... for each."',
)
@click.version_option(package_name="wideseek", message="%(version)s")
def app() -> None:
    """A broad question becomes one audited table: a lead agent splits it, parallel subagents search and read."""


def main() -> None:
    """Run the command line; errors are one line on stderr."""
    replace_unknown_characters()
    try:
        code = app(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        code = BAD_INPUT
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "wideseek"
        print(f"{where}: {plain(' '.join(error.format_message().split()))} (see {where} --help)", file=sys.stderr)
        code = BAD_INPUT
    except WideseekError as error:
        if "--debug" in sys.argv:
            raise
        print(plain(f"wideseek: {error}"), file=sys.stderr)
        code = BAD_INPUT
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        sys.stderr.close()
        code = FAILED
    except (OSError, UnicodeError) as error:
        if "--debug" in sys.argv:
            raise
        print(plain(f"wideseek: cannot read or write: {error}"), file=sys.stderr)
        code = FAILED
    sys.exit(code or 0)


for command in (
    *(asking.ask, asking.show, asking.config),
    *(pages.index, pages.search),
    *(scores.tasks, scores.score, scores.evaluate, scores.compare, scores.audit),
    *(studies.report, studies.study),
    training.train,
):
    app.add_command(command)
