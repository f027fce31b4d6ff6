import os
import subprocess
import sys

import pytest

from samecar.cli import main

CODE = """
import os
from samecar.cli.main import prepare_libraries
prepare_libraries()
print(os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_THREAD_TIMEOUT"])
import numpy
import time
numpy.ones((999, 999)) @ numpy.ones((999, 999))
before = time.process_time()
time.sleep(0.05)
assert time.process_time() - before < 0.015, "threads spin while nothing is to be done"
"""


@pytest.mark.parametrize(
    ("own", "used"), [({}, "PASSIVE 4"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE 4")], ids=["nothing", "one"]
)
def test_threads_do_not_spin_unless_the_user_lets_them(own, used):
    settings = ("OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT")
    environment = {name: value for name, value in os.environ.items() if name not in settings}
    command = [sys.executable, "-c", CODE]
    finished = subprocess.run(command, env=environment | own, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == used


def test_an_interruption_while_the_commands_are_put_together_is_one_word(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupt)
    monkeypatch.setattr(main, "prepare_process", lambda: None)
    with pytest.raises(SystemExit, match="130"):
        main.main()
    assert capsys.readouterr().err == "error: interrupted\n"
