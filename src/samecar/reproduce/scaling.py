"""Smaller sizes for a dry run, and the words that say so wherever its numbers are shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samecar.config import Recipe, digest, parse_recipe
from samecar.data import SPLITS, Manifest
from samecar.errors import SamecarError

SIDE_STEP = 8
"""Sides of scaled pictures are multiples of this."""

IDENTITY_SEED = 1
"""Which vehicles a dry run keeps does not change with the seed of its runs."""

VERI776_VEHICLES = 576
VERI776_TEST = {"query": 1678, "gallery": 11579}

VERI776_LISTS = {
    "train": (37778, "f3d10ca73c6d9b47"),
    "query": (1678, "930eeacc38ab96c5"),
    "gallery": (11579, "c7ea5301838ced11"),
}
"""Pictures of VeRi-776's published lists `name_train.txt`, `name_query.txt` and `name_test.txt`, and their digests by
`name_digests`."""


@dataclass(frozen=True)
class Scale:
    """How much smaller than in the report.

    Attributes:
        epochs: dry run: fewer epochs; milestones and warm-up shrink too.
        images: dry run: factor on both sides of pictures, which are then rounded to multiples of 8.
        identities: dry run: train vehicles to keep, drawn at random.

    Raises:
        SamecarError: a value is out of range.
    """

    epochs: int | None = None
    images: float = 1.0
    identities: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise SamecarError(f"epochs is {self.epochs}; give 1 or more")
        if not 0 < self.images <= 1:
            raise SamecarError(f"images is {self.images}; give a factor above 0 and at most 1, such as 0.25")
        if self.identities is not None and self.identities < 2:
            raise SamecarError(f"identities is {self.identities}; give 2 or more")

    def recipe(self, recipe: Recipe) -> Recipe:
        """The same recipe at this scale."""
        content = recipe.model_dump(mode="json")
        if self.images < 1:
            for side in ("height", "width"):
                content["model"][side] = _scaled_side(content["model"][side], self.images)
        if self.epochs is not None:
            factor = self.epochs / recipe.training.epochs
            schedule = content["schedule"]
            schedule["milestones"] = sorted({max(1, round(factor * epoch)) for epoch in schedule["milestones"]})
            schedule["warmup_epochs"] = min(
                schedule["warmup_epochs"], max(1, round(factor * schedule["warmup_epochs"]))
            )
            content["training"]["epochs"] = self.epochs
        return parse_recipe(content, "as scaled")

    def manifest(self, manifest: Manifest) -> Manifest:
        """The manifest with so many train vehicles; test pictures all stay.

        Raises:
            SamecarError: there are fewer.
        """
        if self.identities is None:
            return manifest
        is_train = manifest.split == "train"
        vehicles = np.unique(manifest.vehicle_id[is_train & manifest.labelled])
        if self.identities > len(vehicles):
            raise SamecarError(f"--identities is {self.identities}, but there are {len(vehicles)} train vehicles")
        kept = np.random.default_rng(IDENTITY_SEED).permutation(vehicles)[: self.identities]
        return manifest.select(np.flatnonzero(~is_train | np.isin(manifest.vehicle_id, kept)))

    def words(self, epochs: int) -> list[str]:
        """What was made smaller, for titles; `epochs` are those of the report."""
        return [
            *([f"{self.epochs} of {epochs} epochs"] if self.epochs is not None else []),
            *([f"pictures at {self.images:g} of their size"] if self.images < 1 else []),
            *([f"{self.identities} train vehicles"] if self.identities is not None else []),
        ]


def foreign_data(manifest: Manifest) -> str | None:
    """Says what the data are if they are not VeRi-776; None if they are."""
    if (Path(manifest.root) / "drawn.json").is_file():
        return "on drawn vehicles, not on VeRi-776"
    train_vehicles = len(np.unique(manifest.of_split("train").vehicle_id))
    test = {split: count for split, count in manifest.split_counts.items() if split != "train"}
    if manifest.source != "veri776" or train_vehicles != VERI776_VEHICLES or test != VERI776_TEST:
        return "on other data than VeRi-776"
    return None


def name_digests(manifest: Manifest) -> dict[str, str]:
    """Sixteen hexadecimal digits for each split, of its pictures' file names: of which pictures, not what they show."""
    return {
        split: digest(sorted([split, path.rpartition("/")[2]] for path in manifest.of_split(split).path.tolist()))
        for split in SPLITS
    }


def compare_with_lists(manifest: Manifest) -> tuple[list[dict[str, Any]], str]:
    """Compares a manifest's pictures, by their file names, with VeRi-776's published lists.

    Returns:
        For each split its number of pictures and their digest, here and as published; and a sentence that says whether
        they are the same.
    """
    counts, digests = manifest.split_counts, name_digests(manifest)
    splits, differing = [], []
    for split, (published, known) in VERI776_LISTS.items():
        splits.append(
            {
                "split": split,
                "pictures": counts[split],
                "digest": digests[split],
                "published_pictures": published,
                "published_digest": known,
            }
        )
        if digests[split] != known:
            change = counts[split] - published
            words = f"{abs(change):,} {'fewer' if change < 0 else 'more'}" if change else "as many, of other names"
            differing.append(f"{counts[split]:,} {split} pictures, {words}")
    if not differing:
        return splits, "The same pictures, by name, as VeRi-776's published lists."
    return splits, f"Not the same pictures as VeRi-776's published lists: {'; '.join(differing)}."


def _scaled_side(side: int, factor: float) -> int:
    return max(1, int(side * factor / SIDE_STEP + 0.5)) * SIDE_STEP
