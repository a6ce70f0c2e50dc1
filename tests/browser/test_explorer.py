"""The explorers' pages in a real browser: what is drawn is right, quick, linked, and can be saved."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page

from tests.browser.chromium import NEEDS_CHROMIUM
from tests.browser.explorer_pages import APP, READY, circle, longest, middle, open_page
from tests.browser.timing import CHOICES, SLIDER_STEPS
from topokd.explore import Session
from topokd.explore.page import STEPS
from topokd.explore.sources import bare_scan
from topokd.topology import farthest_point_sampling, vietoris_rips

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(900)]

SLIDE = """(share) => {
  const slider = document.querySelector('.tk-scale');
  slider.value = 1000 * share;
  slider.dispatchEvent(new Event('input'));
}"""


def picture(page: Page, name: str) -> None:
    """Save a screenshot in the folder $TOPOKD_SCREENSHOTS, if set."""
    if os.environ.get("TOPOKD_SCREENSHOTS"):
        page.screenshot(path=str(Path(os.environ["TOPOKD_SCREENSHOTS"]) / name))


def test_slider_diagram_barcode_and_cloud_answer_one_another(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(90), 90)
    page.wait_for_function(READY)
    cloud = page.locator(".tk-cloud .tk-body")
    before = cloud.screenshot()
    page.evaluate(SLIDE, 0.6)
    page.wait_for_timeout(500)
    assert cloud.screenshot() != before
    assert re.search(r"[\d.]+: [\d,]+ of 4,005 edges, [\d,]+ triangles", page.locator(".tk-words").inner_text())
    assert page.locator(".tk-value").text_content() == "β₀ = 1   β₁ = 1"
    index = longest(page)
    lit = cloud.screenshot()
    page.mouse.click(*middle(page, f".tk-point[data-dim='1'][data-index='{index}']"))
    page.wait_for_selector(".tk-chosen-bar", state="attached")
    assert re.match(
        rf"H1 #{index}, born at .* representative cycle of \d+ edges", page.locator(".tk-info").inner_text()
    )
    page.wait_for_timeout(500)
    assert cloud.screenshot() != lit
    picture(page, "page-filtration.png")
    box = page.locator(".tk-barcode .tk-body").bounding_box()
    assert box is not None
    path = page.locator(".tk-bars").first.get_attribute("d")
    x, y = re.match(r"M([\d.]+),([\d.]+)", path or "").groups()  # type: ignore[union-attr]
    page.mouse.click(box["x"] + float(x) + 3, box["y"] + float(y))  # a bar of degree 0
    page.wait_for_function("document.querySelector('.tk-info').textContent.startsWith('H0')")
    assert page.locator(".tk-chosen").count() == 1
    page.evaluate(f"{APP}.panels.pickPoint(0, 5)")
    held = page.evaluate(f"{APP}.store.get('selected')")
    assert held is not None


def test_a_step_of_the_slider_over_all_edges_of_1024_points(page: Page, problems: list[str], tmp_path: Path):
    """Half a million edges; benchmarks/explorer.md has the times. The bounds allow for a machine that others use."""
    points = np.random.default_rng(0).normal(size=(1024, 16))
    open_page(page, tmp_path / "page.html", "filtration", points, 1024)
    assert "of 523,776 edges" in page.locator(".tk-words").inner_text()
    page.wait_for_timeout(3000)
    times, picked = sorted(page.evaluate(SLIDER_STEPS)), sorted(page.evaluate(CHOICES))
    picture(page, "page-1024.png")
    print(f"slider: {times[0]:.1f} to {times[-1]:.1f} ms; choice: {picked[0]:.1f} to {picked[-1]:.1f} ms")
    assert times[0] < 250
    assert picked[0] < 500


def test_simplices_wait_while_the_reader_moves_the_slider_or_chooses(page: Page, problems: list[str], tmp_path: Path):
    """Drawing more of them would keep the new scale or choice from the screen; they go on when the reader rests."""
    open_page(page, tmp_path / "page.html", "filtration", circle(40), 40)
    page.wait_for_function(READY)
    page.evaluate(
        f"""() => {{  // as if there were too many simplices to draw in this test
          const {{ cover }} = {APP}.panels.views[0], layer = Object.values(cover.layers)[0];
          layer.count += 1;
          window.times = [];
          cover.advance = () => window.times.push(performance.now());
        }}"""
    )
    reader = f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: 0 }} }})"
    for act in (f"({SLIDE})(0.4)", f"({SLIDE})(0.6)", reader):
        rest = page.evaluate(
            f"""async () => {{
              const app = {APP}, start = performance.now();
              {act};
              await new Promise((done) => setTimeout(done, 500));
              return window.times.filter((time) => time > start)[0] - start;
            }}"""
        )
        assert rest > 150, act  # milliseconds; and they do go on


@pytest.mark.parametrize(("n", "most"), [(26, 60_000), (40, 700)])
def test_triangles_are_listed_in_the_order_of_the_filtration(
    page: Page, problems: list[str], tmp_path: Path, n: int, most: int
):
    """Against all triples of points: the triangles, the edge that completes each, and their number at every edge."""
    open_page(page, tmp_path / "page.html", "filtration", np.random.default_rng(n).normal(size=(n, 4)), n)
    listed = page.evaluate(
        f"""(() => {{
          const cloud = {{ ...{APP}.store.get('scene').clouds[0] }};
          {APP}.listTriangles(cloud, {most});
          const keys = ['edges', 'entered', 'triangles', 'completed_by'];
          return Object.fromEntries(keys.map((key) => [key, Array.from(cloud[key])]));
        }})()"""
    )
    edges = [tuple(sorted(edge)) for edge in np.array(listed["edges"]).reshape(-1, 2).tolist()]
    rank = {edge: k for k, edge in enumerate(edges)}
    expected = sorted((max(rank[e] for e in combinations(t, 2)), t) for t in combinations(range(n), 3))
    counts = np.bincount([k for k, _ in expected], minlength=len(edges)).cumsum()
    assert listed["entered"] == counts.tolist()
    fits = int(counts[counts <= most].max())  # no edge is cut in two
    assert listed["completed_by"] == [k for k, _ in expected[:fits]]
    assert np.array(listed["triangles"]).reshape(-1, 3).tolist() == [list(t) for _, t in expected[:fits]]


def test_the_cycle_of_a_chosen_class_is_the_library_s(page: Page, problems: list[str], tmp_path: Path):
    points = np.random.default_rng(1).normal(size=(30, 4))
    open_page(page, tmp_path / "page.html", "filtration", points, 30)
    cloud = page.evaluate(f"Array.from({APP}.store.get('scene').clouds[0].positions)")
    pairs = page.evaluate(f"Array.from({APP}.store.get('scene').clouds[0].pairs[1].values)")
    index = longest(page)
    page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: {index} }} }})")
    lit = page.evaluate(
        f"""(() => {{
          const lines = {APP}.panels.selectionLines(0, {APP}.store.get('scene').clouds[0].positions, 1);
          return lines.filter((line) => line[3] === 2.4).map(([from, to]) => [from, to]);
        }})()"""
    )
    order = farthest_point_sampling(torch.from_numpy(points), 30)
    persistence = vietoris_rips(torch.from_numpy(points)[order], cycles=True)
    assert np.array(pairs).reshape(-1, 2) == pytest.approx(persistence.diagrams[1].numpy())
    assert persistence.cycles is not None
    expected = np.array(cloud).reshape(-1, 3)[persistence.cycles[index].numpy()]
    assert np.array(lit) == pytest.approx(expected)
    assert f"representative cycle of {len(expected)} edges" in page.locator(".tk-info").inner_text()


def test_a_cloud_of_many_dimensions_opens_at_a_scale_with_edges(page: Page, problems: list[str], tmp_path: Path):
    """Its distances are nearly equal, so the first third of the scale is empty."""
    open_page(page, tmp_path / "page.html", "filtration", np.random.default_rng(0).normal(size=(100, 16)), 100)
    words = re.search(r": ([\d,]+) of 4,950 edges", page.locator(".tk-words").inner_text())
    assert words is not None and 50 <= int(words[1].replace(",", "")) <= 1000
    value, curve = page.locator(".tk-value").bounding_box(), page.locator(".tk-curve").first.bounding_box()
    assert value is not None and curve is not None and value["y"] + value["height"] <= curve["y"] + 1  # not crossed out


def test_the_loss_shows_matches_and_steps(page: Page, problems: list[str], tmp_path: Path):
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(48, 6))
    student = teacher + rng.normal(0, 0.3, teacher.shape)
    open_page(page, tmp_path / "page.html", "loss", (student, teacher), 48)
    page.wait_for_function(READY)
    assert page.locator(".tk-match").count() > 10
    numbers = page.locator(".tk-table td:not([colspan])").all_inner_texts()
    assert len({len(number.partition(".")[2]) for number in numbers}) == 1 and "e" not in "".join(numbers)
    first = float(page.locator(".tk-total td").last.inner_text())
    cloud = page.locator(".tk-cloud-0 .tk-body").screenshot()
    page.click(".tk-step")
    page.wait_for_selector(".tk-explorer[data-step='1']")
    page.wait_for_timeout(500)
    assert float(page.locator(".tk-total td").last.inner_text()) < first
    assert page.locator(".tk-cloud-0 .tk-body").screenshot() != cloud
    index = longest(page, cloud=1)
    page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 1, dim: 1, index: {index} }} }})")
    assert re.search(r"matched with .*: cost \S+ × weight \S+ = \S+\.$", page.locator(".tk-info").inner_text())
    picture(page, "page-loss.png")


def test_a_class_of_the_teacher_is_marked_in_the_scan_with_its_own_simplices(
    page: Page, problems: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(0)
    teacher, xyz, scene = rng.normal(size=(40, 4)), rng.normal(size=(40, 3)), Session.scene

    def with_a_scan(session: Session) -> dict[str, Any]:
        return {**scene(session), "scan": {**bare_scan(xyz), "anchors": xyz.astype(np.float32)}}

    monkeypatch.setattr(Session, "scene", with_a_scan)
    open_page(page, tmp_path / "page.html", "loss", (rng.normal(size=(40, 4)), teacher), 40)
    index = longest(page, cloud=1)
    lines = page.evaluate(
        f"""(() => {{
          const drawn = [], panels = {APP}.panels;
          panels.scans[0].setStrokes = (lines) => drawn.push(...lines.filter(Array.isArray));
          {APP}.store.set({{ selected: {{ cloud: 1, dim: 1, index: {index} }} }});
          return drawn.map(([from, to]) => [from, to]);
        }})()"""
    )
    edge = re.search(
        r"born at \S+ with edge (\d+)–(\d+), .* cycle of (\d+) edges", page.locator(".tk-info").inner_text()
    )
    assert edge is not None
    anchors = np.array(page.evaluate(f"Array.from({APP}.store.get('scene').scan.anchors)")).reshape(-1, 3)
    assert np.array(lines[-1]) == pytest.approx(
        anchors[[int(edge[1]), int(edge[2])]]
    )  # the creating edge is drawn last
    assert len(lines) == int(edge[3]) + 3 + 1  # cycle, triangle, creating edge


def test_the_point_that_creates_a_component_is_marked(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(30), 30)
    page.wait_for_function(READY)
    page.evaluate(f"{APP}.store.set({{ epsilon: 0, components: false }})")
    orange = []
    for selected in ("null", "{ cloud: 0, dim: 0, index: 3 }"):
        page.evaluate(f"{APP}.store.set({{ selected: {selected} }})")
        page.wait_for_timeout(500)
        pixels = np.asarray(Image.open(io.BytesIO(page.locator(".tk-cloud canvas").screenshot())).convert("RGB"))
        orange.append(int((np.abs(pixels.astype(int) - [0xE0, 0x8A, 0x00]).max(axis=2) < 12).sum()))
    assert orange[0] == 0 and 40 < orange[1] < 200


def test_a_page_offers_no_step_that_it_does_not_hold(page: Page, problems: list[str], tmp_path: Path):
    teacher = np.random.default_rng(0).normal(size=(24, 6))
    open_page(page, tmp_path / "page.html", "loss", (teacher[::-1].copy(), teacher), 24)
    assert page.locator(".tk-loss-panel input:visible, .tk-loss-panel select:visible").count() == 0
    assert "3 % of the cloud's size, critical gradient" in page.locator(".tk-loss-panel").inner_text()
    one, some, again = page.locator(".tk-loss-panel button").all()
    assert some.inner_text() == f"{STEPS} steps"
    one.click()
    assert some.inner_text() == f"{STEPS - 1} steps"
    some.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f".tk-explorer[data-step='{STEPS}']")
    assert one.is_disabled() and some.is_disabled() and some.inner_text() == "no steps left"
    assert page.evaluate("document.activeElement.textContent") == "start again"
    assert page.locator(".tk-status").inner_text() == (
        f"This page holds {STEPS} steps of 3 %; use a notebook for more."
    )
    assert page.locator(".tk-history circle").count() == STEPS + 1
    again.click()
    page.wait_for_selector(".tk-explorer[data-step='0']")
    assert one.is_enabled() and some.inner_text() == f"{STEPS} steps"
    assert page.locator(".tk-status").inner_text() == ""


def test_a_phone_is_wide_enough_for_the_loss_in_numbers(page: Page, problems: list[str], tmp_path: Path):
    teacher = np.random.default_rng(0).normal(size=(192, 6))
    open_page(page, tmp_path / "page.html", "loss", (teacher[::-1].copy(), 1e-2 * teacher), 192)
    page.set_viewport_size({"width": 390, "height": 1000})
    assert "moves 192 of 192 points" in page.locator(".tk-total").inner_text()
    page.wait_for_function("document.documentElement.scrollWidth <= 390", timeout=5000)  # pictures are drawn first
    page.set_viewport_size({"width": 1440, "height": 1000})


def test_a_street_opens_seen_from_above_with_its_longer_side_across(page: Page, problems: list[str], tmp_path: Path):
    street = np.random.default_rng(0).uniform(-1, 1, (60, 3)) * [10, 50, 2]
    open_page(page, tmp_path / "street.html", "filtration", street, 60)
    camera = f"{APP}.panels.cameras[0]"
    assert page.evaluate(f"{camera}.pitch") > 0.9
    across, along = page.evaluate(f"(() => {{ const {{ right }} = {camera}.axes(); return [right[1], right[0]]; }})()")
    assert abs(across) > 0.9 > abs(along)
    open_page(page, tmp_path / "ball.html", "filtration", street * [5, 1, 25], 60)
    assert page.evaluate(f"{camera}.pitch") < 0.6


def test_a_choice_is_drawn_in_a_layer_of_its_own(page: Page, problems: list[str], tmp_path: Path):
    """Otherwise all points of the diagram are painted again: 150 ms at 1,024 points."""
    open_page(page, tmp_path / "layer.html", "filtration", np.random.default_rng(0).normal(size=(40, 3)), 40)
    page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: 0 }} }})")
    for mark in (".tk-chosen", ".tk-chosen-bar"):
        assert page.locator(mark).count() == page.locator(f".tk-over {mark}").count() == 1


def test_a_sample_says_of_how_many_points_it_is(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(1200), 24)
    assert ": 24 of 1,200 points" in page.locator(".tk-cloud h3").inner_text()
    open_page(page, tmp_path / "all.html", "filtration", circle(24), 24)
    assert ": 24 points" in page.locator(".tk-cloud h3").inner_text()
    teacher = np.random.default_rng(0).normal(size=(50, 6))
    open_page(page, tmp_path / "loss.html", "loss", (teacher[::-1].copy(), teacher), 24)
    captions = page.locator(".tk-cloud h3").all_inner_texts()
    assert len(captions) == 2 and all(": 24 of 50 points" in caption for caption in captions)


def test_nothing_of_a_caption_is_cut_and_saving_is_one_group(page: Page, problems: list[str], tmp_path: Path):
    points = tmp_path / f"{'a long name of a network ' * 4}.npy"
    np.save(points, np.random.default_rng(0).normal(size=(24, 6)))
    open_page(page, tmp_path / "page.html", "filtration", points, 24)
    for width in (1440, 1090, 390):
        page.set_viewport_size({"width": width, "height": 1000})
        caption = page.locator(".tk-cloud h3")
        assert "first 3 principal axes of 6" in caption.inner_text()
        assert caption.evaluate(
            "(h3) => h3.scrollWidth <= h3.clientWidth && getComputedStyle(h3).whiteSpace === 'normal'"
        )
        boxes = [page.get_by_role("button", name=name, exact=True).bounding_box() for name in ("SVG", "PNG", "CSV")]
        assert len({box["y"] for box in boxes if box}) == 1, width
    page.set_viewport_size({"width": 1440, "height": 1000})


def test_the_title_of_the_history_does_not_cover_its_numbers(page: Page, problems: list[str], tmp_path: Path):
    teacher = np.random.default_rng(0).normal(size=(24, 6))
    for scale in (0.02, 0.2, 2.0):
        open_page(page, tmp_path / "loss.html", "loss", (scale * teacher[::-1] + scale, scale * 0.9 * teacher), 24)
        texts = page.locator(".tk-history text").all()
        boxes = {text.text_content(): text.bounding_box() for text in texts}
        title = boxes.pop("L_topo")
        assert title is not None and title["x"] >= page.locator(".tk-history").bounding_box()["x"]  # type: ignore[index]
        numbers = [box for box in boxes.values() if box and box["x"] < title["x"] + 60]
        assert numbers and all(box["x"] >= title["x"] + title["width"] - 1 for box in numbers), (scale, list(boxes))


def words_of(svg: bytes) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]+)</text>", svg.decode())]


def test_a_saved_picture_has_captions_legends_and_numbers(page: Page, problems: list[str], tmp_path: Path):
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(24, 6))
    open_page(page, tmp_path / "loss.html", "loss", (teacher + rng.normal(0, 0.3, teacher.shape), teacher), 24)
    words = words_of(saved(page, "SVG"))
    for text in (
        "L_topo",
        "teacher → student (Eq. 2)",
        "the loss in numbers",
        page.locator(".tk-total td").last.inner_text(),
    ):
        assert text in words
    assert "student: 24 points, first 3 principal axes of 6" in words
    open_page(page, tmp_path / "scene.html", "scene", rng.normal(size=(90, 3)), 24)
    page.wait_for_function(READY)
    words = words_of(saved(page, "SVG"))
    assert {"scan own points, coloured by", "height", "low", "high", "persistence diagram"} <= set(words)
    assert not any("click" in text for text in words)  # nobody can click in a picture


def saved(page: Page, name: str) -> bytes:
    """What a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(download.value.path()).read_bytes()


def test_pictures_and_data_are_saved(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(40), 40)
    files = {name: saved(page, name) for name in ("SVG", "PNG", "CSV")}
    assert files["PNG"].startswith(b"\x89PNG") and len(files["PNG"]) > 20_000
    assert b"data:image/png;base64" in files["SVG"] and files["SVG"].count(b"<circle") > 39
    rows = list(csv.DictReader(files["CSV"].decode().splitlines()))
    assert len(rows) == 40 + sum(row["degree"] == "1" for row in rows)
    assert sum(row["death"] == "inf" for row in rows) == 1
    assert json.loads(json.dumps(rows[0]))["death_simplex"].count("-") == 1


def test_a_scene_turns_both_scans_together(page: Page, problems: list[str], tmp_path: Path):
    xyz = np.random.default_rng(0).normal(size=(400, 3)) * [10, 8, 1]
    open_page(page, tmp_path / "page.html", "scene", xyz, 60)
    page.wait_for_function(READY)
    scan = page.locator(".tk-scan .tk-body").first
    before = scan.screenshot()
    box = scan.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 230, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    turned = scan.screenshot()
    assert turned != before
    page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: {longest(page)} }} }})")
    page.wait_for_timeout(500)
    lit = scan.screenshot()
    assert lit != turned  # the class lights up in the scan too
    page.evaluate(f"{APP}.store.set({{ selected: null }})")
    page.wait_for_timeout(500)
    assert scan.screenshot() == turned  # and its points are as before
    picture(page, "page-scene.png")


def test_a_kernel_that_is_gone_or_refuses_is_reported_and_the_menus_go_back(
    page: Page, problems: list[str], tmp_path: Path
):
    teacher = np.random.default_rng(0).normal(size=(24, 6))
    open_page(page, tmp_path / "loss.html", "loss", (teacher[::-1].copy(), teacher), 24)
    menu = [{"name": "engine", "label": "engine", "value": "auto", "options": ["auto", "other"]}]
    page.evaluate(f"(menu) => {{ {APP}.model.set('choosers', menu) }}", menu)
    page.evaluate(f"(() => {{ {APP}.model.send = () => {{ throw Error('Cannot send') }} }})()")  # as JupyterLab's does
    page.select_option("select[name='engine']", '"other"')
    assert page.locator(".tk-failed").inner_text().startswith("The kernel that computed this has stopped")
    assert page.locator("select[name='engine']").input_value() == '"auto"'
    refuse = "{ model.set('failed', true); model.set('status', 'no') }"
    page.evaluate(f"(() => {{ const {{ model }} = {APP}; model.send = () => {refuse} }})()")
    page.select_option("select[name='engine']", '"other"')
    assert page.locator(".tk-failed").inner_text() == "no"
    assert page.locator("select[name='engine']").input_value() == '"auto"'
