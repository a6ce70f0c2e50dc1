"""The report: one self-contained page with every exhibit, reported and measured; and the tables as files."""

from __future__ import annotations

import math
from pathlib import Path

import yaml

from topokd import params as P
from topokd.io import write_text
from topokd.paper import exhibits, links, reported
from topokd.paper.claims import IDEA, claims, details, lead
from topokd.paper.provenance import processors, shared
from topokd.paper.readme import ANSWERS
from topokd.paper.render import environment, render_exhibit, script, stylesheet, table_grid
from topokd.paper.results import Results
from topokd.paper.statistics import MARGIN, Interval
from topokd.paper.studies import equal_compute
from topokd.project import TEACHER

PAPER = "Topology- and Gradient-Guided Knowledge Distillation for Point Cloud Semantic Segmentation"
BADGES = {**ANSWERS, "no": "no", "missing": "no data"}  # short: they stand in a narrow column
RULE = (
    "**yes** and **no**: the 95 % interval of the gain (paired by seed) lies on one side of zero, and its mean at "
    f"least {MARGIN:g} points of mIoU away; **no effect**: the gain lies within ±{MARGIN:g} points "
    "(two one-sided tests at 5 %); **too weak**: likewise, but the gradient of what was added was below 1 % of the "
    "segmentation loss's; **cannot tell**: none of these. Few seeds can agree by chance, so each comparison is judged "
    "with at least the standard deviation of all comparisons of the profile together. Intervals of a profile are not "
    "corrected for the number of questions, those of studies are. "
    "Another processor changes every run as another seed would, so with few seeds an answer can become **cannot tell** "
    "there; a complete study (below) decides the questions that it asks. For cost and theory: whether the claim holds."
)


def write_report(results: str | Path, figures: str | Path) -> Path:
    """Write ``report.html`` into the results folder; equal inputs give equal bytes.

    The page holds its images and styles, so it opens offline.

    Args:
        results: folder of the profile's results.
        figures: folder of the profile's figures.

    Returns:
        The path of the page.
    """
    path = Path(results) / "report.html"
    write_text(path, render(Results.read(results), Path(figures)))
    return path


def render(results: Results, figures: Path) -> str:
    """The page as text."""
    missing = results.missing()
    runs = list(results.all_runs())
    return environment().get_template("report.html.jinja").render(
        style=stylesheet("exhibits", "page"),
        script=script("pages", "contents", "tables", "panels"),
        profile=results.profile,
        dataset=results.dataset,
        seeds=results.params.seeds,
        device=_device(results),
        scans=runs[0]["evaluation"]["scans"] if runs else 0,
        paper=PAPER,
        profiles=links.profiles(results),
        notebooks=links.notebooks(results),
        explorers=links.explorers(results),
        pdf=links.pdf(results),
        citation=links.citation(results),
        lead=lead(results),
        details=" ".join(filter(None, [details(results), equal_compute(results)])),
        idea=IDEA,
        rule=RULE,
        missing=missing,
        wanted=len(missing) + len(runs),
        cards=_cards(results),
        card_note=_card_note(results),
        claims=claims(results),
        badges=BADGES,
        sections=[
            (section, [(exhibit, page) for exhibit in shown if (page := render_exhibit(exhibit, results, figures))])
            for section, shown in exhibits.sections()
        ],
        command="make repro" if results.profile == "default" else f"make repro PROFILE={results.profile}",
        parameters=yaml.safe_dump(P.to_dict(results.params), sort_keys=False, allow_unicode=True),
    )  # fmt: skip


def write_tables(results: Results) -> list[Path]:
    """Write ``tables/<table>.csv`` (every line, full precision) and ``.md`` (for reading); returns the paths."""
    written = []
    for table in exhibits.tables():
        path = results.folder / "tables" / f"{table.id}.csv"
        write_text(path, table.lines(results).to_csv(index=False, float_format="%.10g", lineterminator="\n"))
        body = table_grid(table, results).markdown(table.corner)
        write_text(path.with_suffix(".md"), f"# {table.title}\n\n{body}\n\n{table.caption}\n")
        written += [path, path.with_suffix(".md")]
    return written


def _device(results: Results) -> str:
    """The processor or GPU of the runs."""
    runs = list(results.all_runs())
    if not runs:
        return "nothing measured yet"
    device = shared(runs, "device")
    return ", ".join(processors(results)) or device.upper() if device == "cpu" else device


def _cards(results: Results) -> list[dict[str, str]]:
    """mIoU of the headline networks, and how much smaller the student is."""

    def card(label: str, score: Interval) -> dict[str, str]:
        width = "" if not score.n or math.isnan(score.half_width) else f"{score.half_width:.1f}"
        return {"label": label, "value": f"{score.mean:.1f} %" if score.n else "–", "width": width}

    sizes = {name: next(iter(results.runs[name].values()))["parameters"] for name in results.headline}
    student = next((size for name, size in sizes.items() if name != TEACHER), None)
    ratio = f"{sizes[TEACHER] / student:.1f}×" if student and TEACHER in sizes else "–"
    reduction = reported.value("table3|PTv3 (Teacher)|Params (M)") / reported.value("table3|Our Student|Params (M)")
    smaller = f"fewer parameters than the teacher (paper: {reduction:.1f}×)"
    shown = [name for name in (TEACHER, *results.params.panels.rows) if name in results.looks]
    return [
        *(card(f"mIoU: {results.labels[name]}", results.score(name)) for name in shown),
        {"label": smaller, "value": ratio, "width": ""},
    ]


def _card_note(results: Results) -> str:
    absent = "left out" if results.metric == "miou_skip" else "counted as 0"
    return (
        f"mIoU on the validation split of {results.dataset} scans, mean ± half-width of the 95 % interval over seeds; "
        f"classes absent from truth and prediction are {absent}."
    )
