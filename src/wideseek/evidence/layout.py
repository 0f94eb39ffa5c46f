"""The structure of a page: which values stand under which labels, and what is prose.

    read_layout(text) -> records, sentences

A *record* holds fields (label and value) that belong together: a table row under its header, neighbouring lines
`label: value`, a list item with its children, a line `name; label: value; label: value`, a column of a table that is
turned. All else falls into sentences.

Two readings are kept where a table allows both: a table of two columns is rows, and it is `label | value` lines (an
infobox); a table whose first header says nothing is rows, and it is columns. The wrong reading ties nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import zip_longest

from wideseek.evidence.labels import Label, label_of
from wideseek.evidence.text import Text, fold
from wideseek.evidence.values import Dated, Number, dates, numbers

LONGEST = 2_000  # characters of a sentence; what is longer states nothing
MOST_TURNED = 40  # rows or columns of a table that may be turned


class Field:
    """A value and its label; the label is empty where the page gives none.

    `shared`: other columns of the table bear the same header, so that the label does not say which of them it is.
    """

    __slots__ = ("__dict__", "raw", "raw_label", "shared")

    def __init__(self, label: str, value: str, shared: bool = False) -> None:
        self.raw_label, self.raw, self.shared = label, value, shared

    @cached_property
    def label(self) -> Label:
        return label_of(self.raw_label)

    @cached_property
    def text(self) -> Text:
        return Text(self.raw)


class Record:
    """Fields that belong together, under a heading. `kind` is how they stood: `row`, `lines`, `item`, `column`.

    `alone` is false for a row or a column that has siblings in its table: they are about different things.
    """

    __slots__ = ("alone", "fields", "heading", "kind", "quote")

    def __init__(self, kind: str, heading: str, quote: str) -> None:
        self.kind, self.heading, self.quote = kind, heading, quote
        self.fields: list[Field] = []
        self.alone = True


class Sentence:
    """A sentence; `whole` where it ends as one does: a heading, a menu or a caption states nothing."""

    __slots__ = ("__dict__", "heading", "raw", "whole")

    def __init__(self, raw: str, heading: str, whole: bool) -> None:
        self.raw, self.heading, self.whole = raw, heading, whole

    @cached_property
    def text(self) -> Text:
        return Text(self.raw)

    @cached_property
    def folded(self) -> str:
        return fold(self.raw)

    @cached_property
    def numbers(self) -> list[Number]:
        return numbers(self.text)

    @cached_property
    def dates(self) -> list[Dated]:
        return dates(self.text)


_TABBED = re.compile(r"([^\t]{1,60})\t+([^\t]+)")
_APART = re.compile(r"([^()]{2,80}?)(?: - |: | \(|, )(.+)")  # `Ben Arra - 1,344 m`, `Ada Brock (1994-2002)`
_BULLET = re.compile(r"(\s*)(?:[-*•‣◦·+]\s+|#?\d{1,3}[.)]\s+|#\d{1,4}\s+)(.*)")
_BULLETS = frozenset("-*•‣◦·+#0123456789")
_LABEL = re.compile(
    r"((?:[^.!?:。！？|]|\.(?! [A-Z][a-z]+ [a-z])|\?(?= ?:)|:(?=\S)){1,60}?)\s*:(?=\s|$|[^\x00-\x7f])\s*(.*)"
)
_LABEL_OF_ITEM = re.compile(r"((?:[^:|;]|:(?=\S)){1,70}?)\s*:\s+(.*)")  # any mark may stand in it
_SEPARATOR = re.compile(r"\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*")
_ASSIGNED = re.compile(r"\|\s*([^|=]{1,60}?)\s*=\s*([^|=]*[^|=\s])")  # `| height = 35 m` of a template
_BAR = re.compile(r"(?<!\\)\|")
_ENDS = tuple(".!?。！？…:;")
_SENTENCE_END = re.compile(
    r"(?:(?<=\w{3}[.!?])|(?<=\d[.!?])|(?<=\d [a-z][.!?])|(?<=\d [a-z]{2}[.!?])|(?<=[.!?][\"')\]])|(?<=[!?])"
    r"|(?<=\bCo\.)|(?<=\bInc\.)|(?<=\bLtd\.)|(?<=\betc\.))"
    r"\s+(?=[^\W\d_a-z]|[\"'(\d]|[a-z][\w ]{0,30}: )"
    r"|(?<=[。！？])|(?<=[a-z]{3}\.)(?=[A-Z][a-z]+ )"
)
_ENDS_INSIDE = re.compile(r"(?:^|\s)[^\s.!?]*+[.!?]\S*+\s+\S|[a-z]\.[A-Z]|[。！？].")  # each word is read once
_GENERIC_HEADERS = frozenset(
    "property attribute field key item parameter characteristic fact facts info information detail details description "
    "value values data feature spec specification category type 项目 属性 内容".split()
)


def read_layout(text: str) -> tuple[list[Record], list[Sentence]]:
    """The records and the sentences of a cleaned text."""
    layout = _Layout(text.splitlines())
    layout.read()
    return layout.records, layout.sentences


class _Layout:
    def __init__(self, lines: list[str]) -> None:
        self.records: list[Record] = []
        self.sentences: list[Sentence] = []
        self._lines = lines
        self._heading = ""
        self._block: Record | None = None  # neighbouring `label: value` lines
        self._item: tuple[int, Record] | None = None  # the last list item and its indent
        self._pairs: Record | None = None  # a label on one line, its value on the next

    def read(self) -> None:
        at = 0
        while at < len(self._lines):
            if self._bare(at).startswith("|"):
                at = self._read_table(at)
            else:
                self._read_line(at)
                at += 1

    def _bare(self, at: int) -> str:
        return self._lines[at].strip() if 0 <= at < len(self._lines) else ""

    def _new(self, kind: str, quote: str, heading: str | None = None) -> Record:
        record = Record(kind, self._heading if heading is None else heading, quote)
        self.records.append(record)
        return record

    # ------------------------------------------------------------------------------------------------------- lines

    def _read_line(self, at: int) -> None:
        line, bare = self._lines[at], self._bare(at)
        if not bare:
            self._read_blank(at)
            return
        if bare.startswith("#") and not re.match(r"#\d", bare):
            self._heading, self._block, self._item, self._pairs = bare.strip("# "), None, None, None
            return
        bullet = _BULLET.match(line) if bare[0] in _BULLETS else None
        body = bullet[2].strip() if bullet else bare
        indent = len(bullet[1]) if bullet else len(line) - len(line.lstrip())
        if self._item is not None and indent > self._item[0]:
            self._read_child(body)
        elif (labelled := _labelled(body, item=bullet is not None)) is not None:
            self._read_labelled(at, body, labelled, indent if bullet else None)
        elif bullet:
            self._block = None
            self._read_item(body, indent)
        else:
            self._block = self._item = None
            self._read_prose(at, body)

    def _read_blank(self, at: int) -> None:
        self._pairs = None
        if not (self._item and self._lines[at + 1 : at + 2] and self._lines[at + 1].startswith(("  ", "\t"))):
            self._block = self._item = None

    def _read_labelled(self, at: int, body: str, labelled: tuple[str, str], indent: int | None) -> None:
        """A line `label: value` joins its neighbours; a short line right above them names them."""
        pieces = _pieces(body)
        if len(pieces) == 1:
            pieces = [labelled]
        if self._block is None:
            above = self._bare(at - 1)
            named = above and not _BULLET.match(self._lines[at - 1]) and len(above.split()) < 20 and above[0] != "|"
            self._block = self._new("lines", body, above.strip("# ") if named else None)
        self._block.fields += [Field(label, value) for label, value in pieces]
        if indent is not None:
            self._item = (indent, self._block)

    def _read_child(self, body: str) -> None:
        assert self._item is not None
        record = self._item[1]
        record.fields += [Field(label, value) for label, value in _pieces(body)]
        record.quote = f"{record.quote} {body}"[:1000]

    def _read_item(self, body: str, indent: int) -> None:
        """A list item without a label: a record of its own, and prose if it is long."""
        pieces = _pieces(body)
        if len(body.split()) <= 25:
            record = self._new("item", body)
            record.fields += [Field(label, value) for label, value in pieces]
            if len(pieces) == 1 and (apart := _APART.fullmatch(body)):
                record.fields += [Field("", apart[1]), Field("", apart[2].removesuffix(")"))]
            self._item = (indent, record)
        if len(pieces) == 1 and len(body.split()) >= 8:
            self._add_sentences(body)

    def _read_prose(self, at: int, body: str) -> None:
        pieces = _pieces(body)
        if len(pieces) > 1 and sum(bool(label) for label, _ in pieces) * 2 >= len(pieces):
            self._new("item", body).fields += [Field(label, value) for label, value in pieces]
            return
        self._read_pair(at, body)
        if _stands_alone(body) and not self._bare(at - 1) and not self._bare(at + 1):
            self._heading = body
        self._add_sentences(body)

    def _read_pair(self, at: int, body: str) -> None:
        """A short line above a short line may be a label above its value."""
        below = self._bare(at + 1)
        if not _may_be_label(body) or not below or below[0] in "|#-*•" or len(below.split()) > 12:
            self._pairs = self._pairs if self._pairs and self._pairs.fields[-1].raw == body else None
            return
        if re.search(r"[.!?:]$", below) or _LABEL.match(below):
            self._pairs = None
            return
        if self._pairs is None:
            self._pairs = self._new("lines", body)
        self._pairs.fields.append(Field(body, below))

    def _add_sentences(self, body: str) -> None:
        whole = _ends_as_sentence(body)
        for raw in _SENTENCE_END.split(body) if _ENDS_INSIDE.search(body) else [body]:
            if not raw.strip():
                continue
            ends = len(raw) < LONGEST and (whole or _ends_as_sentence(raw.rstrip()))
            labelled = _LABEL.match(raw) if ":" in raw else None
            if labelled and labelled[2] and len(labelled[1].split()) <= 4 and not re.search(r"[.!?]$", raw):
                self._new("lines", raw).fields.append(Field(labelled[1], labelled[2]))
            else:
                self.sentences.append(Sentence(raw, self._heading, ends))

    # ------------------------------------------------------------------------------------------------------- tables

    def _read_table(self, at: int) -> int:
        """The table that begins in line `at`; returns the first line behind it."""
        self._block = self._item = self._pairs = None
        end = at
        while self._bare(end).startswith("|"):
            end += 1
        lines = [self._bare(index) for index in range(at, end)]
        if assigned := [match for line in lines if (match := _ASSIGNED.fullmatch(line))]:
            record = self._new("lines", " ".join(lines)[:1000])
            record.fields += [Field(match[1], match[2]) for match in assigned]
            return end
        rule = next((index for index, line in enumerate(lines) if _SEPARATOR.fullmatch(line)), 0)
        rows = [(line, _cells(line)) for line in lines if not _SEPARATOR.fullmatch(line)]
        header, data = _header_of(rows, rule)
        if header is None or len(header) == 2:
            self._read_infobox(rows if header is None else _as_infobox(header, rows, data))
        if header is None and max((len(cells) for _, cells in rows), default=0) <= 2:
            return end
        self._read_rows(header or [], data)
        if header and len(header) > 2 and _says_nothing(header[0]):
            self._read_columns(header, data)
        return end

    def _read_rows(self, header: list[str], data: list[tuple[str, list[str]]]) -> None:
        shared = {name for name, count in Counter(map(str.casefold, header)).items() if name and count > 1}
        for line, cells in data:
            record = self._new("row", line)
            record.alone = len(data) == 1
            for cell, name in zip_longest(cells, header[: len(cells)], fillvalue=""):
                if cell:
                    record.fields.append(Field(name, cell, name.casefold() in shared))

    def _read_infobox(self, rows: list[tuple[str, list[str]]]) -> None:
        pairs = [cells for _, cells in rows if len(cells) == 2 and cells[0] and cells[1]]
        if pairs:
            record = self._new("lines", " ".join(line for line, _ in rows)[:1000])
            record.fields += [Field(label, value) for label, value in pairs]

    def _read_columns(self, header: list[str], data: list[tuple[str, list[str]]]) -> None:
        if len(header) > MOST_TURNED or len(data) > MOST_TURNED:
            return
        for at, name in enumerate(header[1:], 1):
            record = self._new("column", name)
            record.alone = len(header) == 2
            record.fields.append(Field("", name))
            record.fields += [Field(cells[0], cells[at]) for _, cells in data if at < len(cells) and cells[at]]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line.removeprefix("|").removesuffix("|"))]


Rows = list[tuple[str, list[str]]]
_DIGIT = re.compile(r"\d")


MOST_HEADERS = 3  # rows above a table's rule that may be its header


def _header_of(rows: Rows, rule: int) -> tuple[list[str] | None, Rows]:
    """The header of a table, its rows joined, and the rows below it. `rule`: how many rows stand above the table's
    rule; 0 where it has none. Without a rule, a first row without digits above rows with some is a header if there are
    three columns or more."""
    if not rows:
        return None, []
    if rule:
        above = rule if rule <= MOST_HEADERS else 1
    else:
        first, *below = rows
        worded = len(first[1]) > 2 and all(cell and not _DIGIT.search(cell) for cell in first[1])
        above = int(worded and bool(below) and all(_DIGIT.search(line) for line, _ in below))
        above = above or 2 * _has_second_header(rows)
    if above == 1 and _has_second_header(rows):
        above = 2
    header = _joined([cells for _, cells in rows[:above]])
    return (header if any(header) else None), rows[above:]


def _has_second_header(rows: Rows) -> bool:
    """Whether the second row goes on with the header: the first one has cells that span columns (an empty cell or a
    repeated one), the second has no digits, and it leaves the first column to the first row or stands above numbers."""
    if len(rows) < 3:
        return False
    first, second = rows[0][1], rows[1][1]
    under = [at for at, cell in enumerate(second) if cell and at and (_is_spanned(first, at) or _opens_span(first, at))]
    if len(first) < 3 or not under or any(_DIGIT.search(cell) for cell in first[:1] + second):
        return False
    if not second[0] or second[0].casefold() == first[0].casefold():
        return True
    below = [cells[at] for _, cells in rows[2:] for at in under if at < len(cells) and cells[at]]
    return bool(below) and all(_DIGIT.search(cell) for cell in below)


def _is_spanned(header: list[str], at: int) -> bool:
    """Whether the header's cell to the left goes on here: this one is empty, or says the same."""
    return 0 < at < len(header) and header[at] in ("", header[at - 1])


def _opens_span(header: list[str], at: int) -> bool:
    return at + 1 < len(header) and bool(header[at]) and _is_spanned(header, at + 1)


def _joined(headers: list[list[str]]) -> list[str]:
    """One header of several rows: each column's cells from the top down. An empty cell of an upper row goes on with
    the cell to its left where a lower row names the column; a row of one cell is the table's caption."""
    width = max(map(len, headers), default=0)
    if len(headers) > 1:
        headers = [row for row in headers if width < 3 or sum(map(bool, row)) > 1] or headers
    names: list[list[str]] = [[] for _ in range(width)]
    for depth, row in enumerate(headers):
        lower = headers[depth + 1 :]
        spanning = ""
        for at in range(width):
            cell = row[at] if at < len(row) else ""
            spanning = cell or spanning
            if not cell and any(at < len(other) and other[at] for other in lower):
                cell = spanning
            if cell and cell not in names[at]:
                names[at].append(cell)
    return [" ".join(parts) for parts in names]


def _as_infobox(header: list[str], rows: Rows, data: Rows) -> Rows:
    """A table of two columns as `label | value` lines; its header is one of them unless it only says that."""
    return data if _says_nothing(header[0]) or not header[1] else rows


def _says_nothing(header: str) -> bool:
    return not header.strip() or header.strip().lower() in _GENERIC_HEADERS


def _labelled(body: str, *, item: bool) -> tuple[str, str] | None:
    """Label and value of a line `label: value`; `None` for a sentence with a colon."""
    if ":" not in body and "\t" not in body:
        return None
    match = _LABEL.match(body) or (_LABEL_OF_ITEM.match(body) if item else None) or _TABBED.fullmatch(body)
    if match is None or not match[2] or ";" in match[1] or len(match[1].split()) > 8:
        return None
    is_sentence = re.search(r"[.!?]$", body) and len(body.split()) > 12
    return None if is_sentence else (match[1], match[2])


def _pieces(body: str) -> list[tuple[str, str]]:
    """`name; a: b; c: d` as (label, value) pairs; a line that is no such list is one piece."""
    if ":" not in body:
        return [("", body)]
    parts = re.split(r";\s+", body)
    pieces = [_piece(part) for part in parts]
    labelled = [bool(label) for label, _ in pieces]
    if len(parts) > 1 and all(labelled[1:]):
        return pieces
    whole = _LABEL.match(body)
    return [(whole[1], whole[2])] if whole and whole[2] else [("", body)]


def _piece(part: str) -> tuple[str, str]:
    match = _LABEL.match(part)
    return (match[1], match[2]) if match and match[2] and len(match[1].split()) <= 8 else ("", part)


def _may_be_label(body: str) -> bool:
    return len(body.split()) <= 4 and not re.search(r"[.!?,:;\d]$", body)


def _ends_as_sentence(text: str) -> bool:
    return text.rstrip("\"')]").endswith(_ENDS)


def _stands_alone(body: str) -> bool:
    """Whether a line between blank lines may be a heading."""
    return len(body.split()) <= 8 and not re.search(r"[.!?,:;。！？]$", body)


def field_texts(record: Record) -> Iterator[Text]:
    return (field.text for field in record.fields)
