"""Numbers as people write them, with the scale, the unit and the sign that belong to them.

    quantities    every quantity in a text, in order
    quantity      the first one, `None` where there is none or where the text can be read in two ways
    whole         the quantity that a text is, from its first to its last character
    near          whether two quantities agree within a tolerance
    unit_after    the unit that stands at a place of a tidied text (`tidied`)
    Quantity      low and high (equal unless it is a range), the unit, the sign of an inequality

What belongs to a number:

    scale       thousand, million, bn, 万, 亿, lakh, crore, k / M / B; several multiply (万亿); 3亿5000万 adds up
    sign        - − – before the digits, "minus", 负, brackets around the whole text (accounting)
    exponent    1e6, 10^6, 1.5 × 10⁶, 10<sup>6</sup>
    groups      by comma, point (where there are several), apostrophe, space, underscore; 12,34,567 as in India
    decimals    a point; a comma where it cannot part groups (12,5 · 0,125 · 1.234,56); ½
    unit        lengths, areas, masses, times ... are converted (1 km = 1000 m), currencies are not; percent
    range       10–20, 10 to 20, 10至20, between 10 and 20

A number without a unit takes the other's: 35 equals 35 m. 50 % equals 0.5. A word or sign that is no known unit is
kept as it stands: 5 barrels are not 5 bottles. What can be read in two ways is read in none: 1,2345, 2015-10-18, 3/4,
12:30, 1990s.

    units.py      the known units, as data          tidy.py, numerals.py, scales.py    what a number is written with
    following.py  the unit behind a number          reading.py                         every quantity of a text
    amount.py     Quantity and `near`               stated.py                          the one that a text states

This package knows nothing of tables or scores, and depends on no other.
"""

from wideseek.quantities.amount import Quantity, near
from wideseek.quantities.following import unit_after
from wideseek.quantities.numerals import chinese_number, spelled
from wideseek.quantities.reading import quantities
from wideseek.quantities.stated import alternatives, quantity, whole
from wideseek.quantities.tidy import tidied

__all__ = [
    "Quantity",
    "alternatives",
    "chinese_number",
    "near",
    "quantities",
    "quantity",
    "spelled",
    "tidied",
    "unit_after",
    "whole",
]
