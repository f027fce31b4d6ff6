"""What is known of a sighting is one list: whoever keeps, takes or answers it holds all of it, in that order."""

import sqlite3

import pytest

from samecar.retrieval.folder.schema import write_schema
from samecar.retrieval.records import KNOWN, TEXTS, UNREAD, Sighting


def test_the_list_is_that_of_saved_galleries():
    assert KNOWN == ("address", "camera_id", "time", "track_id", "vehicle_id", "labels")
    assert TEXTS == ("camera_id", "track_id", "vehicle_id")
    assert Sighting("", "", "", None, "", "", {}) == UNREAD


def test_a_sighting_says_what_is_known_by_name():
    sighting = Sighting("c", "there", "north", 5.0, "t1", "v1", {"lane": "2"})
    assert list(sighting.known.items()) == [
        ("address", "there"),
        ("camera_id", "north"),
        ("time", 5.0),
        ("track_id", "t1"),
        ("vehicle_id", "v1"),
        ("labels", {"lane": "2"}),
    ]
    assert Sighting("c", **sighting.known) == sighting


@pytest.mark.parametrize("name", ["-1", "unknown", "None"])
def test_a_word_for_nobody_is_no_vehicle(name):
    assert Sighting("c", vehicle_id=name) == Sighting("c")
    assert Sighting("c", vehicle_id="v-1").vehicle_id == "v-1"


def test_a_catalogue_keeps_all_of_it(tmp_path):
    connection = sqlite3.connect(tmp_path / "catalogue.sqlite", isolation_level=None)
    write_schema(connection)
    view = connection.execute("SELECT * FROM sightings")
    assert [column[0] for column in view.description] == ["id", "content", *KNOWN]
    connection.close()


def test_a_server_keeps_all_of_it_in_tables_as_they_were(postgres):
    from samecar.retrieval.engine import FORMAT
    from samecar.retrieval.postgres import PostgresEngine
    from samecar.retrieval.postgres.tables import COLUMNS
    from samecar.retrieval.records import GalleryFacts

    assert tuple(COLUMNS) == KNOWN
    database = postgres.new_database()
    facts = GalleryFacts(format=FORMAT, model="m", size=4, thumbnail=0, created="2026-01-01T00:00:00Z")
    PostgresEngine.create(postgres.address(database), "yard", facts).close()
    columns = postgres.execute(
        """
        SELECT column_name, udt_name, is_nullable FROM information_schema.columns
        WHERE table_schema = 'samecar' AND table_name = 'entries_1' ORDER BY ordinal_position
        """,
        database,
    )
    assert columns == [
        ("id", "int8", "NO"),
        ("address", "text", "NO"),
        ("camera_id", "text", "NO"),
        ("time", "float8", "YES"),
        ("track_id", "text", "NO"),
        ("vehicle_id", "text", "NO"),
        ("labels", "jsonb", "NO"),
        ("added", "float8", "YES"),
        ("embedding", "halfvec", "NO"),
    ]


def test_the_service_takes_and_answers_all_of_it_but_where_a_picture_lies():
    pytest.importorskip("fastapi")
    from samecar.serving.messages import AdditionForm, Change, Picture

    for message in (AdditionForm, Change, Picture):
        assert [name for name in message.model_fields if name in KNOWN] == [name for name in KNOWN if name != "address"]
