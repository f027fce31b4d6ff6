"""The table of results/linking.json: journeys beside a threshold and agglomerative clustering."""

from collections.abc import Iterator
from typing import Any

WAYS = {
    "link": "`samecar link`",
    "link, without times": "`samecar link`, without times",
    "threshold": "threshold",
    "agglomerative": "agglomerative clustering (scikit-learn)",
}


def linking(results: dict[str, Any]) -> str:
    """How well sightings are linked, and what it costs; parts that were not measured are left out."""
    lines = [
        "| | precision of pairs | recall of pairs | F1 of pairs | B-cubed F1 | IDF1 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for level in results["drawn"] or ():
        lines.append(f"| **drawn, {level['name']}** (noise {level['noise']}) | | | | | |")
        lines += _rows(level["ways"])
    if real := results["two_camera"]:
        lines.append("| **two cameras, real pictures** | | | | | |")
        lines += _rows(real["ways"])
    lines += ["", *_sentences(results)]
    return "\n".join(lines) + "\n"


def _rows(ways: dict[str, dict[str, float]]) -> Iterator[str]:
    for way, title in WAYS.items():
        if way in ways:
            scores = [ways[way][metric] for metric in ("precision", "recall", "pairwise", "b_cubed", "idf1")]
            yield f"| {title} | {' | '.join(f'{100 * score:.1f}' for score in scores)} |"


def _sentences(results: dict[str, Any]) -> Iterator[str]:
    road = results["road"]
    sentence = (
        f"Drawn: {road['vehicles']} vehicles past {road['cameras']} cameras within {road['seconds'] / 60:.0f} minutes; "
        f"roads drawn of each: {len(results['drawn'][0]['seeds']) if results['drawn'] else 0}."
    )
    if real := results["two_camera"]:
        sentence += (
            f" Two cameras: {real['pictures']} pictures of {real['vehicles']} vehicles, one by each; the model was "
            f"trained for {real['epochs']} epochs on pictures of {real['side']} × {real['side']} pixels, and "
            f"calibrated on {real['calibrated_on']} other vehicles."
        )
    yield sentence
    if large := results["scale"]:
        yield ""
        spent = f"{large['seconds']:,.0f} s and {large['megabytes']:,.0f} MB on {results['machine']['cores']} cores"
        yield (
            f"{large['sightings']:,} drawn sightings by {large['cameras']} cameras in a day, of {large['numbers']} "
            f"numbers, take {spent}; after {large['added']:,} more were added, linking again takes "
            f"{large['again_seconds']:,.0f} s."
        )
