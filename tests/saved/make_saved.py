"""Makes `before.tar.xz`, the things that commit 96e5b3e saved and the numbers that it gave.

It must run with the code of that commit, before modules moved to `samecar.similarity` and to `drawncars`:

    git worktree add /tmp/old 96e5b3e
    PYTHONPATH=/tmp/old/src:/tmp/old/tests python tests/saved/make_saved.py

What later versions save belongs into archives of other names; this one is not made anew.

The network is thin: most channels of its weights are zero and have no gradient, so that they stay zero, in the
optimiser's state as well, and take no room in the archive.
"""

# ruff: noqa: I001 - of the modules that it imports some have moved since, so that they are sorted as others'
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import fixed
import numpy as np
import timm
import torch
from command_line import done
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import samecar
from samecar.drawing import draw_set, draw_vehicle
from samecar.embedding.embeddings import Embeddings as Labelled
from samecar.labels import Labels
from samecar.evaluation.counting import count_matches
from samecar.experiment import train
from samecar.ranking import distance_chunks, nearest
from samecar.reproduce import Choices, all_rows, plan_runs
from samecar.reranking import average_query_expansion, database_augmentation, k_reciprocal_distances
from samecar.retrieval.embedded.screen import Screen, screened_most_similar
from samecar.retrieval.exact import most_similar
from samecar.retrieval.incoming import Incoming
from samecar.retrieval.records import EVERYTHING, Filter, Judgement

COMMIT = "96e5b3e"
ROOT = Path("/tmp/samecar-before")
"""Where everything lay; addresses in the galleries and in the .npz begin with it."""

BACKBONE = "test_efficientnet"
KEPT = 4
"""One in so many channels is not zero."""

RECIPE = f"""base = "report-baseline"
title = "Saved before"

[model]
backbone = "{BACKBONE}"
weights = "thin.safetensors"
head = "fc-bn-fc"
embedding_size = 32
height = 32
width = 32

[augmentation]
jitter = true
erasing = 0.3

[batch]
size = 8
pictures_per_vehicle = 2

[loss]
label_smoothing = 0.1

[optimizer]
learning_rate = 1e-3

[schedule]
decay = "cosine"
warmup_epochs = 1

[training]
epochs = 3
"""

HERE = ("--device", "cpu", "--workers", "0")


def thin_weights() -> dict[str, Tensor]:
    """Random weights of the backbone of which most channels neither give nor take anything."""
    torch.manual_seed(0)
    state = timm.create_model(BACKBONE).state_dict()
    for name, tensor in state.items():
        if name.startswith(("conv_head", "bn2.", "classifier")):
            wide = ()  # what the head reads stays whole, but it has few inputs
        else:
            wide = (0,)
        if tensor.ndim > 1 and not name.startswith(("conv_stem", "classifier")) and "conv_dw" not in name:
            wide = (*wide, 1)
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            for axis in wide:
                tensor.narrow(axis, tensor.shape[axis] // KEPT, tensor.shape[axis] - tensor.shape[axis] // KEPT).zero_()
    return with_seen_statistics(state)


def with_seen_statistics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights with the statistics that batch normalisation has of the painted pictures.

    Otherwise a network of so few steps would give all pictures the same embedding.
    """
    model = timm.create_model(BACKBONE)
    model.load_state_dict(state)
    painted = [np.asarray(Image.open(path).resize((32, 32))) for path in sorted((ROOT / "set" / "train").iterdir())]
    pictures = (torch.from_numpy(np.stack(painted)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    model.train()
    with torch.no_grad():
        for _ in range(60):
            model(pictures)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def stop_after_two(task: str, done: int, total: int, note: str = "") -> None:
    """Interrupts training as soon as the second epoch of three is kept."""
    if task == "training" and done >= total * 2 // 3:
        raise KeyboardInterrupt


def make_runs() -> dict[str, object]:
    """An interrupted run, what it came to when it was resumed, and a finished and calibrated run."""
    source = fixed.source(ROOT)
    recipe = samecar.load_recipe("recipe.toml")
    with suppress(KeyboardInterrupt):
        train(recipe, source, Path("interrupted"), on=samecar.machine("cpu", 0), progress=stop_after_two)
    shutil.copytree("interrupted", "resumed")
    done("train", "recipe.toml", "--data", source, "--out", "resumed", "--resume", *HERE)
    resumed = samecar.Run.open(Path("resumed"))
    changes = ("--set", "training.epochs=2", "--set", "training.seed=2")
    done("train", "recipe.toml", "--data", source, "--out", "finished", *changes, *HERE)
    done("evaluate", "finished", "--data", source, "--distance", "cosine", "--flip", *HERE)
    done("calibrate", "finished", "--data", fixed.other_source(ROOT), *HERE)
    finished = samecar.Run.open(Path("finished"))
    calibration = samecar.Calibration.from_json(Path("finished/calibration.json").read_text())
    similarities = np.linspace(-1, 1, 41)
    sizes = [1, 10, 24, 100, 10_000]
    pictures = [path for _, path in fixed.asked_pictures(ROOT)]
    pairs = list(pairwise(pictures))[::2]
    told = {
        "resumed": {
            "metrics": resumed.metrics(),
            "model": resumed.model_digest(),
            "facts": resumed.model_facts(),
            "evaluations": evaluations(resumed.folder),
        },
        "finished": {
            "model": finished.model_digest(),
            "recipe": finished.recipe.digest,
            "calibration": {
                "similarities": similarities.tolist(),
                "probabilities": calibration.probability(similarities).tolist(),
                "probabilities of one in a hundred": calibration.probability(similarities, prior=0.01).tolist(),
                "sizes": sizes,
                "thresholds": [calibration.open_set_threshold(size) for size in sizes],
                "same": calibration.same_threshold,
            },
            "compared": {
                f"{first.stem} {second.stem}": vars(samecar.compare(first, second, finished)) for first, second in pairs
            },
        },
    }
    for left_out in ("finished/report.html", "finished/checkpoints"):
        path = Path(left_out)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for picture in [*Path("finished").glob("calibration.*")]:
        if picture.suffix != ".json":
            picture.unlink()
    return told


def evaluations(folder: Path) -> dict[str, object]:
    """Evaluations in a run folder, by name."""
    return {path.name: json.loads(path.read_text()) for path in sorted((folder / "evaluations").glob("*.json"))}


def make_scores() -> dict[str, object]:
    """Embeddings, and what they are scored at."""
    done("embed", "finished", fixed.source(ROOT), "-o", "embeddings.npz", *HERE)
    for name, options in fixed.SCORED.items():
        sides = ("--query", "embeddings.npz", "--gallery", "embeddings.npz")
        done("score", *sides, *options, "--out", f"scores/{name}.json")
    return json.loads(done("compare-runs", "scores/plain.json", "scores/rerank.json", "--json"))


def make_galleries() -> dict[str, object]:
    """A gallery that knows much of its pictures, copies with other indices, and what they found."""
    done("gallery", "create", "galleries/exact", "--run", "finished", "--thumbnail", 24)
    done(
        *("gallery", "add", "galleries/exact", ROOT / "others" / "v20_c0_0.png", "--camera", "gate"),
        *("--time", "2024-05-01T12:30", "--label", "note=by hand", "--device", "cpu"),
    )
    with samecar.Gallery.open("galleries/exact", device="cpu") as gallery:
        gallery.add(
            Incoming(
                path,
                address=str(path),
                camera_id=path.stem.split("_")[1],
                time=None if place % 5 == 4 else fixed.SECONDS + 60.0 * place,
                track_id=f"t{place // 2}" if place % 3 else "",
                vehicle_id=path.stem.split("_")[0] if place % 4 else "",
                labels={"lane": str(place % 2)} if place % 7 else {},
            )
            for place, path in enumerate(sorted((ROOT / "set" / "gallery").iterdir()))
        )
        done("gallery", "add", "galleries/exact", str(ROOT / "others"), "--label", "lane=1", "--device", "cpu")
        gallery.engine.remove([4, 30])
        shown = gallery.engine.entries([2])[2].sighting.content
        asked = Path(next(fixed.asked_pictures(ROOT))[1]).read_bytes()
        gallery.engine.judge(Judgement(shown, 3, same=True))
        gallery.engine.judge(Judgement(shown, 8, same=False))
        gallery.engine.judge(Judgement(fixed.digest_of(asked), 9, same=True, query_picture=b"no JPEG, but bytes"))
        gallery.engine.judge(Judgement(fixed.digest_of(asked), 10, same=True))
        gallery.engine.judge(Judgement(fixed.digest_of(asked), 10, same=False))
        gallery.engine.withdraw(shown, 8)
    for kind in ("int8", "ivf"):
        shutil.copytree("galleries/exact", f"galleries/{kind}")
        done("gallery", "index", f"galleries/{kind}", kind)
    return {kind: told_by(Path("galleries") / kind) for kind in ("exact", "int8", "ivf")}


def told_by(folder: Path) -> dict[str, object]:
    """What a gallery says of itself, and what it finds."""
    with samecar.Gallery.open(str(folder), device="cpu") as gallery:
        assert gallery.check() == []
        asked = dict(fixed.asked_pictures(ROOT))
        found = {}
        for name, conditions in fixed.ASKED.items():
            allowed = Filter(**conditions) if conditions else EVERYTHING
            found |= {f"{picture}, {name}": fixed.asked(gallery, path, allowed) for picture, path in asked.items()}
            found[f"id:2, {name}"] = fixed.answered(gallery.search_like(2, 5, allowed))
        return {
            "info": json.loads(done("gallery", "info", folder, "--json")),
            "entries": [fixed.described(entry) for entry in gallery.engine.listed()],
            "thumbnails": fixed.thumbnails(gallery),
            "judgements": [fixed.judged(word) for word in gallery.engine.judgements(pictures=True)],
            "found": found,
        }


def reproduced() -> dict[str, object]:
    """Digests of recipes, and the folders of the report's rows."""
    from samecar.config import shipped_recipes

    rows: dict[str, dict[str, dict[str, str]]] = {row: {} for row in all_rows()}
    for name, choices in {"nominal": Choices(seeds=(3,)), "as run": Choices(seeds=(3,), as_run=True)}.items():
        for run in plan_runs(choices, all_rows(), Path("out")):
            for row in run.rows:
                rows[row][name] = {"digest": choices.recipe(row).digest, "folder": run.folder.as_posix()}
    return {"recipes": {name: samecar.load_recipe(name).digest for name in shipped_recipes()}, "rows": rows}


def make_drawn() -> dict[str, object]:
    """Drawn pictures, and their digests."""
    folder = Path("drawn")
    folder.mkdir()
    digests = {}
    for name, arguments in fixed.VEHICLES.items():
        picture = draw_vehicle(**arguments)
        picture.save(folder / f"{name}.png")
        digests[name] = fixed.digest_of(picture.tobytes())
    draw_set(folder / "set", **fixed.DRAWN)
    files = fixed.files_of(folder / "set").items()
    contents = {name: fixed.digest_of(path.read_bytes()) for name, path in files}
    return {"vehicles": digests, "files": contents}


def main() -> None:
    """Makes everything and packs it."""
    here = Path(__file__).resolve().parent
    code = Path(samecar.__file__).parent
    commit = subprocess.run(
        ["git", "-C", code, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if commit != COMMIT:
        sys.exit(f"{code} is of commit {commit}; this must run with {COMMIT}")
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    os.chdir(ROOT)
    torch.set_num_threads(1)
    fixed.paint_set(ROOT)
    save_file(thin_weights(), "thin.safetensors")
    Path("recipe.toml").write_text(RECIPE)
    told = {
        "made with": {"commit": COMMIT, "python": platform.python_version(), "torch": torch.__version__},
        "drawn with": fixed.drawn_with(),
        **make_runs(),
    }
    told["compared"] = make_scores()
    told["galleries"] = make_galleries()
    told["reproduced"] = reproduced()
    told["drawn"] = make_drawn()
    functions = fixed.Numbers(
        distance_chunks=distance_chunks,
        nearest=nearest,
        count_matches=count_matches,
        k_reciprocal_distances=k_reciprocal_distances,
        average_query_expansion=average_query_expansion,
        database_augmentation=database_augmentation,
        most_similar=most_similar,
        screened_most_similar=screened_most_similar,
        Screen=Screen,
        Labels=Labels,
        Labelled=Labelled,
        find_protocol=samecar.find_protocol,
        score=samecar.score,
    )
    np.savez("numbers.npz", **fixed.computed(functions))
    told["scored"] = fixed.scored(functions)
    Path("told.json").write_text(json.dumps(told, indent=1) + "\n")
    packed = ("recipe.toml", "told.json", "numbers.npz", "embeddings.npz")
    folders = ("interrupted", "finished", "scores", "galleries", "drawn")
    archive = here / "before.tar.xz"
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for name in (*packed, *folders):
            tar.add(name, filter=plain)
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file of nobody, made at no time."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
