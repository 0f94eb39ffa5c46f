"""Build the bundled nano models from nothing but this repository: `make nano`.

    start      tokenizer and first weights, runs/nano/start
    rollouts   demonstrations of the expert (`demos`), runs/nano/rollouts
    train      configs/nano-sft.toml; from its weights configs/nano-base.toml and configs/nano-more.toml; from the
               latter's, by reinforcement learning, configs/nano-marl.toml: runs/nano/sft, base, more, marl
    install    what ships (`card`), src/wideseek/assets/nano, nano-base
    evaluate   what ships, on the pocket world (`figures`): runs/nano/figures.json, and the cards

A killed build goes on where it stopped when it is called again. It is refused where runs/nano holds the work of another
recipe (`recipe`), unless that is adopted as it is (`--adopt`). `--until train` stops after that step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nano.card import install, write_cards
from nano.demos import write_demos
from nano.figures import write_figures
from nano.recipe import ROOT, claim, recipe
from nano.tokenizer import build_tokenizer, training_texts
from nano.weights import first_weights, nano_config
from wideseek.assets import world_pages, world_tasks
from wideseek.errors import WideseekError
from wideseek.records import Page, read_jsonl
from wideseek.roles import LEAD, SINGLE, SUB, Profile, Role
from wideseek.synth.spliced import known_lists, spliced_lists
from wideseek.synth.world import WorldList, pages_of
from wideseek.train.checkpoint import write_folder
from wideseek.train.model import save_model

VOCABULARY = 3584
CONTEXT = 2048
WORLDS, LISTS = 5, 600
SEED = 0
REINFORCED = {"steps": 30, "optimizer.lr": 1e-4, "save_rollouts": "false"}
STEPS = ("start", "rollouts", "train", "install", "evaluate")


def nano_roles() -> dict[str, Role]:
    """The limits that the nano model is trained and served with."""
    return {role.name: msgspec.structs.replace(role, context_tokens=CONTEXT) for role in (LEAD, SUB, SINGLE)}


def train_lists() -> list[WorldList]:
    return known_lists(read_jsonl(world_pages(), Page), world_tasks("train"))


def build_start(out: Path, real: list[WorldList], *, spliced: int = 300) -> None:
    """Tokenizer and first weights in `out`, whole or not at all, if they are not there.

    The tokenizer is learnt from these lists and from so many `spliced` of them.
    """
    if out.exists():
        return
    shown = [page for lists in (real, spliced_lists(real, spliced, SEED)) for page in pages_of(lists)]
    texts = [page.text for page in shown] + [page.url for page in shown] + [t.question for t in world_tasks("train")]
    tokenizer = build_tokenizer(training_texts(texts), VOCABULARY, Profile.load("nano"))
    model = first_weights(nano_config(VOCABULARY, CONTEXT, tokenizer.pad_token_id, tokenizer.eos_token_id), SEED)
    write_folder(out, lambda folder: save_model(model, tokenizer, folder))


def train(config: str, out: Path, **settings: object) -> None:
    """`wideseek train CONFIG` with these settings, from its last checkpoint if it has one; nothing if it has ended."""
    if not (out / "model" / "config.json").exists():
        wideseek = Path(sys.executable).with_name("wideseek")
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        subprocess.run([wideseek, "train", f"configs/{config}", "--out", out, "--resume", *given], check=True)


def build(home: Path, steps: Sequence[str], *, adopt: bool = False) -> None:
    """Do these steps in `home` (the configurations of `train` know runs/nano only); what is done is not done again."""
    claim(home, recipe(), adopt=adopt)
    real = train_lists()
    if "start" in steps:
        build_start(home / "start", real)
    if "rollouts" in steps:
        write_demos(home / "rollouts", real, nano_roles(), worlds=WORLDS, lists=LISTS, seed=SEED)
    if "train" in steps:
        train("nano-sft.toml", home / "sft")
        train("nano-base.toml", home / "base")
        train("nano-more.toml", home / "more")
        train("nano-marl.toml", home / "marl", **REINFORCED, model=home / "more" / "model")
    if "install" in steps:
        install("nano", home / "marl" / "model")
        install("nano-base", home / "base" / "model")
    if "evaluate" in steps:
        write_cards(write_figures(home / "figures.json"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--until", choices=STEPS, default=STEPS[-1])
    arguments.add_argument("--adopt", action="store_true", help="go on with the work of another recipe as it is")
    given = arguments.parse_args()
    os.chdir(ROOT)  # the configurations name their files from there
    try:
        build(Path("runs/nano"), STEPS[: STEPS.index(given.until) + 1], adopt=given.adopt)
    except WideseekError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
