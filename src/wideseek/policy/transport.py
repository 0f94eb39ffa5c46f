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

import aiohttp

from wideseek.errors import PolicyRejected
from wideseek.policy.failures import FailedTry, one_line
from wideseek.redaction import redacted, without_login

CONNECT_S = 30.0
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
        try:
            self._origin = origin_of(base_url)
        except ValueError as error:
            raise _no_address(base_url) from error
        self._timeout_s, self._most_mb = timeout_s, most_mb
        self._slots = asyncio.Semaphore(concurrency)
        self._proxy = _proxy_for(base_url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, url: str, body: bytes | None) -> Answer:
        """The answer to `body` (to a GET where there is none).

        Raises `FailedTry`, and `PolicyRejected` for what is no address and for a redirect that is not followed.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._send(url, body)
            except aiohttp.InvalidURL as error:
                raise _no_address(url) from error
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise FailedTry(one_line(str(error)), unreachable=True) from error
            except TimeoutError as error:
                raise FailedTry(f"no answer within {self._timeout_s:g} s") from error
            except (aiohttp.ClientError, OSError) as error:
                raise FailedTry(f"the connection broke: {one_line(str(error)) or type(error).__name__}") from error

    async def close(self) -> None:
        await self._session.close()

    async def _send(self, url: str, body: bytes | None) -> Answer:
        method = "GET" if body is None else "POST"
        for _ in range(MOST_REDIRECTS + 1):
            asked = self._session.request(method, url, data=body, proxy=self._proxy, allow_redirects=False)
            async with asked as response:
                payload = await self._body(response)
            place = response.headers.get("Location")
            if place is None or not 300 <= response.status < 400:
                return Answer(response.status, response.headers.get("Retry-After"), redacted(payload))
            url = self._followed(url, place, kept=body is None or response.status in (307, 308))
        raise PolicyRejected(f"{self._origin}: redirects more than {MOST_REDIRECTS} times: is the address right?")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body, counted while it is unpacked: a small one may unpack to gigabytes, or never end."""
        most, body = int(self._most_mb * 1_000_000), bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                raise FailedTry(
                    f"an answer of more than {self._most_mb:g} MB was not read to its end: if the server does "
                    "answer at such length, raise chat.max_body_mb"
                )
        return bytes(body)

    def _followed(self, url: str, place: str, *, kept: bool) -> str:
        """Where a redirect leads, if it stays with this origin and the request stays what it is (`kept`).

        A key, and what an agent has read, go to no origin that the user has not named.
        """
        target = urljoin(url, place)
        try:
            origin = origin_of(target)
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


def origin_of(url: str) -> str:
    """Scheme, host and port. Raises `ValueError` for what is no address."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _no_address(url: str) -> PolicyRejected:
    return PolicyRejected(f"{url}: is not an address: write http://HOST:PORT/v1")


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy:
        without_login(proxy)  # its password is a secret, too
    return proxy
