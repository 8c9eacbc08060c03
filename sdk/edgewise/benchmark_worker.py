"""The process in which one model is measured: python -m edgewise.benchmark_worker."""

from pathlib import Path
from time import perf_counter
from typing import Any

from edgewise.child import serve


class Worker:
    """Opens one model and runs it as often as it is told."""

    def __init__(self) -> None:
        self._call: Any = None
        self._model: Any = None
        self._arrays: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request of `edgewise.benchmark`."""
        if request["what"] == "open":
            return self._open(request)
        if request["what"] == "run":
            return self._run(int(request["runs"]), float(request["seconds"]))
        if request["what"] == "placement":
            return {"counts": self._counts()}
        return {"peak_memory_bytes": _memory_bytes("VmHWM")}

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        began = perf_counter()
        from edgewise import tiny_model
        from edgewise.backends import open_backend
        from edgewise.delegate import Delegate
        from edgewise.errors import DelegateUnavailable
        from edgewise.loading import load
        from edgewise.model_file import TFLITE, read_model
        from edgewise.sample_inputs import sample_inputs

        path = Path(request["path"])
        form = read_model(path).format
        tiny = tiny_model.tflite_model((1, 1), 3) if form == TFLITE else tiny_model.onnx_model((1, 1), 3)
        open_backend(tiny, form, name=request["backend"], threads=1).close()
        started, memory_bytes = perf_counter(), _memory_bytes("VmRSS")
        wanted = request["delegate"]
        model = load(
            path,
            backend=request["backend"],
            threads=request["threads"],
            delegate=Delegate(**wanted) if wanted else None,
            fallback=False,
            probe=False,  # this process is the child
        )
        self._model = model
        if wanted and model.card and model.card.golden and not (test := model.self_test()).passed:
            raise DelegateUnavailable(f"{path}: delegate: it does not give the promised answers: {test}")
        loaded = perf_counter()
        image = request["image"]
        if image:
            model.image_reader()  # says what the file lacks before anything is timed
            origin = Path(image).name
        else:
            shapes = {name: tuple(sizes) for name, sizes in request["shapes"].items()}
            inputs = sample_inputs(model, shapes, Path(request["arrays"]) if request["arrays"] else None)
            origin, self._arrays = inputs.origin, inputs.arrays
        self._call = self._predictions(model, image) if image else self._runs(model, inputs.arrays)
        first = self._call()
        return {
            "backend": model.backend_name,
            "input": origin,
            "start_ms": (started - began) * 1000,
            "load_ms": (loaded - started) * 1000,
            "first_ms": sum(first),
            "memory_before_bytes": memory_bytes,
        }

    def _counts(self) -> dict[str, int] | None:
        from edgewise.errors import EdgewiseError

        try:
            counts: dict[str, int] = self._model.placement(self._arrays).counts()
        except EdgewiseError:
            return None
        return counts

    def _runs(self, model: Any, arrays: Any) -> Any:
        def call() -> tuple[float, ...]:
            began = perf_counter()
            model.run(arrays)
            return ((perf_counter() - began) * 1000,)

        return call

    def _predictions(self, model: Any, image: str) -> Any:
        def call() -> tuple[float, ...]:
            timings = model.predict(image).timings
            return (timings.preprocess_ms, timings.invoke_ms, timings.postprocess_ms)

        return call

    def _run(self, runs: int, seconds: float) -> dict[str, Any]:
        """At least one run, then until one of the bounds is met."""
        ends = perf_counter() + seconds
        samples_ms = [self._call()]
        while len(samples_ms) < runs and perf_counter() < ends:
            samples_ms.append(self._call())
        return {"samples_ms": samples_ms}


def _memory_bytes(field: str) -> int | None:
    """VmHWM, the most this process ever held, or VmRSS, what it holds (proc(5), /proc/pid/status)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    values = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return next((int(value) * 1024 for value in values), None)


if __name__ == "__main__":
    serve(Worker().answer)
