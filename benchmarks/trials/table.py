"""The table of docs/trust.md: what was tried, how often, and what was found."""

from collections import Counter
from collections.abc import Callable
from math import fsum
from typing import Any

from trials.sizes import SIZES


def trust(results: dict[str, Any]) -> str:
    """Each trial with its size and what was found."""
    lines = ["| trial | tried | of | promises broken | found |", "|---|---:|---:|---:|---|"]
    for name, (full, unit) in SIZES.items():
        found = results["trials"].get(name, {"done": 0, "failed": 0, "not_run": "not run yet"})
        told = "; ".join(filter(None, [DESCRIBE[name](found) if found["done"] else "", found.get("not_run", "")]))
        failed = str(found["failed"]) if found["done"] else "–"
        lines.append(f"| {unit} | {found['done']:,} | {full:,} | {failed} | {told} |")
    lines += ["", f"Linux, {results['machine']['cores']} busy cores, without a GPU. `tried` is what was run, `of` the"]
    lines[-1] += " trial's full size."
    return "\n".join(lines) + "\n"


def _kills(found: dict[str, Any]) -> str:
    ways = ", ".join(f"{count} × {way}" for way, count in found["ways"].items())
    beside = f"; {found['beside']} × lines of torch beside the sentence" if found["beside"] else ""
    return f"{found['runs']} runs of {found['epochs']} epochs, resumed after each kill: {ways}{beside}"


def _power_cuts(found: dict[str, Any]) -> str:
    return f"runs of {found['epochs']} epochs on a disk image that is copied at a random moment, resumed on the copy"


def _inputs(found: dict[str, Any]) -> str:
    endings: Counter[str] = Counter()
    for name, count in found["endings"].items():
        endings[name.rpartition(": ")[2]] += count
    kinds = len({name.rpartition(": ")[0] for name in found["endings"]})
    told = ", ".join(f"{count:,} {ending}" for ending, count in sorted(endings.items()))
    seconds, _ = found["slowest"]
    return f"{kinds} kinds; {told}; at most {seconds:.1f} s and {found['megabytes']:,.0f} MB"


def _clients(found: dict[str, Any]) -> str:
    answers = sum(turn["answers"] for turn in found["turns"])
    _, *samples = found["memory"]
    third = max(1, len(samples) // 3)
    early, late = (fsum(mb for _, mb in part) / third for part in (samples[:third], samples[-third:]))
    most = max(mb for _, mb in found["memory"])
    return (
        f"{answers:,} answers; 99 % within {max(turn['p99'] for turn in found['turns']) / 1000:.1f} s; memory "
        f"{early:,.0f} MB in the first third, {late:,.0f} MB in the last, {most:,.0f} MB at most"
    )


DESCRIBE: dict[str, Callable[[dict[str, Any]], str]] = {
    "kills": _kills,
    "power-cuts": _power_cuts,
    "pictures": _inputs,
    "lines": _inputs,
    "clients": _clients,
}
