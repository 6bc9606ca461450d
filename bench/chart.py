"""The picture: a bar for each ratio, beside the line that it is to reach."""
import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

COLOURS = {True: "#2e7d32", False: "#c62828", None: "#607d8b"}


def label(row):
    """Where both sides are ours, which of them is in front is not known from the comparison's name."""
    ours = f"{row['ours']} " if row["comparison"].startswith("growth/") else ""
    return f"{row['comparison']}: {ours}against {row['against']}" + (" (less is better)" if row["better"] == "less" else "")


def draw(rows, path):
    shown = [row for row in rows if row["ratio"] is not None]
    if not shown:
        return
    figure, axes = pyplot.subplots(figsize=(10, 0.8 + 0.42 * len(shown)))
    for place, row in enumerate(reversed(shown)):
        low, high = row["spread"]
        axes.barh(place, row["ratio"], height=0.6, color=COLOURS[row.get("reached")])
        axes.plot([low, high], [place, place], color="black", linewidth=1)
        if row["target"] is not None:
            axes.plot([row["target"]] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2)
        axes.text(max(high, row["target"] or 0) * 1.05, place, f"{row['ratio']:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [label(row) for row in reversed(shown)], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 1.5)
    axes.axvline(1, color="grey", linewidth=0.6)
    axes.set_xlabel("ours / theirs; thin line: spread of the rounds; thick mark: to reach", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
