"""The studies in report and notebook 80: verdicts of complete studies, and the progress of the others."""

from __future__ import annotations

import re

import matplotlib
import matplotlib.pyplot as plt
import pytest

from tests.conftest import PROJECT
from tests.paper.fake_results import write_results
from tests.viz.extents import cut_off
from topokd.io import write_json
from topokd.paper import studies
from topokd.paper.claims import details
from topokd.paper.exhibits import EXHIBITS, Figure
from topokd.paper.findings import findings
from topokd.paper.readme import comparison_text, study_text
from topokd.paper.render import render_exhibit
from topokd.paper.report import render
from topokd.paper.results import Results
from topokd.viz.rows import signs
from topokd.viz.study import TOGETHER, curves_figure, differences_figure, power_figure, trials_figure

matplotlib.use("Agg")


def comparison(treatment, control, difference, verdict):
    low, high = difference - 0.4, difference + 0.4
    return {
        "comparison": f"{treatment} - {control}", "treatment": treatment, "control": control,
        "difference": difference, "sd": 0.6, "seeds": 10,
        "intervals": {over: [low, high] for over in ("seeds", "streets", "both")},
        "p": 0.001, "p_equivalence": 0.9, "p_holm": 0.004, "p_equivalence_holm": 0.9, "verdict": verdict,
    }  # fmt: skip


def study(done=6, planned=6, dataset="synthetic"):
    rows = ("plain", "kd", "kd_topo")
    trial = {"row": "kd", "seed": 1000, "miou": 20.0, "weights": {"kd": 3.0}, "learning_rate_factor": 2.0, "steps": 9}
    return {
        "profile": "study", "dataset": dataset, "done": done, "planned": planned, "seeds": list(range(10)),
        "plan": {"margin": 0.5, "alpha": 0.05, "expected_sd": 0.8, "comparisons": [["kd", "plain"], ["kd_topo", "kd"]]},
        "labels": {row: row for row in rows}, "colors": dict.fromkeys(rows, "#8d99ae"), "steps": {"kd": 1200},
        "trials": [trial | {"unit": f"trial-kd-{k}", "miou": 20.0 + k, "factor": 10.0**k} for k in (0, 1)],
        "chosen": {"kd": trial | {"unit": "trial-kd-1", "miou": 21.0}}, "places": dict.fromkeys(rows, 24),
        "curves": {"kd": {"step": [300, 600], "miou": [10.0, 20.0]}},
        "gradients": [
            {"row": "kd", "term": "kd", "runs": 10, "median": 1.234, "largest": 2345.6, "seed": 7, "step": 1150,
             "limit": 10.0, "strong": 3, "weak": 0.01}
        ],
        "comparisons": [comparison("kd", "plain", 5.2, "better"), comparison("kd_topo", "kd", 0.1, "equivalent")],
    }  # fmt: skip


@pytest.fixture
def project(tmp_path):
    write_results(tmp_path / "results" / "default")

    def with_answers(**answers):
        for profile, answer in answers.items():
            write_json(tmp_path / "study" / "answers" / f"{profile}.json", answer)
        return Results.read(tmp_path / "results" / "default")

    return with_answers


def test_a_complete_study_decides_the_claims(project):
    before = {f.question: f for f in findings(project())}
    after = {f.question: f for f in findings(project(study=study()))}
    asked = "Does the topological term help?"
    assert before[asked].evidence == "table7" and after[asked].evidence == "studies_comparisons"
    assert after[asked].answer == "same" and "In this profile: " in after[asked].sentence
    helps = after["Do the teacher's softened logits (KD) alone help?"]
    assert helps.answer == "yes" and "+5.2 points (10 seeds, 24 places" in helps.sentence
    assert after["Does the saliency term help?"] == before["Does the saliency term help?"]  # not in the study


@pytest.mark.parametrize("answer", [study(done=5), study(dataset="semantickitti")])
def test_an_unfinished_study_or_one_on_other_data_decides_nothing(project, answer):
    before = findings(project())
    assert findings(project(study=answer)) == before


def test_a_complete_study_of_dose_and_response_decides_no_comparison_of_rows(project):
    before = findings(project())
    assert (
        findings(project(dose={"dataset": "synthetic", "done": 54, "planned": 54, "sentence": "It falls."})) == before
    )


def test_the_report_names_the_studies_that_have_not_run(project, tmp_path):
    results = project(study=study(done=5))
    html = {name: render_exhibit(EXHIBITS[name], results, tmp_path) for name in EXHIBITS if "studies" in name}
    lines = studies.protocols(results).set_index("Study")
    assert lines.loc["study", "Runs"] == "5 of 6" and "1 better, 1 equivalent" in lines.loc["study", "Answer"]
    assert "Preliminary" in lines.loc["study", "Answer"]
    for profile, protocol in studies.PROTOCOLS.items():
        if profile != "study":
            assert lines.loc[profile, "Runs"] == "none" and protocol.command in lines.loc[profile, "Answer"]
            assert protocol.command in html["studies_protocols"]
    assert "(so far)" in html["studies_comparisons"]


def test_a_term_that_drowned_the_others_is_listed_with_its_run(project):
    record = study()
    (line,) = studies.gradients(project(study=record)).to_dict("records")
    assert (line["Median (%)"], line["Largest (%)"]) == ("123", "234,560")
    assert (line["in the run"], line["at step"], line["Runs above 1000 %"]) == ("seed 7", "1,150", "3 of 10")
    record["gradients"][0]["fold"] = 3
    (line,) = studies.gradients(project(study=record)).to_dict("records")
    assert line["in the run"] == "seed 7, sequence 03"


@pytest.mark.parametrize(("done", "preliminary"), [(5, True), (6, False)])
def test_the_readme_says_what_the_study_found_and_whether_it_is_complete(done, preliminary):
    text = study_text(study(done=done))
    assert "“kd” against “plain” **+5.2** (+4.8 to +5.6), “kd_topo” against “kd” **+0.1**" in text
    assert ("So far 5 of 6 runs are done." in text) == ("does not change the answers" in text) == preliminary
    assert study_text({}) == study_text(study() | {"comparisons": []}) == ""


def test_a_verdict_on_a_term_that_hardly_trained_says_so(project):
    shares = [{"row": row, "term": "kd", "median": 10.0, "weak": 0.01} for row in ("kd", "kd_topo")]
    for topology, saliency, answer, said in (
        (0.0032, None, "weak", True), (0.2, None, "same", False), (0.0032, 0.1, "same", True),
    ):  # fmt: skip
        terms = {"topo": topology, "grad": saliency}
        new = [{"row": "kd_topo", "term": name, "median": m, "weak": 0.01} for name, m in terms.items() if m]
        record = study() | {"gradients": [*shares, *new]}
        (found,) = [f for f in findings(project(study=record)) if f.question == "Does the topological term help?"]
        assert found.answer == answer  # "weak" only if all that was added is weak
        for text in (found.sentence, study_text(record)):
            assert (
                "L_topo was 0.32 % of the segmentation loss's (median)" in text
            ) == said and "L_grad was" not in text


def test_the_readme_says_what_trials_gave_beyond_the_row_that_they_start_from():
    record = study()
    record["plan"]["rows"] = {"kd_topo": {"factor_of": ["topo"], "start": "kd"}, "kd": {"factor_of": ["kd"]}}
    for k, miou in enumerate((20.9, 14.0)):
        trial = {"unit": f"trial-kd_topo-{k}", "row": "kd_topo", "miou": miou, "factor": 10.0**k}
        record["trials"].append(trial | {"weights": {"kd": 3.0, "topo": 4.0 * 10**k}})
    assert "“kd_topo” is −0.1 and −7.0 points from “kd” at weights of 4 and 40 of L_topo" in study_text(record)
    record["plan"]["rows"]["kd_topo"]["factor_of"] = ["topo", "grad"]
    assert "In the trials" not in study_text(record)  # a factor of two weights is no weight


def test_the_readme_says_which_rows_of_the_comparison_are_decided():
    record = study(done=5) | {"profile": "comparison"}
    pairs = [("kd", 5.2, "better"), ("long", 9.0, "better"), ("average", 0.3, "open"), ("smooth", -4.0, "worse")]
    pairs += [("dist", 3.0, "open")]
    record["labels"] |= {name: name for name, *_ in pairs}
    record["comparisons"] = [comparison(name, "plain", gain, verdict) for name, gain, verdict in pairs]
    record["comparisons"] += [comparison("kd_topo", "kd", 0.1, "equivalent")]
    text = comparison_text(record)
    assert "So far 5 of 6 runs are done." in text and "1,200 steps" in text
    assert "Against “plain”: better: “kd” **+5.2** (+4.8 to +5.6), “long” **+9.0**" in text
    assert "worse: “smooth” **−4.0** (−4.4 to −3.6); undecided after the correction, although" in text
    assert "zero: “dist” **+3.0** (+2.6 to +3.4); undecided: 1 row. Against “kd”: no different: “kd_topo”" in text
    assert comparison_text({}) == comparison_text(record | {"comparisons": []}) == ""


def test_what_distillation_is_worth_at_equal_computing_time_is_said_where_it_was_measured(project, tmp_path):
    record = study(done=5) | {"profile": "comparison", "steps": {"plain_long": 1980, "kd": 600}}
    assert studies.equal_compute(project(comparison=record)) == ""
    record["comparisons"] = [comparison("plain_long", "kd", 9.0, "open")]
    record["labels"]["plain_long"] = "longer"
    text = studies.equal_compute(project(comparison=record))
    assert text.split("**")[1] in render(project(comparison=record), tmp_path)
    assert "reaches **9.0** points more than “kd” (+8.6 to +9.4, 10 seeds of the comparison, undecided after" in text
    assert "(that of the most expensive row: 1,980 steps for 600)" in text
    assert studies.equal_compute(project(comparison=record | {"dataset": "semantickitti"})) == ""


def test_the_first_sentences_name_the_study_that_decided(project):
    for done, named in ((6, True), (5, False)):  # of 6
        text = details(project(study=study(done=done)))
        assert ("(helps, study)" in text) == ("(no effect, study)" in text) == named


def test_the_readme_names_each_study_once_it_has_results():
    crossed = study() | {"profile": "cross-validation", "places": {"kd": 11}}
    assert study_text(crossed).startswith("The [cross-validation](docs/study.md#cross-validation-on-real-scans) holds")
    assert "11 real sequences" in study_text(crossed) and "24 other streets" in study_text(study())


def test_without_answers_every_listing_says_so(tmp_path):
    results = Results.read(write_results(tmp_path / "results" / "default"))
    assert results.studies == {} and studies.power(results) == {} and studies.dose_sentence(results) == ""
    assert "No study has two seeds" in studies.comparisons(results).loc[0, "Verdict"]
    assert "No study has trained" in studies.gradients(results).loc[0, "Row"]
    assert all("Not run yet" in text for text in studies.protocols(results)["Answer"])


def chosen_weights(answer, results):
    (line,) = studies.weights(results(study=answer)).to_dict("records")
    return line


def test_chosen_weights_are_listed_also_at_an_end_of_their_grid(project):
    at_end = study()  # the better of two trials is always at an end
    chosen = {"kd": at_end["chosen"]["kd"] | {"unit": "trial-kd-1"}}
    third = at_end["trials"][0] | {"unit": "trial-kd-2", "miou": 5.0, "factor": 100.0}
    within = at_end | {"trials": [*at_end["trials"], third], "chosen": chosen}
    line = chosen_weights(at_end, project)
    assert (line["Row"], line["Weights"], line["Learning rate (× teacher's)"]) == ("kd", "kd 3", "2")
    assert (line["Trials"], line["Diverged"], line["At an end of its grid"]) == (2, 0, "yes")
    assert chosen_weights(within, project)["At an end of its grid"] == "no"
    diverged = at_end | {"trials": [at_end["trials"][0] | {"failed": "not finite"}, at_end["trials"][1]]}
    assert chosen_weights(diverged, project)["Diverged"] == 1


def test_rows_with_other_learning_rates_and_added_comparisons_say_so(project):
    answer = study()
    plain = answer["chosen"]["kd"] | {"weights": {}, "learning_rate_factor": 1.0}
    answer["chosen"] |= {"plain": plain}
    answer["comparisons"][0]["added"] = True
    text = study_text(answer)
    assert "“plain” had 0.5 times the learning rate" in " ".join(text.split()) and text.count("learning rate") == 1
    assert "(+4.8 to +5.6; added to the plan after these runs)" in text
    assert "was added to the plan after these runs." in studies.sentence(answer["comparisons"][0], answer)
    table = studies.comparisons(project(study=answer))
    assert list(table["Against"]) == ["plain*", "kd"] and list(table["SD"]) == ["0.60", "0.60"]


def test_a_seed_far_from_the_others_is_named(project):
    answer = study()
    answer["comparisons"][1]["extreme"] = {"seed": 5, "difference": -10.4}
    assert "(−0.3 to +0.5; seed 5 alone −10.4)" in study_text(answer)
    assert "Seed 5 alone differs by −10.4." in studies.sentence(answer["comparisons"][1], answer)


def test_rows_trained_with_other_weights_than_the_search_chose_are_named(project):
    answer = study() | {"profile": "weights", "comparisons": []}
    results = project(weights=answer)
    own = results.params.rows["kd"].terms["kd"]["weight"]

    def said(weight):
        answer["chosen"]["kd"]["weights"] = {"kd": weight}
        return studies.protocols(project(weights=answer)).set_index("Study").loc["weights", "Answer"]

    assert f"Trained here with other weights, see `docs/study.md`: “kd” (kd {own:g})" in said(2 * own)
    assert "other weights" not in said(own)


def with_rows(count):
    """A study of that many rows with long names, one trial of each, all compared with the first."""
    rows = {f"row{k}": f"Student, KD + a loss with a long name {k}" for k in range(count)}
    trials = [{"seed": 1000, "miou": 20.0, "factor": 1.0, "row": row, "unit": f"trial-{row}-0"} for row in rows]
    answer = study() | {"labels": rows, "colors": dict.fromkeys(rows, "#8d99ae"), "trials": trials}
    plan = answer["plan"] | {"comparisons": [[row, "row0"] for row in rows][1:]}
    return answer | {"chosen": {"row0": trials[0]}, "plan": plan}


def test_a_legend_with_many_long_names_stays_inside_its_figure():
    curves = {row: {"step": [300, 600], "miou": [10.0, 20.0]} for row in with_rows(25)["labels"]}
    figure = curves_figure(with_rows(25) | {"curves": curves})
    figure.canvas.draw()
    legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0 and legend.y1 <= axes.y0 and axes.height > 150


def test_trials_of_many_rows_have_a_panel_each_beside_the_row_that_most_are_compared_with():
    figure = trials_figure(with_rows(TOGETHER + 1))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    titles = [axes.get_title().replace("\n", " ") for axes in panels]
    assert titles == list(with_rows(TOGETHER + 1)["labels"].values()) and cut_off(figure) == []
    assert len({axes.get_ylim() for axes in panels}) == 1
    for axes in panels:
        reference, own = axes.lines[:2]
        assert list(reference.get_ydata()) == [20.0, 20.0] and list(own.get_xdata()) == [1.0]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"best trial of “{titles[0]}”"]
    unfinished = trials_figure(with_rows(TOGETHER + 1) | {"chosen": {}})
    assert len(unfinished.axes[0].lines[0].get_xdata()) == 1 and not unfinished.legends
    assert len(trials_figure(with_rows(TOGETHER)).axes) == 1
    plt.close("all")


def test_figures_are_drawn_from_the_existing_results(project):
    answer = study()
    assert trials_figure(answer) and curves_figure(answer) and differences_figure(answer)
    (line, chosen) = trials_figure(answer).axes[0].lines
    assert list(line.get_xdata()) == [1, 10] and list(chosen.get_xdata()) == [10]
    empty = answer | {"trials": [], "curves": {}, "comparisons": []}
    assert trials_figure(empty) is curves_figure(empty) is differences_figure(empty) is None
    designs = studies.power(project(study=answer))
    assert list(designs) == ["this profile (3 seeds)", "study (10 seeds)"]
    assert designs["study (10 seeds)"]["alpha"] == 0.025  # of the strictest of two comparisons
    (_, chances) = power_figure(designs).axes
    marks = [line for line in chances.lines if line.get_marker() == "o"]  # seen at zero, too
    assert chances.get_xlim() == (0, 1)  # of probabilities
    ends = [f"{mark.get_xdata()[0]:.2f}" for mark in marks]
    assert [text.get_text() for text in chances.texts] == ends and len(ends) == 2
    hopeless = power_figure({"few (2 seeds)": designs["study (10 seeds)"] | {"seeds": 2, "sd": 5.0}}).axes[1]
    assert [text.get_text() for text in hopeless.texts] == ["below 0.01"]
    assert [mark.get_ydata()[0] for mark in marks] == list(chances.get_yticks())
    assert [label.get_text().replace("\n", " ") for label in chances.get_yticklabels()] == list(designs)
    alone = {"teacher": {"step": [1, 2], "miou": [10.0, 20.0]}}
    assert curves_figure(answer | {"curves": alone}) is None  # says nothing about the rows


def test_rows_of_the_profile_keep_their_markers_in_a_study_with_other_rows():
    networks = ("teacher", "plain", "other", "kd")
    curves = {row: {"step": [300, 600], "miou": [10.0, 20.0]} for row in ("kd", "teacher", "plain")}
    lines = curves_figure(study() | {"curves": curves}, networks).axes[0].lines
    expected = signs(networks)
    assert [line.get_marker() for line in lines] == [expected[row]["marker"] for row in curves]


def test_no_text_of_a_figure_is_cut_off(project):
    answer = study() | {"validate_scans": 2}
    drawn = [trials_figure(answer), curves_figure(answer), curves_figure(study()), differences_figure(answer)]
    for figure in [*drawn, power_figure(studies.power(project(study=answer)))]:
        assert cut_off(figure) == []


def test_curves_say_on_how_many_scans_they_rest_and_what_all_scans_say(project):
    curves = {row: {"step": [300, 600], "miou": [10.0, end]} for row, end in (("plain", 20.0), ("kd", 19.9))}
    answer = study() | {"validate_scans": 2, "curves": curves}
    axes = curves_figure(answer).axes[0]
    assert axes.get_ylabel() == "mIoU (%),\n2 validation scans"
    assert all(line.get_transform() == axes.transData for line in axes.lines)  # at their own steps
    said = studies.validated(project(study=answer))
    assert said == (
        "mIoU on 2 validation scans, too few to tell which row is better: at the last step “kd” is −0.1 points from "
        "“plain” on them, over all scans +5.2 (see above)."
    )
    assert EXHIBITS["studies_curves"].fact is studies.validated
    single = {"kd": {"step": [150], "miou": [15.0]}}
    assert studies.validated(project(study=answer | {"curves": single})) == ""


@pytest.mark.parametrize(("dataset", "where"), [("synthetic", "streets"), ("semantickitti", "sequences")])
def test_figures_name_the_places_as_the_data_does(dataset, where):
    answer = study(dataset=dataset)
    said = [text.get_text() for text in differences_figure(answer).legends[0].get_texts()]
    assert said == ["seeds", where, f"seeds and {where}"]
    assert trials_figure(answer).axes[0].get_ylabel() == f"mIoU on the tuning {where} (%)"
    plt.close("all")


def test_every_protocol_can_be_read():
    from topokd.experiments.dose.plan import read_dose_plan
    from topokd.experiments.study.plan import read_plan

    for profile, protocol in studies.PROTOCOLS.items():
        read = read_dose_plan if profile == studies.DOSE else read_plan
        assert read(protocol.plan)[1].profile == profile


def test_notebook_80_saves_every_figure_that_the_report_declares():
    source = (PROJECT / "notebooks" / "80_study.py").read_text()
    saved = {*re.findall(r'figure, figures / "(\w+)"', source)}
    kinds = re.findall(r'\("(\w+)", (?:partial\()?view\.', source)
    saved |= {f"{kind}-{profile}" for kind in kinds for profile in studies.PROTOCOLS if profile != studies.DOSE}
    declared = [e for e in EXHIBITS.values() if isinstance(e, Figure) and e.stage == "study"]
    assert {file.removeprefix("study/") for exhibit in declared for file in exhibit.files} == saved
