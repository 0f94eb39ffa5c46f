"""What of a build ships: weights, tokenizer, how to serve them, and a card that says what they are.

Both are trained in fp32 and stored in fp16, to keep the package small; engines compute in fp32 again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template
from typing import Any

from safetensors.torch import load_file, save_file

from wideseek.assets import bundled_model
from wideseek.policy.sheet import ModelSheet

SHIPPED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CARDS = Path(__file__).parent
WORLD = "the bundled pocket world"


def install(name: str, folder: Path) -> None:
    """Copy what ships of a trained model into the package."""
    place = bundled_model(name)
    place.mkdir(parents=True, exist_ok=True)
    for file in SHIPPED:
        shutil.copyfile(folder / file, place / file)
    weights = {key: weight.half() for key, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    about = f"{name}, a demonstration model of {_parameters(name) / 1e6:.1f} M parameters"
    ModelSheet(prompts="nano", temperature=0.0, max_tokens=512, about=about, world=WORLD).write(place)


def write_cards(figures: dict[str, Any]) -> None:
    """The cards of both models, with these figures of what ships."""
    for name in ("nano", "nano-base"):
        card = Template((CARDS / f"card-{name}.md").read_text(encoding="utf-8"))
        values = _values(figures) | {"parameters": f"{_parameters(name) / 1e6:.2f} million"}
        (bundled_model(name) / "README.md").write_text(card.substitute(values), encoding="utf-8")


def _parameters(name: str) -> int:
    return sum(weight.numel() for weight in load_file(bundled_model(name) / "model.safetensors").values())


def _values(figures: dict[str, Any]) -> dict[str, str]:
    """The figures by the names that the cards call them: `$test_item_f1`, `$stage_list`."""
    values = {"right_cells_supported": f"{figures['right_cells_supported']:.3f}"}
    values |= {f"stage_{stage}": f"{share:.3f}" for stage, share in figures["stages"].items()}
    for kind, (count, item_f1) in figures["kinds"].items():
        values |= {f"{kind}_tables": str(count), f"{kind}_item_f1": f"{item_f1:.3f}"}
    for run in ("test", "test_deep", "test_single", "base_dev", "base_dev_sampled"):
        for metric in ("item_f1", "row_f1", "success"):
            found = figures[run].get(metric)
            if found is not None:
                values[f"{run}_{metric}"] = f"{found['avg']:.3f}"
    values |= {f"width_{width}": f"{value:.3f}" for width, value in figures["widths"].items()}
    return values
