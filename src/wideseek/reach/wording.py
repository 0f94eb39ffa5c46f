"""The words of a question, and which of them an answer accounts for.

A list's title, a column, a test and a name each take the words that stand for them; what nothing takes and what no
request needs (`FUNCTION_WORDS`) is left over: "except", "sorted", "million" change what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SMALL = frozenset(
    {"a", "all", "an", "and", "as", "at", "by", "for", "from", "in", "is", "of", "on", "the", "to", "with"}
)
FUNCTION_WORDS = frozenset(
    """
    a about add all along also am among an and are as at be been both but can collect compile
    complete consider could describe described did do does down each every find for from full get
    give given go has have her his i in include including is it its just kindly know let like list
    look looking make me name named need note of on one only our out overview please prepare put
    recorded report say see show single state stated table take tell that the their them then there
    these they this those through to together up us want was we well were what where which who whose
    will with would write you your
    """.split()  # noqa: SIM905
)
"""What a request is made of, beside what it is about: the words of the world's templates among them."""
_FRAMES = re.compile(
    r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening)|thanks(?: a lot| in advance)?|thank you(?: very much)?"
    r"|as collected here|my (?:students|pupils|children|colleagues) asked me about this"
    r"|(?:this is )?for (?:a|an|my|our) (?:\w+ )?(?:project|notes|article|quiz night|quiz|homework|talk|report)"
    r"|i am (?:writing|preparing|checking) (?:a|an|my|some) (?:\w+ )?(?:article|facts|talk|report|quiz))"
    r"(?=\s*[.,!?:]|\s*$)",
    re.I,
)
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


def tokens(text: str) -> list[str]:
    """Words and numbers, case and a plural s aside."""
    return [stem(word) for word in _TOKEN.findall(text.casefold())]


def stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > 2 else word


_FUNCTION = frozenset(map(stem, FUNCTION_WORDS))


class Wording:
    """A question's words in order, each taken at most once."""

    def __init__(self, question: str) -> None:
        text = _FRAMES.sub(" ", question.translate(str.maketrans("’‘", "''")))
        self._shown = _TOKEN.findall(text)
        self._words = tokens(text)
        self._free = [True] * len(self._words)

    def take(self, text: str) -> bool:
        """Take the first place where the words of `text` stand one after the other; whether there is one."""
        wanted = tokens(text)
        for start in range(len(self._words) - len(wanted) + 1):
            place = slice(start, start + len(wanted))
            if wanted and self._words[place] == wanted and all(self._free[place]):
                self._free[place] = [False] * len(wanted)
                return True
        return False

    def take_in_any_order(self, text: str) -> bool:
        """Take the words of `text` that carry meaning, wherever they stand; nothing where one of them is missing."""
        places: list[int] = []
        for word in (word for word in tokens(text) if word not in SMALL):
            free = (at for at, own in enumerate(self._words) if own == word and self._free[at] and at not in places)
            if (place := next(free, None)) is None:
                return False
            places.append(place)
        for place in places:
            self._free[place] = False
        return bool(places)

    def take_each(self, words: Iterable[str]) -> None:
        for word in words:
            self.take(word)

    @property
    def left(self) -> list[str]:
        """The words that nothing accounts for, as they were written."""
        return [
            shown
            for shown, word, free in zip(self._shown, self._words, self._free, strict=True)
            if free and word not in _FUNCTION and not (len(word) == 1 and word in "sdm")
        ]
