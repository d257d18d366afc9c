"""Authorization of requests to a Prefect server that are made without its client."""

import base64
from urllib.request import Request


def authorize(request: Request, auth_string: str) -> None:
    """Add user and password, given as ``USER:PASSWORD``, to a request."""
    request.add_header("Authorization", f"Basic {base64.b64encode(auth_string.encode()).decode()}")
