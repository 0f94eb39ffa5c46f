"""What crafted pages cost: every regular expression of the evidence check is linear in the length of a line."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wideseek.evidence
from tests.regex_work import finds, steps

MODULES = [
    importlib.import_module(f"wideseek.evidence.{found.name}")
    for found in pkgutil.iter_modules(wideseek.evidence.__path__)
]
SOURCES = {module.__name__.rpartition(".")[2]: inspect.getsource(module) for module in MODULES}
PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}
GAP = " " * 12  # the longest that `clean` leaves
SEEDS = [
    *("a", "1", "½", "一", ".", "!", "'", "(", ")", "|", "-", "*", ",", ":", "=", "A.", "1.", "1,", "1 ", "1-", "1/"),
    *(
        "1½",
        "1²",
        "a's ",
        "a: ",
        "a; ",
        "A, ",
        "[a](b",
        "[[a",
        "[1,",
        "<a ",
        "<sup>",
        "<!--",
        "((",
        "(1",
        "| a ",
        "|--",
    ),
    *("A and ", "1 to ", "5 May ", "1年", "10^", "$1", "1.000", "。", f"a{GAP}"),
]
SHORT, LONG = 40, 160
CHEAP = 20  # steps a character that no line of this length needs if it is quadratic


def work(name: str, text: str) -> int:
    """The steps of an expression as its module uses it: on every place of a line, or on its beginning only."""
    module, _, constant = name.partition(".")
    everywhere = re.search(rf"{constant}\.(?:search|sub|split|finditer|findall)\(", SOURCES[module]) is not None
    return steps(PATTERNS[name], text, everywhere=everywhere)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_line_four_times_as_long_is_four_times_as_much_work_for_each_expression(name):
    for text in ((seed * LONG)[:LONG] + "x" for seed in SEEDS):
        many = work(name, text)
        if many > CHEAP * LONG:
            few = work(name, text[-SHORT:])
            assert many <= 10 * few, (text[-9:], few, many)


def test_the_count_grows_with_the_square_for_an_expression_that_is_quadratic():
    quadratic = re.compile(r"[.!?]\S*\s+\S")
    assert steps(quadratic, "A." * LONG) > 12 * steps(quadratic, "A." * SHORT)


@given(st.sampled_from(sorted(PATTERNS)), st.text(st.sampled_from("aA1 .,:;|-[]()'*½年May<>/\n"), max_size=30))
def test_the_counting_matcher_finds_what_the_real_one_finds(name, text):
    found = PATTERNS[name].match(text)
    assert finds(PATTERNS[name], text) == (found.end() if found else None)
