"""Parts between the blocks and stages of a convolutional network: non-local blocks and MixStyle."""

import torch
from torch import Tensor, nn
from torch.nn import functional

NON_LOCAL_DEVIATION = 0.01
"""Of the weights with which the convolutions of a non-local block begin."""

STYLE_EPSILON = 1e-6
"""Added to variances, so that a map that is the same everywhere has a deviation."""


class NonLocalBlock(nn.Module):
    """Lets every place of a map read all places (Wang et al., arXiv 1711.07971, equations 1, 3 and 6).

    The embedded Gaussian: place i becomes x_i + norm(W sum over j of softmax_j(θ(x_i) · φ(x_j)) g(x_j)), where θ, φ
    and g are convolutions of 1 × 1 to half of the channels, W is one back to all of them, and norm is batch
    normalisation. The norm's scale begins at 0, so that the network begins as it was without the block (section 4.1);
    weights begin from a normal distribution of deviation 0.01 and biases at 0, however other new layers begin.

    Args:
        channels: of the maps, at least 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, kernel_size=1)
        self.phi = nn.Conv2d(channels, inner, kernel_size=1)
        self.g = nn.Conv2d(channels, inner, kernel_size=1)
        self.back = nn.Conv2d(inner, channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        for convolution in (self.theta, self.phi, self.g, self.back):
            nn.init.normal_(convolution.weight, std=NON_LOCAL_DEVIATION)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """From maps, (batch, channels, height, width), to maps of the same shape."""
        query, key, value = (
            convolution(maps).flatten(2).transpose(1, 2)[:, None]  # (batch, 1, places, inner)
            for convolution in (self.theta, self.phi, self.g)
        )
        read = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        read = read[:, 0].transpose(1, 2).reshape(len(maps), -1, *maps.shape[-2:])
        refined: Tensor = maps + self.norm(self.back(read))
        return refined


class MixStyle(nn.Module):
    """Mixes the means and deviations of a picture's maps with those of another's (Zhou et al., arXiv 2104.02008).

    In training, and with a probability for the whole batch: maps are normalised by their mean m and deviation s over
    places, in each picture and channel, and get λs + (1 - λ)s' and λm + (1 - λ)m', where s' and m' are those of another
    picture of the batch, by a random order. λ is of Beta(α, α), one for each picture. No gradient flows through means
    and deviations. In evaluation nothing happens. The random numbers are of torch's generator of the CPU.

    Args:
        probability: that a batch is mixed.
        alpha: of the Beta distribution; the smaller, the nearer λ is to 0 or 1.
    """

    def __init__(self, probability: float, alpha: float) -> None:
        super().__init__()
        self.probability = probability
        self.alpha = alpha

    def forward(self, maps: Tensor) -> Tensor:
        """From maps, (batch, channels, height, width), to maps of the same shape."""
        if not self.training or torch.rand(()) >= self.probability:
            return maps
        batch = len(maps)
        mixed = torch.distributions.Beta(self.alpha, self.alpha).sample((batch, 1, 1, 1)).to(maps)
        order = torch.randperm(batch).to(maps.device)
        mean = maps.mean(dim=(2, 3), keepdim=True).detach()
        deviation = (maps.var(dim=(2, 3), keepdim=True) + STYLE_EPSILON).sqrt().detach()
        normalised = (maps - mean) / deviation
        new_deviation = mixed * deviation + (1 - mixed) * deviation[order]
        return normalised * new_deviation + mixed * mean + (1 - mixed) * mean[order]


def find_blocks(model: nn.Module, stage: str | None) -> list[str]:
    """Names of the blocks that a stage consists of, one after the other; none if it is built in another way.

    Args:
        model: a timm model.
        stage: the name of the stage's module; None if it is no single one.
    """
    modules = dict(model.named_modules())
    for name in (stage, f"{stage}.blocks") if stage is not None else ():
        row = modules.get(name)
        if isinstance(row, nn.Sequential):
            return [f"{name}.{child}" for child, _ in row.named_children()]
    return []
