"""Names: which rows a page is about, and where a name stands in a text as a whole.

A page is a key's *own* (2) where its title is the key: whole, without the name of its site, without a bracket. It is
the key's *by part* (1) where the title holds the key among words that name a kind of thing: `Cyclone Hellen`,
`Sepahan F.C.`. `John Smith Jr.`, `New York` and `Rocky II` are others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from wideseek.evidence.labels import STOP_WORDS, Label
from wideseek.evidence.page import Name, ReadPage
from wideseek.evidence.text import Text, clean, fold, is_unspaced, without_bracket, words

OWN, BY_PART, FOREIGN = 2, 1, 0

# Words that make another name of a name: `New York`, `Upper Nile`, `Rocky II`, `History of Alpha`.
_CHANGING = frozenset(
    "new north south east west northern southern eastern western central upper lower inner outer great greater little "
    "lesser big old saint st san santa port fort el la los las de del van von jr sr ii iii iv v vi junior senior of in "
    "at and vs by for list history timeline to on from as or family near season seasons results discography".split()
)
# Words that say what kind of thing a name is.
_KINDS = frozenset(
    "f.c. fc a.f.c. afc sc s.c. cf fk bk if club cyclone hurricane typhoon storm tropical lighthouse light mount lake "
    "river island islands isle city town village municipality county province district state republic kingdom the inc "
    "ltd llc corp corporation company co plc gmbh ag group film movie novel book album song single band team airport "
    "stadium arena castle tower bridge church cathedral abbey museum hotel station school university college hospital "
    "park dam peak mountain hill cape bay beach volcano desert forest king queen prince princess sir dame dr pope "
    "president senator general captain saint 市 县 区 省 镇 村 山 河 湖 岛 f c s a k".split()
)
_HONORIFICS = frozenset(
    "mr mrs ms miss dr sir dame lord lady president king queen prince princess pope senator general captain colonel "
    "professor prof judge justice lake mount river cape mt is was at in when after before on the a an".split()
)
_HAN_SUFFIXES = "路街道巷站桥江河湖峰寺庙塔楼店厂校院馆园场港湾大学"
_COMMON = STOP_WORDS | frozenset(
    "us it no i he she we me am may who what so do go be up all one two out off can will".split()
)


def ownership(
    page: ReadPage,
    keys: dict[Name, str],
    bare: dict[Name, list[Name]],
    doubled: frozenset[Name],
    columns: Sequence[Label] = (),
) -> dict[Name, int]:
    """For each key of the table that the page is about: `OWN` or `BY_PART`.

    `keys` are the names and how they are written; `bare` leads from names without their bracket to keys that have
    one; `doubled` are the bare titles that several pages share: those speak only for the key with the same bracket;
    `columns` are the key's columns.
    """
    found: dict[Name, int] = {}
    bare_names = frozenset(name for name in page.bare_names if name in page.names or name not in doubled)
    names = page.names | bare_names
    for form in {form for name in names for form in (name, _without_the(name), ("the", *name))}:
        if form in keys:
            found[form] = OWN
    if not page.is_qualified:
        for name in names:
            for key in bare.get(name, ()):
                found[key] = OWN
    if OWN not in found.values():
        found |= _by_part(page, keys, columns)
    return found


def _by_part(page: ReadPage, keys: dict[Name, str], columns: Sequence[Label]) -> dict[Name, int]:
    title = page.title.words
    found: dict[Name, int] = {}
    if len(title) > 30:
        return found
    for start in range(len(title)):
        for end in range(start + 1, len(title) + 1):
            name = tuple(title[start:end])
            others = title[:start] + title[end:]
            if name not in keys or not others or all(word.isdigit() for word in name):
                continue
            if _only_kinds(others, page) and not any(_is_another_place(others, column) for column in columns):
                found[name] = BY_PART
    return found


_PLACES = (
    frozenset({"lake"}), frozenset({"river"}), frozenset({"island", "islands", "isle"}), frozenset({"bridge"}),
    frozenset({"mount", "mountain", "peak", "hill"}), frozenset({"city", "town", "village", "municipality"}),
    frozenset({"state", "province", "district", "county"}), frozenset({"airport"}), frozenset({"desert"}),
    frozenset({"bay"}), frozenset({"cape"}), frozenset({"country", "kingdom", "republic", "nation"}),
)  # fmt: skip


def _is_another_place(others: list[str], column: Label) -> bool:
    """Whether the title says another kind of place than the key's column: `Lake Victoria` is no state."""
    asked = [kinds for kinds in _PLACES if not kinds.isdisjoint(column.words)]
    said = [kinds for kinds in _PLACES if not kinds.isdisjoint(others)]
    return bool(asked and said) and not any(kinds in asked for kinds in said)


def _only_kinds(others: list[str], page: ReadPage) -> bool:
    """Whether the rest of a title says what kind of thing it is: known kinds, or words that the title or the page
    writes in lower case."""
    common = page.common_words.union(re.findall(r"(?<!\w)[a-z]+", page.title.text))
    return all(
        word not in _CHANGING and (word in _KINDS or word in common or re.fullmatch(r"1\d{3}|20\d\d", word))
        for word in others
    )


def doubled_titles(pages: Iterable[ReadPage]) -> frozenset[Name]:
    """Bare titles that more than one page bears: `Springfield (Ohio)` and `Springfield (Illinois)`."""
    counts = Counter(name for page in pages for name in page.bare_names)
    return frozenset(name for name, count in counts.items() if count > 1)


def _without_the(name: Name) -> Name:
    return name[1:] if name[:1] == ("the",) and len(name) > 1 else name


def named_at(text: Text, name: Name, written: str) -> list[int]:
    """Where the name stands as a whole and as a name; a number is no name in prose."""
    if all(word.isdigit() for word in name):
        return []
    return [at for at in text.find(name) if _is_whole(text, at, len(name)) and _is_name(text, at, name, written)]


def _is_whole(text: Text, at: int, length: int) -> bool:
    """Not part of a longer name: no capitalised neighbour but a title or what begins the sentence."""
    first, last = text.original(at), text.original(at + length - 1)
    before, after = text.original(at - 1), text.original(at + length)
    if first[:1] and is_unspaced(first[0]):
        return not _runs_on(first, before, text.gap(at)) and not _runs_on(
            last, after, text.gap(at + length), after=True
        )
    if before and text.gap(at) in (" ", "-") and before[0].isupper():
        opens = (
            at == 1
            or re.search(r"[.!?:;]\s*\S*$", text.text[max(0, text.spans[at - 1][1] - 60) : text.spans[at - 1][1]])
            is not None
        )
        word = text.words[at - 1]
        if word not in _HONORIFICS and not (opens and word in STOP_WORDS) and word not in _KINDS:
            return False
    return not (after and text.gap(at + length) in (" ", "-") and after[0].isupper() and not after.isupper())


def _runs_on(mine: str, other: str, gap: str, *, after: bool = False) -> bool:
    """Whether a word of an unspaced script goes on: katakana beside katakana, a name before `road` or `station`."""
    if not other or gap:
        return False
    if "\u30a0" <= mine[0] <= "\u30ff" or "\uac00" <= mine[0] <= "\ud7af":
        return "\u30a0" <= mine[0] <= "\u30ff" and "\u30a0" <= other[0] <= "\u30ff"
    return after and other[0] in _HAN_SUFFIXES


def _is_name(text: Text, at: int, name: Name, written: str) -> bool:
    """A name that is also a common word (US, IT, No) counts only as it is written, and not where a sentence opens."""
    if len(name) > 1 or name[0] not in _COMMON:
        return True
    original = text.original(at)
    return original == written.strip() and (original.isupper() and len(original) > 1)


def simple_name(written: str) -> Name:
    """The words of a name to look it up by; none where digits or unspaced scripts make that unsafe."""
    text = without_bracket(fold(clean(written)))
    if re.search(r"\d[,. ']\d", text) or any(map(is_unspaced, text)):
        return ()
    return tuple(re.findall(r"[^\W_]+", text))


def name_of(written: str) -> Name:
    return words(written)
