"""The local engine against plain transformers, on tiny random models: what it samples, shares, forgets and refuses."""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.clock import settled  # noqa: E402
from tests.work import lines_run  # noqa: E402
from wideseek.errors import BadInput, PolicyRejected, PolicyUnavailable  # noqa: E402
from wideseek.policy.local import LocalEngine, cache, model, sampling, scheduler, weights  # noqa: E402
from wideseek.policy.token import Request, Sampled  # noqa: E402

VOCAB = 96
MakeEngine = Callable[..., LocalEngine]


def tiny(seed: int = 0, **changes: Any) -> Any:
    """A random Qwen3 that is sure of some tokens and unsure of others."""
    settings = {
        "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCAB, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "tie_word_embeddings": True,
        "max_position_embeddings": 512, "initializer_range": 0.3, "pad_token_id": 0, "eos_token_id": None,
    }  # fmt: skip
    torch.manual_seed(seed)
    made = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**(settings | changes))).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name or "bias" in name:
                parameter += torch.randn_like(parameter) * 0.2
    return made


@pytest.fixture(scope="module")
def plain() -> Any:
    return tiny()


@pytest.fixture
async def make() -> AsyncIterator[MakeEngine]:
    engines = []

    def made(of: Any, **settings: Any) -> LocalEngine:
        engines.append(LocalEngine(of.config, of.state_dict(), **({"device": "cpu", "name": "tiny"} | settings)))
        return engines[-1]

    yield made
    for engine in engines:
        await engine.close()


class Held:
    """Has the worker of an engine stop before its step number `steps` until `release`, or until `until()` is true."""

    def __init__(self, engine: LocalEngine, steps: int, until: Callable[[], bool] = lambda: False) -> None:
        self._reached, self._released, self._until = threading.Event(), threading.Event(), until
        self._left, self._step = steps, engine._scheduler.step
        engine._scheduler.step = self._held_step  # type: ignore[method-assign]

    def _held_step(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._reached.set()
            while not self._until() and not self._released.wait(0.001):
                pass
        self._step()

    async def reached(self) -> None:
        await asyncio.to_thread(self._reached.wait)

    def release(self) -> None:
        self._released.set()


def some(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(VOCAB) for _ in range(count)]


def forward(of: Any, ids: list[int], start: int, temperature: float = 1.0) -> Any:
    """Log-probabilities of `ids[start:]` by one plain forward pass. [len(ids) - start, V]"""
    with torch.no_grad():
        logits = of(torch.tensor([ids])).logits[0, start - 1 : -1].float()
    return torch.log_softmax(logits / (temperature or 1.0), -1)


def error_of(of: Any, request: Request, sampled: Sampled) -> float:
    """The largest difference between the logprobs that were told and those of a plain forward pass."""
    expected = forward(of, request.ids + sampled.ids, len(request.ids), request.temperature)
    told = torch.tensor(sampled.logprobs)
    return float((expected.gather(-1, torch.tensor(sampled.ids)[:, None])[:, 0] - told).abs().max())


def is_greedy(of: Any, request: Request, ids: list[int]) -> bool:
    """Whether each token is the likeliest, or within 1e-4 of it."""
    expected = forward(of, request.ids + ids, len(request.ids))
    best, chosen = expected.max(-1).values, expected.gather(-1, torch.tensor(ids)[:, None])[:, 0]
    return bool((best - chosen < 1e-4).all())


# --------------------------------------------------------------------------------------------- the same as transformers


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False, "attention_bias": True},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "head_dim": 16},
    ],
    ids=["tied", "untied with bias", "no grouping", "one key head"],
)
async def test_logprobs_agree_with_a_plain_forward_pass(make: MakeEngine, changes: dict[str, Any]) -> None:
    of = tiny(**changes)
    draw = random.Random(1)
    requests = [Request(some(draw, size), 20, (), t, 1.0, size) for size in (1, 7, 130, 300) for t in (0.0, 0.7, 1.0)]
    engine = make(of)
    results = await asyncio.gather(*map(engine.sample, requests))
    assert max(error_of(of, *pair) for pair in zip(requests, results, strict=True)) < 1e-3


async def test_greedy_output_is_that_of_generate_wherever_two_logits_differ(make: MakeEngine, plain: Any) -> None:
    draw = random.Random(2)
    requests = [Request(some(draw, size), 40, (), temperature=0) for size in (3, 64, 65, 200)]
    results = await asyncio.gather(*map(make(plain).sample, requests))
    for request, result in zip(requests, results, strict=True):
        generated = plain.generate(
            torch.tensor([request.ids]),
            attention_mask=torch.ones(1, len(request.ids)),
            max_new_tokens=40,
            do_sample=False,
        )[0, len(request.ids) :].tolist()
        same = next((i for i, pair in enumerate(zip(generated, result.ids, strict=True)) if pair[0] != pair[1]), 40)
        if same < 40:
            top = forward(plain, request.ids + generated[: same + 1], len(request.ids))[same].topk(2).values
            assert top[0] - top[1] <= 1e-4
        assert is_greedy(plain, request, result.ids)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kv_tokens", [None, 700])
async def test_random_arrivals_of_many_turns_agree_with_plain_forward_passes(
    make: MakeEngine, plain: Any, seed: int, kv_tokens: int | None
) -> None:
    draw = random.Random(seed)
    engine = make(plain, kv_tokens=kv_tokens, max_batch=draw.choice([3, 64]), chunk=draw.choice([16, 100, 512]))
    system = some(draw, 40)

    async def agent(number: int) -> None:
        own = random.Random(100 * seed + number)
        ids = system + some(own, own.choice([1, 20, 90]))
        for _ in range(3):
            request = Request(list(ids), own.choice([1, 5, 30]), (7, 8), own.choice([0.0, 0.7, 1.0]), 1.0, number)
            for _ in range(own.randrange(200)):  # it arrives while the others are at any point
                await asyncio.sleep(0)
            result = await engine.sample(request)
            assert error_of(plain, request, result) < 1e-3
            assert result.ended == (result.ids[-1] in (7, 8))
            assert result.ended or len(result.ids) == request.max_new
            assert not {7, 8} & set(result.ids[:-1])
            ids += result.ids + some(own, own.choice([1, 16, 40]))

    await asyncio.gather(*(agent(number) for number in range(12)))
    assert engine._scheduler.cache.tokens <= (kv_tokens or math.inf)


async def test_bf16_samples_the_likely_tokens_of_the_same_model(make: MakeEngine, plain: Any) -> None:
    of = tiny(initializer_range=0.1)
    engine = make(of, dtype="bfloat16")
    request = Request(some(random.Random(3), 100), 30, (), 1.0, 1.0, 3)
    result = await engine.sample(request)
    assert error_of(of, request, result) < 0.3


# --------------------------------------------------------------------------------------------------------- determinism


async def test_a_request_gives_the_same_tokens_whatever_else_is_in_the_batch(make: MakeEngine, plain: Any) -> None:
    draw = random.Random(4)
    request = Request(some(draw, 50), 40, (), 1.0, 0.9, 11)
    alone = await make(plain).sample(request)
    crowded = make(plain, chunk=32)
    others = [Request(some(draw, draw.randrange(1, 200)), 30, (), 1.0, 1.0, i) for i in range(20)]
    first, *_ = await asyncio.gather(crowded.sample(request), *map(crowded.sample, others))
    again = await crowded.sample(request)
    assert alone.ids == first.ids == again.ids
    assert alone.logprobs == pytest.approx(first.logprobs, abs=1e-4)


async def test_seeds_and_prompts_draw_differently(make: MakeEngine, plain: Any) -> None:
    engine, prompt = make(plain), some(random.Random(5), 30)
    results = await asyncio.gather(*(engine.sample(Request(prompt, 20, (), 1.0, 1.0, seed)) for seed in range(8)))
    assert len({tuple(result.ids) for result in results}) == 8


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.randn(VOCAB, generator=torch.Generator().manual_seed(6)) * 2
    rows = 20_000
    draws = sampling.Draws([0.5] * rows, [1.0] * rows, list(range(rows)), [9] * rows)
    tokens, logprobs = sampling.sample(logits.repeat(rows, 1), draws)
    expected = torch.softmax(logits / 0.5, -1)
    counted = torch.bincount(torch.tensor(tokens), minlength=VOCAB) / rows
    assert (counted - expected).abs().max() < 0.012  # three standard deviations of the likeliest
    assert torch.tensor(logprobs).exp().numpy() == pytest.approx(expected[tokens].numpy(), rel=1e-4)


@pytest.mark.parametrize("peak", [0.0, 20.0], ids=["flat", "peaked"])
def test_every_token_of_a_large_vocabulary_is_drawn_as_often_as_its_logged_probability_says(peak: float) -> None:
    """By enumeration: all draws below the cumulative probability of a token give it or one before it, all above give
    one behind it. So the total variation between what is drawn and what is logged is bounded, token by token."""
    size, slack = 151_936, 1e-12
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(1)) * 2.5
    logits[0, 77_777] += peak
    weights_ = (logits - logits.amax()).exp()
    cumulative = np.cumsum(weights_[0].numpy().astype(np.longdouble))
    edges = (cumulative / cumulative[-1]).astype(np.float64)
    sums = sampling.part_sums(weights_)
    for first in range(0, size, 8192):
        edge = edges[first : first + 8192]
        rows = len(edge)

        def drawn(draws: np.ndarray, rows: int = rows) -> np.ndarray:
            found = sampling.inverse_cdf(weights_.expand(rows, -1), sums.expand(rows, -1), draws)
            return found[:, 0].numpy()

        tokens = np.arange(first, first + rows)
        assert (drawn(np.clip(edge - slack, 0, None)) <= tokens).all()
        assert (drawn(np.minimum(edge + slack, 1 - 2**-53)) > tokens)[: size - 1 - first].all()
    assert size * slack < 2e-7, "which is the most that the total variation can be"
    _, logprobs = sampling.sample(logits.repeat(64, 1), sampling.Draws([1.0] * 64, [1.0] * 64, range(64), [3] * 64))
    tokens, _ = sampling.sample(logits.repeat(64, 1), sampling.Draws([1.0] * 64, [1.0] * 64, range(64), [3] * 64))
    share = weights_[0].double() / weights_[0].double().sum()
    assert np.exp(logprobs) == pytest.approx(share[tokens].numpy(), rel=1e-5)


def test_draws_have_all_the_bits_that_a_float64_holds() -> None:
    draws = sampling.uniform(range(1000), [7] * 1000)
    assert draws.dtype == np.float64
    assert ((draws * 2**53) % 1 == 0).all()
    assert ((draws * 2**24) % 1 != 0).any()
    assert 0 <= draws.min() < draws.max() < 1


def test_a_nucleus_holds_the_fewest_likeliest_tokens_and_its_probabilities_sum_to_one() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(400, 1)
    draws = sampling.Draws([1.0] * 400, [0.7] * 400, list(range(400)), [0] * 400)
    tokens, logprobs = sampling.sample(logits, draws)
    assert set(tokens) == {0, 1}
    assert {round(math.exp(logprob), 3) for logprob in logprobs} == {0.625, 0.375}


# -------------------------------------------------------------------------------------------------------------- sharing


async def test_the_next_turn_of_an_agent_computes_only_what_is_new(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain), random.Random(7)
    ids = some(draw, 100)
    ids += (await engine.sample(Request(ids, 10))).ids
    before = engine.stats.prefilled
    result = await engine.sample(request := Request(ids + some(draw, 5), 10))
    assert engine.stats.prefilled - before == 6  # the five, and the last token of the turn before
    assert error_of(plain, request, result) < 1e-3


async def test_siblings_that_arrive_together_compute_their_common_prefix_once(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain, chunk=64), random.Random(8)
    system = some(draw, 160)
    requests = [Request(system + some(draw, 4), 5, (), 1.0, 1.0, i) for i in range(10)]
    results = await asyncio.gather(*map(engine.sample, requests))
    assert engine.stats.prefilled == 164 + 9 * 4
    assert engine.stats.reused == 9 * 160
    assert max(error_of(plain, *pair) for pair in zip(requests, results, strict=True)) < 1e-3


async def test_the_same_prompt_many_times_is_computed_once(make: MakeEngine, plain: Any) -> None:
    engine, prompt = make(plain), some(random.Random(9), 100)
    requests = [Request(prompt, 8, (), 1.0, 1.0, seed) for seed in range(8)]
    results = await asyncio.gather(*map(engine.sample, requests))
    assert engine.stats.prefilled == 100 + 7
    assert max(error_of(plain, *pair) for pair in zip(requests, results, strict=True)) < 1e-3


def scheduled(of: Any, chunk: int, kv_tokens: int = 8192) -> Any:
    shape = weights.Shape.of(of.config, "tiny")
    fused = weights.Weights.of(shape, of.state_dict(), torch.float32, torch.device("cpu"), "tiny")
    place = cache.Cache(shape, kv_tokens, torch.float32, torch.device("cpu"))
    return scheduler.Scheduler(model.Model(shape, fused, 512), place, 8, chunk, "tiny")


def test_a_request_is_hashed_once_however_long_it_waits_and_whoever_waits_beside_it(plain: Any) -> None:
    """1,000 requests wait for the prompt that the first one computes, 25 steps long: counted in lines of code."""
    prompt = some(random.Random(15), 401)

    def lines_of_a_step(waiting: int) -> int:
        runs, outcomes = scheduled(plain, chunk=16), []
        with torch.inference_mode():
            for seed in range(waiting):
                runs.add(scheduler.Job(Request([*prompt, seed % VOCAB], 1, (), 1.0, 1.0, seed), outcomes.append))
            runs.step()  # the first one has begun, the others are looked at
            steps = [lines_run(runs.step) for _ in range(20)]
            while runs.busy:
                runs.step()
        assert len(outcomes) == waiting
        assert runs.stats.reused == (waiting - 1) * 401
        return max(steps)

    assert lines_of_a_step(1000) <= lines_of_a_step(2) + 10


async def test_requests_that_wait_for_a_prefix_go_on_when_the_one_that_computes_it_is_called_off(
    make: MakeEngine, plain: Any
) -> None:
    engine, prompt = make(plain, chunk=16), some(random.Random(16), 300)
    held = Held(engine, 5)
    requests = [Request([*prompt, number], 5, (), 1.0, 1.0, number) for number in range(4)]
    tasks = [asyncio.create_task(engine.sample(request)) for request in requests]
    await held.reached()
    assert len(engine._scheduler._parked) == 1
    tasks[0].cancel()
    tasks[2].cancel()  # one that waits
    await asyncio.gather(*tasks[::2], return_exceptions=True)
    held.release()
    for request, task in zip(requests[1::2], tasks[1::2], strict=True):
        assert error_of(plain, request, await task) < 1e-3
    assert not engine._scheduler._parked


# --------------------------------------------------------------------------------------------------------------- memory


async def test_what_does_not_fit_waits_and_everything_ends(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain, kv_tokens=300), random.Random(10)
    requests = [Request(some(draw, 100), 60, (), 1.0, 1.0, i) for i in range(6)]
    ended: list[int] = []

    async def one(number: int) -> Sampled:
        result = await engine.sample(requests[number])
        ended.append(number)
        return result

    results = await asyncio.gather(*map(one, range(6)))
    assert ended == sorted(ended)
    assert engine.stats.most_running == 1
    assert max(error_of(plain, *pair) for pair in zip(requests, results, strict=True)) < 1e-3


async def test_the_youngest_gives_way_when_sequences_outgrow_the_memory(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain, kv_tokens=512), random.Random(11)
    requests = [Request(some(draw, 30), 400, (), 1.0, 1.0, i) for i in range(3)]
    results = await asyncio.gather(*map(engine.sample, requests))
    assert engine.stats.gave_way > 0
    assert engine._scheduler.cache.tokens <= 512
    assert max(error_of(plain, *pair) for pair in zip(requests, results, strict=True)) < 1e-3
    alone = await make(plain).sample(requests[2])
    assert alone.ids == results[2].ids


async def test_retained_caches_go_the_longest_unused_first(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain, kv_tokens=512), random.Random(12)
    old, used, new = some(draw, 100), some(draw, 100), some(draw, 100)
    for prompt in (old, used, new):
        await engine.sample(Request(prompt, 4))
    await engine.sample(Request(used, 4))
    await engine.sample(Request(some(draw, 190), 60))
    assert engine.stats.evicted >= 1
    before = engine.stats.reused
    await engine.sample(Request(used, 4))
    assert engine.stats.reused - before == 99


async def test_a_request_beyond_the_context_or_the_budget_is_refused_at_once(make: MakeEngine, plain: Any) -> None:
    with pytest.raises(
        PolicyRejected, match="tiny: 500 tokens and up to 20 new ones .* 512: shorten .* or use a model"
    ):
        await make(plain).sample(Request([1] * 500, 20))
    small = make(plain, kv_tokens=100)
    assert small.context_tokens == 100
    with pytest.raises(PolicyRejected, match="100: shorten the prompt, lower max_new, or raise local.kv_tokens"):
        await small.sample(Request([1] * 90, 20))


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request([], 5), "at least one token"),
        (Request([1], 0), "max_new"),
        (Request([1, VOCAB], 5), "tokenizer and weights do not belong together"),
        (Request([1], 5, (), -1.0), "temperature"),
        (Request([1], 5, (), 1.0, 0.0), "top_p"),
    ],
)
async def test_a_senseless_request_is_refused(make: MakeEngine, plain: Any, request_: Request, reason: str) -> None:
    with pytest.raises(PolicyRejected, match=reason):
        await make(plain).sample(request_)


# ------------------------------------------------------------------------------------------------------ ways to go wrong


async def test_a_cancelled_request_frees_its_place(make: MakeEngine, plain: Any) -> None:
    engine = make(plain, max_batch=1)
    held = Held(engine, 5)
    running = asyncio.create_task(engine.sample(Request([1, 2, 3], 500)))
    waiting = asyncio.create_task(engine.sample(Request([4, 5, 6], 500)))
    await held.reached()
    waiting.cancel()
    running.cancel()
    await asyncio.gather(waiting, running, return_exceptions=True)
    held.release()
    assert len((await engine.sample(Request([7], 3))).ids) == 3
    assert engine.stats.sampled <= 5 + 3
    assert [row for slab in engine._scheduler.cache.slabs for row in slab.rows if row and row.running] == []


async def test_a_step_that_fails_ends_the_requests_and_not_the_engine(
    make: MakeEngine, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make(plain)

    def broken(*_: Any) -> None:
        raise RuntimeError("out of memory\nmore")

    with monkeypatch.context() as patched:
        patched.setattr(model.Model, "logits", broken)
        results = await asyncio.gather(*(engine.sample(Request([i], 5)) for i in range(3)), return_exceptions=True)
    assert {str(result) for result in results} == {"tiny: the engine failed: RuntimeError: out of memory"}
    assert all(isinstance(result, PolicyUnavailable) for result in results)
    assert len((await engine.sample(Request([1], 5))).ids) == 5


async def test_a_caller_that_leaves_after_the_engine_failed_harms_nobody(plain: Any) -> None:
    outcomes: list[Any] = []
    runs = scheduled(plain, chunk=64)
    failed, next_one = (scheduler.Job(Request([1, 2], 4), outcomes.append) for _ in range(2))
    runs.add(failed)
    runs.step()
    runs.fail(PolicyUnavailable("down"))
    runs.add(next_one)
    runs.cancel(failed)
    while runs.busy:
        runs.step()
    assert [type(outcome) for outcome in outcomes] == [PolicyUnavailable, Sampled]


async def test_an_update_that_is_called_off_before_its_turn_changes_nothing(make: MakeEngine, plain: Any) -> None:
    engine = make(plain)
    held = Held(engine, 5)
    running = asyncio.create_task(engine.sample(Request([1, 2], 300)))
    await held.reached()  # the worker is in a long step
    update = asyncio.create_task(engine.load(tiny(seed=1).state_dict()))
    await settled()
    update.cancel()
    await settled()
    held.release()
    assert len((await running).ids) == 300
    assert engine.version == 0


async def test_logits_that_are_not_finite_fail_their_request_alone(make: MakeEngine) -> None:
    engine = make(tiny(tie_word_embeddings=False), kv_tokens=1024)
    engine._scheduler.model.weights.embed[90] = (
        math.nan
    )  # as if memory had gone bad: weights are checked when they come
    poisoned, sound = Request([1, 2, 90, 3], 5), Request([1, 2, 3], 50, (), 1.0, 1.0, 3)
    alone = await engine.sample(sound)
    bad, good = await asyncio.gather(engine.sample(poisoned), engine.sample(sound), return_exceptions=True)
    assert 90 not in alone.ids
    assert isinstance(bad, PolicyRejected)
    assert isinstance(good, Sampled)
    assert good.ids == alone.ids
    again = await asyncio.gather(*(engine.sample(Request([*sound.ids, number], 1)) for number in range(20)))
    assert all(math.isfinite(logprob) for result in again for logprob in result.logprobs)


async def test_closing_fails_what_runs_and_what_comes_later(plain: Any) -> None:
    engine = LocalEngine(plain.config, plain.state_dict(), name="tiny")
    held = Held(engine, 5, until=lambda: engine._worker._closed)
    running = asyncio.create_task(engine.sample(Request([1], 500)))
    await held.reached()
    await engine.close()
    with pytest.raises(PolicyUnavailable, match="closed"):
        await running
    with pytest.raises(PolicyUnavailable, match="closed"):
        await engine.sample(Request([1], 5))


def test_requests_may_come_from_one_event_loop_after_another(plain: Any) -> None:
    engine = LocalEngine(plain.config, plain.state_dict())
    results = [asyncio.run(engine.sample(Request([1, 2], 5, (), 1.0, 1.0, 3))) for _ in range(2)]
    asyncio.run(engine.close())
    assert results[0].ids == results[1].ids


async def test_sampling_does_not_block_the_event_loop(make: MakeEngine, plain: Any) -> None:
    engine = make(plain)
    held = Held(engine, 5)
    task = asyncio.create_task(engine.sample(Request([1], 200)))
    await held.reached()
    await settled()
    assert not task.done()
    held.release()
    assert len((await task).ids) == 200


# -------------------------------------------------------------------------------------------------------------- weights


async def test_new_weights_take_over_in_the_middle_and_each_token_says_whose_it_is(
    make: MakeEngine, plain: Any
) -> None:
    engine, other = make(plain), tiny(seed=1)
    requests = [Request([1, 2, number], 300, (), 1.0, 1.0, number) for number in range(3)]
    held = Held(engine, 30)
    tasks = [asyncio.create_task(engine.sample(request)) for request in requests]
    await held.reached()
    update = asyncio.create_task(engine.load(other.state_dict()))
    await settled()
    held.release()
    await update
    assert engine.version == 1
    for request, result in zip(requests, await asyncio.gather(*tasks), strict=True):
        assert result.versions == sorted(result.versions)
        assert set(result.versions) == {0, 1}
        split = result.versions.index(1)
        for of, part in ((plain, slice(0, split)), (other, slice(split, None))):
            expected = forward(of, request.ids + result.ids, len(request.ids))
            told, at = torch.tensor(result.logprobs[part]), torch.tensor(result.ids[part])[:, None]
            assert (expected[part].gather(-1, at)[:, 0] - told).abs().max() < 1e-3


async def test_caches_of_old_weights_are_not_reused(make: MakeEngine, plain: Any) -> None:
    engine, request = make(plain), Request(some(random.Random(13), 60), 5)
    await engine.sample(request)
    await engine.load(other := tiny(seed=1).state_dict(), version=7)
    result = await engine.sample(request)
    assert engine.stats.reused == 0
    assert result.versions == [7] * 5
    loaded = tiny(seed=1)
    loaded.load_state_dict(other)
    assert error_of(loaded, request, result) < 1e-3


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda state: state["model.norm.weight"].fill_(math.nan), r"model\.norm\.weight holds NaN or infinity"),
        (lambda state: state.pop("model.norm.weight"), r"the weights lack model\.norm\.weight"),
        (
            lambda state: state.update({"model.norm.weight": torch.ones(5)}),
            r"model\.norm\.weight is \(5,\), the configuration says \(32,\)",
        ),
    ],
)
async def test_weights_that_cannot_be_taken_leave_the_old_ones_in_place(
    make: MakeEngine, plain: Any, spoil: Callable[[dict[str, Any]], None], reason: str
) -> None:
    engine, request = make(plain), Request([1, 2, 3], 20)
    before = await engine.sample(request)
    state = {name: tensor.clone() for name, tensor in tiny(seed=1).state_dict().items()}
    spoil(state)
    with pytest.raises(BadInput, match=reason):
        await engine.load(state)
    assert engine.version == 0
    assert (await engine.sample(request)).ids == before.ids
    with pytest.raises(BadInput, match=reason):
        LocalEngine(plain.config, state)


async def test_the_engine_keeps_its_own_copy_of_the_weights(make: MakeEngine) -> None:
    of, request = tiny(), Request([1, 2, 3], 20)
    engine = make(of)
    before = await engine.sample(request)
    with torch.no_grad():
        for parameter in of.parameters():
            parameter.zero_()
    assert (await engine.sample(request)).ids == before.ids


async def test_a_folder_is_opened(plain: Any, tmp_path: Path) -> None:
    plain.save_pretrained(tmp_path)
    engine = LocalEngine.open(tmp_path, name="from a folder")
    request = Request([1, 2, 3], 10)
    assert error_of(plain, request, await engine.sample(request)) < 1e-3
    assert (engine.name, engine.version, engine.context_tokens) == ("from a folder", 0, 512)
    await engine.close()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no model can be loaded from there"),
        (lambda folder: (folder / "model.safetensors").unlink(), "its weights cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), "its weights cannot be loaded"),
        (lambda folder: configure(folder, model_type="llama", architectures=["LlamaForCausalLM"]), "is a llama model; the local engine runs Qwen3ForCausalLM only"),
        (lambda folder: configure(folder, architectures=["Qwen3ForSequenceClassification"]), "is a Qwen3ForSequenceClassification model"),
        (lambda folder: configure(folder, rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}), "rope type 'yarn' is not supported"),
        (lambda folder: configure(folder, use_sliding_window=True, sliding_window=64, max_window_layers=1, layer_types=None), "sliding-window"),
        (lambda folder: configure(folder, num_hidden_layers=3, layer_types=None), "weights are missing, model.layers.2"),
    ],
    ids=["no config", "no weights", "torn weights", "llama", "a classifier", "yarn", "sliding window", "a layer is missing"],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_told_in_one_line(
    plain: Any, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    plain.save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(BadInput, match=reason) as raised:
        LocalEngine.open(tmp_path)
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kv_tokens": 10}, "kv_tokens = 10 is too small for one request"),
        ({"dtype": "float16"}, "dtype 'float16': give float32 or bfloat16"),
        ({"device": "tpu"}, "device 'tpu': give auto, cpu or cuda"),
        ({"max_batch": 0}, "max_batch = 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(plain: Any, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        LocalEngine(plain.config, plain.state_dict(), **settings)


# --------------------------------------------------------------------------------------------------------- bookkeeping


@pytest.mark.parametrize("seed", range(5))
def test_the_common_prefix_is_as_long_as_it_looks(seed: int) -> None:
    draw = random.Random(seed)
    one, common = some(draw, 200), draw.randrange(201)
    other = one[:common] + [VOCAB] * draw.randrange(5)
    assert cache.common_prefix(one, other) == cache.common_prefix(other, one) == common


async def test_many_short_requests_do_not_pile_up_memory_or_keys(make: MakeEngine, plain: Any) -> None:
    engine, draw = make(plain, kv_tokens=512), random.Random(14)
    for _ in range(5):
        await asyncio.gather(*(engine.sample(Request(some(draw, 60), 3)) for _ in range(10)))
    held = engine._scheduler.cache
    kept = [row for slab in held.slabs for row in slab.rows if row is not None]
    assert sum(len(row.keys) for row in kept) == sum(len(sharing) for sharing in held._blocks.values())
    assert sum(slab.tokens for slab in held.slabs) == held.tokens <= 512


async def test_an_idle_engine_turns_only_when_it_is_given_something(make: MakeEngine, plain: Any) -> None:
    engine = make(plain)
    await engine.sample(Request([1], 2))
    turn, turned = engine._worker._turn, []
    engine._worker._turn = lambda: (turned.append(1), turn())
    for _ in range(20):
        await asyncio.wrap_future(engine._worker.call(lambda: None))
    assert len(turned) <= 20 + 1  # the last one waits
