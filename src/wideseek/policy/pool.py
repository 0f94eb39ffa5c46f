"""The connections to one origin.

    Pool.exchange -> a kept connection, or a new one: address -> TCP -> CONNECT through a proxy -> TLS
                  -> the request, written at once -> `Reading` -> `Reply`

The addresses of a host are tried in the order of RFC 8305 (aiohappyeyeballs). Every failure is a `FailedTry`.
Cancelling closes the connection of the request at once.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Mapping
from socket import SOCK_STREAM
from typing import Any, NamedTuple

from aiohappyeyeballs import start_connection

from wideseek.policy.failures import FailedTry, one_line
from wideseek.policy.http1 import Place, Reading, Reply, broken, target

CONNECT_S = 30.0  # address, TCP, proxy and TLS together
ADDRESSES_S = 300.0  # how long the addresses of a host are kept
KEEP_S = 15.0  # how long an unused connection is kept: what stands between may forget it without a word
NEXT_ADDRESS_S = 0.25  # how long an address is tried alone


class Proxy(NamedTuple):
    """A proxy, and its `Proxy-Authorization`, where it has a login."""

    place: Place
    login: str | None


class Connection(asyncio.Protocol):
    """One connection, with one request on it at a time. `kept` are the pool's unused connections."""

    def __init__(self, kept: dict[Connection, float]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._kept = kept
        self._reading: Reading | None = None
        self._answered: asyncio.Future[None] | None = None

    async def ask(self, request: bytes, reading: Reading) -> None:
        """Send `request`, and return once `reading` is complete. Any other end closes the connection."""
        self._reading = reading
        self._answered = asyncio.get_running_loop().create_future()
        try:
            if self.lost.done():
                raise broken("the server closed it before the request")
            self.transport.write(request)
            await self._answered
        except BaseException:
            self.transport.abort()
            raise
        finally:
            self._reading = None

    def is_usable(self, reading: Reading) -> bool:
        """Whether another request may follow on this connection: not where the server has answered half a request."""
        return reading.keep and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._reading is None or self._answered is None or self._answered.done():
            self.transport.abort()  # what nobody asked for
            return
        try:
            self._reading.feed(data)
        except FailedTry as failure:
            self._answered.set_exception(failure)
        else:
            if self._reading.complete:
                self._answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._kept.pop(self, None)
        if not self.lost.done():
            self.lost.set_result(None)
        if self._reading is None or self._answered is None or self._answered.done():
            return
        try:
            self._reading.end(error)
        except FailedTry as failure:
            self._answered.set_exception(failure)
        else:
            self._answered.set_result(None)


class Pool:
    """Connections to `origin`, through `proxy` where there is one. It belongs to one event loop.

    `headers` go with every request. `most` bounds the body of an answer in bytes, as it is once unpacked.
    """

    def __init__(self, origin: Place, proxy: Proxy | None, headers: Mapping[str, str], most: int) -> None:
        self._origin, self._proxy, self._most = origin, proxy, most
        default = origin.port == (443 if origin.tls else 80)
        host = origin.authority.rpartition(":")[0] if default else origin.authority
        fields = {"Host": host, "Accept-Encoding": "gzip, deflate", **headers}
        if proxy and proxy.login and not origin.tls:
            fields["Proxy-Authorization"] = proxy.login
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._before_path = f"http://{host}" if proxy and not origin.tls else ""
        self._kept: dict[Connection, float] = {}  # since when each is unused, the oldest first
        self._open: set[Connection] = set()
        self._addresses: asyncio.Task[list[Any]] | None = None
        self._addresses_until = 0.0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, method: str, url: str, body: bytes | None) -> Reply:
        """The reply to one request for `url`, which is one of this origin.

        A kept connection that turns out to be closed is replaced, as long as not one byte of an answer has come.
        """
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {self._before_path}{target(url)} HTTP/1.1\r\n{self._fields}{length}\r\n"
        request = head.encode(errors="surrogateescape") + (body or b"")
        while True:
            kept = self._taken()
            connection = kept or await self._connected()
            reading = Reading(self._most)
            try:
                await connection.ask(request, reading)
            except FailedTry:
                if kept and connection.lost.done() and not reading.received:
                    continue
                raise
            if connection.is_usable(reading) and not self._closed:
                self._keep(connection)
            else:
                connection.transport.abort()
            return reading.reply()

    async def close(self) -> None:
        """Close all connections, and wait until they are closed."""
        self._closed = True
        if self._sweep:
            self._sweep.cancel()
        if self._addresses:
            self._addresses.cancel()
        for connection in self._open:
            connection.transport.abort()
        while self._open:
            await next(iter(self._open)).lost
            await asyncio.sleep(0)

    # ------------------------------------------------------------------------------------------- kept connections

    def _taken(self) -> Connection | None:
        """The connection that was used last, of those that are kept."""
        while self._kept:
            connection, since = self._kept.popitem()
            if since > asyncio.get_running_loop().time() - KEEP_S and not connection.transport.is_closing():
                return connection
            connection.transport.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._kept[connection] = loop.time()
        if self._sweep is None:
            self._sweep = loop.call_at(loop.time() + KEEP_S, self._drop_unused)

    def _drop_unused(self) -> None:
        """Close what has been unused for long, and look again when the next one will have been."""
        loop, self._sweep = asyncio.get_running_loop(), None
        for connection, since in list(self._kept.items()):
            if since > loop.time() - KEEP_S:
                self._sweep = loop.call_at(since + KEEP_S, self._drop_unused)
                return
            del self._kept[connection]
            connection.transport.abort()

    # ------------------------------------------------------------------------------------------- new connections

    async def _connected(self) -> Connection:
        """A new connection. Raises `FailedTry` that says `unreachable`."""
        first = self._proxy.place if self._proxy else self._origin
        where = f"the proxy {first}" if self._proxy else str(first)
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._opened(first)
                if self._proxy and self._origin.tls:
                    where = f"{self._origin} through {where}"
                    await self._tunnel(connection, self._proxy)
        except (OSError, FailedTry) as error:
            self._addresses = None
            late = isinstance(error, TimeoutError) and not str(error)
            why = f"no connection within {CONNECT_S:g} s" if late else str(error) or type(error).__name__
            raise FailedTry(one_line(f"cannot connect to {where}: {why}"), unreachable=True) from error
        return connection

    async def _opened(self, place: Place) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await self._resolved(place)
        socket = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1)
        tls, name = (tls_context(), place.host) if place.tls else (None, None)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._kept), sock=socket, ssl=tls, server_hostname=name
            )
        except BaseException:
            socket.close()
            raise
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _resolved(self, place: Place) -> list[Any]:
        """The addresses of a host, asked for once for all who wait for them."""
        loop = asyncio.get_running_loop()
        if self._addresses is None or loop.time() > self._addresses_until:
            asked = loop.getaddrinfo(place.host, place.port, type=SOCK_STREAM)
            self._addresses, self._addresses_until = asyncio.ensure_future(asked), loop.time() + ADDRESSES_S
        return await asyncio.shield(self._addresses)

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        """Have the proxy pass everything on to the origin, and speak TLS with the origin."""
        login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy.login else ""
        reading = Reading(0, head_only=True)
        request = f"CONNECT {self._origin.authority} HTTP/1.1\r\nHost: {self._origin.authority}\r\n{login}\r\n"
        try:
            await connection.ask(request.encode(), reading)
            if not 200 <= reading.reply().status < 300:
                raise FailedTry(f"it answers {reading.reply().status} to CONNECT")
            if connection.transport.is_closing():  # asyncio would wait for a handshake on it
                raise broken("the proxy closed it after CONNECT")
            secured = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, tls_context(), server_hostname=self._origin.host
            )
            if secured is None:
                raise broken("closed in the middle of the TLS handshake")
            connection.transport = secured
        except BaseException:
            connection.transport.abort()
            if not connection.lost.done():  # a failed handshake does not say so
                connection.lost.set_result(None)
            raise


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
