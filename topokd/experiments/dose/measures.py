"""Measures of a network besides its mIoU: boundaries, fragments, calibration, topological distance to the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from topokd.data import Batch, Scan, collate, voxelize
from topokd.data.dataset import ScanDataset
from topokd.distillation import NetworkOutput, SegmentationLoss, Step, Term
from topokd.distillation.term import find_term
from topokd.errors import DataError
from topokd.evaluation.breakdown import Breakdown, present_miou
from topokd.evaluation.calibration import Calibration
from topokd.evaluation.fragments import Fragments
from topokd.evaluation.predict import spread
from topokd.experiments.dose.plan import TERM, DosePlan
from topokd.models.modes import evaluation_mode
from topokd.progress import Progress


class Measures:
    """Measures networks on the same scans against the same teacher, whose diagrams are computed once.

    Args:
        plan: the protocol.
        own: parameters of L_topo in the profile; those of the yardstick or of an arm override them.
        dataset: validation scans.
        voxel_size: metres.
        teacher: the trained teacher.

    Raises:
        DataError: the plan names an object that is not among the classes of ``dataset``.
    """

    def __init__(
        self, plan: DosePlan, own: Mapping[str, Any], dataset: ScanDataset, voxel_size: float, teacher: nn.Module
    ) -> None:
        self.plan, self.own, self.dataset, self.voxel_size, self.teacher = plan, dict(own), dataset, voxel_size, teacher
        unknown = set(plan.objects) - set(dataset.class_names)
        if unknown:
            raise DataError(f"objects names {sorted(unknown)}; the classes are {', '.join(dataset.class_names)}")
        self.scans = list(spread(len(dataset), plan.scans))
        self._digests: dict[tuple[int, str], dict[str, Tensor]] = {}

    def of(self, model: nn.Module, options: Mapping[str, Any] | None = None) -> dict[str, float]:
        """All measures of one network.

        Args:
            model: the network.
            options: parameters of L_topo that the network was trained with, if they differ from the yardstick's; the
                distance with these is then measured too.

        Returns:
            ``boundary_miou`` and ``ece`` in percent; ``fragments``, ``thin_fragments`` per object; ``missed`` and
            ``thin_missed`` in percent of the objects; ``distance``: mean over the scans of L_topo with the parameters
            of the plan's yardstick; ``own_distance``: the same with ``options``.
        """
        names = self.dataset.class_names
        breakdown = Breakdown(self.dataset.num_classes, names)
        fragments = Fragments([names.index(name) for name in self.plan.objects])
        thin = [names.index(name) for name in self.plan.thin]
        calibration = Calibration()
        terms = {"distance": self._term(self.plan.yardstick)}
        if options:
            terms["own_distance"] = self._term(options)
        distances: dict[str, list[float]] = {name: [] for name in terms}
        for index in Progress(self.scans, "measuring"):
            scan = self.dataset[index]
            batch = collate([voxelize(scan, self.voxel_size)])
            output = _output(model, batch)
            assert batch.inverse is not None and scan.label is not None
            probability = output.logits.float().softmax(-1)[batch.inverse].numpy()
            prediction = probability.argmax(1).astype(np.int64)
            breakdown.update(scan, prediction)
            fragments.update(scan.xyz, scan.label, prediction)
            calibration.update(probability, scan.label)
            for name, term in terms.items():
                distances[name].append(self._distance(term, index, scan, batch, output))
        scores = {
            "boundary_miou": 100 * present_miou(breakdown.boundary()),
            "fragments": fragments.per_object(),
            "thin_fragments": fragments.per_object(thin),
            "missed": 100 * fragments.missed(),
            "thin_missed": 100 * fragments.missed(thin),
            "ece": 100 * calibration.error(),
        }
        return scores | {name: float(np.mean(values)) for name, values in distances.items()}

    def _term(self, options: Mapping[str, Any]) -> Term:
        return find_term(TERM)(**(self.own | dict(options)))

    def _distance(self, term: Term, index: int, scan: Scan, batch: Batch, student: NetworkOutput) -> float:
        """L_topo of one scan: the training loss itself, on the whole scan."""
        assert batch.label is not None
        key, segmentation = (index, str(term.digest_key)), SegmentationLoss()
        if key not in self._digests:
            self._digests[key] = term.digest(_output(self.teacher, batch), batch.label, segmentation)
        seg = student.logits.new_zeros(())
        with torch.no_grad():
            return float(term(Step(student, None, batch.label, seg, segmentation, digest=self._digests[key])))


def _output(model: nn.Module, batch: Batch) -> NetworkOutput:
    with evaluation_mode(model), torch.no_grad():
        return NetworkOutput(*model(batch, taps=True))
