"""What the connection refuses, and what never leaves it: redirects to other origins, keys and passwords."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from tests.faulty_server import FaultyServer, reader, refusal
from tests.test_chat import ask, policy_for
from wideseek import ask_async
from wideseek.assembly import open_policy
from wideseek.config import Config
from wideseek.errors import PolicyRejected, PolicyUnavailable, WideseekError
from wideseek.records import Page
from wideseek.redaction import redacted, withhold
from wideseek.tools.corpus import Corpus

KEY = "sk-the/key+of=this-run"
PASSWORD = "pass word:of@host"
LOGIN = "reader:pass%20word%3Aof%40host"


def with_login(url: str) -> str:
    return url.replace("http://", f"http://{LOGIN}@")


def folder_text(folder: Path) -> str:
    return "\n".join(file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())


def redirect(status: int, place: str) -> web.Response:
    return web.Response(status=status, headers={"Location": place})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_is_refused_with_both_origins_and_nothing_is_sent_there(status):
    async with FaultyServer() as other, FaultyServer() as server:
        server.answer = lambda _: redirect(status, f"{other.url}/chat/completions?{KEY}")
        policy = policy_for(server, key=KEY)
        with pytest.raises(PolicyRejected) as error:
            await policy.complete(ask(), ())
        await policy.close()
        here, there = server.url.removesuffix("/v1"), other.url.removesuffix("/v1")
        assert str(error.value).startswith(f"{here}: redirects to {there}, which is not followed")
        assert KEY not in str(error.value)
        assert other.requests == []


async def test_a_redirect_within_the_origin_is_followed_with_its_request():
    async with FaultyServer() as server:
        answers = iter([redirect(308, "/v1/completions"), {"content": "there"}])
        server.answer = lambda _: next(answers)
        policy = policy_for(server, key=KEY)
        assert (await policy.complete(ask(), ())).text == "there"
        assert server.requests[0] == server.requests[1]
        await policy.close()


@pytest.mark.parametrize(("status", "said"), [(302, "drops the request"), (307, "more than 5 times")])
async def test_a_redirect_that_drops_the_request_or_never_ends_is_refused(status, said):
    async with FaultyServer(lambda _: redirect(status, "/v1/chat/completions")) as server:
        policy = policy_for(server)
        with pytest.raises(PolicyRejected, match=said):
            await policy.complete(ask(), ())
        await policy.close()


async def test_the_login_of_an_address_is_sent_and_stands_in_no_error():
    async with FaultyServer() as server:
        server.answer = lambda _: refusal(400, f"I got {server.requests[-1]['authorization']} of {PASSWORD}")
        policy = policy_for(with_login(server.url))
        with pytest.raises(PolicyRejected) as error:
            await policy.complete(ask(), ())
        await policy.close()
        assert server.requests[0]["authorization"] == "Basic cmVhZGVyOnBhc3Mgd29yZDpvZkBob3N0"
        assert str(error.value).startswith(f"{server.url}: 400 I got Basic [secret] of [secret]: ")


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_a_server_that_echoes_the_key_in_an_error_is_quoted_without_it(status):
    async with FaultyServer() as server:
        server.answer = lambda _: refusal(status, f"not {server.requests[-1]['authorization']}")
        policy = policy_for(server, key=KEY, attempts=2)
        with pytest.raises((PolicyRejected, PolicyUnavailable), match=r"not Bearer \[secret\]"):
            await policy.complete(ask(), ())
        await policy.close()


async def test_a_server_that_echoes_the_key_in_its_answer_says_it_without_it():
    async with FaultyServer() as server:
        server.answer = lambda _: {"content": str(server.requests[-1]["authorization"])}
        policy = policy_for(server, key=KEY)
        assert (await policy.complete(ask(), ())).text == "Bearer [secret]"
        await policy.close()


async def test_a_page_with_the_key_reaches_no_prompt_no_journal_and_no_report(tmp_path, monkeypatch):
    monkeypatch.setenv("WIDESEEK_API_KEY", KEY)
    Corpus.build([Page("https://leak.test/a", f"Leak {KEY}", f"The key of Leak is {KEY}.")], tmp_path / "index")
    said = f"```markdown\n| Name | Key |\n| --- | --- |\n| Leak | {KEY} |\n```"
    async with FaultyServer(reader(said, ["Leak key"])) as server:
        result = await ask_async(
            "Which leaks are there?",
            model=f"{with_login(server.url)}#mock",
            workflow="single",
            corpus=tmp_path / "index",
            run_dir=tmp_path / "run",
        )
    written = folder_text(tmp_path / "run")
    assert {request["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    for request in server.requests:
        assert KEY not in str(request["messages"])
    assert "The key of Leak is [secret]." in str(server.requests[-1]["messages"])
    assert result.table.rows == [["Leak", "[secret]"]]
    for secret in (KEY, PASSWORD, LOGIN, "cmVhZGVyOnBhc3Mgd29yZDpvZkBob3N0"):
        assert secret not in written
        assert secret not in str(result)


def test_a_configuration_holds_no_login():
    config = Config(
        model=f"http://{LOGIN}@host.test/v1#m", providers={"lab": {"base_url": f"https://{LOGIN}@lab.test/v1"}}
    )
    assert config.model == "http://host.test/v1#m"
    assert config.providers["lab"].base_url == "https://lab.test/v1"
    assert open_policy(config.model, config).name == "http://host.test/v1#m"


def test_a_secret_is_taken_out_in_each_form_in_which_it_is_written():
    withhold('a"quoted/secret é')
    for form in (
        'a"quoted/secret é',
        'a\\"quoted/secret \\u00e9',
        'a\\"quoted\\/secret é',
        "a%22quoted%2Fsecret%20%C3%A9",
    ):
        assert redacted(f"<{form}>") == "<[secret]>"
        assert redacted(f"<{form}>".encode()) == b"<[secret]>"
    assert str(WideseekError('x: a"quoted/secret é')) == "x: [secret]"


def test_a_short_key_such_as_none_is_an_ordinary_word():
    withhold("ollama")
    assert redacted("ollama serves none") == "ollama serves none"
