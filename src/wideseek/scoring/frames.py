r"""How the published scorers read a table: a fenced block, its lines repaired, pandas' CSV reader parting cells at `|`.

    fenced_blocks     what stands between "```markdown" and "```" (case-sensitive)
    pipe_runs         else, where there are four pipes or more: the runs of ((?:\|.*\n?)+), not anchored to a line
    pipe_lines        lines of `|- :` only, or without a pipe, dropped; cells stripped
    read_pipes        pandas' type inference and quote handling; columns that it calls "Unnamed" dropped
    reader_versions   of pandas and dateparser, which the figures depend on
    texts             a column as text, the way pandas 2 writes it: a blank is "nan", whole numbers with a gap are "1.0"

Used by the modes `official` and `rlinf` only. pandas and dateparser come with the extra `wideseek[pandas]`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import TYPE_CHECKING, Any

from wideseek.errors import BadInput

if TYPE_CHECKING:
    import pandas

_FENCED = re.compile(r"```markdown(.*?)```", re.DOTALL)
_PIPE_RUN = re.compile(r"((?:\|.*\n?)+)")
_RULE_MARKS = frozenset("|- :")


def load_pandas() -> Any:
    """The pandas module. Raises `BadInput` naming the extra where it is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise BadInput("the modes official and rlinf need pandas: pip install wideseek[pandas]") from error
    return pandas


@lru_cache(maxsize=1)
def reader_versions() -> dict[str, str]:
    """The versions of the packages that the published scorers read tables and dates with, of those installed.

    Their figures depend on them: dateparser 1.2.1 and 1.5.0 read `2015-10-18 x` differently.
    """
    versions = {}
    for name in ("pandas", "dateparser"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def fenced_blocks(text: str) -> list[str]:
    """The contents of all fenced markdown blocks."""
    return _FENCED.findall(text)


def pipe_runs(text: str) -> list[str]:
    """The runs of text that begin with a pipe, wherever it stands, where `text` has four pipes or more."""
    pipes = [match.start() for match in re.finditer(r"\|", text)]
    if len(pipes) < 4:
        return []
    start, end = text.rfind("\n", 0, pipes[0]), text.find("\n", pipes[-1])
    return _PIPE_RUN.findall(text[max(start, 0) : len(text) if end == -1 else end])


def pipe_lines(lines: list[str]) -> list[str]:
    """The lines that hold cells, every cell stripped. A data row made of dashes only is lost here (a fault)."""
    kept = [line.strip() for line in lines if "|" in line and not _RULE_MARKS.issuperset(line.strip())]
    return ["|".join(cell.strip() for cell in line.split("|")) for line in kept]


def read_pipes(lines: list[str], *, keep_default_na: bool) -> pandas.DataFrame:
    """The lines as a frame with inferred types. Raises what pandas raises: an extra cell and an odd quote do."""
    frame = load_pandas().read_csv(StringIO("\n".join(lines)), sep="|", keep_default_na=keep_default_na)
    return frame.loc[:, [not str(name).startswith("Unnamed") for name in frame.columns]].copy()


def texts(column: pandas.Series[Any]) -> pandas.Series[Any]:
    """The column's values as `str` objects, whatever text type this version of pandas infers."""
    return load_pandas().Series([str(value) for value in column.tolist()], index=column.index, dtype=object)
