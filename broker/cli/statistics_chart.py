"""A table as a picture, PNG or SVG: always the same bytes, for eyes and for those who listen to them.

matplotlib's own figure and canvases, without pyplot; letters of the vendored font, which has all Vietnamese
ones. Colours are of Okabe and Ito, and groups have hatches too, so that nobody needs to tell colours apart.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from io import BytesIO
from math import ceil
from textwrap import fill
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from broker.cli.demo_steps import Lang
from broker.cli.statistics_chart_plan import Bar, ChartPlan, chart_plan
from broker.cli.statistics_shown import ShownTable
from broker.cli.statistics_words import CHART, TABLE, heading, number

PictureFormat = Literal["png", "svg"]
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#7A5195")
_HATCHES: Final = ("", "///", "...", "xx")
_INK, _PALE, _GRID = "#1F2933", "#5F6B76", "#E1E5EA"
_COLUMNS_MAX: Final = 4
_ROW_INCHES: Final = 0.26
_DOTS: Final = 150
_TITLE_LETTERS: Final = 34
_SETTINGS: Final[dict[str, Any]] = {
    "svg.hashsalt": "broker-statistics",
    "svg.fonttype": "path",
    "hatch.linewidth": 0.6,
    "axes.unicode_minus": False,
}


def chart_bytes(table: ShownTable, lang: Lang, kind: PictureFormat, measure: int = 0) -> bytes:
    """Return the picture of one of a table's measures. Raises ChartTooLarge."""
    from matplotlib import rc_context

    plan = chart_plan(table, measure)
    with rc_context(_SETTINGS), as_file(files("consent_ui").joinpath("fonts")) as fonts:
        drawing = _Drawing(table, plan, lang, measure, str(fonts))
        return drawing.svg() if kind == "svg" else drawing.png()


def alt_text(table: ShownTable, plan: ChartPlan, lang: Lang, measure: int) -> str:
    """Return what the chart shows in one or two sentences."""
    largest, about = plan.largest, table.measures[measure]
    told = CHART["all_hidden"].say(lang)
    if largest is not None:
        told = f"{', '.join(largest.names)}: {number(largest.value, lang)} {about.unit}"
    words = (
        CHART["bars"]
        .say(lang)
        .format(title=title_of(table, lang, measure), count=len(plan.bars), hidden=plan.hidden, largest=told)
    )
    return f"{words} {CHART['margins'].say(lang)}"


def title_of(table: ShownTable, lang: Lang, measure: int) -> str:
    """Return what a table tells: its measure and dimensions."""
    return heading(table.measures[measure].label, [axis.label for axis in table.axes], lang)


class _Drawing:
    """A figure and what is drawn on it."""

    def __init__(self, table: ShownTable, plan: ChartPlan, lang: Lang, measure: int, fonts: str) -> None:
        from matplotlib.figure import Figure
        from matplotlib.font_manager import FontProperties
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self.table, self.plan, self.lang, self.measure = table, plan, lang, measure
        self.regular = FontProperties(fname=f"{fonts}/BeVietnamPro-Regular.ttf")
        self.bold = FontProperties(fname=f"{fonts}/BeVietnamPro-SemiBold.ttf")
        columns = min(len(plan.panels), _COLUMNS_MAX)
        lines = ceil(len(plan.panels) / columns)
        deep = max(2.2, _ROW_INCHES * len(plan.rows) * (0.6 + 0.4 * len(plan.groups)) + 0.5)
        size = (8.5 if columns == 1 else 2.2 + 2.9 * columns, 1.5 + lines * (deep + 0.35))
        layout = ConstrainedLayoutEngine(rect=(0.01, 0.75 / size[1], 0.98, 1 - 1.5 / size[1]))
        self.figure = Figure(figsize=size, dpi=_DOTS, layout=layout, facecolor="white")
        panels = self.figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        self.panels = list(panels.flat)
        self._draw(size[1])
        self._settle()

    def png(self) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        out = BytesIO()
        about = {"Title": title_of(self.table, self.lang, self.measure), "Description": self._alt()}
        FigureCanvasAgg(self.figure).print_png(out, metadata={**about, "Software": None})
        return out.getvalue()

    def svg(self) -> bytes:
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        out = BytesIO()
        FigureCanvasSVG(self.figure).print_svg(out, metadata={"Date": None, "Creator": None})
        text = out.getvalue().decode("utf-8")
        head, root, rest = text.partition("<svg ")
        members, _, body = rest.partition(">")
        named = f'{root}role="img" aria-labelledby="title desc" xml:lang="{self.lang}" {members}>'
        title = escape(title_of(self.table, self.lang, self.measure))
        told = f'\n <title id="title">{title}</title>\n <desc id="desc">{escape(self._alt())}</desc>'
        return (head + named + told + body).encode("utf-8")

    def _alt(self) -> str:
        return alt_text(self.table, self.plan, self.lang, self.measure)

    def _draw(self, height: float) -> None:
        for number_, panel in enumerate(self.panels):
            if number_ >= len(self.plan.panels):
                panel.set_visible(False)
                continue
            self._frame(panel, number_)
            for group in range(len(self.plan.groups)):
                bars = [one for one in self.plan.bars if (one.panel, one.group) == (number_, group)]
                self._bars(panel, bars, group)
        self._words(height)

    def _settle(self) -> None:
        """Lay out once and round: the solver's last digits differ from run to run, clip paths show them."""
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        for panel in self.panels:
            panel.set_position([round(one, 4) for one in panel.get_position(original=True).bounds])

    def _frame(self, panel: Any, number_: int) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        title = fill(self.plan.panels[number_], _TITLE_LETTERS)
        panel.set_title(title, fontproperties=self.bold, fontsize=9.5, color=_INK, loc="left")
        rows = self.plan.rows
        panel.set_yticks(range(len(rows)), rows, fontproperties=self.regular, fontsize=8.5)
        panel.set_ylim(len(self.plan.rows) - 0.4, -0.6)
        panel.set_xlim(left=0, right=self._most())
        panel.xaxis.set_major_locator(MaxNLocator(3 if len(self.plan.panels) > 1 else 6, integer=True))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _short(at, self.lang)))
        panel.tick_params(axis="both", length=0, colors=_INK, labelbottom=True)
        for label in (*panel.get_xticklabels(), *panel.get_yticklabels()):
            label.set_fontproperties(self.regular)
            label.set_fontsize(8.5)
        panel.grid(axis="x", color=_GRID, linewidth=0.8)
        panel.set_axisbelow(True)
        for side in ("top", "right", "bottom"):
            panel.spines[side].set_visible(False)
        panel.spines["left"].set_color(_PALE)

    def _bars(self, panel: Any, bars: list[Bar], group: int) -> None:
        wide = 0.8 / len(self.plan.groups)
        shift = (group - (len(self.plan.groups) - 1) / 2) * wide
        told = [one for one in bars if one.value is not None]
        values = [one.value for one in told]
        places = [one.row + shift for one in told]
        panel.barh(
            places, values, height=wide * 0.92, color=_COLOURS[group], edgecolor="white", linewidth=0,
            hatch=_HATCHES[group],
        )  # fmt: skip
        bands = [
            [min(one.width, one.value or 0) for one in told],
            [one.width for one in told],
        ]
        if any(one.width for one in told):
            cap = min(2.5, 10 * wide)
            panel.errorbar(values, places, xerr=bands, fmt="none", ecolor=_INK, elinewidth=0.9, capsize=cap)
        for one in bars:
            if one.value is None:
                panel.text(
                    self._most() * 0.008, one.row + shift, "–", va="center", ha="left", color=_PALE,
                    fontproperties=self.bold, fontsize=9,
                )  # fmt: skip

    def _most(self) -> float:
        return max([(one.value or 0) + one.width for one in self.plan.bars], default=0.0) * 1.06 or 1.0

    def _words(self, height: float) -> None:
        about, lang = self.table.measures[self.measure], self.lang
        self.figure.text(
            0.02, 1 - 0.16 / height, title_of(self.table, lang, self.measure), va="top",
            fontproperties=self.bold, fontsize=13, color=_INK,
        )  # fmt: skip
        under = [TABLE["release"].say(lang).format(release=self.table.release), about.unit]
        under += [
            TABLE["only"].say(lang).format(name=name, categories=", ".join(names))
            for name, names in self.table.filters
        ]
        self._small(1 - 0.46 / height, " · ".join(under))
        notes = [CHART["hidden"].say(lang)] if self.plan.hidden else []
        notes += [CHART["band"].say(lang)] if about.band is not None else []
        self._small(0.2 / height, " · ".join([*notes, CHART["margins"].say(lang)]))
        if len(self.plan.groups) > 1:
            self._legend(0.42 / height)

    def _legend(self, place: float) -> None:
        from matplotlib.patches import Patch

        patches = [
            Patch(facecolor=_COLOURS[n], hatch=_HATCHES[n], edgecolor="white", linewidth=0, label=name)
            for n, name in enumerate(self.plan.groups)
        ]
        self.figure.legend(
            handles=patches, loc="lower left", bbox_to_anchor=(0.012, place), ncols=len(patches),
            frameon=False, prop=self.regular, labelcolor=_INK, borderaxespad=0, handlelength=1.4,
        )  # fmt: skip

    def _small(self, place: float, text: str) -> None:
        self.figure.text(0.02, place, text, va="top", fontproperties=self.regular, fontsize=8.5, color=_PALE)


def _short(value: float, lang: Lang) -> str:
    """Return a number on an axis, in thousands, millions or milliards where it is so large."""
    for least, vi, en in ((1e12, "nghìn tỷ", "tn"), (1e9, "tỷ", "bn"), (1e6, "triệu", "m")):
        if value >= least:
            text = f"{value / least:g}"
            return f"{text.replace('.', ',')} {vi}" if lang == "vi" else f"{text} {en}"
    return number(round(value), lang)
