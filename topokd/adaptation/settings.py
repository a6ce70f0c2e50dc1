"""The options of an adaptation."""

from __future__ import annotations

from pydantic import Field

from topokd.choices import Amp
from topokd.params import Data, Optimizer, Train
from topokd.schema import (
    Count,
    Natural,
    Positive,
    Probability,
    Processes,
    Section,
    Temperature,
    Threads,
    Views,
    VoxelSize,
    Weight,
)


class Settings(Section):
    """How teacher and student are trained on a user's scans; every field has a description and a default.

    Examples:
        >>> Settings(steps=200, seed=1).data(voxel_size=0.1).crop_voxels
        8000
    """

    student: str = Field("ptv3-student-medium", description="preset of the student, or a checkpoint to start from")
    teacher_steps: Natural = Field(500, description="training steps of the teacher on the labelled scans; 0: none")
    steps: Count = Field(1500, description="training steps of the student")
    batch_size: int = Field(
        4, strict=True, ge=2, le=4096, description="clouds per step; half of them unlabelled, if there are any"
    )
    crop_voxels: Natural = Field(8000, description="size of a training sample: voxels nearest to a random one; 0: all")
    voxel_size: VoxelSize | None = Field(None, description="metres; None: as the teacher's")
    teacher_lr: Positive = Field(0.001, description="peak learning rate of the teacher")
    student_lr: Positive = Field(0.004, description="peak learning rate of the student")
    weight: Positive = Field(1.0, description="weight of the teacher's class probabilities in the student's loss")
    temperature: Temperature = Field(2.0, description="temperature that softens them")
    lovasz: Weight = Field(0.0, description="weight of the Lovasz-Softmax term")
    confidence: Probability = Field(0.9, description="class probability from which a prediction becomes a pseudo-label")
    compare: bool = Field(
        False, strict=True, description="also train a student on the labelled scans alone, and score it"
    )
    tta: Views = Field(1, description="rotations averaged for pseudo-labels and scores")
    seed: Natural = Field(0, description="seed of new weights and of the batches")
    threads: Threads = Field(1, description="CPU threads; results are bit-identical for the same number")
    workers: Processes = Field(0, description="processes that read and augment scans")
    amp: Amp = Field("off", description="automatic mixed precision on a GPU: off, bf16 or fp16")
    checkpoint_every: Count = Field(50, description="steps between the states from which an interrupted run resumes")

    def data(self, voxel_size: float) -> Data:
        """How a scan becomes a training sample."""
        return Data(voxel_size=voxel_size, crop_voxels=self.crop_voxels)

    def train(self, lr: float) -> Train:
        """The training loop of one network."""
        return Train(
            batch_size=self.batch_size,
            checkpoint_every=self.checkpoint_every,
            threads=self.threads,
            workers=self.workers,
            amp=self.amp,
            gradients_every=0,
            optimizer=Optimizer(lr=lr, lr_attention=lr),
        )
