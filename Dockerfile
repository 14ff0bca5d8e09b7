# One image, two commands: `llmbase service` and `llmbase gateway` (or `llmbase up` for both).
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
# libgomp1: the local model's engine needs it, and slim images lack it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home llmbase
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt "$(echo /wheels/llmbase-*.whl)[local,postgres,shared]" \
 && rm -rf /wheels /tmp/constraints.txt
USER 10001
ENV PYTHONUNBUFFERED=1
EXPOSE 8080 50051
ENTRYPOINT ["llmbase"]
CMD ["up", "--http", "0.0.0.0:8080", "--grpc", "0.0.0.0:50051"]
