"""Every loss takes rows, (b, n, c), images, lists and batch vectors, with the same result, or raises a clear error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from topokd import distillation, topology
from topokd.clouds import as_rows, thin
from topokd.distillation import (
    TERMS,
    AffinityLoss,
    AttentionTransferLoss,
    ChannelLoss,
    CorrelationLoss,
    DecoupledLoss,
    HintLoss,
    LabelSmoothingLoss,
    LogitLoss,
    RelationLoss,
    SaliencyLoss,
    SegmentationLoss,
    SimilarityLoss,
    StandardizedLogitLoss,
    TopologicalLoss,
)
from topokd.distillation.feature_clouds import CloudTerm, DiagramTerm
from topokd.errors import DataError, ParameterError

CLOUDS, SIDE, SIZE = 3, 4, 16
ENDS = [16, 32, 48]
BATCH = torch.arange(CLOUDS).repeat_interleave(SIZE)

PAIRS: dict[str, Callable[[], torch.nn.Module]] = {
    "TopologicalLoss": lambda: TopologicalLoss(num_points=10),
    "LogitLoss": LogitLoss,
    "StandardizedLogitLoss": StandardizedLogitLoss,
    "CorrelationLoss": CorrelationLoss,
    "HintLoss": HintLoss,
    "AttentionTransferLoss": AttentionTransferLoss,
    "ChannelLoss": ChannelLoss,
    "SimilarityLoss": SimilarityLoss,
    "AffinityLoss": AffinityLoss,
    "RelationLoss": RelationLoss,
    # Terms on feature clouds have a loss each, of one of two kinds.
    **{
        name: partial(lambda kind: kind(num_points=10).loss, kind)
        for name, kind in TERMS.items()
        if issubclass(kind, DiagramTerm | CloudTerm) and name != "topo"
    },
}
LABELLED: dict[str, Callable[[], torch.nn.Module]] = {
    "SegmentationLoss": SegmentationLoss,
    "LabelSmoothingLoss": LabelSmoothingLoss,
    "DecoupledLoss": DecoupledLoss,
}
every_pair = pytest.mark.parametrize("build", PAIRS.values(), ids=PAIRS)


def rows(seed: int, width: int = 5) -> Tensor:
    return torch.randn(CLOUDS * SIZE, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layouts(x: Tensor) -> dict[str, Any]:
    """The same rows in every layout that says where clouds end."""
    cube = x.reshape(CLOUDS, SIZE, -1)
    return {
        "(b, n, c)": cube,
        "(b, c, h, w)": cube.reshape(CLOUDS, SIDE, SIDE, -1).movedim(-1, 1),
        "(b, c, d, h, w)": cube.reshape(CLOUDS, 2, 2, SIDE, -1).movedim(-1, 1),
        "list": list(cube),
    }


@every_pair
def test_all_layouts_give_the_same_loss(build: Callable[[], torch.nn.Module]) -> None:
    student, teacher = rows(0), rows(1)
    expected = build()(student, teacher, torch.tensor(ENDS))
    assert torch.equal(build()(student, teacher, ENDS), expected)
    assert torch.equal(build()(student, teacher, BATCH), expected)
    for own, other in zip(layouts(student).values(), layouts(teacher).values(), strict=True):
        assert build()(own, other).item() == pytest.approx(expected.item(), rel=1e-12)
    assert build()(layouts(student)["list"], layouts(teacher)["(b, c, h, w)"]).item() == pytest.approx(expected.item())


@every_pair
def test_rows_without_offsets_are_one_cloud(build: Callable[[], torch.nn.Module]) -> None:
    assert torch.equal(build()(rows(0), rows(1)), build()(rows(0), rows(1), torch.tensor([48])))


@every_pair
def test_a_gradient_reaches_an_image(build: Callable[[], torch.nn.Module]) -> None:
    image = layouts(rows(0))["(b, c, h, w)"].clone().requires_grad_(True)
    build()(image, layouts(rows(1))["(b, c, h, w)"]).backward()
    assert image.grad.shape == image.shape and bool(image.grad.isfinite().all()) and bool(image.grad.abs().sum() > 0)


@pytest.mark.parametrize("build", LABELLED.values(), ids=LABELLED)
def test_labels_follow_the_layout_of_the_logits(build: Callable[[], torch.nn.Module]) -> None:
    student, teacher = rows(0), rows(1)
    label = torch.arange(CLOUDS * SIZE) % 6 - 1

    def call(student: Any, teacher: Any, label: Any) -> float:
        return build()(*((student, teacher) if build is DecoupledLoss else (student,)), label).item()

    expected = call(student, teacher, label)
    assert call(*(layouts(x)["(b, n, c)"] for x in (student, teacher)), label.reshape(CLOUDS, SIZE)) == expected
    images = (layouts(x)["(b, c, h, w)"] for x in (student, teacher))
    assert call(*images, label.reshape(CLOUDS, SIDE, SIDE)) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(DataError, match="47 labels for 48 rows"):
        call(student, teacher, label[1:])


def test_logits_of_images_are_averaged_over_pixels() -> None:
    student, teacher = torch.randn(2, 2, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    flat = LogitLoss()(*(x.movedim(1, -1).reshape(-1, 5) for x in (student, teacher)))
    torch.testing.assert_close(LogitLoss()(student, teacher), flat)
    assert flat < 10  # the sum over pixels of one image would be 4,096 times larger


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "loss",
    [LogitLoss, StandardizedLogitLoss, DecoupledLoss, CorrelationLoss, ChannelLoss],
    ids=lambda loss: loss.__name__,
)
def test_a_temperature_is_above_zero(loss: Callable[[float], torch.nn.Module], temperature: float) -> None:
    with pytest.raises(ParameterError, match="temperature is .*: pass a finite number, 1e-06 to"):
        loss(temperature)


@pytest.mark.invalid_arguments
@every_pair
@pytest.mark.parametrize(
    "offsets", [[16, 40], [16, 8, 48], [], [0.5, 48], torch.tensor([16, 49]), torch.arange(48).flip(0)], ids=str
)
def test_wrong_offsets_are_rejected_in_a_short_message(build: Callable[[], torch.nn.Module], offsets: Any) -> None:
    with pytest.raises(DataError, match="offsets|batch vector") as error:
        build()(rows(0), rows(1), offsets)
    assert len(str(error.value)) < 200


@every_pair
def test_a_long_batch_vector_is_taken_and_a_wrong_one_named_briefly(build: Callable[[], torch.nn.Module]) -> None:
    wrong = torch.arange(20_000) % 7
    with pytest.raises(DataError, match="must be sorted") as error:
        build()(torch.zeros(20_000, 3), torch.zeros(20_000, 3), wrong)
    assert len(str(error.value)) < 200


@every_pair
def test_other_layouts_are_rejected(build: Callable[[], torch.nn.Module]) -> None:
    with pytest.raises(DataError, match="have the shape"):
        build()(torch.zeros(4), torch.zeros(4))
    with pytest.raises(DataError, match="one row per matched voxel"):
        build()(torch.zeros(2, 8, 3), torch.zeros(4, 4, 3))
    with pytest.raises(DataError, match="do not fit"):
        build()(torch.zeros(2, 8, 3), torch.zeros(2, 8, 3), torch.tensor([4, 16]))
    with pytest.raises(DataError, match="one \\(n, c\\) tensor per cloud"):
        build()([torch.zeros(2, 3), torch.zeros(2, 4)], [torch.zeros(2, 3), torch.zeros(2, 3)])


@every_pair
@pytest.mark.parametrize("shape", [(0, 5), (0, 8, 5), (0, 5, 4, 4)], ids=str)
def test_a_batch_without_rows_has_the_loss_zero_and_a_graph(
    build: Callable[[], torch.nn.Module], shape: tuple[int, ...]
) -> None:
    student = torch.zeros(shape, requires_grad=True)
    loss = build()(student, torch.zeros(shape))
    loss.backward()
    assert loss.item() == 0 and student.grad is not None


@every_pair
def test_clouds_without_rows_do_not_count(build: Callable[[], torch.nn.Module]) -> None:
    expected = build()(rows(0), rows(1), ENDS)
    for offsets in ([0, 16, 32, 48], [16, 16, 32, 48, 48], 1 + 2 * BATCH):
        assert torch.equal(build()(rows(0), rows(1), offsets), expected)


def test_every_public_loss_is_tried_in_every_layout() -> None:
    public = {name for name in (*distillation.__all__, *topology.__all__) if name.endswith("Loss")}
    public.remove("SampledRowsLoss")  # that of the terms on feature clouds, which PAIRS has by their own names
    assert public == {name for name in (*PAIRS, *LABELLED, "SaliencyLoss") if name.endswith("Loss")}


# -- SaliencyLoss: a list is a list of stages ------------------------------------------------------------------------


def saliency_inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return rows(0), rows(1, 8), rows(2), rows(3, 8)


def saliency(own: Any, other: Any, own_grad: Any, other_grad: Any, offsets: Any = None) -> float:
    return SaliencyLoss()(own, other, offsets, student_grad=own_grad, teacher_grad=other_grad).item()


def test_saliency_is_the_same_in_all_layouts() -> None:
    inputs = saliency_inputs()
    expected = saliency(*inputs, torch.tensor(ENDS))
    assert saliency(*inputs, ENDS) == expected and saliency(*inputs, BATCH) == expected
    assert saliency(*inputs, np.array(ENDS)) == expected
    for name in ("(b, n, c)", "(b, c, h, w)", "(b, c, d, h, w)"):
        assert saliency(*(layouts(x)[name] for x in inputs)) == pytest.approx(expected, rel=1e-12)
    assert saliency(*([layouts(x)["list"]] for x in inputs)) == pytest.approx(expected, rel=1e-12)
    two_stages = saliency(*([layouts(x)["(b, c, h, w)"]] * 2 for x in inputs))
    assert two_stages == pytest.approx(2 * expected, rel=1e-12)


def test_a_list_of_rows_without_offsets_is_rejected_by_saliency() -> None:
    with pytest.raises(DataError, match="one entry per stage"):
        saliency(*(layouts(x)["list"] for x in saliency_inputs()))
    with pytest.raises(DataError, match="one entry per stage"):
        saliency(*([x, x] for x in saliency_inputs()), torch.tensor(ENDS))


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("offsets", [[16, 40], 48, "x", torch.tensor([16, 8, 48]), torch.arange(48).flip(0)], ids=str)
def test_saliency_rejects_wrong_offsets(offsets: Any) -> None:
    with pytest.raises(DataError, match="offsets|batch vector"):
        saliency(*saliency_inputs(), offsets)


@pytest.mark.invalid_arguments
def test_saliency_names_features_that_are_not_a_list_of_stages() -> None:
    with pytest.raises(DataError, match="a tensor, or a list with one entry per stage, not 'features.npy'"):
        saliency("features.npy", "features.npy", "features.npy", "features.npy")


@pytest.mark.parametrize("shape", [(0, 5), (0, 8, 5), (0, 5, 4, 4)], ids=str)
def test_saliency_without_rows_is_zero(shape: tuple[int, ...]) -> None:
    assert saliency(*[torch.zeros(shape)] * 4) == 0


def cnn(seed: int) -> tuple[Tensor, Tensor]:
    """A feature map, and the loss that the rest of a network computes from it."""
    torch.manual_seed(seed)
    body, head = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.Conv2d(6, 4, 1)
    feat = body(torch.randn(2, 3, 5, 5)).relu()
    return feat, torch.nn.functional.cross_entropy(head(feat), torch.randint(0, 4, (2, 5, 5)))


def test_saliency_of_a_feature_map_is_that_of_its_rows() -> None:
    (own, own_loss), (other, other_loss) = cnn(0), cnn(1)
    loss = SaliencyLoss()(own, other, student_loss=own_loss, teacher_loss=other_loss)
    grads = [torch.autograd.grad(loss_, f, retain_graph=True)[0] for f, loss_ in ((own, own_loss), (other, other_loss))]
    flat = [as_rows(x).rows for x in (own, other, *grads)]
    expected = SaliencyLoss()(flat[0], flat[1], [25, 50], student_grad=flat[2], teacher_grad=flat[3])
    torch.testing.assert_close(loss, expected)
    loss.backward()


def test_a_copy_reshaped_after_the_network_ran_is_explained() -> None:
    (own, own_loss), (other, _) = cnn(0), cnn(1)
    with pytest.raises(ValueError, match="was not computed from these features.*own layout"):
        SaliencyLoss()(as_rows(own).rows, other, student_loss=own_loss, teacher_grad=other)
    with pytest.raises(ValueError, match="features have no graph"):
        SaliencyLoss()(own.detach(), other, student_loss=own_loss, teacher_grad=other)


def test_evenly_spaced_rows_begin_and_end_with_the_cloud() -> None:
    (index,) = thin([100], 7)
    assert index[0] == 0 and index[-1] == 99 and len(index.unique()) == 7
    assert [len(index) for index in thin([5, 5, 30], 10)] == [5, 10]


# -- rows that are other pixels ---------------------------------------------------------------------------------------


def labelled(name: str, logits: Any, label: Any) -> Tensor:
    """One of the losses of `LABELLED`."""
    return LABELLED[name]()(*((logits, logits) if name == "DecoupledLoss" else (logits,)), label)


@pytest.mark.invalid_arguments  # arrays and lists of numbers
@pytest.mark.parametrize("name", LABELLED)
def test_labels_whose_axes_are_in_another_order_are_rejected(name: str) -> None:
    logits, label = torch.randn(2, 5, 4, 6), torch.randint(0, 5, (2, 4, 6))
    expected = labelled(name, logits, label)
    for same in (label.reshape(-1), label[:, None], label[..., None], label.numpy(), label.tolist(), list(label)):
        assert torch.equal(labelled(name, logits, same), expected)
    assert torch.equal(labelled(name, logits[:1], label[0]), labelled(name, logits[:1], label[:1]))
    with pytest.raises(DataError, match=r"labels of the shape \(2, 6, 4\) do not fit logits of \(2, 4, 6\) points or"):
        labelled(name, logits, label.transpose(1, 2))
    with pytest.raises(DataError, match=r"labels of the shape \(6, 4\) do not fit logits of \(4, 6\)"):
        labelled(name, logits, [image.T for image in label])


@pytest.mark.invalid_arguments  # arrays and lists of numbers
@pytest.mark.parametrize("name", LABELLED)
def test_labels_of_other_clouds_are_rejected(name: str) -> None:
    clouds, label = [torch.randn(3, 5), torch.randn(5, 5)], torch.arange(8) % 5
    expected = labelled(name, clouds, label)
    assert torch.equal(labelled(name, clouds, [label[:3], label[3:]]), expected)
    assert torch.equal(labelled(name, clouds, [label[:3].numpy(), label[3:].numpy()]), expected)
    assert torch.equal(labelled(name, clouds, list(label)), expected)  # numbers
    with pytest.raises(DataError, match=r"the list has \[5, 3\] labels for clouds of \[3, 5\] rows"):
        labelled(name, clouds, [label[:5], label[5:]])
    with pytest.raises(DataError, match=r"labels of the shape \(2, 4\) do not fit clouds of \[3, 5\]"):
        labelled(name, clouds, label.reshape(2, 4))
    with pytest.raises(
        DataError, match=r"80 labels for 8 rows.*three axes mean \(b, n, c\); for \(b, c, n\) pass chan"
    ):
        labelled(name, torch.randn(2, 4, 40), torch.zeros(2, 40, dtype=torch.int64))


@every_pair
def test_images_of_equally_many_pixels_in_another_shape_are_rejected(build: Callable[[], torch.nn.Module]) -> None:
    tall, wide = torch.randn(2, 5, 8, 2), torch.randn(2, 5, 2, 8)
    with pytest.raises(DataError, match=r"\(2, 5, 8, 2\) and teacher \(2, 5, 2, 8\) .* of other shapes: resize one"):
        build()(tall, wide)
    tokens = wide.flatten(2).mT  # of a transformer
    assert build()(tokens, wide).isfinite() and build()(tokens.mT[:, :, None], wide).isfinite()


@every_pair
def test_offsets_may_be_numbers_of_numpy_and_counts_are_recognised(build: Callable[[], torch.nn.Module]) -> None:
    expected = build()(rows(0), rows(1), ENDS)
    assert torch.equal(build()(rows(0), rows(1), list(np.cumsum([16, 16, 16]))), expected)
    with pytest.raises(DataError, match="these look like counts: pass their cumulative sum"):
        build()(rows(0), rows(1), [16, 16, 16])
    with pytest.raises(DataError, match="of the student's .*, 48$"):
        build()(rows(0), rows(1), [16, 40])


@pytest.mark.invalid_arguments  # torch.compile cannot trace the checker
@pytest.mark.parametrize("shape", [(2, 5, 4, 6), (2, 24, 5), (48, 5)], ids=str)
def test_losses_of_every_layout_can_be_compiled(shape: tuple[int, ...]) -> None:
    logits, label = torch.randn(shape), torch.randint(0, 5, (48,))
    label = label.reshape(2, 4, 6) if len(shape) == 4 else label.reshape(shape[:-1])
    for loss, other in ((SegmentationLoss(), label), (LogitLoss(), logits + 1), (CorrelationLoss(), logits * 2)):
        torch.testing.assert_close(torch.compile(loss, backend="eager")(logits, other), loss(logits, other))
