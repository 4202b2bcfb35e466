# The image that a RunPod endpoint pulls. Not built or run on a GPU by this project's tests: see the README.
ARG BASE_IMAGE=runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404
FROM ${BASE_IMAGE}

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    RUNPOD_LOG_LEVEL=INFO

WORKDIR /

# torch is the base image's, built for its CUDA; --ignore-installed, because Debian's own cryptography has no pip record.
COPY builder/requirements.txt /builder/requirements.txt
RUN grep -v '^torch==' /builder/requirements.txt > /tmp/requirements.txt \
    && pip install --ignore-installed cryptography -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

# The model has a layer of its own below the code, in the folder where the worker looks first.
ARG WHISPER_MODEL=medium
ENV WHISPER_MODEL=${WHISPER_MODEL}
COPY builder/fetch_models.py /builder/fetch_models.py
COPY src/__init__.py src/errors.py src/hugging_face.py src/model_files.py src/model_store.py /src/
RUN python /builder/fetch_models.py "${WHISPER_MODEL}" --to /models

COPY src /src
COPY handler.py test_input.json /

CMD ["python", "-u", "/handler.py"]
