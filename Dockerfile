# One image, two commands: `llmbase service` and `llmbase gateway` (or `llmbase up` for both). It runs as
# a user without rights on a root file system that may be read-only: what it writes, it writes where the
# configuration says, and `llmbase model pull` to /var/cache/llmbase and /tmp.
FROM python:3.13-slim AS build
# More of pyproject.toml's extras, separated by commas: bedrock, vertex, azure.
ARG EXTRAS=local,postgres,shared,otel
WORKDIR /src
RUN python -m venv /opt/llmbase
COPY . .
RUN /opt/llmbase/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/llmbase/bin/pip install --no-cache-dir --no-compile --constraint constraints.txt \
      "$(echo /wheels/llmbase-*.whl)[$EXTRAS]" \
 && /opt/llmbase/bin/python -m compileall -q /opt/llmbase/lib
# What is in it, for whoever has to know (CycloneDX); `make image` writes it to dist/.
RUN python -m venv /sbom \
 && /sbom/bin/pip install --no-cache-dir cyclonedx-bom==7.5.0 \
 && /sbom/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /opt/llmbase/sbom.cdx.json /opt/llmbase/bin/python

FROM python:3.13-slim
# libgomp1: the local model's engine needs it, and slim images lack it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home llmbase \
 && install -d -o 10001 -g 10001 /run/llmbase /var/cache/llmbase /var/lib/llmbase
COPY --from=build /opt/llmbase /opt/llmbase
USER 10001
# What listens, listens to others; `llmbase health` reads the same two.
ENV PATH=/opt/llmbase/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/var/cache/llmbase \
    XDG_DATA_HOME=/var/lib \
    LLMBASE_HTTP=0.0.0.0:8080 \
    LLMBASE_GRPC=0.0.0.0:50051
EXPOSE 8080 50051
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["llmbase", "health"]
ENTRYPOINT ["llmbase"]
CMD ["up"]
