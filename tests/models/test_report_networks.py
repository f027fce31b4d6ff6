"""The report's networks: their parameters, their maps, and what an independent restatement of each computes."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from plain_networks import (
    AllFour,
    ChannelsThenPlaces,
    Last,
    LastTwo,
    MobileNetStages,
    Network,
    ResNetStages,
    SeResNeXtStages,
    SqueezeAndExcitation,
    add,
    concatenate,
    no_attention,
)
from scipy.stats import kstest
from torch import Tensor, nn
from torch.nn import BatchNorm1d, Dropout, Linear, ReLU

from samecar.config import ModelSettings
from samecar.losses.objective import Objective
from samecar.models import Embedder, Outputs
from samecar.models.backbones import Backbone, build_backbone
from samecar.reproduce import Choices
from samecar.training.optim import build_optimizer

VEHICLES = 576

MOBILENET = ((16, 56, 56), (24, 28, 28), (48, 14, 14), (576, 7, 7))
RESNET = ((64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7))
SE_RESNEXT = ((256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7))


@dataclass(frozen=True)
class Case:
    """A row of the report's tables and what it should be.

    Attributes:
        row: its name in `samecar reproduce`.
        parameters: all that are learned, with a classifier of 576 vehicles.
        maps: channels, height and width of the four stages' maps of a picture of 224 × 224.
        optimizer: 'adam' or 'rmsprop'.
        plain: makes the restatement.
    """

    row: str
    parameters: int
    maps: tuple[tuple[int, int, int], ...]
    optimizer: str
    plain: Callable[[], Network]


def mobilenet(*head: nn.Module, embedding: int) -> Network:
    return Network(MobileNetStages(), Last(), nn.Sequential(*head), Linear(embedding, VEHICLES))


def resnet(attention: Callable[[int], nn.Module], fusion: nn.Module, fused: int) -> Network:
    head = nn.Sequential(Linear(fused, 1024), BatchNorm1d(1024), ReLU())
    return Network(ResNetStages(attention), fusion, head, Linear(1024, VEHICLES))


def se_resnext() -> Network:
    head = nn.Sequential(Linear(2048, 512), BatchNorm1d(512), ReLU())
    return Network(SeResNeXtStages(), Last(), head, Linear(512, VEHICLES))


def plain_fc(width: int) -> Callable[[], Network]:
    return lambda: mobilenet(Linear(576, width), embedding=width)


def hidden(*rest: Callable[[], nn.Module]) -> Callable[[], Network]:
    return lambda: mobilenet(Linear(576, 1024), *(layer() for layer in rest), embedding=1024)


def bn() -> BatchNorm1d:
    return BatchNorm1d(1024)


def dropout() -> Dropout:
    return Dropout(0.5)


# Parameters by hand. Convolutions have outputs × inputs × kernel numbers, batch norms 2 for each channel.
#
# MobileNetV3-small up to its last map: torchvision states 2,542,856 for the whole one, whose two last layers have
# 577 × 1,024 and 1,025 × 1,000: 2,542,856 - 590,848 - 1,025,000 = 927,008.
# Classifier of 576: 577 × 576 = 332,352 after 576 features, 129 × 576 = 74,304 after 128, 257 × 576 = 148,032 after
# 256, 513 × 576 = 295,488 after 512, 1,025 × 576 = 590,400 after 1,024.
# A layer 576 → d has 577 × d: 73,856, 147,712, 295,424, 590,848. Batch norm of 1,024: 2,048.
#     vanilla          927,008 + 332,352                     = 1,259,360
#     fc 128           927,008 +  73,856 +  74,304           = 1,075,168
#     fc 256           927,008 + 147,712 + 148,032           = 1,222,752
#     fc 512           927,008 + 295,424 + 295,488           = 1,517,920
#     fc 1024          927,008 + 590,848 + 590,400           = 2,108,256
#     fc … bn …        927,008 + 590,848 + 2,048 + 590,400   = 2,110,304
#
# ResNet18: the stem has 64 × 3 × 49 + 128 = 9,536. A stage from i to o channels has one 3 × 3 i → o, three 3 × 3 o → o
# and four batch norms, and from stage 2 on a 1 × 1 i → o with a batch norm:
#     64 → 64:   4 × 36,864 + 4 × 128                        =   147,968
#     64 → 128:  73,728 + 3 × 147,456 + 8,192 + 5 × 256      =   525,568
#     128 → 256: 294,912 + 3 × 589,824 + 32,768 + 5 × 512    = 2,099,712
#     256 → 512: 1,179,648 + 3 × 2,359,296 + 131,072 + 5 × 1,024 = 8,393,728
# with the stem 11,176,512. Head 512 → 1,024: 513 × 1,024 + 2,048 = 527,360; 1,024 → 1,024: 1,051,648;
# 2,048 → 1,024: 2,100,224. Classifier 590,400.
# SE of C channels: C²/8 + C/16 + C: 580 + 2,184 + 8,464 + 33,312 = 44,540; CBAM has 4 × 98 more: 44,932.
# Stage 3 for two stages: 131,072 + 1,024 = 132,096. For four: 131,072 without batch norm; chain of stage 2
# 295,168 + 1,180,160 = 1,475,328, of stage 1 73,856 more: 1,549,184; all three 3,155,584.
#     plain                11,176,512                      +   527,360 + 590,400 = 12,294,272
#     SE                   11,176,512 + 44,540             +   527,360 + 590,400 = 12,338,812
#     SE, concatenation    11,176,512 + 44,540 +   132,096 + 1,051,648 + 590,400 = 12,995,196
#     SE, addition         11,176,512 + 44,540 +   132,096 +   527,360 + 590,400 = 12,470,908
#     CBAM                 11,176,512 + 44,932             +   527,360 + 590,400 = 12,339,204
#     CBAM, concatenation  11,176,512 + 44,932 +   132,096 + 1,051,648 + 590,400 = 12,995,588
#     SE, global           11,176,512 + 44,540 + 3,155,584 + 2,100,224 + 590,400 = 17,067,260
#
# SE-ResNeXt50: a block from i to o channels, w = o / 2 wide, has w i + 9 w (w / 32) + w o, in its batch norms 4 w + 2 o
# and in its gate o²/8 + o/16 + o; the first of a stage has a shortcut of i o + 2 o besides. In this order:
#     stage 1: first   8,192 +   4,608 +    32,768 + 1,024 +   8,464 +    16,384 +   512 =    71,952,
#              others 32,768 +   4,608 +    32,768 + 1,024 +   8,464 = 79,632, twice        =   159,264
#     stage 2: first  65,536 +  18,432 +   131,072 + 2,048 +  33,312 +   131,072 + 1,024 =   382,496,
#              others 131,072 + 18,432 +   131,072 + 2,048 +  33,312 = 315,936, three times =   947,808
#     stage 3: first 262,144 +  73,728 +   524,288 + 4,096 + 132,160 +   524,288 + 2,048 = 1,522,752,
#              others 524,288 + 73,728 +   524,288 + 4,096 + 132,160 = 1,258,560, 5 times   = 6,292,800
#     stage 4: first 1,048,576 + 294,912 + 2,097,152 + 8,192 + 526,464 + 2,097,152 + 4,096 = 6,076,544,
#              others 2,097,152 + 294,912 + 2,097,152 + 8,192 + 526,464 = 5,023,872, twice  = 10,047,744
# with the stem of 9,536 25,510,896. Head 2,049 × 512 + 1,024 = 1,050,112, classifier 295,488: 26,856,496.
CASES = [
    Case("table1/baseline", 1_259_360, MOBILENET, "adam", lambda: mobilenet(embedding=576)),
    Case("table4/embedding-128", 1_075_168, MOBILENET, "rmsprop", plain_fc(128)),
    Case("table4/embedding-256", 1_222_752, MOBILENET, "rmsprop", plain_fc(256)),
    Case("table4/embedding-512", 1_517_920, MOBILENET, "rmsprop", plain_fc(512)),
    Case("table4/embedding-1024", 2_108_256, MOBILENET, "rmsprop", plain_fc(1024)),
    Case("table9/vanilla", 1_259_360, MOBILENET, "rmsprop", lambda: mobilenet(embedding=576)),
    Case("table9/fc-relu-dropout-bn-fc", 2_110_304, MOBILENET, "rmsprop", hidden(ReLU, dropout, bn)),
    Case("table9/fc-relu-bn-fc", 2_110_304, MOBILENET, "rmsprop", hidden(ReLU, bn)),
    Case("table9/fc-bn-relu-dropout-fc", 2_110_304, MOBILENET, "rmsprop", hidden(bn, ReLU, dropout)),
    Case("table9/fc-bn-relu-fc", 2_110_304, MOBILENET, "rmsprop", hidden(bn, ReLU)),
    Case("table9/fc-bn-fc", 2_110_304, MOBILENET, "rmsprop", hidden(bn)),
    Case("table2/resnet18", 12_294_272, RESNET, "adam", lambda: resnet(no_attention, Last(), 512)),
    Case("table2/se-resnet18", 12_338_812, RESNET, "adam", lambda: resnet(SqueezeAndExcitation, Last(), 512)),
    Case(
        "table2/se-resnet18-concatenation",
        12_995_196,
        RESNET,
        "adam",
        lambda: resnet(SqueezeAndExcitation, LastTwo(concatenate), 1024),
    ),
    Case(
        "table2/se-resnet18-addition",
        12_470_908,
        RESNET,
        "adam",
        lambda: resnet(SqueezeAndExcitation, LastTwo(add), 512),
    ),
    Case("table2/resnet-cbam", 12_339_204, RESNET, "adam", lambda: resnet(ChannelsThenPlaces, Last(), 512)),
    Case(
        "table2/resnet-cbam-concatenation",
        12_995_588,
        RESNET,
        "adam",
        lambda: resnet(ChannelsThenPlaces, LastTwo(concatenate), 1024),
    ),
    Case(
        "table2/se-resnet18-global", 17_067_260, RESNET, "adam", lambda: resnet(SqueezeAndExcitation, AllFour(), 2048)
    ),
    Case("table2/se-resnext50", 26_856_496, SE_RESNEXT, "adam", se_resnext),
]


def cases(*slow: str) -> list[Any]:
    """All cases; those whose rows begin so are marked as slow."""
    return [
        pytest.param(case, id=case.row, marks=[pytest.mark.slow] if case.row.startswith(slow) else []) for case in CASES
    ]


@cache
def shared_backbone(settings: ModelSettings) -> Backbone:
    """Samecar's backbone, whose making takes long and is the same for many rows; only copies of it are changed."""
    return build_backbone(settings)


def build(row: str) -> Embedder:
    """Samecar's network of a row for pictures of 224 × 224, with random weights."""
    changes = {"weights": "none", "height": 224, "width": 224}
    settings = Choices().recipe(row).model.model_copy(update=changes)
    named = ("backbone", "weights", "height", "width", "batch_norm_epsilon", "batch_norm_momentum")
    backbone = shared_backbone(ModelSettings(**{name: getattr(settings, name) for name in named}))
    return Embedder(settings, copy.deepcopy(backbone), VEHICLES)


def stage_maps(embedder: Embedder, pictures: Tensor) -> list[Tensor]:
    """The maps of the four stages of samecar's backbone, the last one the map that is pooled."""
    backbone = embedder.backbone
    with pytest.MonkeyPatch.context() as until_then:  # what the fusion has tapped is tapped again afterwards
        until_then.setattr(backbone, "_tapped", backbone._tapped)
        backbone.tap(backbone.stages[:-1])
        return backbone(pictures)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("case", cases("table2/se-resnext50"))
@torch.no_grad()
def test_parameters_and_maps_are_as_stated(case: Case) -> None:
    embedder, plain, pictures = build(case.row).eval(), case.plain().eval(), torch.zeros(1, 3, 224, 224)
    assert count(embedder) == case.parameters
    assert count(plain) == case.parameters
    assert [tuple(maps.shape[1:]) for maps in stage_maps(embedder, pictures)] == list(case.maps)
    assert [tuple(maps.shape[1:]) for maps in plain.stages(pictures)] == list(case.maps)


def fixed_network(make: Callable[[], Network], seed: int = 0) -> Network:
    """A restatement in float64 whose batch norms are not as trivial as they begin."""
    torch.manual_seed(seed)
    network = make().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def same_network(row: str, plain: Network) -> Embedder:
    """Samecar's network of a row in float64 with the tensors of a restatement, which must agree in kind and shape."""
    embedder = build(row).double()
    given, wanted = plain.state_dict(), embedder.state_dict()
    matched = {}
    for (theirs, tensor), (ours, place) in zip(given.items(), wanted.items(), strict=True):
        assert theirs.rpartition(".")[2] == ours.rpartition(".")[2], (theirs, ours)
        assert tensor.shape == place.shape, (theirs, ours)
        matched[ours] = tensor
    embedder.load_state_dict(matched)
    return embedder


def small_batch() -> tuple[Tensor, Tensor]:
    """Three pictures of each of two vehicles."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, 64, 32, generator=generator, dtype=torch.float64), torch.tensor([3] * 3 + [575] * 3)


def naive_loss(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus batch-hard triplet loss with a margin of 0.3, picture by picture."""
    losses = []
    for anchor, (feature, scores, label) in enumerate(zip(features, logits, labels, strict=True)):
        distances = [((feature - other) ** 2).sum().sqrt() for other in features]
        others = [index for index in range(len(labels)) if index != anchor]
        farthest = max(distances[index] for index in others if labels[index] == label)
        nearest = min(distances[index] for index in others if labels[index] != label)
        losses.append(scores.exp().sum().log() - scores[label] + (farthest - nearest + 0.3).clamp(min=0))
    return sum(losses) / len(losses)


STEPS = {"adam": 1, "rmsprop": 2}
"""RMSprop's momentum shows only in a second step, which is taken with the gradient of the first."""


def take_steps(optimizer: str, parameter: Tensor, gradient: Tensor) -> Tensor:
    """A parameter after its optimiser's steps from rest, at a rate of 1e-4 with a weight decay of 5e-4."""
    if optimizer == "adam":  # both corrected averages are those of one gradient
        decayed = gradient + 5e-4 * parameter
        return parameter - 1e-4 * decayed / (decayed.abs() + 1e-8)
    square, change = torch.zeros_like(parameter), torch.zeros_like(parameter)
    for _ in range(STEPS[optimizer]):
        decayed = gradient + 5e-4 * parameter
        square = 0.99 * square + 0.01 * decayed**2
        change = 0.9 * change + decayed / (square.sqrt() + 1e-8)
        parameter = parameter - 1e-4 * change
    return parameter


def assert_near(found: Tensor, expected: Tensor, what: str, *, relative: float = 1e-9, absolute: float = 0) -> None:
    """No number is off by more than a share of the largest one, or by more than so much."""
    assert found.shape == expected.shape, what
    allowed = max(absolute, relative * expected.abs().max().item())
    difference = (found - expected).abs().max().item()
    assert difference <= allowed, f"{what} differs by {difference}"


@pytest.mark.parametrize("case", cases("table2", "table4"))
def test_network_computes_what_its_restatement_does(case: Case) -> None:
    plain = fixed_network(case.plain)
    embedder = same_network(case.row, plain)
    pictures, labels = small_batch()

    plain.eval(), embedder.eval()
    with torch.no_grad():
        for stage, maps in enumerate(zip(stage_maps(embedder, pictures[:2]), plain.stages(pictures[:2]), strict=True)):
            assert_near(*maps, f"map of stage {stage + 1}")
        assert_same_outputs(embedder.outputs(pictures[:2]), plain(pictures[:2]), "in evaluation")

    plain.train(), embedder.train()
    torch.manual_seed(2)  # of the dropout
    expected = plain(pictures)
    torch.manual_seed(2)
    outputs = embedder.outputs(pictures)
    assert_same_outputs(outputs, expected, "in training")
    for (name, found), wanted in zip(embedder.named_buffers(), plain.buffers(), strict=True):
        assert_near(found, wanted, name)  # running means and variances

    recipe = Choices().recipe(case.row)
    loss, expected_loss = Objective(recipe.loss, embedder)(outputs, labels)["total"], naive_loss(*expected, labels)
    assert_near(loss, expected_loss, "loss")
    loss.backward()
    expected_loss.backward()
    largest = max(parameter.grad.abs().max().item() for parameter in plain.parameters())
    for (name, found), wanted in zip(embedder.named_parameters(), plain.parameters(), strict=True):
        # A bias before a batch norm has no influence: its gradient is nothing but rounding.
        assert_near(found.grad, wanted.grad, f"gradient of {name}", absolute=1e-12 * largest)
    optimizer = build_optimizer(embedder.parameters(), recipe.optimizer)
    for _ in range(STEPS[case.optimizer]):
        optimizer.step()
    with torch.no_grad():
        for (name, found), wanted in zip(embedder.named_parameters(), plain.parameters(), strict=True):
            moved = take_steps(case.optimizer, wanted, wanted.grad)
            assert_near(found, moved, f"{name} after a step", relative=0, absolute=1e-10)  # a step is 1e-4 or 1e-3


def assert_same_outputs(outputs: Outputs, expected: tuple[Tensor, Tensor], when: str) -> None:
    features, logits = expected
    assert_near(outputs.features, features, f"embedding {when}")
    assert_near(outputs.logits, logits, f"logits {when}")


def new_layers(embedder: Embedder) -> dict[str, nn.Module]:
    """Layers that no file of weights fills: attention, fusion, head and classifier."""
    return {
        name: module
        for name, module in embedder.named_modules()
        if name.startswith(("fusion.", "head.", "classifier")) or ".attention." in name
    }


@pytest.mark.parametrize(
    ("row", "layers"),
    [
        ("table1/baseline", 1),
        ("table4/embedding-128", 2),
        ("table9/fc-bn-relu-dropout-fc", 2),
        ("table2/se-resnet18-addition", 4 * 2 + 1 + 2),
        ("table2/resnet-cbam-concatenation", 4 * 3 + 1 + 2),
        ("table2/se-resnet18-global", 4 * 2 + 6 + 2),
        pytest.param("table2/se-resnext50", 2, marks=pytest.mark.slow),
    ],
)
def test_new_layers_begin_as_torch_makes_them(row: str, layers: int) -> None:
    """Weights and biases are even between ∓ 1 / √ fan-in, as torch's documentation of Linear and Conv2d says."""
    torch.manual_seed(3)
    found = new_layers(build(row))
    weighted = {name: module for name, module in found.items() if isinstance(module, nn.Linear | nn.Conv2d)}
    assert len(weighted) == layers
    for name, module in weighted.items():
        bound = 1 / math.sqrt(module.weight[0].numel())
        for numbers in [module.weight, *([] if module.bias is None else [module.bias])]:
            values = numbers.detach().double().flatten()
            assert values.abs().max().item() <= bound * (1 + 1e-6), name
            if len(values) > 10_000:
                assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02), name
            assert kstest(values.numpy(), "uniform", args=(-bound, 2 * bound)).pvalue > 1e-4, name
    for name, module in found.items():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1), name
            assert (module.weight == 1).all(), name
            assert (module.bias == 0).all(), name
