"""An amount: a number or a range with its unit, and whether two of them agree."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from wideseek.quantities.numerals import EXACT, spelled
from wideseek.quantities.units import MONEY, UNITS, same_kind


class Quantity(msgspec.Struct, frozen=True):
    """A number from `low` to `high` in `unit` ("" where none is named), its scale multiplied in.

    `bound` is `<` or `>` where that sign stands before the number, `scaled` whether a scale word stands behind it.
    `start` and `end` are its place in the tidied text.
    """

    low: Decimal
    high: Decimal
    unit: str = ""
    bound: str = ""
    scaled: bool = False
    start: int = 0
    end: int = 0

    @property
    def kind(self) -> str:
        """What is measured: `length`, `area`, `share` (percent) ..., a currency, "" for a bare number.

        An opaque unit is its own kind; of money per something it is the currency's, per that: `usd/kg`.
        """
        if self.unit in UNITS:
            return UNITS[self.unit].kind
        head, slash, divisor = self.unit.partition("/")
        return f"{UNITS[head].kind}/{divisor}" if slash and head in UNITS and UNITS[head].kind in MONEY else self.unit

    @property
    def is_known(self) -> bool:
        """Whether its unit, if it has one, is in the table."""
        return not self.unit or self.unit in UNITS

    @property
    def factor(self) -> Decimal:
        """How many of its kind's first unit the unit is; 1 for a bare number and an opaque unit."""
        return UNITS[self.unit].factor if self.unit in UNITS else Decimal(1)

    def in_base_unit(self) -> tuple[Decimal, Decimal]:
        """Both ends in the first unit of the kind: metres, square metres, seconds ..."""
        return EXACT.multiply(self.low, self.factor), EXACT.multiply(self.high, self.factor)

    def text(self) -> str:
        """One spelling for equal quantities: `1000length` for 1 km, `12%`, `1990`."""
        ends = self.in_base_unit()
        if self.kind == "share":
            ends, name = (EXACT.multiply(ends[0], 100), EXACT.multiply(ends[1], 100)), "%"
        else:
            name = self.kind
        low, high = map(spelled, ends)
        span = low if low == high else f"{low}..{high}"
        return f"{self.bound}{span}{name}"


def near(said: Quantity, gold: Quantity, tolerance: float = 0.0) -> bool:
    """Whether `said` is off by no more than `tolerance` times the gold's value, at both ends of a range."""
    if said.bound != gold.bound or (said.low == said.high) != (gold.low == gold.high):
        return False
    if said.unit and gold.unit:
        if not same_kind(said.kind, gold.kind):
            return False
        pairs = zip(said.in_base_unit(), gold.in_base_unit(), strict=True)
    elif "share" in (said.kind, gold.kind):  # 50 % is 0.5
        pairs = zip(said.in_base_unit(), gold.in_base_unit(), strict=True)
    else:  # a bare number is meant in the other's unit
        pairs = zip((said.low, said.high), (gold.low, gold.high), strict=True)
    allowed = Decimal(repr(tolerance))
    return all(abs(EXACT.subtract(one, other)) <= EXACT.multiply(abs(other), allowed) for one, other in pairs)
