"""Settings: what a training run is made of, read from TOML, checked strictly, and told apart by a digest."""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from samecar.errors import SamecarError
from samecar.options import OptionDescription, describe_groups, describe_settings, settings_as_toml

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
NonNegativeFloat = Annotated[float, Field(ge=0)]

LATER: dict[str, JsonValue] = {"later": True}
"""Marks options that an earlier version did not have; their default is what that version did."""


class Settings(BaseModel):
    """A group of options; it cannot be changed and an unknown option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _refuse_unread(settings: Settings, options: Iterable[str], reason: str) -> None:
    """Refuses options that are not at their default though nothing would read them."""
    for name in options:
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].default:
            raise ValueError(f"{name} is {value!r} but {reason}, or leave {name} out")


class ModelSettings(Settings):
    """What an [Embedder][samecar.models.Embedder] is composed of."""

    backbone: str = Field("mobilenetv3_small_100", description="name of a timm model")
    weights: str = Field(
        "imagenet",
        description="'timm:TAG' or 'torchvision:MODEL.TAG' (published by these libraries, fetched if not here), "
        "'imagenet' (timm's of the day, whose name the run notes), 'none' (random), 'package:NAME' (from an installed "
        "Python package) or the path of a local file in timm's, torchvision's or Cadene's key layout, or of a folder "
        "with such a file for each backbone, named after it",
    )
    initialisation: Literal["kaiming", "torch"] = Field(
        "kaiming",
        description="how new layers begin: 'kaiming' is Kaiming's normal distribution, and a classifier near 0; "
        "'torch' is as torch makes them",
        json_schema_extra=LATER,
    )
    batch_norm_epsilon: PositiveFloat | None = Field(
        None,
        description="what the backbone's batch normalisation adds to variances; not given, it is as in the library "
        "that the weights come from",
        json_schema_extra=LATER,
    )
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="weight of a new batch in the backbone's running means and variances; not given, likewise",
        json_schema_extra=LATER,
    )
    attention: Literal["none", "se", "cbam"] = Field(
        "none",
        description="attention after each stage of the backbone: 'se' is squeeze and excitation, 'cbam' also weighs "
        "places",
    )
    attention_reduction: PositiveInt = Field(16, description="channels are divided by this inside the attention")
    fusion: Literal["none", "concatenate", "add", "global", "global-chain"] = Field(
        "none",
        description="'concatenate' and 'add' join stages 3 and 4; 'global' and 'global-chain' concatenate all four, "
        "brought down by one convolution of 1 × 1 each, or the earlier ones by chains of 3 × 3",
    )
    pooling: Literal["average", "max", "gem"] = Field(
        "average",
        description="how a feature map becomes a vector; 'gem' is the generalised mean with a learned power",
    )
    head: Literal[
        "none", "fc", "fc-relu-dropout-bn-fc", "fc-relu-bn-fc", "fc-bn-relu-dropout-fc", "fc-bn-relu-fc", "fc-bn-fc"
    ] = Field(
        "none", description="layers between pooling and classifier; the last fc of the long names is the classifier"
    )
    embedding_size: PositiveInt | None = Field(
        None, description="width of the head's layer; head 'none' has none: its embedding is as wide as the pooled map"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="share of numbers set to 0 at random in training, in heads whose name has 'dropout'"
    )
    zero_bias: bool = Field(False, description="whether linear layers of head and classifier go without bias")
    height: PositiveInt = Field(224, description="pictures are resized to this height in pixels")
    width: PositiveInt = Field(224, description="pictures are resized to this width in pixels")

    @model_validator(mode="after")
    def _embedding_size_belongs_to_head(self) -> Self:
        if self.head == "none" and self.embedding_size is not None:
            raise ValueError(
                f"embedding_size is {self.embedding_size} but head is 'none', which has no layer; use head 'fc'"
            )
        if self.head != "none" and self.embedding_size is None:
            raise ValueError(f"head is {self.head!r} but embedding_size is not given; give its width, for example 1024")
        return self


class AugmentationSettings(Settings):
    """Random changes to training pictures, in the order in which they are applied."""

    centre_crop: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of each side that is kept, then resized back; 1 is off, the report's 200 of 224 is .893"
    )
    translation: Probability = Field(
        0.5, description="probability of resizing to 1.125 of each side and cropping at random"
    )
    flip: Probability = Field(0.5, description="probability of a horizontal flip")
    jitter: bool = Field(False, description="whether colours are jittered, by the four strengths below")
    jitter_brightness: NonNegativeFloat = Field(
        0.2, description="brightness is multiplied by 1 - this to 1 + this", json_schema_extra=LATER
    )
    jitter_contrast: NonNegativeFloat = Field(0.15, description="contrast, likewise", json_schema_extra=LATER)
    jitter_saturation: NonNegativeFloat = Field(0.0, description="saturation, likewise", json_schema_extra=LATER)
    jitter_hue: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="part of the colour circle by which hues turn at most, either way", json_schema_extra=LATER
    )
    pca_colour: Probability = Field(0.0, description="probability of AlexNet's colour augmentation")
    erasing: Probability = Field(0.0, description="probability of random erasing: a rectangle becomes grey")
    erasing_area: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.02, 0.4), description="least and most share of the picture that is erased", json_schema_extra=LATER
    )
    erasing_ratio: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.3, 1 / 0.3), description="least and most height of the rectangle to its width", json_schema_extra=LATER
    )

    @model_validator(mode="after")
    def _options_of_what_is_on(self) -> Self:
        for switch, value in (("jitter", "true"), ("erasing", "a probability")):
            if not getattr(self, switch):
                own = (name for name in type(self).model_fields if name.startswith(f"{switch}_"))
                _refuse_unread(self, own, f"{switch} is off; set {switch} to {value}")
        for name in ("erasing_area", "erasing_ratio"):
            least, most = getattr(self, name)
            if least > most or (name == "erasing_area" and most > 1):
                limit = ", and at most 1" if name == "erasing_area" else ""
                raise ValueError(f"{name} is {[least, most]}; give the least and then the most{limit}")
        return self


class BatchSettings(Settings):
    """Identity batches: size / pictures_per_vehicle vehicles, pictures_per_vehicle pictures of each."""

    size: PositiveInt = Field(64, description="pictures in a batch, a multiple of pictures_per_vehicle")
    pictures_per_vehicle: PositiveInt = Field(4, description="pictures of each vehicle in a batch")

    @model_validator(mode="after")
    def _whole_vehicles(self) -> Self:
        if self.size % self.pictures_per_vehicle:
            raise ValueError(
                f"size {self.size} is not a multiple of pictures_per_vehicle {self.pictures_per_vehicle}; "
                f"{self.size - self.size % self.pictures_per_vehicle + self.pictures_per_vehicle} would be"
            )
        return self


class LossSettings(Settings):
    """Weights of the objectives."""

    cross_entropy: NonNegativeFloat = Field(
        1.0, description="weight of the cross-entropy over the train vehicles; 0 leaves it out"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the cross-entropy's target that is spread evenly over all train vehicles"
    )
    triplet: NonNegativeFloat = Field(1.0, description="weight of the batch-hard triplet loss; 0 leaves it out")
    margin: NonNegativeFloat = Field(
        0.3,
        description="Euclidean distance by which the nearest picture of another vehicle must be farther away than the "
        "farthest of the same one, for a triplet to be without loss",
    )


OPTIONS_OF_OPTIMIZERS = {
    "momentum": ("rmsprop", "sgd"),
    "alpha": ("rmsprop",),
    "betas": ("adam", "adamw", "amsgrad"),
}
"""Which optimisers read an option."""


class OptimizerSettings(Settings):
    """The five optimisers of the report."""

    name: Literal["adam", "adamw", "amsgrad", "rmsprop", "sgd"] = Field("adam", description="the optimiser")
    learning_rate: PositiveFloat = Field(1e-4, description="the rate after the warm-up and before the decay")
    weight_decay: NonNegativeFloat = Field(
        5e-4,
        description="how strongly all parameters are drawn towards 0: their multiple that is added to the gradient, or "
        "with adamw, times the learning rate, taken from the parameters themselves",
    )
    amsgrad: bool = Field(
        False, description="only for adamw: with AMSGrad's maximum; plain Adam with it is the optimiser 'amsgrad'"
    )
    momentum: Share = Field(
        0.9,
        description="only for rmsprop and sgd (not Nesterov's): weight of the steps before",
        json_schema_extra=LATER,
    )
    alpha: Share = Field(
        0.99, description="only for rmsprop: weight of the squared gradients before", json_schema_extra=LATER
    )
    betas: tuple[Share, Share] = Field(
        (0.9, 0.999),
        description="only for adam, adamw and amsgrad: weights of the gradients and squared gradients before",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _options_of_the_optimiser(self) -> Self:
        if self.amsgrad and self.name != "adamw":
            raise ValueError(
                f"amsgrad is an option of 'adamw', not of {self.name!r}; use name 'amsgrad' for Adam with it"
            )
        for option, optimizers in OPTIONS_OF_OPTIMIZERS.items():
            if self.name not in optimizers:
                _refuse_unread(self, [option], f"name is {self.name!r}; choose {' or '.join(optimizers)}")
        return self


class ScheduleSettings(Settings):
    """Learning rate over epochs: an optional linear warm-up, then a decay."""

    decay: Literal["none", "multi-step", "cosine"] = Field(
        "multi-step", description="how the rate falls after the warm-up; 'cosine' reaches 0 at the end of training"
    )
    milestones: tuple[PositiveInt, ...] = Field(
        (20, 40), description="epochs after which multi-step multiplies the rate by factor, rising"
    )
    factor: PositiveFloat = Field(0.1, description="what multi-step multiplies the rate by at each milestone")
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs in which the rate rises evenly from warmup_start to its full height; 0 is no warm-up"
    )
    warmup_start: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="share of the rate that warm-up begins at"
    )

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones {list(self.milestones)} must rise, each epoch once")
        return self


class TrainingSettings(Settings):
    """How long, how precisely, and how the model to keep is chosen."""

    epochs: PositiveInt = Field(60, description="times that the training pictures are gone through")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="of what the network calculates in training; the two of 16 bits are mixed precision: weights and "
        "losses stay in float32, and a GPU that has them is quicker and needs less memory",
    )
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the train vehicles held out to choose the epoch; 0 keeps the last epoch"
    )
    validate_every: PositiveInt = Field(1, description="epochs between two scorings of the held-out vehicles")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        1, description="of all random numbers: new layers, batches, changes to pictures, vehicles held out"
    )


class Recipe(Settings):
    """All that decides a training run's outcome; two runs with equal digests differ in nothing but data and machine."""

    title: str = Field("", description="what the recipe is called; not part of the digest")
    description: str = Field("", description="what the recipe is for; not part of the digest")
    model: ModelSettings = Field(ModelSettings(), description="the network, and the size of the pictures that it sees")
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(),
        description="random changes to training pictures, in the order in which they are made",
    )
    batch: BatchSettings = Field(BatchSettings(), description="some vehicles, and some pictures of each")
    loss: LossSettings = Field(LossSettings(), description="what the network is punished for")
    optimizer: OptimizerSettings = Field(OptimizerSettings(), description="how the weights are changed")
    schedule: ScheduleSettings = Field(
        ScheduleSettings(), description="the learning rate over the epochs: a warm-up if asked for, then a decay"
    )
    training: TrainingSettings = Field(
        TrainingSettings(), description="how long, how precisely, and how the epoch to keep is chosen"
    )

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that change when any option but title and description changes.

        An option that an earlier version did not have is left out at its default, so that recipes of before keep
        theirs.
        """
        return digest(_decisive(self, self.model_dump(mode="json", exclude={"title", "description"})))


def _decisive(settings: Settings, content: Mapping[str, Any]) -> dict[str, Any]:
    """What settings hold, but for later options at their default."""
    decisive = {}
    for name, value in content.items():
        given, field = getattr(settings, name), type(settings).model_fields[name]
        if isinstance(given, Settings):
            decisive[name] = _decisive(given, value)
        elif field.json_schema_extra != LATER or given != field.default:
            decisive[name] = value
    return decisive


def digest(content: object) -> str:
    """Sixteen hexadecimal digits of SHA-256 over JSON content with sorted keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shipped_recipes() -> dict[str, Path]:
    """Names and paths of the recipes that come with the package."""
    folder = Path(str(resources.files("samecar") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(name_or_path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Reads a recipe and applies changes to it.

    A recipe may name another one as its `base`; it then holds only what differs.

    Args:
        name_or_path: a shipped recipe's name, or the path of a TOML file.
        changes: texts of the form `group.option=value`, the value in TOML; a bare word is a string.

    Raises:
        SamecarError: the recipe is not there, is not TOML, or has an option or a value that is not allowed.
    """
    if not isinstance(name_or_path, str | Path):
        raise SamecarError(
            f"recipe is of type {type(name_or_path).__name__}; give a shipped one's name or the path of a TOML file"
        )
    name = str(name_or_path)
    content = _read(name)
    for change in changes:
        _apply_change(content, change)
    return parse_recipe(content, name)


def as_recipe(recipe: Recipe | str | Path) -> Recipe:
    """A recipe that was given itself, or by its name or its file.

    Raises:
        SamecarError: as in `load_recipe`.
    """
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def parse_recipe(content: Mapping[str, Any], origin: str) -> Recipe:
    """Checks nested options; `origin` names the place they came from in error sentences."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise SamecarError(f"recipe {origin}: " + "; ".join(_sentence(item) for item in error.errors())) from error


def known_options() -> list[str]:
    """All options of a recipe as dotted paths, in the order in which they are declared."""
    return [described.option for described in describe_options()]


def describe_options() -> list[OptionDescription]:
    """Says of each option of a recipe what it means, which values it takes and what its default is."""
    return describe_settings(Recipe)


def option_groups() -> dict[str, str]:
    """Names of the groups of options, such as `training`, and what each is about."""
    return describe_groups(Recipe)


def recipe_as_toml(recipe: Recipe) -> str:
    """Writes a recipe with every option resolved, each below a comment that says what it means and may be.

    Saved as a file it is a recipe with the same digest.
    """
    return settings_as_toml(recipe)


def recipe_header(name_or_path: str) -> str:
    """Gives the comment that a recipe's file begins with; empty if it begins with none.

    Those of shipped recipes say source, command, hardware, hours, published score and measured score.

    Args:
        name_or_path: a shipped recipe's name, or the path of a TOML file.

    Raises:
        SamecarError: the recipe is not there, or is not text.
    """
    lines = _read_text(_recipe_file(name_or_path)).splitlines()
    return "".join(f"{line}\n" for line in takewhile(lambda line: line.startswith("#"), lines))


def _recipe_file(name_or_path: str) -> Path:
    shipped = shipped_recipes()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise SamecarError(
            f"recipe {name_or_path!r} is neither a file nor a shipped recipe; shipped are: {', '.join(shipped)}"
        )
    return path


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SamecarError(f"recipe {path} is not valid TOML: {error}") from error


def _read(name_or_path: str, read_before: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = _recipe_file(name_or_path)
    try:
        content = tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SamecarError(f"recipe {path} is not valid TOML: {error}") from error
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise SamecarError(f"recipe {path}: base is {base!r}; it must be the name or path of another recipe")
    shipped = shipped_recipes()
    if base not in shipped:
        base = str(path.parent / base)
    if shipped.get(base, Path(base)).resolve() in (*read_before, path.resolve()):
        raise SamecarError(f"recipe {path}: its bases go round in a circle, back to {base}; name another base")
    return _merge(_read(base, (*read_before, path.resolve())), content)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _apply_change(content: dict[str, Any], change: str) -> None:
    option, equals, text = change.partition("=")
    option = option.strip()
    if not equals or not option:
        raise SamecarError(f"--set {change!r} is not of the form group.option=value, as in --set training.epochs=10")
    if option not in known_options():
        raise SamecarError(f"--set {change!r}: {_unknown_option(option)}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *groups, name = option.split(".")
    for group in groups:
        table = content.get(group, {})
        if not isinstance(table, Mapping):
            raise SamecarError(f"--set {change!r}: {group} is {table!r} in the recipe; it must be a table")
        content[group] = dict(table)
        content = content[group]
    content[name] = value


def _unknown_option(option: str) -> str:
    known = known_options()
    nearest = difflib.get_close_matches(option, known, n=1, cutoff=0.75)
    if nearest:
        return f"unknown option {option}; did you mean {nearest[0]}?"
    siblings = [name for name in known if name.startswith(option.rpartition(".")[0] + ".")]
    groups = dict.fromkeys(f"{name.partition('.')[0]}.…" if "." in name else name for name in known)
    return f"unknown option {option}; known are {', '.join(siblings or groups)}"


def _sentence(error: Any) -> str:
    option = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown_option(option)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{option}: {message}"
    return f"{option} is {error['input']!r}: {message[0].lower() + message[1:]}"
