"""The speed that docs/topology.md states is that of the records of the benchmarks, and pages follow from records."""

from __future__ import annotations

import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from topokd.io import read_json

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
GUIDE = " ".join((ROOT / "docs" / "topology.md").read_text().split())
RECORD: dict[str, Any] = read_json(BENCHMARKS / "topology.json")


def seconds(points: int, engine: str) -> dict[str, float]:
    """Forward and backward, by family."""
    rows = [r for r in RECORD["layer"]["rows"] if (r["points"], r["engine"]) == (points, engine)]
    return {row["family"]: row["forward_s"] + row["backward_s"] for row in rows}


def ratios(points: int, engine: str) -> dict[str, float]:
    own = seconds(points, "topokd")
    return {family: theirs / own[family] for family, theirs in seconds(points, engine).items()}


def stated(pattern: str) -> tuple[str, ...]:
    match = re.search(pattern, GUIDE)
    assert match, f"docs/topology.md does not say {pattern!r}"
    return match.groups()


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[list[dict[str, Any]]], list[str]]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from topology_pages import PAGES

    return PAGES


def test_every_section_of_the_page_is_that_of_its_record(
    pages: dict[str, Callable[[list[dict[str, Any]]], list[str]]],
) -> None:
    page = (BENCHMARKS / "topology.md").read_text()
    for part, write in pages.items():
        assert "\n".join(write(RECORD[part]["rows"])) in page, part


def test_ratios_to_other_packages_are_the_geometric_means_of_the_record() -> None:
    row = stated(r"relative to ours \| 1 \| (\d+) \| (\d+) \| (\d+) \| not run \((\d+) at 128 points\)")
    cases = [(1024, "giotto-ph"), (1024, "gudhi"), (1024, "torch_topological"), (128, "oineus")]
    means = [statistics.geometric_mean(ratios(*which).values()) for which in cases]
    assert list(row) == [f"{mean:.0f}" for mean in means]
    assert set(seconds(1024, "topokd")) - set(ratios(1024, "giotto-ph")) == {"sphere in R^64"}  # as the text says
    assert len(ratios(1024, "giotto-ph")) == 9


def test_statements_about_small_clouds_are_in_the_record() -> None:
    (times,) = stated(r"holos-tda are up to ([\d.]+) times as fast as our diagrams")
    assert times == f"{1 / min(ratios(30, 'holos-tda').values()):.1f}"
    stated("at 128 points nothing is faster")
    others = {row["engine"] for row in RECORD["layer"]["rows"]} - {"topokd", "naive", "autograd alone"}
    assert min(min(ratios(128, engine).values()) for engine in others) > 1


def test_times_and_exponents_of_the_sphere_are_in_the_record() -> None:
    cpu_s = {row["points"]: row["cpu_s"] for row in RECORD["large"]["rows"] if row["family"] == "sphere in R^64"}
    first, second = stated(r"2,048 points take ([\d.]+) s and 4,096 take ([\d.]+) s")
    assert (first, second) == (f"{cpu_s[2048]:.1f}", f"{cpu_s[4096]:.1f}")
    of_points, of_edges = stated(
        r"exponent of ([\d.]+) in the number of points, and of ([\d.]+) in the number of edges"
    )
    exponent = math.log2(cpu_s[4096] / cpu_s[2048])
    assert (of_points, of_edges) == (f"{exponent:.1f}", f"{exponent / 2:.1f}")


def test_seconds_of_the_first_call_are_in_the_record() -> None:
    new, later = stated(
        r"at 1,024 points in a new environment takes (\d+) s of CPU time.* later processes take (\d+) s"
    )
    cpu_s = {row["process"]: row["cpu_s"] for row in RECORD["first"]["rows"]}
    assert new == f"{cpu_s['1,024 points, nothing compiled']:.0f}"
    assert later == f"{cpu_s['1,024 points, compiled']:.0f}"
    assert cpu_s["import torch"] > 0.4 * cpu_s["1,024 points, compiled"]  # "half of which"


@pytest.mark.long
def test_the_script_that_profiles_the_sweep_runs() -> None:
    """It calls the steps of the sweep, which can be called only in Numba."""
    script = [str(BENCHMARKS / "topology.py"), "where", "--families", "uniform in R^3", "--repeats", "1", "--dry"]
    done = subprocess.run([sys.executable, *script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "family uniform in R^3, edges 16391, " in done.stdout
