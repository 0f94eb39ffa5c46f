"""Which table of a text is its answer, and what is said about the others."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.answer import answer_table, broken_row, final_table, findings_table, read_answer, without_thought
from wideseek.errors import BadInput
from wideseek.records import Completion, Rollout, Task, Trajectory, Turn
from wideseek.table import Table, counts_rows, plain_cell, plain_key, read_tables

HEAD = "| lake | depth |\n|---|---|\n"
ONE, TWO = HEAD + "| Arn | 12 |\n| Bel | 30 |\n", HEAD + "| Cor | 7 |\n"
ALL = Table(["lake", "depth"], [["Arn", "12"], ["Bel", "30"], ["Cor", "7"]])


@pytest.mark.parametrize("between", ["\n### In the south\n\n", "\n(continued)\n\n", "\n```\n```\n"])
def test_tables_with_equal_columns_are_one_table(between):
    table, notes = read_answer(ONE + between + TWO)
    assert table == ALL
    assert notes == ["2 tables with the same columns were joined."]


def test_columns_in_another_order_are_put_in_the_first_tables_order():
    assert final_table(ONE + "\nand\n\n| Depth | Lake |\n|---|---|\n| 7 | Cor |") == ALL


@pytest.mark.parametrize("head", ["", "| | |\n|---|---|\n", "| lake | depth |\n"])
def test_rows_that_go_on_after_prose_without_their_header_are_kept(head):
    assert final_table(f"{ONE}\n(continued)\n\n{head}| Cor | 7 |") == ALL


def test_of_a_draft_and_the_final_table_the_later_row_counts_and_a_note_says_so():
    table, notes = read_answer(ONE + "\nI check once more.\n\n" + HEAD + "| [Bel](https://x.example) | 31 |\n")
    assert table == Table(["lake", "depth"], [["Arn", "12"], ["Bel", "31"]])
    assert notes[1] == "1 row differed between these tables; the later table's cells were kept."


def test_two_groups_that_share_a_few_names_keep_all_rows_and_a_note_names_them():
    head = "| country | gold |\n|---|---|\n"
    table, notes = read_answer(f"2020\n\n{head}| A | 1 |\n| B | 2 |\n| C | 3 |\n\n2021\n\n{head}| A | 9 |\n| D | 4 |\n")
    assert table.rows == [["A", "1"], ["A", "9"], ["B", "2"], ["C", "3"], ["D", "4"]]
    assert notes[1] == "These tables have different rows for A; all of them were kept."


def test_of_two_groups_a_row_that_both_have_stands_once():
    table, notes = read_answer(ONE + "\nand\n\n" + HEAD + "| Bel[1] | 30 |\n| Cor | 7 |\n| Dun | 1 |\n")
    assert [row[0] for row in table.rows] == ["Arn", "Bel", "Cor", "Dun"]
    assert notes == ["2 tables with the same columns were joined."]


def test_of_a_draft_and_a_longer_final_table_the_later_rows_count():
    table, _ = read_answer(ONE + "\nand\n\n" + HEAD + "| Arn | 13 |\n| Bel | 31 |\n| Cor | 7 |\n| Dun | 1 |\n")
    assert [row[1] for row in table.rows] == ["13", "31", "7", "1"]


def reported(*reports: tuple[str, bool]) -> Rollout:
    """A rollout of agents that each said one text, `True` where it was cut off; the first is the lead."""
    runs = [
        Trajectory(role="sub" if number else "lead", path=f"lead/1.{number}" if number else "lead", turns=[
            Turn([], Completion(text=text, truncated="turn_cap" if cut else None))
        ])
        for number, (text, cut) in enumerate(reports)
    ]  # fmt: skip
    return Rollout(task=Task(question="q"), trajectories=runs)


def test_a_cell_that_was_cut_off_gives_way_to_the_whole_one_of_another_report():
    found = findings_table(reported((HEAD + "| Arn | 1 |\n| Bel | 3", True), (ONE, False)))
    assert found.table.rows == [["Arn", "12"], ["Bel", "30"]]


def test_findings_are_merged_by_the_columns_that_name_rows_and_keep_the_readers_notes():
    ranked = "| rank of depth | lake |\n|---|---|\n| 1 | Arn | x |\n| 2 | Bel |"
    found = findings_table(
        reported(("", False), (ranked, False), ("| rank of depth | lake |\n|---|---|\n| 1 | Cor |", False)),
        key_of=lambda table: ["lake"],
    )
    assert [row[1] for row in found.table.rows] == ["Arn | x", "Bel", "Cor"]
    assert found.notes == ["1 row has more cells than there are columns; the last cell holds what was too much."]


def test_a_first_column_that_repeats_names_no_row():
    head = "| country | city |\n|---|---|\n"
    table = final_table(f"{head}| A | x |\n| A | y |\n\nand\n\n{head}| A | z |\n| A | x |\n")
    assert [row[1] for row in table.rows] == ["x", "y", "z"]


@pytest.mark.parametrize(
    "about", ["| # | url |\n|---|---|\n| 1 | https://a.example |", "| 项目 | 备注 |\n|---|---|\n| a | b |"]
)
def test_a_table_of_notes_or_sources_is_not_the_answer_and_is_named(about):
    table, notes = read_answer(ONE + "\n**More**\n\n" + about)
    assert len(table.rows) == 2
    assert "1 other table with the columns" in notes[-1]
    assert "left aside" in notes[-1]


def test_the_table_with_the_wanted_columns_wins():
    text = ONE + "\nand\n\n| river | length |\n|---|---|\n| Q | 1 |\n| R | 2 |"
    assert final_table(text).columns == ["river", "length"]
    assert final_table(text, ["lake", "depth"]).columns == ["lake", "depth"]


@pytest.mark.parametrize("name", ["#", "No.", "№", "Nr", "序号", "编号", ""])
def test_a_column_that_numbers_the_rows_is_no_data_unless_it_is_wanted(name):
    text = f"| {name} | lake |\n|---|---|\n| 1 | Arn |\n| 2 | Bel |"
    assert final_table(text).columns == ["lake"]
    if name:
        assert final_table(text, [name, "lake"]).columns == [name, "lake"]


def test_a_rank_stays_where_it_was_asked_for():
    text = "| Rank | lake |\n|---|---|\n| 1 | Arn |\n| 2 | Bel |"
    assert read_answer(text, question="Rank the lakes by depth.").table.columns == ["Rank", "lake"]
    assert read_answer(text, question="Which lakes are there?").table.columns == ["lake"]
    assert final_table(text.replace("| 2 |", "| 5 |")).columns == ["Rank", "lake"]


def test_what_was_thought_is_not_the_answer():
    assert final_table(f"<think>{TWO}</think>\n{ONE}").rows == ALL.rows[:2]
    assert final_table(f"{TWO}</think>\n{ONE}").rows == ALL.rows[:2]
    assert final_table(f"{ONE}\n<think>\n{TWO}").rows == ALL.rows[:2]
    assert without_thought("| <think> | a tag |") == "| <think> | a tag |"


def test_shown_cells_have_no_markup_and_scored_cells_are_as_written():
    text = "| lake | url |\n|---|---|\n| [Arn](https://a.example)[1] | [page](https://b.example) |"
    assert final_table(text).rows == [["Arn", "https://b.example"]]
    assert answer_table(text).table.rows == [["[Arn](https://a.example)[1]", "[page](https://b.example)"]]


@pytest.mark.parametrize("said", ["**Alpha**", "__Alpha__", "`Alpha`", "Alpha¹", "Alpha[1]", "1. Alpha", "🇫🇷 Alpha",
                                  "\u200eAlpha\u200e", "Alpha<sup>1</sup>", "[Alpha](https://x.example)", "Alpha ✅"])  # fmt: skip
def test_a_decorated_key_is_the_bare_one(said):
    assert plain_key(said) == "Alpha"


@pytest.mark.parametrize(("said", "shown"), [
    ("61 m¹", "61 m"), ("84 m [note 2]", "84 m"), ("<b>Arn</b>", "Arn"), ("[[Arn (lake)|Arn]]", "Arn"), ("Arn†", "Arn"),
    ("\u2068Arn\u2069", "Arn"), ("🇫🇷 Arn¹", "🇫🇷 Arn"), ("می\u200cخواهم", "می\u200cخواهم"), ("10<sup>5</sup>", "10^5"),
])  # fmt: skip
def test_a_shown_cell_loses_its_marks_and_keeps_its_pictures(said, shown):
    assert plain_cell(said) == shown


@pytest.mark.parametrize("said", ["84 km²", "a [sic]", "https://x.example/a_b", "5 * 3 * 2", "snake_case", "✅"])
def test_what_is_no_markup_stays(said):
    assert plain_cell(said) == said


def test_rows_are_counted_only_by_numbers_in_a_row():
    assert counts_rows(["1", "2.", "#3"])
    assert not counts_rows(["1", "3"])
    assert not counts_rows([])


@pytest.mark.parametrize("text", [
    "| a | b |\n| — | – |\n| 1 | 2 |", "| a | b |\n|:=:|===|\n| 1 | 2 |", "｜a｜b｜\n｜－｜－｜\n｜1｜2｜",
    "┌───┬───┐\n│ a │ b │\n├───┼───┤\n│ 1 │ 2 │\n└───┴───┘", "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+",
    "| a | b |\n|---+---|\n| 1 | 2 |",
])  # fmt: skip
def test_separators_and_bars_in_other_characters(text):
    assert Table.from_markdown(text) == Table(["a", "b"], [["1", "2"]])


@pytest.mark.parametrize("cell", ["`x|y`", "[x|y](https://z.example)", "[[x|y]]", "$|x|$"])
def test_a_bar_in_code_a_link_or_a_formula_parts_no_cells(cell):
    [(table, notes)] = read_tables(f"| a | b |\n|---|---|\n| {cell} | 2 |")
    assert (table.rows, notes) == ([[cell, "2"]], [])


def test_a_row_broken_over_two_lines_is_one_row():
    table = Table.from_markdown("| a | b | c |\n|---|---|---|\n| 1 | two\nlines | 3 |\n| 4 | 5 | 6 |")
    assert table.rows == [["1", "two\nlines", "3"], ["4", "5", "6"]]


def test_a_row_with_too_many_cells_is_said():
    _, notes = read_answer("| a | b |\n|---|---|\n| 1 | 2 | 3 |")
    assert notes == ["1 row has more cells than there are columns; the last cell holds what was too much."]


def test_the_cells_of_a_table_are_bounded_by_its_text():
    text = "|" + "c|" * 6000 + "\n|---|\n" + "|x|\n" * 6000
    [(table, notes)] = read_tables(text)
    assert len(table.columns) * len(table.rows) <= len(text) + 20_000
    assert "left out" in notes[0]


def test_a_workbook_with_one_cell_far_away_is_refused(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    book.active["XFD1048576"] = "x"
    book.save(tmp_path / "far.xlsx")
    with pytest.raises(BadInput, match="too many to read"):
        Table.from_xlsx(tmp_path / "far.xlsx")


@given(st.text(alphabet="|-+=:`$[]()<>think/ \n｜│┼─ab1", max_size=200))
def test_any_text_is_read_without_an_error(text):
    table, _ = read_answer(text, ["a", "b"], ["a"])
    assert table is None or all(len(row) == len(table.columns) for row in table.rows)


@given(st.data())
def test_crafted_bars_survive_being_written_and_read(data):
    cell = st.text(alphabet="|`$[]()+-=─┼│｜ \n\\" + string.ascii_lowercase[:3], max_size=8)
    width = data.draw(st.integers(1, 4))
    row = st.lists(cell, min_size=width, max_size=width)
    table = Table(data.draw(row), data.draw(st.lists(row, max_size=4)))
    assert Table.from_markdown(table.to_markdown()) == table


@given(st.lists(st.text(st.characters(categories=["L", "Nd"], exclude_characters="_"), min_size=1), min_size=1))
def test_a_cell_of_words_and_commas_is_shown_as_it_is(words):
    """A raised mark is a footnote; the comma between two words is not, in whatever script they are."""
    cell = ", ".join(words)
    assert plain_cell(cell) == cell


def test_raised_footnotes_with_a_comma_between_them_go_and_the_commas_of_the_text_stay():
    assert plain_cell("Rotopănești, Suceava") == "Rotopănești, Suceava"
    assert plain_cell("Suceava¹,²") == "Suceava"
    assert plain_cell("Brașov², Sibiu") == "Brașov, Sibiu"


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u200e", "\u200f", "\u2068"])
def test_an_invisible_mark_outside_the_bars_is_no_cell(mark):
    marked = "\n".join(f"{mark}{line}{mark}" for line in ONE.splitlines())
    assert final_table(marked) == final_table(ONE)


HEIGHTS = "| name | height |\n|---|---|\n| Alpha | 20 m |\n"


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (HEIGHTS + "| Beta | 3", "| Beta | 3"),
        (HEIGHTS + "| Be", "| Be"),
        (f"```markdown\n{HEIGHTS}| Be\n```", "| Be"),
        ("a | b | c\n---|---|---\n1 | 2 | 3\n4 | 5", "4 | 5"),
        (HEIGHTS + r"| Beta | 3 \|", r"| Beta | 3 \|"),
        (HEIGHTS + "| Beta | 30 m |", None),
        (HEIGHTS + "| Beta |", None),
        (HEIGHTS + "| Be\n\nThat is all.", None),
        ("a | b\n---|---\n1 | 2", None),
        ("| a | b\n|---|---\n| 1 | 2", None),
        ("x | y", None),
        ("", None),
    ],
)
def test_a_row_at_the_end_of_a_text_that_stops_in_the_middle_is_told(text, row):
    assert broken_row(text) == row
