"""Tool calls as text: what models write is read, whatever it is."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.policy.base import ToolSchema
from wideseek.policy.calls import read_arguments, read_calls, render_call, render_reply, render_tools, split_reasoning
from wideseek.records import ToolCall

SEARCH = ToolSchema("search", "Find pages – fast.", {"type": "object", "properties": {"query": {"type": "string"}}})


def problem(text: str) -> str:
    """What is wrong with the only call of `text`."""
    _, calls = read_calls(text)
    assert len(calls) == 1
    return calls[0].malformed or ""


# ---------------------------------------------------------------------------------------------------------- calls


def test_several_calls_in_one_turn_are_read_in_order_and_leave_the_text():
    text, calls = read_calls(
        'I look.\n<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>\n'
        '<tool_call>{"name": "access", "arguments": {"url": "u"}}</tool_call> Done.'
    )
    assert [(c.name, c.arguments) for c in calls] == [("search", {"query": "a"}), ("access", {"url": "u"})]
    assert text.split() == ["I", "look.", "Done."]


def test_text_without_calls_is_left_as_it_is():
    assert read_calls("Just an answer.") == ("Just an answer.", [])


def test_arguments_may_be_given_as_a_json_string():
    _, [call] = read_calls('<tool_call>{"name": "search", "arguments": "{\\"query\\": \\"a\\"}"}</tool_call>')
    assert call.arguments == {"query": "a"}
    assert call.malformed is None


@pytest.mark.parametrize("arguments", ["", ', "arguments": null', ', "arguments": ""', ', "arguments": {}'])
def test_a_call_without_arguments_has_none(arguments):
    _, [call] = read_calls(f'<tool_call>{{"name": "list"{arguments}}}</tool_call>')
    assert (call.arguments, call.malformed) == ({}, None)


def test_ids_are_stable_and_name_turn_and_call():
    text = '<tool_call>{"name": "a"}</tool_call><tool_call>{"name": "b"}</tool_call>'
    assert [c.id for c in read_calls(text, turn=3)[1]] == ["call03000", "call03001"]


def test_a_closing_tag_inside_an_argument_does_not_end_the_call():
    query = "what does </tool_call> mean in <tool_call>?"
    text, [call] = read_calls(render_call(ToolCall("", "search", {"query": query})) + "x")
    assert call.arguments == {"query": query}
    assert text == "x"


def test_line_breaks_inside_a_string_are_let_pass():
    _, [call] = read_calls('<tool_call>{"name": "a", "arguments": {"q": "one\ntwo"}}</tool_call>')
    assert call.arguments == {"q": "one\ntwo"}


def test_a_malformed_call_says_what_is_wrong_and_where():
    said = problem('<tool_call>\n{"name": "search", "arguments": {"query": "a",}}\n</tool_call>')
    assert said.startswith("not JSON: ")
    assert '"query": "a", >>> }' in said or '"query": "a" >>> ,}' in said


def test_a_malformed_call_keeps_its_name_and_the_calls_after_it():
    _, calls = read_calls('<tool_call>{"name": "search", oops</tool_call><tool_call>{"name": "access"}</tool_call>')
    assert [(c.name, c.malformed is None) for c in calls] == [("search", False), ("access", True)]


def test_an_unclosed_call_at_the_end_is_an_attempt():
    assert problem('Text <tool_call>{"name": "search", "arguments": {"query": "a"}}').startswith("<tool_call> is not")
    assert problem('<tool_call>{"name": "search", "argum').startswith("not JSON: ")
    assert problem("<tool_call>").endswith(">>> the end")


def test_an_unclosed_call_does_not_swallow_the_next_one():
    _, calls = read_calls('<tool_call>{"name": "a"}\n<tool_call>{"name": "b"}</tool_call>')
    assert [(c.name, c.malformed is None) for c in calls] == [("a", False), ("b", True)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[1]", "not a list"),
        ('{"arguments": {}}', '"name" is missing'),
        ('{"name": 3}', '"name" is missing'),
        ('{"name": "a", "arguments": [1]}', "arguments have to be a JSON object, not a list"),
        ('{"name": "a", "arguments": "[1"}', "not JSON"),
        ('{"name": "a", "arguments": "{} {}"}', "go on after"),
        ('{"name": "a", "arguments": {"n": NaN}}', "NaN is not a JSON number"),
        ('{"name": "a", "arguments": {"n": "\\ud800"}}', "what JSON cannot carry"),
        ('{"name": "a"} {"name": "b"}', "is expected after the JSON object"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
    ],
)
def test_what_is_no_call_is_told(body, said):
    assert said in problem(f"<tool_call>{body}</tool_call>")


@given(st.text())
def test_arbitrary_text_can_be_read_and_kept(text):
    rest, calls = read_calls(text)
    assert rest in text
    msgspec.json.encode([call.malformed for call in calls])


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["<tool_call>", "</tool_call>", "<think>", "</think>", '{"name": "a"', "}", '"', "\\", " "]
            ),
            st.sampled_from(['{"name": "search", "arguments": {"q": "\\ud83d"}}', "[", "1e999", "\n", "\u2028"]),
            st.text(max_size=5),
        )
    ).map("".join)
)
def test_fragments_of_calls_can_be_read_and_kept_in_the_journal(text):
    reasoning, spoken = split_reasoning(text)
    _, calls = read_calls(spoken)
    kept = msgspec.json.decode(msgspec.json.encode(calls), type=list[ToolCall])
    assert kept == calls
    assert len({call.id for call in calls}) == len(calls)
    assert all(call.name or call.malformed for call in calls)
    assert all("\n" not in (call.malformed or "") for call in calls)
    assert len(reasoning) + len(spoken) <= len(text)


plain = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(plain, json_values, max_size=3), max_size=3))
def test_rendered_calls_are_read_back(all_arguments):
    written = [ToolCall(f"call00{i:03d}", "search", arguments) for i, arguments in enumerate(all_arguments)]
    text, calls = read_calls("\n".join(["Let me see.", *map(render_call, written)]))
    assert calls == written
    assert text == "Let me see."


@given(json_values)
def test_native_arguments_are_read_or_refused_with_a_reason(value):
    try:
        assert read_arguments(json.dumps(value)) == (value or {})
    except ValueError as error:
        assert not isinstance(value, dict)
        assert str(error)  # noqa: PT017


# ------------------------------------------------------------------------------------------------------ reasoning


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "hm", "Yes."),
        ("hm\n</think>\n\nYes.", "hm", "Yes."),
        ("<think>\nhm and", "hm and", ""),
        ("<think></think>Yes.", "", "Yes."),
        ("Yes.", "", "Yes."),
        ("Well. <think>hm</think> Yes.", "hm", "Well.  Yes."),
        ("The tag <think> starts it.", "", "The tag <think> starts it."),
    ],
)
def test_reasoning_is_kept_apart(text, reasoning, rest):
    assert split_reasoning(text) == (reasoning, rest)


def test_calls_inside_reasoning_are_not_calls():
    call = '<tool_call>{"name": "search"}</tool_call>'
    _, spoken = split_reasoning(f"<think>I could {call}</think>No.")
    assert read_calls(spoken) == ("No.", [])


# ------------------------------------------------------------------------------------------------------ rendering


def test_tools_are_rendered_in_the_wording_that_models_know():
    block = render_tools([SEARCH])
    assert block.startswith("# Tools\n\nYou may call one or more functions to assist with the user query.")
    line = block.split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(line) == {"type": "function", "function": msgspec.to_builtins(SEARCH)}
    assert "–" in line
    assert block.endswith('<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>')


def test_without_tools_nothing_is_rendered():
    assert render_tools([]) == ""


def test_a_reply_stands_in_its_own_block():
    assert render_reply("3 hits") == "<tool_response>\n3 hits\n</tool_response>"
