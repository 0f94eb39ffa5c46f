"""A small English grammar of broad questions: which list, which columns, which filter.

    wide        the members of a list, with columns       "List the lighthouses of Denmark with their height and year."
    wide        the members of a list, with columns       "List the lighthouses of Denmark with their height."
    attribute   one column of a named thing               "What is the height of Dueodde?"
    selected    the one that fulfils a test, or is the    "Which of the lighthouses of Denmark has the greatest height?"
                highest or lowest, or its column          "What is the year of the one whose height is 30 m?"

A test needs its column's name: "built after 1900" or "taller than 30 m" are beyond it.

The grammar knows function words and how requests are put; it knows no list, no column and no value. A question is
read in three cuts: the test ("whose COLUMN is VALUE") is taken out, then the columns ("with their A and B", "the A
of each ..."), and what is left of the request is the list's noun phrase.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Op = Literal["is", "above", "below"]
Extreme = Literal["highest", "lowest"]

MAX_QUESTION = 2_000


@dataclass(frozen=True)
class Filter:
    """A test of a member: `column` is, is above or is below `value`. Dates and years count as numbers."""

    column: str
    op: Op
    value: str

    def holds(self, value: str) -> bool:
        """Whether a member with this value passes."""
        if self.op == "is":
            return _folded(value) == _folded(self.value)
        number, bound = first_number(value), first_number(self.value)
        if number is None or bound is None:
            return False
        return number > bound if self.op == "above" else number < bound


@dataclass(frozen=True)
class Request:
    """What a question asks for.

    `kind` is "wide" for a table of `phrase`'s members with `columns`, "deep" for one short answer. Deep: with
    `member`, its
    `columns[0]`; else the member of `phrase` that `filter` or `extreme` (column, which end) picks out, or its
    `columns[0]`.
    """

    kind: Literal["wide", "deep"]
    phrase: str = ""
    columns: list[str] = field(default_factory=list)
    filter: Filter | None = None
    extreme: tuple[str, Extreme] | None = None
    member: str = ""


def parse_question(question: str) -> Request | None:
    """The request that a question makes, `None` where the grammar cannot read one. Never raises."""
    text, listed = _without_column_list(_plain(question[:MAX_QUESTION]))
    sentences = [s for s in map(_without_courtesy, _sentences(text)) if s]
    requests = [s for s in sentences if _REQUESTING.match(s)] or sentences[:1]
    return (None if listed else _selected(requests) or _attribute(requests)) or _wide(requests, listed)


def first_number(text: str) -> float | None:
    """The first number in a text, thousands separators removed."""
    match = re.search(r"-?\d+(?:,\d{3})*(?:\.\d+)?", text.replace("−", "-"))
    return float(match[0].replace(",", "")) if match else None


# ------------------------------------------------------------------------------------------------------------ the text

_SPACE = re.compile(r"\s+")
_COLUMN_LIST = re.compile(
    r"(?:[.;,(]\s*)?\b(?:(?:the |with |as |use |using )*(?:columns?|fields?|headers?|headings?)(?: names?)?(?: are"
    r"| wanted| needed)?"
    r"(?: as follows)?(?:,? in this order)?)\s*:\s*(?P<columns>[^.?!;)]+)[.;)]?",
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')]*\s+(?=[^\W\d_a-z]|\d)")
_COURTESY = re.compile(
    r"^(?:hello|hi|hey|dear \w+|good (?:morning|afternoon|evening)|please|kindly|thanks|thank you|ok|okay|so|well"
    r"|now|then|and)\b[\s,!]*"
    r"|[\s,]*\b(?:please|thanks(?: a lot| in advance)?|thank you(?: very much)?|cheers|if you can|as collected here"
    r"|in (?:one|a) table"
    r"|as (?:one|a) table|for (?:me|us))\s*[.!?]*$",
    re.I,
)


def _plain(text: str) -> str:
    quotes = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "})
    return _SPACE.sub(" ", text.translate(quotes)).strip()


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip(" .\"'").casefold()


def _without_column_list(text: str) -> tuple[str, list[str]]:
    """The text without an explicit list such as "Columns: Name, City, Year", and that list."""
    match = _COLUMN_LIST.search(text)
    if not match:
        return text, []
    return f"{text[: match.start()]}. {text[match.end() :]}".strip(), _columns(match["columns"])


def _sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE_END.split(text)]


def _without_courtesy(sentence: str) -> str:
    before = None
    while before != sentence:
        before, sentence = sentence, _CONTEXT.sub("", _COURTESY.sub("", sentence).strip())
    return sentence.rstrip(" .?!").strip()


# --------------------------------------------------------------------------------------------------------------- cuts

_END = (
    r"(?=\s*(?:$|[;:?!]|,(?!\d{3})|\.(?:\s|$)"
    r"|\s(?:have$|with (?:the|their)|and (?:give|show|list|tell|state|add|what)|along with|together with)\b))"
)
_ABOVE = (
    r"(?:(?:is|are|was|were|lies|comes|of|falls) )?(?:above|over|more than|greater than|higher than|larger than"
    r"|bigger than|after"
    r"|later than|in excess of)|exceeds"
)
_BELOW = (
    r"(?:(?:is|are|was|were|lies|comes|of|falls) )?"
    r"(?:below|under|less than|fewer than|lower than|smaller than|before|earlier than)"
)
_RELATIVE = (
    r"(?:(?:but )?(?:(?:only|just) (?:for |of )?)?(?:those|the ones|ones|members|entries|rows) )?"
    r"(?:whose|where (?:the|their|its)|for which (?:the|their|its)|(?:with|having|that has|that have|which have"
    r"|which has) an?)"
)
_TEST = re.compile(
    rf"[\s,(]*(?:\b(?:but )?(?:only|just|limited to|restricted to|keeping|keep) )?\b{_RELATIVE} (?P<column>[^,;:?]+?) "
    rf"(?:(?P<above>{_ABOVE})|(?P<below>{_BELOW})|(?:is|are|was|were|equals|reads|of|says)(?: (?:exactly|given as"
    rf"|equal to))?)"
    rf" (?P<value>.+?)\)?{_END}",
    re.I,
)
_MORE_THAN = re.compile(
    rf"[\s,]*\bwith (?:(?P<above>more|over)|(?P<below>fewer"
    rf"|less))(?: than)? (?P<value>[\d.,]*\d) (?P<column>[a-z][a-z -]*?){_END}",
    re.I,
)
_AS_ITS = re.compile(
    r"\b(?:has|have|had) (?P<value>.+?) (?:as|for|under) (?:its|their|the|his|her) (?P<column>[^,;:?]+?)"
    r"(?=$|[,;:?])",
    re.I,
)
_HIGH = r"highest|largest|greatest|biggest|latest|most recent|top|maximum"
_LOW = r"lowest|smallest|least|earliest|oldest|minimum"
_EXTREME = re.compile(
    rf"[\s,]*(?:\b(?:has|have|with|having|shows?|reach(?:es)?|that has) (?:the|its)|\bwhose) "
    rf"(?:(?P<high>{_HIGH})|(?P<low>{_LOW})) (?P<column>(?:(?! (?:is|are) )[^,;:?])+?)(?: of (?:all|them all"
    rf"|any))?(?=$|[,;:?]|\.(?:\s|$)| have$| (?:among|of|out of) the\b| and (?:tell|give|what|state)\b)",
    re.I,
)
_EXTREME_IS = re.compile(
    rf"[\s,]*\bwhose (?P<column>[^,;:?]+?) (?:is|was|are) the (?:(?P<high>{_HIGH})|(?P<low>{_LOW}))(?: of (?:all"
    rf"|them all))?"
    r"(?=$|[,;:?]|\.(?:\s|$)| have$| and (?:tell|give|what|state)\b)",
    re.I,
)


def _cut_test(text: str) -> tuple[str, Filter | None]:
    """The text without its test, and the test."""
    for pattern in (_TEST, _MORE_THAN):
        if match := pattern.search(text):
            named = match.groupdict()
            op: Op = "above" if named["above"] else "below" if named["below"] else "is"
            cut = Filter(_column(match["column"]), op, match["value"].strip(" \"'"))
            return f"{text[: match.start()]}{text[match.end() :]}", cut
    return text, None


def _cut_extreme(text: str) -> tuple[str, tuple[str, Extreme] | None]:
    for pattern in (_EXTREME_IS, _EXTREME):
        if match := pattern.search(text):
            end: Extreme = "highest" if match["high"] else "lowest"
            return f"{text[: match.start()]}{text[match.end() :]}", (_column(match["column"]), end)
    return text, None


_POSSESSIVE = r"(?:the|their|its|his|her|both|each one's|every one's)"
_WITH_COLUMNS = re.compile(
    rf"[\s,;:]*\b(?:(?:along|together|complete) with|with|including|stating|showing|giving|plus|next to|as well as"
    rf"|alongside|add)"
    rf"(?: (?:also|both))?(?: (?P<determiner>{_POSSESSIVE}))?(?: respective)? (?P<columns>.+)$",
    re.I,
)
_AND_COLUMNS = re.compile(r"[\s,;:]*\band(?: also)? (?:their|its|the)(?: respective)? (?P<columns>.+)$", re.I)
_COLON_COLUMNS = re.compile(r"\s*[:;] (?P<columns>[^:;]+)$")
_COLUMNS_OF_EACH = re.compile(
    r"^(?P<columns>(?:(?!\bof\b|\bfor\b).)+?) (?:of|for|belongs? to|do|does|have been given for) "
    r"(?P<quantifier>(?:each|every one|every|all|any)(?: one)?(?: of)?(?: the)?) (?P<phrase>.+)$",
    re.I,
)
_FOR_EACH = re.compile(
    r"^(?:for|of|over|across|going through|take) (?:each|every one|every"
    r"|all)(?: one)?(?: of)?(?: the)? (?P<phrase>[^,;:]+?)"
    r"(?:[,;:]| -) *(?P<rest>.+)$",
    re.I,
)
_ASKING = re.compile(
    r"^(?:and |then |also |please |could you |can you |would you |i (?:also )?(?:need|want|would like)(?: to know"
    r"| to see)?|i'd like(?: to know)?"
    r"|what (?:is|are|was|were)|which|give|tell|show|add|include|put|write down|say|look up|find|me|us|down|for each"
    r"|(?:state|list|note|name|report)(?= (?:the|their|its|his|her|me|us|for|both|down)\b)|of each|its|the|their|his"
    r"|both|in|as|columns?|what|there)\b[\s,:]*",
    re.I,
)
_TRAILING = re.compile(
    r"[\s,]*\b(?:(?:of|for) (?:each|every|all)(?: one)?(?: of them| of these| entry| member| row)?|for them(?: all)?"
    r"|each|respectively|too|as well|next to it"
    r"|(?:is|are|was|were) (?:given|stated|listed|recorded|it|they)|it has|they have|do they have|does it have"
    r"|beside it|if known)$",
    re.I,
)


def _column(text: str) -> str:
    text = re.sub(rf"^(?:{_POSSESSIVE}|an?) ", "", text.strip(" .\"'"), flags=re.I)
    return text.strip().lower()


def _columns(text: str) -> list[str]:
    """The column names of an enumeration, in order, lower-case; the name of the member itself is none."""
    before = None
    while before != text:
        before, text = text, _TRAILING.sub("", text.strip(" .,;:?!"))
    parts = re.split(r"\s*(?:,|;|\||&|\bas well as\b|\band\b|\bplus\b)\s*", text, flags=re.I)
    names = [_column(re.sub(r"^(?:also|finally|lastly|respective) ", "", part, flags=re.I)) for part in parts]
    return list(dict.fromkeys(name for name in names if name and name not in {"name", "names"}))


def _without_asking(text: str) -> str:
    before = None
    while before != text:
        before, text = text, _ASKING.sub("", text).strip()
        if re.match(rf"{_POSSESSIVE} ", before, re.I):  # "the state" is a column, "state the" is asking
            break
    return text


# ---------------------------------------------------------------------------------------------------------- wide
# readings

_LEAD_IN = re.compile(
    r"^(?:and |then |also |just |please |kindly |could you |can you |would you |will you |i am |i'm |we are |we're "
    r"|i would |i'd |we would |we'd |i |we "
    r"|need |want |like |love |looking for |after |trying to |to |have |get |see |know |give |show |list |name "
    r"|find |collect |compile |gather |make "
    r"|build |draw up |put together |set out |write down |write |prepare |assemble |tabulate |produce |create "
    r"|fetch |look up |enumerate |identify "
    r"|tell |help |go through |look through |search |bring |me |us |out |up |down |together |about |what are "
    r"|which are |what |which |who are |who "
    r"|here is |here are |there are |is there |are there |a |an |one |the |full |complete |entire |whole |single "
    r"|short |small |table |list |overview "
    r"|summary |catalogue |rundown |of |for |on |covering |all |every one |every |each |everything |available )",
    re.I,
)
_CONTEXT = re.compile(r"^(?:for|as part of|while) (?:a|an|my|our|some|work on) [^,]+, ", re.I)
_REQUESTING = re.compile(
    r"^(?:give|show|list|name|find|collect|compile|gather|make|build|draw|put|set|write|prepare|assemble|tabulate"
    r"|produce|create|fetch|look|search"
    r"|enumerate|identify|tell|go|bring|help|what|which|who|whose|for|of|among|from|out of|i need|i want|i also"
    r"|i would like|i'd like|i am looking"
    r"|i'm looking|we need|we want|we would like|we'd like|we are looking|could|can|would|will|all|every|each|take"
    r"|consider|the|add|include|note|state"
    r"|say|there is)\b",
    re.I,
)
_PHRASE_END = re.compile(
    r"\s*(?:[,;:?!(]|\s-\s|\.(?:\s|$)|\b(?:and|with|are|is|was|were|can be|in (?:one|a) table|exist|you can find"
    r"|(?:do )?you know)\b).*$",
    re.I,
)


def _wide(sentences: list[str], listed: list[str]) -> Request | None:
    """A table of a list's members: the phrase from the first sentence that has one, columns and test from any."""
    phrase, columns, test = "", list(listed), None
    for sentence in sentences:
        rest, found = _cut_test(sentence)
        test = test or found
        if phrase:
            said, named = "", _columns(_without_asking(_ROW_IS.sub("", rest))) if not found else []
        else:
            said, named = _phrase_and_columns(rest)
        phrase = phrase or said
        columns = columns or named
    if not phrase or not (columns or any(_FOR_ALL.search(sentence) for sentence in sentences)):
        return None
    return Request("wide", phrase, columns, test)


_FOR_ALL = re.compile(r"\b(?:all|every|each|list|table|which|what are|name)\b", re.I)


def _phrase_and_columns(sentence: str) -> tuple[str, list[str]]:
    """What one sentence says of the list and of the columns."""
    sentence = _THERE.sub(r"\1 \2", _ROW_IS.sub("", sentence))
    if match := _FOR_EACH.match(sentence):
        return _phrase(match["phrase"]), _columns(_without_asking(match["rest"]))
    if match := _COLUMNS_OF_EACH.match(sentence):
        columns = _columns(_without_asking(match["columns"]))
        if columns and all(len(column.split()) <= 4 for column in columns) and not _A_LIST.search(match["columns"]):
            return "" if _BACK.fullmatch(match["phrase"]) else _phrase(match["phrase"]), columns
    if match := _AND_ASK.match(sentence):
        return _phrase(match["phrase"]), _columns(_without_asking(match["rest"]))
    for pattern in (_WITH_COLUMNS, _AND_COLUMNS, _COLON_COLUMNS):
        if match := pattern.search(sentence):
            return _phrase(sentence[: match.start()]), _columns(match["columns"])
    return _phrase(sentence), []


_THERE = re.compile(
    r"^((?:which|what) .+?) (?:are there|exist|can be found|do you know of) ((?:in|on|of|at|from) .+)$", re.I
)
_ROW_IS = re.compile(r"^(?:each|every|one) (?:row|line|entry) (?:is|stands for|holds|for|per) [^;,]+[;,]\s*", re.I)
_BACK = re.compile(r"(?:one|ones|them|these|those|entry|member|row|item)\b.*", re.I)
_A_LIST = re.compile(r"\b(?:list|table|overview|summary|names?|together|through|all|every|each)\b", re.I)
_AND_ASK = re.compile(
    r"^(?P<phrase>.+?)[,;:]? (?:and|then) (?P<rest>(?:what|which|give|state|tell|show|note|add|put|say|write|include"
    r"|list)\b.+)$",
    re.I,
)


def _phrase(text: str) -> str:
    """The noun phrase that is left when the words of asking are gone from both ends."""
    text = text.strip(" .,;:?!\"'")
    before = None
    while before != text:
        before, text = text, _LEAD_IN.sub("", text).strip()
    return _PHRASE_END.sub("", text).strip(" .,;:?!\"'")


# ---------------------------------------------------------------------------------------------------------- deep
# readings

_ONE = (
    r"(?<!every )(?<!each )"
    r"(?:the (?:only |single )?(?:one|member|entry|\w+(?= among\b))|which(?: one| single one| member| entry)?|one|who)"
)
_ONE_OF = re.compile(rf"\b{_ONE} (?:of|among|from|out of)(?: all)?(?: the)? (?P<phrase>.+)$", re.I)
_AMONG = re.compile(
    r"^(?:among|of|out of|from|within)(?: all)?(?: of)?(?: the)? (?P<phrase>[^,;:]+)[,;:] *(?P<rest>.+)$"
    r"|^(?:look|go|search) through(?: all)?(?: the)? (?P<through>[^,;:]+?),? and (?P<then>.+)$",
    re.I,
)
_PICK = re.compile(rf"\b{_ONE}\b", re.I)
_BACK_REFERENCE = re.compile(
    r"[\s,;:.]*\b(?:and )?(?:then )?(?:(?:what|which|tell|give|state|say|report|name)\b[^,;:.]*?)?\b(?:its|their|his"
    r"|her) (?P<column>[^,;:?.]+)$",
    re.I,
)
_ASKED = re.compile(
    r"^(?:.*\b(?:the|its)|.*\b(?:which|what)) (?P<column>[^,;:]+?)(?: (?:is|was|are|were) (?:recorded|given|listed"
    r"|stated))?$",
    re.I,
)
_SEVERAL = re.compile(r"\b(?:those|the ones|(?:of|for) each|every one)\b", re.I)


def _selected(sentences: list[str]) -> Request | None:
    """One member picked out of a list, or a column of it."""
    rest, extreme = _cut_extreme(". ".join(sentences))
    test = None
    if not extreme:
        rest, test = _cut_test(rest)
    if not extreme and not test and (match := _AS_ITS.search(rest)):
        test = Filter(_column(match["column"]), "is", match["value"].strip(" \"'"))
        rest = f"{rest[: match.start()]}{rest[match.end() :]}"
    if (not extreme and not (test and test.op == "is")) or _SEVERAL.search(rest):
        return None
    found = _picked(rest)
    return Request("deep", found[0], [found[1]] if found[1] else [], test, extreme) if found and found[0] else None


def _picked(text: str) -> tuple[str, str] | None:
    """The phrase and the asked column ("" for the member itself) of a text that picks one member, else `None`."""
    column = ""
    text = re.sub(r"\bhave$", "", text).strip()
    if match := _BACK_REFERENCE.search(text):
        text, column = text[: match.start()], _column(match["column"])
    if match := _AMONG.match(text):
        phrase, rest = match["phrase"] or match["through"], match["rest"] or match["then"]
        picked = _PICK.search(rest)
        return (_phrase(phrase), column or _asked_column(rest[: picked.start()])) if picked else None
    if match := _ONE_OF.search(text):
        return _phrase(match["phrase"]), column or _asked_column(text[: match.start()])
    return None


def _asked_column(text: str) -> str:
    """The column in "Tell me the height of", "Which height does"; "" where no column is asked."""
    text = re.sub(r"\b(?:of|for|does|has|have|did)\s*$", "", text.strip()).strip()
    match = _ASKED.match(text)
    column = _column(match["column"]) if match else ""
    return column if len(column.split()) <= 4 and column not in {"name", "names"} else ""


_MANY = r"(?-i:each|every|all|any|both|EACH|EVERY|ALL)\b"
_NAMED = (
    rf"(?!{_MANY})(?P<member>(?:(?! with (?:the|their|its|an?)\b|,? (?:with|and|including) | and their\b"
    r"| whose\b| where the\b| for which\b).)+)$"
)
_ATTRIBUTE = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        rf"^(?:what|which) (?:is|was|are|were) the (?P<column>(?:(?! of | for ).)+?) (?:of|for) {_NAMED}",
        r"^(?:what|which) (?P<column>(?:(?! of | for ).)+?) (?:does|do|did) (?P<member>.+?) (?:have|show|carry)$",
        rf"^(?:what|which) (?P<column>(?:(?! of | for ).)+?) (?:is|was|are|were) (?:recorded|given|listed|stated"
        rf"|known) for {_NAMED}",
        rf"^(?:what|which) (?P<column>(?:(?! of | for ).)+?) (?:belongs to|goes with) {_NAMED}",
        r"^(?:(?:i|we) (?:would|want|need|wish)(?: like)? to know|i'd like to know|(?:could|can"
        r"|would) you (?:please )?(?:tell|give|find|show) (?:me|us)"
        r"|tell me|give me|find(?: me)?|look up|say|state|i want|i need|show me) the (?P<column>(?:(?! of "
        r"| for ).)+?) (?:of|for|(?:given|recorded|listed) for) " + _NAMED,
        r"^(?:please )?(?:look up|for|take|about|consider|open|find|see) (?P<member>.+?)(?:[,:;]| and)(?: then)? "
        r"(?:what (?:is|was|are)|which is|tell me|give(?: me)?|state|say|report|name|note) (?:its|his|her|their"
        r"|the) (?P<column>[^,;:]+)$",
    )
)
_APPOSITION = re.compile(r", (?:which is |who is )?(?:one of|among|from) (?:the )?(?P<phrase>[^,]+),?$", re.I)


def _attribute(sentences: list[str]) -> Request | None:
    """One column of a named member."""
    for sentence in sentences:
        phrase = ""
        if among := _AMONG.match(sentence):
            phrase, sentence = _phrase(among["phrase"] or among["through"]), among["rest"] or among["then"]
        match = next((found for pattern in _ATTRIBUTE if (found := pattern.match(sentence))), None)
        if not match or re.match(_MANY, match["member"]):
            continue
        column, member = _column(match["column"]), match["member"].strip(" .?!,")
        if apposed := _APPOSITION.search(member):
            phrase, member = apposed["phrase"], member[: apposed.start()]
        if member and not _A_LIST.search(column) and not re.search(r"\band\b|,", column):
            return Request("deep", phrase, [column], member=member)
    return None
