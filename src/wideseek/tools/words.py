"""Words: what the index holds of a text, what a query asks for, and where a word stands in a line.

    indexable(text)         a page, ready for the `STEMMED` analyzer     São Paulo     -> Sao Paulo
    query_words(query)      the terms to look up                         Winter Games  -> winter, game
    lookalike(line)         a line to look for such words in, place by place
    places(line, word)      where a word begins there

A word is in lower case, its accents folded, its English ending stemmed. Scripts written without spaces (Chinese,
Japanese, Thai ...) are indexed as characters and pairs of characters, and asked for by the pairs. A query is a bag of
words: it has no syntax.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import tantivy

QUERY_CHARS, QUERY_WORDS = 10_000, 64  # what is read of a query

_MARKS = re.compile(  # diacritics, Hebrew points, Arabic vowels; tone marks and the like that tantivy would split at
    "[\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0e47-\u0e4e\u0ec8-\u0ecd\u1039\u103a\u17c9-\u17d3]"
)
_SPACELESS = re.compile(  # Thai, Lao; Myanmar; Khmer; kana; Han; Hangul (its endings are glued to the words)
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def _analyzer(*more: tantivy.Filter) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for step in (tantivy.Filter.remove_long(100), tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold(), *more):
        builder = builder.filter(step)
    return builder.build()


_PLAIN = _analyzer()
STEMMED = _analyzer(tantivy.Filter.stemmer("english"))


def indexable(text: str) -> str:
    """`text` with accents folded, and runs of a script without spaces as their characters and pairs of characters."""
    return text if text.isascii() else _in_pieces(_folded(text), singles=True)


def query_words(query: str) -> list[str]:
    """The distinct words of a query as they stand in the index; of runs without spaces, the pairs."""
    text = _in_pieces(_folded(query[:QUERY_CHARS]), singles=False)
    return list(dict.fromkeys(STEMMED.analyze(text)))[:QUERY_WORDS]


def encodable(text: str) -> str:
    """Without lone surrogates, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "ignore").decode()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", encodable(text))))


def _in_pieces(text: str, singles: bool) -> str:
    """Each run without spaces as its pairs of characters, and the single ones if wanted or if there is but one."""

    def pieces(run: re.Match[str]) -> str:
        pairs = [run[0][i : i + 2] for i in range(len(run[0]) - 1)]
        return f" {' '.join([*run[0], *pairs] if singles or not pairs else pairs)} "

    return _SPACELESS.sub(pieces, text)


def lookalike(line: str) -> str:
    """`line` with each character as one folded character, so that places in it are places in the line."""
    return line.translate(_LOOKALIKES)


class _Lookalikes(dict[int, str]):
    def __missing__(self, code: int) -> str:
        found = _PLAIN.analyze(_folded(chr(code)))
        self[code] = found[0][0] if found else chr(code)
        return self[code]


_LOOKALIKES = _Lookalikes()


def places(line: str, word: str) -> Iterator[int]:
    """Where `word`, a stem, begins a word of `line`, a lookalike.

    Of up to three letters it must be the whole word; of a script without spaces it may stand anywhere.
    """
    anywhere, whole = _SPACELESS.match(word), len(word) <= 3
    start = line.find(word)
    while start >= 0:
        end = start + len(word)
        inside = start > 0 and line[start - 1].isalnum()
        goes_on = whole and end < len(line) and line[end].isalnum()
        if anywhere or not (inside or goes_on):
            yield start
        start = line.find(word, end)
