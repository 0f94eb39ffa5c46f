"""Foreign text on its way to a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from wideseek.screen import plain

KEPT = "\t\n\u200c\u200d"
DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b\x07\x08\r\x9b\u200b\ufeff" + DIRECTION))))
def test_nothing_that_steers_a_terminal_is_left_and_the_rest_stays(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    for before, after in zip(text, shown, strict=True):
        if before not in KEPT and (unicodedata.category(before) == "Cc" or before in DIRECTION + "\u200b\ufeff"):
            assert after == "\ufffd"
        elif unicodedata.category(before) not in ("Cf", "Zl", "Zp"):
            assert after == before
