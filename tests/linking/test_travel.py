import math

import numpy as np
import pytest

from samecar.errors import SamecarError
from samecar.linking.travel import SOON, TravelTimes, learn_travel_times


def write(folder, text):
    path = folder / "times.csv"
    path.write_text(text)
    return path


def test_a_table_is_read_in_seconds_and_holds_both_ways_unless_the_other_is_named(tmp_path):
    path = write(tmp_path, "From;To;Least;Most\ngate;yard;30;120\nyard;gate;40;\ngate;gate;600;\nyard;exit;;90\n")
    travel = TravelTimes.read(path, window=1000)
    assert travel.between("gate", "yard") == (30, 120)
    assert travel.between("yard", "gate") == (40, 1000)
    assert travel.between("gate", "gate") == (600, 1000)
    assert travel.between("exit", "yard") == travel.between("yard", "exit") == (SOON, 90)
    assert travel.longest == 1000


def test_where_nothing_is_named_nobody_is_at_two_places_at_once():
    travel = TravelTimes(window=60)
    assert travel.between("gate", "yard") == (SOON, 60)
    assert travel.between("gate", "gate") == (-math.inf, 60)
    assert travel.between("", "gate") == (-math.inf, 60)
    least, most = travel.matrices(["gate", "yard"])
    assert least.tolist() == [[-math.inf, SOON], [SOON, -math.inf]]
    assert most.tolist() == [[60, 60], [60, 60]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from,to\na,b\n", "lacks the column 'least'"),
        ("from,to,least,speed\na,b,1,2\n", "column 'speed'"),
        ("from,to,least\na,b,soon\n", "'soon' from a to b; give seconds"),
        ("from,to,least\na,b,nan\n", "'nan' from a to b; give seconds"),
        ("from,to,least,most\na,b,9,3\n", "9 to 3 seconds from a to b"),
        ("from,to,least\na,b,2000\n", "2000 to 1000 seconds"),
        ("from,to,least\na,b,1\na,b,2\n", "'a' to 'b' twice"),
        ("from,to,least\na,,1\n", "without a name"),
    ],
)
def test_what_is_no_table_of_travel_times_is_refused_in_a_sentence(tmp_path, text, said):
    with pytest.raises(SamecarError, match=said):
        TravelTimes.read(write(tmp_path, text), window=1000)


def test_times_are_learned_from_enough_links_and_stand_a_few_wrong_ones():
    generator = np.random.default_rng(1)
    true = 100 * np.exp(generator.normal(0, 0.2, 400))
    wrong = generator.uniform(1, 3600, 12)
    links = [("a", "b", seconds) for seconds in (*true, *wrong)] + [("b", "a", 100.0)] * 19
    learned = learn_travel_times(links, 3600)
    assert list(learned.limits) == [("a", "b")]
    least, most = learned.limits["a", "b"]
    assert 35 < least < true.min()
    assert true.max() < most < 280
    assert learned.between("b", "a") == (SOON, 3600)


def test_limits_lie_as_far_beyond_the_quantiles_as_these_from_the_median():
    """Of 1, 2, …, 41 the quantiles are 3, 21 and 39."""
    learned = learn_travel_times([("a", "b", float(seconds)) for seconds in range(1, 42)], 50)
    assert learned.limits["a", "b"] == pytest.approx((9 / 21, 50))  # 39² / 21 is more than the window
