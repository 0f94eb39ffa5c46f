"""Charts as data, drawn twice: as SVG for a page, as PNG for a document.

    Chart -> to_svg     inline, without a dependency; colours are the page's (`--s0` ... and `currentColor`)
    Chart -> save_png   several charts as panels of one picture (matplotlib, the extra `plots`)

A chart has two axes and series of points; a point may have an interval (a bar up and down), a name (shown on
hover) and a label (beside it). An axis is linear or logarithmic; what is not given (range, ticks) follows from the
points.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

from wideseek.errors import BadInput

WIDTH, HEIGHT = 380, 270  # units of the SVG, about the pixels of a phone
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 14, 44
PALETTE = ("#2563c9", "#c2570c", "#157f5b", "#8a3fb0")
MARKERS = ("o", "s", "^", "D")
TICK_GAP = 30  # units between two tick labels at least


@dataclass(frozen=True)
class Point:
    """`low` and `high` are the ends of its interval; `name` is shown on hover, `label` stands beside it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    name: str = ""
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Points under one name: joined by a line, loose, or as bars of `bar` units of x. `colour`: its own, by number."""

    name: str
    points: Sequence[Point]
    kind: Literal["line", "dots", "bars"] = "line"
    bar: float = 1.0
    colour: int | None = None


@dataclass(frozen=True)
class Axis:
    """`ticks` are (value, text) pairs; without them they are round numbers, at least `step` apart."""

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: Sequence[tuple[float, str]] | None = None
    step: float = 0.0


@dataclass(frozen=True)
class Chart:
    title: str
    x: Axis
    y: Axis
    series: Sequence[Series] = field(default_factory=list)
    note: str = ""


SHARE = Axis("", low=0.0, high=1.0)
"""The axis of scores."""


def short_number(value: float) -> str:
    """`950`, `1.2k`, `32k`, `1.5M`; `0.25` below ten."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def at_values(label: str, values: Iterable[float], *, log: bool = True) -> Axis:
    """An axis with its ticks at the values that were tried."""
    tried = sorted(set(values))
    return Axis(label, log=log and bool(tried) and tried[0] > 0, ticks=[(v, short_number(v)) for v in tried])


# ----------------------------------------------------------------------------------------------------------- scales


class _Scale:
    """Where on the picture a value of one axis stands."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self.axis, self._start, self._end = axis, start, end
        self.low, self.high = _range(axis, values)

    def __call__(self, value: float) -> float:
        low, high, value = (self._bent(v) for v in (self.low, self.high, value))
        return self._start + (value - low) / (high - low) * (self._end - self._start)

    def _bent(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.axis.log else value

    def ticks(self, gap: float = TICK_GAP) -> list[tuple[float, str]]:
        """The ticks within the range; of those whose labels would touch, the first."""
        wanted = self.axis.ticks if self.axis.ticks is not None else [(v, short_number(v)) for v in self._round()]
        kept: list[tuple[float, str]] = []
        for value, text in wanted:
            inside = self.low <= value <= self.high
            if inside and (not kept or abs(self(value) - self(kept[-1][0])) >= gap):
                kept.append((value, text))
        return kept

    def _round(self) -> list[float]:
        if self.axis.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
            if sum(self.low <= value <= self.high for value in found) >= 3:
                return found
        rough = max(self.axis.step, (self.high - self.low) / 5)
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * digit for digit in (1, 2, 5, 10) if size * digit >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _range(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    low = axis.low if axis.low is not None else min(values, default=1.0)
    high = axis.high if axis.high is not None else max(values, default=low)
    if axis.log:
        low = max(low, 1e-9)
        margin = max(high / low, 1.5) ** 0.06
        return (low if axis.low is not None else low / margin), (high if axis.high is not None else high * margin)
    margin = 0.05 * (high - low or abs(high) or 1.0)
    return (low if axis.low is not None else low - margin), (high if axis.high is not None else high + margin)


def _values(chart: Chart) -> tuple[list[float], list[float]]:
    xs = [x for s in chart.series for p in s.points for x in _across(s, p)]
    ys = [y for s in chart.series for p in s.points for y in (p.y, p.low, p.high) if y is not None]
    return xs, ys


def _across(series: Series, point: Point) -> tuple[float, ...]:
    half = series.bar / 2
    return (point.x - half, point.x + half) if series.kind == "bars" else (point.x,)


def _colour(series: Series, number: int) -> int:
    return (number if series.colour is None else series.colour) % len(PALETTE)


# -------------------------------------------------------------------------------------------------------------- SVG


def to_svg(chart: Chart) -> str:
    """The chart as a `<figure>`: title, legend, drawing, note."""
    legend = "".join(
        f'<span><i style="background:var(--s{_colour(s, i)})"></i>{html.escape(s.name)}</span>'
        for i, s in enumerate(chart.series)
    )
    shown = f'<div class="legend">{legend}</div>' if len(chart.series) > 1 else ""
    note = f'<p class="note">{html.escape(chart.note)}</p>' if chart.note else ""
    title = html.escape(chart.title)
    return (
        f'<figure class="chart"><figcaption>{title}</figcaption>{shown}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(_drawing(chart))}</svg>'
        f"{note}</figure>"
    )


def _drawing(chart: Chart) -> Iterator[str]:
    xs, ys = _values(chart)
    x = _Scale(chart.x, xs, LEFT, WIDTH - RIGHT)
    y = _Scale(chart.y, ys, HEIGHT - BOTTOM, TOP)
    for value, text in y.ticks(gap=18):
        at = y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{html.escape(text)}</text>'
    base = HEIGHT - BOTTOM
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
    for value, text in x.ticks():
        yield f'<line class="axis" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{base}" y2="{base + 4}"/>'
        yield f'<text class="tick" x="{x(value):.1f}" y="{base + 18}" text-anchor="middle">{html.escape(text)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(chart.x.label)}</text>'
    if chart.y.label:
        yield f'<text class="label" x="12" y="{base / 2}" text-anchor="middle" transform="rotate(-90 12 {base / 2})">'
        yield f"{html.escape(chart.y.label)}</text>"
    for number, series in enumerate(chart.series):
        yield f'<g class="s{_colour(series, number)} {series.kind}">{"".join(_series(series, x, y))}</g>'


def _series(series: Series, x: _Scale, y: _Scale) -> Iterator[str]:
    if series.kind == "line" and len(series.points) > 1:
        path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in series.points)
        yield f'<polyline points="{path}"/>'
    for point in series.points:
        title = f"<title>{html.escape(point.name)}</title>" if point.name else ""
        at = f"{x(point.x):.1f}"
        if series.kind == "bars":
            left, right = x(point.x - series.bar / 2) + 1, x(point.x + series.bar / 2) - 1
            top = y(point.y)
            size = f'width="{right - left:.1f}" height="{y(y.low) - top:.1f}"'
            yield f'<rect x="{left:.1f}" y="{top:.1f}" {size}>{title}</rect>'
            continue
        if point.low is not None and point.high is not None:
            ends = f'y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"'
            yield f'<line class="interval" x1="{at}" x2="{at}" {ends}/>'
        yield f'<circle cx="{at}" cy="{y(point.y):.1f}" r="{4 if series.kind == "line" else 3.5}">{title}</circle>'
        if point.label:
            place = f'x="{x(point.x) + 7:.1f}" y="{y(point.y) + 12:.1f}"'
            yield f'<text class="tick" {place}>{html.escape(point.label)}</text>'


# -------------------------------------------------------------------------------------------------------------- PNG


LETTERS_AN_INCH = 14  # of a footer


def save_png(charts: Sequence[Chart], path: Path, *, title: str, footer: str) -> None:
    """The charts side by side, two in a row. Raises `BadInput` where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BadInput(f"{path}: pictures need matplotlib: pip install wideseek[plots]") from error
    columns = min(2, len(charts))
    rows = math.ceil(len(charts) / columns)
    inches = (5.6 * columns, 4.1 * rows + 1.0)
    figure = Figure(figsize=inches, dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, chart in zip(panels, charts, strict=False):
        _draw_panel(panel, chart)
    for panel in panels[len(charts) :]:
        panel.set_axis_off()
    figure.suptitle(title, fontsize=12, fontweight="bold")
    lines = [line for part in footer.split("\n") for line in wrap(part, int(LETTERS_AN_INCH * inches[0]))]
    figure.text(0.5, 0.08 / inches[1], "\n".join(lines), ha="center", va="bottom", fontsize=8.5, color="#444444")
    bottom = (0.16 + 0.16 * len(lines)) / inches[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a letter that the font lacks is a box in the picture
        figure.tight_layout(rect=(0, bottom, 1, 0.99), h_pad=2.0, w_pad=2.0)
        figure.savefig(path)


def _draw_panel(panel: Any, chart: Chart) -> None:
    xs, ys = _values(chart)
    for axis, values, name, length in ((chart.x, xs, "x", 420.0), (chart.y, ys, "y", 300.0)):
        scale = _Scale(axis, values, 0, length)
        ticks = scale.ticks(gap=30)
        getattr(panel, f"set_{name}scale")("log" if axis.log else "linear")
        getattr(panel, f"set_{name}lim")(scale.low, scale.high)
        getattr(panel, f"set_{name}ticks")([value for value, _ in ticks], [text for _, text in ticks])
        getattr(panel, f"set_{name}ticks")([], minor=True)
    for number, series in enumerate(chart.series):
        colour = _colour(series, number)
        _draw_series(panel, series, PALETTE[colour], MARKERS[colour])
    panel.set_title(chart.title, fontsize=11)
    panel.set_xlabel(chart.x.label)
    panel.set_ylabel(chart.y.label)
    panel.grid(axis="y", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if len(chart.series) > 1:
        panel.legend(fontsize=8.5, frameon=False, loc="best")


def _draw_series(panel: Any, series: Series, colour: str, marker: str) -> None:
    xs, ys = [p.x for p in series.points], [p.y for p in series.points]
    if series.kind == "bars":
        panel.bar(xs, ys, width=series.bar * 0.94, color=colour, label=series.name)
        return
    line = "-" if series.kind == "line" else "none"
    panel.plot(
        xs,
        ys,
        linestyle=line,
        marker=marker,
        color=colour,
        label=series.name,
        linewidth=1.8,
        markersize=5.5,
        clip_on=False,
    )
    for point in series.points:
        if point.low is not None and point.high is not None:
            panel.vlines(point.x, point.low, point.high, color=colour, alpha=0.45, linewidth=3)
        if point.label:
            beside = {"xytext": (6, -11), "textcoords": "offset points"}
            panel.annotate(point.label, (point.x, point.y), fontsize=8, color="#444444", **beside)
