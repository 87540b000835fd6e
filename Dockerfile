# The gress command, with the topologies and models of this repository.

FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/gress
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY gress_ml gress_ml
COPY operators operators
RUN /opt/gress/bin/pip install --no-cache-dir --disable-pip-version-check \
    --constraint constraints.txt '.[postgres]'

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin gress \
    && install -d -o gress -g gress /srv/gress/.gress
COPY --from=build /opt/gress /opt/gress
WORKDIR /srv/gress
COPY topologies topologies
COPY models models
ENV PATH=/opt/gress/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
ENTRYPOINT ["gress"]
CMD ["--help"]
