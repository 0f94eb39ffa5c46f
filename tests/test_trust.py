"""Which configuration may say where keys and questions are sent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faulty_server import FaultyServer
from wideseek.assembly import keys_sent
from wideseek.config import Config
from wideseek.errors import BadConfig, BadInput
from wideseek.policy.names import parse_model
from wideseek.servers import PROVIDERS
from wideseek.trust import check_headers, check_servers, claims, remember

SECRET = "sk-very-secret"
STRANGER = "http://stranger.example/v1"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WIDESEEK_TRUST", raising=False)


def refused(values: dict[str, Any], environ: dict[str, str], typed: dict[str, Any] | None = None) -> str | None:
    try:
        check_servers(values, typed or {}, "wideseek.toml", environ=environ)
    except BadConfig as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"providers": {"openai": {"base_url": STRANGER, "key_env": "OPENAI_API_KEY"}}}, "OPENAI_API_KEY"),
        ({"providers": {"mine": {"base_url": STRANGER, "key_env": "AWS_SECRET"}}}, "AWS_SECRET"),
        ({"providers": {"mine": {"base_url": STRANGER}}}, "WIDESEEK_API_KEY"),
        ({"model": f"tokens+{STRANGER}#m"}, "WIDESEEK_API_KEY"),
        ({"sub_model": f" {STRANGER.upper()}#m"}, "WIDESEEK_API_KEY"),
        ({"model": f" tokens+ {STRANGER}#m"}, "WIDESEEK_API_KEY"),
        ({"verify": f"{STRANGER}#m"}, "WIDESEEK_API_KEY"),
    ],
)
def test_a_strangers_server_gets_nothing_and_the_variable_is_named_without_its_value(
    values: dict[str, object], variable: str
) -> None:
    said = refused(values, {variable: SECRET})
    assert said
    assert f"the key in {variable}" in said
    assert STRANGER in said.lower()
    assert "--trust" in said
    assert SECRET not in said
    assert "questions and pages" in (refused(values, {}) or "")
    assert refused(values, {variable: SECRET, "WIDESEEK_TRUST": "1"}) is None


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_built_in_provider_at_its_own_address_is_no_strangers(name: str) -> None:
    built_in = PROVIDERS[name]
    environ = {"WIDESEEK_API_KEY": SECRET, built_in.key_env or "OTHER": SECRET}
    values = {"model": f"{name}/m", "providers": {name: {"base_url": built_in.base_url, "key_env": built_in.key_env}}}
    assert refused(values, environ) is None
    for changed in ({"base_url": STRANGER}, {"key_env": "AWS_SECRET"}):
        values["providers"] = {name: {"base_url": built_in.base_url, "key_env": built_in.key_env, **changed}}
        assert refused(values, {**environ, "AWS_SECRET": SECRET})


@pytest.mark.parametrize("address", ["http://localhost:9/v1", "http://127.0.0.1:9/v1", "http://[::1]:9/v1"])
def test_a_server_on_this_machine_is_asked_about_only_where_it_would_get_a_key(address: str) -> None:
    assert refused({"model": f"{address}#m"}, {}) is None
    assert refused({"model": f"{address}#m"}, {"WIDESEEK_API_KEY": SECRET})


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost.evil.example/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost@evil.example",
        "http://localhost\\.evil.example",
        "http://evil.example?@localhost/v1",
        "http://evil.example/#@localhost/",
    ],
)
def test_an_address_that_only_looks_like_this_machine_is_a_strangers(address: str) -> None:
    assert refused({"providers": {"mine": {"base_url": address}}}, {})
    assert refused({"model": address}, {})


def test_what_the_user_typed_is_known_and_half_of_a_provider_is_not_the_whole() -> None:
    environ = {"OPENAI_API_KEY": SECRET}
    both = {"providers": {"mine": {"base_url": STRANGER, "key_env": "OPENAI_API_KEY"}}}
    assert refused(both, environ, both) is None
    assert refused(both, environ, {"providers": {"mine": {"base_url": STRANGER}}})
    assert refused(both, environ, {"providers": {"mine": {"key_env": "OPENAI_API_KEY"}}})
    assert refused({"sub_model": f"{STRANGER}#a"}, {}, {"model": f"{STRANGER}#b"}) is None


def test_a_password_in_an_address_is_not_told() -> None:
    said = refused({"model": "http://bob:pass@stranger.example/v1"}, {"WIDESEEK_API_KEY": SECRET})
    assert said
    assert "pass@" not in said
    assert "stranger.example" in said


def test_a_yes_is_remembered_for_this_server_with_this_variable_and_a_no_is_not(tmp_path: Path) -> None:
    values = {"providers": {"mine": {"base_url": STRANGER, "key_env": "OPENAI_API_KEY"}}}
    environ = {"OPENAI_API_KEY": SECRET, "AWS_SECRET": SECRET}
    asked: list[str] = []

    def check(answer: bool) -> None:
        check_servers(values, {}, "wideseek.toml", lambda question: bool(asked.append(question)) or answer, environ)

    with pytest.raises(BadConfig, match="nothing was sent"):
        check(False)
    check(True)
    check(False)
    assert asked == [f"wideseek.toml: providers.mine: Send the key in OPENAI_API_KEY to {STRANGER}?"] * 2
    assert refused(values, environ) is None
    assert refused({"providers": {"mine": {"base_url": STRANGER, "key_env": "AWS_SECRET"}}}, environ)
    assert refused({"providers": {"mine": {"base_url": f"{STRANGER}/x", "key_env": "OPENAI_API_KEY"}}}, environ)
    written = (tmp_path / "state" / "wideseek" / "trusted").read_text()
    assert "stranger" not in written
    assert "OPENAI" not in written


def test_a_state_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    remember(claims({"model": STRANGER}))
    assert refused({"model": STRANGER}, {})


def test_a_found_file_is_checked_and_a_file_that_the_user_names_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wideseek.toml"
    file.write_text(f'[providers.openai]\nbase_url = "{STRANGER}"\nkey_env = "OPENAI_API_KEY"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(BadConfig, match="OPENAI_API_KEY"):
        Config.load()
    with pytest.raises(BadConfig, match="OPENAI_API_KEY"):
        Config.load(overrides={"providers.openai.key_env": "OPENAI_API_KEY"})
    typed = {"providers.openai.base_url": PROVIDERS["openai"].base_url}
    assert Config.load(overrides=typed).providers["openai"].base_url == PROVIDERS["openai"].base_url
    assert Config.load(file).providers["openai"].base_url == STRANGER


def test_the_servers_that_get_a_key_are_those_of_the_models_that_are_asked() -> None:
    mine = {"providers.mine.base_url": "https://mine.example/v1/x", "providers.mine.key_env": "MINE"}
    config = Config.merged({}, mine)
    environ = {"OPENAI_API_KEY": SECRET, "MINE": SECRET, "GROQ_API_KEY": SECRET, "WIDESEEK_API_KEY": ""}
    models = ["openai/a", "openai/b", "mine/c", "tokens+openai/d", "nano", "expert", "auto", "local/x", None]
    assert keys_sent(config, [*models, "http://127.0.0.1:1/v1#m", "ollama/m"], environ) == [
        ("OPENAI_API_KEY", "https://api.openai.com"),
        ("MINE", "https://mine.example"),
    ]


# ------------------------------------------------------------------------------------------------------- the command


class Shell:
    """A user's shell in a folder: `wideseek ...` with a key set, and a terminal where `types` are typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: object, types: str | None = None, **environ: str) -> tuple[int, str]:
        """The exit code, and what stands on standard error."""
        kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
        command = [sys.executable, "-m", "wideseek", *map(str, arguments)]
        options: dict[str, Any] = {
            "env": {**kept, "WIDESEEK_API_KEY": SECRET, **environ},
            "cwd": self.folder,
            "stdout": subprocess.DEVNULL,
        }
        if types is None:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **options)
            return done.returncode, done.stderr.decode()
        ours, theirs = pty.openpty()
        with subprocess.Popen(command, stdin=theirs, stderr=theirs, **options) as process:
            os.close(theirs)
            os.write(ours, types.encode())
            said = _until_closed(ours)
        os.close(ours)
        return process.returncode, said


def _until_closed(terminal: int) -> str:
    said = b""
    try:
        while piece := os.read(terminal, 65536):
            said += piece
    except OSError:  # so Linux says that the other side has closed it
        pass
    return said.decode(errors="replace")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "work").mkdir()
    return Shell(tmp_path / "work")


def say_nothing(request: dict[str, Any]) -> dict[str, Any]:
    return {"content": "| name | n |\n|---|---|\n| a | 1 |"}


ASK = ("ask", "Which are there?", "--workflow", "single")


async def test_a_found_file_is_refused_without_a_terminal_asked_about_on_one_and_allowed_by_trust(shell: Shell) -> None:
    async with FaultyServer(say_nothing) as server:
        (shell.folder / "wideseek.toml").write_text(f'model = "{server.url}#mock"\n')
        code, said = await asyncio.to_thread(shell.run, *ASK)
        assert (code, said.count("\n")) == (2, 1)
        assert f"wideseek.toml: model would send the key in WIDESEEK_API_KEY to '{server.url}'" in said
        assert "--trust" in said
        code, said = await asyncio.to_thread(shell.run, *ASK, types="n\n")
        assert code == 2
        assert f"Send the key in WIDESEEK_API_KEY to {server.url}? [y/N]" in said
        assert "nothing was sent" in said
        assert server.stats.requests == server.stats.listings == 0
        for allowed in ({}, {"WIDESEEK_TRUST": "1"}):
            code, said = await asyncio.to_thread(shell.run, *ASK, *(() if allowed else ("--trust",)), **allowed)
            assert code in (0, 1, 3)
            assert said.count(f"WIDESEEK_API_KEY goes to {server.url.removesuffix('/v1')}\n") == 1
            assert SECRET not in said
        assert server.stats.requests > 0


async def test_a_yes_on_the_terminal_goes_on_and_is_not_asked_again(shell: Shell) -> None:
    async with FaultyServer(say_nothing) as server:
        (shell.folder / "wideseek.toml").write_text(f'model = "{server.url}#mock"\n')
        code, said = await asyncio.to_thread(shell.run, *ASK, "-q", types="y\n")
        assert code in (0, 1, 3)
        assert "[y/N]" in said
        assert server.stats.requests > 0
        code, said = await asyncio.to_thread(shell.run, *ASK, "-q")
        assert code in (0, 1, 3)
        assert "trust" not in said


async def test_a_strangers_run_folder_is_refused_and_a_resume_of_the_users_own_run_is_not_asked_about(
    shell: Shell, tmp_path: Path
) -> None:
    async with FaultyServer(say_nothing) as server:
        code, _ = await asyncio.to_thread(shell.run, *ASK, "--model", f"{server.url}#mock", "--run-dir", "own")
        assert code in (0, 1, 3)
        again, said = await asyncio.to_thread(shell.run, "ask", "--resume", "own")
        assert (again, "taken from the journal" in said) == (code, True)
        answered = server.stats.requests

        stranger = {"XDG_STATE_HOME": str(tmp_path / "somebody")}
        code, said = await asyncio.to_thread(shell.run, "ask", "--resume", "own", **stranger)
        assert code == 2
        assert f"own/run.json: model would send the key in WIDESEEK_API_KEY to '{server.url}'" in said
        code, said = await asyncio.to_thread(shell.run, "ask", "--resume", "own", types="n\n", **stranger)
        assert (code, "nothing was sent" in said) == (2, True)
        for more in ({"types": "y\n"}, {}):  # the yes is remembered
            code, said = await asyncio.to_thread(shell.run, "ask", "--resume", "own", **more, **stranger)
            assert code == again
        other = {"XDG_STATE_HOME": str(tmp_path / "other")}
        code, _ = await asyncio.to_thread(shell.run, "ask", "--resume", "own", "--model", f"{server.url}#mock", **other)
        assert code == again
        assert server.stats.requests == answered


@pytest.mark.parametrize("command", [("eval", "pocket"), ("study", "width", "--out", "s"), ("score", "said.jsonl")])
def test_every_command_that_reads_a_found_file_refuses_its_servers(shell: Shell, command: tuple[str, ...]) -> None:
    (shell.folder / "said.jsonl").write_text(json.dumps({"instance_id": "a", "response": "b"}))
    (shell.folder / "wideseek.toml").write_text(f'[providers.openai]\nbase_url = "{STRANGER}"\n')
    code, said = shell.run(*command)
    assert (code, said.count("\n")) == (2, 1)
    assert "providers.openai would send the key in WIDESEEK_API_KEY" in said
    assert "--trust" in said


def test_a_bundled_model_gets_no_line_about_keys(shell: Shell) -> None:
    code, said = shell.run("ask", "Which are there?", "--model", "expert", "-q")
    assert code in (0, 1, 3)
    assert "goes to" not in said


SPACE = st.text(" \t\u00a0\u2003", max_size=2)


@given(st.sampled_from(["", "tokens+"]), SPACE, SPACE, SPACE, st.sampled_from(["http", "HTTP", "https", "httpx", ""]))
def test_whatever_is_read_as_a_server_is_a_claim(ids: str, before: str, between: str, after: str, scheme: str) -> None:
    name = f"{before}{ids}{between}{scheme}://stranger.example/v1#m{after}"
    try:
        read = parse_model(name)
    except BadInput:
        return
    assert read.base_url
    assert claims({"model": name})


def test_a_servers_address_on_this_machine_gets_no_secret_header_unasked() -> None:
    found, typed = {"model": "http://127.0.0.1:9/v1#m"}, {"chat": {"headers": {"Authorization": SECRET}}}
    assert refused({**found, **typed}, {}, typed)
    assert refused(found, {}, {}) is None


def test_a_strangers_file_says_not_as_whom_requests_are_made() -> None:
    stranger = {"chat": {"headers": {"Authorization": "Bearer theirs", "X-Team": "a"}}}
    with pytest.raises(BadConfig, match="chat.headers.Authorization"):
        check_headers(stranger, {}, "wideseek.toml", environ={})
    with pytest.raises(BadConfig, match="chat.headers.Authorization"):
        check_headers(stranger, {}, "wideseek.toml", lambda question: False, environ={})
    check_headers(stranger, {}, "wideseek.toml", lambda question: True, environ={})
    check_headers(stranger, {"chat": {"headers": {"authorization": "mine"}}}, "wideseek.toml", environ={})
    check_headers({"chat": {"headers": {"X-Team": "a"}}}, {}, "wideseek.toml", environ={})
    check_headers({"chat": {"headers": {"Authorization": "[secret 0a1b2c]"}}}, {}, "run.json", environ={})


def test_a_found_file_with_a_secret_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wideseek.toml").write_text("chat.headers = {Authorization = 'Bearer attackers-key'}")
    with pytest.raises(BadConfig, match=r"chat\.headers\.Authorization"):
        Config.load(overrides={"model": "openai/gpt-5"})
