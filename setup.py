"""Package what Beam workers and images import: `python setup.py sdist`, which Beam's `--setup_file` runs.

A clone is used in place and needs no installing. There are no requirements here on purpose: workers run in an
image that has requirements/runtime.lock, whose hashes a resolver would pass over.
"""

import importlib.machinery
import importlib.metadata
import site

import setuptools
from setuptools.command import build_py

PACKAGES = ("pipeline", "components", "modules", "runners", "serving", "common")


class BuildWhereNamesAreFree(build_py.build_py):
    """Builds the packages, unless another project has installed one of that name here: pip would mix the two.

    It looks where pip installs and not on sys.path, which leads with this folder, and leaves the installed
    packages out while pip builds.
    """

    def run(self) -> None:
        folders = site.getsitepackages()
        if not any(importlib.metadata.distributions(name="marquee", path=folders)):
            for name in PACKAGES:
                spec = importlib.machinery.PathFinder.find_spec(name, folders)
                if spec:
                    path = spec.origin or next(iter(spec.submodule_search_locations or ()))
                    raise SystemExit(
                        f"Marquee installs a package {name}, and {path} is another project's of that name:"
                        " uninstall that one, or install Marquee in an environment of its own"
                    )
        super().run()


setuptools.setup(
    name="marquee",
    version="0.1.0",
    description="A movie recommender as a TFX pipeline: MovieLens in, gated models and an index out",
    license="Apache-2.0",
    python_requires=">=3.10,<3.11",
    packages=setuptools.find_namespace_packages(
        include=[f"{name}{tail}" for name in PACKAGES for tail in ("", ".*")]
    ),
    package_data={"pipeline": ["schema/*.pbtxt"], "components": ["run_report/pages/*"]},
    cmdclass={"build_py": BuildWhereNamesAreFree},
)
