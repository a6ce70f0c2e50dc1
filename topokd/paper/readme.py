"""Table of expected numbers, written from committed results so that no number is typed by hand."""

from __future__ import annotations

from pathlib import Path

from topokd.io import read_json
from topokd.paper.results import TEACHER, Results

BEGIN, END = "<!-- expected numbers: written by `topokd readme` -->", "<!-- end of expected numbers -->"


def expected_numbers(folders: list[Path]) -> str:
    """A Markdown table per results folder: parameters, mIoU with its interval, steps and minutes of each row."""
    return "\n\n".join(_profile(Results.read(folder)) for folder in folders)


def _profile(results: Results) -> str:
    durations = {path.stem: read_json(path) for path in sorted((results.folder / "provenance").glob("*.json"))}
    total = sum(record["seconds"] for record in durations.values()) / 60
    where = next(iter(durations.values()), {"processor": "unknown processor", "cores": "?"})
    seeds = results.params.seeds
    base = next(iter(results.rows))
    lines = [
        f"Profile `{results.profile}` ({results.dataset}): mIoU in % over the classes present in the validation split, "
        f"mean ± 95 % interval over seeds {', '.join(map(str, seeds))}; minutes of one run on one core of "
        f"{where['processor']}. All stages together took {total:.0f} core-minutes.",
        "",
        f"| row | parameters | mIoU | gain over “{results.labels[base]}” | steps | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for network, look in results.looks.items():
        runs = results.runs.get(network, {})
        if not runs:
            continue
        first = next(iter(runs.values()))
        notebook = "20_teacher" if network == TEACHER else f"30_student-{network}"
        taken = [durations[name]["seconds"] for seed in runs if (name := f"{notebook}-seed{seed}") in durations]
        minutes = f"{sum(taken) / len(taken) / 60:.1f}" if taken else "–"
        gain = "" if network == base else results.gain(network, base).text(sign=True)
        lines.append(
            f"| {look.label} | {first['parameters'] / 1e6:.2f} M | {results.score(network).text()} | {gain} "
            f"| {first['steps']} | {minutes} |"
        )
    return "\n".join(lines)


def refresh(readme: str, numbers: str) -> str:
    """``readme`` with the block between the markers replaced.

    >>> print(refresh(f"a\\n{BEGIN}\\nold\\n{END}\\nb", "new"))
    a
    <!-- expected numbers: written by `topokd readme` -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- end of expected numbers -->
    b
    """
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{numbers}\n\n{END}{after}"
