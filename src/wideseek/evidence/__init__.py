"""Evidence: where each cell of a table stands, on pages that the rollout's agents read. It needs no model.

levels.py    Evidence, its three levels, and how the cells of a table are counted
keys.py      which columns name a row
trace.py     table, key, rollout -> one Evidence per cell; short_answer: that of an answer in a box

page.py      a page, indexed once; Shelf: the pages of a run, prepared as they are read
layout.py    a page's text -> records (fields under labels) and sentences
labels.py    whether a label names a column
fit.py       whether a field says a value
names.py     which rows a page is about; where a name stands as a whole
clause.py    whether a clause ties a value to a column
values.py    numbers with scale and unit, dates, cells
units.py     units, currencies and scale words; what a label gives to bare numbers
text.py      cleaning, folding, words
"""

from wideseek.evidence.keys import key_columns, telling_key
from wideseek.evidence.levels import Evidence, EvidenceTable, Levels, Status, Verdict, supported_share
from wideseek.evidence.page import Shelf
from wideseek.evidence.trace import short_answer, trace

__all__ = [
    "Evidence",
    "EvidenceTable",
    "Levels",
    "Shelf",
    "Status",
    "Verdict",
    "key_columns",
    "short_answer",
    "supported_share",
    "telling_key",
    "trace",
]
