"""The studies, which run outside the pipeline: their answers, or the commands of those that have not been run."""

from __future__ import annotations

from topokd.paper import studies
from topokd.paper.exhibits.exhibit import Figure, Listing, ReportSection

SECTION = ReportSection(
    "studies",
    "Studies with more seeds",
    "`make repro` trains with too few seeds to show that a term has no effect. The study is planned with enough for "
    "the standard deviation that it expects; the others ask further questions with fewer (the power of each is below, "
    "and how many seeds the standard deviation that was found asks for). Rows, seeds, weights and planned comparisons "
    "were fixed before the runs. Later came the comparisons marked * and two rules that make verdicts stricter: the "
    "margin for differences, and Holm's correction also over comparisons without runs. Where weights are tuned, every "
    "row has the same number of trials, on streets that nothing else uses; nothing is tuned on the reported scores. "
    "They take hours, so the pipeline reads their committed answers.",
)

RUNS = "the runs of the studies, on the scans that their protocols name"
LAST = "comparison"  # its figures fill a page: before them the small ones of the other studies stand side by side
DRAWN = (*(study for study in studies.PROTOCOLS if study not in (LAST, studies.DOSE)), LAST)

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
        "streets (in a cross-validation: sequences) and over both by bootstrap, which is too narrow for few seeds. All "
        "hold for the teachers of the study; the interval over seeds, and the verdict, also for its streets. "
        "SD: standard deviation of the differences; seeds for 1 point: how many would find a true "
        "difference of one point with a probability of 80 % at this SD. Verdict: equivalent if Holm's p of two "
        "one-sided tests is below 0.05, better or worse if that of the t-test is and the difference is at least the "
        "margin, open otherwise. *: added to the plan after runs had been made. Interim p-values are not corrected for "
        "repeated looks.",
        stage="study",
        data=RUNS,
        frame=studies.comparisons,
        words=("Study", "Row", "Against", "Verdict"),
    ),
    Listing(
        id="studies_weights",
        section=SECTION,
        short="Their weights",
        title="Weights that the trials chose",
        caption="Trials of one seed each, on streets and scans of their own: near the best they differ by less than "
        "seeds do. Trials of rows without weights vary the learning rate, which the others do not tune. At an end of "
        "its grid a value beyond it may be better. A trial that diverges counts with a mIoU of 0.",
        stage="study",
        data=RUNS,
        frame=studies.weights,
        words=("Study", "Row", "Weights", "At an end of its grid"),
    ),
    Listing(
        id="studies_gradients",
        section=SECTION,
        short="Their gradients",
        title="Gradients of the terms in the studies",
        caption="Norm of the weighted term's gradient in the student's parameters, divided by that of the segmentation "
        "loss, measured at regular steps of every run: over all runs (seeds, and sequences of a cross-validation) the "
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
        title="Power of the protocols",
        caption="First panel: probability that a true difference gets the verdict better or worse, in the strictest of "
        "a protocol's comparisons, from its seeds and the standard deviation (SD) that it expects. Second: probability "
        "of showing equivalence when there is no difference, by protocol.",
        stage="study",
        data="none, the protocols of the studies",
        names=("power",),
    ),
    *(
        Figure(
            id=f"studies_{name}", section=SECTION, title=title, caption=caption, stage="study", data=RUNS,
            names=tuple(f"{name}-{study}" for study in DRAWN), optional=True, fact=fact,
        )
        for name, title, caption, fact in (
            ("differences", "Paired differences of the studies", "Dots: means; bars: 95 % intervals.", None),
            ("trials", "All trials",
             "Every row has the same number of trials; the filled marker was chosen. Where each of many rows has a "
             "panel, all have the same axes, and the dashed line is the best trial of the row that most are compared "
             "with.", studies.study_trials),
            ("curves", "Validation of the studies during training",
             "Shows whether training still climbs: a curve that still rises was stopped early. Mean over seeds.",
             studies.validated),
        )
    ),
    Figure(
        id="dose",
        section=SECTION,
        short="Dose and response",
        title="Dose and response",
        caption="Above: measures as a function of the gradient share of L_topo. Below: L_topo at the share in the "
        "titles, as paired differences from training without it, with 95 % intervals: with the settings of the doses "
        "above, and variants that differ from them in one setting (M: points whose diagrams are compared; stage: of "
        "the encoder, from 0; degree: of the diagrams). The distance is always measured as in the doses.",
        stage="study",
        data=RUNS,
        fact=studies.dose_sentence,
        optional=True,
    ),
)  # fmt: skip
