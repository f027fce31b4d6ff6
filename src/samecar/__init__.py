"""Vehicle re-identification: find the pictures that show the same vehicle, and measure how well that goes.

A model is trained on pictures whose vehicles are known, scored under a protocol that is printed beside every number,
and used to search galleries of pictures and films.

    import samecar

    run = samecar.train("report-resnet18", "veri776:data/VeRi", "runs/resnet18", progress=True)
    print(samecar.evaluate(run, "veri776:data/VeRi"))  # mAP and CMC, with the rules that they were obtained under
    print(samecar.compare("first.jpg", "second.jpg", run))  # how alike two pictures are
    model = samecar.load("first.onnx")  # to embed pictures: a run, an exported file, or hf-hub:ORGANISATION/NAME

    with samecar.Gallery.open("gallery") as gallery:  # made by `samecar gallery create`
        print(gallery)

A recipe is a name (see `samecar recipes`), a TOML file or a `Recipe`; a source is `NAME:PATH` or a `Manifest`; a run is
its folder or a `Run`; a path is a string or a `Path`. Whatever can be mended is a `SamecarError` of one sentence.

The command line does the same: `samecar --help`, then `samecar demo`, which needs no data set. Pages on each topic
stand in the folder docs/ of the repository, with docs/index.md as their first.

A name is loaded when it is first used, from where `__init__.pyi` says that it stands, so that importing samecar does
not wait for torch. What trains and draws figures needs the extra `[train]`; the installation without extras searches,
scores and serves.
"""

import os

import lazy_loader

from samecar.errors import naming_extra
from samecar.version import __version__ as __version__

# onnxruntime reads it when it is loaded, and else notes a number of this machine and sends what it is used for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    with naming_extra(f"samecar.{name} needs"):
        return _load(name)
