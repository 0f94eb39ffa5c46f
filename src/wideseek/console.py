"""The console that everything drawn goes through: what is foreign in it cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from wideseek.screen import plain


class CleanConsole(Console):
    """A rich console whose text is `plain`: the styles and movements that rich writes itself stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain(text), style, control)
