"""HTTP/1.1 as it stands on the wire: addresses, and the bytes of one answer (parsed by httptools, which is llhttp)."""

from __future__ import annotations

import functools
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wideseek.policy.failures import FailedTry, one_line

MOST_AROUND = 1_000_000  # bytes of an answer that are not its body: head, sizes of chunks, trailers
PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's name for each form that is asked for


class Place(NamedTuple):
    """An origin, or a proxy: a host (in ASCII) and port that speak HTTP, over TLS or not."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __str__(self) -> str:
        return f"http{'s' * self.tls}://{self.authority}"


@functools.lru_cache(maxsize=64)
def target(url: str) -> str:
    """Path and query of an address, as they stand in a request."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return quote((parts.path or "/") + query, safe="/%?:@!$&'()*+,;=~", errors="surrogateescape")


def place_of(url: str) -> Place:
    """Where `url` leads. Raises `ValueError` for what is no address."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = default if parts.port is None else parts.port
    if default is None or not port or not parts.hostname:
        raise ValueError(f"{url}: no address")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    return Place(host, port, parts.scheme == "https")


class Reply(NamedTuple):
    """An answer. Names of headers are in lower case; of a header that is repeated the first is kept."""

    status: int
    headers: dict[str, str]
    body: bytes


def broken(how: str) -> FailedTry:
    return FailedTry(f"the connection broke: {one_line(how)}")


class Reading:
    """Bytes, as they arrive, into one answer; 1xx answers before it are passed over.

    `most` bounds the body in bytes as it is once unpacked. `head_only`: there is no body (the answer to CONNECT).
    `complete` says that the answer is there, `keep` that another may follow. It raises `FailedTry`.
    """

    def __init__(self, most: int, *, head_only: bool = False) -> None:
        self.complete, self.keep, self.received = False, False, 0
        self._most, self._head_only = most, head_only
        self._parser = HttpResponseParser(self)
        self._status, self._headers = 0, dict[str, str]()
        self._head_read = False
        self._pieces: list[bytes] = []  # of the body, as they were sent
        self._body, self._body_received = bytearray(), 0
        self._unpacker: Any = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as error:
            raise broken("the server switches to another protocol, which was not asked for") from error
        except HttpParserError as error:
            if not self.complete:
                raise broken(f"what came is not HTTP: {error}") from error
            self.keep = False
        for piece in self._pieces:
            self._take(piece)
        self._pieces.clear()
        if self.received - self._body_received > MOST_AROUND:
            raise broken(f"more than {MOST_AROUND} bytes around the body")
        if self.complete:
            self._check_unpacked()

    def end(self, why: Exception | None) -> None:
        """The connection has ended: that completes a body whose length was not said, and fails any other."""
        coded = self._headers.get("transfer-encoding", "").lower()
        awaited = not self._head_read or "content-length" in self._headers or "chunked" in coded
        if awaited or why is not None or self._status < 200:
            raise broken(str(why or "") or "the server closed it before the end of the answer")
        self.complete, self.keep = True, False
        self._check_unpacked()

    def reply(self) -> Reply:
        return Reply(self._status, self._headers, bytes(self._body))

    def _take(self, piece: bytes) -> None:
        self._body_received += len(piece)
        coding = self._headers.get("content-encoding", "identity").lower()
        if coding == "identity":
            self._body += piece
        else:
            self._unpack(piece, coding)
        if len(self._body) > self._most:
            raise FailedTry(
                f"an answer of more than {self._most / 1_000_000:g} MB was not read to its end: if the server does "
                "answer at such length, raise chat.max_body_mb"
            )

    def _unpack(self, piece: bytes, coding: str) -> None:
        """Unpack one byte more than is allowed at most: a small body may unpack to gigabytes."""
        if coding not in PACKED:
            raise broken(f"the body is packed as {coding}, which was not asked for")
        while piece and len(self._body) <= self._most:
            if self._unpacker is None or self._unpacker.eof:  # gzip may come in several parts
                bare = coding == "deflate" and piece[0] & 15 != 8  # some servers leave out zlib's head
                self._unpacker = zlib.decompressobj(-15 if bare else PACKED[coding])
            try:
                self._body += self._unpacker.decompress(piece, self._most + 1 - len(self._body))
            except zlib.error as error:
                raise broken(f"the body cannot be unpacked: {error}") from error
            piece = self._unpacker.unconsumed_tail or self._unpacker.unused_data

    def _check_unpacked(self) -> None:
        if self._unpacker is not None and not self._unpacker.eof:
            raise broken("the packed body ends early")

    # The parser calls these. They only note what it found, because what they raise comes out as its own error.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep = False  # a second answer, which nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_read:
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        self._status, self._head_read = self._parser.get_status_code(), True
        self.keep = self._parser.should_keep_alive()
        self.complete = self._head_only and self._status >= 200

    def on_body(self, piece: bytes) -> None:
        if not self.complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self.complete = True
        else:
            self._headers, self._head_read = {}, False
