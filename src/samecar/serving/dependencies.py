"""What routes ask for: the service, and numbers in addresses."""

from typing import Annotated

from fastapi import Depends, Path, Request

from samecar.serving.messages import LARGEST_ID
from samecar.serving.service import Service


async def find_service(request: Request) -> Service:  # a plain function would be called in a thread, for every request
    """The service of the app that answers."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(find_service)]
"""The service that answers."""

Number = Annotated[int, Path(ge=1, le=LARGEST_ID, description="number of an entry")]
"""The number of an entry, as a part of an address."""
