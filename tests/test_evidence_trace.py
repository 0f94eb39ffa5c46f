"""Tracing any table on any pages: it never fails, its shape is the table's, and more pages never take support away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_evidence import page, rollout_that_read
from tests.test_evidence_text import ANY
from tests.work import lines_run
from wideseek.evidence import EvidenceTable, telling_key, trace
from wideseek.evidence.page import Shelf
from wideseek.records import Page
from wideseek.table import Table

COLUMNS = ["Name", "Height", "Opened", "Cast"]
NAMES = ["Alpha", "Beta", "New York", "York", "北京", "US", "", "1990"]
VALUES = ["20 m", "35", "1994-05-03", "1971", "Ann Lee; Bob Ray", "Oslo", "", "–", "3 million", "二十米"]
LINES = st.sampled_from(
    [
        *(
            "| Name | Height | Opened |",
            "|---|---|---|",
            "| Alpha | 20 m | 1971 |",
            "| Beta | 35 m | 3 May 1994 |",
            "||",
        ),
        *("height: 20 m", "- height: 35", "  - opened: 1971", "- Alpha", "Alpha; height: 20 m; opened: 1971", "# Beta"),
        *("Alpha has a height of 20 m.", "Beta is 35 m tall, while Alpha is not.", "Height", "20 m", "", "   "),
        *(
            "北京高20米。",
            "Alpha: 20 m; Beta: 35 m",
            "cast: Ann Lee, Bob Ray",
            "| a | b",
            "|",
            "- ",
            "[",
            "*" * 30,
            " " * 50,
        ),
    ]
)
TEXTS = st.lists(LINES | ANY, max_size=12).map("\n".join)
TITLES = st.sampled_from(["Alpha", "Beta - Wikipedia", "New York", "Towers", "York (England)", "", "北京"]) | ANY
TABLES = st.lists(
    st.tuples(st.sampled_from(NAMES), *[st.sampled_from(VALUES) | st.text(max_size=10)] * 3).map(list), max_size=5
).map(lambda rows: Table(COLUMNS, rows))


@st.composite
def page_lists(draw) -> list[Page]:
    drawn = draw(st.lists(st.tuples(TITLES, TEXTS), max_size=3))
    return [page(text, title, f"https://a.example/{at}") for at, (title, text) in enumerate(drawn)]


def statuses(evidence: EvidenceTable) -> list[list[str]]:
    return [[cell.status for cell in row] for row in evidence]


@given(TABLES, page_lists(), st.sampled_from([["Name"], ["Name", "Opened"], ["Height"], []]))
def test_any_table_is_traced_on_any_pages_and_keeps_its_shape(table, pages, key):
    evidence = trace(table, key, rollout_that_read(*pages))
    assert [len(row) for row in evidence] == [len(row) for row in table.rows]
    for row, cells in zip(evidence, table.rows, strict=True):
        for found, cell in zip(row, cells, strict=True):
            assert (found.status in ("supported", "mentioned")) == (found.quote is not None)
            assert (found.status == "supported") == (found.tie is not None)
            assert found.status != "empty" or not cell.strip("– ") or not any(c.isalnum() for c in cell)


@given(st.lists(st.lists(ANY, min_size=2, max_size=2), max_size=3), ANY, TEXTS)
def test_any_words_in_table_title_and_text_can_be_traced(rows, title, text):
    evidence = trace(Table(["Name", text[:20]], rows), ["Name"], rollout_that_read(page(text, title)))
    assert len(evidence) == len(rows)


@given(TABLES, page_lists(), st.randoms())
def test_the_order_of_the_rows_changes_no_evidence(table, pages, random):
    order = list(range(len(table.rows)))
    random.shuffle(order)
    rollout = rollout_that_read(*pages)
    straight = trace(table, ["Name"], rollout)
    shuffled = trace(Table(COLUMNS, [table.rows[at] for at in order]), ["Name"], rollout)
    assert shuffled == [straight[at] for at in order]


@given(TABLES, page_lists())
def test_pages_that_were_prepared_before_change_no_evidence(table, pages):
    shelf = Shelf()
    for one in pages:
        shelf.prepare(one)
    rollout = rollout_that_read(*pages)
    assert trace(table, ["Name"], rollout, shelf) == trace(table, ["Name"], rollout)
    assert trace(table, ["Name"], rollout, shelf) == trace(table, ["Name"], rollout)


@given(
    TABLES,
    page_lists(),
    st.sampled_from(["", "Nothing of this kind.", "depth: 9 m\n\n- a\n- b", "| x | y |\n|---|---|"]),
)
def test_a_page_about_something_else_takes_no_support_away(table, pages, text):
    other = page(text, "Zeta of Omicron", "https://a.example/other")
    alone = statuses(trace(table, ["Name"], rollout_that_read(*pages)))
    for read in ([*pages, other], [other, *pages]):
        assert statuses(trace(table, ["Name"], rollout_that_read(*read))) == alone


@given(TABLES, page_lists(), page_lists())
def test_no_cell_without_a_word_is_ever_more_than_empty(table, pages, more):
    rows = [[row[0], "", " – ", "\u200b"] for row in table.rows]
    evidence = trace(Table(COLUMNS, rows), ["Name"], rollout_that_read(*pages))
    assert [row[1:] for row in statuses(evidence)] == [["empty"] * 3] * len(rows)


@pytest.mark.parametrize("text", ["|---|", "| --- | --- |\n|---|---|"])
def test_a_table_that_is_only_a_rule_is_read(text):
    (row,) = trace(Table(["Name", "Height"], [["Alpha", "20 m"]]), ["Name"], rollout_that_read(page(text)))
    assert [cell.status for cell in row] == ["supported", "unsupported"]


# ------------------------------------------------------------------------------------------------------- its cost

SEEDS = ["a", "(", "[", "*", " ", "|", "a|", "- ", ": ", "A. ", "1 ", "1,", "<sup>", "&", "Alpha is ", "Alpha: 20 m; "]
SEEDS += ["| a | b |\n", "- a\n", "a: b\n", "Alpha\n", "Height\n20 m\n", "\n", "; ", "东", "A is 35 m tall. ", "5 May "]
SEEDS += [
    "一",
    "1994-05-03 ",
]


def work_of(seed: str, times: int, title: str) -> int:
    """The lines that a table of one row costs on a page of one line (or list) of `times` seeds."""
    crafted = page(f"{seed * times}\nAlpha has a height of 35 m.", title)
    table = Table(["Name", "Height"], [["Alpha", "35"]])
    return lines_run(lambda: trace(table, ["Name"], rollout_that_read(crafted)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_entitys_own_page_four_times_as_long_is_four_times_as_much_work(seed):
    assert work_of(seed, 800, "Alpha") <= 6 * work_of(seed, 200, "Alpha")


@pytest.mark.parametrize("seed", [getattr(seed, "values", (seed,))[0] for seed in SEEDS])
def test_another_page_four_times_as_long_is_four_times_as_much_work(seed):
    assert work_of(seed, 800, "Towers") <= 6 * work_of(seed, 200, "Towers")


TOWNS = """| Name | State | Population | Founded |
|---|---|---|---|
| Springfield | Ohio | 58,662 | 1801 |
| Springfield | Illinois | 114,394 | 1821 |
"""


@pytest.mark.parametrize("left_out", [None, "State"])
def test_a_value_of_another_row_that_shares_the_asked_for_key_is_not_supported(left_out):
    read = rollout_that_read(page(TOWNS, "Towns", "https://a.example/towns"))

    def founded(text: str) -> list[str]:
        said = Table.from_markdown(text)
        kept = [at for at, name in enumerate(said.columns) if name != left_out]
        table = Table([said.columns[at] for at in kept], [[row[at] for at in kept] for row in said.rows])
        return [row[-1].status for row in trace(table, telling_key(table, ["Name"]), read)]

    assert left_out or founded(TOWNS) == ["supported", "supported"]  # without a state only numbers tell them apart
    swapped = TOWNS.replace("1801", "x").replace("1821", "1801").replace("x", "1821")
    assert "supported" not in founded(swapped)


def test_a_key_that_tells_the_rows_apart_stays_as_it_was_asked_for():
    table = Table(["Year", "Name"], [["1801", "A"], ["1821", "B"]])
    assert telling_key(table, ["Year"]) == ["Year"]
    assert telling_key(table, []) == ["Name"]
