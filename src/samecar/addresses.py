"""Addresses of cameras and of programs: which they are, and what of them may be shown."""

from urllib.parse import SplitResult, urlsplit

from samecar.errors import SamecarError


def is_address(text: str) -> bool:
    """Whether a text is an address, such as rtsp://camera/1, rather than a path."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.isascii() and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()


def shown_address(address: str) -> str:
    """What of an address may be shown: its scheme, host and port.

    The rest may hold a password, which cameras and services also take in the path and behind a question mark.
    """
    try:
        parts = _split(address)
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def check_address(address: str, schemes: tuple[str, ...], name: str) -> None:
    """Refuses an address of another kind.

    Args:
        address: as it was given.
        schemes: that are allowed.
        name: what to call it in the error.

    Raises:
        SamecarError: its scheme is another one, it names no host, or its port is no number.
    """
    scheme = address.partition("://")[0]
    wanted = " or ".join(f"{known}://" for known in schemes)
    if not is_address(address) or scheme.lower() not in schemes:
        given = f"begins with {scheme + '://'!r}" if is_address(address) else "has no scheme"
        raise SamecarError(f"the address of {name} {given}; give one that begins with {wanted}")
    try:
        whole = bool(_split(address).hostname)
    except ValueError:
        whole = False
    if not whole or any(sign.isspace() or not sign.isprintable() for sign in address):
        raise SamecarError(
            f"the address of {name} names no host that can be understood; write {scheme.lower()}://HOST:PORT/PATH, and "
            "blanks and signs such as @ and # in a password by their numbers, as in %40"
        )


def _split(address: str) -> SplitResult:
    parts = urlsplit(address)
    _ = parts.port  # raises ValueError where it is no number
    return parts
