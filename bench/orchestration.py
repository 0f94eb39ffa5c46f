"""Orchestration: how much longer a team takes than its model, and what that costs the machine.

    python bench/orchestration.py [--widths 1,10,100,1000] [--repeat 3] [--json] [--peer-python PATH] [--no-peers]

A lead delegates W subtasks in one turn; each subagent takes four turns (three with one call of an instant tool, then
its report); the lead answers. Every completion takes 50 ms on the mock server (mock_server.py, a process of its own):

    ideal = (1 + 4 + 1) × 50 ms = 300 ms   at any width        over ideal = wall / ideal        overhead = wall − ideal

Each measurement is a fresh process, which first runs width 1 once (imports, caches), then the width asked for, once.
wall is the median of the repeats; CPU and peak memory are the client process's. wideseek runs with its journal on.
Peers run where `--peer-python` has them (requirements.txt), with tracing off and uvloop where installed. Measurements
longer than 20 s are not repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mock_server import loop_factory

TURNS = 4
LATENCY_MS = 50
IDEAL_S = (1 + TURNS + 1) * LATENCY_MS / 1000
LONG_S = 20.0
LIMIT_S = 1200.0
HITS = [
    (
        f"Item {n}",
        f"https://mock.test/item-{n}",
        f"Item {n} is a thing of the mock world; its value is {41 + n}, as of 2024.",
    )
    for n in (1, 2, 3)
]
FOUND = "\n\n".join(f"{n}. {title}\n   {url}\n   {text}" for n, (title, url, text) in enumerate(HITS, 1))

Attempt = Callable[[int], Awaitable[str]]
"""Answers the question of this width; returns the lead's answer."""


@dataclass(frozen=True)
class Job:
    """What one process measures. The prompts are those of wideseek's default profile, for every client."""

    client: str
    loop: str
    width: int
    url: str
    lead_prompt: str = ""
    sub_prompt: str = ""


@dataclass
class Row:
    """The measurements of one client at one width; `problem` says why there are none."""

    client: str
    loop: str
    width: int
    wall_s: list[float] = field(default_factory=list)
    cpu_ms_per_call: list[float] = field(default_factory=list)
    peak_rss_mb: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def median_s(self) -> float:
        return statistics.median(self.wall_s)

    @property
    def overhead_s(self) -> float:
        return self.median_s - IDEAL_S


def question(width: int) -> str:
    return f"List {width} items. Give the value for each."


# --------------------------------------------------------------------------------------------------------- clients


@contextlib.asynccontextmanager
async def wideseek(job: Job) -> AsyncIterator[Attempt]:
    """The real path: team, chat policy, journal, budget, profile, tools."""
    from wideseek.api import rare_collections
    from wideseek.journal import Journal
    from wideseek.policy.chat import ChatPolicy
    from wideseek.records import Page, Task
    from wideseek.roles import LEAD, Role
    from wideseek.team import Team
    from wideseek.tools.base import Hit

    class Instant:
        async def search(self, query: str, count: int) -> list[Hit]:
            return [Hit(*hit) for hit in HITS[:count]]

        async def page(self, url: str) -> Page | None:
            return None

        async def close(self) -> None:
            pass

    lead = Role("lead", LEAD.tools, LEAD.max_turns, max_calls=job.width, context_tokens=1_000_000)
    policy = ChatPolicy(model="mock", base_url=job.url, concurrency=max(64, job.width))
    with rare_collections(), tempfile.TemporaryDirectory() as folder, Journal(Path(folder)) as journal:
        team = Team({"lead": policy}, Instant(), roles={"lead": lead}, journal=journal)

        async def attempt(width: int) -> str:
            rollout = await team.solve(Task(instance_id=f"w{width}", question=question(width)))
            assert rollout.error is None, rollout.error
            assert [len(run.turns) for run in rollout.trajectories[1:]] == [TURNS] * width
            return rollout.answer

        try:
            yield attempt
        finally:
            await policy.close()


@contextlib.asynccontextmanager
async def bare_aiohttp(job: Job) -> AsyncIterator[Attempt]:
    """No framework: the least that a loop over aiohttp and json does."""
    import aiohttp

    search = _tool("search", "Find pages.", "query")
    delegate = _tool("call_subagent", "Start a helper on a subtask.", "input")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def agent(system: str, prompt: str, tool: dict[str, Any], use: Callable[[str], Awaitable[str]]) -> str:
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
            ]
            while True:
                body = json.dumps({"model": "mock", "messages": messages, "tools": [tool]}).encode()
                headers = {"Content-Type": "application/json"}
                async with session.post(f"{job.url}/chat/completions", data=body, headers=headers) as response:
                    said = json.loads(await response.read())["choices"][0]["message"]
                if not said.get("tool_calls"):
                    return str(said["content"])
                inputs = [next(iter(json.loads(c["function"]["arguments"]).values())) for c in said["tool_calls"]]
                replies = await asyncio.gather(*map(use, inputs))
                messages.append(said)
                messages += [
                    {"role": "tool", "tool_call_id": call["id"], "content": reply}
                    for call, reply in zip(said["tool_calls"], replies, strict=True)
                ]

        async def found(query: str) -> str:
            return FOUND

        async def subagent(task: str) -> str:
            return await agent(job.sub_prompt, task, search, found)

        async def attempt(width: int) -> str:
            return await agent(job.lead_prompt, question(width), delegate, subagent)

        yield attempt


@contextlib.asynccontextmanager
async def openai_agents(job: Job) -> AsyncIterator[Attempt]:
    """The subagent as a tool of the lead, which runs its parallel calls concurrently."""
    agents: Any = importlib.import_module("agents")
    openai: Any = importlib.import_module("openai")
    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=job.url, api_key="none", timeout=LIMIT_S)
    model = agents.OpenAIChatCompletionsModel(model="mock", openai_client=client)

    async def search(query: str) -> str:
        """Find pages."""
        return FOUND

    sub = agents.Agent(name="sub", instructions=job.sub_prompt, model=model, tools=[agents.function_tool(search)])
    delegate = sub.as_tool(tool_name="call_subagent", tool_description="Start a helper on a subtask.")
    lead = agents.Agent(name="lead", instructions=job.lead_prompt, model=model, tools=[delegate])

    async def attempt(width: int) -> str:
        return str((await agents.Runner.run(lead, question(width))).final_output)

    yield attempt


@contextlib.asynccontextmanager
async def langgraph(job: Job) -> AsyncIterator[Attempt]:
    """A subgraph behind a tool; the lead's tool node fans its calls out."""
    prebuilt: Any = importlib.import_module("langgraph.prebuilt")
    langchain_openai: Any = importlib.import_module("langchain_openai")
    model = langchain_openai.ChatOpenAI(model="mock", base_url=job.url, api_key="none", timeout=LIMIT_S)

    async def search(query: str) -> str:
        """Find pages."""
        return FOUND

    sub = prebuilt.create_react_agent(model, [search], prompt=job.sub_prompt)

    async def call_subagent(input: str) -> str:
        """Start a helper on a subtask."""
        said = await sub.ainvoke({"messages": [("user", input)]})
        return str(said["messages"][-1].content)

    lead = prebuilt.create_react_agent(model, [call_subagent], prompt=job.lead_prompt)

    async def attempt(width: int) -> str:
        said = await lead.ainvoke({"messages": [("user", question(width))]})
        return str(said["messages"][-1].content)

    yield attempt


def _tool(name: str, description: str, argument: str) -> dict[str, Any]:
    parameters = {"type": "object", "required": [argument], "properties": {argument: {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


CLIENTS = {
    "wideseek": wideseek,
    "bare aiohttp": bare_aiohttp,
    "openai-agents": openai_agents,
    "langgraph": langgraph,
}
OURS = ("wideseek", "bare aiohttp")
PEERS = ("openai-agents", "langgraph")


# ------------------------------------------------------------------------------------- one measurement, one process


def measure(job: Job) -> dict[str, Any]:
    """Runs in the process that is measured."""
    try:
        with asyncio.Runner(loop_factory=loop_factory(job.loop)) as runner:
            return runner.run(_measure(job))
    except ModuleNotFoundError as error:
        return {"problem": f"not installed ({error.name})"}


async def _measure(job: Job) -> dict[str, Any]:
    async with CLIENTS[job.client](job) as attempt:
        await attempt(1)
        cpu, started = time.process_time(), time.perf_counter()
        answer = await attempt(job.width)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert answer.count("| item ") == job.width, answer[:500]
    return {"wall_s": wall, "cpu_ms_per_call": 1e3 * cpu / calls(job.width), "peak_rss_mb": peak_rss_mb()}


def calls(width: int) -> int:
    return TURNS * width + 2


def peak_rss_mb() -> float:
    """Of this process alone: `ru_maxrss` may still hold the peak of the process that started it."""
    with contextlib.suppress(OSError):
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if peak:
            return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


# ---------------------------------------------------------------------------------------------------- all of them


@contextlib.contextmanager
def mock_server() -> Iterator[str]:
    """The url of a mock server that runs in a process of its own."""
    script = Path(__file__).with_name("mock_server.py")
    command = [sys.executable, str(script), "--latency-ms", str(LATENCY_MS), "--turns", str(TURNS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def measured(python: str, job: Job, repeat: int) -> Row:
    """`repeat` measurements of one client at one width; fewer where one takes very long."""
    row = Row(job.client, job.loop, job.width)
    while len(row.wall_s) < repeat and not row.problem:
        before = requests_served(job.url)
        figures = in_process(python, job)
        done, due = requests_served(job.url) - before, calls(1) + calls(job.width)
        row.problem = figures.pop("problem", "") or ("" if done == due else f"made {done} model calls, not {due}")
        for name, value in figures.items():
            getattr(row, name).append(round(value, 4))
        if row.wall_s and row.wall_s[-1] > LONG_S:
            break
    return row


def in_process(python: str, job: Job) -> dict[str, Any]:
    environment = {**os.environ, "LANGSMITH_TRACING": "false", "no_proxy": "127.0.0.1"}
    command = [python, str(Path(__file__).resolve()), "--job", json.dumps(asdict(job))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return {"problem": f"not done after {LIMIT_S:g} s"}
    except OSError as error:
        return {"problem": f"{python}: {error.strerror}"}
    if done.returncode:
        return {"problem": f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"}
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def requests_served(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/stats") as response:
        return int(json.load(response)["requests"])


def all_rows(widths: list[int], repeat: int, peer_python: str | None) -> Iterator[Row]:
    from wideseek.roles import LEAD, SUB, Profile

    profile = Profile.load("default")
    values = {"question": "", "task": "", "answer_format": profile.notice("answer_wide", "en"), "max_turns": 10}
    lead, sub = (profile.opening(role, "en", **values, max_calls=10)[0].text for role in (LEAD, SUB))
    runs = [(sys.executable, client, loop) for client in OURS for loop in ("uvloop", "asyncio")]
    if peer_python:
        loop = "uvloop" if has_uvloop(peer_python) else "asyncio"
        runs += [(peer_python, peer, loop) for peer in PEERS]
    with mock_server() as url:
        for width in widths:
            for python, client, loop in runs:
                yield measured(python, Job(client, loop, width, url, lead, sub), repeat)


def has_uvloop(python: str) -> bool:
    with contextlib.suppress(OSError):
        return not subprocess.run([python, "-c", "import uvloop"], capture_output=True).returncode
    return False


def machine(peer_python: str | None) -> dict[str, Any]:
    """What the figures were measured on, and with what."""
    model = ""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        model = found[1] if found else ""
    names = ("wideseek", "httptools", "aiohttp", "msgspec", "uvloop")
    versions = {name: _version(name) for name in names}
    if peer_python:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            versions |= json.loads(subprocess.check_output([peer_python, "-c", PEER_VERSIONS]))
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name, found in versions.items() if found},
    }


PEER_VERSIONS = """
import importlib.metadata, json
found = {each.name: each.version for each in importlib.metadata.distributions()}
print(json.dumps({name: found.get(name) for name in ("openai-agents", "langgraph", "langchain-openai", "openai")}))
"""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# -------------------------------------------------------------------------------------------------------- printing


def as_json(row: Row, ours: float | None) -> dict[str, Any]:
    """A row with what follows from it; `ours` is our overhead at the same width, in seconds."""
    if row.problem:
        return {"client": row.client, "loop": row.loop, "width": row.width, "problem": row.problem}
    return {
        **asdict(row),
        "over_ideal": round(row.median_s / IDEAL_S, 3),
        "over_ideal_best": round(min(row.wall_s) / IDEAL_S, 3),
        "overhead_s": round(row.overhead_s, 4),
        "overhead_to_ours": round(row.overhead_s / ours, 2) if ours else None,
    }


def print_table(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    versions = ", ".join(f"{name} {found}" for name, found in about["versions"].items())
    ideal = f"{LATENCY_MS} ms a completion, ideal {IDEAL_S * 1e3:.0f} ms"
    table = Table(
        title=f"Orchestration: W subagents × {TURNS} turns, {ideal}",
        caption=f"{about['cpu']}, {about['cores']} cores, Python {about['python']}; {versions}. "
        "wall: median of the runs; overhead to ours: to wideseek's best loop",
    )
    for name in ("W", "client", "loop"):
        table.add_column(name, justify="right" if name == "W" else "left", no_wrap=True)
    for name in ("wall s", "over ideal", "best", "overhead to ours", "CPU ms/call", "peak MB", "runs"):
        table.add_column(name, justify="right")
    for last, row in zip([None, *rows], rows, strict=False):
        if last and last["width"] != row["width"]:
            table.add_section()
        head = (f"{row['width']:,}", row["client"], row["loop"])
        if row.get("problem"):
            table.add_row(*head, row["problem"])
            continue
        table.add_row(
            *head,
            f"{statistics.median(row['wall_s']):.3f}",
            f"{row['over_ideal']:.2f}",
            f"{row['over_ideal_best']:.2f}",
            f"{row['overhead_to_ours']:.1f}×" if row["overhead_to_ours"] else "",
            f"{statistics.median(row['cpu_ms_per_call']):.2f}",
            f"{max(row['peak_rss_mb']):.0f}",
            str(len(row["wall_s"])),
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", default="1,10,100,1000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter that has requirements.txt")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(Job(**json.loads(options.job)))))
        return
    peer_python = options.peer_python if options.peers else None
    about = machine(peer_python)
    rows: list[Row] = []
    for row in all_rows([int(width) for width in options.widths.split(",")], options.repeat, peer_python):
        rows.append(row)
        print(f"{row.client} ({row.loop}), W = {row.width}: {row.problem or row.wall_s}", file=sys.stderr)
    done = [row for row in rows if row.client == "wideseek" and not row.problem]
    ours = {row.width: min(r.overhead_s for r in done if r.width == row.width) for row in done}
    table = [as_json(row, ours.get(row.width)) for row in rows]
    if options.json:
        print(json.dumps({"machine": about, "ideal_s": IDEAL_S, "rows": table}))
    else:
        print_table(table, about)


if __name__ == "__main__":
    main()
