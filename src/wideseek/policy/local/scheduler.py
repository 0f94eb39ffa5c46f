"""Which requests run, and one step of all that do. No threads here: the engine's worker calls `step` in a loop.

    waiting      in arrival order, until a place in the batch and memory are there
    parked       until another request has computed the prefix that both have, which is then shared
    prefilling   chunks of what is not computed yet ride in each step beside everybody's next token
    decoding     one token a step, until a stop token or the cap

Requests that came since the last step stand in the order of their seeds, not in that of their coming, which depends on
how fast the machine is. A sequence that needs more memory than there is makes the youngest running request give way:
that one waits again, with what it has sampled, and is computed again later. The oldest never gives way, so everything
ends. New weights make all give way.
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from wideseek.errors import PolicyRejected, WideseekError
from wideseek.policy.local.cache import BLOCK, Cache, Found, Sequence, extended
from wideseek.policy.local.model import Batch, Chunk, Group, Model
from wideseek.policy.local.sampling import Draws, sample
from wideseek.policy.token import Request, Sampled

HEADROOM = 128
"""A request starts when there is memory for so many new tokens (or for its cap, where that is less)."""


@dataclass
class Stats:
    """What an engine has done so far, in tokens where nothing else is said."""

    requests: int = 0
    prompt: int = 0
    reused: int = 0
    """of the prompts, found in the cache"""
    prefilled: int = 0
    """computed as (parts of) prompts, what had to be computed again included"""
    sampled: int = 0
    steps: int = 0
    """forward passes"""
    gave_way: int = 0
    """times that a request had to wait again for want of memory"""
    evicted: int = 0
    """retained sequences that were dropped for want of memory"""
    most_running: int = 0


@dataclass(eq=False)
class Job:
    """A request on its way. `done` takes its result or its failure, once."""

    request: Request
    done: Callable[[Sampled | WideseekError], None]
    arrival: int = 0
    ids: list[int] = field(default_factory=list)
    """the prompt and what was sampled"""
    sampled: Sampled = field(default_factory=lambda: Sampled([], [], [], False))
    sequence: Sequence | None = None
    keys: list[int] = field(default_factory=list)
    """of the blocks of `ids`, for the cache: hashed once, when the request comes"""
    parked: Sequence | None = None
    """what computes a prefix for it"""

    @property
    def left(self) -> int:
        return self.request.max_new - len(self.sampled.ids)


class Scheduler:
    """Runs jobs over one model and one cache. `chunk` is the most prompt tokens of a step."""

    def __init__(self, model: Model, cache: Cache, max_batch: int, chunk: int, name: str) -> None:
        self.model, self.cache, self.name, self.version = model, cache, name, 0
        self.stats = Stats()
        self._max_batch, self._chunk = max_batch, chunk
        self._arrivals = 0
        self._new: list[Job] = []
        self._waiting: list[Job] = []
        self._parked: dict[Sequence, list[tuple[int, int, Job]]] = {}  # heaps: tokens to wait for, arrival
        self._prefilling: list[Job] = []
        self._decoding: dict[Sequence, Job] = {}

    @property
    def busy(self) -> bool:
        return bool(self._new or self._waiting or self._prefilling or self._decoding)

    # ------------------------------------------------------------------------------------------------- from outside

    def add(self, job: Job) -> None:
        job.ids = list(job.request.ids)
        job.keys = extended([], job.ids)
        self._new.append(job)
        self.stats.requests += 1
        self.stats.prompt += len(job.ids)

    def cancel(self, job: Job) -> None:
        """Forget a job and free what it holds; nothing happens where it has ended."""
        for jobs in (self._new, self._waiting):
            if job in jobs:
                jobs.remove(job)
        if job.parked is not None:
            heap = self._parked[job.parked]
            heap.remove(next(entry for entry in heap if entry[2] is job))
            heapq.heapify(heap)
            job.parked = None
        elif job.sequence is not None:
            self._stop(job)

    def update(self, model: Model, version: int) -> None:
        """Go on with other weights: everything is computed again, what was sampled stays."""
        self.forget()
        self.model, self.version = model, version

    def forget(self) -> None:
        """Drop all that is computed; what runs is computed again."""
        for job in self._running():
            self._wait_again(job)
        self.cache.clear()

    def fail(self, error: WideseekError) -> None:
        """End every job with this error."""
        parked = [job for heap in self._parked.values() for _, _, job in heap]
        # One that was just being started is in two of them.
        jobs = dict.fromkeys([*self._running(), *self._new, *self._waiting, *parked])
        self._new, self._waiting, self._parked, self._prefilling, self._decoding = [], [], {}, [], {}
        for job in jobs:
            job.sequence = job.parked = None  # a caller that goes away now has nothing to free
            job.done(error)
        self.cache.clear()

    # --------------------------------------------------------------------------------------------------------- a step

    def step(self) -> None:
        """Make room for what runs, admit what fits besides, compute one batch, sample its tokens."""
        self._make_room()
        self._number()
        self._admit()
        batch, jobs = self._batch()
        logits = self.model.logits(batch)  # [R, V]
        for chunk in batch.chunks:
            chunk.sequence.cached += chunk.count
            self._unpark(chunk.sequence, chunk.sequence.cached)
            self.stats.prefilled += chunk.count
        draws = Draws(
            [job.request.temperature for job in jobs],
            [job.request.top_p for job in jobs],
            [job.request.seed for job in jobs],
            [len(job.ids) for job in jobs],
        )
        if jobs:
            self._take(jobs, *sample(logits, draws))
        self.stats.steps += 1
        self.stats.evicted = self.cache.evicted

    def _number(self) -> None:
        """Those that came since the last step, by their seeds: whoever came first by chance changes no batch."""
        for job in sorted(self._new, key=lambda job: (job.request.seed, job.request.ids)):
            self._arrivals += 1
            job.arrival = self._arrivals
            self._waiting.append(job)
        self._new = []

    def _admit(self) -> None:
        """Start waiting jobs, in arrival order, until one does not fit. Each is looked at once, and again when it has
        become its turn or what it is parked for is there."""
        running, seen = len(self._running()), 0
        for job in self._waiting:
            if running == self._max_batch:
                break
            found = self.cache.find(job.ids, job.keys)
            if found.promiser is not None and found.promised >= found.common + BLOCK:
                self._park(job, found.promiser, found.promised)
            elif self._start(job, found, alone=not running):
                running += 1
            else:
                break
            seen += 1
        del self._waiting[:seen]
        self.stats.most_running = max(self.stats.most_running, running)

    def _start(self, job: Job, found: Found, alone: bool) -> bool:
        """Whether there was memory for it."""
        room = len(job.ids) + min(job.left, HEADROOM)
        sequence = self.cache.start(job.ids, job.keys, room, found.donor, found.common)
        if sequence is None and alone:
            self.cache.clear()  # what is retained stands in its way, and nothing else will go
            sequence = self.cache.start(job.ids, job.keys, room, None, 0)
        if sequence is None:
            return False
        job.sequence = sequence
        self.stats.reused += sequence.cached
        self._prefilling.append(job)
        return True

    def _park(self, job: Job, sequence: Sequence, tokens: int) -> None:
        """The job waits until `sequence` has computed so many tokens."""
        job.parked = sequence
        heapq.heappush(self._parked.setdefault(sequence, []), (tokens, job.arrival, job))

    def _unpark(self, sequence: Sequence, tokens: float) -> None:
        """Those that wait for so many tokens of `sequence`, or fewer, wait with the others again."""
        heap = self._parked.get(sequence, [])
        while heap and heap[0][0] <= tokens:
            _, _, job = heapq.heappop(heap)
            job.parked = None
            bisect.insort(self._waiting, job, key=lambda job: job.arrival)
        if not heap:
            self._parked.pop(sequence, None)

    def _make_room(self) -> None:
        """Every decoding sequence gets a place for its next token, if need be from younger jobs."""
        for job in [job for job in self._decoding.values() if len(job.ids) > _held(job).slab.capacity]:
            while job.sequence is not None and not self.cache.grow(job.sequence, len(job.ids)):
                youngest = max(self._running(), key=lambda job: job.arrival)
                self._wait_again(youngest)
                self.stats.gave_way += 1

    def _batch(self) -> tuple[Batch, list[Job]]:
        """What to compute now, and the jobs whose next token that gives, in the order of the logits' rows."""
        tokens: list[int] = []
        positions: list[int] = []
        wanted: list[int] = []
        jobs: list[Job] = []
        groups: list[Group] = []
        chunks: list[Chunk] = []
        for slab in self.cache.slabs:
            if slab.decoding:
                members = [self._decoding[row] for row in slab.rows[: slab.decoding] if row is not None]
                at = [len(job.ids) - 1 for job in members]
                groups.append(self.model.group(slab, at))
                jobs += members
                wanted += range(len(tokens), len(tokens) + len(members))
                tokens += [job.ids[-1] for job in members]
                positions += at
        left = self._chunk
        for job in self._prefilling:
            sequence = _held(job)
            first, count = sequence.cached, min(left, len(job.ids) - sequence.cached)
            if not count:
                break
            chunks.append(Chunk(sequence, count, first + count == len(job.ids)))
            tokens += job.ids[first : first + count]
            positions += range(first, first + count)
            left -= count
            if chunks[-1].ends:
                jobs.append(job)
                wanted.append(len(tokens) - 1)
        device = self.model.device
        tensors = (torch.tensor(numbers, dtype=torch.long, device=device) for numbers in (tokens, positions, wanted))
        packed, at_positions, rows = tensors
        return Batch(packed, at_positions, groups, chunks, rows), jobs

    def _take(self, jobs: list[Job], tokens: list[int], logprobs: list[float]) -> None:
        """Give each job its token; those that are done leave."""
        for job, token, logprob in zip(jobs, tokens, logprobs, strict=True):
            if not math.isfinite(logprob):
                self._reject(job)
                continue
            sequence = _held(job)
            if sequence in self._decoding:
                sequence.cached += 1
            else:
                self._prefilling.remove(job)
                self._decoding[sequence] = job
                self.cache.decode(sequence)
            job.ids.append(token)
            job.sampled.ids.append(token)
            job.sampled.logprobs.append(logprob)
            job.sampled.versions.append(self.version)
            self.stats.sampled += 1
            job.sampled.ended = token in job.request.stop_ids
            if job.sampled.ended or not job.left:
                self._finish(job)

    def _finish(self, job: Job) -> None:
        sequence = _held(job)
        del self._decoding[sequence]
        self.cache.retain(sequence)
        job.sequence = None
        job.done(job.sampled)

    def _reject(self, job: Job) -> None:
        sequence = self._forget(job)
        self.cache.wipe(sequence)
        job.done(PolicyRejected(f"{self.name}: the logits are not finite: the weights or the dtype do not hold"))

    def _stop(self, job: Job) -> None:
        self.cache.drop(self._forget(job))

    def _wait_again(self, job: Job) -> None:
        self._stop(job)
        job.keys = extended(job.keys, job.ids)
        bisect.insort(self._waiting, job, key=lambda job: job.arrival)

    def _forget(self, job: Job) -> Sequence:
        """The job does not run any more; its sequence is the caller's to drop."""
        sequence = _held(job)
        if self._decoding.pop(sequence, None) is None:
            self._prefilling.remove(job)
        job.sequence = None
        self._unpark(sequence, math.inf)
        return sequence

    def _running(self) -> list[Job]:
        return [*self._prefilling, *self._decoding.values()]


def _held(job: Job) -> Sequence:
    assert job.sequence is not None, "a running job holds a sequence"
    return job.sequence
