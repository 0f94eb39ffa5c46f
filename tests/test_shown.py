"""What an agent was shown it can open: every address that `search` prints, however it is written, and no part of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import MemorySource, Model, replies, script, team
from wideseek.records import Page, Task
from wideseek.roles import Profile
from wideseek.tools.shown import stands_whole, surroundings

TASK = Task(question="Which bridges are there?")
ADDRESSES = [
    "https://a.example/wiki/Bridge_(road)",
    "https://a.example/wiki/(road",
    "https://a.example/wiki/road)",
    "https://a.example/list[1]",
    "https://a.example/{id}/*",
    'https://a.example/"The_Span"',
    "https://a.example/O'Hara's",
    "https://a.example/a`b",
    "https://a.example/Mostar,_Old_Town.",
    "https://a.example/Is_it_open?",
    "https://a.example/stop!",
    "https://a.example/a;b:c",
    "https://a.example/q?x=a|b&y=<c>",
    "https://a.example/page#Part_2.1",
    "https://a.example/%E6%A1%A5%20",
    "HTTPS://A.Example/Path",
    "https://a.example/with a space",
    "https://zh.example/桥（消歧义）",
    "https://zh.example/《长桥》、短桥。",
    "https://de.example/Brücke–Fluß…",
    "https://a.example/🌉",
    "https://proxy.example/?u=https://b.example/x",
    "[name](https://a.example/x)",
    "<https://a.example/x>",
    "**x**",
    "_x_",
    "(x)",
    "page-17",
    "17",
    "file:///data/bridges of 1900.txt",
    "C:\\pages\\bridges.txt",
    "lab:2601.01234",
    "mailto:a@b.example",
    "   with spaces around  ",
    "in two\nlines",
    "。",
    "…",
    "$url",
]


async def opened(address: str, profile: str = "default") -> list[str]:
    """The addresses of the pages that an agent read which searched and then asked for `address`."""
    source = MemorySource([Page(address, "Bridge", "A bridge."), Page("https://other.example/", "Other", "Nothing.")])
    agent = script([("search", {"query": "Bridge", "count": 1})], [("access", {"url": address})], "done")
    rollout = await team(Model(agent), source=source, profile=Profile.load(profile)).solve(TASK, workflow="single")
    assert address in replies(rollout.lead)[0]
    return rollout.lead.read


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("profile", ["default", "nano"])
async def test_every_address_that_search_prints_can_be_opened(address, profile):
    assert await opened(address, profile) == [address]


@given(address=st.text(min_size=1).filter(str.strip), number=st.integers(1, 9))
def test_any_text_on_a_line_of_its_own_is_an_address_that_was_shown(address, number):
    assert stands_whole(address, f"{number}. Title\n   {address}\n   a snippet")


BALANCED = [address for address in ADDRESSES if "://" in address and address.count("(") == address.count(")")]


@pytest.mark.parametrize("address", BALANCED)
@pytest.mark.parametrize(
    "form", ["read {} now", "read {}.", "({})", "<{}>", '"{}"', "**{}**", "[{0}]({0})", "见：{}。"]
)
def test_an_address_in_a_sentence_was_shown(address, form):
    assert stands_whole(address, form.format(address))


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ("https://a.example/Mostar,_Old_Town", "https://a.example/Mostar"),
        ("https://a.example/O'Hara", "https://a.example/O"),
        ("https://a.example/Bridge_(road)", "https://a.example/Bridge_(road"),
        ("https://a.example/list[1]", "https://a.example/list[1"),
        ("https://a.example/x?y=1", "https://a.example/x"),
        ("https://a.example/x#y", "https://a.example/x"),
        ("https://a.example/x/", "https://a.example/x"),
        ("https://a.example.org/", "https://a.example"),
        ("https://proxy.example/?u=https://b.example/x", "https://b.example/x"),
        ("https://proxy.example/(https://b.example/x)", "https://b.example/x"),
        ("https://web.example/2020/https://b.example/x", "https://b.example/x"),
        ("page-17", "17"),
        ("page-17", "page-1"),
        ("page-17", "page"),
        ("file:///data/notes.txt", "/data/notes.txt"),
        ("the", "e"),
        ("a b", " "),
        ("", ""),
    ],
)
def test_a_part_of_an_address_was_not_shown(told, url):
    for text in (told, f"1. Title\n   {told}\n   snippet", f"read {told}, please"):
        assert not stands_whole(url, text)


@pytest.mark.parametrize("url", ["https://a", "a", ".", ").", "(", "aa", "x" * 100, "https://a)."])
@pytest.mark.parametrize(
    "piece", ["https://a", ").", ").)", "(", "a", "[https://a](", "https://a).", "x" * 99 + "y", " ", "。", "://"]
)
@pytest.mark.parametrize("times", [1_000, 10_000])
def test_what_is_looked_at_grows_in_proportion_to_the_text_on_crafted_pages(url, piece, times):
    text = "https://a" + piece * times
    looked_at = sum(len(before) + len(after) for before, after in surroundings(url, text))
    assert looked_at <= 4 * len(text)


@given(url=st.text("ab(. ", min_size=1), text=st.text("ab(. "))
def test_what_stands_around_the_occurrences_is_at_most_four_times_the_text(url, text):
    assert sum(len(before) + len(after) for before, after in surroundings(url, text)) <= 4 * len(text)
