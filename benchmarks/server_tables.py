"""Tables of galleries on PostgreSQL servers, and what follows from them for larger ones."""

from typing import Any

from results import FOLDER, read_results

PLANNED = 100_000_000
"""Pictures that docs/scaling.md plans for."""

OTHERS_OF_A_ROW, NUMBER_AND_CONTENT, LINKS = 230, 230, 340
"""Bytes for each picture beside its embedding, as docs/scaling.md says them under "Memory and disk"."""

COLUMNS = (
    "one query",
    "one camera, one query",
    "each of a batch",
    "foreign tables: one query",
    "foreign tables: one camera",
)
"""Times of the table of several servers."""

THUMBNAIL = 5_000
"""Bytes, as docs/gallery.md says them."""


def engines(results: dict[str, Any]) -> str:
    """How long a folder and a server take to answer, on the same embeddings."""
    lines = [
        "| pictures | kept by | recall@10 | one query | one camera, one query | each of a batch | on disk |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    names = {"folder": "folder, exact", "server": "server, exact", "hnsw": "server, HNSW"}
    for size in results["sizes"]:
        for key, name in names.items():
            if key in size:
                kept = size[key]
                recall = f"{kept['recall']:.3f}" if "recall" in kept else "exact"
                times = " | ".join(f"{kept[of]:.1f} ms" for of in ("single", "one_camera", "in_batch"))
                lines.append(f"| {size['pictures']:,} | {name} | {recall} | {times} | {kept['bytes'] / 1e6:,.0f} MB |")
    server, largest = results["server"], results["sizes"][-1]
    each = largest["server"]["single"] / largest["pictures"] * 1e6  # milliseconds, of a million pictures
    lines.append("")
    lines.append(
        f"Drawn embeddings of {results['size']} numbers, {results['cameras']} cameras, the {results['top']} nearest, "
        f"batches of {results['batch']}; the quickest of several calls; PostgreSQL {server['server_version']} with its "
        f"own settings (shared_buffers {server['shared_buffers']}), on the same {results['machine']['cores']} cores. "
        f"At {largest['pictures']:,} pictures the server's exact search took {each / 1000:.2f} s for each million."
    )
    return "\n".join(lines) + "\n"


def servers(results: dict[str, Any]) -> str:
    """How long a gallery over several servers takes to answer: asked at once and merged, and by foreign tables."""
    lines = [
        f"| pictures | servers | index | recall@10 | {' | '.join(COLUMNS)} |",
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in [*results["rows"], *_large_rows()]:
        for kind in ("exact", "hnsw"):
            if kind in row:
                merged, foreign = row[kind]["merged"], row[kind]["foreign"]
                recall = f"{row[kind]['recall']:.3f}" if "recall" in row[kind] else "exact"
                times = [merged[of] for of in ("single", "one_camera", "in_batch")]
                times += [foreign[of] for of in ("single", "one_camera")]
                cells = " | ".join(f"{time:.1f} ms" for time in times)
                index = {"exact": "exact", "hnsw": "HNSW"}[kind]
                lines.append(f"| {row['pictures']:,} | {row['servers']} | {index} | {recall} | {cells} |")
    server = results["server"]
    lines.append("")
    lines.append(
        f"Drawn embeddings of {results['size']} numbers, {results['cameras']} cameras, spread by camera, the "
        f"{results['top']} nearest, batches of {results['batch']}; the quickest of several calls, both ways by turns; "
        f"PostgreSQL {server['server_version']}. All servers ran on the same {results['machine']['cores']} cores, so "
        "that more of them are no quicker here; each on a machine of its own searches its share at the same time."
    )
    return "\n".join(lines) + "\n"


def _large_rows() -> list[dict[str, Any]]:
    """Of a million pictures, where that was measured."""
    return read_results("servers-large")["rows"] if (FOLDER / "servers-large.json").is_file() else []


def plan() -> str:
    """What 100 million pictures need, by arithmetic from what one server took for the largest gallery measured."""
    results = read_results("engines")
    server = results["sizes"][-1]["server"]
    measured, cores = results["sizes"][-1]["pictures"], results["machine"]["cores"]
    size = results["size"]
    row, content, index = 2 * size + 8 + OTHERS_OF_A_ROW, NUMBER_AND_CONTENT, 2 * size + LINKS
    million = server["single"] / measured * 1e6 / 1000
    adding = measured / server["adding_seconds"]
    building = next(each for each in reversed(results["sizes"]) if "hnsw" in each)
    build = building["hnsw"]["building_seconds"] / building["pictures"] * 1e6 / 3600
    lines = [
        "| | 1 server | 3 servers, each | 10 servers, each |",
        "|---|---:|---:|---:|",
    ]

    def add(what: str, of_all: float, cell: str) -> None:
        lines.append(f"| {what} | {' | '.join(cell.format(of_all / count) for count in (1, 3, 10))} |")

    add("rows of entries with their indexes", PLANNED * row / 1e9, "{:,.0f} GB")
    add("numbers and contents", PLANNED * content / 1e9, "{:,.0f} GB")
    add("HNSW index", PLANNED * index / 1e9, "{:,.0f} GB")
    add("memory so that exact search stays in it", PLANNED * row / 1e9, "{:,.0f} GB")
    add("memory so that HNSW search stays in it", PLANNED * (row + index) / 1e9, "{:,.0f} GB")
    add("thumbnails of 5 kB", PLANNED * THUMBNAIL / 1e9, "{:,.0f} GB")
    add(f"adding what is embedded, {adding:,.0f} a second", PLANNED / adding / 3600, "{:,.1f} h")
    add(f"one exact query on {cores} cores", PLANNED / 1e6 * million, "{:,.0f} s")
    add("cores for an exact query in a second", PLANNED / 1e6 * million * cores, "{:,.0f}")
    add(f"building HNSW on {cores} cores, at least", PLANNED / 1e6 * build, "{:,.0f} h")
    lines.append("")
    lines.append(
        f"Bytes by [Memory and disk](#memory-and-disk); times in proportion to those of {measured:,} pictures in the "
        f"first table of this page, HNSW to {building['pictures']:,}; building grows a little faster than in "
        "proportion, and is much slower where the index does not fit into `maintenance_work_mem`."
    )
    return "\n".join(lines) + "\n"
