"""Prompt profiles: folders of texts and tool interfaces, the user's own among them."""

from __future__ import annotations

import pytest

from wideseek.config import built_in_prompts
from wideseek.errors import BadInput, ToolError
from wideseek.roles import LEAD, NOTICES, SINGLE, SUB, Profile

VALUES = {"question": "Q?", "task": "T", "answer_format": "F", "max_turns": 7, "max_calls": 3}


@pytest.mark.parametrize("name", sorted(built_in_prompts()))
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("role", [LEAD, SUB, SINGLE], ids=lambda role: role.name)
def test_every_profile_speaks_to_every_role(name, language, role):
    system, user = Profile.load(name).opening(role, language, **VALUES)
    assert (system.role, user.role) == ("system", "user")
    assert "$" not in system.text + user.text
    assert ("T" if role is SUB else "Q?") in user.text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_default_profile_says_every_notice_in_both_languages(language):
    profile = Profile.load("default")
    for notice in NOTICES:
        assert profile.notice(notice, language, limit=3).strip() or notice == "tool_failed"


def test_the_subagents_prompt_holds_its_subtask_and_the_main_question():
    _, user = Profile.load("default").opening(SUB, "en", **VALUES)
    assert "T" in user.text
    assert "Q?" in user.text


def test_wideseek_r1_has_the_tool_interface_that_the_released_model_was_trained_on():
    profile = Profile.load("wideseek-r1")
    lead, sub, single = (profile.faces(role) for role in (LEAD, SUB, SINGLE))
    assert list(lead) == ["create_sub_agents"]
    assert lead["create_sub_agents"].calls({"sub_agents": [{"prompt": "a"}, {"prompt": "b"}]}) == [
        {"task": "a"},
        {"task": "b"},
    ]
    assert sub["search"].calls({"queries": [{"query": "a", "count": 2}, {"query": "b"}]}) == [
        {"query": "a", "count": 2},
        {"query": "b"},
    ]
    assert sub["access"].calls({"urls": [{"url": "u", "info_to_extract": "i"}]}) == [
        {"url": "u", "info_to_extract": "i"}
    ]
    assert single["search"].calls({"query": "a", "count": 1}) == [{"query": "a", "count": 1}]
    assert single["access"].calls({"url": "u", "info_to_extract": "i"}) == [{"url": "u", "info_to_extract": "i"}]
    with pytest.raises(ToolError, match="'queries' is a required property"):
        sub["search"].calls({"query": "a"})


def test_a_folder_with_one_file_is_a_profile(tmp_path):
    (tmp_path / "lead.en.md").write_text("Use $call_subagent.\n<!-- user -->\n$question")
    profile = Profile.load(tmp_path)
    system, _ = profile.opening(LEAD, "en", **VALUES)
    assert system.text == "Use call_subagent."
    assert "research helper" in profile.opening(SUB, "en", **VALUES)[0].text


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("lead.en.md", "no user part", "needs a line"),
        ("lead.en.md", "$nonsense\n<!-- user -->\n", r"\$nonsense is not filled here"),
        ("lead.en.md", "costs $ 5\n<!-- user -->\n", r"write \$\$ for a dollar sign"),
        ("tools.toml", "[search]\nname = 3", r"\[call_subagent\] is missing"),
        ("tools.toml", "[", "is not TOML"),
        ("notices.en.toml", 'no_page = "x"', "'answer_wide' is missing"),
    ],
)
def test_a_broken_profile_is_one_line_that_names_the_file(tmp_path, file, text, problem):
    (tmp_path / file).write_text(text)
    with pytest.raises(BadInput, match=problem) as caught:
        Profile.load(tmp_path)
    assert file in str(caught.value)


def test_an_unknown_profile_names_the_built_in_ones(tmp_path):
    with pytest.raises(BadInput, match="default, nano, wideseek-r1"):
        Profile.load(tmp_path / "nowhere")
