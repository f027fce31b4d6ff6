"""The losses that prompts are learned with: pictures find their texts, and texts their pictures."""

import torch
from torch import Tensor
from torch.nn import functional


def picture_to_text_contrast(pictures: Tensor, texts: Tensor) -> Tensor:
    """How hard it is to find each picture's text among those of the batch (Li et al., arXiv 2211.13977, equation 2).

    The mean over pictures i of -log(exp(v_i · t_i) / Σ_a exp(v_i · t_a)), with the texts of all pictures a.

    Args:
        pictures: features v of the pictures, (batch, width).
        texts: features t of the texts about their vehicles, (batch, width).

    Returns:
        A scalar; 0 for a batch of one picture.
    """
    scores = _scores(pictures, texts)
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def text_to_picture_contrast(pictures: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
    """How hard it is to find the pictures of each text's vehicle (Li et al., arXiv 2211.13977, equation 4).

    The mean over texts i, and over the pictures p of i's vehicle, of -log(exp(v_p · t_i) / Σ_a exp(v_a · t_i)), with
    all pictures a of the batch.

    Args:
        pictures: as in `picture_to_text_contrast`.
        texts: likewise.
        labels: number of each picture's vehicle, (batch,), integers.

    Returns:
        A scalar.
    """
    shares = functional.log_softmax(_scores(pictures, texts), dim=0)  # (pictures, texts)
    same = (labels[:, None] == labels[None, :]).to(shares.dtype)  # (pictures, texts)
    return -((shares * same).sum(dim=0) / same.sum(dim=0)).mean()


def _scores(pictures: Tensor, texts: Tensor) -> Tensor:
    """Products of features, (pictures, texts)."""
    with torch.autocast(pictures.device.type, enabled=False):
        dtype = torch.promote_types(pictures.dtype, torch.float32)
        return pictures.to(dtype) @ texts.to(dtype).T
