"""From a float32 TFLite graph to one that stores or computes with fewer bits."""

from edgewise_converters.quantize.calibrate import Calibration, calibrate
from edgewise_converters.quantize.dynamic_int8 import quantize_dynamic
from edgewise_converters.quantize.float16 import store_float16
from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.rounding import Rounding
from edgewise_converters.quantize.static import quantize_static
from edgewise_converters.quantize.stored_int8 import store_int8
from edgewise_converters.quantize.ways import Shared, StaticOptions, widths_of
from edgewise_converters.quantize.widths import Width, Widths

__all__ = [
    "Calibration",
    "Grid",
    "Rounding",
    "Shared",
    "StaticOptions",
    "WeightStore",
    "Width",
    "Widths",
    "calibrate",
    "quantize_dynamic",
    "quantize_static",
    "store_float16",
    "store_int8",
    "widths_of",
]
