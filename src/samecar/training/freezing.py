"""Parts of the backbone that stay as they are in the first epochs, until the new layers have found their way."""

from torch import nn

from samecar.errors import SamecarError
from samecar.models import Embedder


class FrozenPart:
    """A part of the backbone that can be frozen.

    Frozen it computes as in evaluation: batch normalisation uses and keeps its running means and variances, and nothing
    is dropped at random; no gradient is computed for its parameters. What was put into the backbone and begins anew,
    such as attention, is no part of it.

    Args:
        model: that the part belongs to.
        what: 'backbone' is all of it; 'all-but-last-stage' is what comes before the last stage's first layer, in the
            order in which timm's model names its modules.

    Raises:
        SamecarError: 'all-but-last-stage' of a backbone whose last stage is not known.
    """

    def __init__(self, model: Embedder, what: str) -> None:
        modules = list(model.backbone.modules()) if what == "backbone" else _before_last_stage(model)
        new = {id(module) for inserted in model.backbone.inserted() for module in inserted.modules()}
        self._modules = [module for module in modules if id(module) not in new]
        self._parameters = [
            parameter
            for module in self._modules
            for parameter in module.parameters(recurse=False)
            if parameter.requires_grad
        ]

    def freeze(self) -> None:
        """Freezes the part; `model.train()` must have been called before."""
        for parameter in self._parameters:
            parameter.requires_grad_(False)
        for module in self._modules:
            module.training = False  # and not module.eval(), which would reach the new layers inside too

    def thaw(self) -> None:
        """Lets the part's parameters be trained; `model.train()` does the rest."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)


def _before_last_stage(model: Embedder) -> list[nn.Module]:
    """The modules of timm's model up to the end of the last stage but one."""
    backbone = model.backbone
    last = backbone.stages[-2].module if len(backbone.stages) > 1 else None
    if last is None:
        raise SamecarError(
            f"training.frozen 'all-but-last-stage' needs a backbone of stages that are modules, which model.backbone "
            f"{model.settings.backbone!r} is not; choose frozen 'backbone', or another backbone"
        )
    modules = list(backbone.model.named_modules())
    end = max(place for place, (name, _) in enumerate(modules) if name == last or name.startswith(f"{last}."))
    return [module for _, module in modules[: end + 1]]
