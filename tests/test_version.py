import json
import subprocess
from importlib import metadata

import pytest

from samecar import version


@pytest.fixture(autouse=True)
def _asked_anew():
    version.find_commit.cache_clear()
    yield
    version.find_commit.cache_clear()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, in which the module is said to stand."""
    module = tmp_path / "src" / "samecar" / "version.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(version, "__file__", str(module))
    return module


def test_the_commit_of_a_repository_is_known_and_whether_files_differ(repository):
    asked = ["git", "-C", str(repository.parent), "rev-parse", "HEAD"]
    head = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    assert version.find_commit() == head
    version.find_commit.cache_clear()
    repository.write_text("# changed")
    assert version.find_commit() == f"{head}-changed"


@pytest.mark.parametrize(
    ("content", "commit"),
    [
        ({"url": "https://example.org", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "abc"),
        ({"url": "file:///somewhere", "dir_info": {}}, None),
        (None, None),
    ],
)
def test_an_installation_from_a_repository_knows_its_commit(content, commit, tmp_path, monkeypatch):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return content and json.dumps(content)

    monkeypatch.setattr(version, "__file__", str(tmp_path / "a" / "b" / "version.py"))
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed())
    assert version.find_commit() == commit
