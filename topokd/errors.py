"""Errors that a user can act on.

Each says what is wrong, where (file and field), and how to mend it; the command line prints them without a traceback.
"""

from __future__ import annotations


class TopokdError(ValueError):
    """Base of every error that topokd raises on purpose."""


class ParameterError(TopokdError):
    """A parameter file or a parameter's value is not usable."""


class DataError(TopokdError):
    """A scan, label file or dataset folder is not what it should be."""


class AbsentSplitError(DataError):
    """A copy of a data set holds nothing of the split that was asked for; the rest of it may be fine."""


class CheckpointError(TopokdError):
    """A checkpoint is missing, damaged, or belongs to another model or run."""


class TrainingError(TopokdError):
    """Training cannot go on: a loss or a gradient is not finite."""
