"""The bytes of an answer: whole, split, packed, cut and mutated. Never a traceback, always an answer or a failed try."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.policy.failures import FailedTry
from wideseek.policy.http1 import MOST_AROUND, Place, Reading, place_of, target

MOST = 2_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def two_parts(data: bytes) -> bytes:
    return gzip.compress(data[:5]) + gzip.compress(data[5:])


PACKINGS = {"gzip": gzip.compress, "x-gzip": two_parts, "deflate": zlib.compress, "Deflate": raw_deflate}


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: t\r\n\r\n"


def answer(body: bytes, framing: str, coding: str | None = None, status: int = 200) -> bytes:
    sent = PACKINGS[coding](body) if coding else body
    head = f"HTTP/1.1 {status} Fine\r\nRetry-After: 3\r\n"
    head += f"Content-Encoding: {coding}\r\n" if coding else ""
    if framing == "chunked":
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(sent)
    if framing == "length":
        return f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent
    return f"{head}\r\n".encode() + sent


def read(data: bytes, cuts: Sequence[int] = ()) -> Reading:
    """What comes of `data`, which arrives in pieces that end at `cuts`; then the connection ends."""
    reading = Reading(MOST)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        if start < end:
            reading.feed(data[start:end])
        if reading.complete:
            return reading
    reading.end(None)
    return reading


def outcome(data: bytes, cuts: Sequence[int]) -> bool:
    """Whether `data` is an answer within the limit, or a failed try that says in one line what happened."""
    try:
        return len(read(data, cuts).reply().body) <= MOST
    except FailedTry as failure:
        starts = ("the connection broke: ", "an answer of more than ")
        return str(failure).startswith(starts) and "\n" not in str(failure) and not failure.unreachable


CUTS = st.lists(st.integers(0, 10_000), max_size=30)
FRAMING = st.sampled_from(["chunked", "length", "to the end"])
CODING = st.sampled_from([None, *PACKINGS])


@given(st.binary(max_size=MOST), FRAMING, CODING, CUTS, st.sampled_from([200, 404, 500]), st.booleans())
def test_an_answer_is_the_same_however_it_is_split_framed_and_packed(body, framing, coding, cuts, status, interim):
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n" if interim else b""
    reading = read(before + answer(body, framing, coding, status), cuts)
    reply = reading.reply()
    assert (reply.status, reply.headers["retry-after"], reply.body) == (status, "3", body)
    assert "trailer" not in reply.headers
    assert reading.keep == (framing != "to the end")


@given(
    answer=st.builds(answer, st.binary(max_size=300), FRAMING, CODING),
    cuts=CUTS,
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3)), max_size=6),
    length=st.integers(0, 2_000),
)
def test_a_mutated_or_cut_answer_is_an_answer_or_a_failed_try(answer, cuts, changes, length):
    for place, new, dropped in changes:
        at = place % (len(answer) + 1)
        answer = answer[:at] + new + answer[at + dropped :]
    assert outcome(answer[:length], cuts)


@given(st.binary(max_size=400), CUTS)
def test_any_bytes_are_an_answer_or_a_failed_try(data, cuts):
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"):
        assert outcome(start + data, cuts)


@given(st.binary(min_size=1, max_size=MOST), st.sampled_from(["chunked", "length"]), CODING, st.integers(1, 10_000))
def test_an_answer_that_ends_early_is_a_failed_try(body, framing, coding, lost):
    whole = answer(body, framing, coding)
    with pytest.raises(FailedTry, match="the connection broke: the server closed it before the end"):
        read(whole[: len(whole) - 1 - lost % (len(whole) - 1)])


@pytest.mark.parametrize("coding", PACKINGS)
def test_a_packed_body_that_ends_early_is_a_failed_try_although_its_length_is_right(coding):
    sent = PACKINGS[coding](b"x" * 100)[:-3]
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(sent)}\r\n\r\n"
    with pytest.raises(FailedTry, match="the packed body ends early"):
        read(head.encode() + sent)


@pytest.mark.parametrize("framing", ["chunked", "length", "to the end"])
@pytest.mark.parametrize("coding", [None, *PACKINGS])
def test_a_body_is_counted_while_it_is_unpacked(framing, coding):
    assert len(read(answer(b"x" * MOST, framing, coding)).reply().body) == MOST
    reading = Reading(MOST)
    with pytest.raises(FailedTry, match=r"more than 0.002 MB was not read to its end.*raise chat.max_body_mb"):
        reading.feed(answer(b"x" * 50_000_000, framing, coding) if coding else answer(b"x" * (MOST + 1), framing))
    assert len(reading.reply().body) <= MOST + 1


@pytest.mark.parametrize(
    "endless", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X: y\r\n", b"y" * 100], ids=["interim", "headers", "value"]
)
def test_what_stands_around_a_body_has_an_end(endless):
    reading = Reading(MOST)
    if endless != b"HTTP/1.1 100 Continue\r\n\r\n":
        reading.feed(b"HTTP/1.1 200 OK\r\nX: ")
    with pytest.raises(FailedTry, match="bytes around the body"):
        reading.feed(endless * (MOST_AROUND // len(endless) + 1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
        (b"HTTP/1.1 101 Fine\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi", "packed as br, which was not"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", "cannot be unpacked"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", "not HTTP"),
        (b"", "before the end"),
    ],
)
def test_what_is_no_sound_answer_says_why(data, said):
    with pytest.raises(FailedTry, match=said):
        read(data)


@pytest.mark.parametrize(
    ("extra", "keep"), [(b"", True), (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False), (b"\x00junk", False)]
)
def test_a_connection_that_says_more_than_it_was_asked_is_not_kept(extra, keep):
    reading = Reading(MOST)
    reading.feed(answer(b"hi", "length") + extra)
    assert (reading.complete, reading.keep, reading.reply().body) == (True, keep, b"hi")


@pytest.mark.parametrize(
    ("version", "said", "keep"),
    [("1.1", "close", False), ("1.1", "keep-alive", True), ("1.0", "keep-alive", True), ("1.0", "x", False)],
)
def test_a_connection_is_kept_where_the_server_keeps_it(version, said, keep):
    data = f"HTTP/{version} 200 OK\r\nConnection: {said}\r\nContent-Length: 2\r\n\r\nhi"
    assert read(data.encode()).keep == keep


@pytest.mark.parametrize(
    ("url", "place", "path"),
    [
        ("http://Host.test/v1", Place("host.test", 80, False), "/v1"),
        ("https://[::1]:8443", Place("::1", 8443, True), "/"),
        ("https://u:p@bücher.test/a b?q=ä&r=%20#f", Place("xn--bcher-kva.test", 443, True), "/a%20b?q=%C3%A4&r=%20"),
    ],
)
def test_an_address_is_a_place_and_a_path(url, place, path):
    assert (place_of(url), target(url)) == (place, path)


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://host/", "http://", "http://h:0/", "http://h:x/", "http://[/", f"http://{'a' * 64}.test/"]
)
def test_what_is_no_address_has_no_place(url):
    with pytest.raises(ValueError):  # noqa: PT011
        place_of(url)
