"""How a table, a figure or a list of the report is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from topokd.paper.grid import Side
from topokd.paper.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class ReportSection:
    """A section of the report: its exhibits name it.

    Args:
        id: unique name, also the anchor on the page.
        title: its heading.
        introduction: text below the heading. May hold `code` between backticks.

    Examples:
        >>> ReportSection("networks", "Cost of the networks").title
        'Cost of the networks'
    """

    id: str
    title: str
    introduction: str = ""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Fields that every exhibit declares.

    Args:
        id: unique name, also the anchor on the page.
        section: the section of the report that shows it.
        title: heading; empty for an exhibit that needs none below its section's heading.
        caption: text below it. May hold `code` between backticks.
        stage: stage of the pipeline that creates it.
        short: entry in the table of contents; empty for none.
        data: the data behind its measured numbers, in words; empty for the validation scans and seeds of the profile.

    Examples:
        >>> section = ReportSection("networks", "Cost of the networks")
        >>> exhibit = Exhibit(id="sizes", section=section, title="Sizes", caption="Parameters.", stage="model_cost")
        >>> exhibit.command("default")
        "dvc repro --glob 'model_cost@default*'"
    """

    id: str
    section: ReportSection
    title: str
    caption: str
    stage: str = "paper"
    short: str = ""
    data: str = ""

    def command(self, profile: str) -> str:
        """Command that creates the exhibit."""
        return f"dvc repro --glob '{self.stage}@{profile}*'"


@dataclass(frozen=True, kw_only=True)
class Table(Exhibit):
    """A table with reported and measured values.

    Args:
        lines: computes the lines of the result table (columns `topokd.paper.lines.COLUMNS`).
        side: whether measured values are additional rows, or columns beside the reported ones.
        corner: heading of the first column.
        labels: whether rows are networks of the profile, shown by their labels in ``params.rows``.
        layout: data set whose panel it shows where the profile has other scans; empty for none.
        measured: names for readers of measured rows, where the paper's name does not say enough.

    Examples:
        >>> from topokd.paper.exhibits import EXHIBITS
        >>> EXHIBITS["table5"].corner, EXHIBITS["table5"].side
        ('Quantity', 'columns')
    """

    lines: Callable[[Results], pd.DataFrame]
    side: Side = "columns"
    corner: str = ""
    labels: bool = False
    layout: str = ""
    measured: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figure(Exhibit):
    """A figure, saved by the notebook of its stage or drawn by the report's notebook.

    Args:
        names: file names without suffix below ``figures/<profile>/<stage>/``; default: the exhibit's id.
        draw: draws the figure from the results, for notebook 90 to save; returns None if results are missing. Without
            it the notebook of ``stage`` saves the files.
        fact: returns a sentence with the profile's numbers, added to the caption; empty if they are missing.
        optional: whether a profile may lack it, in which case it is left out instead of listed as missing.
        narrow: whether a phone shows a variant with its panels below one another (`topokd.paper.narrow`); only with
            ``draw``. Other figures are cut into their panels there (`topokd.paper.pieces`).
        first_seed: whether it shows the first seed alone.
        scans: how many of the scans it shows, in words; empty for all.

    Examples:
        >>> from topokd.paper.exhibits import EXHIBITS
        >>> EXHIBITS["scaling"].files
        ('model_cost/figure1_scaling',)
    """

    names: tuple[str, ...] = ()
    draw: Callable[[Results], Drawing | None] | None = None
    fact: Callable[[Results], str] | None = None
    optional: bool = False
    narrow: bool = False
    first_seed: bool = False
    scans: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths below ``figures/<profile>/``, without suffix: each is saved as .png and as .svg."""
        return tuple(f"{self.stage}/{name}" for name in self.names or (self.id,))


@dataclass(frozen=True, kw_only=True)
class Listing(Exhibit):
    """A table without values from the paper, with one line per row of a frame.

    Args:
        frame: computes the lines; its columns are the headings.
        words: the columns that hold text; None if all do.

    Examples:
        >>> section = ReportSection("data", "Data")
        >>> frame = pd.DataFrame({"split": ["train"], "scans": [3]})
        >>> scans = Listing(id="scans", section=section, title="", caption="", frame=lambda _: frame, words=("split",))
        >>> scans.short, scans.words
        ('', ('split',))
    """

    frame: Callable[[Results], pd.DataFrame]
    words: tuple[str, ...] | None = None
