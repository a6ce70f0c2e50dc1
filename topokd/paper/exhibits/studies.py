"""The studies, which run outside the pipeline: their answers, or the commands of those that have not been run."""

from __future__ import annotations

from topokd.paper import studies
from topokd.paper.exhibits.exhibit import Figure, Listing, ReportSection

SECTION = ReportSection(
    "studies",
    "Studies with more seeds",
    "`make repro` trains with too few seeds to show that a term has no effect. The study has enough; the others ask "
    "further questions with fewer (their power is below). In all of them the protocol was fixed before the runs, every "
    "row has the same number of trials, on streets that nothing else uses, and nothing is tuned on the reported "
    "scores. They take hours, so the pipeline reads their committed answers.",
)

RUNS = "the runs of the studies, on the scans that their protocols name"

DECLARED = (
    Listing(
        id="studies_protocols",
        section=SECTION,
        short="Studies",
        title="Protocols and progress",
        caption="See `docs/study.md`. Answers of unfinished studies are preliminary and do not decide any claim.",
        stage="study",
        data=RUNS,
        frame=studies.protocols,
        words=("Study", "Asks", "Protocol", "Answer"),
    ),
    Listing(
        id="studies_comparisons",
        section=SECTION,
        short="Paired differences",
        title="Paired differences, equivalence, verdicts",
        caption="Points of mIoU, paired by seed; intervals over seeds by Student's t, which the verdict uses, over "
        "streets (in a cross-validation: places) and over both by bootstrap, which is too narrow for few seeds. "
        "Verdict: better or "
        "worse if Holm's p is below 0.05, equivalent if that of two one-sided tests is, open otherwise.",
        stage="study",
        data=RUNS,
        frame=studies.comparisons,
        words=("Study", "Row", "Against", "Verdict"),
    ),
    Listing(
        id="studies_gradients",
        section=SECTION,
        short="Their gradients",
        title="Gradients of the terms in the studies",
        caption="Norm of the weighted term's gradient in the student's parameters, divided by that of the segmentation "
        "loss, measured at regular steps of every run: over all runs (seeds, and places of a cross-validation) the "
        "median and the largest, and the number of runs in which it was above the limit at some step. Gradients are "
        "clipped, so a term far above 100 % leaves little of the others.",
        stage="study",
        data=RUNS,
        frame=studies.gradients,
        words=("Study", "Row", "Term", "in the run"),
    ),
    Figure(
        id="studies_power",
        section=SECTION,
        short="Power",
        title="Power, computed before the runs",
        caption="First panel: probability of finding a true difference, at the corrected level of the strictest "
        "comparison of each protocol, from its seeds and the spread that it expects. Second: probability of showing "
        "equivalence when there is no difference, by protocol.",
        stage="study",
        data=RUNS,
        names=("power",),
    ),
    *(
        Figure(
            id=f"studies_{name}", section=SECTION, title=title, caption=caption, stage="study", data=RUNS,
            names=tuple(f"{name}-{study}" for study in studies.PROTOCOLS if study != studies.DOSE), optional=True,
            fact=fact,
        )
        for name, title, caption, fact in (
            ("differences", "Paired differences of the studies", "Dots: means; bars: 95 % intervals.", None),
            ("trials", "All trials", "Every row has the same number of trials; the filled marker was chosen.", None),
            ("curves", "Validation of the studies during training",
             "Shows whether training still climbs: a curve that still rises was stopped early. Mean over seeds; "
             "markers of rows at one step are drawn side by side.", studies.validated),
        )
    ),
    Figure(
        id="dose",
        section=SECTION,
        short="Dose and response",
        title="Dose and response",
        caption="Above: measures as a function of the gradient share of L_topo; thin lines are seeds. Below: variants "
        "of L_topo at one share, as paired differences from training without it, with 95 % intervals.",
        stage="study",
        data=RUNS,
        fact=studies.dose_sentence,
        optional=True,
    ),
)  # fmt: skip
