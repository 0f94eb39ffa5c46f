"""Splitting, sharing prefixes and deduplicating change what is computed, never what is learnt. In float64, off policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marl import config, sample, tiny_model
from wideseek.records import Completion, Rollout, Task, Trajectory, Turn
from wideseek.train import attention
from wideseek.train.batch import PolicySample, policy_samples
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.prefix_tree import WORTH, forest, passes


def group(rng: np.random.Generator, rollouts: int = 4) -> list[PolicySample]:
    """Samples that begin alike to every degree: a question of 40 tokens, shared first turns, a twin, a stranger."""
    question = rng.integers(0, 50, 40).tolist()
    first = rng.integers(0, 50, 36).tolist()
    made: list[PolicySample] = []
    for number in range(rollouts):
        ids = [*question, *(first if number % 2 else rng.integers(0, 50, 5).tolist()), *rng.integers(0, 50, 3 + number)]
        places = [*range(40, 44), *range(len(ids) - 3, len(ids))]
        made.append(drawn(rng, ids, places))
    made.append(drawn(rng, made[1].ids.tolist(), made[1].places.tolist()))  # the same tokens, another advantage
    made.append(
        drawn(rng, [*made[1].ids.tolist(), *rng.integers(0, 50, 34)], [len(made[1]) + 1])
    )  # goes on where 1 ends
    made.append(drawn(rng, rng.integers(0, 50, 12).tolist(), [1, 11]))
    return made


def drawn(rng: np.random.Generator, ids: list[int], places: list[int]) -> PolicySample:
    old = rng.normal(-3, 1.5, len(places)).tolist()  # far from the model: ratios differ from 1, many are clipped
    return sample(ids, places, old, float(rng.normal(0, 0.2)), scale=0.03)


def gradients(
    samples: list[PolicySample], model: Any = None, **settings: Any
) -> tuple[dict[str, torch.Tensor], PolicyUpdate]:
    learner = PolicyLearner(model or tiny_model(), config(**settings))
    update = PolicyUpdate()
    learner.accumulate(samples, update)
    return {name: p.grad.clone() for name, p in learner.model.named_parameters() if p.grad is not None}, update


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], most: float = 1e-9) -> None:
    for name, grad in one.items():
        error = float((grad - other[name]).norm() / grad.norm())
        assert error < most, f"{name}: {error}"


SAMPLES = group(np.random.default_rng(0))
ALONE: dict[str, Any] = {"share_prefixes": False, "tokens_per_pass": 16}


def test_alone_one_by_one_is_what_the_library_computes() -> None:
    """The reference of all tests below: one sequence at a time through the plain model, the loss written out.

    The library's own norms are computed in float32 whatever the weights are, hence the wider tolerance.
    """
    model = tiny_model(packed=False)
    total = torch.zeros((), dtype=torch.float64)
    for one in SAMPLES:
        logits = model(input_ids=torch.from_numpy(one.ids.astype(np.int64))[None]).logits[0]
        places = torch.from_numpy(one.places.astype(np.int64))
        labels = torch.from_numpy(one.ids.astype(np.int64))[places]
        new = logits[places - 1].log_softmax(-1).gather(-1, labels[:, None])[:, 0]
        ratio = (new - torch.from_numpy(one.logprobs).double()).exp()
        weight = torch.full_like(ratio, one.weight)
        loss = torch.maximum(-weight * ratio, -weight * ratio.clamp(0.8, 1.28))
        total = total + torch.where(weight < 0, torch.minimum(loss, -10 * weight), loss).sum()
    total.backward()  # type: ignore[no-untyped-call]
    found, update = gradients(SAMPLES, **ALONE)
    assert update.loss == pytest.approx(float(total.detach()), rel=1e-6)
    assert 0 < update.clipped < update.targets
    assert_same({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, found, 1e-5)


@pytest.mark.parametrize("tokens", [16, 90, 200, 10_000])
@pytest.mark.parametrize("share", [False, True])
def test_gradients_do_not_depend_on_how_a_step_is_split_or_shared(tokens: int, share: bool) -> None:
    wanted, _ = gradients(SAMPLES, **ALONE)
    found, update = gradients(SAMPLES, share_prefixes=share, tokens_per_pass=tokens)
    assert_same(wanted, found)
    assert update.tokens <= update.merged


def test_shared_prefixes_too_long_for_the_blocks_go_through_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = gradients(SAMPLES, **ALONE)
    monkeypatch.setattr(attention, "LONGEST", 30)
    found, update = gradients(SAMPLES, share_prefixes=True)
    assert update.tokens < update.merged
    assert_same(wanted, found)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 5), st.booleans())
def test_any_partition_of_a_step_adds_up_to_the_same_gradient(random: Any, ranks: int, share: bool) -> None:
    parts: list[list[PolicySample]] = [[] for _ in range(ranks)]
    for one in random.sample(SAMPLES, len(SAMPLES)):
        parts[random.randrange(ranks)].append(one)
    learner, update = PolicyLearner(tiny_model(), config(share_prefixes=share, tokens_per_pass=90)), PolicyUpdate()
    for part in parts:
        learner.accumulate(part, update)
    assert update.targets == sum(len(one.places) for one in SAMPLES)
    wanted, _ = gradients(SAMPLES, **ALONE)
    assert_same(wanted, {name: p.grad for name, p in learner.model.named_parameters() if p.grad is not None})


@pytest.mark.parametrize("at_once", [1, 170, 400])
def test_a_vocabulary_that_is_taken_in_parts_changes_nothing(at_once: int) -> None:
    """Of 50 tokens: one place at a time, three, eight."""
    wanted, whole = gradients(SAMPLES)
    learner, update = PolicyLearner(tiny_model(), config()), PolicyUpdate()
    learner.logits_at_once = at_once
    learner.accumulate(SAMPLES, update)
    assert update.loss == pytest.approx(whole.loss, rel=1e-12)
    assert update.entropy == pytest.approx(whole.entropy, rel=1e-12)
    assert_same(wanted, {name: p.grad for name, p in learner.model.named_parameters() if p.grad is not None})


def test_the_samples_of_these_tests_are_off_policy_and_clipped_on_both_sides() -> None:
    """Good tokens above 1 + clip_high, bad ones below 1 - clip_low, bad ones beyond the dual clip, and many between."""
    row = forest(SAMPLES, dtype=torch.float64)
    with torch.no_grad():
        ratio = (PolicyLearner(tiny_model(), config())._logprobs(tiny_model(), row)[0] - row.targets.logprobs).exp()
    good = row.targets.weights > 0
    assert ((ratio > 1.28) & good).sum() > 2
    assert ((ratio < 0.8) & ~good).sum() > 2
    assert ((ratio > 10) & ~good).sum() > 0
    assert ((ratio < 1.28) & good).sum() + ((ratio > 0.8) & (ratio < 10) & ~good).sum() > 5


def test_what_a_masked_turn_says_of_its_probabilities_changes_nothing() -> None:
    """Its tokens are context: the same gradient as where only the other turn is a target."""
    said = {"prompt_ids": [1, 2], "completion_ids": [3, 4, 5]}
    turns = [Turn([], Completion(**said, logprobs=[-2.0] * 3)), Turn([], Completion(**said, logprobs=[-1.0] * 3))]
    turns[0].trainable = False
    (masked,) = policy_samples([Rollout(task=Task(), trajectories=[Trajectory(role="lead", turns=turns)])], [1.0])
    turns[0].completion.logprobs = [float("nan")] * 3
    (odd,) = policy_samples([Rollout(task=Task(), trajectories=[Trajectory(role="lead", turns=turns)])], [1.0])
    wanted, _ = gradients([sample([1, 2, 3, 4, 5] * 2, [7, 8, 9], [-1.0] * 3, 1 / 3)])
    assert_same(wanted, gradients([masked])[0])
    assert_same(wanted, gradients([odd])[0])


def test_the_kl_penalty_does_not_depend_on_it_either() -> None:
    penalised = {"loss": {"kl": 0.3}}
    reference = tiny_model(seed=1)

    def learner(**settings: Any) -> PolicyLearner:
        return PolicyLearner(tiny_model(), config(**penalised, **settings), reference=reference)

    found = []
    for one in (learner(**ALONE), learner(tokens_per_pass=10_000)):
        update = PolicyUpdate()
        one.accumulate(SAMPLES, update)
        found.append({name: p.grad for name, p in one.model.named_parameters() if p.grad is not None})
        assert update.reference_kl > 0
    assert_same(*found)


def test_twins_are_computed_once_and_keep_their_own_advantages() -> None:
    ids, places = list(range(40)), [38, 39]
    good, bad = sample(ids, places, [-9.0, -9.0], 1.0), sample(ids, places, [-9.0, -9.0], -1.0)
    row = forest([good, bad])
    assert (len(row), len(row.places), len(row.labels)) == (39, 2, 4)
    found, update = gradients([good, bad], loss={"dual_clip": 1e6})
    assert update.clipped == 2, "the good twin is clipped and the bad one is not: their advantages must not be summed"
    assert any(float(grad.norm()) for grad in found.values())


def test_a_branching_node_predicts_several_children() -> None:
    shared = list(range(WORTH))
    row = forest([sample([*shared, 41, 42], [WORTH], [-1.0], 1.0), sample([*shared, 43, 44], [WORTH], [-1.0], 1.0)])
    assert row.nodes == [WORTH, 1, 1]
    assert row.paths == [[0], [0, 1], [0, 2]]
    assert row.places.tolist() == [WORTH - 1]
    assert (row.of.tolist(), row.labels.tolist()) == ([0, 0], [41, 43])


def test_what_is_too_short_to_share_is_not_parted() -> None:
    few = list(range(WORTH - 1))
    row = forest([sample([*few, 41, 42], [WORTH], [-1.0], 1.0), sample([*few, 43, 44], [WORTH], [-1.0], 1.0)])
    assert row.nodes == [WORTH, WORTH]


LISTS = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=60), min_size=1, max_size=8)


@settings(max_examples=100)
@given(LISTS, st.booleans())
def test_every_target_finds_its_token_and_its_past_in_the_row(lists: list[list[int]], share: bool) -> None:
    samples = [sample(ids * 3, [len(ids) * 3 - 1], [-1.0], at + 1.0) for at, ids in enumerate(lists)]
    row = forest(samples, share=share)
    starts = np.cumsum([0, *row.nodes])
    for number, one in enumerate(samples):
        assert row.targets.weights[number] == number + 1
        place = int(row.places[row.of[number]])
        node = int(np.searchsorted(starts, place, side="right")) - 1
        past = [int(x) for at in row.paths[node] for x in row.ids[0, starts[at] : starts[at + 1]]]
        assert past[: int(row.positions[0, place]) + 1] == one.ids[:-1].tolist()
        assert row.labels[number] == one.ids[-1]
    assert len(row) <= sum(map(len, samples))


@settings(max_examples=50)
@given(LISTS, st.integers(16, 200), st.booleans())
def test_passes_hold_every_sample_once_and_keep_their_budget(lists: list[list[int]], tokens: int, share: bool) -> None:
    samples = [sample(ids, [1], [-1.0], at + 1.0) for at, ids in enumerate(lists)]
    parts = list(passes(samples, tokens, share=share))
    assert sorted(s.weight for part in parts for s in part) == [s.weight for s in samples]
    if not share:
        assert all(sum(map(len, part)) <= tokens or len(part) == 1 for part in parts)


def test_tokens_are_reported_against_one_sequence_per_turn_and_merged_sequences() -> None:
    _, update = gradients(SAMPLES, tokens_per_pass=10_000)
    assert update.by_turn == sum(s.tokens_by_turn for s in SAMPLES)
    assert update.tokens < update.merged < update.by_turn
    two_turns = sample(range(20), [5, 6, 7, 15, 16], [-1.0] * 5, 1.0)
    assert two_turns.tokens_by_turn == 8 + 17


# ------------------------------------------------------------------------------------------- what is not computed at all


def test_what_stands_behind_the_last_trained_token_is_not_computed() -> None:
    """A page that did not fit: the turn holds it and nothing that was sampled. So does a turn that is not trained."""
    said = Completion(prompt_ids=[1, 2, 3], completion_ids=[4, 5], logprobs=[-2.0, -2.0])
    full = Completion(prompt_ids=list(range(40)), completion_ids=[], logprobs=[], truncated="context")
    later = Turn([], Completion(prompt_ids=[6], completion_ids=[7, 8], logprobs=[-1.0, -1.0]), trainable=False)
    run = Trajectory(role="sub", turns=[Turn([], said), Turn([], full), later])
    (trimmed,) = policy_samples([Rollout(task=Task(), trajectories=[run])], [1.0])
    assert trimmed.ids.tolist() == [1, 2, 3, 4, 5]
    found, update = gradients([trimmed])
    assert update.tokens == 4, "the last token is predicted, and nothing from it"
    whole = sample([1, 2, 3, 4, 5, *range(40), 6, 7, 8], [3, 4], [-2.0, -2.0], 0.5)
    assert_same(gradients([whole])[0], found)
