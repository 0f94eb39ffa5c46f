"""What the tests of training share: a tiny Qwen3 with a Qwen3-style tokenizer, rollouts to learn from, a configuration.

tiny_model(folder)          random weights and the tokenizer, as a folder
rollout(number)             a lead that delegates and two subagents that search and report, as a chat policy leaves it
training(folder, **keys)    all of it, and a TOML file that `wideseek train` takes
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from msgspec import to_builtins
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from tests.qwen3 import tokenizer
from wideseek.policy.template import ChatTemplate
from wideseek.records import Completion, Message, Rollout, Task, ToolCall, Trajectory, Turn, write_jsonl
from wideseek.roles import LEAD, SUB, Profile
from wideseek.train.model import save_model, silent
from wideseek.train.samples import Renderer, Sample

PLACES = ("Bovbjerg", "Hanstholm", "Dueodde", "Hirtshals", "Rubjerg", "Nakkehoved")


def tiny_config(**changes: Any) -> Qwen3Config:
    size: dict[str, Any] = {
        "vocab_size": len(tokenizer()), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64, "tie_word_embeddings": True,
        "max_position_embeddings": 2048, "initializer_range": 0.1, "pad_token_id": 0, "bos_token_id": None,
        "eos_token_id": tokenizer().eos_token_id,
    }  # fmt: skip
    return Qwen3Config(**{**size, **changes})


def tiny(seed: int = 0, **changes: Any) -> Any:
    """A random Qwen3 in evaluation mode."""
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(tiny_config(**changes)).eval()


def tiny_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    save_model(tiny(seed, **changes), tokenizer(), folder)
    return folder


def terse_tokenizer(profile: Profile) -> Any:
    """The same tokenizer, with each role's opening (system prompt and tools) as one token, as the nano model has it."""
    made = tokenizer()
    for role in (LEAD, SUB):
        opening = profile.opening(role, "en", question="?!?", task="?!?", answer_format="", max_turns="", max_calls="")
        tools = [{"type": "function", "function": to_builtins(face.schema)} for face in profile.faces(role).values()]
        chat = [{"role": message.role, "content": message.text} for message in opening]
        text = made.apply_chat_template(chat, tools=tools, tokenize=False)
        made.add_tokens([AddedToken(text.partition("?!?")[0], normalized=False)])
    return made


@functools.cache
def template() -> ChatTemplate:
    return ChatTemplate(tokenizer(), "qwen3")


@functools.cache
def renderer() -> Renderer:
    return Renderer(template(), Profile.load("nano"))


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall("call00000", name, arguments)


def rollout(number: int = 0, subs: int = 2) -> Rollout:
    places = [PLACES[(number + at) % len(PLACES)] for at in range(subs)]
    lead = Trajectory(role="lead", stop="answer")
    lead.turns = [
        Turn(
            [Message("user", f"Lighthouses {number}?")], Completion(tool_calls=[call("call_subagent", subtasks=places)])
        ),
        Turn([Message("tool", "".join(places))], Completion(text="".join(f"| {place} |\n" for place in places))),
    ]
    runs = [Trajectory(role="sub", path=f"lead/1.{at}", stop="answer") for at, _ in enumerate(places, 1)]
    for place, run in zip(places, runs, strict=True):
        run.turns = [
            Turn([Message("user", place)], Completion(tool_calls=[call("search", query=place)])),
            Turn([Message("tool", f"{place}: {number} m")], Completion(text=f"{place} {number} m")),
        ]
    return Rollout(task=Task(instance_id=f"t{number}", question="?"), trajectories=[lead, *runs], stop="answer")


def samples(count: int = 4) -> list[Sample]:
    return list(renderer().samples(rollout(number) for number in range(count)))


def training(folder: Path, count: int = 6, **keys: Any) -> Path:
    """A model, rollouts and the configuration to train it on them for a few steps. `keys` are dotted with `__`."""
    if not (folder / "model").exists():
        tiny_model(folder / "model")
        write_jsonl(folder / "rollouts.jsonl", map(rollout, range(count)))
        write_jsonl(folder / "held-out.jsonl.gz", map(rollout, range(count, count + 2)))
    sections: dict[str, dict[str, Any]] = {
        "": {
            "kind": "sft", "model": str(folder / "model"), "out": str(folder / "out"), "prompts": "nano", "steps": 6,
            "tokens_per_step": 2500, "precision": "fp32", "threads": 1, "save_every": 2, "eval_every": 100,
        },
        "data": {"rollouts": [str(folder / "rollouts.jsonl")], "held_out": [str(folder / "held-out.jsonl.gz")]},
        "optimizer": {"name": "adamw", "lr": 3e-3},
    }  # fmt: skip
    for key, value in keys.items():
        section, _, name = key.rpartition("__")
        sections[section][name] = value
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path = folder / "train.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a folder, as plain `transformers` loads them."""
    with silent():
        return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())
