"""The transcription equals the paper's tables, cell by cell."""

import re

import numpy as np
import pytest

from topokd.paper import reported

CAPTIONS = {n: rf"^Table {n}: " for n in range(1, 9)}
NAMED = ("ptv3", "student", "ours")


def plain(text):
    """LaTeX and HTML markup of paper.md as plain characters, without spaces."""
    for latex, character in (("\\sim", "~"), ("\\times", "×"), ("\\approx", "≈"), ("_{add}", "_add")):
        text = text.replace(latex, character)
    return re.sub(r"\s|\$|</?i>", "", text)


@pytest.fixture(scope="module")
def printed(shared):
    """Tables of paper.md: the block of tab-separated lines above each caption."""
    lines = (shared / "paper" / "paper.md").read_text(encoding="utf-8").splitlines()
    tables = {}
    for number, pattern in CAPTIONS.items():
        end = next(i for i, line in enumerate(lines) if re.match(pattern, line))
        end = max(i for i in range(end) if "\t" in lines[i]) + 1
        start = end - 1
        while "\t" in lines[start - 1]:
            start -= 1
        tables[number] = [[plain(cell) for cell in line.split("\t")] for line in lines[start:end]]
    return tables


@pytest.mark.parametrize("number", [1, 2, 3])
def test_tables_1_to_3_equal_the_paper(printed, number):
    header, *rows = printed[number]
    ours = reported.load(f"table{number}")
    assert header[1:] == [plain(c) for c in ours.columns[1:]]
    assert len(rows) == len(ours)
    for row, (name, cells) in zip(rows, ours.iterrows(), strict=True):
        label = re.sub(r"\(LC\)$", "", row[0])
        assert label == plain(re.sub(r" \(LC\)$", "", name) + cells["reference"])
        assert row[0].endswith("(LC)") == name.endswith("(LC)")
        assert row[1:] == [plain(c) for c in cells.iloc[1:]], name


def test_table_4_equals_the_paper(printed):
    _, *rows = printed[4]
    ours = reported.load("table4")
    assert len(rows) == len(ours)
    for row, (name, cells) in zip(rows, ours.iterrows(), strict=True):
        wanted = [name + cells["reference"], cells["Input"], f"{cells['mIoU test']}/{cells['mIoU val']}"]
        assert row == [plain(c) for c in wanted]


def test_tables_5_and_6_equal_the_paper(printed):
    for number in (5, 6):
        _, *rows = printed[number]
        ours = reported.load(f"table{number}")
        assert len(rows) == len(ours)
        for row, (name, cells) in zip(rows, ours.iterrows(), strict=True):
            note = f"^{cells['note']}" if number == 6 and cells["note"] else ""
            assert row[0] == plain(name) + note
            assert row[1:] == [plain(c) for c in cells.iloc[1 if number == 6 else 0 :]]


def test_table_7_equals_the_paper(printed):
    _, *rows = printed[7]
    assert rows == reported.load("table7").to_numpy().tolist()
    marks = {"kd": "", "kd_topo": "topo", "kd_grad": "grad", "full": "topo grad"}
    for variant, row in reported.load("table7").iterrows():
        assert " ".join(c for c in ("topo", "grad") if row[c]) == marks[variant]


def test_table_8_equals_the_paper(printed):
    _, _, *rows = printed[8]
    ours = reported.load("table8").reset_index()
    assert rows == [[plain(c) for c in row] for row in ours.to_numpy()]


def test_every_quoted_claim_is_in_the_text_of_the_paper(shared):
    text = plain((shared / "paper" / "paper.md").read_text(encoding="utf-8")).replace("\\%", "%")
    for claim in reported.claims()["printed"]:
        assert plain(claim) in text, claim


def test_every_cell_has_a_number_or_a_reason():
    for table in reported.TABLES:
        cells = reported.cells(table)
        odd = cells[cells["value"].isna()]["printed"].unique()
        allowed = {"-", "—", "", "Infeasible (Timeout)", "Flash Attention", "Same", "2-4× smaller", "2-4× fewer"}
        words = {o for o in odd if o not in allowed}
        assert all(table == "table5" and not o[0].isdigit() for o in words), (table, words)


def test_known_disagreements_are_found():
    """NOTES rows 11 and 12, and the other contradictions."""
    conflicts = reported.disagreements()
    pairs = {(r["dataset"], r["printed"], r["tables"]) for _, r in conflicts.iterrows()}
    assert ("nuScenes", "78.2", "78.1%") in pairs
    assert ("SemanticKITTI", "71.5", "71.8%") in pairs
    assert {("Waymo", "69.2", "67.9%"), ("Waymo", "70.7", "68.7%"), ("Waymo", "71.5", "69.5%")} <= pairs
    assert ("", "1.9×", "1.664×") in pairs
    assert ("", "10,000×", "6743×") in pairs
    assert "Student with KD: mIoU" in set(conflicts["quantity"])


def test_quoted_values_are_parsed_with_their_units():
    assert reported.value("table6|LN (CUDA Memory)|Student") == pytest.approx(0.98543)
    assert reported.value("table8|60|naive forward") == 321.12
    assert np.isnan(reported.parse("(1, 1, 1, 2, 1)")[0])
    assert reported.parse("≈1.64× higher") == (1.64, "×")
