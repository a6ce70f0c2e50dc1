"""Results folders as the pipeline leaves them."""

import pytest

from tests.paper.fake_results import write_results
from topokd import params as P


@pytest.fixture
def results_folder(tmp_path):
    return write_results(tmp_path / "results" / "default")


@pytest.fixture
def empty_folder(tmp_path):
    folder = tmp_path / "empty" / "default"
    P.dump(P.load_profile("default"), folder / "params.yaml")
    return folder
