"""Fields in names of files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.sweep.pattern import Pattern, expand, natural

PARTS = st.text("ab-.7", min_size=1, max_size=6)


@given(st.lists(st.text("a-.7", max_size=2), min_size=2, max_size=4), PARTS)
def test_a_component_fits_as_it_would_a_regular_expression(texts: list[str], name: str) -> None:
    pattern = Pattern(f"{texts[0]}{''.join(f'{{f{n}}}{text}' for n, text in enumerate(texts[1:]))}")
    wanted = re.fullmatch("(.+?)".join(map(re.escape, texts)), name)
    found = pattern.read(name)
    assert (found is None) == (wanted is None)
    if found is not None:
        assert "".join(str(one) for one in found.values()) != ""
        # fields and texts make the name again: numbers without their leading zeros
        values = [wanted[n + 1] for n in range(len(texts) - 1)] if wanted else []
        assert len(values) == len(found)


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        ("{dataset}/layer-{layer}.npz", "deep/birds/layer-07.npz", {"dataset": "birds", "layer": 7}),
        ("layer-{layer}.npz", "birds/layer-b.npz", {"layer": "b"}),
        ("{data}-*.npz", "a-b-c.npz", {"data": "a"}),
        ("{a}-{b}", "1-2-3", {"a": 1, "b": "2-3"}),
        ("{a}.npz", "1234567890.npz", {"a": "1234567890"}),
    ],
)
def test_fields_are_read(pattern: str, path: str, fields: dict[str, object]) -> None:
    assert Pattern(pattern).read(path) == fields


@pytest.mark.parametrize("path", ["layer-.npz", "layer-1.npy", "xlayer-1.npz", "birds/layer-1/x.npz", "", "x"])
def test_what_does_not_fit_has_no_fields(path: str) -> None:
    assert Pattern("layer-{layer}.npz").read(path) is None
    assert Pattern("{dataset}/layer-{layer}.npz").read("layer-1.npz") is None


def test_a_long_name_against_many_fields_takes_no_time() -> None:
    many = "".join(f"{{f{n}}}a" for n in range(20))
    assert Pattern(many + "b").read("a" * 255) is None  # a regular expression would try 255 over 20 ways


@pytest.mark.parametrize(
    ("text", "words"),
    [("plain.npz", "1 to 20 fields"), ("{1}", "has {1}"), ("{loss}.npz", "has {loss}"), ("{a}{a}", "{a} twice"),
     ("{}", "has {}"), ("{" + "a" * 50 + "}", "Call it otherwise")],
)  # fmt: skip
def test_no_pattern(text: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        Pattern(text)


def test_files_that_fit_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("layer-10.npz", "layer-2.npz", "layer-.npz", "other-1.npz", "layer-[1].npz"):
        (tmp_path / name).touch()
    found = expand(f"{tmp_path}/layer-{{layer}}.npz")
    assert [(Path(path).name, fields["layer"]) for path, fields in found] == [
        ("layer-2.npz", 2), ("layer-10.npz", 10), ("layer-[1].npz", "[1]"),
    ]  # fmt: skip
    assert expand("digits", frozenset({"digits"})) == [("digits", {})]
    literal = tmp_path / "{a}.npz"
    literal.touch()
    assert expand(str(literal)) == [(str(literal), {})]
    with pytest.raises(InputError, match="no files fit"):
        expand(f"{tmp_path}/nothing-{{layer}}.npz")


def test_signs_of_a_pattern_of_the_shell_are_texts(tmp_path: Path) -> None:
    (tmp_path / "[ab]-1.npz").touch()
    (tmp_path / "a-1.npz").touch()
    assert [fields for _, fields in expand(f"{tmp_path}/[ab]-{{n}}.npz")] == [{"n": 1}]


@given(st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text("a1-é٣", max_size=5))))
def test_everything_has_an_order(values: list[object]) -> None:
    ordered = sorted(values, key=natural)
    numbers = [one for one in ordered if isinstance(one, int | float)]
    assert numbers == sorted(numbers)
