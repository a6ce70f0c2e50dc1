"""The trained teacher that students learn from."""

from __future__ import annotations

from topokd.distillation import DistillationObjective
from topokd.errors import CheckpointError
from topokd.models import PointTransformerV3, build_model, load_checkpoint, read_description
from topokd.params import Params, to_dict
from topokd.project import TEACHER
from topokd.training.run import Run


def load_teacher(params: Params, seed: int, class_names: tuple[str, ...]) -> PointTransformerV3:
    """The trained teacher of ``seed``.

    Args:
        params: the profile.
        seed: seed of the teacher.
        class_names: classes of the data set.

    Returns:
        The network with its weights, on the CPU.

    Raises:
        CheckpointError: the file is missing, has another preset than ``model.teacher``, or was trained for other
            classes; the message names the file and the command that trains it.

    Examples:
        >>> load_teacher(Params(profile="untrained"), 0, ("road", "car"))
        Traceback (most recent call last):
        ...
        topokd.errors.CheckpointError: the teacher's checkpoint ... does not exist; train it first: ...
    """
    path = Run(TEACHER, seed, params).checkpoint
    advice = f"train it first: `dvc repro teacher@{params.profile}-{seed}`"
    if not path.is_file():
        raise CheckpointError(f"the teacher's checkpoint {path} does not exist; {advice}")
    description = read_description(path)
    if description.preset != params.model.teacher:
        raise CheckpointError(
            f"{path} holds a {description.preset or 'network of unknown preset'}, but model.teacher is "
            f"{params.model.teacher}; {advice}"
        )
    if description.class_names != class_names:
        known = ",".join(description.class_names) or "without names"
        raise CheckpointError(
            f"{path} was trained for {len(description.class_names) or 'unknown'} classes ({known}), but the data has "
            f"{len(class_names)} ({','.join(class_names)}); {advice}"
        )
    model = build_model(params.model.teacher, in_channels=4, num_classes=len(class_names))
    return load_checkpoint(path, model)


def teacher_of(run: Run, objective: DistillationObjective, class_names: tuple[str, ...]) -> PointTransformerV3 | None:
    """The teacher of a student's run, set up for use in its training.

    Args:
        run: the student's.
        objective: objective of the student; None is returned if no term of it uses a teacher.
        class_names: class names of the data set.

    Raises:
        CheckpointError: as `load_teacher`.
    """
    if not objective.needs_teacher:
        return None
    train = run.params.train
    teacher = load_teacher(run.params, run.teacher.seed, class_names)
    teacher.set_backends(**to_dict(train.backends))
    if not objective.differentiates_twice:
        # With L_grad the teacher stores more activations than the student. With the second order, checkpointed blocks
        # would run again under another attention kernel and round differently.
        teacher.set_checkpointing(train.checkpointing)
    return teacher
