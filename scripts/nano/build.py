"""Build the bundled nano models from nothing but this repository: `make nano`.

    start      tokenizer and first weights, runs/nano/start
    rollouts   demonstrations of the expert (`demos`), runs/nano/rollouts
    train      configs/nano-sft.toml, then from its weights configs/nano-base.toml and, by reinforcement learning,
               configs/nano-marl.toml: runs/nano/sft, base, marl
    install    what ships (`card`), src/wideseek/assets/nano, nano-base
    evaluate   what ships, on the pocket world (`figures`): runs/nano/figures.json, and the cards

A killed build goes on where it stopped when it is called again. `--until train` stops after that step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from nano.card import install, write_cards
from nano.demos import write_demos
from nano.figures import write_figures
from nano.tokenizer import build_tokenizer, training_texts
from nano.weights import first_weights, nano_config
from wideseek.assets import world_pages, world_tasks
from wideseek.records import Page, read_jsonl
from wideseek.roles import LEAD, SINGLE, SUB, Profile, Role
from wideseek.synth.spliced import known_lists, spliced_lists
from wideseek.synth.world import WorldList, pages_of

ROOT = Path(__file__).resolve().parents[2]
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


def build_start(out: Path, real: list[WorldList]) -> None:
    """Tokenizer and first weights in `out`, if they are not there."""
    if (out / "config.json").exists():
        return
    shown = [page for lists in (real, spliced_lists(real, 300, SEED)) for page in pages_of(lists)]
    texts = [page.text for page in shown] + [page.url for page in shown] + [t.question for t in world_tasks("train")]
    tokenizer = build_tokenizer(training_texts(texts), VOCABULARY, Profile.load("nano"))
    tokenizer.save_pretrained(out)
    config = nano_config(VOCABULARY, CONTEXT, tokenizer.pad_token_id, tokenizer.eos_token_id)
    first_weights(config, SEED).save_pretrained(out)


def train(config: str, out: Path, **settings: object) -> None:
    """`wideseek train CONFIG` with these settings, from its last checkpoint if it has one; nothing if it has ended."""
    if not (out / "model" / "config.json").exists():
        wideseek = Path(sys.executable).with_name("wideseek")
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        subprocess.run([wideseek, "train", f"configs/{config}", "--out", out, "--resume", *given], check=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--until", choices=STEPS, default=STEPS[-1])
    given = arguments.parse_args()
    os.chdir(ROOT)  # the configurations name their files from there
    home = Path("runs/nano")
    real = train_lists()
    done = STEPS[: STEPS.index(given.until) + 1]
    build_start(home / "start", real)
    if "rollouts" in done:
        write_demos(home / "rollouts", real, nano_roles(), worlds=WORLDS, lists=LISTS, seed=SEED)
    if "train" in done:
        train("nano-sft.toml", home / "sft")
        train("nano-base.toml", home / "base")
        train("nano-marl.toml", home / "marl", **REINFORCED, model=home / "sft" / "model")
    if "install" in done:
        install("nano", home / "marl" / "model")
        install("nano-base", home / "base" / "model")
    if "evaluate" in done:
        write_cards(write_figures(home / "figures.json"))


if __name__ == "__main__":
    main()
