"""Runs onnx2tf in its own environment: MODEL.onnx OUT_FOLDER simplified|plain. Not imported by anything of ours.

`onnxsim` simplifies the model before by default; plain leaves that out. Its exit status is onnx2tf's.
"""

import os
import resource
import sys


def main() -> None:
    """Limit memory, then convert."""
    limit = int(os.environ["EDGEWISE_MEMORY_BYTES"])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    model, out, way = sys.argv[1:]
    import onnx2tf  # type: ignore[import-not-found,unused-ignore]  # installed in its own environment only

    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=out,
        not_use_onnxsim=way == "plain",
        non_verbose=True,
    )


if __name__ == "__main__":
    main()
