"""Two or more ways to do the same, measured side by side: what is compared, the interleaving, and what comes of it."""
import dataclasses
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass
class Side:
    """One way to do it. measure(seconds) does it for about that long and returns the figure."""
    label: str
    measure: Callable[[float], float]


@dataclasses.dataclass
class Comparison:
    """`targets` maps the label of another side to the ratio ours/theirs to reach: at least that where more is better,
    at most where less is. `limit` is what our figure itself must reach. prepare() runs before the first round."""
    name: str  # module/what
    what: str
    unit: str
    ours: Side
    others: list[Side] = dataclasses.field(default_factory=list)
    targets: dict[str, float] = dataclasses.field(default_factory=dict)
    better: str = "more"
    limit: float | None = None
    prepare: Callable[[], None] | None = None

    def reaches(self, value, bound):
        return value >= bound if self.better == "more" else value <= bound


class Failed(Exception):
    """A side could not run."""


def measure(side, comparison, seconds):
    try:
        figure = side.measure(seconds)
    except Exception as error:
        raise Failed(f"{comparison.name}: {side.label} could not run: {error}") from error
    if not figure or figure != figure or figure < 0:
        raise Failed(f"{comparison.name}: {side.label} measured {figure}")
    return float(figure)


def run(comparison, rounds, seconds, tell=lambda text: None):
    """Every round runs each side once, the order turning from round to round, so that whatever else changes with time on
    the machine changes all sides alike. Returns the rows of the table, one for each other side."""
    sides = [comparison.ours, *comparison.others]
    if comparison.prepare:
        try:
            comparison.prepare()
        except Exception as error:
            raise Failed(f"{comparison.name} could not be prepared: {error}") from error
    figures = {side.label: [] for side in sides}
    for number in range(rounds):
        turned = sides[number % len(sides):] + sides[:number % len(sides)]
        for side in turned if number % 2 == 0 else reversed(turned):
            figures[side.label].append(measure(side, comparison, seconds))
        tell(f"{comparison.name} {number + 1}/{rounds}: "
             + ", ".join(f"{label} {shown(values[-1])}" for label, values in figures.items()))
    return [row(comparison, figures, other) for other in comparison.others or [None]]


def row(comparison, figures, other):
    mine = figures[comparison.ours.label]
    result = {"comparison": comparison.name, "what": comparison.what, "unit": comparison.unit, "better": comparison.better,
              "ours": comparison.ours.label, "our_figure": statistics.median(mine), "our_figures": mine,
              "against": None, "ratio": None, "target": comparison.limit, "measured_at": time.strftime("%FT%TZ", time.gmtime())}
    if other is None:
        if comparison.limit is not None:
            result["reached"] = comparison.reaches(result["our_figure"], comparison.limit)
        return result
    theirs = figures[other.label]
    ratios = [one / two for one, two in zip(mine, theirs)]
    target = comparison.targets.get(other.label)
    result |= {"against": other.label, "their_figure": statistics.median(theirs), "their_figures": theirs,
               "ratio": statistics.median(mine) / statistics.median(theirs), "spread": [min(ratios), max(ratios)], "target": target}
    if target is not None:
        result["reached"] = comparison.reaches(result["ratio"], target)
    return result


def shown(figure):
    """Three digits are enough."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"


HEAD = ["comparison", "ours", "against", "figure ours", "figure theirs", "ratio", "spread", "to reach", "reached?"]


def cells(rows):
    lines = []
    for one in rows:
        sign = "≥" if one["better"] == "more" else "≤"
        target = "" if one["target"] is None else f"{sign} {one['target']:g}" + (" ×" if one["against"] else f" {one['unit']}")
        lines.append([
            one["comparison"], one["ours"], one["against"] or "", f"{shown(one['our_figure'])} {one['unit']}",
            f"{shown(one['their_figure'])} {one['unit']}" if one["against"] else "",
            "" if one["ratio"] is None else f"{one['ratio']:.2f} ×",
            "" if one["ratio"] is None else "{:.2f}..{:.2f}".format(*one["spread"]),
            target, {True: "yes", False: "no", None: "stated"}[one.get("reached")]])
    return lines


def table(rows):
    """The rows as text."""
    lines = [HEAD, *cells(rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(rows):
    """The same for a document; what stands in the row before is not said again."""
    lines, before = [HEAD, ["---"] * len(HEAD)], None
    for line in cells(rows):
        lines.append(["", "", line[2], "", *line[4:]] if before and line[:2] == before[:2] else line)
        before = line
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
