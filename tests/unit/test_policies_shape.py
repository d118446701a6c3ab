"""The shape of a field: equal only where the same would leave of every record."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.model import FieldRelease, Form, RowScope
from policies.shape import shape_of

EDGES = st.lists(st.integers(0, 10**9), max_size=4, unique=True).map(tuple)
FORMS = st.builds(
    Form,
    st.sampled_from(["value", "amount_band", "year_month"]),
    st.one_of(st.just(()), EDGES.map(lambda edges: (("edges", str(edges)),))),
)
RELEASES = st.builds(
    FieldRelease, st.sampled_from(["salary_base", "si_status"]), FORMS, st.sampled_from(["", "contributions"])
)
SCOPES = st.lists(
    st.builds(
        RowScope,
        st.sampled_from(["contributions", "hi_cards"]),
        st.sampled_from(["recent", "own_units"]),
        st.just("contribution_from"),
        st.integers(0, 60),
    ),
    max_size=2,
).map(tuple)


@given(RELEASES, SCOPES, RELEASES, SCOPES)
def test_two_shapes_are_equal_where_form_and_rows_are(
    one: FieldRelease, rows: tuple[RowScope, ...], other: FieldRelease, others: tuple[RowScope, ...]
) -> None:
    def seen(release: FieldRelease, scopes: tuple[RowScope, ...]) -> object:
        """The slow obvious twin: all that decides what leaves."""
        own = [scope for scope in scopes if release.group and scope.group == release.group]
        return release.form, sorted((scope.keep, scope.field, scope.months) for scope in own)

    assert (shape_of(one, rows) == shape_of(other, others)) == (seen(one, rows) == seen(other, others))


def test_a_shape_is_the_same_in_every_process() -> None:
    release = FieldRelease("salary_base", Form("amount_band", (("edges", (1, 2)),)), "contributions")  # type: ignore[arg-type]
    recent = RowScope("contributions", "recent", "contribution_from", 12)
    assert shape_of(release, (recent,)) == EXPECTED
    assert shape_of(release, (replace(recent, months=6),)) != EXPECTED


EXPECTED = "00aa08e8d7abd658e1645c2788b8eec33a2fff25388cd734526a128df36f1973"
