"""The process in which one runtime is tried: python -m edgewise.doctor_worker. It may end by SIGILL."""

from typing import Any

from edgewise.child import serve


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The one request of `edgewise.doctor`: why the runtime does not work here, or ""."""
    from edgewise.backends.selection import probe

    return {"reason": probe(request["name"])}


if __name__ == "__main__":
    serve(answer)
