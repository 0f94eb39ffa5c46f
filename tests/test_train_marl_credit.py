"""Which turns train, how much better a rollout was than its group, and what a token weighs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wideseek.errors import BadInput
from wideseek.records import Completion, Rollout, Stop, Task, Trajectory, Turn
from wideseek.train.advantage import Advantage, group_advantages
from wideseek.train.batch import policy_samples
from wideseek.train.credit import REPETITION, Credit, last_words, mark

BOTH = ("lead", "sub")


def agent(role: str, *lengths: int, stop: Stop = "answer", path: str = "lead") -> Trajectory:
    """An agent whose turns were sampled with so many tokens, each after a prompt of three."""
    turns = [Turn([], Completion(text=f"{path} {n}", prompt_ids=[1, 2, 3], completion_ids=[5] * n, logprobs=[-0.5] * n))
             for n in lengths]  # fmt: skip
    return Trajectory(role=role, path=path, turns=turns, stop=stop)


def rollout(lead_stop: Stop = "answer", sub_stop: Stop = "answer", sub_turns: tuple[int, ...] = (4, 5)) -> Rollout:
    """A lead of two turns, a subagent that answered, and one with the given end."""
    return Rollout(
        task=Task(),
        trajectories=[
            agent("lead", 2, 3, stop=lead_stop),
            agent("sub", 6, 7, path="lead/1.1"),
            agent("sub", *sub_turns, stop=sub_stop, path="lead/1.2"),
        ],
    )


def marked(made: Rollout, well_formed: bool, credit: Credit = "official", roles: tuple[str, ...] = BOTH) -> list[str]:
    """One character per turn, agents parted by a space: `x` trains, `.` does not."""
    mark(made, credit, well_formed=well_formed, roles=roles)
    return ["".join("x" if turn.trainable else "." for turn in run.turns) for run in made.trajectories]


# ----------------------------------------------------------------------------------------------------------- credit


def test_on_success_the_turns_of_failed_subagents_are_dropped() -> None:
    assert marked(rollout(sub_stop="max_turns"), True) == ["xx", "xx", ".."]
    assert marked(rollout(), True) == ["xx", "xx", "xx"]


def test_on_a_malformed_answer_the_final_lead_turn_and_failed_turns_train() -> None:
    assert marked(rollout(), False) == [".x", "..", ".."]
    assert marked(rollout(sub_stop="max_turns"), False) == [".x", "..", "xx"]


def test_a_failed_lead_with_well_formed_words_trains_its_own_turns_only() -> None:
    assert marked(rollout(lead_stop="max_turns", sub_stop="context"), True) == ["xx", "..", ".."]


def test_a_failed_lead_with_malformed_words_trains_all_failed_turns() -> None:
    assert marked(rollout(lead_stop="context", sub_stop="max_turns"), False) == ["xx", "..", "xx"]


@pytest.mark.parametrize(
    ("length", "expected"), [(REPETITION, [".x", "..", ".x"]), (REPETITION - 1, [".x", "..", "xx"])]
)
def test_repetition_takes_precedence_over_other_failed_turns(length: int, expected: list[str]) -> None:
    assert marked(rollout(sub_stop="context", sub_turns=(4, length)), False) == expected


def test_a_long_turn_that_did_not_run_out_of_room_is_no_repetition() -> None:
    assert marked(rollout(sub_stop="max_turns", sub_turns=(4, REPETITION)), False) == [".x", "..", "xx"]


def test_all_trains_every_turn_whatever_the_end() -> None:
    assert marked(rollout(lead_stop="context", sub_stop="max_turns"), False, "all") == ["xx", "xx", "xx"]


def test_frozen_roles_are_not_trained_and_marks_are_set_anew_each_time() -> None:
    made = rollout()
    assert marked(made, True, roles=("lead",)) == ["xx", "..", ".."]
    assert marked(made, True, roles=("sub",)) == ["..", "xx", "xx"]


def test_the_last_words_are_those_of_the_last_turn_that_said_any() -> None:
    made = rollout()
    made.lead.turns.append(Turn([], Completion(completion_ids=[], truncated="context")))
    assert last_words(made) == "lead 3"


# -------------------------------------------------------------------------------------------------------- advantages

REWARDS = st.lists(st.one_of(st.none(), st.floats(-0.125, 1.25, width=32)), min_size=1, max_size=16)


def test_grpo_divides_by_the_unbiased_deviation() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 1.0]) == pytest.approx(
        [0.5 / (np.std([1, 0, 0, 1], ddof=1) + 1e-6) * sign for sign in (1, -1, -1, 1)]
    )


def test_no_std_and_leave_one_out_by_hand() -> None:
    assert group_advantages([0.9, 0.3, 0.0], "no_std") == pytest.approx([0.5, -0.1, -0.4])
    assert group_advantages([0.9, 0.3, 0.0], "leave_one_out") == pytest.approx([0.75, -0.15, -0.6])


@pytest.mark.parametrize("rewards", [[0.1 + 0.2] * 5, [None, 0.4, None], [None, None], [0.7]])
def test_a_group_without_differences_teaches_exactly_nothing(rewards: list[float | None]) -> None:
    assert group_advantages(rewards) == [None if reward is None else 0.0 for reward in rewards]


@given(REWARDS, st.sampled_from(["grpo", "no_std", "leave_one_out"]))
def test_unscored_rollouts_have_no_advantage_and_do_not_move_the_others(
    rewards: list[float | None], kind: Advantage
) -> None:
    advantages = group_advantages(rewards, kind)
    scored = [reward for reward in rewards if reward is not None]
    assert [a for a in advantages if a is not None] == group_advantages(scored, kind)
    assert sum(a for a in advantages if a is not None) == pytest.approx(0, abs=1e-5)


# ----------------------------------------------------------------------------------------------------------- weights

AGENTS = st.lists(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4), min_size=1, max_size=4)


def built(agents: list[list[tuple[int, bool]]]) -> Rollout:
    """A rollout of agents whose turns have so many tokens and train or not."""
    runs = [
        agent("lead" if at == 0 else "sub", *(n for n, _ in turns), path=f"lead/1.{at}")
        for at, turns in enumerate(agents)
    ]
    for run, turns in zip(runs, agents, strict=True):
        for turn, (_, trained) in zip(run.turns, turns, strict=True):
            turn.trainable = trained
    return Rollout(task=Task(), trajectories=runs)


def official_weights(rollouts: list[list[list[tuple[int, bool]]]], at: int, a: int, advantage: float) -> list[float]:
    """The weight of a token of each trained turn of agent `a` of rollout `at` (counting those that train). The released code, stage by stage: one training sequence per turn, a mean over its tokens, a mean over sequences.

    group level  advantage *= sequences / rollouts of the step
    agent level  scale *= 1 / agents of the rollout / turns of the agent
    turn level   scale *= turns of the agent * tokens of the turn / tokens of the agent
    """
    trained = [[[n for n, used in turns if used] for turns in agents] for agents in rollouts]
    agents = [turns for turns in trained[at] if turns]
    turns = agents[a]
    sequences = sum(len(turns) for agents in trained for turns in agents)
    weights = []
    for tokens in turns:
        scale = 1 / len(agents) / len(turns)
        scale *= len(turns) * tokens / sum(turns)
        weights.append(advantage * sequences / len(rollouts) * scale / tokens / sequences)
    return weights


@settings(max_examples=60)
@given(st.lists(AGENTS, min_size=1, max_size=5), st.data())
def test_the_weight_equals_the_three_stages_of_the_released_code(
    rollouts: list[list[list[tuple[int, bool]]]], data: st.DataObject
) -> None:
    advantages = data.draw(st.lists(st.floats(-3, 3).filter(bool), min_size=len(rollouts), max_size=len(rollouts)))
    samples = iter(policy_samples([built(agents) for agents in rollouts], advantages))
    for at, agents in enumerate(rollouts):
        trained = [turns for turns in agents if any(used for _, used in turns)]
        for a, turns in enumerate(trained):
            sample = next(samples)
            for weight in official_weights(rollouts, at, a, advantages[at]):
                assert sample.weight == pytest.approx(weight, rel=1e-9)
            assert len(sample.places) == sum(n for n, used in turns if used)
    assert next(samples, None) is None


def test_groups_that_teach_nothing_count_but_are_not_computed() -> None:
    rollouts = [built([[(4, True)]]) for _ in range(4)]
    (sample,) = policy_samples(rollouts, [1.0, 0.0, 0.0, None])
    assert sample.weight == pytest.approx(1 / (3 * 1 * 4))
    assert len(policy_samples(rollouts, [1.0, 0.0, 0.0, None], idle=True)) == 3


def test_a_sample_is_the_whole_trajectory_and_trains_the_marked_turns() -> None:
    (sample,) = policy_samples([built([[(2, False), (3, True)]])], [1.0])
    assert sample.ids.tolist() == [1, 2, 3, 5, 5, 1, 2, 3, 5, 5, 5]
    assert sample.places.tolist() == [8, 9, 10]
    assert sample.logprobs.tolist() == [-0.5] * 3


def test_a_policy_that_speaks_text_only_cannot_be_trained() -> None:
    made = Rollout(
        task=Task(), trajectories=[Trajectory(role="lead", turns=[Turn([], Completion(text="x", model="gpt"))])]
    )
    with pytest.raises(BadInput, match="gpt gave no token ids"):
        policy_samples([made], [1.0])
