"""Draws a dashboard's panels with the answers that a Prometheus gave to their queries.

usage: picture.py DASHBOARD.json ANSWERS.json PICTURE.png

Not a Grafana: it knows the three kinds of panels that the dashboard has, and of their options those that change
what is to be seen. Places, titles, legends and colours are the dashboard's.
"""

import json
import re
import sys
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
from PIL import Image

UNIT_X, UNIT_Y = 0.5, 0.34  # inches; Grafana's grid has 24 columns and rows of 30 pixels
BACK, PANEL, TEXT, DIM = "#111217", "#181b1f", "#d8d9da", "#8e9197"
COLOURS = {"green": "#73bf69", "yellow": "#fade2a", "blue": "#5794f2", "purple": "#b877d9", "red": "#f2495c",
           "orange": "#ff9830", "text": TEXT}
PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"]
plt.rcParams.update({"font.size": 7, "text.color": TEXT, "axes.labelcolor": DIM, "xtick.color": DIM,
                     "ytick.color": DIM, "axes.edgecolor": "#2c3235", "font.family": "DejaVu Sans"})


def shown(value, unit):
    """A number as the panel's unit has it."""
    if unit != "s":
        return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"
    for size, name in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def legend(target, labels):
    text = target["legendFormat"]
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), text).strip()


def finite(samples):
    pairs = [(float(at), float(value)) for at, value in samples]
    return [(at, value) for at, value in pairs if value == value and abs(value) != float("inf")]


def stat(axes, panel, answers):
    defaults = panel["fieldConfig"]["defaults"]
    values = [float(series["value"][1]) for answer in answers for series in answer]
    text, colour = defaults.get("noValue", "No data"), "text"
    if values:
        text = shown(values[0], defaults["unit"])
        if "decimals" in defaults:
            text = f"{values[0]:.{defaults['decimals']}f}"
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or values[0] >= step["value"]:
                colour = step["color"]
    size = 17 if len(text) < 9 else 11
    axes.text(0.5, 0.42, text, transform=axes.transAxes, ha="center", va="center", fontsize=size,
              color=COLOURS[colour] if values else DIM)
    axes.axis("off")


def table(axes, panel, answers):
    names = panel["transformations"][0]["options"]["renameByName"]
    rows = []
    for series in (series for answer in answers for series in answer):
        cells = dict(series["metric"], Value=shown(float(series["value"][1]), "none"))
        rows.append([cells.get(key, "") for key in names])
    if panel["options"]["sortBy"]:
        rows.sort(key=lambda row: -float(row[-1]))
    axes.axis("off")
    room = int(panel["gridPos"]["h"] * 1.6) - 3
    for line, row in enumerate([list(names.values())] + rows[:room]):
        for column, cell in enumerate(row):
            axes.text(0.03 + column / len(names), 0.9 - line * 0.9 / (room + 1), cell, transform=axes.transAxes,
                      va="center", color=DIM if line == 0 else TEXT)


def timeseries(axes, panel, answers, times, corner):
    defaults = panel["fieldConfig"]["defaults"]
    custom, unit = defaults["custom"], defaults["unit"]
    fixed = {override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
             for override in panel["fieldConfig"]["overrides"]}
    bars = custom["drawStyle"] == "bars"
    bottom, drawn = {}, 0
    for target, answer in zip(panel["targets"], answers):
        for series in answer:
            samples = finite(series["values"])
            if not samples:
                continue
            name = legend(target, series["metric"])
            colour = COLOURS.get(fixed.get(name)) or PALETTE[drawn % len(PALETTE)]
            x = [datetime.fromtimestamp(at, timezone.utc) for at, _ in samples]
            y = [value for _, value in samples]
            if bars:
                base = [bottom.get(at, 0) for at, _ in samples]
                axes.bar(x, y, width=5 / 86400, bottom=base, color=colour, label=name, linewidth=0, alpha=0.8)
                for at, value in samples:
                    bottom[at] = bottom.get(at, 0) + value
            else:
                style = "steps-post" if custom.get("lineInterpolation") == "stepAfter" else "default"
                axes.plot(x, y, drawstyle=style, color=colour, label=name, linewidth=1)
            drawn += 1
    axes.set_facecolor(PANEL)
    axes.set_xlim(times)
    axes.grid(color="#2c3235", linewidth=0.4)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(dates.MinuteLocator())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not drawn:
        axes.set_yticks([])
        axes.text(0.5, 0.5, defaults.get("noValue", "No data"), transform=axes.transAxes, ha="center", color=DIM)
        return
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(axes.get_ylim()[1], 1 if unit == "none" else 0))
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, unit))
    axes.minorticks_off()
    axes.legend(loc="lower left", bbox_to_anchor=corner, bbox_transform=axes.figure.transFigure, ncols=4,
                frameon=False, fontsize=6, handlelength=1, columnspacing=1, borderpad=0)


def main(dashboard, answers, picture):
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    stamps = [at for panel in answers.values() for answer in panel for series in answer
              for at, _ in series.get("values", [])]
    times = [datetime.fromtimestamp(at, timezone.utc) for at in (min(stamps), max(stamps))]
    figure = plt.figure(figsize=(24 * UNIT_X, height * UNIT_Y), facecolor=BACK)
    for panel in panels:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")

        def box(left, bottom, right, top):
            """A rectangle in the panel, by the distance from its edges in grid units."""
            return [(x + left) / 24, 1 - (y + h - bottom) / height,
                    (w - left - right) / 24, (h - bottom - top) / height]

        if panel["type"] == "row":
            figure.text((x + 0.2) / 24, 1 - (y + 0.62) / height, panel["title"], fontsize=9, weight="bold", va="center")
            continue
        figure.add_axes(box(0.1, 0.1, 0.1, 0.1), facecolor=PANEL, xticks=[], yticks=[])
        figure.text((x + 0.3) / 24, 1 - (y + 0.65) / height, panel["title"], fontsize=7.5, va="center")
        found = answers.get(panel["title"], [])
        if panel["type"] == "stat":
            stat(figure.add_axes(box(0.1, 0.1, 0.1, 0.9), facecolor="none"), panel, found)
        elif panel["type"] == "table":
            table(figure.add_axes(box(0.1, 0.1, 0.1, 0.9), facecolor="none"), panel, found)
        else:
            corner = box(0.4, 0.35, 0, 0)[:2]
            timeseries(figure.add_axes(box(1.3, 2.0, 0.4, 1.2)), panel, found, times, corner)
    figure.savefig(picture, dpi=100, facecolor=BACK)
    # It has few colours, and a third of the size when it says so.
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    with open(sys.argv[1]) as dashboard, open(sys.argv[2]) as answers:
        main(json.load(dashboard), json.load(answers), sys.argv[3])
