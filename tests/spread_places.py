"""Galleries that are spread over the three servers of the fixture `postgres_servers`, for tests."""

from collections.abc import Mapping, Sequence
from contextlib import closing

from postgres_server import PostgresServer

from samecar.retrieval.engine import NO_FILES
from samecar.retrieval.postgres import PostgresEngine
from samecar.retrieval.records import GalleryFacts
from samecar.retrieval.spread.engine import SpreadEngine
from samecar.retrieval.spread.joining import spread_gallery
from samecar.retrieval.spread.layout import Layout, Spreading

CONTENT = Spreading()
BY_CAMERA = Spreading(by="camera", cameras={"north": 1, "south": 2, "new": 3}, others=3)


def bare(address: str) -> str:
    """An address without its password, which tests set as PGPASSWORD."""
    user, _, place = address.partition("@")
    return f"postgresql://{user.removeprefix('postgresql://').partition(':')[0]}@{place}"


class Databases:
    """A database on each server, and one more on the first for the coordinator, that several tests may share."""

    def __init__(self, servers: Sequence[PostgresServer]) -> None:
        self.servers = servers
        self.head = bare(servers[0].address(servers[0].new_database()))
        self.addresses = [bare(server.address(server.new_database())) for server in servers]

    def new(self, number: int = 1) -> str:
        """Address of a further database on a server."""
        return bare(self.servers[number - 1].address(self.servers[number - 1].new_database()))


class SpreadPlace:
    """A gallery over the databases of three servers."""

    approximate = ("hnsw",)
    in_one_place = False

    def __init__(self, databases: Databases, rule: Spreading = CONTENT, name: str = "city") -> None:
        self.rule = rule
        self.name = name
        self.head = databases.head
        self.addresses = list(databases.addresses)

    def create(self, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES) -> SpreadEngine:
        PostgresEngine.create(self.addresses[0], self.name, facts, files).close()
        self.spread(Spreading(tuple(self.addresses), self.rule.by, self.rule.cameras, self.rule.others))
        return self.open()

    def spread(self, spreading: Spreading) -> Layout:
        return spread_gallery(self.name, self.head, spreading)

    def open(self, *, partial: bool = False) -> SpreadEngine:
        return SpreadEngine.open(self.head, self.name, partial=partial)

    def part(self, number: int) -> "closing[PostgresEngine]":
        """The gallery on one server, opened as an ordinary one."""
        return closing(PostgresEngine.open(self.addresses[number - 1], self.name))
