"""What a model's folder says about how the model was trained: `wideseek.json` beside its weights.

    {"prompts": "nano", "temperature": 0.0, "max_tokens": 1024, "about": "...", "world": "..."}

`wideseek train` writes it, and whoever opens the folder serves the model as it was trained, unless told otherwise. A
folder without one is any Hugging Face model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from wideseek.errors import BadInput

FILE = "wideseek.json"


class ModelSheet(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a model wants to be served.

    `prompts` is its prompt profile; `temperature` and `max_tokens` (of a turn) are what it is sampled with where the
    user does not say. `about` is what every output says of it. `world` names the only world that it knows, for a model
    that cannot answer about any other.
    """

    prompts: str | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    about: str = ""
    world: str = ""

    @classmethod
    def of(cls, folder: str | Path) -> ModelSheet:
        """The sheet in a folder, or an empty one. Raises `BadInput` for one that cannot be read."""
        path = Path(folder) / FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"{path}: cannot be read: {error}") from error

    def write(self, folder: Path) -> None:
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
