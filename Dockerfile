# The image of every step on Vertex AI and Kubeflow: the locked requirements, and the project installed.
#
#   docker build -t IMAGE .                                        steps, the default
#   docker build -t IMAGE --target dataflow \
#       --build-arg BEAM_SDK=apache/beam_python3.10_sdk:2.64.0@sha256:DIGEST .    and workers of Dataflow
#
# tests/kubeflow/test_image.py reads it and runs its cheap steps; `python -m benchmarks.runners.image_steps`
# runs all of them without Docker. docs/kubeflow.md says how to move a digest.

# The newest patch of Python 3.10 on Debian 12, for every architecture it has; TFX 1.16 needs 3.10.
ARG PYTHON=python:3.10-slim-bookworm@sha256:68d914ec641a0b69267ce65184d000a2bc3a9ee2590ab702b82250ab2385735a
# Needed by the target dataflow alone, where it is checked for a digest.
ARG BEAM_SDK=scratch

FROM ${PYTHON} AS build
SHELL ["/bin/sh", "-eu", "-c"]
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    UV_NO_CACHE=1 \
    UV_NO_CONFIG=1 \
    UV_LINK_MODE=copy
WORKDIR /src
COPY requirements/tools.lock requirements/build.lock requirements/runtime.lock ./
# Everything, to the hash; and compiled, for the user of the steps may not write here. pyfarmhash has no wheel and
# wants a C++ compiler: zig, which is locked with a hash as Debian's packages are not.
RUN python -m pip install --require-hashes --no-deps --target /opt/tools --requirement tools.lock \
    && /opt/tools/bin/uv venv --no-project --python "$(command -v python)" /opt/venv \
    && /opt/tools/bin/uv pip install --python /opt/venv/bin/python --target /opt/zig --require-hashes \
    --requirement build.lock \
    && CC="/opt/zig/ziglang/zig cc" CXX="/opt/zig/ziglang/zig c++" ZIG_GLOBAL_CACHE_DIR=/tmp/zig \
    /opt/tools/bin/uv pip sync --python /opt/venv/bin/python --compile-bytecode --require-hashes \
    --build-constraints build.lock --require-build-hashes \
    --preview-features build-dependency-hashes runtime.lock \
    && rm -rf /tmp/zig
COPY setup.py ./
COPY pipeline ./pipeline
COPY components ./components
COPY modules ./modules
COPY runners ./runners
COPY serving ./serving
COPY common ./common
RUN /opt/tools/bin/uv pip install --python /opt/venv/bin/python --no-deps --no-build-isolation --compile-bytecode .

FROM ${PYTHON} AS steps
# tensorflow-recommenders needs Keras 2, and TensorFlow reads the variable when it is first imported.
ENV TF_USE_LEGACY_KERAS=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin marquee
COPY --from=build /opt/venv /opt/venv
USER 10001
WORKDIR /home/marquee
# What fails here would fail in the first step: a library of the system that is missing, a module left out.
RUN python -c "import scann, tensorflow_recommenders, tfx.components, pipeline.pipeline, modules.retrieval"

# One image for steps and for Dataflow's workers. Its entry point is Beam's; steps name their own command.
FROM ${BEAM_SDK} AS beam

FROM steps AS dataflow
ARG BEAM_SDK
RUN case "${BEAM_SDK:-}" in *@sha256:*) ;; \
    *) echo "BEAM_SDK must name Beam 2.64's Python 3.10 image with its digest; received '${BEAM_SDK:-}'" >&2; exit 1;; \
    esac
COPY --from=beam /opt/apache/beam /opt/apache/beam
ENTRYPOINT ["/opt/apache/beam/boot"]

FROM steps AS final
CMD ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor", "--help"]
