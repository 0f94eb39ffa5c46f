"""LocalEngine: requests from any event loop, torch in one thread of its own.

    sample()   ── job ──▶  inbox  ──▶  worker: take the inbox, one scheduler step, again
               ◀─ call_soon_threadsafe ─────────────┘

Under a `Lockstep` the worker steps only when all branches of work wait: then equal requests make equal batches, and
equal batches equal numbers, to the last bit.

Whatever the worker raises ends the requests that it had, never the worker. A request whose caller has gone away is
taken off at the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import torch

from wideseek.concurrency import LOCKSTEP, Lockstep, Wait
from wideseek.errors import BadInput, PolicyRejected, PolicyUnavailable, WideseekError
from wideseek.policy.local.cache import Cache
from wideseek.policy.local.model import Model
from wideseek.policy.local.scheduler import Job, Scheduler, Stats
from wideseek.policy.local.weights import Dtype, Shape, State, Weights, read
from wideseek.policy.token import Request, Sampled

Device = Literal["auto", "cpu", "cuda"]

_LEAST_KV = 64
_numbers = itertools.count()  # of workers, in the order in which they are made


class LocalEngine:
    """A `Sampler` over the weights of a Qwen3 causal LM. `open` reads them; the constructor takes them from memory.

    `kv_tokens`: memory for keys and values, in tokens, running and retained together (default: a quarter of the
    machine's memory, at most 2 GiB or one whole context; on a GPU half of what is free). No sequence may be longer, so
    it bounds `context_tokens`. `max_batch`: the most requests that run at once. `chunk`: the most prompt tokens of one
    step. `threads`: sets torch's threads, for the whole process; left alone by default.

    Raises `BadInput` for weights or settings that cannot work.
    """

    def __init__(
        self,
        config: Any,
        state: State,
        *,
        name: str = "local",
        dtype: Dtype = "float32",
        device: Device = "auto",
        kv_tokens: int | None = None,
        max_batch: int = 64,
        chunk: int = 512,
        threads: int | None = None,
    ) -> None:
        for setting, value in (("max_batch", max_batch), ("chunk", chunk), ("threads", threads)):
            if value is not None and value < 1:
                raise BadInput(f"{name}: {setting} = {value}: give 1 at least")
        self._name, self._shape = name, Shape.of(config, name)
        self._dtype, self._device = _dtype(dtype, name), _device(device, name)
        weights = Weights.of(self._shape, state, self._dtype, self._device, name)
        budget = self._budget() if kv_tokens is None else kv_tokens
        if budget < min(_LEAST_KV, self._shape.context):
            raise BadInput(f"{name}: kv_tokens = {budget} is too small for one request: give {_LEAST_KV} at least")
        self._context = min(self._shape.context, budget)
        cache = Cache(self._shape, budget, self._dtype, self._device)
        self._scheduler = Scheduler(Model(self._shape, weights, self._context), cache, max_batch, chunk, name)
        self._worker = Worker(self._scheduler, threads)
        weakref.finalize(self, self._worker.end)

    @classmethod
    def open(cls, model: str | Path, *, name: str | None = None, **settings: Any) -> LocalEngine:
        """The engine of a folder or hub name; `settings` as the constructor takes them."""
        config, state = read(model)
        return cls(config, state, name=name or str(model), **settings)

    # ------------------------------------------------------------------------------------------------------- Sampler

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int:
        return self._scheduler.version

    @property
    def context_tokens(self) -> int:
        return self._context

    @property
    def more_context(self) -> str:
        return "raise local.kv_tokens" if self._context < self._shape.context else "use a model of a longer context"

    @property
    def stats(self) -> Stats:
        """Counts up as the engine works."""
        return self._scheduler.stats

    async def sample(self, request: Request) -> Sampled:
        """Continue `request.ids` (policy/local/sampling.py says how, and what the log-probabilities are).

        Raises `PolicyRejected` for a request that can never run, `PolicyUnavailable` when the engine failed or closed.
        """
        self._check(request)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sampled] = loop.create_future()
        lockstep, waits = LOCKSTEP.get(), list[Wait]()

        def done(outcome: Sampled | WideseekError) -> None:
            for wait in waits:  # before the worker looks whether it is its turn
                wait.over()
            _answer(loop, future, outcome)

        job = Job(request, done)
        if lockstep is None:
            self._worker.post(lambda: self._scheduler.add(job))
        else:
            waits.append(self._worker.post_in(lockstep, lambda: self._scheduler.add(job)))
        try:
            return await future
        except asyncio.CancelledError:
            for wait in waits:
                wait.over()
            with contextlib.suppress(PolicyUnavailable):  # closed: everything is freed already
                self._worker.post(lambda: self._scheduler.cancel(job))
            raise

    async def load(self, state: State, version: int | None = None) -> None:
        """Take other weights, by the names of a checkpoint; the version becomes `version`, or one more than it was.

        Retained caches are dropped; what runs is computed again and goes on under the new weights. Raises `BadInput`
        for weights that do not fit or are not finite: then nothing has changed.
        """

        def update() -> None:
            weights = Weights.of(self._shape, state, self._dtype, self._device, self._name)
            model = Model(self._shape, weights, self._context)
            self._scheduler.update(model, self.version + 1 if version is None else version)

        await asyncio.wrap_future(self._worker.call(update))

    async def forget(self) -> None:
        """Drop retained caches, as if the engine had just been opened with the weights that it has."""
        await asyncio.wrap_future(self._worker.call(self._scheduler.forget))

    async def close(self) -> None:
        """End the worker; what still runs fails with `PolicyUnavailable`."""
        await asyncio.to_thread(self._worker.end)

    def _check(self, request: Request) -> None:
        size = len(request.ids)
        if not size or request.max_new < 1:
            raise PolicyRejected(f"{self._name}: a request needs at least one token and max_new >= 1")
        if size + request.max_new > self._context:
            raise PolicyRejected(
                f"{self._name}: {size:,} tokens and up to {request.max_new:,} new ones do not fit into "
                f"{self._context:,}: shorten the prompt, lower max_new, or {self.more_context}"
            )
        if min(request.ids) < 0 or max(request.ids) >= self._shape.vocab:
            raise PolicyRejected(
                f"{self._name}: token ids reach from {min(request.ids)} to {max(request.ids)}, the model knows 0 to "
                f"{self._shape.vocab - 1}: tokenizer and weights do not belong together"
            )
        if request.temperature < 0 or not 0 < request.top_p <= 1:
            raise PolicyRejected(
                f"{self._name}: temperature {request.temperature} and top_p {request.top_p}: give a temperature of 0 "
                "or more, and a top_p above 0, 1 at most"
            )

    def _budget(self) -> int:
        """The default of `kv_tokens`. Slabs are made as they are needed, so this is a bound and no reservation."""
        per_token = self._shape.kv_bytes(self._dtype)
        if self._device.type == "cuda":
            return int(torch.cuda.mem_get_info(self._device)[0] // 2 // per_token)
        most = max((2 << 30) // per_token, self._shape.context)
        return min(most, _memory() // 4 // per_token)


class Worker:
    """The thread that owns the torch work. It starts with the first call."""

    def __init__(self, scheduler: Scheduler, threads: int | None) -> None:
        self._scheduler, self._threads = scheduler, threads
        self._wake = threading.Condition()
        self._inbox: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lockstep: Lockstep | None = None
        self._number = next(_numbers)

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` run between two steps. Raises `PolicyUnavailable` after `end`."""
        with self._wake:
            if self._closed:
                raise PolicyUnavailable(f"{self._scheduler.name}: the engine is closed")
            self._inbox.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wideseek-engine", daemon=True)
                self._thread.start()
            self._wake.notify()

    def post_in(self, lockstep: Lockstep, call: Callable[[], None]) -> Wait:
        """Like `post`, by a branch that waits for what comes of it; from now on the worker steps in its turn only."""
        with self._wake:
            self._lockstep = lockstep
        self.post(call)
        return lockstep.wait(self._number, self._woken)

    def call(self, call: Callable[[], None]) -> Future[None]:
        """Like `post`; the future tells when it is done, or how it failed. Cancelled before its turn, it is not run."""
        done: Future[None] = Future()

        def run() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                call()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self.post(run)
        return done

    def end(self) -> None:
        """Have the thread end after the step that it is in, and wait for that (Python may not exit before)."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        # glibc gives what a step frees back to the system, and has the next step fault it in again, until it has seen
        # a large block freed; prompts are up to 1.5 times faster for this.
        torch.empty(31 << 20, dtype=torch.uint8)
        with torch.inference_mode():
            while not self._closed:
                self._turn()
            self._inboxed()
        self._scheduler.fail(PolicyUnavailable(f"{self._scheduler.name}: the engine was closed"))

    def _turn(self) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._inbox or self._closed or (self._scheduler.busy and self._turns()))
        turns = self._turns()  # asked first: where it is its turn, all that is asked is in the inbox
        self._inboxed()
        if turns and self._scheduler.busy and not self._closed:
            self._guarded(self._scheduler.step)

    def _turns(self) -> bool:
        return self._lockstep is None or self._lockstep.turn(self._number)

    def _woken(self) -> None:
        with self._wake:
            self._wake.notify()

    def _inboxed(self) -> None:
        with self._wake:
            calls, self._inbox = self._inbox, []
        for call in calls:
            self._guarded(call)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Out of memory, a broken kernel: it ends the requests that there are, not the engine."""
        try:
            call()
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            self._scheduler.fail(PolicyUnavailable(f"{self._scheduler.name}: the engine failed: {reason}"))


def _answer(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Sampled], outcome: Sampled | WideseekError) -> None:
    """Tell the caller's loop, which may be closed by now."""

    def tell() -> None:
        if future.done():
            return
        if isinstance(outcome, Sampled):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)


def _dtype(name: str, model: str) -> torch.dtype:
    found = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}.get(name)
    if found is None:
        raise BadInput(f"{model}: dtype {name!r}: give float32 or bfloat16")
    return found


def _device(name: str, model: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"{model}: device 'cuda': torch sees no GPU here: give device = 'cpu'")
    if name not in ("cpu", "cuda"):
        raise BadInput(f"{model}: device {name!r}: give auto, cpu or cuda")
    return torch.device(name)


def _memory() -> int:
    """Bytes that this machine has, where the system tells; else a guess that suits a laptop."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 << 30
