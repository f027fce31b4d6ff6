"""What is printed where a terminal, or what stands for one, is not as usual."""

import io
import json
import os
import subprocess
import sys

import pytest
import typer

from samecar.cli import console
from samecar.cli.console import NARROWEST, escape_unknown_signs, print_json, widen_narrow
from samecar.cli.main import Commands


def ascii_stream():
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)


def test_signs_that_a_stream_lacks_are_written_out():
    stream = ascii_stream()
    escape_unknown_signs(stream, io.StringIO(), None)
    print("224 × 224 é", file=stream)
    assert stream.buffer.getvalue() == b"224 \\xd7 224 \\xe9\n"


def test_json_stays_json_where_the_stream_lacks_signs(monkeypatch):
    stream = ascii_stream()
    escape_unknown_signs(stream)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json({"camera": "é×", "path": "a\udcff"})
    assert json.loads(stream.buffer.getvalue()) == {"camera": "é×", "path": "a?"}


@pytest.mark.parametrize(
    ("given", "kept"), [("0", "40"), ("1", "40"), ("40", "40"), ("200", "200"), ("abc", "abc"), ("", ""), ("-5", "-5")]
)
def test_columns_are_never_too_few_to_show_a_table(given, kept):
    assert NARROWEST == 40
    assert widen_narrow(given) == kept


def test_a_process_that_is_told_of_no_columns_prints_its_tables():
    code = "from samecar.cli import console; console.out.print('a text'); print(console.out.width)"
    environment = os.environ | {"COLUMNS": "0"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "a text\n40\n"


def test_full_memory_is_one_sentence_with_status_2(monkeypatch, capsys):
    said = []
    monkeypatch.setattr(console, "fail", said.append)
    app = typer.Typer(cls=Commands)

    @app.command()
    def work():
        raise MemoryError

    app.callback()(lambda: None)
    with pytest.raises(SystemExit) as ended:
        app(["work"])
    assert ended.value.code == 2
    assert said == ["memory is full; give this process more, or take smaller batches or fewer workers"]
