"""The `samecar score` and `samecar compare-runs` commands, and the options of scoring."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.options import Device, Json

if TYPE_CHECKING:
    from samecar.evaluation import Options
    from samecar.similarity.reranking import KReciprocal

Distance = Annotated[str, typer.Option("--distance", "--metric", help="euclidean or cosine")]
Junk = Annotated[
    str | None, typer.Option(help="same-camera: pictures of the query's vehicle by its camera are left out; or none")
]
Cmc = Annotated[str, typer.Option(help="ranks at which CMC is told")]
Interpolation = Annotated[str, typer.Option(help="of average precision: none, trapezoid or maximum")]
Rerank = Annotated[
    str | None,
    typer.Option(metavar="K1,K2,LAMBDA", help="k-reciprocal re-ranking, such as 20,6,0.3; looks at the whole test set"),
]
QueryExpansion = Annotated[
    int | None, typer.Option(metavar="N", help="average each query with its N nearest; looks at the whole test set")
]
DatabaseAugmentation = Annotated[
    int | None,
    typer.Option(metavar="N", help="average each gallery picture with its N nearest; looks at the whole test set"),
]
Float64 = Annotated[bool, typer.Option("--float64", help="make the matrix product in float64 too")]
Bootstrap = Annotated[int, typer.Option(min=0, help="samples behind the confidence intervals; 0 leaves them out")]


def options(
    *,
    cmc: str,
    interpolation: str,
    rerank: str | None,
    query_expansion: int | None,
    database_augmentation: int | None,
    float64: bool,
    bootstrap: int,
    device: str = "cpu",
) -> "Options":
    """Makes the options of scoring from those of the command line.

    Raises:
        SamecarError: one of them cannot be understood.
    """
    from samecar.evaluation import Options
    from samecar.evaluation.metrics import find_interpolation
    from samecar.similarity.counting import Work
    from samecar.similarity.expansion import AverageQueryExpansion, DatabaseAugmentation

    return Options(
        ranks=tuple(_numbers("--cmc", cmc, "1,5,10")),
        interpolation=find_interpolation(interpolation),
        rerank=None if rerank is None else _k_reciprocal(rerank),
        query_expansion=None if query_expansion is None else AverageQueryExpansion(query_expansion),
        database_augmentation=None if database_augmentation is None else DatabaseAugmentation(database_augmentation),
        bootstrap=bootstrap,
        work=Work("float64" if float64 else "float32", device),
    )


def score(
    query: Annotated[Path, typer.Option(help=".npz of the queries' embeddings, or a manifest beside a .npy")],
    gallery: Annotated[Path, typer.Option(help="the same of the gallery; may be the same file if it tells splits")],
    protocol: Annotated[str, typer.Option(help="rules of scoring")] = "plain",
    distance: Distance = "euclidean",
    junk: Junk = None,
    cmc: Cmc = "1,5,10,20",
    interpolation: Interpolation = "none",
    rerank: Rerank = None,
    query_expansion: QueryExpansion = None,
    database_augmentation: DatabaseAugmentation = None,
    float64: Float64 = False,
    bootstrap: Bootstrap = 1000,
    seed: Annotated[int, typer.Option(help="of random galleries and confidence intervals")] = 1,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option("-o", "--out", help=".json to write, for `samecar compare-runs`")] = None,
    json: Json = False,
) -> None:
    """Scores embeddings from anywhere under a declared protocol."""
    from samecar.embedding.reading import read_split
    from samecar.evaluation import find_protocol, with_junk
    from samecar.evaluation import score as score_embeddings
    from samecar.evaluation.records import save_evaluation
    from samecar.evaluation.results import provenance_of
    from samecar.similarity.distances import find_distance

    rules = with_junk(find_protocol(protocol), junk)
    chosen = options(
        cmc=cmc,
        interpolation=interpolation,
        rerank=rerank,
        query_expansion=query_expansion,
        database_augmentation=database_augmentation,
        float64=float64,
        bootstrap=bootstrap,
        device=_device(device),
    )
    sides = read_split(query, "query"), read_split(gallery, "gallery")
    evaluation = score_embeddings(
        *sides,
        rules,
        distance=find_distance(distance),
        seed=seed,
        provenance=provenance_of((query, gallery), sides),
        options=chosen,
    )
    if out is not None:
        save_evaluation(evaluation, out)
    if json:
        console.print_json(evaluation.as_dict())
    else:
        console.print_evaluation(evaluation)
        console.print_details(evaluation)


def compare_runs(
    first: Annotated[Path, typer.Argument(metavar="A", help="run folder, or .json of scores")],
    second: Annotated[Path, typer.Argument(metavar="B", help="another")],
    seed: Annotated[int, typer.Option(help="of the permutations")] = 1,
    json: Json = False,
) -> None:
    """Says whether two runs differ by more than chance, query by query."""
    from samecar.evaluation.records import compare_runs as compare

    comparisons = compare(first, second, seed=seed)
    if json:
        console.print_json({"comparisons": [comparison.as_dict() for comparison in comparisons]})
    else:
        for comparison in comparisons:
            console.print_comparison(comparison)


def _device(name: str) -> str:
    if name == "cpu":
        return name
    from samecar.hardware import machine

    return machine(name).device.type


def _k_reciprocal(text: str) -> "KReciprocal":
    from samecar.errors import SamecarError
    from samecar.similarity.reranking import KReciprocal

    parts = text.split(",")
    try:
        k1, k2, lambda_value = int(parts[0]), int(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        raise SamecarError(f"--rerank is {text!r}; give k1, k2 and lambda, such as 20,6,0.3") from None
    if len(parts) != 3:
        raise SamecarError(f"--rerank is {text!r}; give k1, k2 and lambda, such as 20,6,0.3")
    return KReciprocal(k1, k2, lambda_value)


def _numbers(option: str, text: str, example: str) -> list[int]:
    from samecar.errors import SamecarError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise SamecarError(f"{option} is {text!r}; give whole numbers, such as {example}") from None
