import json
import math

import numpy as np
import pytest
from calibrations import calibration_of
from hypothesis import given, settings
from hypothesis import strategies as st

from samecar.calibration import Calibration, Isotonic, Logistic, OpenSet
from samecar.calibration.evidence import SearchEvidence
from samecar.calibration.searching import IN_GALLERY, Candidates, SearchPrior, judge_search
from samecar.errors import SamecarError

STEEP = Logistic(slope=20.0, intercept=-10.0)
"""The likelihood ratio is e to the power of 20 times what a similarity is above .5."""

NEVER_REACHED = OpenSet(false_alarm_rate=0.05, pictures=(1,), thresholds=(2.0,), shape=0, scale=0)
ALWAYS_REACHED = OpenSet(false_alarm_rate=0.05, pictures=(1e9,), thresholds=(-2.0,), shape=0, scale=1e9)


def candidates(similarities, vehicles=None, labelled=True, searched=None):
    similarities = np.array(similarities, dtype=np.float64)
    names = list(range(len(similarities)) if vehicles is None else vehicles)
    known = np.broadcast_to(np.array(labelled, np.bool_), similarities.shape)
    return Candidates(similarities, names, known, len(names) if searched is None else searched)


def plain(open_set=NEVER_REACHED):
    return calibration_of(STEEP, open_set)


def ratio(similarity):
    return math.exp(20 * similarity - 10)


# the numbers


def test_one_vehicle_alone_is_bayes_rule():
    said = judge_search(plain(), candidates([0.6]), SearchPrior(1, in_gallery=0.3, stated=True))
    assert said.probability == pytest.approx(0.3 * ratio(0.6) / (0.3 * ratio(0.6) + 0.7))
    assert said.probabilities.tolist() == pytest.approx([said.probability])
    assert (said.in_gallery, said.threshold) == (True, None)


def test_named_vehicles_and_none_of_them_share_one_whole():
    similarities, vehicles = [0.9, 0.8, 0.4], 3
    said = judge_search(plain(), candidates(similarities), SearchPrior(vehicles, in_gallery=0.6, stated=True))
    ratios = [ratio(each) for each in similarities]
    whole = 0.4 + 0.6 / vehicles * sum(ratios)
    assert said.probabilities.tolist() == pytest.approx([0.6 / vehicles * each / whole for each in ratios])
    assert said.probabilities.sum() + 0.4 / whole == pytest.approx(1)
    assert said.probability == pytest.approx(said.probabilities.sum())


def test_pictures_of_one_named_vehicle_have_its_probability_together():
    said = judge_search(
        plain(), candidates([0.9, 0.8, 0.7], ["a", "b", "a"]), SearchPrior(2, 4, in_gallery=0.5, stated=True)
    )
    first, second = (ratio(0.9) + ratio(0.7)) / 4, ratio(0.8) / 4  # of four pictures each, the others count as nought
    whole = 2 + first + second
    assert said.probabilities.tolist() == pytest.approx([first / whole, second / whole, first / whole])


def test_pictures_without_a_name_may_show_the_same_vehicle():
    named = judge_search(plain(), candidates([0.9, 0.9]), SearchPrior(2, stated=True))
    unnamed = judge_search(plain(), candidates([0.9, 0.9], labelled=False), SearchPrior(2, stated=True))
    assert named.probabilities.tolist() == pytest.approx([ratio(0.9) / (2 + 2 * ratio(0.9))] * 2)
    assert unnamed.probabilities.tolist() == pytest.approx([ratio(0.9) / (2 + ratio(0.9) + 1)] * 2)
    assert unnamed.probability == named.probability


def test_a_track_is_one_vehicle():
    said = judge_search(plain(), candidates([0.9, 0.7], ["t", "t"], labelled=False), SearchPrior(5, 9, stated=True))
    weight = (ratio(0.9) + ratio(0.7)) / 2
    assert said.probabilities.tolist() == pytest.approx([weight / (5 + 4 + weight)] * 2)  # four others, as before


def test_vehicles_that_were_not_found_weigh_no_more_than_before():
    few = judge_search(plain(), candidates([0.9, 0.45], searched=100), SearchPrior(100, stated=True))
    rest = 98 * ratio(0.45)  # below one: they are at most as likely as the last that was found
    weights = [ratio(0.9), ratio(0.45)]
    assert few.probabilities.tolist() == pytest.approx([each / (100 + rest + sum(weights)) for each in weights])
    like = judge_search(plain(), candidates([0.9, 0.8], searched=100), SearchPrior(100, stated=True))
    assert like.probability == pytest.approx(
        (ratio(0.9) + ratio(0.8)) / (100 + 98 + ratio(0.9) + ratio(0.8))
    )  # above one: as before


def test_what_a_larger_gallery_has_is_less_likely():
    said = [judge_search(plain(), candidates([0.8]), SearchPrior(size)).probability for size in (1, 10, 100, 1000)]
    assert said == sorted(said, reverse=True)
    assert said[-1] < 0.5


def test_the_prior_is_about_one_in_the_number_of_vehicles():
    assert SearchPrior(507).match == IN_GALLERY / 507
    assert SearchPrior(507, in_gallery=0.9).match == 0.9 / 507


def test_below_the_threshold_nothing_is_likely_and_a_stated_prior_decides_alone():
    below = judge_search(plain(), candidates([0.9, 0.85]), SearchPrior(2))
    assert (below.in_gallery, below.probability, below.threshold) == (False, 0.5, 1.0)
    above = judge_search(plain(ALWAYS_REACHED), candidates([0.9, 0.85]), SearchPrior(2))
    assert above.in_gallery
    assert above.probability > 0.9
    stated = judge_search(plain(), candidates([0.9, 0.85]), SearchPrior(2, in_gallery=0.5, stated=True))
    assert (stated.in_gallery, stated.threshold) == (True, None)


def test_what_reaches_the_threshold_but_is_unlikely_is_not_said_to_be_there():
    said = judge_search(plain(ALWAYS_REACHED), candidates([0.6], searched=1000), SearchPrior(1000))
    assert said.probability < 0.01
    assert not said.in_gallery


def test_a_gallery_without_a_candidate_has_no_vehicle():
    said = judge_search(plain(), candidates([]), SearchPrior(1))
    assert (said.probabilities.tolist(), said.probability, said.in_gallery) == ([], 0, False)


def test_a_search_is_never_surer_than_the_pairs_allow():
    curve = Isotonic(similarities=(0.2, 0.8), probabilities=(0.01, 0.99))
    calibration = calibration_of(curve, NEVER_REACHED)
    for in_gallery, expected in ((0.5, 0.99), (0.01, 0.5)):
        prior = SearchPrior(3, in_gallery=in_gallery, stated=True)
        said = judge_search(calibration, candidates([1.0, 1.0, 1.0]), prior)
        assert said.probability == pytest.approx(expected)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, 2.0, math.nan])
def test_a_prior_that_is_none_is_refused(prior):
    with pytest.raises(SamecarError, match=r"give a probability above 0 and below 1 that the gallery has the vehicle"):
        SearchPrior(3, in_gallery=prior)


# whatever is found

numbers = st.lists(st.floats(-1, 1), min_size=2, max_size=5, unique=True).map(sorted)


def rising(places, values):
    """As many values as places, rising."""
    return {"similarities": tuple(places), "probabilities": tuple(sorted(values)[: len(places)])}


curves = st.one_of(
    st.builds(
        Logistic,
        slope=st.floats(0.1, 300),
        intercept=st.floats(-200, 200),
        lowest=st.floats(0, 0.4),
        highest=st.floats(0.6, 1),
    ),
    st.builds(
        lambda places, values: Isotonic(**rising(places, values)),
        numbers,
        st.lists(st.floats(0, 1), min_size=5, max_size=5),
    ),
)

open_sets = st.builds(
    lambda rate, thresholds, shape, scale: OpenSet(
        false_alarm_rate=rate,
        pictures=(1.0, 10.0, 100.0),
        thresholds=tuple(sorted(thresholds)),
        shape=shape,
        scale=scale,
    ),
    st.floats(0.001, 0.5),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.floats(-0.9, 0.9),
    st.floats(0, 1),
)

evidences = st.one_of(
    st.none(),
    st.builds(
        lambda places, logarithms: SearchEvidence(
            similarities=tuple(places),
            logarithms=tuple(sorted(logarithms)[: len(places)]),
            quantiles=tuple(places),
        ),
        numbers,
        st.lists(st.floats(-300, 300), min_size=5, max_size=5),
    ),
)

calibrations = st.builds(
    lambda curve, open_set, evidence: calibration_of(curve, open_set).model_copy(update={"search": evidence}),
    curves,
    open_sets,
    evidences,
)

priors = st.builds(SearchPrior, st.floats(1, 1e6), st.floats(1, 50), st.floats(1e-6, 1 - 1e-6), st.booleans())

shown = st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 6), st.booleans()), min_size=1, max_size=12).map(
    lambda rows: sorted(rows, key=lambda row: -row[0])
)


@settings(max_examples=300, deadline=None)
@given(calibrations, priors, shown, st.integers(0, 10**6))
def test_the_list_never_says_what_the_headline_denies(calibration, prior, rows, more):
    similarities, numbers, labelled = zip(*rows, strict=True)
    names = [("label" if known else "track", number) for number, known in zip(numbers, labelled, strict=True)]
    searched = len(rows) + more
    said = judge_search(calibration, candidates(similarities, names, labelled, searched), prior)
    assert np.isfinite(said.probabilities).all()
    assert ((said.probabilities >= 0) & (said.probabilities <= said.probability)).all()
    assert 0 <= said.probability <= 1
    assert said.in_gallery == (said.probability > 0.5)
    if not said.in_gallery:
        assert (said.probabilities <= 0.5).all()
    if said.in_gallery and not prior.stated:
        assert similarities[0] >= calibration.open_set_threshold(searched)
    of_vehicle = dict(zip(names, said.probabilities.tolist(), strict=True))
    assert [of_vehicle[name] for name in names] == said.probabilities.tolist()  # pictures of one share it
    named = sum(share for (kind, _), share in of_vehicle.items() if kind == "label")
    assert named + (1 - said.probability) <= 1 + 1e-9


# likelihood ratios


def test_ratios_are_odds_over_the_odds_of_the_prior():
    calibration = calibration_of(
        STEEP, OpenSet(false_alarm_rate=0.05, pictures=(1,), thresholds=(0.9,), shape=0, scale=1)
    )
    given_similarities = np.array([[-0.5, 0.2], [0.5, 0.9]])
    expected = np.exp(20 * given_similarities - 10)
    np.testing.assert_allclose(calibration.likelihood_ratio(given_similarities), expected, rtol=1e-9)
    twice = calibration.model_copy(update={"prior": 2 / 3})
    np.testing.assert_allclose(twice.likelihood_ratio(given_similarities), expected / 2, rtol=1e-9)


def test_ratios_of_older_calibrations_go_on_where_similarities_become_rarer():
    """A level curve; the number of pictures whose threshold a similarity reaches grows tenfold with each tenth."""
    curve = Isotonic(similarities=(0.0, 0.4), probabilities=(0.1, 0.9))
    tail = OpenSet(false_alarm_rate=0.05, pictures=(1, 10), thresholds=(0.4, 0.5), shape=0, scale=0.1 / math.log(10))
    found = calibration_of(curve, tail).likelihood_ratio([0.45, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(found, [9, 9, 90, 900], rtol=1e-9)


def test_the_size_of_a_gallery_is_found_again_from_its_threshold():
    for shape in (-0.2, 0.0, 0.3):
        open_set = OpenSet(
            false_alarm_rate=0.05, pictures=(2, 8, 64), thresholds=(0.1, 0.2, 0.3), shape=shape, scale=0.03
        )
        sizes = np.array([2.0, 3.0, 8.0, 40.0, 64.0, 100.0, 1000.0, 30_000.0])
        thresholds = np.array([open_set.threshold(size) for size in sizes])
        used = thresholds < 1
        np.testing.assert_allclose(open_set.gallery_pictures(thresholds[used]), sizes[used], rtol=1e-6)
    ended = OpenSet(false_alarm_rate=0.05, pictures=(2,), thresholds=(0.3,), shape=-0.5, scale=0.05)
    assert ended.gallery_pictures(np.array([-1.0, 0.3, 0.41])).tolist() == [2, 2, math.inf]


def test_an_older_file_has_no_evidence_for_searches_and_still_answers():
    calibration = plain()
    content = json.loads(calibration.to_json())
    del content["search"]
    older = Calibration.from_json(json.dumps(content))
    assert older == calibration
    said = judge_search(older, candidates([0.9, 0.3]), SearchPrior(2, stated=True))
    assert said.in_gallery
