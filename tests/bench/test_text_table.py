from __future__ import annotations

from hypothesis import given, strategies as st

from bench.text_table import table


def test_a_table_is_markdown_with_its_columns_aligned() -> None:
    rows = [["work", "ours"], ["bulk", "1.50"], ["new connections", "1,200"]]
    assert table(rows, text_columns=1).split("\n") == [
        "| work            |  ours |",
        "| --------------- | ----: |",
        "| bulk            |  1.50 |",
        "| new connections | 1,200 |",
    ]


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(
                st.text("abc 123", max_size=9), min_size=columns, max_size=columns
            ),
            min_size=1,
            max_size=5,
        )
    ),
    st.integers(0, 5),
)
def test_every_line_is_as_long_as_the_others(
    rows: list[list[str]], text_columns: int
) -> None:
    lines = table(rows, text_columns=text_columns).split("\n")
    assert len(lines) == len(rows) + 1
    assert len({len(line) for line in lines}) == 1
