"""What a service allows: sizes, rates, who may ask, and how long it waits."""

import ipaddress
import os
import stat
import sys
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from samecar.errors import SamecarError
from samecar.files import read_whole
from samecar.retrieval.retention import days_ago

TOKEN_LENGTH = 16
"""Fewest characters of a token: fewer can be guessed."""

FILES = 100
"""Most files of a form that takes several views; how many of them are searched with, the settings say."""

LARGEST_TOKEN = 1 << 12
"""Bytes of a token's file."""


class ServiceSettings(BaseModel):
    """Settings of a service; every limit holds before the work is done that it limits.

    Attributes:
        name: what the gallery is called.
        host: address or name to listen on.
        port: port to listen on; 0 lets the system choose.
        token: what clients send as `Authorization: Bearer …`; None asks for none, which only loopback may.
        host_names: names by which the service may be asked without a token, beside those of loopback.
        bytes: largest body of a request.
        pixels: most pixels of a picture.
        top: most results of a search, and most entries of a page of them.
        views: most pictures of one vehicle that one search takes together.
        rate: requests a second by one address in the long run; 0 does not limit them.
        burst: requests that one address may make at once.
        waiting: requests to the gallery that may be in progress at a time, half of them changes; more are turned away.
        uploads: bodies that one address may be sending at a time; 0 does not limit them.
        connections: connections that may be open at a time; below the 1,024 files that a process may commonly open.
        head_seconds: how long a connection may wait for a request's head.
        batch: most pictures that go through the model together.
        upload_seconds: how long sending a body may take.
        answer_seconds: how long the server that holds the gallery may be silent; changes wait longer, for others.
        unread_seconds: how long a client may take nothing of an answer.
        shutdown_seconds: how long requests that were begun may go on after the service was told to end.
        read_only: let nobody add, change, remove or judge.
        originals: show pictures where they lie, those below this folder and no others.
        retain_days: keep what was seen, or added where it is not known when it was seen, in so many days; it is looked
            for older pictures at the start and then every hour.
        proxy: address of a reverse proxy whose X-Forwarded-For tells the client's address; "" believes nobody.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    token: SecretStr | None = None
    host_names: tuple[str, ...] = ()
    bytes: int = Field(default=10_000_000, ge=1)
    pixels: int = Field(default=25_000_000, ge=1)
    top: int = Field(default=100, ge=1)
    views: int = Field(default=8, ge=1, le=FILES)
    rate: int = Field(default=50, ge=0)
    burst: int = Field(default=250, ge=1)
    waiting: int = Field(default=128, ge=1)
    uploads: int = Field(default=32, ge=0)
    connections: int = Field(default=512, ge=1)
    head_seconds: float = Field(default=10, gt=0)
    batch: int = Field(default=32, ge=1)
    upload_seconds: float = Field(default=30, gt=0)
    answer_seconds: float = Field(default=10, gt=0)
    unread_seconds: float = Field(default=30, gt=0)
    shutdown_seconds: int = Field(default=30, ge=0)
    read_only: bool = False
    originals: Path | None = None
    retain_days: float | None = Field(default=None, gt=0)
    proxy: str = ""

    @model_validator(mode="after")
    def _token_is_long_enough(self) -> Self:
        if self.token is not None and len(self.token.get_secret_value()) < TOKEN_LENGTH:
            raise ValueError(f"the token has fewer than {TOKEN_LENGTH} characters; `openssl rand -hex 32` makes one")
        return self

    @model_validator(mode="after")
    def _removes_only_where_it_may(self) -> Self:
        if self.retain_days is not None:
            if self.read_only:
                raise ValueError("a service that only reads removes nothing; leave out read-only or retain-days")
            days_ago(self.retain_days)
        return self

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def refuse_open_door(self) -> None:
        """Refuses to let others in without a token.

        Raises:
            SamecarError: other machines can reach the service, and there is no token.
        """
        if self.token is None and not self.loopback:
            raise SamecarError(
                f"--host {self.host} lets other machines in, which needs a token; give one with --token-file or in "
                "SAMECAR_TOKEN, or listen on 127.0.0.1"
            )


def read_token(file: Path | None) -> SecretStr | None:
    """The token of a file, or else of the environment's SAMECAR_TOKEN, or none.

    Raises:
        SamecarError: the file cannot be read, or the token is short or cannot stand in a header.
    """
    if file is None:
        place, token = "SAMECAR_TOKEN", os.environ.get("SAMECAR_TOKEN", "").strip()
        if not token:
            return None
    else:
        place, token = f"--token-file {file}", _read(file)
    if len(token) < TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise SamecarError(
            f"{place} holds no token of at least {TOKEN_LENGTH} plain characters without spaces; `openssl rand -hex "
            "32` makes one"
        )
    return SecretStr(token)


def warn_of_token(file: Path | None) -> str | None:
    """A sentence if everybody on the machine can read a token's file, where the system tells."""
    if file is None or sys.platform == "win32" or not file.stat().st_mode & stat.S_IROTH:
        return None
    return f"--token-file {file} can be read by everybody on this machine; make it yours alone with `chmod 600 {file}`"


def _read(file: Path) -> str:
    try:
        return read_whole(file, LARGEST_TOKEN).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SamecarError(f"--token-file {file} cannot be read: {error}; give a file that holds the token") from error
