"""The connection to one server: a request goes out, a whole answer comes back, or `FailedTry` says why not.

    send -> a place among the concurrent -> connect -> redirects within the origin -> body, counted while unpacked

It keeps no cookies. Cancelling ends a request at once and closes its connection, so that the server can stop, too.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from wideseek.errors import PolicyRejected
from wideseek.policy.failures import FailedTry
from wideseek.policy.http1 import Place, place_of
from wideseek.policy.pool import Pool, Proxy
from wideseek.redaction import login_of, redacted, without_login

MOST_REDIRECTS = 5


class Answer(NamedTuple):
    """A server's answer, without this run's secrets. `retry_after` is the header's value."""

    status: int
    retry_after: str | None
    payload: bytes


class Transport:
    """Connections to the server at `base_url`. It belongs to the event loop that it is first used in.

    `timeout_s` bounds a request from connecting to the last byte, `most_mb` the answer's body in megabytes (10^6 bytes)
    as it is once unpacked. At most `concurrency` requests run at once. The proxy is the one that the environment names.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, timeout_s: float, concurrency: int, most_mb: float
    ) -> None:
        self._origin = _origin_of(base_url)
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(concurrency)
        self._pool = Pool(self._origin, _proxy_for(base_url), _checked(base_url, headers), int(most_mb * 1_000_000))

    async def send(self, url: str, body: bytes | None) -> Answer:
        """The answer to `body` (to a GET where there is none).

        Raises `FailedTry`, and `PolicyRejected` for what is no address and for a redirect that is not followed.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._send(url, body)
            except TimeoutError as error:
                raise FailedTry(f"no answer within {self._timeout_s:g} s") from error

    async def close(self) -> None:
        await self._pool.close()

    async def _send(self, url: str, body: bytes | None) -> Answer:
        method = "GET" if body is None else "POST"
        for _ in range(MOST_REDIRECTS + 1):
            reply = await self._pool.exchange(method, url, body)
            place = reply.headers.get("location")
            if place is None or not 300 <= reply.status < 400:
                return Answer(reply.status, reply.headers.get("retry-after"), redacted(reply.body))
            url = self._followed(url, place, kept=body is None or reply.status in (307, 308))
        raise PolicyRejected(f"{self._origin}: redirects more than {MOST_REDIRECTS} times: is the address right?")

    def _followed(self, url: str, place: str, *, kept: bool) -> str:
        """Where a redirect leads, if it stays with this origin and the request stays what it is (`kept`).

        A key, and what an agent has read, go to no origin that the user has not named.
        """
        try:
            target = urljoin(url, place)
            origin: Place | str = place_of(target)
        except ValueError:
            origin = "what is no address"
        if origin != self._origin:
            raise PolicyRejected(
                f"{self._origin}: redirects to {origin}, which is not followed: nothing is sent to an origin that you "
                "did not name; if you trust it, write its address instead"
            )
        if not kept:
            path = urlsplit(target).path
            raise PolicyRejected(
                f"{self._origin}: redirects {urlsplit(url).path} to {path} in a way that drops the request: "
                "write the address that it leads to"
            )
        return target


def _origin_of(url: str) -> Place:
    try:
        return place_of(url)
    except ValueError as error:
        raise PolicyRejected(f"{url}: is not an address: write http://HOST:PORT/v1") from error


def _checked(url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
    """`headers`, which hold no control character: it would end a header before its end."""
    for name, value in headers.items():
        if not value.isprintable():
            raise PolicyRejected(f"{url}: the {name} header holds a line break or the like: is the key right?")
    return headers


def _proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for `url`. Its login is a secret, too."""
    parts = urlsplit(url)
    named = None if urllib.request.proxy_bypass(parts.hostname or "") else urllib.request.getproxies().get(parts.scheme)
    if not named:
        return None
    address = without_login(named if "://" in named else f"http://{named}")
    try:
        place = place_of(address)
    except ValueError as error:
        raise PolicyRejected(
            f"{address}: is no address of a proxy: set {parts.scheme.upper()}_PROXY to http://HOST:PORT, or unset it"
        ) from error
    return Proxy(place, login_of(address))
