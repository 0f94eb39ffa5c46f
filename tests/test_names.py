"""How users name models."""

from __future__ import annotations

import pytest

from wideseek.errors import BadInput
from wideseek.policy.names import ModelName, key_for, parse_model
from wideseek.servers import PROVIDERS, Provider


def refused(name: str, **options) -> str:
    with pytest.raises(BadInput) as error:
        parse_model(name, environ={}, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_expert_is_no_chat_model():
    assert parse_model("expert") == ModelName("expert", "expert")


def test_a_provider_and_a_name():
    model = parse_model("openai/gpt-4.1-mini", environ={})
    assert (model.kind, model.base_url, model.model) == ("chat", "https://api.openai.com/v1", "gpt-4.1-mini")
    assert (model.key_env, model.key_needed) == ("OPENAI_API_KEY", True)


def test_the_name_may_hold_slashes_and_colons():
    assert parse_model("openrouter/qwen/qwen3-4b:free", environ={}).model == "qwen/qwen3-4b:free"
    assert parse_model("ollama/qwen3:4b", environ={}).base_url == "http://localhost:11434/v1"


@pytest.mark.parametrize("provider", ["vllm", "vllm/"])
def test_a_local_server_may_be_named_without_its_model(provider):
    assert parse_model(provider, environ={}).model is None


def test_a_hosted_provider_needs_a_model():
    assert refused("openai/") == "model 'openai/': which one? write openai/NAME"


@pytest.mark.parametrize(
    ("name", "base_url", "model"),
    [
        ("http://host:8000/v1#Qwen/Qwen3-4B", "http://host:8000/v1", "Qwen/Qwen3-4B"),
        ("https://host/v1/#m", "https://host/v1", "m"),
        ("HTTP://host:1/v1", "HTTP://host:1/v1", None),
        ("http://[::1]:8000/v1/chat/completions#m", "http://[::1]:8000/v1", "m"),
    ],
)
def test_any_server_by_its_address(name, base_url, model):
    found = parse_model(name, environ={})
    assert (found.base_url, found.model) == (base_url, model)
    assert (found.key_env, found.key_needed) == ("WIDESEEK_API_KEY", False)


@pytest.mark.parametrize(
    "name", ["http://", "http://:80/v1#m", "http://host:99999/v1", "http://a b/v1", "http://[x/v1"]
)
def test_an_address_that_is_none_is_refused(name):
    assert "is not an address: write http://HOST:PORT/v1#NAME" in refused(name)


@pytest.mark.parametrize("name", ["nano", "nano-base"])
def test_the_models_that_come_with_the_package_have_names_of_their_own(name):
    assert parse_model(name, environ={}) == ModelName("local", name)


@pytest.mark.parametrize("model", ["runs/nano/best", "/home/me/model", "Qwen/Qwen3-4B", "nano"])
def test_a_local_model_is_a_folder_or_a_hub_name(model):
    assert parse_model(f"local/{model}", environ={}) == ModelName("local", f"local/{model}", model=model)


@pytest.mark.parametrize("name", ["local", "local/"])
def test_a_local_model_without_a_folder_is_refused(name):
    assert refused(name) == f"model {name!r}: which one? write local/FOLDER or local/HUB_NAME"


def test_a_users_own_provider_may_be_called_local():
    assert parse_model("local/m", {"local": Provider("http://lab:9/v1")}, {}).base_url == "http://lab:9/v1"


@pytest.mark.parametrize(
    ("server", "base_url", "model"),
    [
        ("http://host:8000/v1#Qwen/Qwen3-4B", "http://host:8000/v1", "Qwen/Qwen3-4B"),
        ("https://host/v1", "https://host/v1", None),
        ("vllm/Qwen/Qwen3-4B", "http://localhost:8000/v1", "Qwen/Qwen3-4B"),
        ("sglang", "http://localhost:30000/v1", None),
    ],
)
def test_a_server_is_asked_by_token_ids_where_tokens_stands_before_it(server, base_url, model):
    found = parse_model(f"tokens+{server}", environ={})
    assert (found.kind, found.name, found.base_url, found.model) == ("tokens", f"tokens+{server}", base_url, model)
    assert found.key_env == parse_model(server, environ={}).key_env


@pytest.mark.parametrize("name", ["tokens+expert", "tokens+nano", "tokens+local/folder", "tokens+tokens+vllm"])
def test_only_servers_are_asked_by_token_ids(name):
    assert refused(name) == f"model {name!r}: tokens+ stands before a server: write tokens+http://HOST:PORT/v1#NAME"


def test_a_mistake_behind_tokens_is_told_as_any_other():
    assert "did you mean vllm/m?" in refused("tokens+vlm/m")


def test_users_add_providers_and_replace_ours():
    ours = {"lab": Provider("http://lab:9/v1"), "openai": Provider("http://proxy/v1", "LAB_KEY")}
    assert parse_model("lab/m", ours, {}).base_url == "http://lab:9/v1"
    assert parse_model("openai/m", ours, {}).key_env == "LAB_KEY"
    assert parse_model("groq/m", ours, {}).base_url == PROVIDERS["groq"].base_url


def test_the_environment_may_move_openai_elsewhere_and_then_no_key_is_needed():
    model = parse_model("openai/m", environ={"OPENAI_BASE_URL": "http://localhost:1/v1/"})
    assert model.base_url == "http://localhost:1/v1"
    assert key_for(model, {}) is None
    with pytest.raises(BadInput, match="OPENAI_BASE_URL='nowhere'"):
        parse_model("openai/m", environ={"OPENAI_BASE_URL": "nowhere"})


def test_keys_come_from_the_environment():
    environ = {"OPENAI_API_KEY": "a", "WIDESEEK_API_KEY": "b"}
    assert key_for(parse_model("openai/m", environ=environ), environ) == "a"
    assert key_for(parse_model("http://host/v1#m"), environ) == "b"
    assert key_for(parse_model("ollama/m"), {}) is None


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": " "}])
def test_a_missing_key_is_told_in_one_line(environ):
    with pytest.raises(BadInput) as error:
        key_for(parse_model("openai/m", environ={}), environ)
    assert str(error.value) == "model 'openai/m': needs a key: set the environment variable OPENAI_API_KEY"


def test_an_unknown_name_is_told_the_nearest_provider_and_the_forms():
    said = refused("opnai/gpt-4.1")
    assert said.startswith("model 'opnai/gpt-4.1': unknown; did you mean openai/gpt-4.1? ")
    assert "http://HOST:PORT/v1#NAME" in said
    assert "openai" in said
    assert "did you mean expert?" in refused("exprt")
    assert "did you mean nano?" in refused("nanno/x")
    assert "did you mean local/folder?" in refused("locl/folder")
    assert "did you mean" not in refused("zzz")
