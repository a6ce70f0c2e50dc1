"""Sentences of single figures, computed from the numbers of the profile; empty if these are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from topokd.datasets.semantickitti.real_statistics import real_statistics
from topokd.paper.claims import exact
from topokd.paper.figures import gradient_shares, validations
from topokd.paper.results import Results
from topokd.paper.statistics import two_digits
from topokd.paper.studies import listed
from topokd.scans import SYNTHETIC
from topokd.training.gradients import WEAK
from topokd.viz.results import banded


def gradients(results: Results) -> str:
    """Median share of each term, over steps and seeds, in the row with the most terms."""
    shares = gradient_shares(results)
    if not shares:
        return ""
    row = max(shares, key=lambda name: len(shares[name]))
    medians = {name: float(np.median(percent)) for name, (_, percent) in shares[row].items()}
    parts = [f"L_{name} {two_digits(median)} %" for name, median in medians.items()]
    sentence = f"Medians over steps and seeds in “{results.labels[row]}”: {', '.join(parts)}."
    weak = [f"L_{name}" for name, median in medians.items() if median < 100 * WEAK]
    few = f" Below {100 * WEAK:g} % a result says nothing about larger weights: {' and '.join(weak)}." if weak else ""
    return sentence + few


def validation(results: Results) -> str:
    """Validation during training: the number of scans, the row compared with, the bands, and what is not drawn."""
    found = validations(results)
    if found is None:
        return ""
    names = results.labels
    if found.scans < found.every:
        scans = (
            f"It is the mIoU on {found.scans} of the {found.every} validation scans, too few to tell which row is "
            f"better: the tables use all {found.every}."
        )
    else:
        scans = f"It is the mIoU on all {found.every} validation scans."
    bands = [" and ".join(f"“{names[name]}”" for name in banded(series)) for series in (found.curves, found.gains)]
    drawn = [
        f"of {named} in the {place} panel" for place, named in zip(("first", "second"), bands, strict=True) if named
    ]
    several = any(len(values) > 1 for _, values in found.curves.values())
    panels = [f"{'First panel: mean' if found.gains else 'Mean'} over seeds" if several else ""]
    panels += [f"second: difference from “{names[found.base]}” at the same step and seed" if found.gains else ""]
    text = "; ".join(part for part in panels if part)
    sentences = [scans, f"{text[:1].upper()}{text[1:]}." if text else ""]
    if drawn:
        where = ", ".join(drawn) if found.gains else f"of {bands[0]}"
        sentences.append(f"Bands: lowest to highest seed, {where}.")
    rising = [
        name
        for name, (_, values) in found.curves.items()
        if len(mean := np.mean(values, 0)) > 1 and mean[-1] > mean[-2]
    ]
    if rising:
        which = "Every row" if len(rising) == len(found.curves) else listed([f"“{names[name]}”" for name in rising])
        sentences.append(f"{which} still improves at its last validation: more steps would help.")
    if found.single:
        sentences.append(f"Not drawn, with a single validation: {', '.join(f'“{names[n]}”' for n in found.single)}.")
    return " ".join(filter(None, sentences))


def topological_stage(results: Results) -> str:
    """Figure 2: the stage whose diagrams L_topo compares in the networks trained here."""
    stages = sorted({row.terms["topo"]["stage"] for row in results.rows.values() if "topo" in row.terms})
    return f"The networks trained here compare those of stage {' and '.join(map(str, stages))}." if stages else ""


def dampening(results: Results) -> str:
    """Figure 7."""
    topology = results.records.get("topology")
    if not topology:
        return ""
    ratio = topology["figure7"]["loop_to_noise"]
    return f"In this experiment the loop receives {ratio:.3g} times the mean gradient of the noise pairs."


def agreement(results: Results) -> str:
    """Figure 8."""
    topology = results.records.get("topology")
    if not topology:
        return ""
    figure8 = topology["figure8"]
    shown = sum(row["engine"] == figure8["engine"] for row in figure8["rows"])
    others = len(figure8["rows"]) - shown
    also = f" and {others} of our other engines" if others else ""
    return f"Largest bottleneck distance over the {shown} diagrams shown{also}: {exact(figure8['worst'])}."


def barcode(results: Results) -> str:
    """Figure 4."""
    longest = (results.records.get("topology") or {}).get("figure4", {}).get("longest")
    if not longest:
        return ""
    loops, voids = longest["H1"], longest["H2"]
    return (
        f"Persistence: loops {loops[0]:.2f} and {loops[1]:.2f}, the third {loops[2]:.2f}; void {voids[0]:.2f}, the "
        f"second {voids[1]:.2f}."
    )


def proposition1(results: Results) -> str:
    """Proposition 1."""
    topology = results.records.get("topology")
    if not topology:
        return ""
    bounds = topology["proposition1"]
    return (
        f"Over {len(bounds['rows'])} samples the distance is at most {bounds['worst_share_of_bound']:.2f} of the bound."
    )


def sampling_cost(results: Results) -> str:
    """Figure 5."""
    cost = _topology_cost(results)
    if not cost:
        return ""
    first, last = cost["sampling"][0], cost["sampling"][-1]
    return (
        f"From N = {first['points']:,} to {last['points']:,} farthest point sampling takes "
        f"{_times(last['farthest_s'] / first['farthest_s'])} times as long, random sampling "
        f"{_times(last['random_s'] / first['random_s'])} times."
    )


def homology_cost(results: Results) -> str:
    """Figure 6."""
    cost = _topology_cost(results)
    if not cost:
        return ""
    top = cost["homology"][-1]
    engine = cost.get("homology_engine", "giotto-ph")
    ratio = _times(top["h2_s"] / top["h1_s"])
    return f"Both with the engine {engine}; at N = {top['points']} degree 2 takes {ratio} times as long."


def compared_scans(results: Results) -> str:
    """What the statistics of the training scans are compared with."""
    data = results.params.data
    if data.dataset == SYNTHETIC and data.layout == "semantickitti":
        source = real_statistics()["source"]
        return f"Blue: the training split; orange, for comparison: {source}, which this profile does not use."
    return "Blue: the training split; orange: the validation split."


def _topology_cost(results: Results) -> dict[str, Any] | None:
    return results.records.get("timings/topology_cost")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"
