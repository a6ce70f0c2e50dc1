# topokd on a CPU, with the pinned packages of constraints.txt. The project's folder is mounted at run time, or the copy in
# the image is used:
#   docker build -f containers/cpu.Dockerfile -t topokd:cpu .
#   docker run --rm -v "$PWD:/topokd" --user "$(id -u):$(id -g)" topokd:cpu repro
# Packages come from pip's default index. To take them from another one too, such as one with CPU builds of torch (the
# default build for Linux includes CUDA, 3 GB more), add --build-arg PIP_EXTRA_INDEX_URL=ADDRESS.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make libjemalloc2 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/topokd
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY topokd ./topokd
ARG TORCH=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL=
RUN pip install --no-cache-dir -c constraints.txt "${TORCH}" \
    && pip install --no-cache-dir -c constraints.txt '.[paper,onnx]'
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib IPYTHONDIR=/tmp/ipython
WORKDIR /topokd
ENTRYPOINT ["python", "-m", "topokd.cli"]
CMD ["--help"]
