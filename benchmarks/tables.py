"""Tables in README and docs, made from the result files; a test fails when they differ.

    python benchmarks/tables.py

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results import read_results

ROOT = Path(__file__).parent.parent
PAGES = ("README.md",)
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def two_camera(results: dict[str, Any]) -> str:
    """ImageNet features beside fine-tuned ones."""
    lines = ["| embeddings | distance | rank-1 | mAP |", "|---|---|---|---|"]
    names = {"untrained": "ImageNet features, not trained further", "fine_tuned": "fine-tuned with `small-set`"}
    for side, name in names.items():
        for distance, mean in results["mean"][side].items():
            each = [100 * run[side][distance]["rank-1"] for run in results["runs"]]
            spread = f"{min(each):.1f}–{max(each):.1f}"
            lines.append(f"| {name} | {distance} | {100 * mean['rank-1']:.1f} ({spread}) | {100 * mean['mAP']:.1f} |")
    data = results["data"]
    queries = results["runs"][0]["queries"]
    lines.append("")
    lines.append(
        f"{data['pictures']:,} real crops of {data['vehicles']} vehicles, one by each of two cameras; {queries} "
        f"vehicles held out, {results['query']} searched in {results['gallery']}; mean of {len(results['seeds'])} seeds, "
        "each with other vehicles held out (lowest–highest)."
    )
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"two_camera": two_camera}


def filled(page: str) -> str:
    """A page's text with its tables made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]](read_results(block[2]))}{block[4]}", page)


def main() -> None:
    """Writes the tables into the pages."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
