"""The one part that setup.cfg cannot say: optional modules in C. Without a compiler the installation goes on.

EDGEWISE_PURE=1 leaves them out: the wheel is then one for every processor.
"""

import os

from setuptools import Extension, setup

IN_C = [
    Extension(
        f"edgewise.preprocess.{name.replace('/', '.')}",
        [f"sdk/edgewise/preprocess/{name}.c"],
        depends=[f"sdk/edgewise/preprocess/{header}.h" for header in ("processors", *headers)],
        # -std=c99 also keeps gcc and clang from fusing products and sums: the same floats on every processor.
        extra_compile_args=["-std=c99", "-O3", "-pthread"],
        extra_link_args=["-pthread"],
        py_limited_api=True,
        optional=True,
    )
    for name, headers in {
        "_resize": (),
        "jpeg/_jpeg": ("jpeg/workers", "jpeg/memory", "jpeg/bits", "jpeg/parts", "jpeg/rows"),
    }.items()
]
IS_PURE = bool(os.environ.get("EDGEWISE_PURE"))

setup(
    ext_modules=[] if IS_PURE else IN_C,
    options={} if IS_PURE else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
