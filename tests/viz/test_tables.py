"""Tables of notebooks: nothing is cut off, and equal tables give equal pages."""

import pandas as pd

from topokd.viz.tables import full_table


def test_long_words_are_whole_and_equal_tables_give_equal_pages():
    words = "Which weights should the default profile use, " * 8
    frame = pd.DataFrame({"Asks": [words], "Runs": ["26 of 26"]})
    assert words.strip() not in frame._repr_html_()  # pandas alone cuts it
    text = full_table(frame, "protocols").to_html()
    assert words.strip() in text and "text-align: left" in text
    assert text == full_table(frame.copy(), "protocols").to_html()
    assert "row_heading" not in text  # the numbers of the rows say nothing


def test_numbers_have_thousands_and_gaps_are_dashes():
    frame = pd.DataFrame({"parameters": [46_159_507], "reported": [float("nan")]}, index=["encoder"])
    text = full_table(frame, "cost").to_html()
    assert "46,159,507" in text and "–" in text and "nan" not in text and "encoder" in text
