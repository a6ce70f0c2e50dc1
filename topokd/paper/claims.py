"""The paper's claims about cost and theory, each with its measured answer; and the report's first sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from topokd.paper import reported
from topokd.paper.findings import Finding, findings
from topokd.paper.results import Results
from topokd.paper.statistics import signed
from topokd.paper.studies import DOSE

NOT_YET = "Not measured yet: run the stage `{}`."


def claims(results: Results) -> list[Finding]:
    """All claims: about accuracy (`findings`), the shapes of objects, cost and theory."""
    return [*findings(results), *_shapes(results), *_cost(results), *_theory(results)]


def lead(results: Results) -> str:
    """What was found in one sentence, with the number of scans and seeds and the sizes of the networks."""
    runs = list(results.all_runs())
    if not runs:
        return "Nothing has been measured in this profile yet."
    setting = f"On {runs[0]['evaluation']['scans']} validation scans ({results.dataset})"
    main, beyond, _ = _questions(results)
    if main is None:
        return f"{setting}, no two rows can be compared yet ({_networks(results)})."
    assert main.gain is not None
    summary = {
        "yes": "{} raise the student’s mIoU by {} points",
        "no": "{} lower the student’s mIoU: {} points",
        "same": "{} do not change the student’s mIoU: {} points",
        "weak": "{} do not change the student’s mIoU at their weights: {} points",
        "open": "it remains open whether {} help: {} points of mIoU",
    }[main.answer].format(f"**{main.subject}**", f"**{main.gain.text(sign=main.answer != 'yes')}**")
    against = f" against “{main.over}”" if main.over else ""
    against += " (a comparison added to the plan after these runs)" if main.added else ""
    about = f"({_networks(results)}{seeds_used(results, main)})."
    if main.study:
        setting, about = f"In the {main.study} ({results.dataset}, {main.size})", f"({_networks(results)})."
    if beyond is None:
        return f"{setting}, {summary}{against} {about}"
    added = beyond_another(beyond, results.labels[beyond.row])
    if beyond.study == main.study:
        return f"{setting}, {summary}{against}; {added} {about}"
    return f"{setting}, {summary}{against} {about} In the {beyond.study} ({beyond.size}), {added}."


def details(results: Results) -> str:
    """The comparisons that `lead` leaves out, a sentence for each row that they are with; empty without any."""
    main, _, others = _questions(results)
    if main is None:
        return ""
    order = sorted(dict.fromkeys(f.over for f in others), key=lambda over: over != main.over)
    rest = (additions([f for f in others if f.over == over], over, beyond=over != main.over) for over in order)
    return " ".join(filter(None, rest))


def _questions(results: Results) -> tuple[Finding | None, Finding | None, list[Finding]]:
    """The comparison of the whole method with no method, that of the same row with KD, and all others."""
    found = [finding for finding in findings(results) if finding.subject and finding.subject != "the teacher"]
    if not found:
        return None, None, []
    main, *others = found
    beyond = next((f for f in others if f.row == main.row and f.gain and f.answer in WORDS), None)
    return main, beyond, [finding for finding in others if finding is not beyond]


def beyond_another(finding: Finding, label: str) -> str:
    """A clause on what the row with a label gains over another that has some of its terms."""
    assert finding.gain is not None
    verb = {
        "yes": "is **better** than",
        "no": "is **worse** than",
        "same": "is **no different** from",
        "weak": "is, at these weights, **no different** from",
    }
    clause = f"“{label}” {verb.get(finding.answer, 'is better than')} “{finding.over}”"
    if finding.answer == "open":
        clause = f"whether {clause} stays **undecided**"
    return f"{clause}: {finding.gain.text(sign=True)}"


def _networks(results: Results) -> str:
    sizes = {run["role"]: run["parameters"] / 1e6 for run in reversed(list(results.all_runs()))}
    return ", ".join(f"{role} of {sizes[role]:.2f} M parameters" for role in ("student", "teacher") if role in sizes)


def seeds_used(results: Results, finding: Finding) -> str:
    """The seeds behind a finding: those of a study where that decides it."""
    assert finding.gain is not None
    if finding.study:
        return f", {finding.gain.n} seeds of the {finding.study}"
    seeds, teachers = (
        len({run["seed"] for run in results.all_runs() if run["role"] == role}) for role in ("student", "teacher")
    )
    return f", {seeds} seed{'' if seeds == 1 else 's'}, {teachers} teacher{'' if teachers == 1 else 's'}"


def additions(group: list[Finding], over: str, *, beyond: bool) -> str:
    """A sentence on the comparisons with one row, to which they add terms; the word for their answer once if shared."""
    group = [f for f in group if f.gain and f.answer in WORDS]
    answers = {f.answer for f in group}
    if not group:
        return ""
    if beyond and len(answers) == 1:
        listed = ", ".join(f"{f.subject} {f.gain.text(sign=True)}{_by(f, ' ({})')}" for f in group if f.gain)
        return f"On top of “{over}” {SHARED[answers.pop()]}: {listed} points."
    listed = ", ".join(
        f"{f.subject} {f.gain.text(sign=True)} ({WORDS[f.answer]}{_by(f, ', {}')})" for f in group if f.gain
    )
    return f"{'On top of' if beyond else 'Against'} “{over}”: {listed}."


def _by(finding: Finding, form: str) -> str:
    """The study that decided, in a form such as ", {}"; empty where the profile's own runs did."""
    return form.format(finding.study) if finding.study else ""


WORDS = {"yes": "helps", "no": "harms", "same": "no effect", "weak": "too weak", "open": "undecided"}
SHARED = {
    "yes": "each of these **helps**",
    "no": "each of these **harms**",
    "same": "none of these has an **effect**",
    "weak": "none of these has an **effect** at its weight",
    "open": "it stays **undecided** whether these help",
}
IDEA = (
    "The paper trains a small network, the **student**, to label every point of a LiDAR scan nearly as well as a large "
    "one, the **teacher**. Besides the labels it follows the teacher by three loss terms: **KD** (its class scores, a "
    "known method) and, new in the paper, the **topological term** (persistence diagrams of its features: at which "
    "distances their clusters merge and loops close) and the **saliency term** (which points matter most to it). "
    "**mIoU**: overlap of the predicted and the true points of a class, averaged over classes. A **seed** is one "
    "training run; **±** is half of a 95 % interval over seeds."
)


def _shapes(results: Results) -> Iterator[Finding]:
    """The claim about fragments and thin structures, where the study of dose and response is on the same data."""
    study = results.studies.get(DOSE, {})
    trend = study.get("trend", {})
    if study.get("dataset") != results.params.data.dataset or not {"fragments", "boundary_miou"} <= trend.keys():
        return
    fragments, boundary = trend["fragments"], trend["boundary_miou"]
    answer = "yes" if fragments["high"] < 0 else "no" if fragments["low"] > 0 else "open"
    (fewer, thin), sharper = (
        [_trend(trend[name], 3) for name in ("fragments", "thin_fragments")],
        _trend(boundary, 1),
    )
    yield Finding(
        "Does the topological term reduce fragments?",
        answer,
        f"Along the doses fragments per object change by {fewer}, those of thin ones by {thin}, and mIoU at boundaries "
        f"by {sharper} points ({fragments['seeds']} seeds).",
        "It keeps objects in one piece and thin structures sharp (Sec. D.1).",
        "dose",
    )


def _trend(change: Mapping[str, float], digits: int) -> str:
    return f"{signed(change['mean'], digits)} ({signed(change['low'], digits)} to {signed(change['high'], digits)})"


def _cost(results: Results) -> Iterator[Finding]:
    cost, timing = results.records.get("model_cost"), results.records.get("timings/model_cost")
    question, claim = "Is the student 16 times smaller?", "The student has 16.6 times fewer parameters (Sec. 4.2)."
    if cost:
        teacher, student = (cost["models"][role] for role in ("teacher", "student"))
        ratio = cost["ratios"]["parameters"]
        yield Finding(
            question,
            "yes" if abs(ratio - 16.6) < 0.05 else "no",
            f"{teacher['parameters']['total']:,} against {student['parameters']['total']:,} parameters: {ratio:.1f} "
            f"times (presets {teacher['preset']} and {student['preset']}).{trained_networks(results, ratio)}",
            claim,
            "table5",
        )
    else:
        yield Finding(question, "missing", NOT_YET.format("model_cost"), claim, "table5")
    yield _operations(results)
    question, claim = "Is the student faster?", "Inference is 1.64 to 1.9 times faster on a GPU (Tables 3 and 5)."
    if timing:
        ratio, (low, high) = timing["ratios"]["latency"], timing["ratios"]["latency_range"]
        voxels = timing["models"]["teacher"]["voxels"]
        sentence = (
            f"{ratio:.2f} times on {timing['device']} ({voxels:,} voxels, the network alone; {low:.2f} to {high:.2f} "
            f"in {timing['repeats']} pairs of passes)."
        )
        yield Finding(question, "yes" if low > 1 else "no" if high < 1 else "open", sentence, claim, "table5")
    else:
        yield Finding(question, "missing", NOT_YET.format("model_cost"), claim, "table5")
    yield _memory(results)
    question = "Is the topological loss faster than a naive implementation?"
    printed = reported.load("table8").loc["100", "speed-up"]
    claim = f"Forward and backward are {printed} faster than a naive baseline at N = 100."
    rows = (results.records.get("timings/topology_cost") or {}).get("table8", [])
    compared = [row for row in rows if row.get("speedup")]
    if compared:
        last, top = compared[-1], rows[-1]
        seconds = top["ours"]["forward_s"] + top["ours"]["backward_s"]
        sentence = (
            f"{last['speedup']:,.0f} times faster than plain torch (one run of it) at N = {last['points']}; "
            f"{1e3 * seconds:.0f} ms at N = {top['points']} on one core."
        )
        yield Finding(question, "yes" if last["speedup"] > 1 else "no", sentence, claim, "table8")
    else:
        yield Finding(question, "missing", NOT_YET.format("topology_cost"), claim, "table8")


def _operations(results: Results) -> Finding:
    """The claim about FLOPs: with or without the products inside attention, which the paper does not say."""
    question = "Does the student's encoder need as few FLOPs as claimed?"
    printed = reported.load("table5").loc["Encoder GFLOPs", "Comparison"]
    claim = f"The encoder's FLOPs are {printed} (Table 5)."
    cost = results.records.get("model_cost")
    if not cost:
        return Finding(question, "missing", NOT_YET.format("model_cost"), claim, "table5")
    claimed, encoder = float(printed.partition("×")[0]), cost["ratios"]["flops"]["encoder"]
    counted = [abs(encoder[kind] - claimed) < 0.05 * claimed for kind in ("total", "without_attention")]
    return Finding(
        question,
        "yes" if all(counted) else "open" if any(counted) else "no",
        f"{encoder['total']:.1f} times lower; {encoder['without_attention']:.1f} times without the products inside "
        "attention, which fall only with channels and blocks.",
        claim,
        "table5",
    )


def _memory(results: Results) -> Finding:
    """The claim about peak memory: with or without weights, which the paper does not say."""
    question, claim = "Does the student need less memory?", "Peak memory of inference is 2.5 times lower (Sec. 1)."
    timing = results.records.get("timings/model_cost")
    if not timing:
        return Finding(question, "missing", NOT_YET.format("model_cost"), claim, "table6")
    ratios, voxels = timing["ratios"], timing["models"]["teacher"]["voxels"]
    reached = [ratios[name] >= 2.5 for name in ("peak_memory", "peak_memory_with_weights")]
    return Finding(
        question,
        "yes" if all(reached) else "open" if any(reached) else "no",
        f"{ratios['peak_memory']:.2f} times less for tensors, {ratios['peak_memory_with_weights']:.1f} times with the "
        f"weights ({voxels:,} voxels). The larger the scan, the less the weights count.",
        claim,
        "table6",
    )


def trained_networks(results: Results, ratio: float) -> str:
    """A sentence on the networks that this profile trains, if they are others than those of the claim."""
    sizes = {run["role"]: run["parameters"] for run in results.all_runs()}
    if not {"teacher", "student"} <= set(sizes):
        return ""
    here = sizes["teacher"] / sizes["student"]
    return "" if abs(here - ratio) < 0.05 else f" The networks trained here: {here:.1f} times."


def _theory(results: Results) -> Iterator[Finding]:
    record = results.records.get("topology")
    about = (
        ("Does sampling keep the diagrams?", "Sampling moves a diagram by at most 2ε (Proposition 1).", "proposition1"),
        ("Do logarithmic weights dampen noise?", "Noise gets a vanishing share of the gradient (Lemma 1).", "figure7"),
        ("Are the diagrams exact?", "Diagrams equal those of Ripser (Sec. 3.2).", "figure8"),
    )  # fmt: skip
    if not record:
        for question, claim, evidence in about:
            yield Finding(question, "missing", NOT_YET.format("topology"), claim, evidence)
        return
    worst, samples = record["proposition1"]["worst_share_of_bound"], len(record["proposition1"]["rows"])
    ratio, figure8 = record["figure7"]["loop_to_noise"], record["figure8"]
    sentences = (
        (worst <= 1, f"In {samples} samples the distance was at most {worst:.2f} of the bound."),
        (ratio > 1, f"The loop of a noisy circle gets {ratio:.0f} times the mean gradient of its noise pairs."),
        (figure8["worst"] < 1e-6, f"Largest bottleneck distance to giotto-ph (Ripser): {exact(figure8['worst'])}."),
    )
    for (question, claim, evidence), (holds, sentence) in zip(about, sentences, strict=True):
        yield Finding(question, "yes" if holds else "no", sentence, claim, evidence)


def exact(distance: float) -> str:
    """The text that reports a distance between diagrams.

    >>> exact(0.0), exact(3e-16)
    ('0, equal diagrams', '3.0e-16')
    """
    return f"{distance:.1e}" if distance else "0, equal diagrams"


__all__ = ["IDEA", "claims", "details", "exact", "lead"]
