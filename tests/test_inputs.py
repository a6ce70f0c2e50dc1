"""Absurd values are rejected by name at every entry point, and no value is changed silently on the way in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from topokd import params as P
from topokd import topology as T
from topokd.data import Scan, crop, prefetch, training_batch, voxelize
from topokd.datasets import SemanticKITTI, WaymoSegmentation
from topokd.distillation import (
    AffinityLoss,
    ChannelLoss,
    CorrelationLoss,
    DecoupledLoss,
    DistillationObjective,
    LogitLoss,
    RelationLoss,
    SaliencyLoss,
    SegmentationLoss,
    SimilarityLoss,
    StandardizedLogitLoss,
    lovasz_softmax,
    saliency_map,
)
from topokd.errors import DataError, ParameterError, TopokdError
from topokd.evaluation import ConfusionMatrix
from topokd.models import build_model
from topokd.schema import validate
from topokd.topology.chamfer import precision_term, recall_term
from topokd.topology.match_costs import nearest_costs

pytestmark = pytest.mark.invalid_arguments
NAN, INF = math.nan, math.inf
X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(30, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
D, E = T.vietoris_rips(X).diagrams[0], T.vietoris_rips(Y).diagrams[0]
GRID = [0.0, 0.5, 1.0]
XYZ = np.random.default_rng(0).uniform(-9, 9, (50, 3)).astype(np.float32)
SCAN = Scan(XYZ, np.zeros(50), np.zeros(50, int))
LABEL = torch.zeros(30, dtype=torch.int64)

NUMBERS: dict[str, Callable[[Any], Any]] = {  # options that are numbers, from 0 or above it
    "recall_term eps": lambda v: recall_term(D, E, eps=v),
    "precision_term match_scale": lambda v: precision_term(D, E, match_scale=v),
    "nearest_costs scale": lambda v: nearest_costs(D, E, v),
    "vietoris_rips time_limit": lambda v: T.vietoris_rips(X, time_limit=v),
    "persistence_image bandwidth": lambda v: T.persistence_image(D, bandwidth=v),
    "persistence_image birth_range": lambda v: T.persistence_image(D, birth_range=(0.0, v)),
    "rtd quantile": lambda v: T.rtd(X, Y, quantile=v),
    "LogitLoss temperature": LogitLoss,
    "CorrelationLoss beta": lambda v: CorrelationLoss(beta=v),
    "DecoupledLoss alpha": lambda v: DecoupledLoss(alpha=v),
    "StandardizedLogitLoss eps": lambda v: StandardizedLogitLoss(eps=v),
    "RelationLoss angle": lambda v: RelationLoss(angle=v),
    "SegmentationLoss lovasz": SegmentationLoss,
    "SaliencyLoss eps": lambda v: SaliencyLoss(eps=v),
    "saliency_map eps": lambda v: saliency_map(X, X, None, eps=v),
    "voxelize voxel_size": lambda v: voxelize(SCAN, v),
    "build_model drop_path": lambda v: build_model("ptv3-tiny", drop_path=v),
}
READERS: dict[str, Callable[[Any], Any]] = {  # options of readers, checked before a file is looked for
    "SemanticKITTI sweeps": lambda v: SemanticKITTI("nowhere", "train", sweeps=v),
    "WaymoSegmentation returns": lambda v: WaymoSegmentation("nowhere", "train", returns=v),
    "WaymoSegmentation point_range": lambda v: WaymoSegmentation("nowhere", "train", point_range=v),
}


@pytest.mark.parametrize("value", [NAN, 0, -1, 1.5, 2**70, "many", [1, 2], [0, 0, 0, 1, 1, 0]], ids=repr)
@pytest.mark.parametrize("option", READERS)
def test_an_impossible_option_of_a_reader_is_rejected(option: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"^{option.split()[1]} is "):
        READERS[option](value)


COUNTS: dict[str, Callable[[Any], Any]] = {  # options that count
    "landscape k": lambda v: T.landscape(D, GRID, v),
    "persistence_image resolution": lambda v: T.persistence_image(D, resolution=(v, 3)),
    "sliced num_directions": lambda v: T.sliced_wasserstein_distance(D, E, num_directions=v),
    "distance_to_measure k": lambda v: T.distance_to_measure(X, v),
    "farthest_point_sampling workers": lambda v: T.farthest_point_sampling([X, X], 3, workers=v),
    "farthest_point_sampling workers, one cloud": lambda v: T.farthest_point_sampling(X, 3, workers=v),
    "AffinityLoss num_points": AffinityLoss,
    "SimilarityLoss num_points": SimilarityLoss,
    "crop max_voxels": lambda v: crop(voxelize(SCAN, 0.5), v, np.random.default_rng(0)),
    "prefetch workers": lambda v: list(prefetch(lambda number: number, [1], v)),
    "training_batch step": lambda v: training_batch([SCAN], P.Data(voxel_size=0.5), 0, v, 1),
    "ConfusionMatrix num_classes": ConfusionMatrix,
    "build_model num_classes": lambda v: build_model("ptv3-tiny", num_classes=v),
    "build_model in_channels": lambda v: build_model("ptv3-tiny", in_channels=v),
    "build_model patch_size": lambda v: build_model("ptv3-tiny", patch_size=v),
}


ABSURD = [NAN, -INF, INF, -1.0, "much", b"1", None, [], True, np.True_, torch.tensor(True), torch.tensor(NAN), X[0, :1]]


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize("option", NUMBERS)
def test_an_absurd_number_is_rejected(option: str, value: Any) -> None:
    free = {"vietoris_rips time_limit": (None,), "rtd quantile": (None,)}.get(option, ())
    if any(value is other for other in free):
        NUMBERS[option](value)
    else:
        with pytest.raises(TopokdError):
            NUMBERS[option](value)


@pytest.mark.parametrize(
    "value", [NAN, INF, -1, 1.5, 2**70, "many", None, [2], True, np.True_, np.array([2])], ids=repr
)
@pytest.mark.parametrize("option", COUNTS)
def test_an_absurd_count_is_rejected(option: str, value: Any) -> None:
    if "workers" in option and value is None and "sampling" in option:
        COUNTS[option](value)
    else:
        with pytest.raises(TopokdError):
            COUNTS[option](value)


@pytest.mark.parametrize("value", [NAN, INF, -1, 0, 1, "yes", None, [True], torch.tensor(True)], ids=repr)
@pytest.mark.parametrize("option", ["certificate", "cycles"])
def test_a_switch_is_true_or_false(option: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^{option} is "):
        T.vietoris_rips(X, **{option: value})


@pytest.mark.parametrize("temperature", [1e-320, 1e-8, 1e9, 10**30], ids=repr)
@pytest.mark.parametrize(
    "loss",
    [LogitLoss, ChannelLoss, CorrelationLoss, DecoupledLoss, StandardizedLogitLoss],
    ids=lambda loss: loss.__name__,
)
def test_a_temperature_whose_square_leaves_float32_is_rejected(loss: type, temperature: float) -> None:
    with pytest.raises(ParameterError, match="temperature is .*1e-06 to 1e"):
        loss(temperature=temperature)


@pytest.mark.parametrize("weight", [1e13, 1e308], ids=repr)
def test_a_weight_that_overflows_is_rejected(weight: float) -> None:
    for make in (
        lambda: DecoupledLoss(alpha=weight),
        lambda: SegmentationLoss(weight),
        lambda: RelationLoss(angle=weight),
        lambda: DistillationObjective({"kd": {"weight": weight}}),
        lambda: DistillationObjective(lovasz=weight),
        lambda: DistillationObjective(lambda_kd=weight),
        lambda: validate(P.Train, {"lovasz": weight}),
    ):
        with pytest.raises(ParameterError, match="1e"):
            make()


def test_scales_and_bandwidths_that_are_zero_or_underflow_are_rejected() -> None:
    for make in (
        lambda: T.persistence_weighted_chamfer(D, E, match_scale=0),
        lambda: recall_term(D, E, match_scale=0),
        lambda: nearest_costs(D, E, 0),
        lambda: T.rips_chamfer(X, Y, match_scale=0),
        lambda: T.persistence_image(D, bandwidth=1e-320),
        lambda: T.persistence_image(D.float(), bandwidth=1e-30),
    ):
        with pytest.raises(ParameterError):
            make()


@pytest.mark.parametrize("terms", [0, "kd", ["kd"], ("kd",), b""], ids=repr)
def test_terms_are_a_mapping(terms: Any) -> None:
    with pytest.raises(ParameterError, match="^terms is "):
        DistillationObjective(terms)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "vietoris_rips": lambda x: T.vietoris_rips(x).diagrams[1],
    "farthest_point_sampling": lambda x: T.farthest_point_sampling(x, 3),
    "covering_radius": lambda x: T.covering_radius(x, [0, 1]),
    "distance_to_measure": lambda x: T.distance_to_measure(x, 3),
    "normalize_features": T.normalize_features,
    "standardize": lambda x: T.normalize_features(x, "standardize"),
    "diffeomorphic": T.diffeomorphic,
    "simplex_values": lambda x: T.simplex_values(x, torch.tensor([[0, 1]])),
    "squared_distances": lambda x: torch.from_numpy(T.squared_distances(x)),
    "rtd": lambda x: T.rtd(x, Y),
    "signature_loss": lambda x: T.signature_loss(x, Y),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_points_of_every_layout_in_memory_give_the_same(name: str) -> None:
    expected = FUNCTIONS[name](X).double()
    values = X.numpy()
    same = {
        "NumPy": values,
        "big-endian": values.astype(">f8"),
        "Fortran": np.asfortranarray(values),
        "reversed twice": values[::-1].copy()[::-1],
        "every other row": np.repeat(values, 2, axis=0)[::2],
    }
    for kind, given in same.items():
        torch.testing.assert_close(FUNCTIONS[name](given).double(), expected, rtol=0, atol=0, msg=kind)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_whole_numbers_are_computed_with_as_floats(name: str) -> None:
    whole = (100 * X).round()
    for given in (whole.long(), whole.to(torch.int32), whole.numpy().astype("i2")):
        torch.testing.assert_close(FUNCTIONS[name](given).double(), FUNCTIONS[name](whole).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_points_that_a_conversion_would_change_are_rejected(name: str) -> None:
    values = X.numpy()
    huge = np.full((30, 4), 2**60) + np.arange(30)[:, None]
    for given in (
        *(X.to(torch.complex64), values.astype(complex), np.ma.masked_array(values, values > 1), values.astype(object)),
        *(values.astype(np.longdouble), X.to("meta"), X[0], "points", None, huge),
    ):
        with pytest.raises(TopokdError):
            FUNCTIONS[name](given)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e200])
def test_divergences_do_not_depend_on_the_unit(unit: float) -> None:
    for function in (T.rtd, T.rtd_lite):
        torch.testing.assert_close(function(X * unit, Y), function(X, Y), rtol=1e-9, atol=0)
    x = (X * unit).requires_grad_(True)
    T.rtd_lite(x, Y).backward()
    y = X.clone().requires_grad_(True)
    T.rtd_lite(y, Y).backward()
    torch.testing.assert_close(x.grad * unit, y.grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e100])
@pytest.mark.parametrize("power", [0.5, 3.0, 1e6])
def test_a_silhouette_scales_with_the_unit_whatever_its_power(unit: float, power: float) -> None:
    expected = T.silhouette(D, torch.linspace(0, 3, 20), power=power)
    assert bool(expected.isfinite().all()) and float(expected.max()) > 0
    scaled = T.silhouette(D * unit, torch.linspace(0, 3, 20, dtype=torch.float64) * unit, power=power)
    torch.testing.assert_close(scaled / unit, expected, rtol=1e-4, atol=1e-6)


def test_a_diagram_of_another_width_never_reaches_a_compiled_loop() -> None:
    for bad in (D[:, :0], D[:, :1], D[0], torch.cat([D, D], dim=1)):
        for function in (precision_term, recall_term, lambda a, b: nearest_costs(a, b, 1.0)):
            with pytest.raises(DataError, match="expected \\(k, 2\\)"):
                function(bad, E)
            with pytest.raises(DataError, match="expected \\(k, 2\\)"):
                function(E, bad)


@pytest.mark.parametrize("offsets", [[0, 30], [30, 30], [0, 0, 30]])
def test_clouds_without_rows_do_not_dilute_the_loss(offsets: list[int]) -> None:
    loss = T.TopologicalLoss(10)
    torch.testing.assert_close(loss(Y, X, offsets), loss(Y, X, [30]))


@pytest.mark.parametrize("value", [-2, 4, 2**40, -(2**40)])
def test_labels_that_are_not_classes_are_rejected(value: int) -> None:
    label = LABEL.clone()
    label[3] = value
    for loss in (SegmentationLoss(), SegmentationLoss(1.0), lovasz_softmax, lambda z, y: DecoupledLoss()(z, z, y)):
        with pytest.raises(DataError, match=f"{value}|labels run from"):
            loss(X, label)
    for wrong in (LABEL.double(), LABEL.bool(), LABEL[:3]):
        with pytest.raises(DataError, match="label"):
            SegmentationLoss()(X, wrong)


def test_a_scan_keeps_the_meaning_of_its_numbers() -> None:
    intensity = np.zeros(50)
    for field in ("label", "instance"):
        for bad in (np.full(50, 0.5), np.full(50, NAN), np.full(50, 2**64 - 1, np.uint64), np.full(50, "car")):
            with pytest.raises(DataError, match=f"{field}"):
                Scan(XYZ, intensity, **({"label": None} | {field: bad}))
    kept = Scan(XYZ, intensity, np.full(50, 3, np.uint64), np.full(50, 7, ">u4"))
    assert kept.label is not None and kept.label.dtype == np.int64 and set(kept.label) == {3}
    with pytest.raises(DataError, match="float32 loses .* m: subtract the position of the sensor"):
        Scan(XYZ.astype(float) + 4.6e6 + 1 / 3, intensity)
    with pytest.raises(DataError, match="complex"):
        Scan(XYZ.astype(complex), intensity)
    with pytest.raises(DataError, match="masked"):
        Scan(np.ma.masked_array(XYZ, XYZ > 0), intensity)
    for same in (XYZ.astype(">f8"), torch.from_numpy(XYZ).requires_grad_(True), np.asfortranarray(XYZ)):
        np.testing.assert_array_equal(Scan(same, intensity).xyz, XYZ)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        *((P.Optimizer, name, value) for name in ("lr", "lr_attention", "weight_decay") for value in (INF, NAN, -1.0)),
        *((P.Data, "voxel_size", value) for value in (INF, NAN, 0.0, -0.1, True)),
        *((P.Train, name, 2**40) for name in ("workers", "threads", "ranks", "batch_size")),
        *((P.Train, name, -1) for name in ("workers", "threads", "ranks", "teacher_steps")),
        (P.Data, "sweeps", 2**40),
        (P.Augment, "jitter", INF),
    ],
)
def test_absurd_parameters_in_a_file_are_rejected(section: Any, name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        validate(section, {name: value}, file="conf/a.yaml")
