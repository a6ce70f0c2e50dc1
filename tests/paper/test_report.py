"""The report: self-contained, complete, and equal bytes every time."""

import base64
import dataclasses
import html.parser
import io
import re

import matplotlib
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import PROJECT
from tests.paper.fake_results import write_results
from topokd.io import write_json
from topokd.paper import facts, figures
from topokd.paper.claims import claims, details, lead
from topokd.paper.exhibits import EXHIBITS, Figure, sections
from topokd.paper.links import measured_over, sources
from topokd.paper.render import environment, inlined_image, prose, render_exhibit
from topokd.paper.report import PAPER, write_report
from topokd.paper.results import Results
from topokd.params import load_profile
from topokd.viz.style import save_figure

matplotlib.use("Agg")
VOID = {"meta", "img", "br", "link", "input"}


class Page(html.parser.HTMLParser):
    """Checks nesting, and collects ids, links and sources."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources = [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(path):
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


@pytest.fixture
def drawn(tmp_path):
    """Figures of which two exist."""
    folder = tmp_path / "figures" / "default"
    for name in ("figure2", "ablation"):
        (folder / "paper").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), "white").save(folder / "paper" / f"{name}.png")
    return folder


def test_every_exhibit_and_link_target_is_on_the_page(results_folder, drawn):
    page = parse(write_report(results_folder, drawn))
    assert len(page.ids) == len(set(page.ids))
    optional = {name for name, exhibit in EXHIBITS.items() if getattr(exhibit, "optional", False)}
    assert set(EXHIBITS) - optional <= set(page.ids)
    assert not optional & set(page.ids)  # none of them exists here: the page and its contents leave them out
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.sources) == 3  # two figures, and the variant of the first for a phone


def test_the_page_loads_nothing(results_folder, drawn):
    text = write_report(results_folder, drawn).read_text(encoding="utf-8")
    assert all(
        source.startswith(("data:image/webp;base64,", "data:image/svg+xml;base64,"))
        for source in parse(results_folder / "report.html").sources
    )
    assert not re.search(r"https?://|<script\s|@import|url\(", text)
    assert str(results_folder) not in text and "/tmp" not in text


def test_equal_inputs_give_equal_bytes(results_folder, drawn):
    first = write_report(results_folder, drawn).read_bytes()
    assert write_report(results_folder, drawn).read_bytes() == first


def test_missing_runs_and_exhibits_are_named_with_their_commands(empty_folder, tmp_path):
    path = write_report(empty_folder, tmp_path / "nothing")
    text = path.read_text(encoding="utf-8")
    parse(path)
    wanted = len(Results.read(empty_folder).missing())
    assert f"{wanted} of {wanted} runs of this profile do not exist yet" in text
    for stage in ("topology_cost", "topology", "evaluation", "model_cost"):
        assert f"{stage}@default*" in text
    assert text.count(">no data<") == len(claims(Results.read(empty_folder)))


def test_reported_and_measured_values_are_side_by_side(results_folder, drawn):
    text = write_report(results_folder, drawn).read_text(encoding="utf-8")
    results = Results.read(results_folder)
    assert "73.1" in text and results.score("full").text().split(" ± ")[0] in text
    assert "not comparable with the reported ones" in text
    kd = results.params.rows["kd"].terms["kd"]
    assert f"weight: {kd['weight']}" in text and "2.13.0" in text
    assert f"kd-seed{results.params.seeds[-1]}" in text and f"λ = {kd['weight']:g}, T = 2" in text


class Skeleton(html.parser.HTMLParser):
    """Headings in order, each with its level, id and text."""

    def __init__(self):
        super().__init__()
        self.headings, self.inside = [], False

    def handle_starttag(self, tag, attributes):
        self.inside = tag in ("h1", "h2", "h3")
        if self.inside:
            self.headings.append([tag, dict(attributes).get("id", ""), ""])

    def handle_data(self, text):
        if self.inside:
            self.headings[-1][2] += text

    def handle_endtag(self, tag):
        self.inside = False


def test_the_report_has_the_headings_of_the_snapshot(results_folder, drawn, snapshot):
    page = Skeleton()
    page.feed(write_report(results_folder, drawn).read_text(encoding="utf-8"))
    assert [" ".join(heading) for heading in page.headings] == snapshot


def test_tables_come_in_the_order_of_the_paper():
    assert [name for name in EXHIBITS if name.startswith("table")] == [f"table{n}" for n in range(1, 9)]


def test_exhibits_of_a_section_are_together():
    names = [section.id for section, _ in sections()]
    assert len(names) == len(set(names))


def test_an_exhibit_declared_in_one_place_is_rendered_without_other_edits(results_folder, drawn, tmp_path):
    section = EXHIBITS["figure4"].section
    new = Figure(id="new", section=section, title="A new figure", caption="With `code`.", stage="topology")
    results = Results.read(results_folder)
    assert "dvc repro --glob 'topology@default*'" in render_exhibit(new, results, tmp_path).unescape()
    (tmp_path / "topology").mkdir()
    Image.new("RGB", (40, 20), "white").save(tmp_path / "topology" / "new.png")
    shown = render_exhibit(new, results, tmp_path)
    assert "data:image/webp;base64," in shown and "<code>code</code>" in shown and 'id="new"' in shown


def test_templates_do_not_name_exhibits():
    loader = environment().loader
    for name in loader.list_templates():
        source = (PROJECT / "topokd" / "paper" / "templates" / name).read_text(encoding="utf-8")
        assert not [e for e in EXHIBITS if re.search(rf"['\"#]{e}['\"]", source)], name


STAGE_NOTEBOOKS = {
    "data": "10_data", "evaluation": "40_evaluation", "topology": "50_topology", "topology_cost": "60_topology_cost",
    "model_cost": "70_model_cost",
}  # fmt: skip


def saved(stage):
    """Names of the figures that the notebook of a stage saves."""
    source = (PROJECT / "notebooks" / f"{STAGE_NOTEBOOKS[stage]}.py").read_text(encoding="utf-8")
    return set(re.findall(r'save_figure\(figure, .*"(\w+)"\)', source))


@pytest.mark.parametrize("stage", STAGE_NOTEBOOKS)
def test_the_figures_that_a_notebook_saves_are_those_declared_for_its_stage(stage):
    declared = {
        file.removeprefix(f"{stage}/")
        for exhibit in EXHIBITS.values()
        if isinstance(exhibit, Figure) and exhibit.stage == stage and not exhibit.draw
        for file in exhibit.files
    }
    assert saved(stage) == declared


def test_figures_without_a_notebook_of_their_stage_are_drawn_from_the_results():
    for exhibit in EXHIBITS.values():
        if isinstance(exhibit, Figure):
            assert (exhibit.stage in {*STAGE_NOTEBOOKS, "study"}) != bool(exhibit.draw), exhibit.id


def test_facts_of_topology_come_from_its_records(results_folder, drawn):
    record = {
        "figure7": {"loop_to_noise": 12.34},
        "figure8": {"rows": [{"engine": e} for e in ("a", "a", "b")], "worst": 3e-16, "engine": "a"},
        "proposition1": {"rows": [{}] * 5, "worst_share_of_bound": 0.42},
    }
    write_json(results_folder / "topology.json", record)
    timing = {
        "device": "CPU", "threads": 1, "repeats": 1, "table8": [],
        "sampling": [{"points": 1000 * k, "farthest_s": float(k), "random_s": 1.0} for k in (1, 4)],
        "homology": [{"points": 50, "h1_s": 0.1, "h2_s": 7.0}],
    }  # fmt: skip
    write_json(results_folder / "timings" / "topology_cost.json", timing)
    text = write_report(results_folder, drawn).read_text(encoding="utf-8")
    for fact in (
        "12.3 times the mean gradient of the noise pairs",
        "over the 2 diagrams shown and 1 of our other engines: 3.0e-16",
        "at most 0.42 of the bound",
        "4.0 times as long, random",
        "70 times",
    ):
        assert fact in text


def test_the_inlined_pictures_keep_every_colour(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)  # 2,400 colours: a palette of 256 would merge them
    Image.fromarray(pixels).save(tmp_path / "a.png")
    address, width = inlined_image(tmp_path / "a.png")
    shown = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    assert width == 36 and (np.asarray(shown) == pixels).all()


def test_every_relative_link_leads_to_a_file(results_folder, drawn):
    (results_folder / "tables").mkdir()
    (results_folder / "tables" / "table2.csv").write_text("a")
    (results_folder / "notebooks").mkdir()
    (results_folder / "notebooks" / "40_evaluation.html").write_text("a")
    other = write_results(results_folder.parent / "other")
    write_report(other, drawn)
    page = parse(write_report(results_folder, drawn))
    relative = [link for link in page.links if not link.startswith("#")]
    assert {"../other/report.html", "notebooks/40_evaluation.html", "tables/table2.csv"} <= set(relative)
    assert "../../figures/default/paper/ablation.png" in relative
    assert all((results_folder / link).is_file() for link in relative)


def test_the_first_sentence_states_answer_scans_and_sizes(results_folder, empty_folder):
    results = Results.read(results_folder)
    sentence = lead(results)
    assert "12 validation scans (synthetic street world)" in sentence and "1.20 M" in sentence
    assert len(re.findall(r"[.!?](?: |$)", sentence)) == 1  # one sentence
    assert re.search(r"\*\*all distillation terms\*\* raise .* against “Student without KD”; ", sentence)
    assert re.search(r"“Student, KD \+ topology \+ saliency” is .* “Student, KD”.*3 seeds, 1 teacher\)\.$", sentence)
    # The other comparisons, each with what it is over; none of those in the sentence again.
    rest = details(results)
    assert "Against “Student without KD”: KD alone +" in rest and "both terms together" not in rest
    added = re.search(r"On top of “Student, KD”(.*?): the topological term [+−][\d.]+ ± [\d.]+(.*)", rest)
    # The answer is there once for all of them, or for each.
    assert added and re.search("helps|harms|no effect|undecided", added[1] or added[2])
    assert details(Results.read(empty_folder)) == ""
    assert "Nothing has been measured in this profile yet" in lead(Results.read(empty_folder))


def test_the_page_leads_to_the_papers_entry_for_a_bibliography(results_folder, drawn):
    entry = results_folder.parent.parent / "CITATION.cff"
    assert "CITATION" not in write_report(results_folder, drawn).read_text(encoding="utf-8")
    entry.write_text("cff-version: 1.2.0")
    page = parse(write_report(results_folder, drawn))
    assert {"#paper", "../../CITATION.cff"} <= set(page.links)
    assert yaml.safe_load((PROJECT / "CITATION.cff").read_text())["preferred-citation"]["title"] == PAPER


def test_the_data_of_a_figure_of_one_seed_is_that_seed(results_folder):
    results = Results.read(results_folder)
    seeds = [seed for run in results.all_runs() for seed in [run["seed"]]]
    assert measured_over(EXHIBITS["confusion"], results).endswith(f"seed {min(seeds)}")
    assert measured_over(EXHIBITS["classes"], results).endswith(f"seeds {', '.join(map(str, sorted(set(seeds))))}")


def test_a_table_of_another_benchmark_leads_to_the_notebook_and_names_the_scans_of_its_panel(results_folder):
    default = load_profile("default")
    params = default.model_copy(update={"seeds": (7,), "data": default.data.model_copy(update={"layout": "waymo"})})
    write_results(results_folder / "panels" / "waymo", params, ("teacher", "plain", "full"))
    (results_folder / "notebooks").mkdir()
    for name in ("45_panels-nuscenes", "45_panels-waymo", "30_student-full-seed0", "30_student-kd-seed0"):
        (results_folder / "notebooks" / f"{name}.html").touch()
    results = Results.read(results_folder)
    (text, address), *_ = sources(EXHIBITS["table4"], results)
    assert (text, address) == ("executed notebook 45_panels", "notebooks/45_panels-waymo.html")
    assert measured_over(EXHIBITS["table4"], results).startswith("synthetic street world in the Waymo")
    assert measured_over(EXHIBITS["table4"], results).endswith("seed 7")
    assert sources(EXHIBITS["table7"], results)[0][0] == "executed notebook 30_student (one of 2: full-seed0)"
    assert "cube" in measured_over(EXHIBITS["figure6"], results)  # what no scan is behind says so


def test_text_is_escaped():
    assert str(prose("a < b & `c<d>`")) == "a &lt; b &amp; <code>c&lt;d&gt;</code>"


def test_figures_without_their_results_are_none(empty_folder, results_folder):
    nothing, results = Results.read(empty_folder), Results.read(results_folder)
    for draw in (figures.ablation_figure, figures.validation_figure, figures.class_figure):
        assert draw(nothing) is None and draw(results) is not None
    assert figures.measured_glance(nothing) is None
    matplotlib.pyplot.close("all")


def test_shares_of_gradients_are_drawn_if_every_run_measured_them(results_folder):
    results = Results.read(results_folder)
    assert figures.share_figure(results) is None and facts.gradients(results) == ""
    weight = {"weight": [0.1, 0.1], "parameters": [0.2, 0.05]}
    measured = {"step": [0, 50], "terms": {"seg": {"parameters": [2.0, 1.0]}, "topo": weight, "kd": weight}}
    for run in results.runs["full"].values():
        run["history"]["gradients"] = measured
    (steps, percent) = figures.gradient_shares(results)["full"]["topo"]
    assert steps == [0, 50]
    np.testing.assert_allclose(percent, [[1.0, 0.5]] * len(results.runs["full"]))
    sentence = facts.gradients(results)
    assert "L_topo 0.75 %" in sentence and sentence.endswith("says nothing about larger weights: L_topo and L_kd.")
    figure = figures.share_figure(results)
    (panel,) = figure.axes
    expected = [results.rows[row].color for row in ("kd_topo", "kd")]  # as the rows that add these terms
    assert [line.get_color() for line in panel.lines[:2]] == expected
    assert [line.get_color() for line in figure.legends[0].get_lines()] == expected
    matplotlib.pyplot.close("all")


def test_figure_one_uses_the_papers_cells(results_folder):
    panels = figures.reported_glance().panels
    assert [values["Student (paper)"] for values in panels.values()] == [78.2, 73.1, 69.5, 27.64, 2.78]
    assert panels["nuScenes mIoU (%)"]["Teacher (paper)"] is None
    measured = figures.measured_glance(Results.read(results_folder))
    assert measured.panels["parameters (M)"]["Teacher"] == pytest.approx(1.2)


def test_figures_are_byte_stable(results_folder, tmp_path):
    results = Results.read(results_folder)
    for name in ("one", "two"):
        save_figure(figures.glance_figure(results), tmp_path / name)
    matplotlib.pyplot.close("all")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_statistics_of_the_scans_name_the_real_ones_that_they_are_compared_with(results_folder):
    results = Results.read(results_folder)
    assert results.params.data.dataset == "synthetic"
    assert "34 scans of SemanticKITTI" in facts.compared_scans(results)
    data = results.params.data.model_copy(update={"dataset": "semantickitti"})
    real = dataclasses.replace(results, params=results.params.model_copy(update={"data": data}))
    assert "validation split" in facts.compared_scans(real)
