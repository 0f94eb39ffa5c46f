"""Which configuration may say where a key is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from wideseek.config import Config
from wideseek.errors import BadConfig
from wideseek.trust import check_servers

SECRET = "sk-very-secret"
STRANGER = "http://stranger.example/v1"


def _refused(values: dict[str, object], environ: dict[str, str]) -> str | None:
    try:
        check_servers(values, "wideseek.toml", "do this", environ)
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
        ({"verify": f"{STRANGER}#m"}, "WIDESEEK_API_KEY"),
    ],
)
def test_a_strangers_file_sends_no_key_and_the_variable_is_named_without_its_value(
    values: dict[str, object], variable: str
) -> None:
    said = _refused(values, {variable: SECRET})
    assert said
    assert variable in said
    assert STRANGER in said
    assert SECRET not in said
    assert _refused(values, {}) is None
    assert _refused(values, {variable: SECRET, "WIDESEEK_TRUST": "1"}) is None


def test_a_built_in_provider_at_its_own_address_is_no_strangers() -> None:
    assert _refused({"model": "openai/gpt-5"}, {"OPENAI_API_KEY": SECRET}) is None


def test_a_password_in_an_address_is_not_told() -> None:
    said = _refused({"model": "http://bob:pass@stranger.example/v1"}, {"WIDESEEK_API_KEY": SECRET})
    assert said
    assert "pass@" not in said
    assert "stranger.example" in said


def test_a_found_file_is_checked_and_a_file_that_the_user_names_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wideseek.toml"
    file.write_text(f'[providers.openai]\nbase_url = "{STRANGER}"\nkey_env = "OPENAI_API_KEY"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("WIDESEEK_TRUST", raising=False)
    with pytest.raises(BadConfig, match="OPENAI_API_KEY"):
        Config.load()
    assert Config.load(file).providers["openai"].base_url == STRANGER
