"""Where runs came from, as texts: what all runs of a page share, and what differs from run to run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from samecar.reproduce.pages.text import NOTHING, all_rows, describe_weights

UNKNOWN = "not recorded"
"""Of runs of earlier versions."""

LIBRARIES = ("torch", "torchvision", "timm")


class Runs(NamedTuple):
    """The runs behind a page.

    Attributes:
        shared: what all have in common, as headings and values.
        headings: of what differs.
        lines: one for each run.
    """

    shared: list[tuple[str, str]]
    headings: list[str]
    lines: list[list[str]]


def describe_runs(contents: Iterable[Mapping[str, Any]]) -> Runs:
    """Describes the runs behind some tables, each once.

    Args:
        contents: from `table_results`.
    """
    rows: dict[str, list[str]] = {}
    runs: dict[str, Mapping[str, Any]] = {}
    for content in contents:
        for row in all_rows(content):
            for run in row["runs"]:
                key = run.get("folder") or f"{run['model']} {run['seed']}"
                rows.setdefault(key, []).append(row["id"])
                runs[key] = run
    facts = [_facts(rows[key], run) for key, run in runs.items()]
    names = [name for name in (facts[0] if facts else {}) if name not in ("rows", "seed")]
    shared = [name for name in names if len(facts) > 1 and len({fact[name] for fact in facts}) == 1]
    differing = ["rows", "seed", *(name for name in names if name not in shared)]
    return Runs(
        [(name, facts[0][name]) for name in shared],
        differing,
        [[fact[name] for name in differing] for fact in facts],
    )


def _facts(rows: Sequence[str], run: Mapping[str, Any]) -> dict[str, str]:
    sessions = run.get("sessions") or []
    peaks = [session["peak_memory_bytes"] for session in sessions if session.get("peak_memory_bytes")]
    return {
        "rows": ", ".join(dict.fromkeys(rows)),
        "seed": str(run["seed"]),
        "weights": describe_weights(run["weights"]) if run.get("weights") else UNKNOWN,
        "made with": _each(_libraries(session) for session in sessions),
        "on": _each(_machine(session) for session in sessions),
        "date": _dates([str(session["date"])[:10] for session in sessions if session.get("date")]),
        "training": f"{run['training_seconds']:,.0f} s",
        "peak memory": f"{max(peaks) / 1e9:.1f} GB" if peaks else UNKNOWN,
        "model": str(run["model"]),
    }


def _libraries(session: Mapping[str, Any]) -> str:
    commit = f" ({str(session['commit'])[:12]})" if session.get("commit") else ""
    known = [f"{name} {session[name]}" for name in LIBRARIES if session.get(name)]
    cuda = [f"CUDA {session['cuda']}"] if session.get("cuda") else []
    return ", ".join([f"samecar {session.get('samecar', NOTHING)}{commit}", *known, *cuda])


def _machine(session: Mapping[str, Any]) -> str:
    counts = [f"{name}: {session[name]}" for name in ("threads", "workers") if session.get(name) is not None]
    return ", ".join([str(session.get("device", NOTHING)), *counts])


def _each(texts: Iterable[str]) -> str:
    """The different texts of several sessions."""
    return "; then ".join(dict.fromkeys(texts)) or UNKNOWN


def _dates(dates: Sequence[str]) -> str:
    if not dates:
        return UNKNOWN
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
