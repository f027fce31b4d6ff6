import pytest

pytest.register_assert_rewrite("engine_contract")


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server with pgvector."""
    from postgres_server import postgres_server

    with postgres_server() as server:
        yield server
