from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from topokd import schema
from topokd.data import Batch
from topokd.distillation import (
    TERMS,
    DistillationObjective,
    LogitLoss,
    NetworkOutput,
    SaliencyLoss,
    SegmentationLoss,
    Step,
    Term,
    TopologicalLoss,
    build_objective,
    freeze,
    match_rows,
    resolve_terms,
    run_teacher,
)
from topokd.errors import DataError, ParameterError
from topokd.models import Tap, build_model
from topokd.params import Params, Row, load_profile

TOPOLOGY = {"num_points": 16, "dims": (0,), "normalize": "l2"}
CLASSES = 5
TENSORS = ("coord", "grid_coord", "feat", "label")


OPTIONS = {"topo": {"stage": 1, **TOPOLOGY}, "grad": {"stages": (0, 1)}, "kd": {}}


def objective(*terms: str, **options: dict) -> DistillationObjective:
    """The named terms on two stages instead of five, with few points; ``options`` by term."""
    return DistillationObjective({name: OPTIONS[name] | options.get(name, {}) for name in terms})


class CountPasses(torch.autograd.Function):
    """The identity; appends to a list whenever a gradient comes through."""

    @staticmethod
    def forward(ctx: SimpleNamespace, x: Tensor, passes: list[int]) -> Tensor:
        ctx.passes = passes
        return x.clone()

    @staticmethod
    def backward(ctx: SimpleNamespace, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.passes.append(1)
        return gradient, None


class Network(nn.Module):
    """Two stages: per voxel, and pooled by two voxels a side; its coarse rows have another order."""

    def __init__(self, width: int, order: Callable[[int], Tensor] = torch.arange) -> None:
        super().__init__()
        self.stem, self.down = nn.Linear(4, width), nn.Linear(width, 2 * width)
        self.head, self.order, self.passes = nn.Linear(3 * width, CLASSES), order, []

    def forward(self, batch: Batch | dict, taps: bool = False) -> Tensor | tuple:
        if isinstance(batch, Batch):
            batch = {"feat": batch.feat, "grid_coord": batch.grid_coord, "offset": batch.offsets}
        fine = self.stem(batch["feat"]).relu()
        counts = torch.diff(batch["offset"], prepend=torch.zeros(1, dtype=torch.long))
        cloud = torch.repeat_interleave(torch.arange(len(counts)), counts)
        key = torch.cat([cloud[:, None], batch["grid_coord"] >> 1], 1)
        unique, cluster = key.unique(dim=0, return_inverse=True)
        order = torch.cat(
            [(rows := torch.nonzero(unique[:, 0] == c)[:, 0])[self.order(len(rows))] for c in range(len(counts))]
        )
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        cluster = place[cluster]
        sums = torch.zeros(len(unique), fine.shape[1]).index_add(0, cluster, self.down.weight.new_ones(1) * fine)
        coarse = self.down(sums).tanh()
        logits = CountPasses.apply(self.head(torch.cat([fine, coarse[cluster]], 1)), self.passes)
        ends = torch.bincount(unique[:, 0]).cumsum(0)
        two = (
            SimpleNamespace(feat=fine, grid_coord=batch["grid_coord"], offsets=batch["offset"]),
            SimpleNamespace(feat=coarse, grid_coord=unique[order, 1:], offsets=ends),
        )
        return (logits, two) if taps else logits


def random_batch(seed: int, sizes: tuple[int, ...] = (60, 45)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    grids = []
    for size in sizes:
        code = torch.randperm(1000, generator=generator)[:size]
        grids.append(torch.stack([code // 100, code // 10 % 10, code % 10], 1))
    grid = torch.cat(grids)
    feat = torch.randn(len(grid), 4, generator=generator)
    label = torch.randint(-1, CLASSES, (len(grid),), generator=generator)
    return Batch(grid * 0.2, grid, feat, label, torch.tensor(sizes).cumsum(0))


def backwards(n: int) -> Tensor:
    return torch.arange(n).flip(0)


def test_the_total_is_equation_8() -> None:
    batch = random_batch(0)
    student, teacher = Network(6), freeze(Network(10, backwards))
    out_s, out_t = NetworkOutput(*student(batch, taps=True)), run_teacher(teacher, batch, gradients=True)
    weights = {"topo": 0.7, "grad": 3.0, "kd": 0.2}
    options = {name: {"weight": weight} for name, weight in weights.items()}
    options["kd"]["temperature"] = 3.0
    losses = objective(*weights, **options)(out_s, batch.label, out_t)

    # The same by hand, with the coarse rows of the teacher already in the order of the student.
    aligned = Network(10)
    aligned.load_state_dict(teacher.state_dict())
    plain_t = run_teacher(freeze(aligned), batch, gradients=True)
    seg = SegmentationLoss()
    offsets = [tap.offsets for tap in out_s.taps]
    features_s, features_t = ([tap.feat for tap in out.taps] for out in (out_s, plain_t))
    voxels = (batch.label >= 0).sum()
    expected = {
        "seg": seg(out_s.logits, batch.label),
        "topo": TopologicalLoss(**TOPOLOGY)(  # which rows are sampled goes by the teacher's order
            torch.cat([cloud.flip(0) for cloud in features_s[1].tensor_split(offsets[1][:-1])]),
            out_t.taps[1].feat.detach(),
            offsets[1],
        ),
        "grad": SaliencyLoss()(
            features_s,
            features_t,
            offsets,
            student_loss=seg(out_s.logits, batch.label) * voxels,
            teacher_loss=seg(plain_t.logits, batch.label) * voxels,
        ),
        "kd": LogitLoss(3.0)(out_s.logits, plain_t.logits),
    }
    assert set(losses.terms) == set(expected)
    for name, value in expected.items():
        assert losses.terms[name].item() == pytest.approx(value.item(), rel=1e-4), name
    total = expected["seg"] + sum(weights[name] * expected[name] for name in weights)
    assert losses.total.item() == pytest.approx(total.item(), rel=1e-5)
    gradient, by_hand = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(student.parameters()), retain_graph=True)])
        for loss in (losses.total, total)
    )
    torch.testing.assert_close(gradient, by_hand, rtol=1e-3, atol=1e-5)


def test_preparing_the_teachers_diagrams_does_not_change_a_bit() -> None:
    batch = random_batch(0)
    student, teacher = Network(6), freeze(Network(10, backwards))
    criterion = objective("topo", "kd")
    results = []
    for ahead in (False, True):
        out_t = run_teacher(teacher, batch, gradients=False)
        prepared = criterion.prepare(out_t) if ahead else None
        losses = criterion(NetworkOutput(*student(batch, taps=True)), batch.label, out_t, prepared)
        results.append((losses.total, *torch.autograd.grad(losses.total, list(student.parameters()))))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert objective("kd").prepare(out_t) == {"kd": None}


def test_saliency_does_not_fade_with_the_size_of_the_batch() -> None:
    """The gradient of a mean over 60 copies is a sixtieth; the term does not change."""
    one = random_batch(5, (40,))
    student, teacher, goal = Network(6), freeze(Network(10)), objective("grad")
    values = []
    for copies in (1, 60):
        fields = {name: getattr(one, name).repeat(copies, *[1] * (getattr(one, name).dim() - 1)) for name in TENSORS}
        batch = Batch(**fields, offsets=torch.arange(1, copies + 1) * 40)
        out = run_teacher(teacher, batch, gradients=True)
        values.append(goal(NetworkOutput(*student(batch, taps=True)), batch.label, out).terms["grad"].item())
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_term_gives_a_gradient_to_the_student_and_none_to_the_teacher(name: str) -> None:
    batch = random_batch(1)
    student, teacher, goal = Network(6), freeze(Network(10, backwards)), objective(name)
    out = run_teacher(teacher, batch, gradients=goal.needs_teacher_gradients)
    losses = goal(NetworkOutput(*student(batch, taps=True)), batch.label, out)
    (losses.total - losses.terms["seg"]).backward()
    assert student.stem.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(
    ("terms", "student_passes", "teacher_passes"), [((), 1, 0), (("topo", "kd"), 1, 0), (("topo", "grad", "kd"), 2, 1)]
)
def test_only_the_backward_passes_that_the_terms_need_are_run(
    terms: tuple[str, ...], student_passes: int, teacher_passes: int
) -> None:
    batch = random_batch(2)
    student, teacher, goal = Network(6), freeze(Network(10)), objective(*terms)
    out = None
    if goal.needs_teacher:
        out = run_teacher(teacher, batch, gradients=goal.needs_teacher_gradients)
        assert out.logits.requires_grad == goal.needs_teacher_gradients
    goal(NetworkOutput(*student(batch, taps=True)), batch.label, out).total.backward()
    assert (len(student.passes), len(teacher.passes)) == (student_passes, teacher_passes)


def test_a_missing_teacher_is_an_error_only_if_there_are_terms() -> None:
    batch = random_batch(3)
    out = NetworkOutput(*Network(6)(batch, taps=True))
    with pytest.raises(ValueError, match="topo, grad, kd need a teacher"):
        objective("topo", "grad", "kd")(out, batch.label)
    assert list(objective()(out, batch.label).terms) == ["seg"]


def test_a_new_term_needs_only_its_class_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class LogitNorm(Term):
        def forward(self, step: Step) -> Tensor:
            return (step.student.logits.norm() - step.teacher.logits.norm()).abs()

    monkeypatch.setitem(TERMS, "norm", LogitNorm)
    tree = {
        "terms": {"norm": {"weight": 2}},
        "rows": {"mine": {"label": "Mine", "short": "mine", "color": "red", "terms": ["norm"]}},
    }
    params = resolve_terms(schema.validate(Params, tree))
    assert params.rows["mine"].terms == {"norm": {"weight": 2.0}}
    batch, student, teacher = random_batch(4), Network(6), freeze(Network(10))
    goal = build_objective(params, "mine")
    losses = goal(NetworkOutput(*student(batch, taps=True)), batch.label, run_teacher(teacher, batch, gradients=False))
    assert torch.equal(losses.total, losses.terms["seg"] + 2.0 * losses.terms["norm"])


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"topp": {}}, r"loss term 'topp' does not exist; did you mean 'topo'"),
        ({"kd": {"temprature": 2}}, r"unknown parameter 'terms.kd.temprature'; did you mean 'temperature'"),
        ({"kd": {"temperature": 0}}, r"terms.kd.temperature is 0; it must be 1e-06 or more"),
        ({"kd": {"weight": -1}}, r"terms.kd.weight is -1; it must be above 0"),
        ({"topo": {"dims": [3]}}, r"terms.topo.dims\[0\] is 3; it must be at most 2"),
        ({"topo": {"num_points": 1}}, r"terms.topo.num_points is 1; it must be 2 or more"),
        ({"topo": {"time_limit": 0}}, r"terms.topo.time_limit is 0; it must be above 0"),
        (
            {"topo": {"time_limit": 1, "engine": "giotto-ph"}},
            r"terms.topo; time_limit is 1.0 s, but engine 'giotto-ph' cannot stop",
        ),
        ({"grad": {"second_order": "yes"}}, r"terms.grad.second_order must be true or false, not 'yes'"),
    ],
)
def test_wrong_terms_name_the_parameter_and_the_fix(terms: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        DistillationObjective(terms)


def test_terms_are_added_in_the_order_of_the_parameters() -> None:
    params = load_profile("default")
    ordered = [name for name in params.terms if name in params.rows["full"].terms]
    assert list(build_objective(params, "full").terms) == ordered == ["topo", "grad", "kd"]


def test_a_term_that_only_one_row_has_comes_last() -> None:
    row = Row(label="Mine", short="mine", color="#ff0000", terms={"affinity": {}, "kd": {}})
    params = Params(terms={"kd": {}}, rows={"mine": row})
    assert list(build_objective(params, "mine").terms) == ["kd", "affinity"]


@pytest.mark.parametrize("seed", range(1, 6))
def test_rows_of_a_point_transformer_are_matched_under_shuffled_orders(seed: int) -> None:
    """One network run twice with other curve orders: matched rows nearly agree, unmatched ones do not."""
    torch.manual_seed(0)
    network = build_model("ptv3-tiny", in_channels=4, num_classes=CLASSES).train()  # shuffles while it trains
    batch = random_batch(4, (400, 300))
    runs = []
    for orders in (0, seed):
        torch.manual_seed(orders)
        runs.append(network(batch, taps=True)[1])
    first, other = runs
    for tap_t, tap_s in zip(other[:3], first[:3], strict=True):  # the last stages have a row or two here
        tap_t = shuffled(tap_t, torch.Generator().manual_seed(seed))  # whatever order this version keeps
        matched = tap_t.feat[match_rows(tap_t, tap_s)]
        assert (matched - tap_s.feat).norm() < 0.5 * (tap_t.feat - tap_s.feat).norm()


def shuffled(tap: Tap, generator: torch.Generator) -> Tap:
    """The rows of each cloud in another order."""
    ends = tap.offsets.tolist()
    parts = [a + torch.randperm(b - a, generator=generator) for a, b in zip([0, *ends], ends, strict=False)]
    index = torch.cat(parts)
    return Tap(tap.feat[index], tap.grid_coord[index], tap.offsets)


@pytest.mark.parametrize("term", ["kd", "fitnet", "at", "topo", "grad"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("teacher", "teacher's .*NaN or infinity.*look for NaN in the batch; if there is none, check its checkpoint"),
        ("student", "NaN or infinity.*look for NaN in the batch; if there is none, lower the learning rate"),
    ],
)
def test_advice_about_nan_is_for_the_network_that_has_it(term: str, bad: str, words: str) -> None:
    outputs = {}
    for who in ("student", "teacher"):
        feat = torch.rand(40, 4, requires_grad=True)
        grid = torch.arange(120).view(40, 3)
        logits = feat @ torch.eye(4)
        feat = feat.detach().index_fill(0, torch.tensor([7]), torch.nan) if who == bad and term != "grad" else feat
        logits = (
            logits.clone().index_fill(0, torch.tensor([7]), torch.nan) if who == bad and term in "kd grad" else logits
        )
        outputs[who] = NetworkOutput(logits, [SimpleNamespace(feat=feat, grid_coord=grid, offsets=torch.tensor([40]))])
    options = {"stages": [0]} if term in ("grad", "at") else {} if term == "kd" else {"stage": 0}
    objective = DistillationObjective({term: options})
    with pytest.raises(DataError, match=words):
        objective(outputs["student"], torch.arange(40) % 4, outputs["teacher"])


def test_nan_of_both_networks_is_looked_for_in_the_batch() -> None:
    bad = torch.zeros(5, 3)
    bad[2] = torch.nan
    with pytest.raises(DataError, match=r"student's and the teacher's logits hold NaN .* rows 2 and 2 of 5: look for"):
        LogitLoss()(bad, bad)
