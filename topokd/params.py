"""Typed, validated parameters: one dataclass tree that equals ``params.yaml``.

The defaults below are the default profile (the embedded synthetic world on two CPU cores). Another profile is a short
YAML of differences (``conf/<profile>/params.yaml``); :func:`load` lays it over the defaults, refuses unknown names and
wrong types, and :func:`dump` writes the whole resolved tree, which is what the notebooks read and the results quote.
Where the paper is silent or contradicts itself the decision is named ``NOTES row N``: see ``docs/paper_notes.md``.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from topokd.errors import ParameterError
from topokd.io import write_text

ABLATION = {  # the rows of Table 7 and the student trained without a teacher: which terms of Eq. 8 each one has
    "plain": (),
    "kd": ("kd",),
    "kd_topo": ("kd", "topo"),
    "kd_grad": ("kd", "grad"),
    "full": ("kd", "topo", "grad"),
}


@dataclass(frozen=True)
class Pipeline:
    """What the DVC template reads."""

    root: str = "."  # the project's folder, seen from the folder of this profile's dvc.yaml
    profile: str = "default"  # names results/<profile>/ and figures/<profile>/
    source: str = "topokd/synthetic"  # what the data depend on: the generator, or a real data set's fingerprint
    seeds: tuple[int, ...] = (0, 1, 2)  # one teacher and one student per ablation row for each
    variants: tuple[str, ...] = tuple(ABLATION)  # rows of the ablation, keys of ABLATION


@dataclass(frozen=True)
class Synthetic:
    """The embedded synthetic street world."""

    sensor: Literal["hdl64", "hdl32", "waymo64"] = "hdl64"  # in SemanticKITTI's layout; the others have their own
    azimuths: int = 1024  # columns per turn; the real HDL-64E has about 2,000
    train_sequences: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16)  # one street each
    val_sequences: tuple[int, ...] = (8, 17, 18, 19)
    scans_per_sequence: int = 3
    val_scans_per_sequence: int = 3
    seed: int = 0


@dataclass(frozen=True)
class Augment:
    """C.3: drawn anew for each training sample."""

    rotation_deg: float = 180.0  # about z, uniform in +-; the paper writes 1 degree (NOTES row 10)
    scale: tuple[float, float] = (0.9, 1.1)
    flip: float = 0.5  # probability of mirroring x, and of mirroring y
    jitter: float = 0.005  # standard deviation in metres


@dataclass(frozen=True)
class Data:
    """Where the scans come from and how they become voxels."""

    dataset: Literal["synthetic", "semantickitti", "nuscenes", "waymo"] = "synthetic"
    layout: Literal["semantickitti", "nuscenes", "waymo"] = (
        "semantickitti"  # whose files the synthetic world is written as
    )
    version: Literal["v1.0-trainval", "v1.0-mini", "v1.0-test"] = "v1.0-trainval"  # of nuScenes
    sweeps: int = 1  # k > 1 adds the k - 1 scans before each one (SemanticKITTI, nuScenes)
    point_range: tuple[float, ...] = ()  # Waymo's training points: x, y, z from, x, y, z to, in metres; () keeps all
    root: str = "workspace/default/data"  # seen from the project; ${NAME} or ${NAME:-folder}: an environment variable
    on_bad_scan: Literal["raise", "skip"] = "raise"
    voxel_size: float = 0.2  # metres; the paper's profile has 0.05 (C.3)
    crop_voxels: int = 4000  # a training sample: the voxels nearest to a random one; 0 keeps the whole scan
    augment: Augment = field(default_factory=Augment)
    synthetic: Synthetic = field(default_factory=Synthetic)


@dataclass(frozen=True)
class Model:
    """Presets of ``topokd.models.build_model``."""

    teacher: str = "ptv3-teacher-small"
    student: str = "ptv3-student-small"


@dataclass(frozen=True)
class Backends:
    """Who computes what on a GPU (docs/models.md); on a CPU torch does everything."""

    convolution: Literal["auto", "torch", "spconv"] = "auto"
    attention: Literal["auto", "torch", "flash-attn"] = "auto"
    reduction: Literal["auto", "torch", "torch-scatter"] = "auto"


@dataclass(frozen=True)
class Optimizer:
    """C.2: AdamW under OneCycleLR (NOTES row 7)."""

    lr: float = 0.002
    lr_attention: float = 0.002  # for the attention blocks; 0.0002 in the paper's profile, for its long schedule
    weight_decay: float = 0.005
    pct_start: float = 0.04
    div_factor: float = 10.0
    final_div_factor: float = 100.0
    clip_norm: float = 10.0  # 0 switches clipping off


@dataclass(frozen=True)
class Train:
    """One training run."""

    teacher_steps: int = 400  # 0: train for `epochs`
    student_steps: int = 200
    epochs: int = 50  # C.2; used where the steps are 0
    batch_size: int = 2  # clouds per step; the paper has 12
    validate_every: int = 100  # steps
    validate_scans: int = 2  # scans of the validation split looked at while training; all of them at the end
    checkpoint_every: int = 25  # steps between states that a killed run resumes from
    norm_momentum: float = 0.1  # of BatchNorm's running statistics; PTv3 recipes: 0.01, too slow for some hundred steps
    lovasz: float = 0.0  # weight of the Lovasz-Softmax term of PTv3 recipes, off in the paper (NOTES row 14)
    threads: int = 1  # per run; the results are bit-identical for one number of threads
    amp: Literal["off", "bf16", "fp16"] = "off"
    backends: Backends = field(default_factory=Backends)
    checkpointing: bool = False  # compute blocks again in the backward pass: less memory, a third more time, same bits
    workers: int = 0  # processes that read and augment; 0: in the training process
    cache: str = (
        ""  # folder that keeps decoded scans and evaluation's voxels (docs/datasets.md); written like data.root
    )
    optimizer: Optimizer = field(default_factory=Optimizer)


@dataclass(frozen=True)
class Topology:
    """Sec. 3.2, Alg. 1-5."""

    stage: int = 4  # encoder stage whose features are compared; 4 is the last of five (NOTES row 6)
    num_points: int = 256  # M, points kept by farthest point sampling; the paper has 1024
    dims: tuple[int, ...] = (0, 1)
    normalize: Literal["l2", "none", "standardize", "mean_norm"] = "l2"  # NOTES row 2
    engine: Literal["auto", "reduced", "giotto-ph", "reference"] = "auto"
    match_scale: float = 1.0  # 1: Eq. 2-3 and Alg. 4; 0.5: Alg. 2 (NOTES row 1)
    eps: float = 1e-6  # stabiliser of the weights' sum
    tie_tolerance: float = 1e-6  # tau_tie, absolute: edges within it of the longest share its gradient (NOTES row 17)
    time_limit: float | None = None  # seconds per diagram, beyond which it is cut and a warning says where; null: none


@dataclass(frozen=True)
class Saliency:
    """Sec. 3.3, Eq. 4-7."""

    stages: tuple[int, ...] = (0, 1, 2, 3, 4)  # encoder stages compared (NOTES row 6)
    eps: float = 1e-6
    second_order: bool = False  # differentiate through the channel weights omega as well (NOTES row 3)


@dataclass(frozen=True)
class Distill:
    """Eq. 8 (NOTES row 5)."""

    lambda_topo: float = 0.3
    lambda_grad: float = 10.0
    lambda_kd: float = 0.3
    temperature: float = 2.0  # T; the loss is scaled by T^2
    topology: Topology = field(default_factory=Topology)
    saliency: Saliency = field(default_factory=Saliency)


@dataclass(frozen=True)
class Evaluation:
    """How the final numbers are computed, per original point."""

    absent: Literal["skip", "zero", "one"] = "skip"  # classes absent from truth and prediction: left out, count 0 or 1
    tta: int = 1  # views averaged per scan: rotations about z by 360/tta degrees; 1 switches it off
    figure_scan: int = 0  # which validation scan Figure 3 shows


@dataclass(frozen=True)
class Benchmark:
    """Sizes and repetitions of the cost measurements (Tables 3, 5, 6, 8; Figures 1, 5, 6)."""

    repeats: int = 3
    topology_points: tuple[int, ...] = (30, 60, 100, 200, 400, 800, 1024)  # Table 8's rows
    naive_max_points: int = 60  # the naive baseline is run up to here
    h2_points: tuple[int, ...] = (25, 50, 100, 200)  # Figure 6
    sampling_points: tuple[int, ...] = (1000, 4000, 16000, 64000)  # Figure 5's N, with M = 128
    model_tokens: tuple[int, ...] = (1000, 4000, 16000, 64000, 128000)  # Figure 1 b-d
    paper_models: bool = True  # Tables 3, 5, 6 with the 46.16 M teacher and the 2.78 M student
    paper_model_tokens: int = 8000


@dataclass(frozen=True)
class Panels:
    """The measured panels of Tables 1 and 4: the synthetic world in nuScenes' and Waymo's layout, one seed."""

    azimuths: int = 512
    train_sequences: int = 6
    val_sequences: int = 2
    scans_per_sequence: int = 3
    teacher_steps: int = 150
    student_steps: int = 100


@dataclass(frozen=True)
class Params:
    """The whole tree: one section per concern."""

    pipeline: Pipeline = field(default_factory=Pipeline)
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    distill: Distill = field(default_factory=Distill)
    evaluation: Evaluation = field(default_factory=Evaluation)
    benchmark: Benchmark = field(default_factory=Benchmark)
    panels: Panels = field(default_factory=Panels)

    @property
    def results(self) -> Path:
        """``results/<profile>``: small text files, in git."""
        return project_path("results") / self.pipeline.profile

    @property
    def figures(self) -> Path:
        """``figures/<profile>``: PNG and SVG, in git."""
        return project_path("figures") / self.pipeline.profile

    @property
    def workspace(self) -> Path:
        """``workspace/<profile>``: weights, executed notebooks, live curves; not in git."""
        return project_path("workspace") / self.pipeline.profile

    @property
    def data_root(self) -> Path:
        """Folder of the dataset. Raises :class:`ParameterError` when it names an unset environment variable."""
        expanded = _expanded(self.data.root)
        if "$" in expanded or not expanded:
            raise ParameterError(
                f"data.root is {self.data.root!r} and that environment variable is not set: "
                "export it as the folder that holds `sequences/`, or write the folder into data.root"
            )
        return project_path(os.path.expanduser(expanded))

    @property
    def cache_folder(self) -> Path | None:
        """Folder of the cache of scans, None for no cache. Raises :class:`ParameterError` like :attr:`data_root`."""
        expanded = _expanded(self.train.cache)
        if "$" in expanded:
            raise ParameterError(
                f"train.cache is {self.train.cache!r} and that environment variable is not set: export it as a folder "
                "on a fast disk, write the folder into train.cache, or leave train.cache empty for no cache"
            )
        return project_path(os.path.expanduser(expanded)) if expanded else None


def _expanded(text: str) -> str:
    """``text`` with ${NAME} and ${NAME:-default} replaced; an unset variable without a default stays as written."""

    def value(match: re.Match[str]) -> str:
        default = match[0] if match[2] is None else match[2]
        return os.environ.get(match[1]) or default

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)


def project_root() -> Path:
    """The project's folder: ``$TOPOKD_ROOT``, or the nearest folder upwards with params.yaml."""
    if os.environ.get("TOPOKD_ROOT"):
        return Path(os.environ["TOPOKD_ROOT"]).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "params.yaml").is_file() and (folder / "topokd").is_dir():
                return folder
    return Path.cwd()


def project_path(path: str | Path) -> Path:
    """``path`` as it is when absolute, else inside the project: a notebook may run in any folder."""
    path = Path(path)
    return path if path.is_absolute() else project_root() / path


def load(path: str | Path = "params.yaml") -> Params:
    """Read a parameter file (a whole one or a profile's differences) over the defaults and validate it.

    Raises :class:`ParameterError` naming the file, the parameter and the nearest known name.
    """
    path = project_path(path)
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        known = sorted(p.parent.name for p in project_path("conf").glob("*/params.yaml"))
        raise ParameterError(f"{path} does not exist; profiles in conf/: {', '.join(known) or 'none'}") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from error
    params = _build(Params, given, str(path), "")
    _check(params, str(path))
    return params


def dump(params: Params, path: str | Path) -> None:
    """Write the whole tree as YAML, in the order of the dataclasses, atomically."""
    write_text(path, yaml.safe_dump(to_dict(params), sort_keys=False, allow_unicode=True))


def distillation_slice(params: Params, variant: str) -> dict[str, Any]:
    """The part of ``distill`` that one row of the ablation reads: what its stage depends on, and nothing else.

    >>> distillation_slice(Params(), "kd")
    {'terms': ['kd'], 'lambda_kd': 0.3, 'temperature': 2.0}
    """
    reads = {
        "kd": ("lambda_kd", "temperature"),
        "topo": ("lambda_topo", "topology"),
        "grad": ("lambda_grad", "saliency"),
    }
    whole, terms = to_dict(params.distill), ABLATION[variant]
    return {"terms": list(terms), **{name: whole[name] for term in terms for name in reads[term]}}


def to_dict(params: Any) -> dict[str, Any]:
    """The tree as plain dictionaries and lists, for YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, tuple | list) else value

    return plain(dataclasses.asdict(params))


def _build(kind: type, given: Any, file: str, where: str) -> Any:
    if not isinstance(given, dict):
        raise ParameterError(f"{file}: {where or 'the file'} must be a mapping of names to values, not {given!r}")
    hints = typing.get_type_hints(kind)
    for name in given:
        if name not in hints:
            close = difflib.get_close_matches(str(name), hints, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(hints)}"
            raise ParameterError(f"{file}: unknown parameter {where + str(name)!r}; {advice}")
    return kind(**{name: _value(hints[name], value, file, where + name) for name, value in given.items()})


def _value(hint: Any, value: Any, file: str, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, file, where + ".")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ParameterError(f"{file}: {where} is {value!r}; choose one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ParameterError(f"{file}: {where} must be a list, not {value!r}")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ParameterError(f"{file}: {where} must have {len(arguments)} entries, not {len(value)}")
        return tuple(_value(arguments[0], item, file, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, file, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-6 as a string
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is not hint:
        raise ParameterError(f"{file}: {where} must be {hint.__name__}, not {value!r}")
    return value


def _check(params: Params, file: str) -> None:
    """Ranges and agreements that types do not show."""

    def need(fine: bool, where: str, value: Any, rule: str) -> None:
        if not fine:
            raise ParameterError(f"{file}: {where} is {value!r}; it must be {rule}")

    data, train, distill = params.data, params.train, params.distill
    need(data.voxel_size > 0, "data.voxel_size", data.voxel_size, "positive (metres)")
    waymo = "waymo" in (data.dataset, data.layout if data.dataset == "synthetic" else "")
    need(data.sweeps >= 1, "data.sweeps", data.sweeps, "1 or more")
    need(data.sweeps == 1 or not waymo, "data.sweeps", data.sweeps, "1: Waymo's reader takes one scan at a time")
    need(len(data.point_range) in (0, 6), "data.point_range", data.point_range, "empty or six numbers")
    for name, value in dataclasses.asdict(params.panels).items():
        need(value > 0, f"panels.{name}", value, "1 or more")
    need(data.crop_voxels >= 0, "data.crop_voxels", data.crop_voxels, "0 or more")
    low, high = data.augment.scale
    need(0 < low <= high, "data.augment.scale", data.augment.scale, "two positive numbers, the smaller one first")
    need(0 <= data.augment.flip <= 1, "data.augment.flip", data.augment.flip, "a probability")
    need(data.augment.jitter >= 0, "data.augment.jitter", data.augment.jitter, "0 or more (metres)")
    for name in ("batch_size", "validate_every", "validate_scans", "checkpoint_every", "threads", "epochs"):
        need(getattr(train, name) > 0, f"train.{name}", getattr(train, name), "1 or more")
    for name in ("teacher_steps", "student_steps", "workers"):
        need(getattr(train, name) >= 0, f"train.{name}", getattr(train, name), "0 or more")
    for name in ("lambda_topo", "lambda_grad", "lambda_kd"):
        need(getattr(distill, name) >= 0, f"distill.{name}", getattr(distill, name), "0 or more")
    need(0 < train.norm_momentum <= 1, "train.norm_momentum", train.norm_momentum, "above 0 and at most 1")
    need(distill.temperature > 0, "distill.temperature", distill.temperature, "positive")
    topology = distill.topology
    need(topology.num_points >= 2, "distill.topology.num_points", topology.num_points, "2 or more")
    need(
        set(topology.dims) <= {0, 1, 2} and len(topology.dims) > 0, "distill.topology.dims", topology.dims, "in 0, 1, 2"
    )
    need(topology.match_scale > 0, "distill.topology.match_scale", topology.match_scale, "positive")
    stops = topology.engine in ("auto", "reduced") and max(topology.dims) < 2
    need(
        topology.time_limit is None or (topology.time_limit > 0 and stops),
        "distill.topology.time_limit",
        topology.time_limit,
        "null, or positive (seconds) with engine reduced or auto and dims 0 and 1: no other engine can stop",
    )
    need(topology.tie_tolerance >= 0, "distill.topology.tie_tolerance", topology.tie_tolerance, "0 or more")
    need(params.evaluation.tta >= 1, "evaluation.tta", params.evaluation.tta, "1 or more")
    need(len(params.pipeline.seeds) > 0, "pipeline.seeds", params.pipeline.seeds, "at least one seed")
    for variant in params.pipeline.variants:
        need(variant in ABLATION, "pipeline.variants", variant, f"among {', '.join(ABLATION)}")
