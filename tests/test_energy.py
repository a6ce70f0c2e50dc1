"""Energy counters: RAPL in a temporary folder, GPUs through a fake function."""

from __future__ import annotations

from pathlib import Path

import pytest

from topokd.energy import EnergyMeter

pytestmark = pytest.mark.unit


def write_zone(folder: Path, name: str, microjoules: int) -> None:
    zone = folder / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")


def test_packages_and_gpus_are_added_up_and_counters_may_wrap_around(tmp_path: Path):
    write_zone(tmp_path, "intel-rapl:0", 5_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", 9)  # a part of package 0
    write_zone(tmp_path, "intel-rapl:1", 262_143_000_000)
    gpus = iter([[10.0, 20.0], [13.5, 20.5]])
    meter = EnergyMeter(tmp_path, lambda: next(gpus))
    write_zone(tmp_path, "intel-rapl:0", 8_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", 900_000_000)
    write_zone(tmp_path, "intel-rapl:1", 1_671_150)
    assert meter.joules() == pytest.approx({"processors": 3.0 + 2.0, "gpus": 4.0})


def test_counters_that_cannot_be_read_are_left_out(tmp_path: Path):
    assert EnergyMeter(tmp_path, list).joules() == {}
    (tmp_path / "intel-rapl:0/energy_uj").mkdir(parents=True)  # as if it were forbidden
    assert EnergyMeter(tmp_path, list).joules() == {}
