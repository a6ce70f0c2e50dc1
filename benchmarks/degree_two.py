"""Critical simplices and values of degrees 0 to 2 against GUDHI's, on clouds of R^2 to R^64.

The clouds and the comparison are those of tests/topology/test_degree_two.py, which runs a few of them. The numbers are
kept in benchmarks/degree_two.json and .md:

    python benchmarks/degree_two.py             # 1,000 clouds
    python benchmarks/degree_two.py --clouds 50 --dry
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from report import Rows, keep, table
from tqdm import tqdm

from tests.topology.rips_of_gudhi import Comparison, compare_with_gudhi, generic_cloud

TITLE = "Critical simplices and values against GUDHI"


def agreement(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """By dimension of the cloud and degree: pairs, pairs with other critical edges, largest difference of a value."""
    comparisons: dict[tuple[int, int], list[Comparison]] = defaultdict(list)
    for seed in tqdm(range(options.clouds), unit="cloud"):
        points = generic_cloud(seed, options.points)
        for degree, comparison in enumerate(compare_with_gudhi(points)):
            comparisons[points.shape[1], degree].append(comparison)
    for (dimension, degree), group in sorted(comparisons.items()):
        yield {
            "dimension": dimension,
            "degree": degree,
            "clouds": len(group),
            "pairs": sum(c.pairs for c in group),
            "different": sum(c.different for c in group),
            "off": max(c.off for c in group),
        }


def agreement_page(rows: Rows) -> list[str]:
    """The section of the page."""
    clouds = sum(r["clouds"] for r in rows if r["degree"] == 0)
    pairs, different, off = (
        sum(r["pairs"] for r in rows),
        sum(r["different"] for r in rows),
        max(r["off"] for r in rows),
    )
    return [
        "## Every pair of degrees 0, 1 and 2",
        "",
        f"{clouds:,} clouds, normal, uniform, on a sphere and like features after ReLU, with different distances."
        f" Of {pairs:,} pairs, {different:,} have other critical edges than GUDHI's; the largest difference of a birth"
        f" or death is {off:.1e}. A simplex is compared by its longest edge: those that share it enter together.",
        "",
        *table(
            ["cloud in", "degree", "clouds", "pairs", "other critical edges", "largest difference"],
            [
                [
                    f"R^{r['dimension']}",
                    *(str(r[k]) for k in ("degree", "clouds", "pairs", "different")),
                    f"{r['off']:.1e}",
                ]
                for r in rows
            ],
        ),
    ]


def main() -> None:
    """Compare and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=1000)
    parser.add_argument("--points", type=int, default=40, help="most points of a cloud")
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    parts, packages = {"agreement": agreement(options)}, ["numpy", "gudhi", "giotto-ph"]
    keep(__file__, TITLE, parts, {"agreement": agreement_page}, packages, options.dry)


if __name__ == "__main__":
    main()
