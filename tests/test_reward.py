"""The reward's parts, and what makes it 0 or leaves it open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import call
from wideseek.records import Completion, Rollout, Score, Task, Trajectory, Turn, Usage
from wideseek.scoring.reward import Reward, RewardConfig, excess, longest_turn, rollout_reward
from wideseek.train.advantage import group_advantages


def rollout(*turns: Completion, stop: str | None = "answer", error: str | None = None) -> Rollout:
    """A lead that answered in one turn, and a subagent with the given turns."""
    lead = Trajectory(role="lead", turns=[Turn([], Completion(text="done"))], stop=stop)
    sub = Trajectory(role="sub", path="lead/0.1", turns=[Turn([], turn) for turn in turns], stop="answer")
    return Rollout(task=Task(), trajectories=[lead, sub], error=error)


def long(tokens: int) -> Completion:
    return Completion(usage=Usage(1, 0, tokens))


ACCESS = Completion(tool_calls=[call("access", {"url": "https://a.example"})])
SCORE = Score(value=0.6)


def test_the_reward_is_the_sum_of_its_named_parts() -> None:
    reward = rollout_reward(rollout(ACCESS, long(4_000)), SCORE)
    assert reward.parts == {"answer": 0.6, "format": 0.1, "access": 0.05, "length": pytest.approx(-0.05)}
    assert reward.value == pytest.approx(0.7)
    assert reward.why is None


@pytest.mark.parametrize(("tokens", "penalty"), [(0, 0), (3_000, 0), (3_500, -0.025), (5_000, -0.1), (30_000, -0.1)])
def test_the_longest_turn_is_penalised_from_3000_to_5000_tokens(tokens: int, penalty: float) -> None:
    parts = rollout_reward(rollout(long(100), long(tokens)), SCORE).parts
    assert parts["length"] == pytest.approx(penalty)


def test_sampled_ids_count_before_what_a_server_says() -> None:
    assert longest_turn(rollout(Completion(completion_ids=[1, 2, 3], usage=Usage(1, 0, 9_999)))) == 3


def test_a_malformed_access_opens_nothing() -> None:
    malformed = Completion(tool_calls=[call("access", {}, malformed="no JSON"), call("search", {"query": "x"})])
    assert rollout_reward(rollout(malformed), SCORE).parts["access"] == 0.0


@pytest.mark.parametrize("stop", ["max_turns", "context", "turn_cap", "budget"])
def test_a_lead_that_did_not_answer_gets_nothing(stop: str) -> None:
    assert rollout_reward(rollout(ACCESS, stop=stop), SCORE) == Reward(0.0, why=f"the lead ended by {stop}")


def test_a_bad_format_gets_nothing_and_says_why() -> None:
    score = Score(value=0.0, format_ok=False, note="no table in the response")
    assert rollout_reward(rollout(ACCESS), score) == Reward(0.0, why="no table in the response")


def test_what_is_unscored_has_no_reward() -> None:
    assert rollout_reward(rollout(), Score(unscored="judge down")) == Reward(None, why="judge down")
    assert rollout_reward(rollout(error="server down", stop="error"), SCORE) == Reward(None, why="server down")


def test_weights_can_be_set() -> None:
    config = RewardConfig(format=0.0, access=1.0, length=0.0, access_tool="open")
    opened = Completion(tool_calls=[call("open", {})])
    assert rollout_reward(rollout(opened, long(9_000)), SCORE, config).value == pytest.approx(1.6)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_the_reward_of_a_strict_score_stays_between_minus_a_tenth_and_1_15(tokens: int, value: float) -> None:
    reward = rollout_reward(rollout(ACCESS, long(tokens)), Score(value=value)).value
    assert reward is not None
    assert -0.1 <= reward <= 1.15 + 1e-9
    assert 0 <= excess(tokens, 3_000, 5_000) <= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_unscored_and_moves_no_group(value: float) -> None:
    reward = rollout_reward(rollout(ACCESS), Score(value=value))
    assert reward == Reward(None, why=f"the reward is {value}")
    assert group_advantages([0.0, reward.value, 1.0], "no_std") == [-0.5, None, 0.5]
