"""What the commands share: the options that several have, and what they say in an error."""

from __future__ import annotations

from pathlib import Path

import click

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

DEBUG = click.option("--debug", is_flag=True, expose_value=False, help="Show the trace of an error.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
FOLDER = click.Path(path_type=Path)
