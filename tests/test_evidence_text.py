"""Text as evidence compares it: any text is cleaned and cut into words, and each word has its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.work import lines_run
from wideseek.evidence.text import Text, clean, fold, without_bracket, words

# Text in which marks, brackets, digits, blanks and scripts without blanks are common.
PIECES = (
    st.sampled_from("aBéøİßﬁǆ1,.'’-–−|*_`~[]()<>&½¹⁵:;：东京カ한ก€#+\\ \n\t\u200b\u00a0\u0301\x00\u2028")
    | st.sampled_from(["23", "10", "[1]", "[[", "]]", "<sup>", "</sup>", "<!--", "-->", "&amp;", "km²", "US$", "'s"])
    | st.sampled_from([" " * 13, "\r\n"])
)
MARKED = st.lists(PIECES, max_size=60).map("".join)
ANY = st.text(max_size=200) | MARKED


@given(ANY)
def test_any_text_is_cleaned_folded_and_cut_into_words(text):
    assert len(Text(clean(text)).words) == len(words(text))


@given(ANY)
def test_folding_keeps_the_length_so_that_positions_stay(text):
    assert len(fold(text)) == len(text)


@given(ANY)
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text)) == fold(text)


@given(ANY)
def test_each_word_stands_in_the_text_behind_the_one_before(text):
    cut = Text(text)
    assert len(cut.words) == len(cut.spans)
    last = 0
    for index, (start, end) in enumerate(cut.spans):
        assert last <= start < end <= len(text)
        assert cut.original(index) == text[start:end]
        last = end


@given(ANY)
def test_words_and_gaps_together_are_the_text(text):
    cut = Text(text)
    pieces = [cut.gap(index) + cut.original(index) for index in range(len(cut.words))]
    assert "".join(pieces) + cut.gap(len(cut.words)) == text


@given(ANY, st.integers(-3, 100))
def test_beyond_the_ends_of_a_text_stands_the_empty_word(text, index):
    cut = Text(text)
    assert (cut.original(index) == "") == (not 0 <= index < len(cut.words))


@given(ANY, st.integers(0, 20), st.integers(1, 4))
def test_words_of_a_text_are_found_where_they_stand(text, start, length):
    cut = Text(text)
    wanted = tuple(cut.words[start : start + length])
    found = cut.find(wanted)
    assert all(tuple(cut.words[at : at + len(wanted)]) == wanted for at in found)
    assert not wanted or start in found


@given(st.text("abc XYZ äß东京.,:;-()!?\n", max_size=100))
def test_text_without_marks_is_clean(text):
    assert clean(text) == text


@given(st.text("abc éø东[]()1½¹-–’“ \u200b", max_size=60))
def test_cleaned_text_has_neither_hidden_characters_nor_typographic_quotes(text):
    assert not set(clean(text)) & set("\u200b’“–¹½")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Al\u200bpha", "Alpha"),
        ("a<!-- hidden -->b", "a b"),
        ("[Alpha](https://a.example/x_(y))", "Alpha"),
        ('[Alpha](https://a.example "A title")', "Alpha"),
        ("[[Alpha]] and [[Alpha (tower)|Beta]]", "Alpha and Beta"),
        ("35 m[3] high[note 2][citation needed]", "35 m high"),
        ("**35** m", "35 m"),
        ("<b>35</b> <span class='x'>m</span>", "35 m"),
        ("3*5", "3*5"),
        ("35¹", "35"),
        ("10⁵", "10^5"),
        ("10⁻³", "10^-3"),
        ("10<sup>5</sup>", "10^5"),
        ("12 km²", "12 km2"),
        ("12 km<sup>2</sup>", "12 km2"),
        ("35<sup>2</sup>", "35"),
        ("1½ m", "1.5 m"),
        ("about ½", "about 0.5"),
        ("−5 – 6 — 7", "-5 - 6 - 7"),
        ("O’Neill said “no”", 'O\'Neill said "no"'),
        ("ＡＢＣ１２", "ABC12"),
        ("A&amp;B&nbsp;C", "A&B C"),
        ("高：35", "高: 35"),
        ("3\x005", "3 5"),
    ],
)
def test_clean_text_is_what_a_reader_sees(text, seen):
    assert clean(text) == seen
    assert clean(seen) == seen


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("São Tomé", ("sao", "tome")),
        ("Łódź Ørsted", ("lodz", "orsted")),
        ("1,234 1 234 1'234 1.234.567", ("1234", "1234", "1234", "1234567")),
        ("12,5 and 12.5", ("12.5", "and", "12.5")),
        ("11,234", ("11234",)),
        ("47m", ("47", "m")),
        ("35米", ("35", "米")),
        ("A5 and 5a", ("a5", "and", "5a")),
        ("Alpha's tower", ("alpha", "tower")),
        ("O'Neill", ("o'neill",)),
        ("C++ C# C", ("c++", "c#", "c")),
        ("东京塔", ("东", "京", "塔")),
    ],
)
def test_text_is_cut_into_folded_words(text, cut):
    assert words(text) == cut


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Springfield (Ohio)", "Springfield"),
        ("北京（市）", "北京"),
        ("Alpha [tower] ", "Alpha"),
        ("(Alpha)", "(Alpha)"),
        ("Alpha )", "Alpha )"),
        ("Alpha", "Alpha"),
        ("", ""),
    ],
)
def test_a_remark_in_brackets_at_the_end_is_left_out(text, bare):
    assert without_bracket(text) == bare


@pytest.mark.parametrize("seed", ["a", "1 ", "1,", "[", "(", "<sup>", "½", "Alpha's ", "东"])
def test_a_text_twice_as_long_is_twice_as_much_work(seed):
    text = seed * 200
    assert lines_run(lambda: Text(clean(text * 2))) <= 2.2 * lines_run(lambda: Text(clean(text))) + 50


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u2003", "\x0b"])
def test_a_gap_of_any_blanks_is_cut_short(blank):
    assert len(clean(f"a{blank * 5000}b")) <= 14
