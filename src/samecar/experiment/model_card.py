"""The card of a model that is published: what it is for and what not, data, licence, privacy, and its scores."""

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from samecar.embedding.exported import ExportFacts
from samecar.errors import SamecarError
from samecar.notebook import visible
from samecar.version import __version__

TAGS: Final = ("vehicle-re-identification", "re-identification", "metric-learning", "image-retrieval")
"""By which it is found on the hub."""

TASK: Final = "image-feature-extraction"
"""What the hub calls it that a model makes embeddings of pictures."""

CARD = """\
# {title}

A model for vehicle re-identification: a picture of a vehicle becomes an embedding of {size:,} numbers, and pictures
of the same vehicle get embeddings that are near each other. It was made with samecar {version}.

## How to use it

```python
from pathlib import Path

import samecar
from samecar.data import read_picture

model = samecar.load("hf-hub:ORGANISATION/{name}")
first, second = model.embed([read_picture(Path(name)) for name in ("first.jpg", "second.jpg")])
print("cosine", first @ second)
```

A picture shows one vehicle, cut out and upright; it is resized to {height} × {width} (height × width). Embeddings
have length one, and are compared by cosine with embeddings of this same model only (digest `{digest}`).

## Intended use

- Finding further pictures of a vehicle among pictures that you may use: by cameras of a site, a fleet or a study of
  traffic, with a person who looks at what was found before anything follows from it.
- Research on re-identification, and as a network to train further.

## Misuse

- **A similarity is no proof.** Vehicles of one make, model and colour are confused, and the more pictures are
  searched, the more often. Do not accuse, fine, stop or refuse anybody because of it.
- Do not follow people, workers or visitors with it where no law and no agreement allows that, and do not join cameras
  of several places to movements of persons.
- Do not use it where an error harms somebody and nobody checks the answer.

## Privacy

Pictures of vehicles may show number plates and people, and lead to an owner. So may embeddings: whoever has this
model and other pictures finds the vehicle again. Treat both as personal data where the law does (in the EU, the
GDPR): know why you keep them, keep them no longer than that, and let nobody else have them.

## Training data

{data}

## Licence

{licence}

## Scores

{scores}

## What it is made of

{facts} """

UNKNOWN_DATA = "What it was trained on is not known."

NOT_SCORED = """\
It was not evaluated, or its scores were not kept with it. `samecar evaluate` gives scores with the rules that they were
obtained under."""


def write_card(name: str, facts: ExportFacts, licence: str) -> str:
    """The text of a model card: a head in YAML that the hub reads, and Markdown for people.

    Args:
        name: of the model.
        facts: what is known of it; of its scores each has a protocol card.
        licence: of the model, as the hub spells it, such as apache-2.0; 'unknown' where none is stated.
    """
    body = CARD.format(
        name=name,
        title=_cell(name),
        size=facts.embedding_size,
        version=__version__,
        height=facts.preprocessing.height,
        width=facts.preprocessing.width,
        digest=facts.model,
        data=_describe_data(facts),
        licence=_describe_licence(facts, licence),
        scores="\n\n".join(map(_describe_scores, facts.scores)) or NOT_SCORED,
        facts=_table(("", ""), _list_facts(facts)),
    )
    return f"---\n{_write_head(name, facts, licence)}\n---\n\n{body}"


def _write_head(name: str, facts: ExportFacts, licence: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=TASK,
            dataset_type="vehicle-re-identification",
            dataset_name=scores["protocol"]["data"],
            dataset_config=scores["protocol"]["protocol"],
            metric_type=kind,
            metric_name=kind,
            metric_value=round(100 * value, 2),
        )
        for scores in facts.scores
        for kind, value in _percentages(scores).items()
    ]
    given: dict[str, Any] = {"eval_results": results, "model_name": name} if results else {}
    head = ModelCardData(
        license=licence, library_name="samecar", pipeline_tag=TASK, tags=list(TAGS), metrics=["mAP", "rank-1"], **given
    )
    return head.to_yaml().rstrip()


def _percentages(scores: Mapping[str, Any]) -> dict[str, float]:
    return {"mAP": scores["mAP"], **{f"rank-{rank}": value for rank, value in scores["cmc"].items()}}


def _describe_data(facts: ExportFacts) -> str:
    known = facts.trained_on
    if known is None:
        return UNKNOWN_DATA
    return (
        f"{known.pictures:,} pictures of {len(known.vehicles):,} vehicles: `{_cell(known.source)}` (digest of their "
        f"list `{_cell(known.digest)}`). They are not to be used for scoring or calibrating it; an exported "
        "file keeps the names of these vehicles for that reason, as their data set gives them."
    )


def _describe_licence(facts: ExportFacts, licence: str) -> str:
    own = "No licence of the model was stated" if licence == "unknown" else f"The model: `{licence}`"
    began = facts.licence or "not stated"
    return (
        f"{own}. Weights that its training began with: {_cell(facts.initial_weights)}; their licence, as their "
        f"publishers state it: {_cell(began)}. Which rights there are in the training pictures is for whoever "
        "publishes this model to say."
    )


def _describe_scores(scores: Mapping[str, Any]) -> str:
    protocol = scores["protocol"]
    intervals = scores.get("intervals", {})
    rows = []
    for kind, value in _percentages(scores).items():
        low_high = intervals.get(kind)
        interval = f"{100 * low_high[0]:.1f} to {100 * low_high[1]:.1f}" if low_high and None not in low_high else ""
        rows.append((kind, f"{100 * value:.1f}", interval))
    card = [(key.replace("_", " "), "–" if value is None else value) for key, value in protocol.items()]
    return (
        f"### {_cell(protocol['data'])}, {_cell(protocol['protocol'])}\n\n"
        f"{_table(('', '%', '95 % interval'), rows)}\n\nThe protocol card, all that these numbers "
        f"depend on besides the weights:\n\n{_table(('', ''), card)}"
    )


def _list_facts(facts: ExportFacts) -> list[tuple[str, object]]:
    calibrated = f", calibrated on {facts.calibrated_on}" if facts.calibrated_on else ""
    return [
        ("model", facts.model),
        ("composition", facts.composition or "one network"),
        ("recipe", facts.recipe or "not known"),
        ("precision", f"{facts.precision}{calibrated}"),
        ("epoch choice", facts.epoch_choice),
        ("seed", "not known" if facts.seed is None else facts.seed),
        ("written by", f"samecar {facts.samecar}"),
    ]


def _table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [tuple(headings), *(tuple(map(_cell, row)) for row in rows)]
    written = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([written[0], "|" + "---|" * len(lines[0]), *written[1:]])


def _cell(value: object) -> str:
    """A value that may come from elsewhere, so that it is neither markup nor the end of a cell."""
    return html.escape(visible(str(value)), quote=False).replace("|", "\\|").replace("`", "'")


def check_licence(licence: str) -> None:
    """Checks that a licence is spelled as the hub spells them.

    Raises:
        SamecarError: it is not.
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence) is None:
        raise SamecarError(
            f"licence is {licence!r}; give it as the hub spells licences, in small letters, such as apache-2.0, "
            "cc-by-nc-4.0 or other"
        )
