"""`wideseek train`: what it leaves, that a killed training goes on as if nothing had been, and what it refuses in one line."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, Qwen3ForCausalLM

from tests.helpers import QUESTION, team
from tests.points import signalled_at
from tests.qwen3 import tokenizer
from tests.training import rollout, samples, template, terse_tokenizer, tiny, tiny_model, training, weights
from wideseek.cli import main
from wideseek.errors import BudgetEnded, RunDirError
from wideseek.journal import locked
from wideseek.policy.base import Sampling
from wideseek.policy.local import LocalEngine
from wideseek.policy.scripted import TEACHING, Expert
from wideseek.policy.sheet import ModelSheet
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import TokenPolicy
from wideseek.records import Completion, Task, write_jsonl
from wideseek.roles import Profile
from wideseek.train.checkpoint import checkpoints, load_state, save_checkpoint
from wideseek.train.learner import Learner
from wideseek.train.log import Log, last_held_out, progress_bar, read_metrics
from wideseek.train.measure import measure
from wideseek.train.model import load_model, save_model
from wideseek.train.packing import Pack
from wideseek.train.samples import Renderer
from wideseek.train.settings import OptimizerConfig, load_settings
from wideseek.train.sft import run_sft
from wideseek.train.sitting import interruptible


@pytest.fixture
def train(monkeypatch, capfd):
    """The command line, in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["wideseek", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        said = capfd.readouterr()
        return int(exit.value.code or 0), said.out, said.err

    return run


def refused(done: tuple[int, str, str], *words: str) -> None:
    """That it ended with exit code 2 and one line that has these words."""
    code, out, error = done
    assert (code, out) == (2, ""), error
    line = error.strip().splitlines()[-1]
    assert line.startswith("wideseek: ")
    for word in words:
        assert word in line
    assert "Traceback" not in error


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


# ------------------------------------------------------------------------------------------------------- what it leaves


def test_a_qwen3_learns_from_rollouts_by_the_command_line(train, tmp_path):
    config = training(tmp_path, steps=30, optimizer__lr=1e-2, optimizer__decay=0.2, save_every=30, eval_every=15)
    code, out, error = train(config)
    folder = tmp_path / "out"
    assert (code, out) == (0, f"{folder / 'model'}\n")
    first, *_, last = losses(folder)
    assert last[1] < 0.5 * first[1]
    measured = [line for line in read_metrics(folder / "metrics.jsonl") if "held_out_loss" in line]
    assert [line["step"] for line in measured] == [15, 30]
    assert measured[1]["held_out_loss"] < measured[0]["held_out_loss"]
    assert {"held_out_turns", "held_out_turns_lead", "held_out_turns_sub"} <= measured[0].keys()
    assert "18 samples" in error
    assert "held out: loss" in error
    assert "Loading weights" not in error
    assert "Writing model" not in error
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))

    trained = Qwen3ForCausalLM.from_pretrained(folder / "model")  # plain transformers
    assert trained.config.architectures == ["Qwen3ForCausalLM"]
    assert not torch.equal(trained.model.norm.weight, torch.ones(32))
    assert ModelSheet.of(folder / "model").prompts == "nano"


def test_json_prints_where_the_model_is_and_its_last_figures_and_nothing_else(train, tmp_path):
    code, out, error = train(training(tmp_path, steps=2, optimizer__name="muon"), "--json")
    said = json.loads(out)
    assert (code, error) == (0, "")
    assert said["model"] == str(tmp_path / "out" / "model")
    assert said["step"] == 2
    assert said["held_out_loss"] > 0
    assert last_held_out(tmp_path / "nowhere") == {}


async def test_demonstrations_of_the_expert_are_learnt_to_the_last_token(tmp_path):
    """Overfits: then the model says greedily what the expert said, in the real loop."""
    profile = Profile.load("nano")
    rollouts = [await team(Expert(TEACHING), Expert(TEACHING), profile=profile).solve(Task(question=QUESTION))]
    terse = terse_tokenizer(profile)
    save_model(tiny(vocab_size=len(terse), hidden_size=64, intermediate_size=128), terse, tmp_path / "model")
    config = training(
        tmp_path, steps=80, tokens_per_step=1000, optimizer__name="muon", optimizer__matrix_lr=0.02,
        optimizer__lr=1e-2, data__held_out=[], save_every=1000,
    )  # fmt: skip
    write_jsonl(tmp_path / "rollouts.jsonl", rollouts)
    folder = run_sft(load_settings(config, {}), quiet=True)

    shown = ChatTemplate.load(folder)
    learnt = list(Renderer(shown, profile).samples(rollouts))
    figures = measure(Learner(load_model(folder), OptimizerConfig()), learnt)
    assert figures["held_out_turns"] == 1.0
    engine = LocalEngine.open(folder, dtype="float32", device="cpu", kv_tokens=8192, threads=1)
    policy = TokenPolicy(engine, shown, Sampling(temperature=0.0))
    try:
        again = await team(policy, policy, profile=profile).solve(Task(question=QUESTION))
    finally:
        await policy.close()
    assert again.answer == rollouts[0].answer
    assert "| #3 | Dueodde | 47 m | 1962 |" in again.answer


# ---------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("wideseek.train.learner:Learner.step", 8),  # right after the first checkpoint
        ("wideseek.train.learner:Learner.step", 39),  # between two checkpoints
        ("torch:save", 3),  # in the middle of writing the third
        ("wideseek.train.sft:save_checkpoint", 7),
    ],
)
def test_a_training_killed_at_any_point_goes_on_to_the_same_weights_and_curve(train, tmp_path, point, number):
    options = {"steps": 60, "save_every": 7, "tokens_per_step": 800, "optimizer__name": "muon", "data__held_out": []}
    assert train(training(tmp_path, **options), "-q")[0] == 0
    whole = (losses(tmp_path / "out"), weights(tmp_path / "out" / "model"))

    config, out = training(tmp_path, **options, out=str(tmp_path / "killed")), tmp_path / "killed"
    killed = subprocess.run(
        signalled_at(point, number, "train", config, "-q"), cwd=Path(__file__).parents[1], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoints(out), "what was whole is still there"
    assert not (out / "model").exists()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step":')
    (out / "checkpoints" / "step-000099.part").mkdir()

    assert train(config, "--resume", "-q")[0] == 0
    assert losses(out) == whole[0]
    found = weights(out / "model")
    assert all(torch.equal(found[name], tensor) for name, tensor in whole[1].items())
    assert [path.name for path in checkpoints(out)] == ["step-000056", "step-000060"]


def test_ctrl_c_saves_the_step_and_says_how_to_go_on(train, tmp_path):
    config = training(tmp_path, steps=100_000, save_every=100_000)
    command = signalled_at("wideseek.train.learner:Learner.step", 5, "train", config, what=signal.SIGINT)
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    error = ended.stderr
    assert ended.returncode == 130, error
    (kept,) = checkpoints(tmp_path / "out")
    step = int(kept.name[5:])
    assert error.strip().splitlines()[-1] == (
        f"interrupted at step {step} of 100000, which is saved; go on with the same command and --resume"
    )
    code, _, error = train(config, "--resume", "--set", f"steps={step + 2}")
    assert code == 0
    assert f"changed since {kept.name}: steps 100000 -> {step + 2}\n" in error
    assert f"step {step} of {step + 2}" in error


def test_resuming_where_nothing_is_starts_and_says_so(train, tmp_path):
    code, _, error = train(training(tmp_path, steps=2), "--resume")
    assert code == 0
    assert f"{tmp_path / 'out'} holds no checkpoint: training from the start\n" in error


def test_a_training_that_is_there_is_not_written_over(train, tmp_path):
    config = training(tmp_path, steps=2)
    assert train(config, "-q")[0] == 0
    refused(train(config), "out: holds a training (at step-000002): go on with --resume, or choose another out")
    before = weights(tmp_path / "out" / "model")
    assert train(config, "--resume", "-q")[0] == 0  # nothing is left to do
    assert torch.equal(before["model.norm.weight"], weights(tmp_path / "out" / "model")["model.norm.weight"])


def test_a_checkpoint_of_another_model_another_optimiser_or_another_version_is_refused(train, tmp_path):
    config = training(tmp_path, steps=2)
    assert train(config, "-q")[0] == 0
    other = tiny_model(tmp_path / "other", hidden_size=64)
    resume = (config, "--resume", "--set")
    refused(train(*resume, f"model={other}"), "step-000002: is of another model than", "(hidden_size 32, not 64)")
    refused(train(*resume, "optimizer.name=muon"), "its state is not one of optimizer.name = 'muon' for this model")
    state = tmp_path / "out" / "checkpoints" / "step-000002" / "state.pt"
    torch.save({**load_state(state.parent), "format": 9}, state)
    refused(train(config, "--resume"), "step-000002: is of another version of wideseek (format 9, not 1)")
    state.write_bytes(b"torn")
    refused(train(config, "--resume"), "step-000002: cannot be read", "remove it to go on from the one before")


def test_two_trainings_in_one_folder_are_refused(train, tmp_path):
    config = training(tmp_path, steps=2)
    with locked(tmp_path / "out"):
        refused(train(config), "another run is using it")


# -------------------------------------------------------------------------------------------------------------- data


def test_samples_are_made_once_and_again_when_what_they_are_made_of_changes(train, tmp_path):
    config, out = training(tmp_path, steps=1, data__held_out=[]), tmp_path / "out"
    assert train(config)[0] == 0
    (kept,) = out.glob("samples-*.npz")
    made = kept.stat().st_mtime_ns
    assert train(config, "--resume")[0] == 0
    assert kept.stat().st_mtime_ns == made

    tokenized = json.loads((out / "checkpoints/step-000001/tokenizer_config.json").read_text())
    jinja = out / "checkpoints/step-000001/chat_template.jinja"
    text = jinja.read_text() if jinja.exists() else tokenized["chat_template"]
    jinja.write_text(text.replace("You may call one or more functions", "You may call functions"))
    assert train(config, "--resume")[0] == 0
    assert kept.stat().st_mtime_ns > made, "another chat template makes other samples"

    kept.write_bytes(kept.read_bytes()[:100])
    assert train(config, "--resume")[0] == 0
    write_jsonl(tmp_path / "rollouts.jsonl", map(rollout, range(3)))
    assert "9 samples" in train(config, "--resume")[2]
    assert [path != kept for path in out.glob("samples-*.npz")] == [True]


def test_samples_that_are_too_long_are_left_out_and_counted(train, tmp_path):
    config = training(tmp_path, steps=1)
    lengths = sorted(len(sample) for sample in samples(6))
    _, _, error = train(config, "--set", f"data.longest={lengths[11]}")
    left_out = sum(length > lengths[11] for length in lengths)
    assert f"\n{left_out} samples longer than {lengths[11]} tokens are left out\n" in error
    refused(
        train(config, "--resume", "--set", "data.longest=100"),
        f"data: all samples are longer than 100 tokens (the shortest has {lengths[0]})",
    )


def test_short_samples_come_first_where_that_is_asked_for(tmp_path):
    lengths = sorted(len(sample) for sample in samples(6))
    half = lengths[len(lengths) // 2]
    options = {"data__short_steps": 3, "data__short": half, "steps": 5, "tokens_per_step": 1500}
    run_sft(load_settings(training(tmp_path, **options), {"save_every": 1, "keep": 9}), quiet=True)
    sizes = [line["tokens_per_step"] for line in read_metrics(tmp_path / "out/metrics.jsonl") if "loss" in line]
    assert max(sizes[:3]) < 1500 + half


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "holds no turn that a policy sampled and that is to be trained"),
        ("tasks.jsonl", b'{"instance_id": "t1", "question": "?"}\n', "tasks.jsonl, line 1: "),
        ("text.jsonl", b"Once upon a time\n", "text.jsonl, line 1: "),
        ("torn.jsonl.gz", b"\x1f\x8b\x08\x00 torn", "torn.jsonl.gz: cannot be read"),
    ],
)
def test_files_that_hold_no_rollouts_are_refused(train, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(train(training(tmp_path, data__rollouts=[str(tmp_path / name)])), words)


def test_a_pattern_that_nothing_matches_is_refused_even_beside_one_that_matches(train, tmp_path):
    some = [str(tmp_path / "rollouts.jsonl"), str(tmp_path / "spliced-*.jsonl")]
    refused(train(training(tmp_path, data__rollouts=some)), "data: no file matches", "spliced-*.jsonl")


def test_rollouts_that_another_model_sampled_are_refused(train, tmp_path):
    config = training(tmp_path)
    said = rollout()
    said.lead.turns[0].completion = Completion(prompt_ids=[1], completion_ids=[5000, template().eos_id])
    write_jsonl(tmp_path / "rollouts.jsonl", [said])
    refused(train(config), "data: samples hold token 5000", "has embeddings for 375")


# ------------------------------------------------------------------------------------------------------------- models


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _torn_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def _missing_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _nan_weights(folder: Path) -> None:
    model = Qwen3ForCausalLM.from_pretrained(folder)
    model.model.layers[0].mlp.up_proj.weight.data[1, 2] = float("nan")
    model.save_pretrained(folder)


def _not_causal(folder: Path) -> None:
    BertForMaskedLM(
        BertConfig(vocab_size=375, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ).save_pretrained(folder)


def _no_chat_template(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer(None).save_pretrained(folder)


def _no_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_no_folder, "no such folder"),
        (_no_weights, "its weights cannot be loaded"),
        (_torn_weights, "its weights cannot be loaded"),
        (_missing_weights, "1 weights are missing, model.layers.1.mlp.up_proj.weight first"),
        (_nan_weights, "model.layers.0.mlp.up_proj.weight holds NaN or infinity"),
        (_not_causal, "is a BertForMaskedLM, which is no causal language model"),
        (_no_chat_template, "the tokenizer has no chat template"),
        (_no_tokenizer, ""),
    ],
)
def test_models_that_cannot_be_trained_are_refused(train, tmp_path, damage, words):
    config = training(tmp_path)
    damage(tmp_path / "model")
    refused(train(config), str(tmp_path / "model"), words)


def test_a_device_that_is_not_there_is_refused(train, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refused(train(training(tmp_path, device="cuda")), "no GPU is available here")


def test_the_folder_is_set_like_any_other_key_and_out_comes_first(train, tmp_path):
    a_file, another = tmp_path / "a", tmp_path / "another"
    a_file.touch()
    another.touch()
    refused(train(training(tmp_path), "--set", f"out={a_file}"), str(a_file))
    refused(train(training(tmp_path), "--set", f"out={a_file}", "--out", another), str(another))


def test_unknown_keys_name_the_nearest_one(train, tmp_path):
    refused(train(training(tmp_path), "--set", "tokens_per_stp=9"), "did you mean tokens_per_step?")
    refused(train(training(tmp_path, kind="rl")), "kind: what to train by: write kind = 'sft' or 'marl', not 'rl'")


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_not_finite_skips_its_step_and_is_counted(tmp_path, monkeypatch):
    loss, calls = Learner.loss, itertools.count(1)

    def sometimes_infinite(self: Learner, row: Pack) -> torch.Tensor:
        return loss(self, row) * (float("inf") if next(calls) in (3, 4, 8) else 1)

    monkeypatch.setattr(Learner, "loss", sometimes_infinite)
    run_sft(load_settings(training(tmp_path, steps=10, save_every=10, tokens_per_pass=9999), {}), quiet=True)
    (line,) = [line for line in read_metrics(tmp_path / "out" / "metrics.jsonl") if "loss" in line]
    assert line["skipped"] == 3
    assert 0 < line["loss"] < 20


def test_a_training_whose_loss_stays_not_finite_ends_with_one_line_and_keeps_its_checkpoint(train, tmp_path):
    config = training(tmp_path, steps=40, save_every=1, optimizer__lr=1e30, optimizer__warmup=0)
    done = train(config)
    refused(done, "was not finite in 10 steps running, up to step", "lower the learning rates")
    assert (tmp_path / "out" / "not-finite.npz").exists()


def test_a_full_disk_leaves_the_last_good_checkpoint(train, tmp_path):
    config, out = training(tmp_path, steps=4, save_every=2, data__held_out=[]), tmp_path / "out"
    assert train(config, "-q", "--set", "steps=2")[0] == 0
    before = weights(checkpoints(out)[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))  # no file may grow beyond that
    try:
        done = train(config, "--resume", "-q")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    refused(done, "step-000004: cannot be written", "make room, then run it again (a training: with --resume)")
    (kept,) = checkpoints(out)
    assert torch.equal(weights(kept)["model.norm.weight"], before["model.norm.weight"])
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000002"]
    assert train(config, "--resume", "-q")[0] == 0


def test_a_folder_that_cannot_be_made_is_refused(train, tmp_path):
    (tmp_path / "file").write_text("")
    refused(train(training(tmp_path), "--out", tmp_path / "file" / "out"), "cannot be made")


# ------------------------------------------------------------------------------------------------------------- parts


def test_so_many_checkpoints_are_kept_and_the_newest_is_found_by_number(tmp_path):
    for step in (999_998, 1_000_002, 5):
        save_checkpoint(tmp_path, step, lambda folder: None, {"optimizers": []}, keep=9)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000005", "step-999998", "step-1000002"]
    save_checkpoint(tmp_path, 1_000_003, lambda folder: None, {"optimizers": []}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-1000002", "step-1000003"]


def test_a_checkpoint_that_could_not_be_written_whole_is_not_there(tmp_path):
    def fails(folder: Path) -> None:
        (folder / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunDirError, match="No space left on device"):
        save_checkpoint(tmp_path, 1, fails, {}, keep=1)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_log_drops_what_a_killed_run_measured_after_its_checkpoint(tmp_path):
    log = Log(tmp_path)
    for step in (10, 20, 30):
        log.write(step, loss=1 / step, norm=float("nan"))
    with log.path.open("a") as file:
        file.write('{"step": 40, "lo')
    lines = read_metrics(log.path)
    assert [(line["step"], line["norm"]) for line in lines] == [(10, None), (20, None), (30, None)]
    resumed = Log(tmp_path, 20)
    resumed.write(30, loss=0.5)
    assert [line["step"] for line in read_metrics(log.path)] == [10, 20, 30]
    assert read_metrics(log.path)[-1]["seconds"] >= lines[1]["seconds"]


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("wideseek.train.log.PLAIN_EVERY", 0.0)
    with progress_bar("sft", 9000, 100) as bar:
        bar.show(200, "loss 1.2")
    with progress_bar("reading rollouts") as bar:
        bar.show(29_000, "file 3 of 8")
    with progress_bar("sft", 9, quiet=True) as bar:
        bar.show(5)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("sft: 200 of 9,000 · loss 1.2 · 0:0")
    assert said[0].endswith(" left")
    assert said[1:] == ["reading rollouts: 29,000 · file 3 of 8"]


def test_an_interrupt_in_a_thread_that_is_not_the_main_one_is_not_ours():
    said = []

    def work() -> None:
        with interruptible() as interrupted:
            said.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]


def test_run_sft_reports_an_interrupt_as_an_ending(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "wideseek.train.log.Log.write", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
    )  # and again
    with pytest.raises(BudgetEnded, match="interrupted at step 3 of 6"):
        run_sft(load_settings(training(tmp_path, save_every=2), {}), quiet=True)
    assert [path.name for path in checkpoints(tmp_path / "out")] == ["step-000002", "step-000003"]
