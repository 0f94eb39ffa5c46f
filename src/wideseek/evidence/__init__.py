"""Evidence: where each cell of a table stands, on pages that the rollout's agents read. It needs no model.

levels.py    Evidence, its three levels, and how the cells of a table are counted
keys.py      which columns name a row
trace.py     table, key, rollout -> one Evidence per cell
"""

from wideseek.evidence.keys import key_columns
from wideseek.evidence.levels import Evidence, EvidenceTable, Levels, Status, Verdict, supported_share
from wideseek.evidence.trace import trace

__all__ = [
    "Evidence",
    "EvidenceTable",
    "Levels",
    "Status",
    "Verdict",
    "key_columns",
    "supported_share",
    "trace",
]
