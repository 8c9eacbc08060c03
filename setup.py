"""The one part that setup.cfg cannot say: an optional module in C. Without a compiler the installation goes on."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "edgewise.preprocess._resize",
            ["sdk/edgewise/preprocess/_resize.c"],
            # -std=c99 also keeps gcc and clang from fusing products and sums: the same floats on every processor.
            extra_compile_args=["-std=c99", "-O3"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
