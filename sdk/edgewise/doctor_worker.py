"""The process in which one runtime is tried: python -m edgewise.doctor_worker. It may end by SIGILL."""

from typing import Any

from edgewise.child import serve


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A request of `edgewise.doctor`: why a runtime or a delegate does not work here, or ""."""
    if request["what"] == "delegate":
        return {"reason": _try_delegate(request["name"])}
    if request["what"] == "providers":
        from edgewise.backends.onnxruntime import available_providers

        return {"providers": available_providers()}
    from edgewise.backends.selection import probe

    return {"reason": probe(request["name"])}


def _try_delegate(name: str) -> str:
    from edgewise.backends.selection import start_delegate
    from edgewise.delegate import Delegate
    from edgewise.errors import BackendUnavailable

    try:
        start_delegate(Delegate(name))
    except BackendUnavailable as error:
        return str(error)
    return ""


if __name__ == "__main__":
    serve(answer)
