"""From a folder of pictures to a search: hold vehicles out, train, score, calibrate, fill a gallery, ask.

    python examples/own_folder.py "folder:crops/{vehicle_id}_{camera_id}.jpg"

Without a source it draws vehicles and takes those. It needs `pip install ".[weights]"` and half a minute.
"""

import sys
import tempfile
from pathlib import Path

import samecar
from samecar.data import read_picture, split_by_identity
from samecar.retrieval.incoming import incoming_of_manifest
from samecar.retrieval.records import Filter


def draw_pictures(folder: Path) -> str:
    """Draws vehicles seen by four cameras, and gives the source that their file names are read by."""
    samecar.draw_set(folder, vehicles=120, cameras=4, pictures=2, size=64)
    return f"folder:{folder}/image_train/{{vehicle_id}}_{{camera_id}}_*_*.jpg"


def main(source: str = "") -> None:
    """Goes the whole way in a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="samecar-"))
    if source:
        recipe = samecar.load_recipe("small-set", ["training.validation=0.3"])
    else:
        source = draw_pictures(folder / "drawn")
        recipe = samecar.load_recipe("demo", ["training.validation=0.3", "training.epochs=6"])

    manifest = split_by_identity(samecar.open_source(source), 0.3)  # no vehicle is in train and test
    manifest.write(folder / "split.csv")
    trial = samecar.train_and_evaluate(recipe, manifest, folder / "run")
    print(f"before training {trial.untrained}")
    print(f"after it        {trial.trained}")
    print(trial.warning() or "Training has helped.")

    samecar.calibrate(trial.run, manifest)  # what a similarity means, from vehicles that were not trained on
    calibration = (folder / "run" / "calibration.json").read_bytes()
    with samecar.Gallery.create(folder / "gallery", samecar.load(folder / "run"), calibration=calibration) as gallery:
        print(gallery.add(incoming_of_manifest(manifest.of_split("gallery"))))

        query = manifest.of_split("query").select([0])
        vehicle, camera = query.vehicle_id[0], query.camera_id[0]
        picture = read_picture(query.absolute_path(0))
        (answer,) = gallery.search([picture], top=5, allowed=Filter(not_cameras=(camera,)))
        print(f"Vehicle {vehicle} of {camera} is in the gallery: {answer.in_gallery}, {answer.probability:.0%}")
        for found in answer.found:
            sighting = found.entry.sighting
            print(f"  {found.similarity:.3f}  {found.probability:4.0%}  {sighting.vehicle_id} by {sighting.camera_id}")
    print(f"All of it lies in {folder}; `samecar serve {folder / 'gallery'}` shows it in a browser.")


if __name__ == "__main__":
    main(*sys.argv[1:])
