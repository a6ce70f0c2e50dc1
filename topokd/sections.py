"""The sections of the parameters: every field with its default, its constraint and its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from topokd.choices import (
    Absent,
    Amp,
    AttentionBackend,
    Balance,
    ConvolutionBackend,
    OnBadScan,
    ReductionBackend,
    Sensor,
    Tracker,
)
from topokd.schema import (
    Count,
    Natural,
    NonNegative,
    Number,
    Positive,
    Probability,
    Processes,
    Section,
    Switch,
    Threads,
    Views,
    VoxelSize,
    Weight,
    nearest,
)

ONE_LINE = r"^[^\n\r]+$"
COLOR = r"^(#[0-9a-fA-F]{6}|[a-z]+)$"


class Synthetic(Section):
    """The embedded synthetic street world."""

    sensor: Sensor = Field("hdl64", description="in SemanticKITTI's layout; the other layouts have their own sensor")
    azimuths: Count = Field(1024, description="columns per turn; a real HDL-64E has about 2,000")
    train_sequences: tuple[Natural, ...] = Field(
        (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16), description="one street each"
    )
    val_sequences: tuple[Natural, ...] = Field((8, *range(17, 36)), description="one street each")
    scans_per_sequence: Count = Field(3, description="training scans per street")
    val_scans_per_sequence: Count = Field(2, description="validation scans per street")
    seed: Natural = Field(0, description="of the world")


class Augment(Section):
    """Drawn again for each training sample (C.3)."""

    rotation_deg: Annotated[Number, Field(ge=-360, le=360)] = Field(
        180.0, description="about z, uniform in +-; the paper writes 1 degree (NOTES row 10)"
    )
    scale: tuple[Positive, Positive] = Field((0.9, 1.1), description="smallest and largest factor")
    flip: Probability = Field(0.5, description="probability of mirroring x, and of mirroring y")
    jitter: NonNegative = Field(0.005, description="standard deviation in metres")

    @field_validator("scale")
    @classmethod
    def _smaller_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError("it must be two positive numbers, the smaller one first")
        return scale


class Data(Section):
    """The scans, and how they are voxelised."""

    dataset: str = Field(
        "synthetic",
        description="synthetic, a benchmark, or a label map (docs/datasets.md)",
    )
    layout: str = Field("semantickitti", description="benchmark whose file format the synthetic world is written in")
    version: str = Field("v1.0-trainval", description="of nuScenes")
    sweeps: Count = Field(1, le=1000, description="k > 1 adds the k - 1 scans before each one, where the data set can")
    point_range: tuple[Number, ...] = Field(
        (), description="Waymo's training points: x, y, z from, x, y, z to, in metres; [] keeps all"
    )
    intensity: Switch = Field(True, description="false: intensities are 0, for a network that suits any sensor")
    root: str = Field(
        "",
        description="folder, relative to the project; ${NAME} or ${NAME:-folder}: an environment variable; "
        "'': workspace/<profile>/data",
    )
    on_bad_scan: OnBadScan = Field("raise", description="raise, or skip damaged scans")
    voxel_size: VoxelSize = Field(0.2, description="metres; the paper has 0.05 (C.3)")
    crop_voxels: Natural = Field(
        4000, description="a training sample: the voxels nearest to a random one; 0 keeps the whole scan"
    )
    augment: Augment = Augment()
    synthetic: Synthetic = Synthetic()

    @field_validator("point_range")
    @classmethod
    def _six_numbers(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) not in (0, 6):
            raise ValueError("it must be empty or six numbers")
        if not all(low < high for low, high in zip(value[:3], value[3:], strict=True)):
            raise ValueError("it must be x, y, z from, then x, y, z to: each above the one it belongs to")
        return value


class Model(Section):
    """Presets of ``topokd.models.build_model``."""

    teacher: str = Field("ptv3-teacher-medium", description="preset of the teacher")
    student: str = Field("ptv3-student-medium", description="preset of the student")


class Backends(Section):
    """Libraries for the GPU (docs/models.md); on a CPU everything uses torch."""

    convolution: ConvolutionBackend = Field("auto", description="auto, torch or spconv")
    attention: AttentionBackend = Field("auto", description="auto, torch or flash-attn")
    reduction: ReductionBackend = Field("auto", description="auto, torch or torch-scatter")


class Optimizer(Section):
    """AdamW under OneCycleLR (C.2, NOTES row 7)."""

    lr: Positive = Field(0.002, description="learning rate at the top of the cycle")
    lr_attention: Positive = Field(
        0.002, description="the same for the attention blocks; the paper has 0.0002, for its long schedule"
    )
    weight_decay: NonNegative = Field(0.005, description="of AdamW")
    pct_start: Probability = Field(0.04, description="share of the steps in which the learning rate rises")
    div_factor: Positive = Field(10.0, description="top / first learning rate")
    final_div_factor: Positive = Field(100.0, description="first / last learning rate")
    clip_norm: NonNegative = Field(
        10.0,
        description="largest norm of the network's gradient, without what the terms learn; 0 switches clipping off",
    )


class Train(Section):
    """One training run."""

    teacher_steps: Natural = Field(1500, description="0: train for `epochs`")
    student_steps: Natural = Field(350, description="0: train for `epochs`")
    epochs: Count = Field(50, description="where the steps are 0 (C.2)")
    batch_size: Count = Field(2, description="clouds per step; the paper has 12")
    validate_every: Count = Field(200, description="steps")
    validate_scans: Count = Field(2, description="validation scans evaluated during training; at the end all of them")
    checkpoint_every: Count = Field(25, description="steps between the states from which an interrupted run resumes")
    norm_momentum: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.1, description="of BatchNorm's running statistics; PTv3 recipes have 0.01, too slow for a few hundred steps"
    )
    lovasz: Weight = Field(
        0.0, description="weight of the Lovasz-Softmax term of PTv3 recipes; off in the paper (NOTES row 14)"
    )
    threads: Threads = Field(1, description="per run; results are bit-identical for one number of threads")
    ranks: Threads = Field(
        1, description="processes that share each batch, one GPU each (docs/hpc.md); the number changes rounding only"
    )
    sync_batchnorm: Switch = Field(
        True, description="with several ranks: BatchNorm sees the voxels of all; false: each rank normalises its own"
    )
    gradients_every: Natural = Field(
        50, description="steps between measurements of each term's gradient, one backward pass per term; 0: none"
    )
    balance: Balance = Field(
        "none", description="gradnorm: sets the weight of every term in `shares` at each measurement"
    )
    shares: dict[str, Positive] = Field(
        {}, description="for gradnorm, by term: its weighted gradient in multiples of segmentation's"
    )
    amp: Amp = Field("off", description="automatic mixed precision on a GPU: off, bf16 or fp16")
    backends: Backends = Backends()
    checkpointing: Switch = Field(
        False, description="recompute blocks in the backward pass: less memory, a third more time, same bits"
    )
    workers: Processes = Field(0, description="processes that read and augment; 0: in the training process")
    cache: str = Field(
        "", description="folder that keeps decoded scans and evaluation's voxels (docs/datasets.md); '': none"
    )
    keep_teacher: Switch = Field(
        True,
        description="once per seed and step for all rows: its outputs stay in workspace/, 1 MB a step",
    )
    tracker: Tracker = Field(
        "none",
        description="live metrics in addition to dvclive's: none, tensorboard or mlflow, if the package is installed",
    )
    optimizer: Optimizer = Optimizer()
    student_lr_factor: Positive = Field(
        2.0, description="a student's learning rates in multiples of the optimizer's, which are the teacher's"
    )

    @field_validator("amp", mode="before")
    @classmethod
    def _off_without_quotes(cls, value: Any) -> Any:
        """YAML 1.1 reads ``off`` as false; `dvc exp run -S` writes it without quotes."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _ranks_share_equally(self) -> Train:
        if self.batch_size % self.ranks:
            raise ValueError(
                f"batch_size is {self.batch_size}, which {self.ranks} ranks cannot share equally: make it a multiple "
                "of ranks"
            )
        return self

    @model_validator(mode="after")
    def _balance_is_measured(self) -> Train:
        if self.balance != "none" and not self.gradients_every:
            raise ValueError(f"balance {self.balance} needs measured gradients: set gradients_every above 0")
        return self


class NetworkStyle(Section):
    """How exhibits show a network."""

    label: str = Field("Teacher", pattern=ONE_LINE, description="name in tables and figures")
    color: str = Field("#1b4965", pattern=COLOR, description="colour in figures")


class Comparison(Section):
    """A question about the difference between two rows."""

    question: str = Field("", description="asked in the findings; '': the gain is shown in Table 7 only")
    subject: str = Field("", description="what differs, as the answer names it")


class Row(Section):
    """One row of the ablation."""

    label: str = Field(pattern=ONE_LINE, description="name in tables and figures")
    short: str = Field(pattern=ONE_LINE, description="name in a comparison")
    color: str = Field(pattern=COLOR, description="colour in figures")
    terms: dict[str, dict[str, Any]] = Field(
        {}, description="names of its loss terms; or a mapping from names to parameters that differ from `terms`"
    )
    student: str = Field("", description="preset of its network; '': model.student")
    steps: Positive = Field(1.0, description="its training steps in multiples of a student's")
    average: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="decay of a running average over steps of the weights, which replaces them at the end; 0: none"
    )
    compare: dict[str, Comparison] = Field({}, description="rows that it is compared with")


def complete_row(name: str, row: Any, shared: Mapping[str, Any]) -> Any:
    """A row's fields with ``terms`` as a mapping from names to complete parameters.

    Raises:
        ValueError: ``terms`` names a term twice or one that is not in ``shared``, or parameters are not a mapping.
    """
    if isinstance(row, Row) or not isinstance(row, Mapping):
        return row
    given = row.get("terms")
    if isinstance(given, list | tuple) and all(isinstance(term, str) for term in given):
        if twice := [term for term in given if given.count(term) > 1]:
            raise ValueError(f"rows.{name}.terms names {twice[0]!r} twice; its weight is in `terms`")
        given = dict.fromkeys(given)
    given = named(given, f"rows.{name}.terms")
    for term in given:
        if term not in shared:
            raise ValueError(f"rows.{name}.terms names {term!r}, which is not in `terms`; {nearest(term, shared)}")
    complete = {
        term: {**named(shared[term], f"terms.{term}"), **named(own, f"rows.{name}.terms.{term}")}
        for term, own in given.items()
    }
    return {**row, "terms": complete}


def named(value: Any, where: str) -> Mapping[str, Any]:
    """A mapping from a file, {} for nothing.

    Raises:
        ValueError: ``value`` is anything else; from a validator, `schema.validate` makes it a `ParameterError`.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping of names to values, not {value!r}")
    return value or {}


class Evaluation(Section):
    """How the final numbers are computed, per original point."""

    absent: Absent = Field("skip", description="classes absent from truth and prediction: skip (left out), zero or one")
    tta: Views = Field(
        1, description="views averaged per scan: rotations about z by 360/tta degrees; 1 switches it off"
    )
    figure_scan: Natural = Field(0, description="validation scan that Figure 3 shows")


class CostMeasurement(Section):
    """Sizes and repetitions of the cost measurements (Tables 3, 5, 6, 8; Figures 1, 5, 6)."""

    repeats: Count = Field(5, description="of each measurement; the median counts")
    topology_points: tuple[Count, ...] = Field((30, 60, 100, 200, 400, 800, 1024), description="rows of Table 8")
    naive_max_points: Count = Field(100, description="largest N at which the naive baseline runs")
    h2_points: tuple[Count, ...] = Field((25, 50, 100, 200), description="N of Figure 6")
    sampling_points: tuple[Count, ...] = Field((1000, 4000, 16000, 64000), description="N of Figure 5, with M = 128")
    model_tokens: tuple[Count, ...] = Field((1000, 4000, 16000, 64000), description="N of Figure 1 b-d")
    paper_models: Switch = Field(
        True, description="measure Tables 3, 5, 6 with the 46.16 M teacher and the 2.78 M student"
    )
    paper_model_tokens: Count = Field(8000, description="N of Tables 3 and 6")


class Panels(Section):
    """The measured panels of Tables 1 and 4: the synthetic world in other layouts, one seed."""

    layouts: tuple[str, ...] = Field(("nuscenes", "waymo"), description="one panel each")
    rows: tuple[str, ...] = Field(("plain", "full"), description="students trained for each panel")
    azimuths: Count = Field(512, description="columns per turn")
    train_sequences: Count = Field(6, description="streets")
    val_sequences: Count = Field(2, description="streets")
    scans_per_sequence: Count = Field(3, description="scans per street")
    teacher_steps: Count = Field(60, description="training steps")
    student_steps: Count = Field(40, description="training steps")
