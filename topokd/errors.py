"""Errors that a user can act on.

Each message states the problem, its place (file and field), and the fix. The command line prints no traceback.
"""

from __future__ import annotations


class TopokdError(ValueError):
    """Base of every error that topokd raises on purpose."""


class ParameterError(TopokdError):
    """A parameter file, or the value of a parameter, cannot be used."""


class DataError(TopokdError):
    """A scan, label file or dataset folder is missing, damaged or not in the expected form."""


class AbsentSplitError(DataError):
    """A copy of a data set lacks the requested split; the rest of it may be complete."""


class CheckpointError(TopokdError):
    """A checkpoint is missing, damaged, or belongs to another model or run."""


class TrainingError(TopokdError):
    """Training cannot continue: a loss or a gradient is not finite."""


class CertificateError(TopokdError):
    """A certificate does not prove the diagrams that it came with."""
