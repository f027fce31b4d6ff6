"""Tables and plots in README and docs, made from the result files and from the options of recipes.

A test fails when they differ.

    python benchmarks/tables.py

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

import re
from collections.abc import Callable, Iterable
from math import fsum
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from answers_shown import answers, draw_answers
from linking_table import linking
from results import read_results
from server_tables import engines, plan, servers
from trials.table import trust

from samecar.config import describe_options, digest, load_recipe, option_groups, recipe_header, shipped_recipes
from samecar.reproduce.pages.text import card_sentence, markdown
from samecar.uncertainty import Comparison, Scores, compare

ROOT = Path(__file__).parent.parent
PAGES = (
    "docs/calibration.md",
    "docs/evaluation.md",
    "docs/exporting.md",
    "docs/gallery.md",
    "docs/linking.md",
    "docs/options.md",
    "docs/recipes.md",
    "docs/report.md",
    "docs/scaling.md",
    "docs/service.md",
    "docs/trust.md",
    "docs/watching.md",
)
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
        f"vehicles held out, {results['query']} searched in {results['gallery']}; mean of {len(results['seeds'])} "
        "seeds, each with other vehicles held out (lowest–highest)."
    )
    return "\n".join(lines) + "\n"


def recipe_on_drawn(results: dict[str, Any]) -> str:
    """The report's best row beside a recipe, all else equal."""
    names = {"report": f"the report's `{results['row']}`", "recipe": f"`{results['recipe']}`"}
    lines = ["| trained by | pictures seen | rank-1 | mAP (lowest–highest) |", "|---|---|---|---|"]
    for side, name in names.items():
        each, mean = [run["mAP"] for run in results["runs"][side]], results["mean"][side]
        spread = f"{mean['mAP']:.1f} ({min(each):.1f}–{max(each):.1f})"
        lines.append(f"| {name} | {results['pictures_seen'][side]:,} | {mean['rank-1']:.1f} | {spread} |")
    tried = ", ".join(f"`{name}` {found['mAP']:.1f}" for name, found in results["chosen_on_held_out"].items())
    changes = ", ".join(f"`{change}`" for change in results["changes"])
    queries = results["runs"]["report"][0]["queries"]
    facts = f"{results['drawn']['vehicles']} drawn vehicles, {queries} queries; mean of {len(results['seeds'])} seeds."
    lines += ["", f"{facts} The recipe, with {changes}, was chosen by mAP on held-out train vehicles: {tried}."]
    return "\n".join(lines) + "\n"


def report_on_drawn(results: dict[str, Any]) -> str:
    """The report's tables, run at a small size on drawn vehicles."""
    drawn, untrained, pictures = results["drawn"], results["untrained"], results["pictures"]
    tables = [*results["tables"].values(), *results["tables_as_run"].values()]
    hours = fsum(_training_seconds(tables).values()) / 3600
    introduction = (
        f"{drawn['vehicles']} drawn vehicles, {results['train_vehicles']} of them to train on ({pictures['train']:,} "
        f"pictures), {pictures['query']} queries and {pictures['gallery']} gallery pictures; {hours:.1f} hours of "
        f"training on {results['machine']['cores']} busy cores. The baseline's network scores "
        f"{untrained['rank-1']:.1f} / {untrained['mAP']:.1f} with the weights that it begins with. "
        f"{card_sentence(tables[0])}"
    )
    return "\n".join([introduction + "\n", *(markdown(table, card=False) for table in tables)])


WAYS = {
    "one": "one command",
    "devices": "one command with `--devices cpu,cpu`",
    "commands": "two commands at once on one `--out`",
}


def sharing(results: dict[str, Any]) -> str:
    """What a few runs take in one process and in two, beside what the plan said."""
    ways, cores = results["ways"], results["machine"]["cores"]
    alone = ways["one"]["seconds"]
    lines = ["| | planned | took | saved beside one command |", "|---|---:|---:|---:|"]
    for way, title in WAYS.items():
        found = ways[way]
        saved = f"{alone - found['seconds']:.0f} s ({100 * (1 - found['seconds'] / alone):.0f} %)"
        planned = "–" if way == "commands" else f"{found['planned_seconds']:.0f} s"
        lines.append(f"| {title} | {planned} | {found['seconds']:.0f} s | {'–' if way == 'one' else saved} |")
    lines.append("")
    lines.append(
        f"{ways['one']['runs']} runs of {results['drawn']['vehicles']} drawn vehicles, "
        f"`samecar reproduce {' '.join(results['command'])}`, from start to pages, on {cores} cores without a GPU, "
        "which a single run keeps busy already; the two commands gave the same scores as the one. Planning itself took "
        f"{ways['one']['planning_seconds']:.0f} s; the plan has no time for starting, "
        "checkpoints, reports and figures."
    )
    return "\n".join(lines) + "\n"


def _training_seconds(tables: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Seconds of each distinct run, by its model's digest."""
    runs = [run for table in tables for row in table["rows"] for run in row["runs"]]
    return {run["model"]: run["training_seconds"] for run in runs}


def reranking(results: dict[str, Any]) -> str:
    """Time and memory of re-ranking beside the distance product alone and a plain implementation."""
    lines = [
        (
            "| queries + gallery, width | product alone | re-ranking | times the product "
            "| memory beyond the embeddings | plain implementation | its memory | largest difference |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {size['queries']:,} + {size['gallery']:,}, {size['width']:,} | {size['product_seconds']:.2f} s "
        f"| {size['seconds']:.2f} s | {size['times_the_product']:.2f} | {size['memory_megabytes']:.0f} MB "
        f"| {size['plain_seconds']:.1f} s | {size['plain_memory_megabytes']:,.0f} MB "
        f"| {size['largest_difference_to_plain']:.0e} |"
        for size in results["sizes"]
    ]
    return "\n".join(lines) + "\n"


def draw_reranking(results: dict[str, Any], path: Path) -> None:
    """Draws the same against the number of pictures."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    sizes = results["sizes"]
    pictures = [size["queries"] + size["gallery"] for size in sizes]
    curves = {
        "time, product alone = 1": (
            [size["times_the_product"] for size in sizes],
            [size["plain_seconds"] / size["product_seconds"] for size in sizes],
        ),
        "MB beyond the embeddings": (
            [size["memory_megabytes"] for size in sizes],
            [size["plain_memory_megabytes"] for size in sizes],
        ),
    }
    with rc_context({"svg.hashsalt": "samecar", "font.size": 9}):
        figure = Figure((7.2, 2.8), layout="constrained")
        for axes, (label, (ours, plain)) in zip(figure.subplots(1, 2), curves.items(), strict=True):
            axes.plot(pictures, ours, "o-", label="samecar")
            axes.plot(pictures, plain, "s--", label="plain implementation")
            axes.set(xscale="log", yscale="log", xlabel="queries and gallery pictures", ylabel=label)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None, "Description": digest(sizes)})


SEARCHERS = {
    "exact": "`exact`",
    "int8": "`int8`",
    "ivf": "`ivf`",
    "FAISS, half precision": "FAISS alone, half precision",
    "FAISS, single precision": "FAISS alone, single precision",
    "FAISS, RaBitQ": "FAISS alone, RaBitQ at 2 bits, refined",
    "NumPy, single precision": "NumPy, single precision",
}


def search(results: dict[str, Any]) -> str:
    """Recall, time and memory of every index of a gallery in a folder, FAISS alone and NumPy."""
    lines = [
        (
            "| pictures | index | recall@10 | of strangers | one query | of one camera | of a stranger "
            "| in a batch, a second | of one camera | of strangers | memory | and during a batch |"
        ),
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in results["sizes"]:
        flat = size["sides"]["FAISS, single precision"]
        for name, title in SEARCHERS.items():
            if name not in size["sides"]:
                continue
            side = size["sides"][name]
            beside = side.get("beside", {}).get("FAISS, single precision", flat)
            cells = [f"{size['pictures']:,}", title, f"{side['recall']:.4f}", f"{side['recall_strangers']:.4f}"]
            cells += [
                f"{side[key]:.1f} ms ({beside[key] / side[key]:.2g}×)"
                for key in ("milliseconds", "milliseconds_one_camera", "milliseconds_strangers")
            ]
            cells += [
                f"{side[key]:,.0f} ({side[key] / beside[key]:.2g}×)"
                for key in ("queries_a_second", "queries_a_second_one_camera", "queries_a_second_strangers")
            ]
            cells += [f"{side['megabytes']:,.0f} MB", f"{side['batch_megabytes']:,.0f} MB"]
            lines.append(f"| {' | '.join(cells)} |")
    first = results["sizes"][0]
    lines.append("")
    lines.append(
        f"Drawn embeddings of {first['size']} numbers; batches of {first['batch']:,} queries, a tenth of it where an "
        "index is scanned query by query; one of 20 cameras; strangers are vehicles that the gallery lacks. In "
        "brackets: how many times as quick as FAISS alone in single precision, measured by turns. "
        f"{results['machine']['cores']} cores."
    )
    return "\n".join([*lines, "", *_asked_by_clients(results["sizes"])]) + "\n"


def _asked_by_clients(sizes: list[dict[str, Any]]) -> Iterable[str]:
    """What clients of a service get, by size and index."""
    first = sizes[0]
    many = f"{first['clients']} clients"
    yield f"| pictures | index | one client, answers a second | 50 % within | 95 % | {many} | 50 % within | 95 % |"
    yield "|---:|---|---:|---:|---:|---:|---:|---:|"
    for size in sizes:
        for name, side in size["sides"].items():
            if "one_client" in side:
                cells = [f"{size['pictures']:,}", SEARCHERS[name]]
                for asked in (side["one_client"], side["many_clients"]):
                    cells += [f"{asked['rates'][0]:.1f}", f"{asked['p50']:,.0f} ms", f"{asked['p95']:,.0f} ms"]
                yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        f"The same galleries behind `samecar serve` with a {first['backbone']}, asked with pictures on the same cores."
    )


def service(results: dict[str, Any]) -> str:
    """How many searches a second the service answers, beside what its model alone embeds."""
    lines = [
        "| model | asked by | answers a second | of the model alone | 50 % within | 95 % | 99 % |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    askers = {
        "single": "one client",
        "many": f"{results['clients']} clients",
        "together": f"{results['clients']} clients, of two processes",
    }
    for name, model in results["models"].items():
        shown, alone = f"{name}, {model['height']} × {model['width']}", median(model["alone"])
        lines.append(f"| {shown} | the model alone | {alone:.1f} | | | | |")
        ratios = {"many": f"{model['ratio']:.2f}", "together": f"{model['ratio_together']:.2f}"}
        for key, asker in askers.items():
            latencies = (f"{model[key][share]:,.0f} ms" for share in ("p50", "p95", "p99"))
            cells = [shown, asker, f"{median(model[key]['rates']):.1f}", ratios.get(key, ""), *latencies]
            lines.append(f"| {' | '.join(cells)} |")
    width, height = results["picture"]
    lines.append("")
    lines.append(
        f"Random weights; JPEG pictures of {width} × {height} pixels; {results['entries']:,} entries; "
        f"{results['repeats']} turns of {results['seconds']:.0f} s each, clients on the service's own "
        f"{results['machine']['cores']} cores."
    )
    return "\n".join(lines) + "\n"


def embedding(results: dict[str, Any]) -> str:
    """From files to vectors beside a plain loop and the network alone; and reading alone."""
    rows = results["rows"]
    if not rows:
        return "Not measured yet on an idle machine; `python benchmarks/embedding.py` measures it.\n"
    networks = {name: row for name, row in rows.items() if "backbone" in row}
    ways = list(next(iter(networks.values()))["ways"]) if networks else []
    lines = [f"| network, files | network alone | {' | '.join(ways)} |", f"|---|---:{'|---:' * len(ways)}|"]
    for name, row in networks.items():
        cells = [f"{name} px", f"{row['network_alone']:.1f}"]
        for way in ways:
            found = row["ways"][way]
            told = "" if way == "plain loop" else f" ({found['ratio']:.2f}×; cosine {found['cosine']:.4f})"
            cells.append(f"{median(found['rates']):.1f}{told}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| reading alone, files | to | plain loader | exact | quick |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        for size, found in row.get("sizes", {}).items():
            rates = {way: f"{median(each['rates']):,.0f}" for way, each in found["ways"].items()}
            ratios = {way: f" ({each['ratio']:.2f}×)" for way, each in found["ways"].items()}
            cells = [rates["plain loop"], *(rates[way] + ratios[way] for way in ("exact", "quick"))]
            lines.append(f"| {name.removeprefix('reading, ')} px | {size} | {' | '.join(cells)} |")
    turns = next(iter(rows.values()))["repeats"]
    lines.append("")
    lines.append(
        "Pictures a second from JPEG files to a file of vectors, or to pixels; in brackets the times of the plain "
        "loop, and the lowest cosine with its vectors. Random weights, which tell pictures hardly apart: cosines of "
        f"trained networks differ. Median of {turns} turns; {results['machine']['cores']} cores."
    )
    return "\n".join(lines) + "\n"


PHASES = {
    "waiting": "waiting for pictures",
    "forward": "forward",
    "loss": "loss",
    "backward": "backward",
    "step": "optimiser",
}
"""Phases of a training step, and what they are called."""


def training(results: dict[str, Any]) -> str:
    """How quickly networks learn, beside a plain loop and beside the network alone."""
    rows = results["rows"]
    if not rows:
        return "Not measured yet on an idle machine; `python benchmarks/training.py` measures it.\n"
    lines = [
        "| network, trained | pictures a second | of the plain loop | of the network alone | waiting |",
        "|---|---:|---:|---:|---:|",
    ]
    for network, row in rows.items():
        for name, way in row["ways"].items():
            waiting = "–" if name == "network alone" else f"{100 * way['waiting']:.1f} %"
            cells = [f"{network}, {name}", f"{median(way['rates']):.1f}", f"{way['ratio_to_plain']:.2f}×"]
            lines.append(f"| {' | '.join(cells)} | {100 * way['share_of_network_alone']:.0f} % | {waiting} |")
    first = next(iter(rows.values()))
    said = (
        f"JPEG pictures of {first['files']} pixels, at {first['side']} × {first['side']} in batches of "
        f"{first['batch']}. The plain loop reads by Pillow in four processes, in float32; the network alone learns "
        "from one batch in memory, channels last, with fused steps. `cache` keeps decoded pictures, `all` is compiled, "
        f"in bfloat16 and with the cache. Random weights; median of {first['repeats']} turns of {first['seconds']:.0f} "
        f"s; {results['device']}, {results['machine']['cores']} cores."
    )
    lines += ["", said, "", "![Milliseconds of a batch in each phase](images/training.svg)"]
    return "\n".join(lines) + "\n"


def draw_training(results: dict[str, Any], path: Path) -> None:
    """Draws how long each phase of a batch takes; nothing where nothing is measured."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = results["rows"]
    if not rows:
        return
    with rc_context({"svg.hashsalt": "samecar", "font.size": 8}):
        figure = Figure((7.2, 2.4), layout="constrained")
        for axes, (network, row) in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows.items(), strict=True):
            timelines = {name: way["timeline"] for name, way in row["ways"].items() if "timeline" in way}
            start = np.zeros(len(timelines))
            for phase, words in PHASES.items():
                lengths = np.array([timeline[phase] for timeline in timelines.values()])
                axes.barh(list(timelines), lengths, left=start, label=words)
                start += lengths
            axes.set(xlabel="ms a batch", title=network)
            axes.invert_yaxis()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(PHASES), frameon=False)
        figure.savefig(path, metadata={"Date": None, "Description": digest(rows)})


def fast_on_drawn(results: dict[str, Any]) -> str:
    """What training as quickly as a machine can changes, on drawn vehicles."""
    if not results["rows"]:
        return "Not measured yet; `python benchmarks/fast_on_drawn.py WORK-FOLDER` measures it.\n"
    lines = [
        "| row | mAP, reference | mAP, fast | change (95 %) | seconds, reference | fast |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in results["rows"].items():
        sides = [row["reference"], row["fast"]]
        found = _compare_all(list(zip(*sides, strict=True)))
        low, high = (100 * end for end in found.interval)
        seconds = [f"{fmean(run['seconds'] for run in side):.0f}" for side in sides]
        change = f"{100 * found.difference:+z.1f} ({low:+z.1f} to {high:+z.1f})"
        cells = [name, f"{100 * found.first:.1f}", f"{100 * found.second:.1f}", change, *seconds]
        lines.append(f"| {' | '.join(cells)} |")
    ways = "; ".join(f"{row['fast_is']} for {name}" for name, row in results["rows"].items())
    said = (
        f"Drawn vehicles, {results['scale']}; means of seeds {', '.join(map(str, results['seeds']))}, intervals over "
        "test vehicles, which for so few reach far even where no query changes; seconds of training, with compiling. "
        f"Fast was {ways}. {results['machine']['cores']} cores."
    )
    return "\n".join([*lines, "", said]) + "\n"


def memory(results: dict[str, Any]) -> str:
    """What `samecar embed` holds of its own at most, by pictures."""
    lines = ["| pictures | seconds | own memory | file of vectors |", "|---:|---:|---:|---:|"]
    lines += [
        f"| {row['pictures']:,} | {row['seconds']:,.0f} | {row['own_megabytes']:,.0f} MB | "
        f"{row['written_megabytes']:,.0f} MB |"
        for row in results["rows"]
    ]
    said = (
        f"Files of {results['side']} pixels, listed in a table; vectors of {results['size']} numbers; a tiny network. "
        f"Each further picture takes {results['bytes_a_picture']:,} bytes, of what the table says of it; pictures and "
        "vectors are not held."
    )
    return "\n".join([*lines, "", said]) + "\n"


def previews(results: dict[str, Any]) -> str:
    """What a gallery keeps of a picture on the disk, with previews of each size."""
    rows = results["rows"]
    names = {"crops": "crops of vehicles", "frames": "frames of films"}
    sides = [int(side) for side in rows["crops"]["bytes"]]
    lines = [
        f"| pictures | {' | '.join('without' if not side else f'{side:,} pixels' for side in sides)} |",
        "|---" + "|---:" * len(sides) + "|",
    ]
    for kind, row in rows.items():
        low, middle, high = row["longer_sides"]
        cells = [f"{row['bytes'][str(side)] / 1000:.1f} kB" for side in sides]
        lines.append(
            f"| {row['pictures']:,} {names[kind]}, {low:,} to {high:,} pixels, half of them up to {middle:,} | "
            f"{' | '.join(cells)} |"
        )
    said = (
        f"All files of a gallery in a folder, divided by its pictures: thumbnails of {results['thumbnail']} pixels, "
        f"embeddings of {results['numbers']} numbers, an index not yet made, no model."
    )
    return "\n".join([*lines, "", said]) + "\n"


def watching(results: dict[str, Any]) -> str:
    """Stated and measured rates of false alarms of watch lists, and the passages that they find."""

    def told(found: dict[str, float], digits: int) -> str:
        share, low, high = (f"{100 * found[name]:.{digits}f}" for name in ("share", "low", "high"))
        return f"{share} ({low}–{high}) %"

    lines = [
        "| vehicles on the list | stated | false alarms (95 % interval) | passages found (95 % interval) |",
        "|---:|---:|---:|---:|",
    ]
    facts = []
    for name, measured in results["sets"].items():
        lines.append(f"| **{name}** | | | |")
        for row in measured["lists"]:
            cells = [
                str(row["vehicles"]),
                f"{100 * row['stated']:g} %",
                told(row["false_alarms"], 2),
                told(row["found"], 1),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        facts.append(
            f"{name}: {measured['test_vehicles']} vehicles in {measured['test_passages']} passages of "
            f"{measured['pictures_per_passage']:.1f} pictures on average; trained on {measured['trained_on']} others "
            f"for {measured['epochs']} epochs, calibrated for {100 * measured['calibrated_rate']:g} % on "
            f"{measured['calibrated_on']} others."
        )
    told_of_all = (
        f"{results['draws']} lists drawn for each row; pictures of {results['side']} × {results['side']} pixels."
    )
    return "\n".join([*lines, "", " ".join([*facts, told_of_all])]) + "\n"


def growth(results: dict[str, Any]) -> str:
    """How much longer work takes on more pictures."""
    lines = [
        "| work | exponent | must have | of pictures | seconds |",
        "|---|---:|---:|---:|---:|",
    ]
    for work in results["works"].values():
        first, last = work["pictures"][0], work["pictures"][-1]
        seconds = f"{work['seconds'][0]:.3g} to {work['seconds'][-1]:.3g}"
        cells = [f"{work['exponent']:.2f}", f"{work['must']}", f"{first:,} to {last:,}", seconds]
        lines.append(f"| {work['title']} | {' | '.join(cells)} |")
    lines.append("")
    lines.append(
        f"Drawn embeddings of {results['size']} numbers; least of {results['repeats']} times; "
        f"{results['machine']['cores']} cores."
    )
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "answers": answers,
    "two_camera": two_camera,
    "recipe_on_drawn": recipe_on_drawn,
    "report_on_drawn": report_on_drawn,
    "sharing": sharing,
    "reranking": reranking,
    "embedding": embedding,
    "training": training,
    "fast_on_drawn": fast_on_drawn,
    "engines": engines,
    "growth": growth,
    "servers": servers,
    "linking": linking,
    "search": search,
    "service": service,
    "memory": memory,
    "previews": previews,
    "trust": trust,
    "watching": watching,
}


SETS = {"parts_on_two_camera": "two-camera", "parts_on_drawn": "drawn"}
"""Result files of benchmarks/recipes.py, and what their sets are called."""


def parts() -> str:
    """What each part changes in a plain recipe, on real and on drawn vehicles, the best in their mean first."""
    gains = {name: _gains(read_results(file)["runs"]) for file, name in SETS.items()}
    heads = [f"{name}: mAP | change (95 %) | seeds" for name in gains]
    lines = [f"| part | {' | '.join(heads)} |", "|---" * (1 + 3 * len(gains)) + "|"]
    names = list(dict.fromkeys(part for found in gains.values() for part in found))
    for part in sorted(names, key=lambda part: (part != "base", -_mean([found.get(part) for found in gains.values()]))):
        cells = [_gain_cells(part, found.get(part)) for found in gains.values()]
        lines.append(f"| {' | '.join([part, *cells])} |")
    return "\n".join(lines) + "\n"


def _gains(runs: dict[str, dict[str, Any]]) -> dict[str, tuple[Comparison, int]]:
    """By part: base and part compared over the queries of every seed that has both, and how many seeds those are."""
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for run in runs.values():
        base = runs.get(f"base, seed {run['seed']}")
        if base:
            found.setdefault(run["part"], []).append((base, run))
    return {part: (_compare_all(pairs), len(pairs)) for part, pairs in found.items()}


def _compare_all(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> Comparison:
    sides = [np.concatenate([run["average_precisions"] for run in runs]) for runs in zip(*pairs, strict=True)]
    first, second = (Scores(values, np.ones(len(values))) for values in sides)
    return compare(first, second, np.concatenate([run["vehicles"] for run, _ in pairs]))


def _mean(gains: list[tuple[Comparison, int] | None]) -> float:
    return float(np.mean([gain[0].difference for gain in gains if gain]))


def _gain_cells(part: str, gain: tuple[Comparison, int] | None) -> str:
    if not gain:
        return "– | – | –"
    found, seeds = gain
    if part == "base":
        return f"{100 * found.second:.1f} | | {seeds}"
    low, high = (100 * end for end in found.interval)
    change = f"{100 * found.difference:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"{100 * found.second:.1f} | {change} | {seeds}"


def intervals() -> str:
    """How often intervals hold the truth, and how wide they are."""
    lines = [
        "| vehicles | score | truth | samecar holds | width | percentile bootstrap holds | width |",
        f"|--:|---{'|--:' * 5}|",
    ]
    results = read_results("intervals")
    for kind in results["kinds"]:
        for group, found in kind.items():
            if not isinstance(found, dict):
                continue
            for name, row in found.items():
                sides = [row["samecar"], row.get("percentile bootstrap")]
                cells = [f"{100 * side[key]:.1f}" if side else "–" for side in sides for key in ("holds", "width")]
                what = {"scores": name, "differences": f"difference of {name}"}.get(group, name.replace("_", " "))
                lines.append(f"| {kind['vehicles']} | {what} | {100 * row['truth']:.1f} | {' | '.join(cells)} |")
    rows = [row for kind in results["kinds"] for row in kind.get("differences", {}).values()]
    contradicting = sum(row["contradicting"] for row in rows)
    sets, compared = results["sets"], results["sets"] * len(rows)
    stated = f"{sets} sets of each kind, so that a share of 95 may be off by 4."
    lines += [
        "",
        f"{stated} Of {compared:,} intervals of differences {contradicting or 'none'} contradicted the p-value.",
    ]
    return "\n".join(lines) + "\n"


def options() -> str:
    """All options of a recipe, a table for each group."""
    lines = []
    for group, meaning in {"": "what the recipe is called", **option_groups()}.items():
        heading = f"`[{group}]`: {meaning}" if group else f"Before the groups: {meaning}"
        lines += [f"### {heading}", "", "| option | meaning | allowed | default |", "|---|---|---|---|"]
        for option in describe_options():
            if option.group == group:
                default = "not given" if option.default is None else f"`{option.default_text}`"
                allowed = re.sub(r'("[^"]*")', r"`\1`", option.allowed)
                lines.append(f"| `{option.name}` | {option.meaning} | {allowed} | {default} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def recipes() -> str:
    """The shipped recipes but for the report's, as the files' headers have them."""
    lines = ["| recipe | for | hours | published | measured |", "|---|---|---|---|---|"]
    for name in shipped_recipes():
        if not name.startswith("report-"):
            header = recipe_header(name).replace("\n#   ", " ")
            parts = dict(re.findall(r"^# (\w+): (.*)$", header, re.MULTILINE))
            told = " | ".join(parts[part] for part in ("hardware", "hours", "published", "measured"))
            lines.append(f"| `{name}` | {load_recipe(name).title}; {told} |")
    return "\n".join(lines) + "\n"


WRITTEN: dict[str, Callable[[], str]] = {
    "intervals": intervals,
    "options": options,
    "parts": parts,
    "plan": plan,
    "recipes": recipes,
}
"""Tables that are made of something else than one result file of their name."""


def filled(page: str) -> str:
    """A page's text with its tables made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{_table(block[2])}{block[4]}", page)


def _table(name: str) -> str:
    return WRITTEN[name]() if name in WRITTEN else TABLES[name](read_results(name))


def main() -> None:
    """Writes the tables into the pages."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    draw_reranking(read_results("reranking"), ROOT / "docs" / "images" / "reranking.svg")
    draw_answers(read_results("answers"), ROOT / "docs" / "images" / "answers.svg")
    draw_training(read_results("training"), ROOT / "docs" / "images" / "training.svg")


if __name__ == "__main__":
    main()
