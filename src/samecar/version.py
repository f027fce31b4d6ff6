"""The version of the package, said once, and the commit that it was made from."""

from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def find_commit() -> str | None:
    """The commit of the source that runs, with '-changed' after it where files differ from it; None if unknown.

    It is known in a copy of the repository, and where the package was installed from an address of one.
    """
    import json
    import shutil
    from importlib import metadata

    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git and (root / ".git").exists():
        commit = _ask(git, root, "rev-parse", "HEAD")
        return commit and commit + ("-changed" if _ask(git, root, "status", "--porcelain", "--", "src") else "")
    try:
        installed = metadata.distribution("samecar").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    found = json.loads(installed).get("vcs_info", {}).get("commit_id") if installed else None
    return str(found) if found else None


def _ask(git: str, root: Path, *question: str) -> str | None:
    import subprocess

    answer = subprocess.run([git, "-C", str(root), *question], capture_output=True, text=True, check=False)  # noqa: S603
    return answer.stdout.strip() or None if answer.returncode == 0 else None
