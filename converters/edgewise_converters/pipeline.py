"""From a request to a written file: the original is opened, and the conversion that suits the format does the work."""

from edgewise_converters.conversion import Conversion
from edgewise_converters.errors import ConversionError
from edgewise_converters.original import Original
from edgewise_converters.progress import Progress, Silent
from edgewise_converters.request import Request, Result, output_path


def convert(request: Request, progress: Progress | None = None) -> Result:
    """Convert one model. Raises ConversionError; nothing is written then, and the source is never touched."""
    out = output_path(request)
    with Original(
        request.source,
        shapes=request.shapes,
        values=request.values,
        layouts=request.layouts,
        engine=request.engine,
    ) as original:
        return _kind(request)(request, original, out, progress or Silent()).run()


def _kind(request: Request) -> type[Conversion]:
    if request.format != "onnx":
        return Conversion
    if request.layouts:
        raise ConversionError("--layout: an ONNX file is fed as its original, expected --format tflite")
    from edgewise_converters.onnx_out.conversion import OnnxConversion  # a conversion to TFLite does without

    return OnnxConversion
