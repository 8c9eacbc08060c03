"""Runs where torch is: makes a program, converts it, compares it, and prints what came of it as JSON.

Usage: torch_child.py FOLDER SITE_PACKAGES. The second is where torch lies; ours come first.
"""

import io
import json
import sys
import zipfile
from pathlib import Path


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def with_a_trap(program: Path, written: Path, sprung: Path) -> None:
    """The same program with something else in the place of its example inputs."""
    import torch

    trap = io.BytesIO()
    torch.save(Trap(sprung), trap)
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(written, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, trap.getvalue() if "sample_inputs" in name else source.read(name))


def main(folder: Path) -> dict[str, object]:
    """Everything in one process: torch takes seconds to import."""
    import numpy as np
    import torch

    from edgewise_converters.comparison import compare
    from edgewise_converters.errors import ConversionError
    from edgewise_converters.pipeline import convert
    from edgewise_converters.readers.torch_program import save_module
    from edgewise_converters.request import Request

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
            self.scores = torch.nn.Linear(8, 5)

        def forward(self, image, gain):  # type: ignore[no-untyped-def]
            maps = torch.relu(self.norm(self.features(image)))
            return self.scores(maps.mean((2, 3))) * gain, maps

    torch.manual_seed(0)
    example = (torch.randn(2, 3, 16, 16), torch.randn(1))
    batch = torch.export.Dim("batch")
    path = save_module(Net(), example, folder / "net.pt2", dynamic_shapes={"image": {0: batch}, "gain": None})
    told: dict[str, object] = {}
    results = {
        precision: convert(
            Request(source=path, target="rpi4", precision=precision, out=folder / f"{precision}.tflite")
        )
        for precision in ("fp32", "fp16")
    }
    fp32 = results["fp32"]
    told["db"] = {name: result.agreement["litert"].worst_db for name, result in results.items()}
    told["format"] = fp32.card.source.format if fp32.card.source else ""
    told["shapes"] = {tensor.name: tensor.shape for tensor in fp32.card.inputs}
    told["compared"] = compare(path, fp32.path).agreement.worst_db
    torch.save(Net().state_dict(), folder / "weights.pt")
    (folder / "cut.pt2").write_bytes(path.read_bytes()[:-400])
    with_a_trap(path, folder / "trap.pt2", folder / "sprung")
    for name in ("weights.pt", "cut.pt2", "trap.pt2"):
        try:
            convert(Request(source=folder / name, target="rpi4", out=folder / "no.tflite"))
        except ConversionError as error:
            told[name] = str(error)
    told["sprung"] = (folder / "sprung").exists()
    told["left"] = sorted(file.name for file in folder.iterdir() if file.name.startswith("no"))
    assert np.__version__
    return told


if __name__ == "__main__":
    sys.path.append(sys.argv[2])
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201 - the command's output
