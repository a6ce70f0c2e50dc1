"""Cost of teacher and student: Tables 3, 5 and 6, Figure 1 b-d.

Notebook 70 writes two files: ``results/<profile>/model_cost.json`` (`count`), which is exact and repeats byte for
byte, and ``results/<profile>/timings/model_cost.json`` (`measure`), which was timed and differs from run to run.
"""

from topokd.experiments.model_cost.clouds import PAPER_VOXEL_SIZE, nearest, tile_along_x
from topokd.experiments.model_cost.count import count_cost
from topokd.experiments.model_cost.flops import count_flops, count_parameters, parameters_by_module
from topokd.experiments.model_cost.measure import measure_cost
from topokd.experiments.model_cost.summary import cost_sentence, flops_table, parameters_table, timing_sentence

__all__ = [
    "PAPER_VOXEL_SIZE",
    "cost_sentence",
    "count_cost",
    "count_flops",
    "count_parameters",
    "flops_table",
    "measure_cost",
    "nearest",
    "parameters_by_module",
    "parameters_table",
    "tile_along_x",
    "timing_sentence",
]
