"""Arrays that are built from their parts are those that pyarrow would have made."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.arrays import array_of

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    pa.string(): TEXT,
    pa.bool_(): st.booleans(),
    pa.int64(): INT64,
    pa.float64(): st.floats(allow_nan=False) | st.integers(-1000, 1000),
    pa.timestamp("us", tz="UTC"): INT64,
    pa.list_(pa.float64()): st.lists(st.floats(allow_nan=False), max_size=3),
    pa.struct([("a", pa.int64())]): st.fixed_dictionaries({"a": INT64}),
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_an_array_is_the_one_that_pyarrow_makes(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KINDS[kind], max_size=40))
    made = array_of(values, kind)
    made.validate(full=True)
    assert made.type == kind
    assert made.equals(pa.array(values, type=kind))
    assert made.null_count == values.count(None)


def test_what_is_not_a_number_stays_so() -> None:
    made = array_of([float("nan"), None, float("inf")], pa.float64())
    assert str(made.to_pylist()) == "[nan, None, inf]"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**63], pa.int64()),
        (["1"], pa.int64()),
        ([True, 1], pa.bool_()),
        ([1, "text"], pa.string()),
        ([{"a": 1}], pa.string()),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_as_pyarrow_refuses_it(values: list[object], kind: pa.DataType) -> None:
    refused = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)
    with pytest.raises(refused):
        pa.array(values, type=kind)
    with pytest.raises(refused):
        array_of(values, kind)


def test_plain_columns_do_not_import_pandas() -> None:
    code = (
        "import sys; import pyarrow as pa; from llm_jobs.arrays import array_of\n"
        "for values, kind in [(['a', None], pa.string()), ([1, None], pa.int64()), ([0.5], pa.float64()),\n"
        "                     ([True, None], pa.bool_()), ([5, None], pa.timestamp('us', tz='UTC'))]:\n"
        "    assert len(array_of(values, kind)) == len(values)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
