"""Build the bundled nano models from nothing but this repository: `make nano`.

    start      tokenizer and first weights
    rollouts   demonstrations of the expert (`demos`)
    sft        configs/nano-sft.toml: supervised training, checkpointed; a killed build goes on where it stopped

Everything is made in runs/nano; `--install` copies what ships into the package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nano.demos import write_demos
from nano.tokenizer import build_tokenizer, training_texts
from nano.weights import first_weights, nano_config

from wideseek.assets import world_pages, world_tasks
from wideseek.records import Page, read_jsonl
from wideseek.roles import LEAD, SINGLE, SUB, Profile, Role
from wideseek.synth.spliced import known_lists, spliced_lists
from wideseek.synth.world import WorldList, pages_of

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 1536
CONTEXT = 2048
WORLDS, LISTS = 5, 600
SEED = 0


def nano_roles() -> dict[str, Role]:
    """The limits that the nano model is trained and served with."""
    import msgspec

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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=ROOT / "runs" / "nano")
    given = arguments.parse_args()
    real = train_lists()
    build_start(given.out / "start", real)
    write_demos(given.out / "rollouts", real, nano_roles(), worlds=WORLDS, lists=LISTS, seed=SEED)


if __name__ == "__main__":
    main()
