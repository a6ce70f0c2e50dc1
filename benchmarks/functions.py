"""Compare our functions of diagrams and clouds with other libraries and plain torch; writes benchmarks/functions.md.

    python benchmarks/functions.py                      # all parts
    python benchmarks/functions.py agreement --clouds 1000
    python benchmarks/functions.py speed --sizes 30,100,500

Parts: ``agreement`` (values on random clouds and their diagrams, ten families full of ties and duplicates; gradients
on clouds in general position, where there is one), ``speed`` (value, and value with gradient, interleaved in one
process on one thread; CPU time, medians). GUDHI differentiates the Wasserstein distance only; its other functions are
timed for the value alone and compared with ours with gradient too. Programs that are not installed are left out:
``pip install gudhi POT eagerpy torch_topological oineus``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from function_libraries import (
    Call,
    gudhis,
    gudhis_of_clouds,
    gudhis_with_gradient,
    naive,
    oineuses,
    on_arrays,
    ours,
    torch_topologicals,
)
from report import Rows, keep, table
from torch import Tensor

from tests.topology.clouds import random_cloud
from topokd import topology
from topokd.experiments.shapes import circle, uniform

TITLE = "Functions of diagrams compared with other libraries"


# -- agreement --------------------------------------------------------------------------------------------------------


def value_rivals() -> dict[str, dict[str, Call]]:
    """Other libraries' functions on tensors, whose values are compared with ours, by library."""
    arrays = {"gudhi": gudhis() | gudhis_of_clouds(), "oineus": oineuses()}
    rivals = {who: {name: on_arrays(f) for name, f in calls.items()} for who, calls in arrays.items()}
    return rivals | {"torch_topological": comparable(torch_topologicals()), "naive torch": naive()}


def comparable(calls: dict[str, Call]) -> dict[str, Call]:
    """Those of torch_topological with our definition: entropy in nats; its sliced distance has one line more."""
    same = {name: call for name, call in calls.items() if name != "sliced_wasserstein_distance"}
    if (bits := same.get("persistence_entropy")) is not None:
        same["persistence_entropy"] = lambda a: bits(a) * np.log(2.0)
    return same


def agreement(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Largest difference over all clouds, relative to the largest value of the result."""
    gradients = {
        "gudhi": gudhis_with_gradient(),
        "torch_topological": comparable(torch_topologicals()),
        "naive torch": naive(),
    }
    yield from compared("value", value_rivals(), map(tied, range(options.clouds)), values)
    yield from compared("gradient", gradients, map(general, range(options.clouds)), derivatives)


def compared(
    what: str,
    rivals: dict[str, dict[str, Call]],
    cases: Iterator[list[Given]],
    measure: Callable[[Call, tuple[Tensor, ...]], np.ndarray],
) -> Iterator[dict[str, Any]]:
    mine = ours()
    apart: dict[tuple[str, str], list[float]] = {(who, name): [] for who, calls in rivals.items() for name in calls}
    for given in chain.from_iterable(cases):
        for who, name in apart:
            function = name.removesuffix(" (Hera)")
            if kind_of(function) != given.kind:
                continue
            inputs = given.both if takes_two(function) else given.both[:1]
            value = measure(mine[function], inputs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                other = measure(rivals[who][name], inputs)
            apart[who, name].append(float(np.abs(value - other).max() / max(float(np.abs(other).max()), 1e-9)))
    for (who, name), differences in apart.items():
        yield {"function": name, "against": who, "what": what, "comparisons": len(differences),
               "largest": max(differences), "apart": sum(d > 1e-6 for d in differences)}  # fmt: skip


class Given(NamedTuple):
    """Two inputs of a function: ``diagrams`` of one degree, or ``clouds`` on the same rows."""

    kind: str
    both: tuple[Tensor, Tensor]


def kind_of(name: str) -> str:
    return "clouds" if name in ("rtd", "rtd_lite", "signature_loss") else "diagrams"


def takes_two(name: str) -> bool:
    return "distance" in name or kind_of(name) == "clouds"


def tied(seed: int) -> list[Given]:
    """Two random clouds full of ties on the same rows, and their diagrams in degrees 0 and 1; the last death is 1."""
    x, y = random_cloud(seed), random_cloud(seed + 100_000)
    diagrams = zip(*(topology.vietoris_rips(cloud).diagrams for cloud in (x, y)), strict=True)
    given = [Given("diagrams", _scaled(list(pair))) for pair in diagrams if all(len(d) for d in pair)]
    rows = min(len(x), len(y))
    clouds = (torch.from_numpy(x[:rows]), torch.from_numpy(y[:rows]))
    if rows > 1 and all(float(torch.quantile(torch.cdist(c, c).flatten(), 0.9)) > 0 for c in clouds):
        given.append(Given("clouds", clouds))
    return given


def general(seed: int) -> list[Given]:
    """Two diagrams, and two normal clouds in R^2 to R^8 on the same rows: 10 to 40 pairs or points without a tie."""
    rng = np.random.default_rng(seed)
    n, c, d = rng.integers(10, 41), rng.integers(2, 9), rng.integers(2, 9)
    births = rng.random((2, n))
    deaths = births + rng.exponential(0.05, (2, n))
    first, second = torch.from_numpy(np.stack([births, deaths], axis=2))
    clouds = (torch.from_numpy(rng.normal(size=(n, c))), torch.from_numpy(rng.normal(size=(n, d))))
    return [Given("diagrams", (first, second)), Given("clouds", clouds)]


def values(function: Call, given: tuple[Tensor, ...]) -> np.ndarray:
    return np.ravel(np.asarray(function(*given)))


def derivatives(function: Call, given: tuple[Tensor, ...]) -> np.ndarray:
    """The gradient of the sum of the result, with respect to all inputs."""
    leaves = [d.clone().requires_grad_(True) for d in given]
    return torch.cat([g.flatten() for g in torch.autograd.grad(function(*leaves).sum(), leaves)]).numpy()


def agreement_page(rows: Rows) -> list[str]:
    return [
        "## Values and gradients against other libraries",
        "",
        "Values: random clouds (families of tests/topology/clouds.py, full of ties) and their diagrams of degrees 0 and"
        " 1, scaled to end at 1. Gradients: of the sum of the result, on diagrams of 10 to 40 random pairs and clouds"
        " of as many normal points in R^2 to R^8, where nothing is tied. RTD, RTD-Lite and the signature loss are"
        " compared on the pairs of clouds with at least two rows in common whose distances have a positive"
        " 0.9-quantile, and functions of diagrams in each degree in which neither diagram is empty. Largest difference"
        " relative to the result's largest entry, and comparisons that differ by more than 1e-6. Hera's bottleneck"
        " distance is approximate, to a relative 1e-9. `naive torch`: the formula in a few lines on whole matrices.",
        "",
        *table(
            ["function", "what", "against", "comparisons", "largest difference", "more than 1e-6 apart"],
            [
                [r["function"], r["what"], r["against"], str(r["comparisons"]), f"{r['largest']:.1e}", str(r["apart"])]
                for r in rows
            ],
        ),
        "",
        "GUDHI's and torch_topological's Wasserstein distances come from POT, whose tolerance is absolute: where they"
        " are more than 1e-6 apart from ours the distance is tiny (diagrams of tight clusters). `naive torch` has"
        " SciPy's assignment on the whole augmented matrix.",
        *(
            [
                "",
                "GUDHI's `bottleneck_distance` differs where it is too large: ours equals the minimum over all"
                " permutations on small diagrams (tests/topology/functions/test_values.py), and Hera's value above.",
            ]
            if any(r["function"] == "bottleneck_distance" and r["against"] == "gudhi" and r["apart"] for r in rows)
            else []
        ),
        "",
        "Where `naive torch` differs: its signature loss takes other edges in two regular polygons, whose sides differ"
        " in the last bit; its gradient of RTD is not that of finite differences in one cloud, where ours is.",
        "",
        "Left out are functions of the same name with another definition: torch_topological's sliced distance (one line"
        " more, float32) and its signature loss (norms that are not squared); and Oineus's Wasserstein distance, whose"
        " auction does not end at this accuracy on diagrams full of ties.",
    ]


# -- speed ------------------------------------------------------------------------------------------------------------


def inputs(n: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Two diagrams of degree 0, two with both coordinates (a noisy sample of a long H1 diagram), two clouds."""
    rng = np.random.default_rng(n)
    clouds = [torch.from_numpy(make(n, rng)) for make in (partial(circle, noise=0.2), uniform)]
    h0 = [topology.vietoris_rips(c, max_dim=0).diagrams[0] for c in clouds]
    births = [torch.from_numpy(rng.random(n)) for _ in range(2)]
    h1 = [torch.stack([b, b + torch.from_numpy(rng.exponential(0.05, n))], dim=1) for b in births]
    return {"degree 0": _scaled(h0), "scattered": _scaled(h1), "clouds": (clouds[0], clouds[1])}


def _scaled(diagrams: list[Tensor]) -> tuple[Tensor, Tensor]:
    extent = max(float(d.max()) for d in diagrams)
    return diagrams[0] / extent, diagrams[1] / extent


def value_of(function: Call, given: tuple[Tensor, ...], arrays: bool) -> Callable[[], Any]:
    prepared = tuple(d.numpy() for d in given) if arrays else given
    return lambda: function(*prepared)


def gradient_of(function: Call, given: tuple[Tensor, ...]) -> Callable[[], Any]:
    leaves = tuple(d.clone().requires_grad_(True) for d in given)

    def run() -> None:
        torch.autograd.grad(function(*leaves).sum(), leaves)

    return run


def interleaved(runs: dict[str, Callable[[], Any]], turns: int, patience: float) -> dict[str, float]:
    """Median CPU seconds of each run; every turn takes each once, short ones many times. A slow first run counts."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    repeats: dict[str, int] = {}
    for turn in range(turns + 1):
        for name, run in runs.items():
            if turn and repeats[name] == 0:
                continue
            count = repeats.get(name, 1)
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for _ in range(count):
                    run()
            taken = (time.process_time() - start) / count
            if turn == 0:
                run()  # the first one may have compiled something
                start = time.process_time()
                run()
                taken = time.process_time() - start
                repeats[name] = 0 if taken > patience else max(1, int(0.01 / max(taken, 1e-6)))
                if repeats[name] == 0:
                    times[name].append(taken)
            else:
                times[name].append(taken)
    return {name: statistics.median(each) for name, each in times.items()}


def speed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    torch.set_num_threads(1)
    mine, values = ours(), {"gudhi": gudhis()}
    tensors = {"gudhi": gudhis_with_gradient(), "torch_topological": torch_topologicals(), "naive torch": naive()}
    for n in options.sizes:
        given = inputs(n)
        for name, function in mine.items():
            for kind in ["clouds"] if kind_of(name) == "clouds" else ["degree 0", "scattered"]:
                pair = given[kind] if takes_two(name) else given[kind][:1]
                alone = {"topokd": value_of(function, pair, False)}
                alone |= {who: value_of(calls[name], pair, True) for who, calls in values.items() if name in calls}
                if f"{name} (Hera)" in values["gudhi"]:
                    alone["gudhi (Hera)"] = value_of(values["gudhi"][f"{name} (Hera)"], pair, True)
                both = {"topokd": gradient_of(function, pair)}
                both |= {who: gradient_of(calls[name], pair) for who, calls in tensors.items() if name in calls}
                runs = {f"value {who}": run for who, run in alone.items()}
                runs |= {f"gradient {who}": run for who, run in both.items()}
                seconds = interleaved(runs, options.turns, options.patience)
                yield {"function": name, "input": kind, "points": n, "seconds": seconds,
                       "times": ", ".join(f"{who} {s * 1e3:.3g} ms" for who, s in seconds.items())}  # fmt: skip


def speed_page(rows: Rows) -> list[str]:
    lines = [
        "## Time",
        "",
        "Median CPU milliseconds on one thread, interleaved; in brackets the time over ours (above 1: ours is faster)."
        " A value alone, and a value with the gradients of all inputs. GUDHI has gradients of the Wasserstein distance"
        " only. `degree 0`: diagrams of two clouds of so many points, births 0; `scattered`: as many pairs with"
        " different births; `clouds`: points in R^2 and R^3.",
        "",
    ]
    slower = []
    body = []
    for r in rows:
        seconds = r["seconds"]
        cells = []
        for what in ("value", "gradient"):
            base = seconds[f"{what} topokd"]
            others = {
                k.removeprefix(f"{what} "): s for k, s in seconds.items() if k.startswith(what) and "topokd" not in k
            }
            cells += [f"{base * 1e3:.3g}", ", ".join(f"{k} {s * 1e3:.3g} ({s / base:.2g})" for k, s in others.items())]
            slower += [
                f"{r['function']} ({r['input']}, {r['points']}, {what}): {k} takes {s / base:.2g} of our time"
                for k, s in others.items()
                if s < base
            ]
        body.append([r["function"], r["input"], str(r["points"]), *cells])
    lines += table(["function", "input", "points", "value", "others", "with gradient", "others"], body)
    lines += ["", "Where ours is slower: " + ("; ".join(slower) if slower else "nowhere here") + "."]
    return lines


PARTS = {"agreement": agreement, "speed": speed}
PAGES = {"agreement": agreement_page, "speed": speed_page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="parts to measure (default: all)")
    parser.add_argument("--clouds", type=int, default=1000, help="pairs of clouds of the agreement")
    parser.add_argument("--sizes", type=lambda s: [int(v) for v in s.split(",")], default=[30, 100, 500])
    parser.add_argument("--turns", type=int, default=7, help="turns that count")
    parser.add_argument("--patience", type=float, default=2.0, help="seconds above which a run is not repeated")
    parser.add_argument("--note", default="", help="a sentence on how it was measured, such as the machine's load")
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    load = f"Load average {os.getloadavg()[0]:.1f} at the start."
    keep(
        __file__,
        TITLE,
        {part: PARTS[part](options) for part in options.parts or PARTS},
        PAGES,
        ["torch", "numpy", "scipy", "gudhi", "POT", "torch_topological", "oineus"],
        options.dry,
        f"{load} {options.note}".rstrip(),
    )


if __name__ == "__main__":
    main()
