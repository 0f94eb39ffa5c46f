"""Whether a question was within reach: told from what was searched, found and read, never from the question alone."""

from __future__ import annotations

from wideseek.reach import out_of_reach
from wideseek.records import Page, Rollout, Task

from .helpers import MemorySource, delegate, script, team

QUESTION = "Which lighthouses of Denmark are there? Give height for each."


async def rollout(question: str, query: str, url: str = "https://pocket.example/lighthouses-of-denmark") -> Rollout:
    sub = script([("search", {"query": query})], [("access", {"url": url})], "#1 Bovbjerg")
    lead = script(delegate(f"list {query}"), "done")
    return await team(lead, sub, MemorySource()).solve(Task(question=question))


async def test_a_question_whose_words_were_found_on_the_page_that_was_read_is_within_reach():
    assert out_of_reach(await rollout(QUESTION, "lighthouses of Denmark"), 1.0) is None


async def test_a_slip_in_a_long_query_is_forgiven():
    run = await rollout(
        "List the lighthouses of Denmark collected here with height", "lighthouses of Denmark collected her"
    )
    assert out_of_reach(run, 1.0) is None


async def test_a_page_about_something_else_is_told_with_the_words_that_it_lacks():
    run = await rollout("Which moons of Jupiter are there? Give mass.", "moons of Jupiter")
    assert out_of_reach(run, 1.0) == "no page was found about jupiter, moon"


async def test_a_page_that_only_shares_a_word_with_the_question_is_told_by_its_title():
    page = Page(
        "https://pocket.example/jupiter-ascending", "Jupiter Ascending", "Jupiter Ascending is a film.\nyear: 2015"
    )
    sub = script([("search", {"query": "Jupiter"})], [("access", {"url": page.url})], "2015")
    source = MemorySource([page])
    run = await team(script(delegate("get Jupiter"), "done"), sub, source).solve(Task(question="The moons of Jupiter?"))
    assert out_of_reach(run, 1.0) == "what was found is about something else (Jupiter Ascending)"


async def test_one_agent_alone_is_held_to_what_it_searched_for_first():
    alone = script(
        [("search", {"query": "lighthouses of Denmark"})],
        [("access", {"url": "https://pocket.example/lighthouses-of-denmark"})],
        [("search", {"query": "Bovbjerg"}), ("search", {"query": "Hanstholm"})],
        "done",
    )
    run = await team(alone, "", MemorySource()).solve(Task(question=QUESTION), workflow="single")
    assert out_of_reach(run, 1.0) is None


async def test_a_search_for_what_was_not_asked_is_told():
    run = await rollout("What is love?", "lighthouses of Denmark")
    assert "not understood" in (out_of_reach(run, 1.0) or "")


async def test_an_answer_that_stands_on_no_page_is_told():
    run = await rollout(QUESTION, "lighthouses of Denmark")
    assert "only 20%" in (out_of_reach(run, 0.2) or "")
    assert out_of_reach(run, None) == "no answer came of it"


async def test_who_searched_for_nothing_knows_nothing():
    run = await team("I just know", "done").solve(Task(question=QUESTION))
    assert out_of_reach(run, None) == "nothing was searched for"
