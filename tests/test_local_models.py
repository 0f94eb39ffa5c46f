"""Models that run in this process: which one is asked by default, how its folder wants it served, what is refused."""

from __future__ import annotations

import builtins
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import wideseek
from tests import qwen3
from wideseek import assembly
from wideseek.assembly import open_policy, settled
from wideseek.assets import bundled_model
from wideseek.config import Config
from wideseek.errors import BadInput, WideseekError
from wideseek.policy.sheet import ModelSheet


def tiny(folder: Path, **shape: int) -> Path:
    """A random Qwen3 with a tokenizer, as `transformers` lays it out."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = qwen3.tokenizer()
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    size |= {"num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 4096}
    Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **size | shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_bundled_model_is_asked_by_default_with_the_prompts_that_it_was_trained_with():
    config = settled(Config())
    assert (config.model, config.prompts) == ("nano", "nano")
    assert settled(Config(model="expert")).prompts == "default"
    assert settled(Config(prompts="default")).prompts == "default"


@pytest.mark.parametrize("found", [{}, {"torch": "2.13.0+cpu"}, {"torch": "2.13.0+cpu", "transformers": "4.57.1"}])
def test_without_what_the_bundled_model_needs_the_expert_answers_and_says_what_to_install(monkeypatch, found):
    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(assembly, "version", version)
    result = wideseek.ask("List all chemical elements of group 18 with their symbol and mass.")
    assert result.status == "complete"
    assert result.label == "scripted expert, no language model"
    assert any("pip install 'wideseek[local]'" in note for note in result.notes)


def test_the_expert_by_choice_needs_no_hint():
    result = wideseek.ask("List all chemical elements of group 18 with their symbol and mass.", model="expert")
    assert result.notes == []


def test_a_folder_is_served_as_its_sheet_says_unless_told_otherwise(tmp_path):
    folder = tiny(tmp_path / "model")
    ModelSheet(prompts="wideseek-r1", temperature=0.3, max_tokens=77, about="a test").write(folder)
    assert settled(Config(model=f"local/{folder}")).prompts == "wideseek-r1"
    policy = open_policy(f"local/{folder}", Config())
    assert (policy.sampling.temperature, policy.sampling.max_tokens, policy.label) == (0.3, 77, "a test")
    told = open_policy(f"local/{folder}", Config.merged({}, {"sampling.temperature": 0.0}))
    assert (told.sampling.temperature, told.sampling.max_tokens) == (0.0, 77)


def test_a_run_keeps_the_whole_path_of_its_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny(tmp_path / "model")
    assert Config(model="local/model").portable()["model"] == f"local/{(tmp_path / 'model').resolve()}"


def test_a_folder_that_is_called_like_built_in_prompts_is_not_taken_for_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("nano", "own"):
        (tmp_path / name).mkdir()
    assert Config(prompts="nano").portable()["prompts"] == "nano"
    assert Config(prompts="own").portable()["prompts"] == str((tmp_path / "own").resolve())


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


def damaged_sheet(folder: Path) -> None:
    (folder / "wideseek.json").write_text('{"promts": "nano"}')


def not_causal(folder: Path) -> None:
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("qwen3", "bert").replace("Qwen3ForCausalLM", "BertModel"))


def nan_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (no_weights, "weights"),
        (no_tokenizer, "template"),
        (damaged_sheet, "wideseek.json"),
        (not_causal, "Qwen3"),
        (nan_weights, "NaN"),
        (shutil.rmtree, "model"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_model_is_one_line_that_names_it(tmp_path, damage, problem):
    folder = tiny(tmp_path / "model")
    damage(folder)
    with pytest.raises(BadInput) as caught:
        open_policy(f"local/{folder}", settled(Config(model=f"local/{folder}", prompts="nano")))
    assert str(folder) in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kv_budget_too_small_for_one_request_is_one_line():
    with pytest.raises(BadInput, match="kv_tokens"):
        wideseek.ask("List the noble gases with their symbol.", model="nano", local__kv_tokens=3)
    full = wideseek.ask("List the capes of Denmark with their height.", model="nano", local__kv_tokens=64)
    assert full.status == "failed"
    assert "lead/1.1 ran out of room" in full.reason
    with pytest.raises(WideseekError, match="or raise local.kv_tokens$"):
        wideseek.ask("List the capes of Denmark. " * 20, model="nano", local__kv_tokens=64)


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch):
    real = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name.partition(".")[0] == "torch":
            raise ImportError("No module named 'torch'", name="torch")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for module in [name for name in sys.modules if name.startswith("wideseek.policy.local")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(BadInput, match=r"needs torch: pip install 'wideseek\[local\]'"):
        open_policy("nano", Config())


@pytest.mark.parametrize("name", ["nano", "nano-base"])
def test_the_bundled_models_load_with_plain_transformers(name):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = bundled_model(name)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.vocab_size >= len(tokenizer)


def test_the_bundled_models_and_their_cards_fit_into_twelve_megabytes():
    folders = [bundled_model("nano"), bundled_model("nano-base")]
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) < 12_000_000
    assert all((folder / "README.md").is_file() for folder in folders)
