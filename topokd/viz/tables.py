"""Tables of notebooks as people read them."""

from __future__ import annotations

import pandas as pd
from pandas.io.formats.style import Styler


def full_table(frame: pd.DataFrame, name: str) -> Styler:
    """A table with every word of its cells, which pandas would cut off at 50 letters; without the numbers of its rows.

    Fractions have two decimals, whole numbers their thousands apart, and a missing number is a dash.

    Args:
        frame: the table; an index of names is kept.
        name: name of the table, for its identifiers in the page: equal tables give equal pages.

    Examples:
        >>> frame = pd.DataFrame({"parameters": [46_159_507, 1], "ratio": [16.62, float("nan")]}, index=["all", "one"])
        >>> text = full_table(frame, "example").to_html()
        >>> "46,159,507" in text, "16.62" in text, "nan" in text
        (True, True, False)
    """
    style = frame.style.set_uuid(name).format(na_rep="–", precision=2, thousands=",")
    numbers = frame.select_dtypes("number").columns
    words = [column for column in frame.columns if column not in numbers]
    style = style.set_properties(subset=words, **{"text-align": "left", "white-space": "normal", "max-width": "36em"})
    heads = [{"selector": f".col{frame.columns.get_loc(column)}", "props": "text-align: left"} for column in words]
    style = style.set_table_styles(heads)
    return style.hide(axis="index") if isinstance(frame.index, pd.RangeIndex) else style
