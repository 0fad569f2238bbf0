# One image for all four services and for the commands of operators.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS packages
COPY requirements-services.lock /
RUN python -m venv /venv \
 && /venv/bin/pip install --disable-pip-version-check --no-cache-dir --require-hashes -r /requirements-services.lock

FROM python:${PYTHON_VERSION}-slim
# Folders that volumes are mounted on: a new volume takes its owner from here.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin iacs \
 && for service in registration approval directory notification; do mkdir -p /settings/$service; done \
 && mkdir -p /documents /clock \
 && chown -R iacs:iacs /settings /documents /clock
COPY --from=packages /venv /venv
WORKDIR /app
COPY shared shared
COPY services services
COPY examples/subscriber.py examples/subscriber.py
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# glibc would keep the memory in which a password was hashed (shared/platform/part.py).
ENV MALLOC_MMAP_THRESHOLD_=1000000
USER iacs
ENTRYPOINT ["python", "-m", "services.cli"]
CMD ["--help"]
