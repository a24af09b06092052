# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.11-slim

# The packages are installed here, so that pip's caches stay out of the images below.
FROM ${PYTHON_IMAGE} AS packages
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock
COPY . .
RUN pip install --no-deps --no-build-isolation --editable .

# The suite: `docker compose run --rm test`.
FROM packages AS test
COPY requirements-dev.lock ./
RUN pip install --require-hashes --requirement requirements-dev.lock
RUN useradd --create-home voucherpool && chown -R voucherpool /app
USER voucherpool
CMD ["python", "-m", "pytest"]

# The service. The code stays root's, so that the process cannot change what it runs.
FROM ${PYTHON_IMAGE} AS service
RUN useradd --no-create-home --shell /usr/sbin/nologin voucherpool
COPY --from=packages /venv /venv
COPY --from=packages /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER voucherpool
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["python", "-c", \
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/readyz', timeout=5)"]
CMD ["gunicorn", "wsgi:app"]
