"""What a build's work follows from, kept beside it: a build never goes on with the work of another recipe.

runs/nano/recipe.json     {"scripts/nano/demos.py": "3f2a9c01", ...}: a digest of every file of the recipe

The recipe is what is shown and how it is learnt: the world, the expert and the loop that it works in, tokenizer, first
weights, configurations. The code of training is not in it: mending that makes no other recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from wideseek.errors import RunDirError
from wideseek.evals.folder import write_whole

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    "configs/nano-*.toml",
    "scripts/nano/build.py",
    "scripts/nano/chat_template.jinja",
    "scripts/nano/demos.py",
    "scripts/nano/tokenizer.py",
    "scripts/nano/weights.py",
    "src/wideseek/agent.py",
    "src/wideseek/assets/world/*.gz",
    "src/wideseek/policy/grammar.py",
    "src/wideseek/policy/scripted.py",
    "src/wideseek/prompts/nano/*",
    "src/wideseek/roles.py",
    "src/wideseek/synth/*.py",
    "src/wideseek/team.py",
    "src/wideseek/toolbox.py",
    "src/wideseek/tools/*.py",
)
WORK = ("start", "rollouts", "sft", "base", "more", "marl")


def recipe(root: Path = ROOT) -> dict[str, str]:
    """The digest of each file of the recipe, by its path in the repository."""
    paths = sorted(path for files in FILES for path in root.glob(files) if path.is_file())
    return {path.relative_to(root).as_posix(): digest([path]) for path in paths}


def claim(home: Path, now: dict[str, str], *, adopt: bool = False) -> None:
    """Make the work in `home` this recipe's.

    Raises `RunDirError` where it is another one's, unless it is to be adopted as it is.
    """
    place = home / "recipe.json"
    before = msgspec.json.decode(place.read_bytes(), type=dict[str, str]) if place.exists() else {}
    changed = sorted(file for file in {*before, *now} if before.get(file) != now.get(file))
    if not changed:
        return
    if not adopt and any((home / work).exists() for work in WORK):
        which = ", ".join(changed[:3]) + (" and others" if changed[3:] else "")
        why = f"since then changed: {which}" if before else "it has no recipe.json"
        raise RunDirError(
            f"{home}: holds the work of another recipe ({why}): move it away (mv {home} {home}-old), or go on with it "
            "as it is with --adopt"
        )
    home.mkdir(parents=True, exist_ok=True)
    write_whole(place, now)


def digest(paths: Iterable[Path]) -> str:
    """Eight hexadecimal digits that are others once one of these files has changed."""
    total = hashlib.blake2b(digest_size=4)
    for path in paths:
        total.update(path.read_bytes())
    return total.hexdigest()
