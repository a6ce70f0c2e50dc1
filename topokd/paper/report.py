"""The report: one self-contained page that shows every exhibit reported and measured."""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup, escape
from PIL import Image

from topokd import params as P
from topokd.io import write_text
from topokd.paper import reported
from topokd.paper.exhibits import FIGURES, TABLES, Exhibit
from topokd.paper.findings import comparability, figure_facts, findings, gap_closed
from topokd.paper.grid import Grid, grid
from topokd.paper.results import NAMES, TEACHER, Results
from topokd.paper.statistics import Interval

SECTIONS = (  # id, name, ids of the exhibits listed below it
    ("summary", "Summary", ()),
    ("comparable", "What may be compared", ()),
    ("framework", "The framework", ("figure2", "figure1")),
    ("segmentation", "Segmentation", ("table2", "classes", "confusion", "breakdown", "figure3", "table1", "table4")),
    ("terms", "Loss terms", ("table7", "ablation", "validation")),
    ("networks", "Cost of the networks", ("table3", "table5", "table6", "scaling")),
    ("topology", "Topology", ("figure4", "table8", "figure5", "figure6", "figure7", "figure8", "proposition1")),
    ("scans", "The scans", ()),
    ("contradictions", "The paper against itself", ()),
    ("provenance", "How it was made", ()),
)


MAX_WIDTH = 1700  # pixels of an inlined image; the page is about 1,000 CSS pixels wide
PIXELS = 0.6  # CSS pixels per pixel of an image: 160 dpi shown at 96


@dataclass(frozen=True)
class TableView:
    """A table as the template needs it."""

    title: str
    caption: str
    corner: str
    sided: str
    turn: bool  # column names written upwards
    dense: bool  # many columns: small type
    grid: Grid
    groups: list[tuple[str, int]]  # (source, columns) above the columns


@dataclass(frozen=True)
class FigureView:
    """A figure as the template needs it; no images where it does not exist yet."""

    title: str
    caption: str
    stage: str
    images: list[tuple[str, int]]  # data URI, width on the page


def write_report(results: str | Path, figures: str | Path) -> Path:
    """Write ``report.html`` into the results folder and return its path; equal inputs give equal bytes.

    The page holds its images and styles, so it opens offline; a missing exhibit says which stage makes it.
    """
    path = Path(results) / "report.html"
    write_text(path, render(Results.read(results), Path(figures)))
    return path


def render(results: Results, figures: Path) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=False, lstrip_blocks=False,
    )  # fmt: skip
    environment.filters["prose"] = prose
    environment.filters["sentence"] = lambda text: prose(f"{text[:1].upper()}{text[1:].rstrip('.')}.")
    tables = {table.id: table_view(table, results) for table in TABLES}
    facts = figure_facts(results)
    drawn = {figure.id: figure_view(figure, figures, facts.get(figure.id, "")) for figure in FIGURES}
    missing = results.missing()
    runs = list(results.all_runs())
    claims = reported.claims()
    return environment.get_template("report.html.jinja").render(
        profile=results.profile,
        dataset=results.dataset,
        seeds=results.params.seeds,
        device=_same(runs, "device", "no run yet").upper() if runs else "nothing measured yet",
        missing=missing,
        wanted=len(missing) + len(runs),
        contents=_contents(tables, drawn),
        cards=_cards(results),
        card_note=_card_note(results),
        findings=findings(results),
        comparability=comparability(results),
        tables=tables,
        figures=drawn,
        contradictions=reported.disagreements().to_dict("records"),
        ratios=claims[claims["unit"].eq("×") | claims["printed"].eq("77.75%")].to_dict("records"),
        runs=[_run_line(run, results.metric) for run in runs],
        conditions=_conditions(results, runs),
        command="make repro" if results.profile == "default" else f"make repro PROFILE={results.profile}",
        parameters=yaml.safe_dump(P.to_dict(results.params), sort_keys=False, allow_unicode=True),
    )


def table_view(table: Exhibit, results: Results) -> TableView:
    """One table, laid out."""
    assert table.lines is not None
    found = grid(table.lines(results), table.side, NAMES if table.id == "table7" else None)
    groups: list[tuple[str, int]] = []
    if table.side == "columns":
        runs = itertools.groupby(source for source, _, _ in found.columns)
        groups = [(source, len(list(columns))) for source, columns in runs]
    columns = len(found.columns)
    return TableView(
        title=table.title,
        caption=table.caption,
        corner=table.corner,
        sided=table.side,
        turn=table.side == "rows" and columns > 6,
        dense=columns > 10,
        grid=found,
        groups=groups,
    )


def figure_view(figure: Exhibit, folder: Path, fact: str = "") -> FigureView:
    """One figure with its images inlined; ``fact`` is a sentence from this profile's numbers."""
    images = []
    for path in (folder / name for name in figure.files if (folder / name).is_file()):
        data, width = inlined_image(path)
        images.append(("data:image/png;base64," + base64.b64encode(data).decode(), round(width * PIXELS)))
    return FigureView(figure.title, f"{figure.caption} {fact}".strip(), figure.stage, images)


def inlined_image(path: Path) -> tuple[bytes, int]:
    """PNG of at most 256 colours and ``MAX_WIDTH`` pixels, and its width: a third of the bytes for the same page."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > MAX_WIDTH:
        height = round(picture.height * MAX_WIDTH / picture.width)
        picture = picture.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue(), picture.width


def prose(text: str) -> Markup:
    """``text`` escaped for HTML, with `code` between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _contents(tables: dict[str, TableView], figures: dict[str, FigureView]) -> list[tuple[str, str, bool]]:
    lines = []
    for name, label, exhibits in SECTIONS:
        lines.append((name, label, False))
        for exhibit in exhibits:
            title = (tables.get(exhibit) or figures[exhibit]).title
            lines.append((exhibit, re.sub(r"^(Table|Figure) (\d)\S*[.:]? .*", r"\1 \2", title), True))
    return lines


def _cards(results: Results) -> list[dict[str, str]]:
    def card(label: str, value: Interval | str) -> dict[str, str]:
        if isinstance(value, str):
            return {"label": label, "value": value, "width": ""}
        width = "" if not value.n or math.isnan(value.half_width) else f"{value.half_width:.1f}"
        return {"label": label, "value": f"{value.mean:.1f} %" if value.n else "–", "width": width}

    sizes = {
        v: next(iter(results.runs[v].values()))["parameters"] for v in (TEACHER, "full", "plain") if v in results.runs
    }
    student = sizes.get("full", sizes.get("plain"))
    ratio = f"{sizes[TEACHER] / student:.1f}×" if student and TEACHER in sizes else "–"
    closed = gap_closed(results)
    reduction = reported.value("table3|PTv3 (Teacher)|Params (M)") / reported.value("table3|Our Student|Params (M)")
    return [
        card("teacher", results.score(TEACHER)),
        card("student without KD", results.score("plain")),
        card("student with KD, topology and saliency", results.score("full")),
        card("of the gap between student and teacher closed", "–" if math.isnan(closed) else f"{100 * closed:.0f} %"),
        card(f"fewer parameters than the teacher (paper: {reduction:.1f}×)", ratio),
    ]


def _card_note(results: Results) -> str:
    absent = "left out" if results.metric == "miou_skip" else "counted as 0"
    return (
        f"mIoU on the validation split of {results.dataset} scans, mean ± half-width of the 95 % interval over seeds; "
        f"classes in neither truth nor prediction are {absent}."
    )


def _run_line(run: dict[str, Any], metric: str) -> dict[str, Any]:
    evaluation = run["evaluation"]
    weights = run.get("weights") or {}
    terms = ["cross-entropy"]
    for term in run.get("terms") or []:
        extra = f", T = {weights['temperature']:g}" if term == "kd" and weights.get("temperature") else ""
        weight = weights.get(f"lambda_{term}")
        terms.append(f"{term}{f' (λ = {weight:g}{extra})' if weight is not None else ''}")

    def percent(name: str) -> str:
        return "–" if evaluation[name] is None else f"{100 * evaluation[name]:.1f}"

    return {
        "run": run["run"],
        "terms": " + ".join(terms),
        "preset": run["preset"],
        "parameters": f"{run['parameters']:,}",
        "steps": run["steps"],
        "batch_size": run.get("batch_size", ""),
        "miou": percent(metric),
        "miou_zero": percent("miou_zero"),
        "accuracy": percent("accuracy"),
    }


def _conditions(results: Results, runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    if not runs:
        return [("Runs", "none yet")]
    evaluation = runs[0]["evaluation"]
    versions = runs[0].get("versions", {})
    return [
        ("Device", f"{_same(runs, 'device')}, threads per run: {_same(runs, 'threads')}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Seeds", ", ".join(map(str, results.params.seeds))),
        ("Validation", f"{evaluation['scans']} scans, {evaluation['points']:,} labelled points, {results.dataset}"),
        (
            "Voxels",
            f"{results.params.data.voxel_size:g} m; training crops of {results.params.data.crop_voxels:,} voxels",
        ),
    ]


def _same(runs: list[dict[str, Any]], name: str, default: str = "not recorded") -> str:
    """The value that the runs share, or all of their values."""
    return ", ".join(sorted({str(run[name]) for run in runs if name in run})) or default


def write_tables(results: Results) -> list[Path]:
    """Write ``tables/<table>.csv`` (every line, full precision) and ``.md`` (for reading); returns the paths."""
    written = []
    for table in TABLES:
        assert table.lines is not None
        frame: pd.DataFrame = table.lines(results)
        path = results.folder / "tables" / f"{table.id}.csv"
        write_text(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
        view = table_view(table, results)
        text = f"# {table.title}\n\n{view.grid.markdown(table.corner)}\n\n{table.caption}\n"
        write_text(path.with_suffix(".md"), text)
        written += [path, path.with_suffix(".md")]
    return written
