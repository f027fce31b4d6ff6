"""Last stride 1: the last stage keeps the size of the stage before (Luo et al., arXiv 1903.07071, section 3.4)."""

from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from samecar.errors import SamecarError
from samecar.models.shapes import REFUSALS, shape_model

SIZE = 8
"""Places on each side of the last map, at which strides are looked for."""

POOLS = (nn.AvgPool2d, nn.MaxPool2d)


def remove_last_stride(model: Any, backbone: str) -> None:
    """Sets the stride of the last stage that has one from 2 to 1; its last maps are twice as high and wide.

    A strided convolution keeps its kernel. A kernel of even size, such as ConvNeXt's of 2 × 2, reads beyond the lower
    and right edge, where zeros are. A pooling without overlap, whose kernel is its stride, goes away.

    Args:
        model: a timm model that ends in maps; it and its `feature_info` are changed.
        backbone: names it in the error's sentence.

    Raises:
        SamecarError: no stride is found, or the maps do not come out twice as high and wide.
    """
    notes = getattr(model, "feature_info", None) or []
    reduction = max((note["reduction"] for note in notes), default=0)
    size = SIZE * reduction
    try:
        strided = _strided_modules(model, size) if reduction else []
        for name in strided:
            _set_stride(model, name)
        works = bool(strided) and _last_size(model, size) == 2 * SIZE
    except REFUSALS:  # pictures of one size only
        works = False
    if not works:
        raise SamecarError(
            f"model.last_stride 1 needs a convolutional network whose last stage halves its maps, as far as is known "
            f"here; model.backbone {backbone!r} is none; choose last_stride 2 or another backbone"
        )
    for note in notes:
        if note["reduction"] == reduction:
            note["reduction"] = reduction // 2


def _strided_modules(model: Any, size: int) -> list[str]:
    """Names of the modules that halve maps to the last size of `SIZE`."""
    model, picture = shape_model(model, size, size)
    found: list[str] = []

    def watch(name: str, module: nn.Module) -> None:
        def note(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if inputs[0].shape[-1] == 2 * SIZE and output.shape[-1] == SIZE and inputs[0].ndim == 4:
                found.append(name)

        module.register_forward_hook(note)

    for name, module in model.named_modules():
        if _stride(module) == 2:
            watch(name, module)
    model.forward_features(picture)
    return list(dict.fromkeys(found))


def _stride(module: nn.Module) -> int:
    """Of a convolution or pooling; 1 of any other module."""
    if any(True for _ in module.children()):
        return 1
    stride = getattr(module, "stride", 1)
    stride = stride[0] if isinstance(stride, tuple) else stride
    return stride if isinstance(stride, int) else 1


def _set_stride(model: nn.Module, name: str) -> None:
    module: Any = model.get_submodule(name)
    if isinstance(module, POOLS) and module.kernel_size in (2, (2, 2)):
        model.set_submodule(name, nn.Identity())
        return
    module.stride = (1, 1) if isinstance(module.stride, tuple) else 1
    if type(module) is nn.Conv2d and module.kernel_size[0] % 2 == 0:
        model.set_submodule(name, _padded(module))


def _padded(module: nn.Conv2d) -> nn.Conv2d:
    """A convolution of the same weights whose maps are as high and wide as what it reads."""
    height, width = module.kernel_size
    padded = Conv2dSame(
        module.in_channels,
        module.out_channels,
        (height, width),
        groups=module.groups,
        bias=module.bias is not None,
    )
    padded.weight, padded.bias = module.weight, module.bias
    return padded


def _last_size(model: Any, size: int) -> int:
    model, picture = shape_model(model, size, size)
    last: Tensor = model.forward_features(picture)
    return last.shape[-1]
