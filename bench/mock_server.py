"""A mock model server that is never the bottleneck: bare HTTP/1.1 on asyncio, replies made in advance.

    python bench/mock_server.py [--port 0] [--latency-ms 50] [--turns 4]

prints its base url as the first line and serves `POST /v1/chat/completions` and `GET /stats` until it is ended. It
plays a whole team, and tells who asks by the request alone:

* who is offered a tool `call_subagent` is the lead: it delegates as many subtasks as its question says ("List 10
  items.") in one turn, by one call where that tool takes `subtasks`, else by one call each; then it writes a table;
* anybody else is a subagent: it calls `search` once in each turn but the last of `--turns`, then it reports.

For failures there is `tests/faulty_server.py`; here every completion just takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_WIDTH = re.compile(rb"List (\d+) items\.")


class Server(asyncio.Protocol):
    """One connection. Requests on it come one after another (keep-alive, no pipelining)."""

    requests = 0

    def __init__(self, latency_s: float, turns: int) -> None:
        self._latency_s, self._turns = latency_s, turns
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._received, 0, head + 2)
        end = head + 4 + (int(length[1]) if length else 0)
        if len(self._received) < end:
            return
        request = bytes(self._received[:end])
        del self._received[:end]
        if request.startswith(b"GET"):
            self._transport.write(_http({"requests": Server.requests}))
            return
        Server.requests += 1
        asyncio.get_running_loop().call_later(self._latency_s, self._write, answer(request, self._turns))

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


def answer(request: bytes, turns: int) -> bytes:
    """The whole HTTP response to a chat completions request."""
    said = request.count(b'"assistant"')  # how many turns the agent has had
    if b'"call_subagent"' not in request:
        return _report() if said >= turns - 1 else _search(said)
    found = _WIDTH.search(request)
    width = int(found[1]) if found else 1
    return _table(width) if said else _delegation(width, b'"subtasks"' in request)


@cache
def _search(turn: int) -> bytes:
    return _completion(calls=[("search", {"query": f"item facts {turn}"})], turn=turn)


@cache
def _report() -> bytes:
    return _completion("The value of the item is 42, according to https://mock.test/item-1 (first paragraph).")


@cache
def _delegation(width: int, listed: bool) -> bytes:
    subtasks = [f"Look up item {number} and report its value with the url of the page." for number in range(width)]
    if listed:
        return _completion(calls=[("call_subagent", {"subtasks": subtasks})])
    return _completion(calls=[("call_subagent", {"input": subtask}) for subtask in subtasks])


@cache
def _table(width: int) -> bytes:
    rows = [f"| item {number} | 42 |" for number in range(width)]
    return _completion("\n".join(["```markdown", "| Item | Value |", "|---|---|", *rows, "```"]))


def _completion(text: str | None = None, calls: Sequence[tuple[str, dict[str, Any]]] = (), turn: int = 0) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{turn}_{index}",  # never the same twice in a conversation: openai-agents checks
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(calls)
        ]
    return _http(
        {
            "id": "mock",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "mock",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": {"prompt_tokens": 500, "completion_tokens": 50, "total_tokens": 550},
        }
    )


def _http(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(port: int, latency_s: float, turns: int) -> None:
    """Serve until cancelled."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(latency_s, turns), "127.0.0.1", port, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop called `uvloop` or `asyncio`. Raises `ModuleNotFoundError` without uvloop."""
    if name == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--turns", type=int, default=4, help="turns of a subagent, its report included")
    options = parser.parse_args()
    try:
        factory = loop_factory("uvloop")
    except ModuleNotFoundError:
        factory = None
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(options.port, options.latency_ms / 1000, options.turns))


if __name__ == "__main__":
    main()
