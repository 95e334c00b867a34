# CPU:  docker build -t semcl .
# CUDA: docker build -t semcl --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
# Run:  docker run --rm -v $PWD/cohort:/cohort semcl run --dataset_dir /cohort        (CUDA: add --gpus all --shm-size 8g)
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /semcl
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --index-url ${TORCH_INDEX} torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY scripts scripts
COPY bundle bundle
RUN pip install --no-cache-dir --constraint constraints.txt '.[report,dicom]'
WORKDIR /
ENTRYPOINT ["semcl"]
CMD ["--help"]
