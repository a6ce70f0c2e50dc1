"""Checks of the options of `topokd.topology`: those of the package."""

from topokd.options import flag, number, threads, whole

__all__ = ["flag", "number", "threads", "whole"]
