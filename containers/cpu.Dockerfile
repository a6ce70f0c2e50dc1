# topokd on a CPU, with the pinned packages of constraints.txt. The project's folder is mounted at run time, or the copy in
# the image is used:
#   docker build -f containers/cpu.Dockerfile -t topokd:cpu .
#   docker run --rm -v "$PWD:/topokd" --user "$(id -u):$(id -g)" topokd:cpu repro
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/topokd
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY topokd ./topokd
ARG TORCH=torch==2.13.0
# torch first and from the index of CPU builds: without it pip takes a build for CUDA, 3 GB more
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt "${TORCH}" \
    && pip install --no-cache-dir -c constraints.txt '.[paper,onnx]'
# compiled kernels: at build time where nothing is mounted over them, later in the first of the user's folders that can
# be written (docs/topology.md)
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib IPYTHONDIR=/tmp/ipython
WORKDIR /topokd
ENTRYPOINT ["python", "-m", "topokd.cli"]
CMD ["--help"]
