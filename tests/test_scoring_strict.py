"""What `strict` takes for the same: text by its words, numbers by value, dates as far as they were said."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wideseek.answer import without_thought
from wideseek.records import Score, Task
from wideseek.scoring.plain import folded, without_number
from wideseek.scoring.table import score_response
from wideseek.table import Table, undecorated


def asked(gold: Table, **rules: dict[str, Any]) -> Task:
    """A task whose first column is the key; `rules` are the evaluations of columns."""
    pipeline = {name: {"preprocess": ["norm_str"], "metric": ["exact_match"]} | rule for name, rule in rules.items()}
    evaluation = {"required": gold.columns, "unique_columns": gold.columns[:1], "eval_pipeline": pipeline}
    answer = f"```markdown\n{gold.to_markdown()}\n```"
    return Task(question="q", instance_id="t", kind="wide", answer=answer, evaluation=evaluation)


async def scored(said: Table | str, task: Task, **options: Any) -> Score:
    return await score_response(said if isinstance(said, str) else said.to_markdown(), task, **options)


def one(name: str, value: str = "1", columns: tuple[str, str] = ("name", "n")) -> Table:
    return Table(list(columns), [[name, value]])


async def value_of(said: Table | str, gold: Table) -> float | None:
    """Under rules derived from the gold."""
    return (await scored(said, Task(question="q", instance_id="t", kind="wide", answer=gold.to_markdown()))).value


# ---------------------------------------------------------------------------------------------------- text and keys

SAME_TEXT = {
    "composed or not": ("Curaçao", unicodedata.normalize("NFD", "Curaçao")),
    "Hangul": ("서울", unicodedata.normalize("NFD", "서울")),
    "zero width space": ("Alpha", "Alpha\u200b"),
    "right-to-left mark": ("Alpha", "\u200fAlpha"),
    "isolates": ("Alpha", "\u2068Alpha\u2069"),
    "soft hyphen": ("Alpha", "Al\u00adpha"),
    "byte order mark": ("Alpha", "\ufeffAlpha"),
    "variation selector": ("葛城", "葛\U000e0100城"),
    "full width letters": ("ABC", "ＡＢＣ"),
    "full width brackets": ("北京（市）", "北京(市)"),
    "typographic apostrophe": ("Côte d'Ivoire", "Côte d’Ivoire"),
    "typographic quotes": ('The "Old" Bridge', "The “Old” Bridge"),
    "guillemets": ('The "Old" Bridge', "The «Old» Bridge"),
    "en dash": ("2019-2020", "2019–2020"),
    "hyphens": ("Jean-Luc", "Jean‑Luc"),
    "ellipsis": ("And so on...", "And so on…"),
    "ligature": ("Fifi", "Ｆiﬁ"),
    "no-break space": ("New York", "New\u00a0York"),
    "ideographic space": ("New York", "New\u3000York"),
    "sharp s": ("Große Straße", "GROSSE STRASSE"),
    "middle dots": ("列夫·托尔斯泰", "列夫・托尔斯泰"),
}


@pytest.mark.parametrize(("gold", "said"), SAME_TEXT.values(), ids=SAME_TEXT)
async def test_the_same_text_in_other_code_points_is_right_in_keys_cells_and_columns(gold: str, said: str) -> None:
    for written, meant in ((said, gold), (gold, said)):
        assert await value_of(one(written), one(meant)) == 1.0
        assert await value_of(one("A", written), one("A", meant)) == 1.0
        assert await value_of(one("A", columns=("name", written)), one("A", columns=("name", meant))) == 1.0


@pytest.mark.parametrize(
    "said",
    [
        "**Alpha**", "__Alpha__", "*Alpha*", "_Alpha_", "***Alpha***", "~~Alpha~~", "`Alpha`", "<b>Alpha</b>",
        "[Alpha](https://x.example)", "[**Alpha**](https://x.example/a_(b))", "[Alpha][1]", "[[Alpha]]", "[[A (b)|Alpha]]",
        "![flag](f.png) Alpha", "<a href='https://x.example'>Alpha</a>",
        "Alpha[1]", "Alpha [note 2]", "Alpha[a][b]", "Alpha[^1]", "Alpha¹", "Alpha¹,²", "Alpha<sup>1</sup>", "Alpha†", "Alpha【4†source】",
        "🇫🇷 Alpha", "Alpha 🇫🇷", "🥇 Alpha", "Alpha™", "\u200eAlpha", "Alpha ✅", "✔️ Alpha",
        "1. Alpha", "1) Alpha", "(1) Alpha", "#1 Alpha", "- Alpha", "• Alpha", "① Alpha", "1、Alpha",
    ],
)  # fmt: skip
async def test_decoration_is_not_part_of_a_key(said: str) -> None:
    assert await value_of(one(said), one("Alpha")) == 1.0
    assert await value_of(one("Alpha"), one(said)) == 1.0


@pytest.mark.parametrize("cell", ["🇫🇷", "[1]", "✅", "¹", "snake_case", "[a, b]", "x_1", "C", "a < b", "<think>"])
def test_what_is_all_decoration_or_none_stays(cell: str) -> None:
    assert undecorated(cell) == cell


@pytest.mark.parametrize(
    ("one_text", "other"),
    [
        ("10⁵", "105"),
        ("1½", "11/2"),
        ("3*5", "35"),
        ("✅", "❌"),
        ("Alpha", "Beta"),
        ("m²", "m³"),
        ("Alpha (a)", "Alpha (b)"),
    ],
)
def test_texts_that_look_different_stay_different(one_text: str, other: str) -> None:
    assert folded(undecorated(one_text)) != folded(undecorated(other))


async def test_a_number_before_a_name_is_left_out_only_where_every_key_has_one() -> None:
    gold = Table(["name", "n"], [["1. FC Alba", "1"], ["2. FC Alba", "2"], ["Bern", "3"]])
    assert await value_of(gold, gold) == 1.0
    said = Table(["name", "n"], [["2. FC Alba", "1"], ["1. FC Alba", "2"], ["Bern", "3"]])
    assert await value_of(said, gold) == pytest.approx(4 / 6)
    numbered = Table(["name", "n"], [["2. Bern", "2"], ["1. Alba", "1"]])
    assert await value_of(numbered, Table(["name", "n"], [["Alba", "1"], ["Bern", "2"]])) == 1.0
    assert without_number("1.5 km") is None


# ------------------------------------------------------------------------------------------------------------ numbers

NUMBER = {"preprocess": ["extract_number"], "metric": ["number_near"], "criterion": 0.05}


@pytest.mark.parametrize(
    ("gold", "said", "right"),
    [
        ("3.2 billion", "3.2 million", False), ("31.1亿元", "31.1万元", False), ("125", "12,5", False), ("5", "−5", False),
        ("100 m", "100 km", False), ("35 m", "35 ft", False), ("10–20", "10–99", False), ("5", "5–10", False),
        ("31.1亿元", "3,110,000,000元", True), ("1234.56", "1.234,56", True), ("-5", "−5", True), ("50%", "0.5", True),
        ("35 m", "35", True), ("35 m", "35 metres", True), ("1 km", "1000 m", True), ("100", "104", True),
        ("100", "106", False), ("1,000", "1000 people[2]", True), ("50", "50%", False), ("none", "nothing", False),
    ],
)  # fmt: skip
async def test_number_columns_compare_amounts(gold: str, said: str, right: bool) -> None:
    task = asked(one("A", gold), n=NUMBER)
    assert ((await scored(one("A", said), task)).value == 1.0) is right


@pytest.mark.parametrize(
    ("gold", "said", "right"),
    [
        ("1,990", "1990.0", True), ("35 m", "35 metres", True), ("$1.2 million", "$1,200,000", True), ("12 %", "12.0%", True),
        ("35 m", "35", False), ("35 m", "35 m high", False), ("35 m", "35 M", False), ("5 mW", "5 MW", False),
        ("about 5 mW", "about 5 MW", False), ("35 Metres", "35 metres", True), ("12 Angry Men", "12 ANGRY MEN", True),
        ("1 km", "1000 m", True), ("3 million", "3", False),
    ],
)  # fmt: skip
async def test_text_columns_compare_a_cell_that_is_one_number_by_value(gold: str, said: str, right: bool) -> None:
    task = asked(one("A", gold), n={})
    assert ((await scored(one("A", said), task)).value == 1.0) is right


@pytest.mark.parametrize("rule", [NUMBER, {}, {"metric": ["in_match"]}], ids=["number", "text", "part"])
@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("5 EUR", "5 SEK"),
        ("5 t", "5 kt"),
        ("5 MW", "5 mW"),
        ("about 5 MW", "about 5 mW"),
        ("33° N", "33° S"),
        ("5 ppm", "5 ppb"),
    ],
)
async def test_a_value_in_another_unit_is_wrong_under_every_rule(gold: str, said: str, rule: dict[str, Any]) -> None:
    task = asked(one("A", gold), n=rule)
    assert (await scored(one("A", said), task)).value == 0.5
    assert (await scored(one("A", gold), task)).value == 1.0


async def test_keys_in_other_units_are_other_rows() -> None:
    gold = Table(["power", "n"], [["5 mW", "1"], ["5 MW", "2"]])
    assert await value_of(gold, gold) == 1.0
    assert await value_of(Table(["power", "n"], [["5 MW", "1"], ["5 mW", "2"]]), gold) == 0.5


async def test_a_bare_number_has_the_scale_of_its_column() -> None:
    columns = ("name", "gross (million USD)")
    rule = {"gross (million USD)": NUMBER}
    task = asked(one("A", "12", columns), **rule)
    assert (await scored(one("A", "$12 million", columns), task)).value == 1.0
    assert (await scored(one("A", "$12 billion", columns), task)).value == 0.5


# -------------------------------------------------------------------------------------------------------------- codes


def column(*cells: str, name: str = "n") -> Table:
    return Table(["name", name], [[f"row {chr(65 + i)}", cell] for i, cell in enumerate(cells)])


CODES = [
    (["01001", "36061"], ["1001", "36061"]),
    (["36061", "01001"], ["036061", "01001"]),
    (["3.1", "3.9", "3.10"], ["3.1", "3.9", "3.1"]),
    (["3.9", "3.10"], ["3.9", "3.1"]),
    (["3.1", "3.1.2"], ["3.10", "3.1.2"]),
    (["v2", "3.1"], ["v2", "3.10"]),
    (["007", "Alpha"], ["7", "Alpha"]),
    (["030 123456", "5"], ["30 123456", "5"]),
]


@pytest.mark.parametrize(("gold", "said"), CODES)
@pytest.mark.parametrize("given_rule", [False, True])
async def test_a_column_that_shows_codes_is_compared_as_text(
    gold: list[str], said: list[str], given_rule: bool
) -> None:
    async def value(table: Table) -> float | None:
        return (
            (await scored(table, asked(column(*gold), n={}))).value
            if given_rule
            else await value_of(table, column(*gold))
        )

    assert await value(column(*gold)) == 1.0
    wrong = await value(column(*said))
    assert wrong is not None
    assert wrong < 1.0


async def test_the_name_of_a_column_says_that_it_holds_versions() -> None:
    assert await value_of(column("3.10", name="Version"), column("3.1", name="Version")) == 0.5


@pytest.mark.parametrize(("gold", "said"), [("007", "7"), ("01001", "1001"), ("3.1.0", "3.1"), ("v3.1", "v3.10")])
async def test_keys_that_are_codes_are_other_keys_without_their_zeros(gold: str, said: str) -> None:
    table = Table(["name", "n"], [[gold, "1"], ["12", "2"]])
    assert await value_of(table, table) == 1.0
    assert await value_of(Table(["name", "n"], [[said, "1"], ["12", "2"]]), table) == 0.5


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        (["1,990", "0.5"], ["1990.0", ".5"]), (["7.0", "7.25"], ["7", "7.250"]), (["12.50", "9.99"], ["12.5", "9.99"]),
        (["1.234.567", "8.900.000"], ["1,234,567", "8900000"]), (["12%", "5%"], ["12.0 %", "5 %"]),
    ],
)  # fmt: skip
async def test_a_column_of_amounts_is_still_compared_by_value(gold: list[str], said: list[str]) -> None:
    assert await value_of(column(*said), column(*gold)) == 1.0


@given(st.lists(st.integers(0, 999_999), min_size=2, max_size=6, unique=True))
async def test_no_code_equals_another_that_differs_in_zeros(numbers: list[int]) -> None:
    codes = [f"{number:07d}" for number in numbers]
    score = await scored(column(*map(str, numbers)), asked(column(*codes), n={}))
    assert {row.key[0] for row in score.rows if row.wrong} == {row[0] for row in column(*codes).rows}


# -------------------------------------------------------------------------------------------------------------- dates

DATE = {"preprocess": ["norm_date"], "metric": ["date_near"]}


@pytest.mark.parametrize(
    ("gold", "said", "right"),
    [
        ("1994", "5 June 1994", True), ("5 January 1994", "1994", False), ("3 May", "May 3", True), ("44 BC", "公元前44年", True),
        ("Q3 2019", "2019年第三季度", True), ("2016–2023", "2016", False), ("03.05.1994", "3 May 1994", True),
        ("民國83年", "1994", True), ("May 5", "June 5", False),
    ],
)  # fmt: skip
async def test_date_columns_compare_what_was_said(gold: str, said: str, right: bool) -> None:
    task = asked(one("A", gold), n=DATE)
    assert ((await scored(one("A", said), task)).value == 1.0) is right


# ------------------------------------------------------------------------------------------------------------ thought


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>a</think>x", "x"), ("a</think>x", "x"), ("x<think>y", "x"), ("<think>y", ""), ("x", "x"),
        ("<think>a</think>x<think>b</think>", "x"), ("<think>a<think>b</think>c</think>x", "x"),
        ("<thinking>a</thinking>x", "x"), ("| `<think>` |", "| `<think>` |"),
    ],
)  # fmt: skip
def test_what_was_thought_is_no_answer(response: str, answer: str) -> None:
    assert without_thought(response).strip() == answer


async def test_a_table_that_was_only_thought_of_scores_nothing() -> None:
    table = one("A").to_markdown()
    for thought in (f"<think>\n{table}\n</think>\nI do not know.", f"<think>\n{table}\n"):
        score = await scored(thought, asked(one("A")))
        assert (score.value, score.note) == (0.0, "no table in the response")
    assert (await scored(f"<think>\n{one('B').to_markdown()}\n</think>\n{table}", asked(one("A")))).value == 1.0


# ----------------------------------------------------------------------------------------------------------- versions


async def test_published_scores_name_the_packages_that_they_were_made_with() -> None:
    pytest.importorskip("pandas")
    for mode in ("official", "rlinf"):
        assert set((await scored(one("A"), asked(one("A")), mode=mode)).versions) == {"pandas", "dateparser"}
    assert (await scored(one("A"), asked(one("A")))).versions == {}


# --------------------------------------------------------------------------------------------------------- properties

TEXT = st.text(
    st.one_of(
        st.characters(codec="utf-8", exclude_categories=["Cc"]), st.sampled_from("[]()*_`<>/12., –−万亿¹²½🇫🇷年月日")
    ),
    max_size=14,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, Task]:
    """Any table with a key in every row, and a task that it answers, each column under some rule."""
    columns = ["name", "b", "c"]
    rows = draw(st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=5))
    assume(all(row[0].strip() for row in rows))
    rule = st.sampled_from([NUMBER, DATE, {}, {"metric": ["in_match"]}])
    table = Table(columns, rows)
    return table, asked(table, b=draw(rule), c=draw(rule))


@settings(max_examples=150, deadline=None)
@given(tables())
async def test_every_table_is_right_against_itself(case: tuple[Table, Task]) -> None:
    table, task = case
    assert (await scored(table, task)).value == 1.0


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(["NFC", "NFD"]), st.integers(0, 2**32))
async def test_composition_and_the_order_of_rows_change_nothing(case: tuple[Table, Task], form: Any, seed: int) -> None:
    table, task = case
    rows = [[unicodedata.normalize(form, cell) for cell in row] for row in table.rows]
    again = Table(table.columns, random.Random(seed).sample(rows, len(rows)))
    assert (await scored(again, task)).value == 1.0


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT)
async def test_in_text_columns_it_is_the_same_who_says_which(one_cell: str, other: str) -> None:
    there = (await scored(one("A", one_cell), asked(one("A", other), n={}))).value
    back = (await scored(one("A", other), asked(one("A", one_cell), n={}))).value
    assert there == back


# ---------------------------------------------------------------------------------------------------------------- docs


def test_every_test_that_the_docs_name_is_there() -> None:
    tests = Path(__file__).parent
    there = {
        name for file in tests.glob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", (tests.parent / "docs" / "scoring.md").read_text("utf-8")))
    assert len(named) > 30
    assert named <= there
