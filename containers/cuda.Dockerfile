# topokd on NVIDIA GPUs: the versions of environment.yml, by pip.
#   docker build -f containers/cuda.Dockerfile -t topokd:cuda .
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/topokd" --user "$(id -u):$(id -g)" topokd:cuda info
# Packages come from pip's default index. To take them from another one too, such as one with torch for this CUDA version,
# add --build-arg PIP_EXTRA_INDEX_URL=ADDRESS.
FROM nvidia/cuda:12.8.1-runtime-ubuntu22.04
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make libjemalloc2 python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3.11 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/topokd
COPY pyproject.toml README.md LICENSE ./
COPY topokd ./topokd
ARG TORCH=torch==2.8.0
ARG PIP_EXTRA_INDEX_URL=
RUN pip install --no-cache-dir "${TORCH}" "numpy==1.26.*" \
    && pip install --no-cache-dir "numpy==1.26.*" spconv-cu120 '.[paper]'
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib IPYTHONDIR=/tmp/ipython
WORKDIR /topokd
ENTRYPOINT ["python", "-m", "topokd.cli"]
CMD ["--help"]
