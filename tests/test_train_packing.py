"""Packed rows: which tokens are learnt, what a step holds, and that attention, gradients and updates are the plain ones."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from tests.training import renderer, rollout, samples, template, tiny
from wideseek.errors import BadInput
from wideseek.records import Completion, Message, Trajectory, Turn
from wideseek.train import attention
from wideseek.train.learner import Learner
from wideseek.train.measure import measure
from wideseek.train.model import prepare, token_logits
from wideseek.train.optimizer import Optimizers, hidden_matrices, lr_share
from wideseek.train.packing import pack, portions, steps
from wideseek.train.samples import Sample, load_samples, save_samples
from wideseek.train.settings import OptimizerConfig

LENGTHS = (5, 150, 2, 300, 129)


def random_samples(*lengths: int, seed: int = 0, vocabulary: int = 300) -> list[Sample]:
    """Of these lengths, with sampled turns strewn in."""
    rng = np.random.default_rng(seed)
    made = []
    for number, length in enumerate(lengths):
        turns = np.repeat(np.arange(length // 3 + 1), 3)[:length] * (rng.random(length) < 0.8)
        turns[-1] = length // 3 + 1
        made.append(Sample(rng.integers(1, vocabulary, length).astype(np.int32), turns.astype(np.int16), number, "sub"))
    return made


def padded_loss(model: Any, chosen: list[Sample]) -> torch.Tensor:
    """As plain `transformers` has it: one padded batch, an attention mask, labels of -100; the sum over tokens."""
    longest = max(map(len, chosen))
    ids = torch.zeros(len(chosen), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, sample in enumerate(chosen):
        ids[row, : len(sample)] = torch.from_numpy(sample.ids)
        mask[row, : len(sample)] = 1
        labels[row, : len(sample)][torch.from_numpy(sample.turns > 0)] = ids[row, : len(sample)][sample.turns > 0]
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")


def packed_loss(model: Any, chosen: list[Sample]) -> torch.Tensor:
    row = pack(chosen)
    return F.cross_entropy(token_logits(model, row), row.labels, reduction="sum")


def gradients(model: Any, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def both(**changes: Any) -> tuple[Any, Any]:
    """The same model twice in fp64: plain, and on packed rows."""
    plain = tiny(**changes).double()
    packed = copy.deepcopy(plain)
    prepare(packed)
    return plain, packed


# ------------------------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 4}, {"tie_word_embeddings": False}], ids=str)
def test_packed_loss_and_gradients_are_those_of_padded_rows_in_plain_transformers(changes):
    plain, packed = both(**changes)
    chosen = random_samples(*LENGTHS)
    loss, expected = packed_loss(packed, chosen), padded_loss(plain, chosen)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert distance(gradients(packed, loss), gradients(plain, expected)) < 1e-5


def test_bf16_loss_and_gradients_are_near_those_in_fp32():
    model = tiny()
    prepare(model)
    row = pack(random_samples(*LENGTHS))
    found = {}
    for precision in ("fp32", "bf16"):
        loss = Learner(model, OptimizerConfig(), precision).loss(row)
        found[precision] = (loss.item(), gradients(model, loss))
    assert found["bf16"][0] == pytest.approx(found["fp32"][0], rel=0.01)
    assert distance(found["bf16"][1], found["fp32"][1]) < 0.03


def test_gradients_are_the_same_where_activations_are_computed_again():
    _, model = both()
    chosen = random_samples(*LENGTHS)
    expected = gradients(model, packed_loss(model, chosen))
    model.train()
    model.activation_checkpointing_enable()
    packed_loss(model, chosen).backward()
    assert distance(torch.cat([p.grad.flatten() for p in model.parameters()]), expected) < 1e-6


def test_no_sample_sees_another():
    _, model = both()
    one, two = random_samples(140, 150)
    other = Sample(one.ids[::-1].copy(), one.turns)
    behind = slice(int(one.targeted.sum()), None)
    with torch.no_grad():
        assert torch.equal(
            token_logits(model, pack([one, two]))[behind], token_logits(model, pack([other, two]))[behind]
        )


def test_segments_longer_than_the_blocks_take_go_through_the_fused_kernel(monkeypatch):
    _, model = both()
    row = pack(random_samples(300, 40))
    by_blocks = gradients(model, token_logits(model, row).sum())
    monkeypatch.setattr(attention, "LONGEST", 100)
    assert distance(gradients(model, token_logits(model, row).sum()), by_blocks) < 1e-6


def test_a_sliding_window_is_kept():
    window = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 0}
    plain, packed = both(**window)
    chosen = random_samples(5, 40, 9)
    loss = packed_loss(packed, chosen).item()
    assert loss == pytest.approx(padded_loss(plain, chosen).item(), rel=1e-6)
    assert abs(packed_loss(both()[1], chosen).item() - loss) > 1e-3


SMALL = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}


@pytest.mark.parametrize(
    "model",
    [
        lambda: LlamaForCausalLM(LlamaConfig(**SMALL, num_attention_heads=4)),
        lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4, eos_token_id=0, bos_token_id=0)
        ),
    ],
    ids=["llama", "gpt2"],
)
def test_other_causal_models_run_on_packed_rows_too(model):
    plain = model().eval()
    packed = copy.deepcopy(plain)
    prepare(packed)
    chosen = random_samples(5, 40, 9)
    assert packed_loss(packed, chosen).item() == pytest.approx(padded_loss(plain, chosen).item(), rel=1e-4)


def test_a_model_with_a_state_that_runs_on_is_refused():
    model = MambaForCausalLM(MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2, state_size=4)).eval()
    with pytest.raises(BadInput, match="a MambaForCausalLM does not run on packed rows"):
        prepare(model)


def test_an_attention_of_another_kind_is_refused():
    some = torch.ones(1, 1, 2, 4)
    with pytest.raises(ValueError, match="caps its scores"):
        attention.packed_attention(torch.nn.Identity(), some, some, some, None, segments=[2], softcap=30.0)


# -------------------------------------------------------------------------------------------------------- what is learnt


def learnt(sample: Sample) -> list[str]:
    """The texts that are targets, turn by turn."""
    numbers = sorted(set(sample.turns[sample.targeted].tolist()))
    return [template().text(sample.ids[sample.targeted & (sample.turns == number)].tolist()) for number in numbers]


def test_what_a_chat_policy_said_is_learnt_and_nothing_else():
    lead, one, _ = renderer().samples([rollout(3)])
    assert learnt(lead)[1] == "| Hirtshals |\n| Rubjerg |\n<|im_end|>"
    assert learnt(one) == [
        '<tool_call>\n{"name": "search", "arguments": {"query": "Hirtshals"}}\n</tool_call><|im_end|>',
        "Hirtshals 3 m<|im_end|>",
    ]
    assert "Hirtshals: 3 m" in template().text(one.ids.tolist())


def test_turns_that_are_not_to_be_trained_or_were_cut_off_are_context():
    said = rollout(3)
    lead, sub = said.trajectories[:2]
    lead.turns[0].trainable = False
    sub.turns[1].completion.truncated = "turn_cap"
    first, second, _ = renderer().samples([said])
    assert [text[:12] for text in learnt(first)] == ["| Hirtshals "]
    assert len(learnt(second)) == 1
    assert "Hirtshals 3 m" in template().text(second.ids.tolist())
    lead.turns[1].trainable = False
    assert [sample.role for sample in renderer().samples([said])] == ["sub", "sub"]


def test_what_a_token_policy_sampled_stays_token_for_token():
    spelled = [i for letter in "height" for i in template().tokenizer.encode(letter, add_special_tokens=False)]
    assert spelled != template().tokenizer.encode("height", add_special_tokens=False)
    said = Completion(text="height", prompt_ids=[7, 8, 9], completion_ids=[*spelled, template().eos_id])
    run = Trajectory(role="sub", turns=[Turn([Message("user", "?")], said)])
    sample = renderer().sample(run)
    assert sample.ids.tolist() == [7, 8, 9, *spelled, template().eos_id]
    assert sample.turns.tolist() == [0, 0, 0, *[1] * len(spelled), 1]


def test_what_another_tokenizer_sampled_is_written_anew_prompts_included():
    said = rollout()
    written = [sample.ids.tolist() for sample in renderer().samples([said])]
    for run in said.trajectories:
        for turn in run.turns:
            turn.completion.prompt_ids, turn.completion.completion_ids = [7, 8, 9], [11, 12, 13]
    assert [sample.ids.tolist() for sample in renderer().samples([said])] == written


def test_an_agent_of_a_role_that_is_not_known_is_refused():
    said = rollout()
    said.trajectories[1].role = "critic"
    with pytest.raises(BadInput, match=r"task t0: agent lead/1\.1 has the role 'critic'"):
        list(renderer().samples([said]))


def test_a_pack_predicts_each_trained_token_from_the_one_before_it():
    one = Sample(np.array([10, 11, 12, 13], np.int32), np.array([1, 1, 0, 2], np.int16))
    two = Sample(np.array([20, 21, 22], np.int32), np.array([0, 1, 1], np.int16))
    row = pack([one, two])
    assert row.ids.tolist() == [[10, 11, 12, 13, 20, 21, 22]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert (row.targets.tolist(), row.labels.tolist()) == ([0, 2, 4, 5], [11, 13, 21, 22])
    assert row.turns.tolist() == [0, 1, 2, 2]
    assert row.segments == [4, 3]


def test_samples_are_read_as_they_were_written(tmp_path):
    written = samples()
    save_samples(tmp_path / "some.npz", written, "made so")
    found, fingerprint = load_samples(tmp_path / "some.npz")
    assert fingerprint == "made so"
    assert [(s.ids.tolist(), s.turns.tolist(), s.rollout, s.role) for s in found] == [
        (s.ids.tolist(), s.turns.tolist(), s.rollout, s.role) for s in written
    ]
    save_samples(tmp_path / "none.npz", [])
    assert load_samples(tmp_path / "none.npz") == ([], "")


# --------------------------------------------------------------------------------------------------------------- steps


def test_every_sample_comes_once_an_epoch_in_another_order_each_time_and_always_the_same():
    made = [Sample(np.full(10 + at, at, np.int32), np.ones(10 + at, np.int16)) for at in range(20)]

    def order(seed: int) -> list[int]:
        return [int(sample.ids[0]) for step in islice(steps(made, 50, seed), 30) for sample in step]

    found = order(1)
    epochs = [found[at : at + 20] for at in (0, 20, 40)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert order(1) == found != order(2)
    sizes = [sum(map(len, step)) for step in islice(steps(made, 50, 1), 30)]
    assert all(50 <= size < 50 + 29 for size in sizes)


def test_subagents_are_drawn_anew_each_epoch_and_leads_always_come():
    made = [
        Sample(np.full(5, 10 * r + at, np.int32), np.ones(5, np.int16), r, "sub" if at else "lead")
        for r in range(3)
        for at in range(6)
    ]
    drawn = [int(s.ids[0]) for step in islice(steps(made, 45, 0, subagents=2), 8) for s in step]  # an epoch has 9
    epochs = [drawn[at : at + 9] for at in range(0, 72, 9)]
    for epoch in epochs:
        assert Counter(at // 10 for at in epoch) == {0: 3, 1: 3, 2: 3}
        assert {0, 10, 20} <= set(epoch)
    assert set(drawn) == {int(sample.ids[0]) for sample in made}


def test_no_samples_make_no_steps():
    assert list(steps([], 50, 0)) == []
    assert list(portions([], 50)) == []


# ------------------------------------------------------------------------------------------------------------- updates


def test_muon_has_the_hidden_matrices_only():
    model = tiny(tie_word_embeddings=False)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)] for p in hidden_matrices(model)}
    expected = {name for name, p in model.named_parameters() if "layers." in name and p.ndim == 2}
    assert found == expected
    assert len(found) == 14
    muon, adamw = Optimizers(model, OptimizerConfig(name="muon"))._parts
    assert isinstance(muon, torch.optim.Muon)
    assert {names[id(p)] for p in muon.param_groups[0]["params"]} == expected
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - expected
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= rest


def test_the_learning_rate_rises_stays_and_falls_to_nearly_nothing():
    shares = [lr_share(step, 100, 0.1, 0.5) for step in range(100)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(shares[10:50]) == {1.0}
    assert shares[50:] == pytest.approx([(100 - step) / 50 for step in range(50, 100)])
    assert lr_share(0, 100, 0.0, 0.0) == lr_share(99, 100, 0.0, 0.0) == 1.0


@pytest.mark.parametrize("pass_tokens", [16, 200])
def test_how_a_step_is_split_into_passes_changes_nothing(pass_tokens):
    chosen = random_samples(*LENGTHS)
    found = {}
    for tokens in (100_000, pass_tokens):
        learner = Learner(both()[1], OptimizerConfig(lr=1e-2, eps=1e-3), pass_tokens=tokens)
        update = learner.step(chosen, 1.0)
        found[tokens] = (update, torch.cat([p.detach().flatten() for p in learner.model.parameters()]))
    assert found[pass_tokens][0].loss == pytest.approx(found[100_000][0].loss, rel=1e-6)
    assert found[pass_tokens][0].norm == pytest.approx(found[100_000][0].norm, rel=1e-5)
    start = torch.cat([p.detach().flatten() for p in both()[1].parameters()])
    assert distance(found[pass_tokens][1] - start, found[100_000][1] - start) < 1e-5


def test_an_update_whose_loss_is_not_finite_is_not_made():
    model = tiny()
    prepare(model)
    learner = Learner(model, OptimizerConfig(name="muon"))
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    before = [p.detach().clone() for p in model.parameters()]
    assert not learner.step(random_samples(20, 30), 1.0).finite
    assert all(
        torch.equal(*pair.nan_to_num()) for pair in map(torch.stack, zip(before, model.parameters(), strict=True))
    )
    with torch.no_grad():
        model.model.norm.weight[3] = 1.0
    assert learner.step(random_samples(20, 30), 1.0).finite
    assert not torch.equal(before[0], next(model.parameters()))


def test_optimisers_do_not_take_the_state_of_others():
    state = Optimizers(tiny(), OptimizerConfig(name="muon")).state()
    with pytest.raises(ValueError, match="it has 14 weights, not 24"):
        Optimizers(tiny(), OptimizerConfig(name="adamw")).load(state)
    learner = Learner(tiny(), OptimizerConfig())
    prepare(learner.model)
    learner.step(random_samples(20), 1.0)
    with pytest.raises(ValueError, match=r"\(64, 32\), not \(64, 64\)"):
        Optimizers(tiny(hidden_size=64), OptimizerConfig()).load(learner.optimizers.state())


@pytest.mark.parametrize("tied", [True, False])
def test_weight_decay_spares_norms_and_embeddings(tied):
    model = tiny(tie_word_embeddings=tied)
    optimizers = Optimizers(model, OptimizerConfig(lr=0.1, weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizers.step(1.0)
    for name, p in model.named_parameters():
        decays = "proj" in name or "lm_head" in name
        assert torch.allclose(p, before[name] * (0.95 if decays else 1.0)), name


def test_a_checkpoint_of_one_group_of_weights_goes_on_with_the_moments_of_each():
    """As earlier versions wrote them."""
    model = tiny()
    old = torch.optim.AdamW(model.parameters(), lr=0.1)
    for number, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, float(number + 1))
    old.step()
    now = Optimizers(model, OptimizerConfig(weight_decay=0.1))
    now.load([old.state_dict()])
    (adamw,) = now._parts
    assert len(adamw.param_groups) == 2
    for number, p in enumerate(model.parameters()):
        assert torch.equal(adamw.state[p]["exp_avg"], old.state[p]["exp_avg"])
        assert float(adamw.state[p]["exp_avg"].flatten()[0]) == pytest.approx(0.1 * (number + 1))
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.1, 0.0]


# ----------------------------------------------------------------------------------------------------------- measuring


def test_held_out_figures_are_what_counting_by_hand_gives():
    model = tiny()
    plain = copy.deepcopy(model)
    prepare(model)
    chosen = samples(3)
    hits, losses, turns = [], [], []
    for sample in chosen:
        ids = torch.from_numpy(sample.ids.astype(np.int64))
        with torch.no_grad():
            logits = plain(input_ids=ids[None]).logits[0]
        right = {}
        for at in range(1, len(ids)):
            if sample.turns[at]:
                hit = int(logits[at - 1].argmax()) == int(ids[at])
                hits.append(hit)
                losses.append(float(-logits[at - 1].log_softmax(-1)[ids[at]]))
                right[int(sample.turns[at])] = right.get(int(sample.turns[at]), True) and hit
        turns += [(sample.role, hit) for hit in right.values()]
    figures = measure(Learner(model, OptimizerConfig(), pass_tokens=1000), chosen)
    assert figures["held_out_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert figures["held_out_tokens"] == pytest.approx(np.mean(hits))
    assert figures["held_out_turns"] == pytest.approx(np.mean([hit for _, hit in turns]))


def test_a_turn_is_exact_only_where_every_token_of_it_is(monkeypatch):
    learner = Learner(tiny(), OptimizerConfig())
    one = Sample(np.array([1, 5, 6, 7, 8], np.int32), np.array([0, 1, 1, 0, 2], np.int16), 0, "lead")
    two = Sample(np.array([2, 9, 4], np.int32), np.array([0, 1, 1], np.int16), 1, "sub")
    said = torch.tensor([5, 6, 3, 9, 4])  # turn 2 of the lead is wrong
    monkeypatch.setattr(learner, "logits", lambda row: F.one_hot(said, 20).float() * 50)
    figures = measure(learner, [one, two])
    assert figures["held_out_tokens"] == pytest.approx(4 / 5)
    assert figures["held_out_turns"] == pytest.approx(2 / 3)
    assert (figures["held_out_turns_lead"], figures["held_out_turns_sub"]) == (0.5, 1.0)
