"""What routes ask for: the service, and numbers in addresses."""

from typing import Annotated

from fastapi import Depends, Path, Request

from samecar.serving.messages import (
    LARGEST_ID,
)
from samecar.serving.service import Service

Number = Annotated[int, Path(ge=1, le=LARGEST_ID, description="number of an entry")]


async def _service(request: Request) -> Service:  # a plain function would be called in a thread, for every request
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
"""The service that answers."""
