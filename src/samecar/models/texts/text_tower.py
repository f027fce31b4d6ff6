"""The text tower that learned beside a picture tower, as OpenCLIP has it; it is never trained here."""

import difflib
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from samecar.errors import SamecarError, missing_library

NAMES_SHOWN = 3
"""Of models that a mistyped name may have meant."""

UNREADABLE = (
    AssertionError,
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)
"""What OpenCLIP raises over weights that it cannot fetch, read or place; nothing of a file is run."""


class TextTower(nn.Module):
    """From tokens to a text's feature; made by `build_text_tower`.

    Its parameters have no gradients. Its transformer looks back only, so that a text's feature, which stands at the
    last token, does not depend on how far a text would be filled up.

    Attributes:
        token_width: of a token's embedding.
        width: of a text's feature.
        longest: tokens of the longest text, the two at its ends included.

    Args:
        model: a plain CLIP model of OpenCLIP; of its pictures' side nothing is kept.
        tokenizer: OpenCLIP's, of that model.
    """

    mask: Tensor

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.token_embedding: nn.Embedding = model.token_embedding
        self.positional_embedding: nn.Parameter = model.positional_embedding
        self.transformer: nn.Module = model.transformer
        self.ln_final: nn.Module = model.ln_final
        self.text_projection: nn.Parameter = model.text_projection
        self.register_buffer("mask", model.attn_mask, persistent=False)
        self.longest, self.token_width = self.positional_embedding.shape
        self.width: int = self.text_projection.shape[1]
        self._tokenizer = tokenizer
        self.requires_grad_(False)
        self.eval()

    def read(self, text: str) -> list[int]:
        """The numbers of a text's tokens, without the two that stand at the ends of a whole text."""
        numbers: list[int] = self._tokenizer.encode(text)
        return numbers

    @property
    def ends(self) -> tuple[int, int]:
        """The numbers of the tokens with which a text begins and ends."""
        return self._tokenizer.sot_token_id, self._tokenizer.eot_token_id

    def embed_tokens(self, numbers: list[int]) -> Tensor:
        """The embeddings of tokens, (tokens, token width)."""
        device = self.token_embedding.weight.device
        embeddings: Tensor = self.token_embedding(torch.tensor(numbers, dtype=torch.int64, device=device))
        return embeddings

    def forward(self, embeddings: Tensor) -> Tensor:
        """The features of whole texts of equal length.

        Args:
            embeddings: of their tokens, (batch, tokens, token width), both ends included.

        Returns:
            (batch, width), not of length one.
        """
        length = embeddings.shape[1]
        tokens = embeddings + self.positional_embedding[:length]
        read = self.transformer(tokens, attn_mask=self.mask[:length, :length])
        features: Tensor = self.ln_final(read[:, -1]) @ self.text_projection
        return features


def build_text_tower(name: str, weights: str, seed: int) -> TextTower:
    """Builds a text tower with its weights.

    Args:
        name: of an OpenCLIP model, such as 'ViT-B-16-quickgelu'.
        weights: a tag of OpenCLIP, the path of a local file in its layout, or 'none' for random ones.
        seed: of random weights; nothing is drawn from torch's own random numbers.

    Raises:
        SamecarError: OpenCLIP is not installed or has no such model, its text tower is not a plain one, or the weights
            cannot be had.
    """
    try:
        import open_clip
    except ImportError as error:
        raise missing_library("prompts.text_tower needs", "open-clip-torch", "clip") from error
    known = open_clip.list_models()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=NAMES_SHOWN, cutoff=0.3)
        raise SamecarError(
            f"prompts.text_tower is {name!r}, which OpenCLIP does not have; did you mean {' or '.join(nearest)}?"
        )
    _check_weights(name, weights, open_clip.list_pretrained_tags_by_model(name))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            model = open_clip.create_model(name, None if weights == "none" else weights)
        except UNREADABLE as error:
            raise SamecarError(
                f"prompts.weights {weights!r} of {name!r} cannot be read: {str(error).strip().splitlines()[0]}; try "
                "again with a network, or give the path of a local file in OpenCLIP's layout"
            ) from error
    tokenizer = open_clip.get_tokenizer(name)
    if not _is_plain(model) or not isinstance(tokenizer, open_clip.SimpleTokenizer):
        raise SamecarError(
            f"prompts.text_tower is {name!r}, whose text tower is not the plain one of CLIP; choose one such as "
            "'ViT-B-16-quickgelu'"
        )
    return TextTower(model, tokenizer)


def _check_weights(name: str, weights: str, tags: list[str]) -> None:
    if weights != "none" and weights not in tags and not Path(weights).is_file():
        raise SamecarError(
            f"prompts.weights is {weights!r}, which is neither a file nor among OpenCLIP's of {name!r}: "
            f"{', '.join(tags) or 'none'}; choose one of them, a file, or 'none'"
        )


def _is_plain(model: Any) -> bool:
    """Whether a model of OpenCLIP reads texts as CLIP does: looking back only, its feature at the last token."""
    import open_clip

    return (
        isinstance(model, open_clip.CLIP)
        and model.attn_mask is not None
        and model.text_pool_type == "argmax"
        and isinstance(model.text_projection, nn.Parameter)
    )
