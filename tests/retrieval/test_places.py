import pytest

from samecar.errors import SamecarError
from samecar.retrieval.places import check_index, open_engine

psycopg = pytest.importorskip("psycopg")


@pytest.mark.parametrize("password", ["p[secret]d", "[secret", "secret]", "se＠cret", "se℀cret", "secret\udce9"])
def test_any_password_may_stand_in_an_address_and_is_not_printed(password):
    address = f"postgresql://user:{password}@127.0.0.1:1/database"
    check_index("exact", address, 8)
    with pytest.raises(SamecarError) as caught:
        open_engine("gallery", address)
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith(
        "the address of the server is malformed"
        if password.endswith("\udce9")
        else "postgresql://user@127.0.0.1:1/database lets nobody in: "
    )


@pytest.mark.parametrize(
    ("address", "beginning"),
    [
        ("mysql://me:secret@host/database", "mysql://"),
        ("POSTGRESQL://me:secret@host/database", "POSTGRESQL://"),
        ("me:secret@host/database", "no scheme"),
        ("me:secret@host/database?fallback=postgresql://other", "no scheme"),
        ("postgresql:me:secret@host/database", "no scheme"),
        ("host=here password=secret", "no scheme"),
        ("://secret", "no scheme"),
    ],
)
def test_another_address_is_refused_by_its_beginning_alone(address, beginning):
    with pytest.raises(
        SamecarError, match=rf"^the engine's address begins with '{beginning}'; give one such as "
    ) as caught:
        open_engine("gallery", address)
    assert "secret" not in str(caught.value)
