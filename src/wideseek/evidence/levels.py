"""What the evidence of a cell says, and how the cells of a table count.

    supported    key, value and column are tied to each other on a page that was read
    mentioned    key and value stand in one passage, but nothing ties the value to the column
    unsupported  neither; also where a page says something else of this column
    empty        the cell holds no value

Only `supported` counts as supported. `mentioned` says little: in prose, most wrong values are mentioned too.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["supported", "mentioned", "unsupported", "empty"]
Verdict = Literal["supports", "contradicts", "says nothing"]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands behind one cell: the page's url, the passage, and the path of the first agent that read it.

    `tie` says what ties the value to the column ("label: height", "header: Height (m)", "words: tall"). `verdict` is
    what a model said of the cell beside its quote, where one was asked (`--verify`); it never changes `status`.
    """

    status: Status
    url: str | None = None
    quote: str | None = None
    agent: str | None = None
    tie: str | None = None
    verdict: Verdict | None = None


EvidenceTable = list[list[Evidence]]
"""One `Evidence` per cell: `evidence[row][column]`, in the table's order."""


class Levels(msgspec.Struct, frozen=True):
    """How many cells of a table stand on which level. The four levels add up to `cells`."""

    supported: int = 0
    mentioned: int = 0
    unsupported: int = 0
    empty: int = 0

    @classmethod
    def of(cls, evidence: EvidenceTable) -> Levels:
        counts = {"supported": 0, "mentioned": 0, "unsupported": 0, "empty": 0}
        for row in evidence:
            for cell in row:
                counts[cell.status] += 1
        return cls(**counts)

    @property
    def cells(self) -> int:
        return self.found + self.empty

    @property
    def found(self) -> int:
        """Cells that hold a value."""
        return self.supported + self.mentioned + self.unsupported

    @property
    def share(self) -> float | None:
        """Supported cells over all cells, empty ones included, in [0, 1]; `None` where nothing was found."""
        return self.supported / self.cells if self.found else None


def supported_share(evidence: EvidenceTable) -> float | None:
    """Supported cells over all cells, empty ones included, in [0, 1]; `None` where every cell is empty."""
    return Levels.of(evidence).share
