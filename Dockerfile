# One Dockerfile for all four services: docker build --build-arg SERVICE=intake --target service .
# The jobs (topics, replica set, secrets, the lag exporter): docker build --build-arg SERVICE=jobs --target jobs .
# The simulated clinic network: docker build --build-arg SERVICE=clinic --target clinic .
#
# Builds are reproducible, byte for byte: packages are pinned by hash, byte code has no time stamps. The base is pinned by
# tag; in production pin the digest as well, with the build argument BASE=python:...@sha256:...
ARG BASE=python:3.11.15-slim-bookworm

FROM ${BASE} AS packages
ARG SERVICE
COPY deploy/lock/${SERVICE}.txt /tmp/lock.txt
# The environment has no pip. Packages without a wheel are rejected, so no compiler is needed.
# Byte code is compiled here because the file system is read-only at run time.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --no-compile --only-binary :all: --require-hashes -r /tmp/lock.txt \
 && python -m compileall -q --invalidation-mode unchecked-hash /venv/lib

FROM ${BASE} AS runtime
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /attune
COPY --from=packages /venv /venv
COPY shared shared
RUN python -m compileall -q --invalidation-mode unchecked-hash shared
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.description="Attune monitors the working alliance between therapists and their clients." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS service
ARG SERVICE
ENV HTTP_PORT=8000 \
    OPS_PORT=9000 \
    SERVICE=${SERVICE}
COPY services/__init__.py services/
COPY services/${SERVICE} services/${SERVICE}
RUN python -m compileall -q --invalidation-mode unchecked-hash services
USER 10001:10001
LABEL org.opencontainers.image.title="attune-${SERVICE}"
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"OPS_PORT\"]}/health/live', timeout=4)"]
CMD ["sh", "-c", "exec python -m services.$SERVICE"]

FROM runtime AS jobs
COPY deploy/__init__.py deploy/
COPY deploy/jobs deploy/jobs
RUN python -m compileall -q --invalidation-mode unchecked-hash deploy
USER 10001:10001
LABEL org.opencontainers.image.title="attune-jobs"

FROM runtime AS clinic
COPY tools tools
RUN python -m compileall -q --invalidation-mode unchecked-hash tools && install -d -o 10001 -g 10001 .attune
USER 10001:10001
LABEL org.opencontainers.image.title="attune-clinic"
CMD ["python", "-m", "tools.sandbox.clinic"]
