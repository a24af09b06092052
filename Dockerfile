ARG PYTHON_IMAGE=python:3.14-slim

# The packages are installed apart from the code, so that a change of code does not install them again.
FROM ${PYTHON_IMAGE} AS packages
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/run.lock requirements/build.lock requirements/
# What builds the package stays out of the service's environment.
RUN pip install --require-hashes --requirement requirements/run.lock \
    && pip install --require-hashes --target /build --requirement requirements/build.lock

FROM packages AS code
COPY . .
# Whatever umask the checkout was made with, the service's user may read it.
RUN chmod -R a+rX /app && PYTHONPATH=/build pip install --no-deps --no-build-isolation --editable .

# The suite: `docker compose run --rm test`.
FROM packages AS test
COPY requirements/dev.lock requirements/
RUN pip install --require-hashes --requirement requirements/dev.lock \
    && useradd --create-home --uid 10001 voucherpool && chown voucherpool /app
COPY --chown=voucherpool . .
RUN PYTHONPATH=/build pip install --no-deps --no-build-isolation --editable .
USER 10001
CMD ["python", "-m", "pytest"]

# The service. The code stays root's, so that the process cannot change what it runs.
FROM ${PYTHON_IMAGE} AS service
RUN useradd --no-create-home --shell /usr/sbin/nologin --uid 10001 voucherpool
COPY --from=code /venv /venv
COPY --from=code /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["python", "-c", "\
import http.client, os, sys;\
probe = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 5000), timeout=5);\
probe.request('GET', '/readyz');\
sys.exit(probe.getresponse().status != 200)"]
CMD ["voucherpool", "serve"]
