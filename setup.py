"""Package what Beam workers and images import: `python setup.py sdist`, which Beam's `--setup_file` runs.

A clone is used in place and needs no installing. There are no requirements here on purpose: workers run in an
image that has requirements/runtime.lock, whose hashes a resolver would pass over.
"""

import setuptools

PACKAGES = ("pipeline", "components", "modules", "runners", "serving")

setuptools.setup(
    name="marquee",
    version="0.1.0",
    description="A movie recommender as a TFX pipeline: MovieLens in, gated models and an index out",
    license="Apache-2.0",
    python_requires=">=3.10,<3.11",
    packages=setuptools.find_namespace_packages(
        include=[f"{name}{tail}" for name in PACKAGES for tail in ("", ".*")]
    ),
    package_data={"pipeline": ["schema/*.pbtxt"]},
)
