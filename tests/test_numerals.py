import pytest

from samecar.numerals import read_number, read_whole_number


@pytest.mark.parametrize(("text", "number"), [("3", 3), (" -12 ", -12), ("007", 7)])
def test_whole_numbers_are_read(text, number):
    assert read_whole_number(text) == number


@pytest.mark.parametrize(("text", "number"), [("0.25", 0.25), ("1e-3", 0.001), (" 4 ", 4)])
def test_numbers_are_read(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize("text", ["1_000", "٣", "１", "", "three", "0x10"])
def test_what_only_python_takes_is_refused(text):
    for read in (read_whole_number, read_number):
        with pytest.raises(ValueError, match=r"number|literal|convert"):
            read(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_number_is_finite(text):
    with pytest.raises(ValueError, match="finite"):
        read_number(text)
