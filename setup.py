"""The one part that setup.cfg cannot say: an optional module in C. Without a compiler the installation goes on.

EDGEWISE_PURE=1 leaves it out: the wheel is then one for every processor.
"""

import os

from setuptools import Extension, setup

RESIZE = Extension(
    "edgewise.preprocess._resize",
    ["sdk/edgewise/preprocess/_resize.c"],
    # -std=c99 also keeps gcc and clang from fusing products and sums: the same floats on every processor.
    extra_compile_args=["-std=c99", "-O3"],
    py_limited_api=True,
    optional=True,
)
IS_PURE = bool(os.environ.get("EDGEWISE_PURE"))

setup(
    ext_modules=[] if IS_PURE else [RESIZE],
    options={} if IS_PURE else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
