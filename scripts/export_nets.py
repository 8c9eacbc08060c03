#!/usr/bin/env python3
"""Well-known structures with seeded weights, exported to ONNX by both of PyTorch's exporters.

Usage: export_nets.py [NAME ...]. Without names all of `EXPORTS` are made; each is made once, into
~/.cache/edgewise/nets-N, and its path printed. PyTorch and timm live in an environment of their own
(~/.cache/edgewise/venvs/nets): Edgewise itself needs neither. The first export takes about a minute more.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from model_sources.environments import environment
from model_sources.wheels import SourceError, cache_folder, make_once

NETS_VERSION = 1
"""Raise it when weights or export options change, so that no computer goes on using its old files."""

REQUIREMENTS = (
    "torch==2.13.0", "torchvision==0.28.0", "timm==1.0.31", "transformers==5.23.0", "onnx==1.23.2", "onnxscript==0.7.2",
)  # fmt: skip

CLASSIFIERS = (
    "mobilenetv1_100",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "mobilenetv3_small_100",
    "efficientnet_lite0",
    "mnasnet_100",
    "resnet18",
    "resnet50",
    "squeezenet1_1",
    "shufflenet_v2_x1_0",
)
"""By both exporters, at full size."""

TRACED = {
    11: ("regnety_002", "unet", "ssd_like", "ds_cnn", "lstm"),
    12: ("ghostnet_100", "dilated_segmenter", "generator", "yolo_v5_like", "tcn"),
    13: ("mobilenetv3_small_100", "resnet18", "densenet121", "autoencoder", "super_resolution", "pointnet"),
    14: ("vit_tiny_patch16_224", "edgenext_xx_small", "detr_like", "gru"),
    15: ("convnext_atto", "conformer_like", "crnn"),
    16: ("mobilevit_xxs", "swin_tiny_patch4_window7_224"),
    17: ("mlp_mixer", "style_transfer", "yolo_v8_like", "wav2vec2", "bilstm_with_state", "t5_encoder"),
    18: ("whisper_encoder",),
    19: ("segformer",),
    20: ("bert_like",),
}
"""By opset, what the TorchScript exporter writes besides."""

CAPTURED = {
    18: (
        "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "mobilevit_xxs", "unet",
        "yolo_v5_like", "yolo_v8_like", "ssd_like", "detr_like", "conformer_like", "wav2vec2", "whisper_encoder",
        "lstm", "gru", "bilstm_with_state", "crnn", "bert_like", "segformer",
    ),
    20: ("gpt2_like", "llama_like", "style_transfer", "pointnet"),
}  # fmt: skip
"""By opset, what the Dynamo exporter writes besides."""


@dataclass(frozen=True)
class Export:
    """One file: a structure, an exporter, an opset."""

    structure: str
    exporter: str
    opset: int

    @property
    def name(self) -> str:
        return f"{self.structure}-opset{self.opset}-{self.exporter}"


EXPORTS = {
    export.name: export
    for export in (
        *(Export(structure, "torchscript", 17) for structure in CLASSIFIERS),
        # Opset 18 is what the newer exporter writes; anything lower goes through a version converter.
        *(Export(structure, "dynamo", 18) for structure in CLASSIFIERS),
        *(Export(structure, "torchscript", opset) for opset, names in TRACED.items() for structure in names),
        *(Export(structure, "dynamo", opset) for opset, names in CAPTURED.items() for structure in names),
    )
}


class NetLibrary:
    """The exported files, each made when first asked for."""

    names = tuple(EXPORTS)

    def path(self, name: str) -> Path:
        """The ONNX file called `name`. Raises SourceError when it cannot be made."""
        if name not in EXPORTS:
            raise SourceError(f"nets: got {name!r}, expected one of {', '.join(EXPORTS)}.")
        kept = cache_folder() / f"nets-{NETS_VERSION}" / f"{name}.onnx"
        if not kept.exists():
            make_once(kept, lambda path: export_net(EXPORTS[name], path))
        return kept


def export_net(export: Export, path: Path) -> None:
    """Export one structure to `path`, in PyTorch's own environment and process."""
    python = environment("nets", REQUIREMENTS)
    worker = Path(__file__).parent / "model_sources" / "torch_export.py"
    print(f"Exporting {export.name} ...", file=sys.stderr)
    command = [str(python), str(worker), export.structure, export.exporter, str(export.opset), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not path.exists():
        raise SourceError(f"{export.name}: PyTorch's exporter failed:\n{done.stderr.strip()[-2000:]}")


def main() -> int:
    """Make the nets that are asked for; 0 when all are there, 1 when one could not be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="STRUCTURE-opsetN-EXPORTER; all when none is given"
    )
    parser.add_argument("--list", action="store_true", help="print the names and make nothing")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(EXPORTS))
        return 0
    library = NetLibrary()
    try:
        for name in arguments.names or library.names:
            print(library.path(name), flush=True)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
