"""Tables and findings: reported and measured values."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.paper.fake_results import CLASSES, SKILL, make_run, write_results
from topokd import params as P
from topokd.errors import DataError
from topokd.io import write_json
from topokd.paper import cost_tables, evaluation_summary, figures, readme, segmentation_tables
from topokd.paper import lines as result_lines
from topokd.paper.comparability import comparability
from topokd.paper.exhibits import tables
from topokd.paper.findings import findings
from topokd.paper.grid import grid
from topokd.paper.render import table_grid
from topokd.paper.report import write_tables
from topokd.paper.results import Results


def cell(frame, row, column, source="measured"):
    (entry,) = frame[(frame["row"] == row) & (frame["column"] == column) & (frame["source"] == source)].to_dict(
        "records"
    )
    return entry


def test_table7_measured_equals_the_records_by_hand(results_folder):
    frame = segmentation_tables.table7(Results.read(results_folder))
    runs = {v: [json.loads((results_folder / "runs" / f"{v}-seed{s}.json").read_text()) for s in range(3)]
            for v in ("kd", "kd_topo")}  # fmt: skip
    scores = {v: np.array([100 * r["evaluation"]["miou_skip"] for r in rs]) for v, rs in runs.items()}
    entry = cell(frame, "kd_topo", "mIoU")
    assert entry["mean"] == pytest.approx(scores["kd_topo"].mean()) and entry["seeds"] == "0 1 2"
    assert entry["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(scores["kd_topo"]))
    gain = scores["kd_topo"] - scores["kd"]
    paired = cell(frame, "kd_topo", "gain over KD")
    assert paired["mean"] == pytest.approx(gain.mean())
    assert paired["half_width"] == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(gain))
    assert cell(frame, "kd_topo", "Waymo", "reported")["printed"] == "68.7"
    assert cell(frame, "full", "Waymo, gain over KD", "reported")["mean"] == pytest.approx(1.6)


def test_table2_names_all_classes_and_says_which_are_absent(results_folder):
    frame = segmentation_tables.table2(Results.read(results_folder))
    ours = frame[frame["source"] == "measured"]
    reported = frame[frame["source"] == "reported"]["column"].unique()
    assert set(reported) <= set(ours["column"])
    assert "absent" in cell(frame, "Student with KD", "motorcyclist")["note"]
    assert cell(frame, "Student with KD", "traffic")["n"] == 3
    assert "traffic-sign" not in set(ours["column"])
    assert cell(frame, "Student with KD", "mIoU")["mean"] > cell(frame, "Student with KD", "mIoU, absent 0")["mean"]


@pytest.mark.parametrize("table", [segmentation_tables.table1, segmentation_tables.table4])
def test_tables_that_this_profile_cannot_measure_say_so(results_folder, table):
    frame = table(Results.read(results_folder))
    (line,) = frame[frame["source"] == "measured"].to_dict("records")
    assert "not measured in this profile" in line["note"] and "synthetic" in line["note"]


def test_the_profile_chooses_the_convention(tmp_path):
    params = P.load_profile("default")
    zero = params.replace(evaluation=params.evaluation.replace(absent="zero"))
    folder = write_results(tmp_path / "zero", zero)
    results = Results.read(folder)
    record = json.loads((folder / "runs" / "full-seed0.json").read_text())
    assert results.scores("full")[0] == pytest.approx(100 * record["evaluation"]["miou_zero"])
    assert "count as 0 here" in comparability(results).iloc[-1]["What may be compared"]


def test_records_of_other_seeds_are_left_out(results_folder):
    write_json(results_folder / "runs" / "full-seed7.json", make_run(P.load_profile("default"), "full", 7))
    assert sorted(Results.read(results_folder).runs["full"]) == [0, 1, 2]


def test_missing_runs_are_named_and_the_rest_is_used(results_folder):
    (results_folder / "runs" / "kd-seed1.json").unlink()
    results = Results.read(results_folder)
    assert results.missing() == ["kd-seed1"]
    assert results.gain("kd_topo", "kd").n == 2


def test_damaged_record_is_named(results_folder):
    (results_folder / "runs" / "kd-seed1.json").write_text('{"run": "kd-seed1"}')
    with pytest.raises(DataError, match=r"kd-seed1\.json.*evaluation"):
        Results.read(results_folder)
    with pytest.raises(DataError, match="has no run"):
        Results.read(results_folder.parent).require_runs()


def test_tables_of_an_empty_folder_have_reported_values_only(empty_folder):
    results = Results.read(empty_folder)
    for table in tables():
        frame = table.lines(results)
        assert (frame["source"] == "reported").any() or table.id == "beyond"
        assert not frame[frame["source"] == "measured"]["mean"].notna().any()
        assert frame["note"].str.contains("not measured").any()


def test_written_tables_are_byte_stable_and_readable(results_folder, tmp_path):
    first = {p.name: p.read_bytes() for p in write_tables(Results.read(results_folder))}
    second = {p.name: p.read_bytes() for p in write_tables(Results.read(results_folder))}
    assert first == second and len(first) == 18
    frame = pd.read_csv(results_folder / "tables" / "table7.csv", keep_default_na=False)
    assert list(frame.columns) == list(result_lines.COLUMNS)
    text = first["table7.md"].decode()
    assert "Student, KD + topology" in text and "±" in text and "| 72.6 |" in text


def model_cost():
    def flops(x):
        counts = {"linear": x, "projections": x / 2, "convolution": x, "attention": x, "total": 3 * x}
        return {part: counts for part in ("encoder", "decoder")}

    lists = {
        k: [1, 2] for k in ("enc_depths", "enc_channels", "enc_num_head", "dec_depths", "dec_channels", "dec_num_head")
    }
    models = {
        role: {
            "preset": f"ptv3-{role}",
            "parameters": {"total": n},
            "architecture": {**lists, "patch_size": 1024},
            "flops": flops(n * 1e3),
        }
        for role, n in (("teacher", 46_000_000), ("student", 2_000_000))
    }
    kinds = ("linear", "projections", "convolution", "attention", "total")
    ratio = {**dict.fromkeys(kinds, 23.0), "without_attention": 36.7}
    return {
        "tokens": {"voxels": 8000},
        "models": models,
        "ratios": {"parameters": 23.0, "blocks_encoder": 2.3, "blocks_decoder": 2.0,
                   "flops": {"encoder": ratio, "decoder": ratio}},
    }  # fmt: skip


def model_timing():
    models = {
        role: {
            "preset": f"ptv3-{role}", "voxels": 8000, "latency_s": t, "fps": 1 / t, "cpu_time_s": t,
            "peak_memory_bytes": int(1e8 * t),
            "operations": {"aten::addmm": {"self_s": t / 2, "calls": 1, "allocated_bytes": int(1e6 * t)}},
        }
        for role, t in (("teacher", 2.0), ("student", 0.5))
    }  # fmt: skip
    return {"device": "CPU X", "threads": 1, "repeats": 3, "models": models, "ratios": {"latency": 4.0, "fps": 4.0}}


def test_cost_tables_have_ratios_and_conditions(results_folder):
    write_json(results_folder / "model_cost.json", model_cost())
    write_json(results_folder / "timings" / "model_cost.json", model_timing())
    results = Results.read(results_folder)
    table3, table5, table6 = (t(results) for t in (cost_tables.table3, cost_tables.table5, cost_tables.table6))
    assert cell(table3, "Our Student", "Params (M)")["mean"] == 2.0
    assert (
        cell(table3, "Our Student", "FPS")["varies"] == "timing" and cell(table3, "Our Student", "FPS")["mean"] == 2.0
    )
    assert cell(table3, "Our Student", "Params (M)")["varies"] == ""
    assert cell(table5, "Encoder Depths", "Teacher")["printed"] == "(1, 2)"
    assert cell(table5, "Encoder GFLOPs", "Comparison")["mean"] == 23.0
    assert cell(table5, "Encoder GFLOPs without attention's products", "Comparison")["mean"] == 36.7
    assert cell(table5, "Encoder GFLOPs without attention's products", "Teacher")["mean"] == 92.0
    assert cell(table5, "Attention's projections (Encoder)", "Teacher")["mean"] == 23.0
    assert cell(table6, "MM_add (Self CPU Time)", "Improvement")["mean"] == 4.0
    shown = grid(table5, "columns")
    text = shown.markdown()
    assert "2 s" in text and "CPU X, 1 thread, 8,000 voxels" in text and not shown.absent


def test_table8_has_times_memory_and_speed_up(results_folder):
    def one(x):
        return {"forward_s": x, "backward_s": x / 10, "peak_bytes": 2e6}

    rows = [{"points": 30, "naive": one(3.0), "ours": one(0.1), "giotto_ph": one(0.2), "speedup": 30.0},
            {"points": 2000, "naive": None, "ours": one(0.5), "giotto_ph": one(0.9), "speedup": None}]  # fmt: skip
    record = {"device": "CPU", "threads": 2, "repeats": 1, "table8": rows}
    write_json(results_folder / "timings" / "topology_cost.json", record)
    frame = cost_tables.table8(Results.read(results_folder))
    assert (
        cell(frame, "30", "speed-up")["mean"] == 30.0 and cell(frame, "30", "speed-up", "reported")["printed"] == "79×"
    )
    assert cell(frame, "2000", "ours memory")["mean"] == 2.0
    assert set(frame[frame["source"] == "measured"]["varies"]) == {"timing"}


def test_grid_marks_units_only_where_a_column_mixes_them():
    lines = [{"table": "t", "row": r, "column": "c", "unit": u, "source": "measured", "printed": "", "mean": 1.5,
              "half_width": np.nan, "n": 1, "note": ""} for r, u in (("a", "s"), ("b", "MB"))]  # fmt: skip
    mixed, same = grid(pd.DataFrame(lines), "columns"), grid(pd.DataFrame(lines[:1]), "columns")
    assert mixed.columns == [("measured", "c", "")] and mixed.rows[0][3][0].text == "1.50 s"
    assert same.columns == [("measured", "c", "s")] and same.rows[0][3][0].text == "1.50"


def test_classes_of_the_fixture_are_those_of_the_dataset_and_of_table2():
    from topokd.datasets.semantickitti.classes import SEMANTICKITTI
    from topokd.paper import reported

    assert SEMANTICKITTI.class_names == CLASSES
    columns = [segmentation_tables.SEMANTICKITTI_COLUMNS.get(name, name) for name in CLASSES]
    assert columns == list(reported.load("table2").columns[2:])


@pytest.mark.parametrize(
    ("layout", "table", "row"),
    [
        ("nuscenes", segmentation_tables.table1, "Student with KD"),
        ("waymo", segmentation_tables.table4, "Ours (Student w/ KD)"),
    ],
)
def test_a_panel_fills_the_measured_rows_and_is_named_synthetic(results_folder, layout, table, row):
    from topokd.experiments.panels import panel_params

    folder = results_folder / "panels" / layout
    write_results(folder, panel_params(P.load_profile("default"), layout))
    frame = table(Results.read(results_folder))
    ours = frame[(frame["source"] == "measured") & (frame["row"] == row)]
    assert len(ours) >= 1 and set(ours["n"]) <= {0, 1}
    assert "synthetic street world in" in ours["dataset"].iloc[0]
    exhibit = "Table 1" if layout == "nuscenes" else "Table 4"
    said = comparability(Results.read(results_folder)).set_index("Exhibit")["What may be compared"]
    assert "synthetic street world in" in said[exhibit] and "works end to end" in said[exhibit]
    assert "Not measured" in said["Table 4" if layout == "nuscenes" else "Table 1"]


@pytest.mark.parametrize("name", ["table1", "table2", "table4"])
def test_the_measured_row_with_kd_says_that_it_has_all_terms(results_folder, name):
    table = next(exhibit for exhibit in tables() if exhibit.id == name)
    ((printed, ours),) = table.measured.items()
    lines = [
        {
            **dict.fromkeys(result_lines.COLUMNS, ""),
            "row": printed,
            "column": "mIoU",
            "unit": "%",
            "source": source,
            "mean": 50.0,
        }
        | {"half_width": 1.0, "n": 3, "printed": "50.0" if source == "reported" else ""}
        for source in ("reported", "measured")
    ]
    rows = grid(pd.DataFrame(lines), table.side, measured=table.measured).rows
    assert [row[0] for row in rows] == [printed, f"{printed}, all terms"] and ours == rows[1][0]
    if name == "table2":
        assert "**Student with KD, all terms, measured**" in table_grid(table, Results.read(results_folder)).markdown()


def test_the_gain_of_the_teacher_is_over_the_student_alone(results_folder):
    results = Results.read(results_folder)
    lines = segmentation_tables.beyond(results)
    (gain,) = lines[lines["row"].eq("teacher") & lines["column"].str.startswith("gain over")].to_dict("records")
    expected = results.gain("teacher", "plain")
    assert gain["column"] == f"gain over {results.rows['plain'].short}" and gain["seeds"] == "0 1 2"
    assert (gain["mean"], gain["half_width"], gain["n"]) == (expected.mean, expected.half_width, 3)


def test_numbers_of_another_data_set_are_not_put_into_a_table(tmp_path):
    params = P.load_profile("default")
    params = params.replace(data=params.data.replace(dataset="nuscenes"))
    results = Results.read(write_results(tmp_path / "nuscenes", params))
    for table, own in ((segmentation_tables.table1, True), (segmentation_tables.table2, False)):
        lines = table(results)
        ours = lines[lines["source"] == "measured"]
        assert (ours["n"].max() == 3) == own
        assert own or ours["note"].tolist() == [
            "not measured in this profile: it runs on nuScenes-lidarseg, not on SemanticKITTI"
        ]


def test_official_scores_are_shown_only_for_the_data_of_their_benchmark(tmp_path):
    params = P.load_profile("default")
    assert evaluation_summary.official_frame(Results.read(write_results(tmp_path / "synthetic", params))).empty
    params = params.replace(data=params.data.replace(dataset="semantickitti"))
    results = Results.read(write_results(tmp_path / "kitti", params, ("teacher",)))
    frame = evaluation_summary.official_frame(results)
    assert list(frame.index) == ["mIoU", "accuracy", *CLASSES] and frame.loc["motorcyclist"].item() == 0  # absent: 0
    zero = [run["evaluation"]["miou_zero"] for run in results.runs["teacher"].values()]
    assert frame.loc["mIoU"].item() == pytest.approx(100 * sum(zero) / len(zero), abs=0.01)
    assert "official" in evaluation_summary.summary_record(results, {})


def with_another_row(params):
    row = params.rows["full"].replace(
        label="Student, everything",
        short="+ everything",
        color="#123456",
        compare={
            "kd": params.rows["kd"].compare["plain"].replace(question="Does everything help?", subject="everything")
        },
    )
    return params.replace(
        rows=params.rows | {"everything": row}, train_rows=("plain", "kd", "kd_topo", "kd_grad", "full", "everything")
    )


def test_a_row_added_to_the_parameters_appears_in_tables_figures_and_findings(tmp_path, monkeypatch):
    monkeypatch.setitem(SKILL, "everything", 0.75)
    results = Results.read(write_results(tmp_path / "more", with_another_row(P.load_profile("default"))))
    table = {exhibit.id: exhibit for exhibit in tables()}
    assert "Student, everything" not in table_grid(table["table7"], results).markdown()  # only the paper's rows
    assert "Student, everything" in table_grid(table["beyond"], results).markdown()
    assert "Student, everything" in table_grid(table["table2"], results).markdown()
    answered = {finding.question: finding for finding in findings(results)}["Does everything help?"]
    assert answered.answer == "yes" and "With everything the student changes by +" in answered.sentence
    figure = figures.beyond_figure(results)
    shown = [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
    assert "Student, everything" in shown and "+ everything" in shown
    assert "#123456" in {line.get_color() for line in figure.axes[0].lines}
    assert "Student, everything" in readme.expected_numbers([results.folder])
    plt.close("all")
