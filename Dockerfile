# One image for API, worker, listener and migrations: the command chooses. Python alone, no compiler, no dev wheels.
FROM python:3.11-slim-trixie AS packages
COPY requirements/base.txt /tmp/base.txt
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: \
      --require-hashes -r /tmp/base.txt

FROM python:3.11-slim-trixie
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin labsetu
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY cli.py settings.py worker.py pyproject.toml ./
COPY docs/errors.md ./docs/errors.md
COPY domain ./domain
COPY rules ./rules
COPY telemetry ./telemetry
COPY rendering ./rendering
COPY store ./store
COPY connectors ./connectors
COPY activities ./activities
COPY workflows ./workflows
COPY inbox ./inbox
COPY api ./api
COPY devstack ./devstack
COPY migrations ./migrations
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TZ=UTC \
    LABSETU_ENVIRONMENT=production
USER 10001:10001
EXPOSE 8080 6661 6662 9464 9465
STOPSIGNAL SIGTERM
# for the API; docker-compose.yml says what is healthy for the others
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "cli"]
CMD ["api"]
