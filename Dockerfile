# syntax=docker/dockerfile:1
# Two images of one source:
#   docker build --target api -t pavemap-api .
#   docker build --target ray -t pavemap-ray .
#   docker build --target ray --build-arg DEVICE=gpu --build-arg RAY_IMAGE=docker.io/rayproject/ray:2.60.0-py311-gpu -t pavemap-ray-gpu .
# Whatever needs no engine is in docker/*.sh and docker/check.py, which tests/test_images.py runs.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG RAY_IMAGE=docker.io/rayproject/ray:2.60.0-py311-cpu

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY docker docker
COPY geo geo
COPY migrations migrations
COPY platform platform
COPY serving serving
COPY training training
RUN docker/build_wheel.sh . /wheels

# Uploads, queries, migrations, trainings: neither torch nor CUDA.
FROM ${PYTHON_IMAGE} AS api
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home pavemap
RUN --mount=type=bind,from=build,source=/src,target=/src \
    --mount=type=bind,from=build,source=/wheels,target=/wheels \
    /src/docker/install.sh api cpu /wheels /src/constraints.txt \
    && python /src/docker/check.py api cpu /src/constraints.txt
USER 1000
ENV PYTHONUNBUFFERED=1 PAVEMAP_HOME=/tmp/pavemap
EXPOSE 8000
CMD ["python", "-m", "uvicorn", "--factory", "pavemap.platform.api.main:create_app", "--host=0.0.0.0", "--port=8000", "--no-access-log"]

# Ray heads and workers. The user `ray` of Ray's image, which owns its Python, has the id 1000.
FROM ${RAY_IMAGE} AS ray
ARG DEVICE=cpu
RUN --mount=type=bind,from=build,source=/src,target=/src \
    --mount=type=bind,from=build,source=/wheels,target=/wheels \
    /src/docker/install.sh ray ${DEVICE} /wheels /src/constraints.txt \
    && python /src/docker/check.py ray ${DEVICE} /src/constraints.txt \
    && command -v bash wget
USER 1000
ENV PYTHONUNBUFFERED=1
