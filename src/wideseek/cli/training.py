"""`wideseek train`: from a configuration to trained weights."""

from __future__ import annotations

from pathlib import Path

import click

from wideseek.cli.options import DEBUG, FOLDER, INTERRUPTED, JSON, print_json
from wideseek.errors import BadInput, BudgetEnded


@click.command(short_help="Train a model from a TOML configuration.")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--set", "settings", multiple=True, help="Any key of the configuration: --set steps=500.")
@click.option("--out", "-o", type=FOLDER, help="Folder of the training, if not the configuration's.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in that folder.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@JSON
@DEBUG
def train(config: Path, settings: tuple[str, ...], out: Path | None, resume: bool, quiet: bool, as_json: bool) -> None:
    """Train as the TOML file CONFIG says, and print the folder of the trained model.

    kind = "sft" clones behaviour from saved rollouts: of the scripted expert, of a large model, of earlier training.
    The folder of a training holds metrics.jsonl, TensorBoard files, checkpoints, and at the end model/, which plain
    transformers loads. After Ctrl-C or a kill, the same command with --resume goes on.
    """
    from wideseek.config import read_overrides
    from wideseek.train.log import last_held_out
    from wideseek.train.settings import load_settings

    chosen = load_settings(config, {**read_overrides(settings), "out": str(out) if out else None})
    try:
        from wideseek.train.sft import run_sft
    except ImportError as error:
        raise BadInput(f"training needs {error.name or 'torch'}: pip install 'wideseek[train]'") from error
    try:
        model = run_sft(chosen, resume=resume, quiet=quiet or as_json)
    except BudgetEnded as ending:
        click.echo(ending, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"model": str(model), **last_held_out(chosen.out)})
    else:
        click.echo(model)
