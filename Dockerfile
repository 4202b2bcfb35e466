# The image that a RunPod endpoint pulls; docs/deployment.md says how to build it, and how large its layers are.
# The base is RunPod's own, which its hosts keep. Any other with Python 3.11 or newer and pip will do: python:3.12-slim
# makes a smaller image, without compilers, but all of it has to be pulled.
ARG BASE_IMAGE=runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404
FROM ${BASE_IMAGE}
WORKDIR /

# The fonts are for burnt captions, in whatever script.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ffmpeg fonts-noto-core fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*

# The base's torch, of its CUDA, is as good as installed: pip brings it only to a base without. An environment that
# sees the base's packages, because what Debian's Python brings (cryptography) cannot be replaced by pip where it is.
ARG TORCH_VERSION=2.8.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu128
RUN python3 -m venv --system-site-packages --without-pip /opt/worker \
    && /opt/worker/bin/python -m pip install --no-cache-dir --index-url "${TORCH_INDEX}" "torch==${TORCH_VERSION}"

COPY builder/requirements.txt /builder/requirements.txt
RUN sed -i "s/^torch==[^ ]*/torch==${TORCH_VERSION}/" /builder/requirements.txt

# `video` lets ffmpeg into the GPU's encoder. The SDK's own log level, DEBUG, would tell of every job and answer.
ENV PATH=/opt/worker/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    RUNPOD_LOG_LEVEL=INFO
# Whatever has no wheel would have to be compiled, and ends the build; openai-whisper is nothing but Python.
RUN python -m pip install --no-cache-dir --only-binary :all: --no-binary openai-whisper \
        --requirement /builder/requirements.txt

# The models have a layer of their own below the code, in the folder where the worker looks first.
ARG WHISPER_MODEL=medium
ARG WHISPER_MODELS=
ENV WHISPER_MODEL=${WHISPER_MODEL} \
    WHISPER_MODELS=${WHISPER_MODELS} \
    COMPUTE_TYPE=float16
COPY builder/fetch_models.py /builder/fetch_models.py
COPY src/__init__.py src/errors.py /src/
COPY src/models/__init__.py src/models/files.py src/models/hub.py src/models/sources.py src/models/store.py /src/models/
RUN python /builder/fetch_models.py "${WHISPER_MODEL},${WHISPER_MODELS}" --to /models

COPY src /src
COPY handler.py test_input.json /
COPY builder/demo.py /builder/demo.py

# An image that does not understand its own clip, on the CPU, is none. `docker run IMAGE python /builder/demo.py` asks
# the same of a GPU.
RUN python /builder/demo.py

CMD ["python", "-u", "/handler.py"]
