"""Connections, against servers and proxies that speak bare TCP: kept, lost, cancelled, late, proxied, secured."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.clock import loop
from wideseek.errors import PolicyRejected
from wideseek.policy.failures import FailedTry
from wideseek.policy.pool import CONNECT_S, KEEP_S, tls_context
from wideseek.policy.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Serve = Callable[["Wire", int], Awaitable[None]]


class Wire:
    """One connection, as its server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        return head + await self.reader.readexactly(int(length[1]) if length else 0)

    def say(self, data: bytes) -> None:
        self.writer.write(data)


class Listener:
    """A server of `serve(wire, how many connections there were before)`; `requests` is for it to fill."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self.serve, self.tls = serve, tls
        self.connections, self.open = 0, 0
        self.requests: list[bytes] = []
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Listener:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' * bool(self.tls)}://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        await self.until(lambda: not self.open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections, self.open = self.connections, self.connections + 1, self.open + 1
        self.changed.set()
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self.serve(Wire(reader, writer), number)
        finally:
            writer.close()
            self.open -= 1
            self.changed.set()

    async def until(self, happened: Callable[[], object]) -> None:
        while not happened():
            self.changed.clear()
            await self.changed.wait()


def answering(reply: bytes = OK, tls: ssl.SSLContext | None = None) -> Listener:
    async def serve(wire: Wire, number: int) -> None:
        while True:
            listener.requests.append(await wire.request())
            wire.say(reply)

    listener = Listener(serve, tls)
    return listener


@contextlib.asynccontextmanager
async def connected(url: str, concurrency: int = 10) -> AsyncIterator[Transport]:
    transport = Transport(url, {"Authorization": "Bearer k"}, timeout_s=600, concurrency=concurrency, most_mb=1)
    try:
        yield transport
    finally:
        await transport.close()


async def sent(transport: Transport, url: str, body: bytes = b"{}") -> bytes:
    return (await transport.send(f"{url}/chat", body)).payload


# ------------------------------------------------------------------------------------------------------ connections


async def test_a_request_is_one_head_and_its_body_and_its_connection_is_used_again():
    async with answering() as server, connected(server.url) as transport:
        assert [await sent(transport, server.url), (await transport.send(f"{server.url}/models", None)).payload] == [
            b"hi",
            b"hi",
        ]
        assert server.connections == 1
        common = f"Host: 127.0.0.1:{server.port}\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer k\r\n"
        assert [request.decode() for request in server.requests] == [
            f"POST /v1/chat HTTP/1.1\r\n{common}Content-Length: 2\r\n\r\n{{}}",
            f"GET /v1/models HTTP/1.1\r\n{common}\r\n",
        ]


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", OK + OK], ids=["close", "twice"]
)
async def test_a_connection_that_the_server_will_close_or_that_says_too_much_is_not_used_again(reply):
    async with answering(reply) as server, connected(server.url) as transport:
        assert [await sent(transport, server.url) for _ in range(2)] == [b"hi", b"hi"]
        assert server.connections == 2


async def test_no_cookie_is_kept():
    async with answering(OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n")) as server:
        url = server.url
        async with connected(url) as transport:
            for _ in range(2):
                await sent(transport, url)
        assert b"cookie" not in server.requests[1].lower()


async def test_a_kept_connection_that_turns_out_closed_is_replaced_where_no_byte_of_an_answer_came():
    async def serve(wire: Wire, number: int) -> None:
        await wire.request()
        wire.say(OK)
        await wire.request()
        if number:
            wire.say(OK)

    async with Listener(serve) as server, connected(server.url) as transport:
        assert [await sent(transport, server.url) for _ in range(2)] == [b"hi", b"hi"]
        assert server.connections == 2


@pytest.mark.parametrize(("before", "bytes_said"), [(True, b"H"), (False, b"H"), (False, b"")])
async def test_a_request_is_not_sent_twice_once_a_byte_came_or_on_a_new_connection(before, bytes_said):
    async def serve(wire: Wire, number: int) -> None:
        if before:
            await wire.request()
            wire.say(OK)
        await wire.request()
        wire.say(bytes_said)

    async with Listener(serve) as server, connected(server.url) as transport:
        if before:
            await sent(transport, server.url)
        with pytest.raises(FailedTry, match="the connection broke: the server closed it before") as failure:
            await sent(transport, server.url)
        assert (server.connections, failure.value.unreachable) == (1, False)


async def test_a_kept_connection_that_says_something_unasked_is_closed():
    async def serve(wire: Wire, number: int) -> None:
        await wire.request()
        wire.say(OK)
        if number == 0:
            await said.wait()
            wire.say(b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
        await wire.reader.read()

    said = asyncio.Event()
    async with Listener(serve) as server, connected(server.url) as transport:
        await sent(transport, server.url)
        said.set()
        await server.until(lambda: not server.open)
        assert await sent(transport, server.url) == b"hi"
        assert server.connections == 2


async def test_a_connection_that_is_long_unused_is_closed():
    async with answering() as server, connected(server.url) as transport:
        await sent(transport, server.url)
        loop().skip(KEEP_S + 1)
        await server.until(lambda: not server.open)
        assert await sent(transport, server.url) == b"hi"
        assert server.connections == 2


async def test_cancelling_closes_the_connection_at_once():
    async def serve(wire: Wire, number: int) -> None:
        server.requests.append(await wire.request())
        server.changed.set()
        await wire.reader.read()

    async with Listener(serve) as server, connected(server.url) as transport:
        calls = [asyncio.ensure_future(sent(transport, server.url)) for _ in range(3)]
        await server.until(lambda: len(server.requests) == 3)
        for call in calls:
            call.cancel()
        await server.until(lambda: not server.open)
        assert [call.cancelled() for call in calls] == [True] * 3


async def test_closing_ends_what_is_under_way_as_a_failed_try():
    async def serve(wire: Wire, number: int) -> None:
        server.requests.append(await wire.request())
        server.changed.set()
        await wire.reader.read()

    async with Listener(serve) as server, connected(server.url) as transport:
        call = asyncio.ensure_future(sent(transport, server.url))
        await server.until(lambda: server.requests)
        await transport.close()
        with pytest.raises(FailedTry, match="the connection broke"):
            await call


async def test_a_second_address_of_a_host_is_tried_where_the_first_does_not_answer(monkeypatch):
    async with answering() as server, connected(f"http://two.test:{server.port}/v1") as transport:
        known = loop().getaddrinfo

        async def both(host: str, port: int, **options: int) -> list:
            assert host == "two.test"
            return [info for each in ("127.0.0.2", "127.0.0.1") for info in await known(each, port, **options)]

        monkeypatch.setattr(loop(), "getaddrinfo", both)
        assert await sent(transport, f"http://two.test:{server.port}/v1") == b"hi"


# ------------------------------------------------------------------------------------------------- failures in time


async def test_no_answer_in_time_is_said_and_closes_the_connection():
    async def serve(wire: Wire, number: int) -> None:
        server.requests.append(await wire.request())
        wire.say(OK[:-1])
        server.changed.set()
        await wire.reader.read()

    async with Listener(serve) as server, connected(server.url) as transport:
        call = asyncio.ensure_future(sent(transport, server.url))
        await server.until(lambda: server.requests)
        loop().skip(601)
        with pytest.raises(FailedTry, match="^no answer within 600 s$") as failure:
            await call
        assert not failure.value.unreachable
        await server.until(lambda: not server.open)


async def test_a_proxy_that_never_answers_is_no_connection_in_time(monkeypatch):
    async def serve(wire: Wire, number: int) -> None:
        server.requests.append(await wire.request())
        server.changed.set()
        await wire.reader.read()

    async with Listener(serve) as server:
        through(monkeypatch, "https", f"http://127.0.0.1:{server.port}")
        async with connected("https://far.test/v1") as transport:
            call = asyncio.ensure_future(sent(transport, "https://far.test/v1"))
            await server.until(lambda: server.requests)
            loop().skip(CONNECT_S + 1)
            with pytest.raises(
                FailedTry, match=r"far\.test.* through the proxy .*no connection within 30 s"
            ) as failure:
                await call
            assert failure.value.unreachable
            await server.until(lambda: not server.open)


async def test_where_nothing_listens_nothing_answers():
    async with answering() as server:
        pass
    async with connected(server.url) as transport:
        with pytest.raises(FailedTry, match="cannot connect to http://127.0.0.1:") as failure:
            await sent(transport, server.url)
        assert failure.value.unreachable


async def test_what_is_no_http_is_a_broken_connection():
    async with answering(b"\x00\x01SSH\r\n") as server, connected(server.url) as transport:
        with pytest.raises(FailedTry, match="the connection broke: what came is not HTTP"):
            await sent(transport, server.url)
        await server.until(lambda: not server.open)


async def test_a_key_with_a_line_break_is_refused():
    with pytest.raises(PolicyRejected, match="the Authorization header holds a line break"):
        Transport("http://h.test", {"Authorization": "Bearer k\r\nX: y"}, timeout_s=1, concurrency=1, most_mb=1)


@pytest.mark.parametrize("place", ["http://[", "ftp://h/", "http://h:99999/", "http://h..test/"])
async def test_a_redirect_to_what_is_no_address_is_refused(place):
    reply = f"HTTP/1.1 307 Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
    async with answering(reply) as server, connected(server.url) as transport:
        with pytest.raises(PolicyRejected, match="redirects to what is no address"):
            await sent(transport, server.url)


# -------------------------------------------------------------------------------------------------- proxies and TLS


def through(monkeypatch: pytest.MonkeyPatch, scheme: str, proxy: str, *, without: str = "") -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(f"{scheme}_proxy".upper(), proxy)
    monkeypatch.setenv("NO_PROXY", without)


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A server's TLS, by a certificate that signs itself; `SSL_CERT_FILE` names it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:far.test"]
    subprocess.run([*made, *names, "-days", "2", "-keyout", key, "-out", file], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    tls_context.cache_clear()
    yield context
    tls_context.cache_clear()


def proxy(to: Callable[[], int], said: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", tls=None) -> Listener:
    """A proxy that answers CONNECT with `said`, then passes bytes on to the port `to()`."""

    async def serve(wire: Wire, number: int) -> None:
        listener.requests.append(await wire.request())
        wire.say(said)
        if b" 200 " not in said:
            return
        there_reader, there = await asyncio.open_connection("127.0.0.1", to())
        back = asyncio.ensure_future(passed(there_reader, wire.writer))
        await passed(wire.reader, there)
        await back

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    listener = Listener(serve, tls)
    return listener


async def test_a_server_whose_certificate_the_users_file_holds_is_spoken_to(certificate):
    async with answering(tls=certificate) as server, connected(server.url) as transport:
        assert [await sent(transport, server.url) for _ in range(2)] == [b"hi", b"hi"]
        assert server.connections == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_certificate_that_nobody_vouches_for_or_of_another_host_is_no_connection(
    certificate, name, monkeypatch
):
    if name == "127.0.0.1":
        monkeypatch.delenv("SSL_CERT_FILE")
        tls_context.cache_clear()
    async with answering(tls=certificate) as server:
        url = server.url.replace("127.0.0.1", name)
        async with connected(url) as transport:
            with pytest.raises(FailedTry, match=r"cannot connect to .*certificate verify failed") as failure:
                await sent(transport, url)
            assert failure.value.unreachable
        assert server.requests == []


async def test_http_goes_through_the_proxy_of_the_environment_with_its_login(monkeypatch):
    async with answering() as server:
        through(monkeypatch, "http", f"user:pass%20word@127.0.0.1:{server.port}")
        async with connected("http://far.test/v1") as transport:
            assert await sent(transport, "http://far.test/v1") == b"hi"
        head = server.requests[0].decode()
        assert head.startswith("POST http://far.test/v1/chat HTTP/1.1\r\nHost: far.test\r\n")
        assert "\r\nProxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n" in head


@pytest.mark.parametrize("without", ["127.0.0.1", "*"])
async def test_a_host_of_no_proxy_is_reached_directly(monkeypatch, without):
    async with answering() as server:
        through(monkeypatch, "http", "http://127.0.0.1:1", without=without)
        async with connected(server.url) as transport:
            assert await sent(transport, server.url) == b"hi"


@pytest.mark.parametrize("to_proxy", ["http", "https"])
async def test_https_goes_through_a_tunnel_that_sees_neither_key_nor_body(certificate, monkeypatch, to_proxy):
    async with answering(tls=certificate) as server:
        async with proxy(lambda: server.port, tls=certificate if to_proxy == "https" else None) as middle:
            through(monkeypatch, "https", f"{to_proxy}://user:password@127.0.0.1:{middle.port}")
            async with connected("https://far.test/v1") as transport:
                assert [await sent(transport, "https://far.test/v1") for _ in range(2)] == [b"hi", b"hi"]
            assert [request.decode() for request in middle.requests] == [
                "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n"
                "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n"
            ]
        assert len(server.requests) == 2
        assert b"Proxy-Authorization" not in server.requests[0]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 407 Who\r\nContent-Length: 5\r\n\r\nlogin", "it answers 407 to CONNECT"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (b"", "before the end"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "closed|EOF|reset|Connection"),
    ],
)
async def test_a_proxy_that_does_not_connect_is_no_connection(certificate, monkeypatch, said, why):
    async def closing(wire: Wire, number: int) -> None:
        pass

    async with Listener(closing) as server, proxy(lambda: server.port, said) as middle:
        through(monkeypatch, "https", f"http://user:password@127.0.0.1:{middle.port}")
        async with connected("https://far.test/v1") as transport:
            with pytest.raises(FailedTry, match=why) as failure:
                await sent(transport, "https://far.test/v1")
            assert failure.value.unreachable
            assert "password" not in str(failure.value)


async def test_an_address_that_is_no_proxys_is_refused(monkeypatch):
    through(monkeypatch, "http", "socks5://h.test:1080")
    with pytest.raises(PolicyRejected, match=r"^socks5://h.test:1080: is no address of a proxy: set HTTP_PROXY to"):
        Transport("http://far.test/v1", {}, timeout_s=1, concurrency=1, most_mb=1)
