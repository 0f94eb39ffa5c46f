"""The grammar reads every question of the pocket world, and what people would write instead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wideseek.assets import world_tasks
from wideseek.policy.grammar import MAX_QUESTION, Filter, Request, parse_question
from wideseek.records import Task


def meant(task: Task) -> Request:
    """The request that a pocket-world task was made from."""
    meta = task.meta
    extreme = meta.get("extreme")
    return Request(
        kind=task.kind or "wide",
        phrase=meta["phrase"],
        columns=meta["columns"],
        filter=Filter(**meta["filter"]) if meta["filter"] else None,
        extreme=(extreme["column"], extreme["end"]) if extreme else None,
        member=meta.get("member", ""),
    )


def without_phrase_of_a_named_member(request: Request | None) -> Request | None:
    """A question about a named member may leave its list out."""
    if request and request.member:
        return Request(request.kind, "", request.columns, request.filter, request.extreme, request.member)
    return request


def test_every_question_of_the_pocket_world_is_read_as_it_was_meant() -> None:
    for task in world_tasks():
        read = without_phrase_of_a_named_member(parse_question(task.question))
        assert read == without_phrase_of_a_named_member(meant(task)), task.question


@pytest.mark.parametrize(
    ("question", "phrase", "columns"),
    [
        (
            "Give me all chemical elements of group 18, with symbol and atomic mass, please",
            "chemical elements of group 18",
            ["symbol", "atomic mass"],
        ),
        ("WHAT ARE THE LIGHTHOUSES OF DENMARK? COLUMNS: NAME, HEIGHT", "LIGHTHOUSES OF DENMARK", ["height"]),
        (
            "list the lighthouses of Denmark. Columns: Name, City, Year. Thanks",
            "lighthouses of Denmark",
            ["city", "year"],
        ),
        ("lighthouses of denmark with height and year", "lighthouses of denmark", ["height", "year"]),
        ("Provinces of Zambia: capital, area", "Provinces of Zambia", ["capital", "area"]),
        (
            "Hi, could you please make me a table of all the provinces of Zambia with their capital? Thanks a lot!",
            "provinces of Zambia",
            ["capital"],
        ),
        ("Which airports are there in Chad? Please add the ICAO code.", "airports in Chad", ["icao code"]),
        (
            "For every lighthouse in Denmark, tell me the height and the year",
            "lighthouse in Denmark",
            ["height", "year"],
        ),
        ("Table of elements of group 18 (columns: symbol, mass)", "elements of group 18", ["symbol", "mass"]),
        (
            "I'd like a list of universities in Pakistan, including city and year founded.",
            "universities in Pakistan",
            ["city", "year founded"],
        ),
        (
            "Compile the full list for the national parks of Greece. Each row is one park; add the area and year.",
            "national parks of Greece",
            ["area", "year"],
        ),
    ],
)
def test_ordinary_wordings_of_a_list_are_read(question: str, phrase: str, columns: list[str]) -> None:
    assert parse_question(question) == Request("wide", phrase, columns)


@pytest.mark.parametrize(
    ("words", "test"),
    [
        ("whose county is Fyn", Filter("county", "is", "Fyn")),
        ("with a height above 30 m", Filter("height", "above", "30 m")),
        ("where the height is less than 1,200", Filter("height", "below", "1,200")),
        ("with more than 3 keepers", Filter("keepers", "above", "3")),
        ("for which the year is after 1900", Filter("year", "above", "1900")),
        ("limited to those whose year is earlier than 1900", Filter("year", "below", "1900")),
    ],
)
def test_tests_are_cut_out_of_a_wide_question(words: str, test: Filter) -> None:
    assert parse_question(f"List all lighthouses of Denmark {words}, with their city.") == Request(
        "wide", "lighthouses of Denmark", ["city"], test
    )


@pytest.mark.parametrize(
    ("question", "request_"),
    [
        ("What is the height of Eiffel Tower?", Request("deep", "", ["height"], member="Eiffel Tower")),
        ("Which height does Dueodde have?", Request("deep", "", ["height"], member="Dueodde")),
        (
            "Which of the provinces of Zambia has the largest area?",
            Request("deep", "provinces of Zambia", extreme=("area", "highest")),
        ),
        (
            "Who has the lowest goals among the top scorers of the 2013 Cup?",
            Request("deep", "top scorers of the 2013 Cup", extreme=("goals", "lowest")),
        ),
        (
            "What is the capital of the province among the provinces of Zambia whose area is 9 km²?",
            Request("deep", "provinces of Zambia", ["capital"], Filter("area", "is", "9 km²")),
        ),
    ],
)
def test_short_questions_are_read_as_one_answer(question: str, request_: Request) -> None:
    assert parse_question(question) == request_


@pytest.mark.parametrize("question", ["", "   ", "thanks", "?", "!!!", "Hello!"])
def test_what_is_no_question_gives_nothing(question: str) -> None:
    assert parse_question(question) is None


def test_a_filter_compares_numbers_with_separators_and_units() -> None:
    assert Filter("height", "above", "1,000 m").holds("1,200 m")
    assert not Filter("height", "below", "1,000 m").holds("1,200 m")
    assert not Filter("height", "above", "30").holds("unknown")
    assert Filter("city", "is", "København").holds("københavn")


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_survived(text: str) -> None:
    assert parse_question(text) is None or isinstance(parse_question(text), Request)


WORDS = st.sampled_from(
    ["which", "of", "the", "all", "each", "whose", "is", "with", "their", "columns", ":", ",", ".", "?", "and", "one"]
)


@given(st.lists(WORDS, max_size=60).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_heap_of_the_grammars_own_words_is_survived(text: str) -> None:
    parse_question(text)


@pytest.mark.parametrize(
    "piece", ["whose a is ", "of each of the ", "the one of the ", ", and ", "a ", "( columns : ", "."]
)
def test_of_a_question_of_a_hundred_thousand_characters_the_beginning_is_read(piece: str) -> None:
    question = piece * (100_000 // len(piece))
    assert parse_question(question) == parse_question(question[:MAX_QUESTION])
