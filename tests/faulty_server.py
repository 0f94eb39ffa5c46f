"""A mock model server that fails on purpose, for tests and benchmarks.

    python -m tests.faulty_server --port 0 --faults 0.2 --answers team --width 200

prints its base url as the first line and serves `POST /v1/chat/completions`, `GET /v1/models` and `GET /stats` until
it is ended; `POST /v1/completions` and `POST /generate` go the same way, for answers that are whole responses. In a test: `async with FaultyServer(answer=..., faults=0.2) as server:` and `server.url`, `server.stats`.

Whether a call fails, and how, follows from the seed, the request's bytes and how often they have been sent: a run can
be repeated, and a call that is tried again gets another draw. What it answers is a function from the request to the
assistant's message (`Answer`), given by name (`echo`, `team`) or as `module:function`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import importlib
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

import msgspec
from aiohttp import web

Request = dict[str, Any]
Reply = dict[str, Any]  # the assistant's message; `finish_reason` and `usage` may stand in it
Answer = Callable[[Request], Reply | web.Response]

FAULTS = ("429", "429-retry-after", "500", "hang", "cut", "malformed", "reset")


class Stats(msgspec.Struct):
    """What the server has seen. `completed` counts full answers, `faults` each kind of failure.

    `held` are the requests that wait because no answers are left.
    """

    requests: int = 0
    completed: int = 0
    listings: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    held: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)


class FaultyServer:
    """The server. `faults` is the share of calls that fail, with one of `kinds` each.

    No fault comes after `fault_attempts` tries of the same request (`None`: any try may fail). A hang lasts `hang_s`,
    `retry_after` is the header's value. `models` are names, or entries of the list. `requests` keeps every request in
    the order of arrival, if `keep`. `until` waits for what the server sees. With `answers_left`, so many more requests
    are answered and the next ones wait until it is `None` again (`release`): a client stops at that point of its work.
    """

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        faults: float = 0.0,
        kinds: Sequence[str] = FAULTS,
        fault_attempts: int | None = None,
        latency_ms: float = 0.0,
        hang_s: float = 3600.0,
        retry_after: str = "0",
        models: Sequence[str | dict[str, Any]] = ("mock",),
        seed: int = 0,
        keep: bool = True,
        port: int = 0,
    ) -> None:
        self.answer = answer or echo
        self.faults, self.kinds, self.fault_attempts = faults, tuple(kinds), fault_attempts
        self.latency_s, self.hang_s, self.retry_after = latency_ms / 1000, hang_s, retry_after
        self.models, self.seed, self.keep, self.port = tuple(models), seed, keep, port
        self.stats = Stats()
        self.requests: list[Request] = []
        self._attempts: Counter[bytes] = Counter()
        self.answers_left: int | None = None
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int | None = None) -> Self:
        """Listen on this machine, at the port given here or before; port 0 takes a free one."""
        app = web.Application(client_max_size=64 * 2**20)
        for path in ("/v1/chat/completions", "/v1/completions", "/generate"):
            app.router.add_post(path, self._complete)
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/stats", self._stats)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port if port is None else port, backlog=4096)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def until(self, happened: Callable[[Stats], object]) -> None:
        """Wait until `happened(stats)`, which is asked whenever something has changed."""
        while not happened(self.stats):
            self._changed.clear()
            await self._changed.wait()

    def release(self) -> None:
        """Answer all requests again, those that are held too."""
        self.answers_left = None
        self._changed.set()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.stats.requests += 1
        self.stats.in_flight += 1
        self.stats.most_in_flight = max(self.stats.most_in_flight, self.stats.in_flight)
        self._changed.set()
        try:
            return await self._respond(request, await request.read())
        finally:
            self.stats.in_flight -= 1
            self._changed.set()

    async def _answer_is_left(self) -> None:
        """Wait while no answer is left to give, then take one."""
        if self.answers_left == 0:
            self.stats.held += 1
            self._changed.set()
            try:
                await self.until(lambda _: self.answers_left != 0)
            finally:
                self.stats.held -= 1
        if self.answers_left is not None:
            self.answers_left -= 1

    async def _respond(self, request: web.Request, body: bytes) -> web.StreamResponse:
        said: Request = msgspec.json.decode(body)
        if self.keep:
            self.requests.append({**said, "authorization": request.headers.get("Authorization")})
        fault = self._fault(body)
        if fault is not None:
            self.stats.faults[fault] += 1
            self._changed.set()
        await self._answer_is_left()
        if self.latency_s and fault not in ("429", "429-retry-after"):
            await asyncio.sleep(self.latency_s)
        reply = self.answer(said)
        answer = reply if isinstance(reply, web.Response) else _json(_wire(reply, said, len(body) // 4))
        if fault is None:
            self.stats.completed += answer.status == 200
            return answer
        return await self._fail(request, fault, answer)

    def _fault(self, body: bytes) -> str | None:
        """Which fault this try of this request gets, if any."""
        if not self.faults:
            return None
        key = hashlib.blake2b(body, digest_size=12).digest()
        self._attempts[key] += 1
        attempt = self._attempts[key]
        if self.fault_attempts is not None and attempt > self.fault_attempts:
            return None
        draw = random.Random(f"{self.seed}:{key.hex()}:{attempt}")
        return draw.choice(self.kinds) if draw.random() < self.faults else None

    async def _fail(self, request: web.Request, fault: str, answer: web.Response) -> web.StreamResponse:
        if fault == "hang":
            await asyncio.sleep(self.hang_s)
        if fault in ("cut", "reset"):
            return await self._break(request, fault, answer)
        if fault == "malformed":
            return web.Response(text='{"choices": [{"message": {"content": "half', content_type="application/json")
        headers = {"Retry-After": self.retry_after} if fault == "429-retry-after" else {}
        return refusal(int(fault[:3]), "the server is not feeling well", headers=headers)

    async def _break(self, request: web.Request, fault: str, answer: web.Response) -> web.StreamResponse:
        """End the connection: in the middle of the body, or at once and with a reset packet."""
        transport = request.transport
        response = web.StreamResponse()
        assert transport is not None
        assert isinstance(answer.body, bytes)
        if fault == "cut":
            response.content_length = len(answer.body)
            await response.prepare(request)
            await response.write(answer.body[: len(answer.body) // 2])
            transport.close()
        else:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return response

    async def _list(self, request: web.Request) -> web.Response:
        self.stats.listings += 1
        entries = [{"id": one} if isinstance(one, str) else one for one in self.models]
        return web.json_response({"object": "list", "data": [{"object": "model", **entry} for entry in entries]})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(msgspec.to_builtins(self.stats))


def refusal(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> web.Response:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "mock", **more}
    return web.json_response({"error": error}, status=status, headers=headers)


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _wire(message: Reply, request: Request, prompt_tokens: int) -> dict[str, Any]:
    """The reply as OpenAI sends it."""
    message = {"role": "assistant", "content": "", **message}
    ending = message.pop("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
    counted = {"prompt_tokens": prompt_tokens, "completion_tokens": len(str(message)) // 4}
    usage = message.pop("usage", counted)
    return {
        "id": "mock",
        "object": "chat.completion",
        "model": request.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": ending}],
        "usage": usage,
    }


# --------------------------------------------------------------------------------------------------------- answers


def echo(request: Request) -> Reply:
    """Answers with the last message."""
    return {"content": request["messages"][-1]["content"]}


def team(width: int = 10, turns: int = 2, sub_turns: int = 1) -> Answer:
    """A lead that delegates `width` items in each of its turns but the last, and subagents that look each item up.

    Whoever is offered a tool whose name speaks of agents is a lead: in its last turn it writes a table of all the rows
    that its subagents reported. A subagent calls its first tool in each turn but the last of `sub_turns`, then answers
    `| name i | value i |`.
    """

    def answer(request: Request) -> Reply:
        tools = [tool["function"] for tool in request.get("tools", ())]
        delegation = next((tool for tool in tools if "agent" in tool["name"]), None)
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        if delegation is not None:
            last = turn >= turns - 1
            return _table(request) if last else _calls(delegation, [f"look up item {i}" for i in range(width)])
        item = _item(request)
        if tools and turn < sub_turns - 1:
            return _calls(tools[0], [f"item {item} step {turn}"])
        return {"content": f"| name {item} | value {item} |"}

    return answer


def reader(said: str, queries: Sequence[str]) -> Answer:
    """One agent that searches for each query, opens every page that was found, and then says `said`."""

    def answer(request: Request) -> Reply:
        tools = {tool["function"]["name"]: tool["function"] for tool in request.get("tools", ())}
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        if turn == 0:
            return _calls(tools["search"], list(queries))
        found = "\n".join(m["content"] for m in request["messages"] if m["role"] == "tool")
        urls = list(dict.fromkeys(re.findall(r"https://[\w./-]+\w", found)))
        return _calls(tools["access"], urls) if turn == 1 else {"content": said}

    return answer


def _item(request: Request) -> str:
    """The item of a subagent: the first one that its prompt names (the subtask comes before the main question)."""
    prompt = " ".join(m["content"] for m in request["messages"][:2])
    found = re.search(r"look up item (\d+)", prompt)
    return found[1] if found else "?"


def _table(request: Request) -> Reply:
    replies = "\n".join(m["content"] for m in request["messages"] if m["role"] == "tool")
    rows = dict.fromkeys(re.findall(r"\| name \d+ \| value \d+ \|", replies))
    return {"content": "\n".join(["```markdown", "| Name | Value |", "| --- | --- |", *rows, "```"])}


def _calls(tool: dict[str, Any], texts: list[str]) -> Reply:
    """Calls of `tool` that carry `texts`: one call where it takes a list, else one call each."""
    properties = tool["parameters"].get("properties", {})
    listing = next((name for name, schema in properties.items() if schema.get("type") == "array"), None)
    if listing is not None:
        arguments = [{listing: [_filled(properties[listing]["items"], text) for text in texts]}]
    else:
        arguments = [_filled(tool["parameters"], text) for text in texts]
    return {
        "content": None,
        "tool_calls": [
            {"id": f"mock{index}", "type": "function", "function": {"name": tool["name"], "arguments": json.dumps(a)}}
            for index, a in enumerate(arguments)
        ],
    }


def _filled(schema: dict[str, Any], text: str) -> Any:
    """A value that fits `schema`, with `text` in every string that is required."""
    if schema.get("type") == "object":
        return {name: _filled(schema["properties"][name], text) for name in schema.get("required", ())}
    if schema.get("type") == "array":
        return [_filled(schema["items"], text)]
    return {"integer": 1, "number": 1.0, "boolean": False}.get(str(schema.get("type")), text)


def answer_named(name: str, **options: int) -> Answer:
    """The answering function called `echo`, `team`, or `module:function`."""
    if name == "echo":
        return echo
    if name == "team":
        return team(**options)
    module, _, function = name.partition(":")
    found: Answer = getattr(importlib.import_module(module), function)
    return found


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.faulty_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of calls that fail")
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--hang-s", type=float, default=3600.0)
    parser.add_argument("--retry-after", default="0")
    parser.add_argument("--models", nargs="+", default=["mock"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", default="team", help="echo, team, or module:function")
    parser.add_argument("--width", type=int, default=10, help="team: subagents that the lead starts in a turn")
    parser.add_argument("--turns", type=int, default=2, help="team: turns of the lead")
    parser.add_argument("--sub-turns", type=int, default=1, help="team: turns of a subagent")
    options = parser.parse_args()

    async def serve() -> None:
        server = FaultyServer(
            answer_named(options.answers, width=options.width, turns=options.turns, sub_turns=options.sub_turns),
            faults=options.faults,
            kinds=options.kinds,
            latency_ms=options.latency_ms,
            hang_s=options.hang_s,
            retry_after=options.retry_after,
            models=options.models,
            seed=options.seed,
            keep=False,
        )
        await server.start(options.port)
        print(server.url, flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
