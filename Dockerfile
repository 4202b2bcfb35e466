# The image of a RunPod endpoint. docs/deployment.md has the build commands and the layer sizes.
# The base is RunPod's own image, which RunPod's hosts have cached. Any other with Python 3.11 or newer and pip works:
# python:3.12-slim makes a smaller image, without compilers, but every host has to pull all of it.
ARG BASE_IMAGE=runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404
FROM ${BASE_IMAGE}
WORKDIR /

# Fonts for burnt captions in all scripts.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ffmpeg fonts-noto-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*

# The base has torch, built for its CUDA: pip installs it only where the base has none. The environment sees the base's
# packages; it is needed because pip cannot replace packages of Debian's Python (cryptography) in place.
ARG TORCH_VERSION=2.8.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu128
# TORCH_INDEX="" stands for pip's own index.
RUN python3 -m venv --system-site-packages --without-pip /opt/worker \
    && /opt/worker/bin/python -m pip install --no-cache-dir ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} \
        "torch==${TORCH_VERSION}"

COPY builder/requirements-build.lock builder/requirements.lock /builder/

# `video` gives ffmpeg access to the GPU's encoder. The SDK's default log level, DEBUG, would log every job and answer.
# HTTP mode listens for the container's host; it then asks for a key, except behind RunPod's load balancer.
ENV PATH=/opt/worker/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    RUNPOD_LOG_LEVEL=INFO \
    HOST=0.0.0.0
# Exactly the locked packages, compared with their hashes. One without a wheel would have to be compiled, and fails the
# build; openai-whisper is pure Python, and built with the setuptools installed before.
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        --requirement /builder/requirements-build.lock \
    && python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: \
        --no-binary openai-whisper --no-build-isolation --requirement /builder/requirements.lock

# The models have their own layer below the code, in the folder that the worker searches first.
ARG WHISPER_MODEL=medium
ARG WHISPER_MODELS=
ENV WHISPER_MODEL=${WHISPER_MODEL} \
    WHISPER_MODELS=${WHISPER_MODELS} \
    COMPUTE_TYPE=float16
COPY builder/fetch_models.py /builder/fetch_models.py
COPY src/__init__.py src/errors.py src/without_numba.py /src/
COPY src/models/__init__.py src/models/files.py src/models/hub.py src/models/sources.py src/models/store.py /src/models/
RUN python /builder/fetch_models.py "${WHISPER_MODEL},${WHISPER_MODELS}" --to /models

COPY src /src
COPY media /media
COPY transcript /transcript
COPY api /api
COPY THIRD_PARTY.md LICENSE /
COPY handler.py test_input.json /
COPY builder/demo.py /builder/demo.py

# The build fails if the worker cannot transcribe its demo clip on the CPU. `docker run IMAGE python /builder/demo.py`
# is the same check on a GPU.
RUN python /builder/demo.py

# https://specs.opencontainers.org/image-spec/annotations; `make image` adds the commit and the time.
LABEL org.opencontainers.image.title="worker-whisper" \
    org.opencontainers.image.description="Speech to text as a RunPod serverless worker: OpenAI's Whisper, batched" \
    org.opencontainers.image.source="https://github.com/you/worker-whisper" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="0.1.0"

# The user stays root, to whom a network volume and RunPod's cached models belong. `--user 10001` works as well: nothing
# but /tmp has to be writable.
CMD ["python", "-u", "/handler.py"]
