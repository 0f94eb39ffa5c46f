"""Clean cells: what a table of the web says, as single-line text, headers as short column names, and their kind.

clean_text      undoes tokenisation (" ," "( x )"), footnote marks and coordinates
column_name     "Length (km)" -> ("length", "km"); "" where no short clean name is left
number_of       "1,234 m" -> 1234.0
column_kind     "number", "year", "date" or "text", over all values of a column
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

ColumnKind = Literal["number", "year", "date", "text"]


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for sets of words that are easier to read as text."""
    return frozenset(text.split())


MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
MAX_CELL = 40

_UNITS = {
    "km": "km",
    "m": "m",
    "ft": "ft",
    "ha": "ha",
    "mi": "mi",
    "acres": "acres",
    "kg": "kg",
    "lb": "lb",
    "mw": "MW",
}
_UNITS |= {"km2": "km²", "km²": "km²", "metres": "m", "meters": "m", "feet": "ft", "miles": "mi", "sq mi": "sq mi"}
_COORDINATES = re.compile(r"\d+°.*$")
_FOOTNOTE = re.compile(r"\s*\[[^\]]*\]|[†‡§*^♦♠]+")
_NUMBER = re.compile(
    r"[$€£¥]?-?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?: ?(?P<unit>%|[A-Za-z²]{1,6}))?"
)
_YEAR = re.compile(r"1[0-9]{3}|20[0-9]{2}")
_DATE = re.compile(rf"(?:\d{{1,2}} (?:{MONTHS})|(?:{MONTHS}) \d{{1,2}},) \d{{4}}")
_CLEAN_NAME = re.compile(r"[a-z][a-z-]*(?: [a-z-]+){0,2}")
_BARE_OR_DATE = re.compile(rf"[\W\d]*|.*\b(?:{MONTHS}) \d.*|\d{{1,2}} (?:{MONTHS}).*")
_EMPTY = {
    "",
    "-",
    "–",
    "—",
    "n/a",
    "na",
    "none",
    "unknown",
    "tba",
    "tbd",
    "tbc",
    "?",
    "nil",
    "various",
    "see below",
    "not known",
}

# Columns that carry no fact of the member, or that repeat its place in the list.
_DROPPED = word_set(
    "notes note ref refs reference references source sources comments comment remarks remark description image "
    "photo photograph picture coordinates website link links details detail rank ranking number profile summary "
    "notability map citation significance information info logo flag signature portrait url homepage id index "
    "order name names reason explanation other"
) | {
    "based",
    "conf",
    "lang",
    "qual",
    "gap",
    "since",
    "elevated",
    "elevator",
    "qualified",
    "area size",
    "lvl",
    "s no",
    "official website",
    "number on map",
    "reg no",
    "in",
    "out",
}
_SHORTHAND = {
    "pos": "position",
    "no": "",
    "apps": "appearances",
    "pts": "points",
    "wkts": "wickets",
    "pop": "population",
}
_ALONE = word_set("to from with and of at by as year's whose is has in on")


@lru_cache(200_000)
def clean_text(text: str) -> str:
    """The cell as one line of plain text, without footnote marks and coordinates; tokenisation undone."""
    text = unicodedata.normalize("NFC", text).replace("\xa0", " ").replace("\u200b", "").replace("’", "'")
    text = _FOOTNOTE.sub("", _COORDINATES.sub("", text))
    text = re.sub(r" ?\(#.*\)", "", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ([,.;:!?)%])", r"\1", text)
    text = re.sub(r"([(]) ", r"\1", text)
    text = re.sub(r" '(s|t|re|ve|ll)\b", r"'\1", text)
    text = re.sub(r"(?<=\d)[-–] (?=\d)|(?<=\d) [-–](?=\d)", "–", text)
    return text.strip(" ,;:").replace("()", "").strip()


@lru_cache(200_000)
def is_usable_cell(text: str) -> bool:
    """Whether a cleaned cell can be shown as a value."""
    if text.lower() in _EMPTY or len(text) > MAX_CELL:
        return False
    if text.count("(") != text.count(")") or text.count('"') % 2 or re.search(r"(?:^|\s)'(?:\s|$)|''", text):
        return False
    return not re.search(r"^\(.*\)$|^[+] |[|\n\\<>{}\[\]_]|https?:|www\.| {2}|\s[.,;:)]|\( |#\d|°|′", text)


@lru_cache(200_000)
def is_usable_name(text: str) -> bool:
    """Whether a cleaned cell can be a member's name: words, not a bare number or date."""
    if not is_usable_cell(text) or _BARE_OR_DATE.fullmatch(text) or "/" in text or "," in text or '"' in text:
        return False
    letters = [c for c in text if c.isalpha()]
    if not letters or (len(letters) <= 2 and text.isupper() and text.isascii()):
        return False
    return text[0].isalpha() and not re.search(r"\(\d+\)|\(.*\(|^\d+\W*(\(.*\))?$|[?!.] ", text)


def clean_name(text: str) -> str:
    """The name without a country's or an office's code in brackets behind it."""
    return re.sub(r"\s*\((?:[A-Z]{2,3}|[a-z]|c|captain|C|\d+(?:st|nd|rd|th) appearance)\)$", "", text).strip('"')


def squared(value: str) -> str:
    """The value of an area: the table lost the superscript of "km²"."""
    return re.sub(r"^([\d.,]+) (km|mi|m)2?$", r"\1 \2²", re.sub(r" \(.*\)$", "", value))


def column_name(header: str) -> tuple[str, str]:
    """The short lower-case name of a column and its unit, `("", "")` where none is left."""
    header = clean_text(header).replace("(s)", "").replace(" (s", "")
    unit = ""
    if bracket := re.search(r"\(([^)]*)\)|\b(?:in )(km|m|ha|ft)²?$", header):
        unit = _UNITS.get((bracket.group(1) or bracket.group(2) or "").lower().strip(), "")
        header = header.replace(bracket.group(0), " ")
    name = re.sub(r"\s+", " ", header.lower().replace(" & ", " and ").replace(".", "")).strip(" :-")
    if turned := re.fullmatch(r"(date|year|place|cause|country|method|length|time|point) of ([a-z]+)", name):
        name = turned.group(2) if turned.group(2) == "residence" else f"{turned.group(2)} {turned.group(1)}"
    name = re.sub(r"^(?:number|no|name) of (?:the )?", "", name)
    name = _SHORTHAND.get(name, name)
    if not _CLEAN_NAME.fullmatch(name) or name in _DROPPED or "name" in name.split() or len(name) > 24:
        return "", ""
    words = name.split()
    if len(name) < 3 or any(word in _ALONE for word in words) or any(not set("aeiouy") & set(word) for word in words):
        return "", ""
    return name, unit


_PARTICIPLES = {
    "opened": "opening", "closed": "closure", "established": "establishment", "founded": "foundation",
    "built": "construction", "completed": "completion", "inducted": "induction", "released": "release",
    "appointed": "appointment", "joined": "entry", "listed": "listing", "designated": "designation",
    "formed": "formation", "dissolved": "dissolution", "elected": "election", "born": "birth", "died": "death",
    "created": "creation", "introduced": "introduction", "commissioned": "commission", "discovered": "discovery",
    "launched": "launch", "constructed": "construction", "began operation": "start", "first used": "first use",
    "first elected": "first election", "first flown": "first flight", "premiered": "premiere",
}  # fmt: skip


def noun_name(name: str, kind: ColumnKind) -> str:
    """A column called by a participle under a noun's name, so that one can ask for it: "opened" -> "opening year"."""
    if name not in _PARTICIPLES:
        return name
    return f"{_PARTICIPLES[name]} {'year' if kind == 'year' else 'date'}"


def has_lost_separators(values: Sequence[str]) -> bool:
    """Whether "2.862" in this column is rather 2,862: every value that has a point has three digits behind it."""
    pointed = [value for value in values if re.match(r"\d+\.\d", value)]
    return bool(pointed) and all(re.match(r"\d{1,3}\.\d{3}(?!\d)", value) for value in pointed)


def number_of(text: str) -> float | None:
    """The number that a cell consists of, a currency sign or a short unit aside; `None` for anything else."""
    match = _NUMBER.fullmatch(text)
    return (
        float(match["digits"].replace(",", "")) * (-1 if "-" in text.partition(match["digits"])[0] else 1)
        if match
        else None
    )


def unit_of(text: str) -> str:
    match = _NUMBER.fullmatch(text)
    return (match["unit"] or "") if match else ""


def column_kind(values: Sequence[str]) -> ColumnKind:
    """What all values of a column are. Numbers of different units are text: they cannot be compared."""
    if all(_YEAR.fullmatch(value) for value in values):
        return "year"
    if all(_DATE.fullmatch(value) for value in values):
        return "date"
    if all(number_of(value) is not None for value in values) and len({unit_of(value) for value in values}) == 1:
        return "number"
    return "text"
