"""Closed sets of choices that parameters and the modules above them share, each spelled once.

Names of data sets, loss terms and network presets are not here: those are keys of the dictionaries that hold them.
"""

from __future__ import annotations

from typing import Literal

Role = Literal["teacher", "student"]
Sensor = Literal["hdl64", "hdl32", "waymo64"]  # of the synthetic world
OnBadScan = Literal["raise", "skip"]  # for a damaged scan
Absent = Literal["skip", "zero", "one"]  # IoU of classes absent from truth and prediction: left out, 0, or 1
Balance = Literal["none", "gradnorm"]  # weights of the loss terms: as given, or from the norms of their gradients
Tracker = Literal["none", "tensorboard", "mlflow"]  # live metrics in addition to dvclive's
LabelType = Literal["uint8", "uint16", "uint32"]  # of label files with one number per point
Amp = Literal["off", "bf16", "fp16"]  # automatic mixed precision
ConvolutionBackend = Literal["auto", "torch", "spconv"]
AttentionBackend = Literal["auto", "torch", "flash-attn"]
ReductionBackend = Literal["auto", "torch", "torch-scatter"]
