"""What docs/deploying.md shows: its container file, step by step in an empty folder, and its unit of systemd."""

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import done
from galleries import ask, listening, painted, service, wait_until
from plain_onnx import write_model
from typer.main import get_command

from samecar.cli.main import app

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
STEPS = ("FROM", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD")
TOKEN = "a-token-of-sufficient-length"


def shown_after(words):
    """The first block below some words of the page."""
    return re.search(r"^```\w*\n(.*?)^```$", PAGE.partition(words)[2], re.MULTILINE | re.DOTALL)[1]


def container_steps():
    """Instructions of the container file, each with what follows it."""
    return [tuple(line.split(maxsplit=1)) for line in shown_after("as `Containerfile`").splitlines()]


def given_to(instruction):
    return [rest for step, rest in container_steps() if step == instruction]


def parsed(words):
    """What samecar understands of a command line, which it does not run."""
    command = get_command(app).commands[words[0]]
    command.make_options()
    return command.make_context(words[0], list(words[1:])).params


def unit():
    """The unit, by section; it is checked that no option stands twice."""
    text = shown_after("`/etc/systemd/system/samecar.service`")
    reader = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    reader.optionxform = str
    reader.read_string(text)
    return text, reader


def test_the_container_file_is_one():
    steps = container_steps()
    assert steps[0][0] == "FROM"
    assert {step for step, _ in steps} <= set(STEPS)
    for sources in given_to("COPY"):
        *names, target = sources.split()
        assert all((ROOT / name).exists() for name in names)
        assert target.startswith("/src/")
    program, command = (json.loads(given_to(step)[0]) for step in ("ENTRYPOINT", "CMD"))
    assert program == ["samecar"]
    params = parsed(command)
    assert (params["gallery"], params["host"], params["port"]) == ("/garage", "0.0.0.0", 8000)
    assert params["token_file"] == Path("/run/secrets/token")
    assert given_to("EXPOSE") == ["8000"]
    assert re.search(r"python:(\d\.\d+)-slim", given_to("FROM")[0])[1] >= "3.11"


def test_the_health_check_tells_a_service_from_none(painted_gallery):
    (check,) = given_to("HEALTHCHECK")
    words = json.loads(check.partition("CMD ")[2])
    assert words[0] == "python"
    with listening(service(painted_gallery)) as port:
        command = [sys.executable, *(word.replace(":8000/", f":{port}/") for word in words[1:])]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_the_unit_runs_a_command_that_there_is(monkeypatch):
    _, sections = unit()
    assert sections.sections() == ["Unit", "Service", "Install"]
    program, *words = shlex.split(sections["Service"]["ExecStart"])
    params = parsed(words)
    assert program == "/opt/samecar/bin/samecar"
    assert (params["gallery"], params["proxy"]) == (sections["Service"]["ReadWritePaths"], "127.0.0.1")
    assert params["token_file"] == Path("%d/token")
    assert sections["Service"]["LoadCredential"].startswith("token:/")
    assert program.removesuffix("/bin/samecar") in PAGE.partition("[Unit]")[0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_every_option_of_the_unit(tmp_path):
    text, _ = unit()
    there = text.replace("/opt/samecar/bin/samecar", sys.executable).replace("User=samecar", "User=root")

    def complaints(content):
        path = tmp_path / "samecar.service"
        path.write_text(content)
        command = ["systemd-analyze", "verify", "--man=no", path]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        return [line for line in said.splitlines() if str(path) in line or "samecar.service" in line]

    assert complaints(there) == []
    assert "Unknown" in complaints(there.replace("MemoryMax=", "MemoryMost="))[0]  # it would say so


def test_the_service_runs_below_the_prefix_that_the_proxies_show():
    for block in ("The page's addresses are relative", "The same with Caddy"):
        assert "/cars/" in shown_after(block)
        assert "127.0.0.1:8000" in shown_after(block)
    assert "proxy_pass http://127.0.0.1:8000/;" in PAGE  # whose slash takes the prefix away; tests/serving has the page


@pytest.mark.long
def test_the_steps_of_the_container_file_make_a_service_in_an_empty_folder(tmp_path):
    """Without a container runtime: paths of the image lie below an empty folder, and nothing of this installation is
    seen."""
    image, home = tmp_path / "image", tmp_path / "home"
    home.mkdir()
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home)}

    def placed(text):
        return re.sub(r"(?<![\w.])/(src|opt|garage|run/secrets)\b", rf"{image}/\1", text)

    for step, rest in container_steps():
        if step == "COPY":
            *names, target = placed(rest).split()
            for name in names:
                last = Path(target) / name if target.endswith("/") else Path(target)
                last.parent.mkdir(parents=True, exist_ok=True)
                ignored = shutil.ignore_patterns("__pycache__")
                source = ROOT / name
                shutil.copytree(source, last, ignore=ignored) if source.is_dir() else shutil.copy(source, last)
        elif step == "RUN":
            settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
            words = shlex.split(placed(rest))
            words[0] = sys.executable if words[0] == "python" else words[0]
            subprocess.run(words, env={**environment, **settings}, check=True)
        elif step == "ENV":
            name, _, value = placed(rest).partition("=")
            environment[name] = str(home) if name == "HOME" else value

    pictures = [painted(tmp_path / "crops", vehicle, 1, 0) for vehicle in (1, 2)]
    model = write_model(tmp_path / "colours.onnx")
    done("gallery", "create", image / "garage", "--run", model, "--preprocessing", "24x16:half")
    done("gallery", "add", image / "garage", tmp_path / "crops")
    (image / "run" / "secrets").mkdir(parents=True)
    (image / "run" / "secrets" / "token").write_text(TOKEN)
    (image / "run" / "secrets" / "token").chmod(0o600)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    program, command = (json.loads(placed(given_to(step)[0])) for step in ("ENTRYPOINT", "CMD"))
    installed = shutil.which(program[0], path=environment["PATH"])
    assert installed == str(image / "opt" / "samecar" / "bin" / "samecar")
    process = subprocess.Popen(
        [installed, *command, "--port", str(port)], env=environment, cwd=home, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: process.poll() is not None or answers(port, "/ready"), 120)
        assert process.poll() is None, process.communicate()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        status, body = ask(port, "/api/gallery", headers)
        assert (status, json.loads(body)["pictures"]) == (200, 2)
        assert ask(port, "/api/pictures/1/similar", headers)[0] == 200
        assert ask(port, "/api/gallery")[0] == 401
    finally:
        process.terminate()
        process.wait()
    assert process.returncode == 0
    assert list(home.iterdir()) == []  # nothing is written outside of the gallery
    assert len(pictures) == 2


def answers(port, target):
    try:
        return ask(port, target)[0] == 200
    except OSError:
        return False
