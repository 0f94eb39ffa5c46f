"""What models cost where the user does not say: the prices that ship with the package (`assets/prices.toml`).

They hold for a provider's own address only: a gateway, or a server of the user's, has prices of its own.
"""

from __future__ import annotations

import functools
import re

import msgspec

from wideseek.assets import PRICES
from wideseek.policy.base import Prices
from wideseek.policy.names import ModelName
from wideseek.servers import PROVIDERS

_DAY = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")  # behind a model's name: the version of that day


class PriceList(msgspec.Struct, frozen=True):
    """`models` has the prices of each provider's models; they are those of `date`, and stand on the `pages`."""

    date: str
    pages: dict[str, str]
    models: dict[str, dict[str, Prices]]


@functools.cache
def price_list() -> PriceList:
    """The prices that ship with the package."""
    return msgspec.toml.decode(PRICES.read_bytes(), type=PriceList)


def list_prices(model: ModelName) -> Prices | None:
    """What the list says of a model at its provider's own address; of a version with a day, what it says of the model.

    `None` where it says nothing.
    """
    provider, _, name = model.name.partition("/")
    known = price_list().models.get(provider, {})
    if provider not in PROVIDERS or model.base_url != PROVIDERS[provider].base_url:
        return None
    return known.get(name) or known.get(_DAY.sub("", name))
