"""Configurations for commands: whom the user trusts with keys, and a line for each key that goes out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.cli.options import say
from wideseek.screen import plain

if TYPE_CHECKING:
    from wideseek.config import Config
    from wideseek.trust import Confirm

TRUST = click.option(
    "--trust", is_flag=True, help="Keys may go where the wideseek.toml here, or the resumed run, sends them."
)


def load_config(file: Path | None, given: Mapping[str, Any], *, trust: bool) -> Config:
    """The configuration of a command. The servers that the user typed, or names in `file`, are remembered."""
    from wideseek.config import Config, nested
    from wideseek.trust import claims, remember

    config = Config.load(file, given, confirm=_confirm(trust))
    remember(claims(config.model_dump() if file else nested(given)))
    return config


def resumed_config(stored: dict[str, Any], given: Mapping[str, Any], path: Path, *, trust: bool) -> Config:
    """What a run folder's `path` holds, with the options `given` now on top."""
    from wideseek.config import Config, nested
    from wideseek.trust import claims, remember

    config = Config.of_stranger(stored, given, path, confirm=_confirm(trust))
    remember(claims(nested(given)))
    return config


def tell_keys(config: Config, *models: str | None) -> None:
    """A line on standard error for each server that gets a key when `models` are asked: the variable's name only."""
    from wideseek.assembly import keys_sent

    for variable, server in keys_sent(config, [model for model in models if model != "exact"]):  # that judge is none
        say(f"{variable} goes to {server}", err=True)


def _confirm(trust: bool) -> Confirm | None:
    """Says yes, or asks, or is `None` where nobody can be asked."""
    if trust:
        return lambda question: True
    if sys.stdin.isatty() and sys.stderr.isatty():
        return lambda question: click.confirm(plain(question), err=True)
    return None
