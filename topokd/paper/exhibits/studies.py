"""The studies beside the pipeline: what they found, or in words what has not been run."""

from __future__ import annotations

from topokd.paper import studies
from topokd.paper.exhibits.exhibit import Figure, Listing, Section

SECTION = Section(
    "studies",
    "Studies with power",
    "`make repro` trains a few seeds, which cannot show that a term does nothing. The studies can: their protocols "
    "were written before they ran, every row gets the same number of trials on streets that nothing else uses, and "
    "nothing is tuned on what is reported. They take hours: the pipeline reads their committed answers.",
)

DECLARED = (
    Listing(
        id="studies_protocols",
        section=SECTION,
        short="Studies",
        title="Protocols, and how much of them has run",
        caption="See `docs/study.md`. Answers of unfinished studies are preliminary and decide no claim.",
        stage="study",
        frame=studies.protocols,
        words=("Study", "Asks", "Protocol", "Answer"),
    ),
    Listing(
        id="studies_comparisons",
        section=SECTION,
        short="Paired differences",
        title="Paired differences, equivalence, verdicts",
        caption="Points of mIoU, paired by seed; streets and both by bootstrap. Verdict: better or worse if Holm's p "
        "is below 0.05, equivalent if that of two one-sided tests is, open otherwise.",
        stage="study",
        frame=studies.comparisons,
        words=("Study", "Row", "Against", "Verdict"),
    ),
    Figure(
        id="studies_power",
        section=SECTION,
        short="Power",
        title="Power, stated before the runs",
        caption="Left: probability of finding a true difference, at the corrected level of the strictest comparison "
        "of each protocol, from its seeds and the spread that it expects. Right: probability of calling none none.",
        stage="study",
        names=("power",),
    ),
    *(
        Figure(
            id=f"studies_{name}", section=SECTION, title=title, caption=caption, stage="study",
            names=tuple(f"{name}-{study}" for study in studies.PROTOCOLS if study != studies.DOSE), optional=True,
        )
        for name, title, caption in (
            ("differences", "Paired differences of the studies", "Dots: means; bars: 95 % intervals."),
            ("trials", "All trials", "Every row has the same number; the filled one was chosen."),
            ("curves", "Validation during training", "Mean over seeds. Rows that still climb are cut off."),
        )
    ),
    Figure(
        id="dose",
        section=SECTION,
        short="Dose and response",
        title="Dose and response",
        caption="Above: measures over the gradient that L_topo gets; thin lines are seeds. Below: variants of L_topo "
        "at one share, as paired differences from training without it, with 95 % intervals.",
        stage="study",
        fact=studies.dose_sentence,
        optional=True,
    ),
)  # fmt: skip
