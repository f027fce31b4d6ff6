"""From one gallery to another, without embedding anything again."""

from itertools import groupby, islice

from samecar.models.saved import MODEL_FILES
from samecar.progress import Progress, silent
from samecar.retrieval.engine import Engine, all_entries
from samecar.retrieval.gallery import CALIBRATION_FILE
from samecar.retrieval.incoming import refuse_other_model
from samecar.retrieval.records import Addition, Entry, Judgement

PAGE = 1000
"""Entries that are copied together, in one transaction of the target."""


def copy_gallery(source: Engine, target: Engine, *, progress: Progress = silent) -> int:
    """Copies sightings, embeddings, thumbnails, judgements and the attached model and calibration.

    The source may be in use; what is added to it meanwhile may be missing, with its judgements.

    What the target holds already, pictures by content, judgements and files, stays as it is, so that a copy that was
    interrupted can be begun again.
    Entries get numbers of the target, in the order of the source's; judgements follow them.

    Returns:
        The number of entries that were new.

    Raises:
        SamecarError: the galleries are of different models, or an entry was removed just before it was copied.
    """
    refuse_other_model(source.facts.model, target.facts.model)
    for name in (*MODEL_FILES, CALIBRATION_FILE):
        if target.attached(name) is None and (content := source.attached(name)) is not None:
            target.attach(name, content)
    total = source.summary().pictures
    done = new = 0
    entries = all_entries(source, page=PAGE)
    while page := list(islice(entries, PAGE)):
        new += _copy_page(source, target, page)
        done += len(page)
        progress("copying", done, total)
    _copy_judgements(source, target)
    return new


def _copy_page(source: Engine, target: Engine, page: list[Entry]) -> int:
    known = target.known([entry.sighting.content for entry in page])
    missing = [entry for entry in page if entry.sighting.content not in known]
    if missing:
        matrix = source.embeddings([entry.id for entry in missing])
        target.add(
            [
                Addition(entry.sighting, embedding, source.thumbnail(entry.id))
                for entry, embedding in zip(missing, matrix, strict=True)
            ]
        )
    return len(missing)


def _copy_judgements(source: Engine, target: Engine) -> None:
    judgements = source.judgements()
    entries = source.entries(sorted({judgement.entry for judgement in judgements}))
    numbers = target.known([entry.sighting.content for entry in entries.values()])
    held = {(judgement.query, judgement.entry) for judgement in target.judgements()}
    for query, together in groupby(judgements, lambda judgement: judgement.query):
        pictures = {judgement.entry: judgement.query_picture for judgement in source.judgements(query, pictures=True)}
        for judgement in together:
            entry = entries.get(judgement.entry)  # perhaps removed meanwhile, or added too late to be copied
            number = None if entry is None else numbers.get(entry.sighting.content)
            if number is not None and (query, number) not in held:
                target.judge(Judgement(query, number, judgement.same, pictures.get(judgement.entry)))
