"""Whether a question was within reach: told from what was searched, found and read, never from the question alone."""

from __future__ import annotations

from typing import Any

import pytest

import wideseek
from wideseek.assets import world_pages, world_tasks
from wideseek.reach import left_out, nearest_questions, out_of_reach
from wideseek.records import Page, Rollout, Task, Trajectory, read_jsonl

from .helpers import HOST, LIGHTHOUSES, MemorySource, delegate, lighthouse_pages, script, team

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


# ------------------------------------------------------------------------- a table that was shown, beside the question


async def shown(
    question: str, *rows: str, columns: str = "height", subject: str = "lighthouses of Denmark"
) -> str | None:
    """Why a table of `columns` is refused whose lead had the list found and then every lighthouse looked up."""
    return out_of_reach(await table_of(question, *rows, columns=columns, subject=subject), 1.0)


async def table_of(
    question: str, *rows: str, columns: str = "height", subject: str = "lighthouses of Denmark"
) -> Rollout:
    header = f"| name | {columns} |\n|{'---|' * (columns.count('|') + 2)}\n"
    lead = script(
        delegate(f"list {subject}"),
        delegate(*(f"get #{number} {name} | {columns}" for number, name in enumerate(LIGHTHOUSES, 1))),
        f"```markdown\n{header}{chr(10).join(rows)}\n```",
    )
    return await team(lead, _reads_its_page, MemorySource()).solve(Task(question=question))


def _reads_its_page(run: Trajectory) -> Any:
    name = next((name for name in LIGHTHOUSES if name in run.prompt), "")
    query = name or run.prompt.removeprefix("list ")
    url = f"{HOST}/{name.lower() or 'lighthouses-of-denmark'}"
    return script([("search", {"query": query})], [("access", {"url": url})], "done")(run)


HEIGHTS = ("| Bovbjerg | 26 m |", "| Hanstholm | 23 m |", "| Dueodde | 47 m |")


@pytest.mark.parametrize(
    "question",
    [
        "List all lighthouses of Denmark with their height.",
        "Hello! Could you give me an overview of the lighthouses of Denmark, including the height of each? Thanks!",
        "lighthouses of Denmark: height",
        "Show me the heights for all lighthouses in Denmark.",
    ],
)
async def test_a_table_of_what_was_asked_is_within_reach(question: str):
    assert await shown(question, *HEIGHTS) is None


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("List all lighthouses of Denmark and Sweden with their height.", "Sweden"),
        ("List all lighthouses of Denmark except Bovbjerg with their height.", "except, Bovbjerg"),
        ("List the sorted lighthouses of Denmark with their height.", "sorted"),
        ("List all lighthouses of Denmark, past and present, with their height.", "past, present"),
        ("List the 2 largest lighthouses of Denmark with their height.", "2, largest"),
        ("List all lighthouses of Denmark not on an island with their height.", "not, island"),
        ("How many lighthouses of Denmark are there? Give their height.", "How, many"),
    ],
)
async def test_words_that_nothing_accounts_for_are_told(question: str, left: str):
    assert await shown(question, *HEIGHTS) == f"nothing accounts for these words of the question: {left}"


@pytest.mark.parametrize("column", ["height in km2", "height sorted by year", "height without year", "present height"])
async def test_a_column_with_more_words_than_a_label_is_told(column: str):
    why = await shown(f"List all lighthouses of Denmark with their {column}.", *HEIGHTS)
    assert why == f"no page that was read has a line called {column}"


async def test_a_column_that_no_page_has_is_told():
    question = "List all lighthouses of Denmark with their keeper."
    assert await shown(question, *HEIGHTS, columns="keeper") == "no page that was read has a line called keeper"


async def test_a_column_of_the_question_that_the_table_lacks_is_told():
    question = "List all lighthouses of Denmark with their height and keeper."
    assert await shown(question, *HEIGHTS) == "no page that was read has a line called keeper"
    question = "List all lighthouses of Denmark with their height and year."
    assert await shown(question, *HEIGHTS) == "nothing accounts for these words of the question: year"


async def test_a_column_that_was_not_asked_for_is_told():
    rows = ("| Bovbjerg | 26 m | 1877 |",)
    question = "List all lighthouses of Denmark with their height."
    assert await shown(question, *rows, columns="height | year") == "year was not asked for"


async def test_a_row_that_fails_the_question_s_test_is_told():
    question = "List all lighthouses of Denmark whose year is above 1850, with their height."
    assert await shown(question, HEIGHTS[0], HEIGHTS[2]) is None
    assert await shown(question, *HEIGHTS) == "these rows do not pass the test of the question (year): Hanstholm"


@pytest.mark.parametrize("bound", ["2 million", "10 and below 30", "0.02 km"])
async def test_a_bound_in_other_words_than_the_pages_is_not_compared(bound: str):
    question = f"List all lighthouses of Denmark whose height is above {bound}, with their year."
    assert "cannot be compared" in (await shown(question, HEIGHTS[0], columns="year") or "")


async def test_scraps_of_a_call_in_a_cell_are_told():
    question = "List all lighthouses of Denmark with their height."
    assert 'scraps of a call (26 m"]}})' in (await shown(question, '| Bovbjerg | 26 m"]}} |') or "")


async def test_rows_of_another_list_are_told():
    question = "List all lighthouses of Denmark with their height."
    assert "not on the list" in (await shown(question, "| Skagen | 46 m |", "| Bornholm | 20 m |") or "")


# ---------------------------------------------------------------------------------------- short answers, missing rows


async def short(question: str, answer: str, *names: str) -> str | None:
    """Why the short answer is refused of a lead that had the lighthouses of these names, else all, looked up."""
    lead = script(
        delegate("list lighthouses of Denmark"),
        delegate(*(f"get {name}" for name in names or LIGHTHOUSES)),
        f"\\boxed{{{answer}}}",
    )
    run = await team(lead, _reads_its_page, MemorySource()).solve(Task(question=question))
    return out_of_reach(run, 0.0)


HIGHEST = "Which of the lighthouses of Denmark has the highest height?"


async def test_a_short_answer_is_that_of_the_page_which_the_question_picks_out():
    assert await short(HIGHEST, "Dueodde") is None
    assert "do not give Hanstholm as the name" in (await short(HIGHEST, "Hanstholm") or "")
    picked = "What is the year of the one of the lighthouses of Denmark whose height is 26 m?"
    assert await short(picked, "1877") is None
    assert "do not give 1843 as the year" in (await short(picked, "1843") or "")


async def test_a_superlative_needs_every_member_of_the_list():
    assert "2 of the 3 members" in (await short(HIGHEST, "Dueodde", "Dueodde") or "")


def test_a_short_answer_is_mentioned_where_a_page_has_it():
    result = wideseek.ask("What is the population of Richmond?", model="expert")
    assert (result.status, result.table.columns, result.levels.mentioned) == ("complete", ["answer"], 1)
    assert result.table.rows[0][0] in (result.evidence[0][0].quote or "")


async def test_members_without_a_row_are_told_unless_the_test_rules_them_out():
    every = "List all lighthouses of Denmark with their height."
    tested = "List all lighthouses of Denmark whose year is above 1850, with their height."
    assert left_out(await table_of(every, *HEIGHTS)) == []
    assert left_out(await table_of(every, HEIGHTS[0])) == ["Hanstholm", "Dueodde"]
    assert left_out(await table_of(tested, HEIGHTS[0])) == ["Dueodde"]
    assert left_out(await table_of(tested, HEIGHTS[0], HEIGHTS[2])) == []


# ------------------------------------------------------------------------------------------------------ what is offered


def test_the_nearest_lists_are_offered_as_questions_with_their_own_columns():
    assert nearest_questions("lighthuoses in Denmark by heigth", lighthouse_pages()) == [
        "List all Lighthouses of Denmark with their height and year."
    ]


@pytest.mark.parametrize(
    ("question", "offered"),
    [
        ("Castles in Syria", "castles in Syria in Hama"),
        ("airports of Niger and their ICAO codes", "airports in Niger with their icao"),
        ("List all chemcial elments of group 18", "chemical elements of group 18"),
        ("South Africa's administrative divisions: capital", "administrative divisions of South Africa"),
        ("South African provinces", "administrative divisions of South Africa"),
        ("noble gases with symbols", "chemical elements of group 1 with their symbol"),
        ("Liste alle chemischen Elemente der Gruppe 18 auf", "chemical elements of group 18"),
    ],
)
def test_the_list_that_was_meant_is_offered_first(question: str, offered: str):
    assert offered in nearest_questions(question, read_jsonl(world_pages(), Page))[0]


@pytest.mark.parametrize("question", ["noble gases with symbols", "Castles in Syria", "South African provinces"])
def test_a_question_that_is_offered_is_answered(question: str):
    for offered in nearest_questions(question, read_jsonl(world_pages(), Page)):
        assert wideseek.ask(offered, model="expert").status == "complete"


@pytest.mark.parametrize("question", ["noble gases", "What is 2000 + 18?", "List everything with its population."])
def test_a_list_without_a_relation_to_the_question_is_not_offered(question: str):
    assert nearest_questions(question, read_jsonl(world_pages(), Page)) == []


def test_a_refusal_without_an_offer_says_how_to_see_what_can_be_asked():
    result = wideseek.ask("noble gases", model="expert")
    assert "No list on these pages is near to the question" in result.reason
    assert "wideseek tasks pocket" in result.reason


@pytest.mark.parametrize("question", ["", "?", '}]}"] | {', "\u0000", "里有哪些机场"])
def test_text_without_a_known_word_is_offered_nothing(question: str):
    assert nearest_questions(question, lighthouse_pages()) == []


@pytest.mark.parametrize(
    "question", ["Castles in Syria", "List all chemical elements of group 18 with their boiling point."]
)
def test_the_expert_refuses_with_one_paragraph_that_names_what_can_be_asked(question: str):
    result = wideseek.ask(question, model="expert")
    assert (result.status, result.rows) == ("failed", [])
    assert "Nearest questions that can be asked: List all " in result.reason
    assert "\n" not in result.reason


def test_the_words_of_every_template_are_accounted_for():
    """No task of a split that nothing was tuned on is refused: one of each template."""
    of_template = {task.meta["template"]: task for task in world_tasks("dev")}
    assert len(of_template) > 40
    for task in of_template.values():
        result = wideseek.ask(task.question, model="expert")
        assert result.status == "complete", result.reason
