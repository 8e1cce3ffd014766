# One recipe for all four services: docker build --build-arg SERVICE=intake .
# Pinned by tag; whoever runs it in earnest pins the digest as well: docker buildx imagetools inspect TAG.
ARG BASE=python:3.11.15-slim-bookworm

FROM ${BASE} AS packages
ARG SERVICE
COPY deploy/lock/${SERVICE}.txt /tmp/lock.txt
# The environment has no pip of its own; what has no wheel is refused, so that nothing needs a compiler.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install \
    --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r /tmp/lock.txt

FROM ${BASE}
ARG SERVICE
LABEL org.opencontainers.image.title="attune-${SERVICE}" \
      org.opencontainers.image.description="Attune watches over the working alliance between therapists and their clients."
ENV PATH=/venv/bin:$PATH \
    HTTP_PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE=${SERVICE}
WORKDIR /attune
COPY --from=packages /venv /venv
COPY services/__init__.py services/
COPY shared shared
COPY services/${SERVICE} services/${SERVICE}
# Compiled here: the file system is read-only where it runs.
RUN python -m compileall -q services shared
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"HTTP_PORT\"]}/health/live', timeout=4)"]
CMD ["sh", "-c", "exec python -m services.$SERVICE"]
