"""Links from an exhibit to its sources, and between reports; only to files that exist."""

from __future__ import annotations

from collections.abc import Sequence

from topokd.paper.exhibits import Exhibit, Figure, Table
from topokd.paper.results import Results
from topokd.paper.segmentation_tables import results_for_dataset

NOTEBOOKS = {
    "data": "10_data", "teacher": "20_teacher", "student": "30_student", "evaluation": "40_evaluation",
    "panels": "45_panels", "topology": "50_topology", "topology_cost": "60_topology_cost",
    "model_cost": "70_model_cost", "study": "80_study", "paper": "90_paper",
}  # fmt: skip


def sources(exhibit: Exhibit, results: Results, files: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Links ``(text, address)`` to the notebook and the ``files`` of an exhibit, relative to the report."""
    links = []
    notebook = NOTEBOOKS[exhibit.stage]
    layout = exhibit.layout if isinstance(exhibit, Table) else ""
    executed = sorted((results.folder / "notebooks").glob(f"{notebook}*{layout}.html"))
    if executed:
        one = f" (one of {len(executed)}: {executed[0].stem.removeprefix(notebook + '-')})" * (len(executed) > 1)
        links.append((f"executed notebook {notebook}{one}", f"notebooks/{executed[0].name}"))
    links.append(("notebook’s source", f"../../notebooks/{notebook}.py"))
    for file in files:
        links += [(kind.upper(), f"../../figures/{results.profile}/{file}.{kind}") for kind in ("svg", "png")]
    if isinstance(exhibit, Table):
        links.append(("CSV", f"tables/{exhibit.id}.csv"))
    return [(text, address) for text, address in links if (results.folder / address).is_file()]


def profiles(results: Results) -> list[tuple[str, str]]:
    """``(profile, address)`` of the reports of other profiles."""
    others = sorted(results.folder.parent.glob("*/report.html"))
    return [
        (file.parent.name, f"../{file.parent.name}/report.html") for file in others if file.parent != results.folder
    ]


def notebooks(results: Results) -> list[tuple[str, str]]:
    """``(name, address)`` of the executed notebooks next to the report."""
    return [(file.stem, f"notebooks/{file.name}") for file in sorted((results.folder / "notebooks").glob("*.html"))]


def explorers(results: Results) -> list[tuple[str, str]]:
    """``(name, address)`` of the explorers next to the report, which the stage `explorers` writes."""
    pages = sorted((results.folder / "explorers").glob("explore-*.html"))
    return [(file.stem.removeprefix("explore-"), f"explorers/{file.name}") for file in pages]


def pdf(results: Results) -> str:
    """Address of the report as PDF, if ``topokd pdf`` has printed it."""
    return "report.pdf" if (results.folder / "report.pdf").is_file() else ""


def citation(results: Results) -> str:
    """Address of the file with the paper's entry for a bibliography, if the report is in a checkout."""
    return "../../CITATION.cff" if (results.folder / "../../CITATION.cff").is_file() else ""


def measured_over(exhibit: Exhibit, results: Results) -> str:
    """The data behind an exhibit's measured numbers, for its caption."""
    if exhibit.data:
        return exhibit.data
    if isinstance(exhibit, Table) and exhibit.layout:
        results = results_for_dataset(results, exhibit.layout)
    few = exhibit.scans if isinstance(exhibit, Figure) else ""
    if exhibit.stage == "data":
        return f"{results.dataset}, {few or 'all scans'}"
    run = next(results.all_runs(), None)
    if run is None:
        return f"{results.dataset}, not measured yet"
    seeds = sorted({r["seed"] for r in results.all_runs()})
    if isinstance(exhibit, Figure) and exhibit.first_seed:
        seeds = seeds[:1]
    named = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    scans = f"{run['evaluation']['scans']} validation scans"
    return f"{results.dataset}, {f'{few} of {scans}' if few else scans}, {named}"
