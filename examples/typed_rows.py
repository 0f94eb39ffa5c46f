"""Rows as instances of a pydantic model: columns and types come from the model.

python examples/typed_rows.py
"""

from pydantic import BaseModel, Field

import wideseek


class Element(BaseModel):
    name: str
    symbol: str
    atomic_number: int = Field(title="atomic number")
    mass: str


result = wideseek.ask("Which chemical elements of group 18 are there?", schema=Element)
for element in sorted(result.rows, key=lambda element: element.atomic_number):
    print(f"{element.symbol:>2}  {element.atomic_number:>3}  {element.mass:>8}  {element.name}")
print(f"{result.supported:.0%} of the cells supported")
