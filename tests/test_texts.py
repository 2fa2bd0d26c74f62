"""Text of strangers, short and printable."""

from __future__ import annotations

from pathlib import Path

from colinear.texts import clean_name, listed, printable, short_number, shorten, shown_path


def test_bytes_that_are_no_utf_8_are_written_out() -> None:
    assert printable("caf\udce9\x07") == r"caf\udce9\x07"


def test_words_are_short_and_print() -> None:
    assert shorten("plain") == "plain"
    assert shorten("a\x1b[31m\nb\udcff") == "a\\x1b[31m\\nb\\udcff"
    assert shorten("a" * 60) == "a" * 60
    assert shorten("a" * 61) == "a" * 59 + "…"
    assert len(shorten("\x00" * 10**7)) == 60
    assert listed("abc", 3) == "a, b, c"
    assert listed("abcd", 3) == "a, b, c, ..."
    assert len(listed(["\n" * 1000] * 1000)) < 170


def test_a_long_path_keeps_its_end() -> None:
    assert shown_path(Path("a/b.png")) == "a/b.png"
    assert shown_path(Path("n" * 1000) / "b.png") == "…" + "n" * 153 + "/b.png"
    assert shown_path(Path("a\nb\udce9")) == "a\\nb\\udce9"


def test_names_that_are_not_utf8_can_be_written() -> None:
    assert clean_name("café") == "café"
    assert clean_name("caf\udce9").encode() == b"caf\\xe9"


def test_a_number_has_one_form_and_is_rounded_before_the_form_is_chosen() -> None:
    values = {
        1e-3: "0.001",
        3.1623e-4: "3.16e-4",
        0.00099999: "0.001",
        99999.0: "1e5",
        12345.6: "12300",
        1e-10: "1e-10",
    }
    assert {value: short_number(value) for value in values} == values
    assert (short_number(0.47004612, 6), short_number(float("inf")), short_number(-2.5e-7)) == (
        "0.470046",
        "inf",
        "-2.5e-7",
    )
