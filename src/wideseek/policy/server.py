"""One model server: the connection to it, and requests that are tried until they are answered.

    ask -> a place among the concurrent -> request -> what `read` makes of the answer
                                              |
                                              failed: wait, try again; at last `PolicyUnavailable`
                                              refused: `PolicyRejected`, one line with what to do
                                              too long for the server: `ContextFull`

A failed try is repeated after an exponential backoff, or after as long as its `Retry-After` says; who waits holds no
place among the concurrent ones. Cancelling ends a request at once, wherever it is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from wideseek.errors import PolicyRejected, PolicyUnavailable
from wideseek.policy.failures import ContextFull, FailedTry, Refused, failure_of, server_message
from wideseek.policy.pool import CONNECT_S
from wideseek.policy.transport import Transport
from wideseek.redaction import header_value, login_of, withhold, without_login

LONGEST_BACKOFF_S = 30.0
LONGEST_RETRY_AFTER_S = 120.0
TRIES_UNANSWERED = 3  # where nothing has ever answered at that address: most likely it is wrong
MAX_BODY_MB = 64.0  # the largest answer that is read
AZURE = (".openai.azure.com", ".services.ai.azure.com")  # hosts that take the key as `api-key`
LISTED = 8  # names of models shown in an error

T = TypeVar("T")


class Server:
    """The server at `base_url` (`/chat/completions` and `/models` stand below it). It connects at the first request.

    * `key` is sent as a bearer token (a function is called at the first request); `key_env` names the variable that
      it came from, for the error text. A login in `base_url` (`user:password@`) is sent where there is no key.
    * `timeout_s` bounds one try from connecting to the last byte, `attempts` counts tries, `backoff_s` is the first
      wait between two (it doubles, up to 30 s). `concurrency` is the most tries that run at once.
    * `max_body_mb` bounds an answer's body in megabytes (10^6 bytes) as it is once unpacked.
    * `headers` are sent with every request, and replace our own of the same name; a value that was not written down
      (`redaction.without_secret`) is the one that this process was given. A query in `base_url` (Azure's
      `?api-version=...`) stands behind the path of every request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | Callable[[], str | None] | None,
        key_env: str | None,
        timeout_s: float,
        attempts: int,
        concurrency: int,
        backoff_s: float,
        max_body_mb: float = MAX_BODY_MB,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        address, _, query = base_url.partition("?")
        self.base_url = without_login(address.rstrip("/"))
        self._query = f"?{query}" if query else ""
        self._more_headers = dict(headers or {})
        self._key, self._key_env = key, key_env
        self._timeout_s, self._attempts, self._backoff_s = timeout_s, attempts, backoff_s
        self._concurrency, self._max_body_mb = concurrency, max_body_mb
        self._answered = False
        self._listed: list[Served] | None = None
        self._connection: _Connection | None = None

    async def ask(self, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the answer to `body` (to a GET where there is none). `read` raises what msgspec raises.

        Raises `PolicyRejected` and `PolicyUnavailable` with one line (where, what, what next), and `ContextFull`.
        """
        try:
            try:
                return await self._try(path, body, read)
            except FailedTry as failure:
                return await self._ask_again(failure, path, body, read)
        except Refused as refusal:
            raise PolicyRejected(await self._rejection(refusal)) from refusal

    async def served(self, model: str | None) -> Served:
        """The model of this name as the server lists it, its only one for `None`; the list is asked for once.

        Raises as `ask`, and `PolicyRejected` where it lists no such model, or none or many for `None`.
        """
        if self._listed is None:
            async with self._connected().naming:
                if self._listed is None:
                    self._listed = await self.ask("/models", None, _read_models)
        found = [one for one in self._listed if model in (None, one.id)]
        if len(found) != 1:
            serves, self._listed = f"{self.base_url}: serves {_some(self._listed)}", None
            raise PolicyRejected(f"{serves}: say which by {self.base_url}#NAME")
        return found[0]

    async def close(self) -> None:
        """Close the connections. The next request opens new ones, in its own event loop."""
        if self._connection is not None:
            await self._connection.transport.close()
            self._connection = None

    # ---------------------------------------------------------------------------------------------------- the tries

    async def _try(self, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """One try. Raises `FailedTry`, `Refused`, `ContextFull`."""
        answer = await self._connected().transport.send(f"{self.base_url}{path}{self._query}", body)
        self._answered = True
        if answer.status >= 400:
            raise failure_of(answer.status, answer.retry_after, answer.payload)
        try:
            return read(answer.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FailedTry(f"an answer that cannot be read: {error}: {server_message(answer.payload)[0]}") from error

    async def _ask_again(self, failed: FailedTry, path: str, body: bytes | None, read: Callable[[bytes], T]) -> T:
        """The tries after the first, which `failed`: most calls need none, and do without the cost of retrying."""
        failures = [failed]

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await self._try(path, body, read)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(FailedTry), wait=self._wait_s, stop=self._is_over, reraise=True
        )
        try:
            return await retrying(attempt)
        except FailedTry as failure:
            tries = retrying.statistics["attempt_number"]
            raise PolicyUnavailable(self._after(tries, path, failure)) from failure

    def _wait_s(self, state: RetryCallState) -> float:
        """Seconds until the next try, with jitter, so that calls that failed together do not come back together."""
        retry_after = _failure(state).retry_after
        if retry_after is not None:
            return min(retry_after, LONGEST_RETRY_AFTER_S) + random.uniform(0, self._backoff_s)
        doubled = self._backoff_s * 2.0 ** min(state.attempt_number - 1, 16)
        return min(doubled, LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)

    def _is_over(self, state: RetryCallState) -> bool:
        unanswered = _failure(state).unreachable and not self._answered
        return state.attempt_number >= (min(TRIES_UNANSWERED, self._attempts) if unanswered else self._attempts)

    def _connected(self) -> _Connection:
        if self._connection is None:
            transport = Transport(
                self.base_url,
                self._headers(),
                timeout_s=self._timeout_s,
                concurrency=self._concurrency,
                most_mb=self._max_body_mb,
            )
            self._connection = _Connection(transport)
        return self._connection

    def _headers(self) -> dict[str, str]:
        """What every request says. A key comes before the login of the address: only one of them can be sent."""
        self._key = self._key() if callable(self._key) else self._key
        withhold(self._key or "")
        authorization = f"Bearer {self._key}" if self._key else login_of(self.base_url)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        if self._key and (urlsplit(self.base_url).hostname or "").endswith(AZURE):
            headers["api-key"] = self._key
        replaced = {name.lower() for name in self._more_headers}
        kept = {name: value for name, value in headers.items() if name.lower() not in replaced}
        return {**kept, **{name: self._given(name, value) for name, value in self._more_headers.items()}}

    @staticmethod
    def _given(name: str, value: str) -> str:
        given = header_value(value)
        if given is None:
            raise PolicyRejected(f"header {name}: its value was not kept: give it again by --header '{name}: ...'")
        return given

    # --------------------------------------------------------------------------------------------- the error's line

    def _after(self, tries: int, path: str, last: FailedTry) -> str:
        """One line: where, how often it was tried, why it failed at last."""
        if last.unreachable and not self._answered:
            return f"nothing answers at {self.base_url}: is the server running, and the address right? ({last})"
        count = f"{tries} {'try' if tries == 1 else 'tries'}"
        return f"{self.base_url}{path}: gave up after {count}; the last: {last}"

    async def _rejection(self, refusal: Refused) -> str:
        """One line: where, what the server says, what next."""
        status, message = refusal.status, refusal.message
        return f"{self.base_url}: {status} {message}: {await self._next_step(status, message)}"

    async def _next_step(self, status: int, message: str) -> str:
        if status in (401, 403):
            variable = self._key_env or "the environment variable of its key"
            sent = "one" if self._key or login_of(self.base_url) else "none"
            return f"set {variable} to a key that this server accepts ({sent} was sent)"
        if status in (402, 429):
            return "look at the plan and the limits of your account, or choose another --model"
        if status == 404 or "model" in message.lower():
            names = await self._listed_models()
            if names:
                return f"it serves {_some(names)}"
        if status == 404:
            return "is the address right? it usually ends in /v1"
        return "the request will not do as it is: look at the model's options (sampling, extra) and --model"

    async def _listed_models(self) -> list[Served]:
        """The models that the server lists, none where it does not say: one try, for an error text."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._try("/models", None, _read_models)
        except (FailedTry, Refused, ContextFull, PolicyRejected, TimeoutError):
            return []


class _Connection:
    """What belongs to the running event loop: the connections, and a lock."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.naming = transport, asyncio.Lock()


def _failure(state: RetryCallState) -> FailedTry:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, FailedTry)
    return failure


class Served(msgspec.Struct):
    """A model in a server's list. Who serves it, and how long a sequence it takes, only some servers say."""

    id: str
    owned_by: Any = None
    max_model_len: Any = None


class _Models(msgspec.Struct):
    data: list[Served] = []


_decode_models = msgspec.json.Decoder(_Models).decode


def _read_models(payload: bytes) -> list[Served]:
    return _decode_models(payload).data


def _some(listed: list[Served]) -> str:
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return (", ".join(one.id for one in listed[:LISTED]) or "no model") + more
