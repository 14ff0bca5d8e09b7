#!/bin/sh
# Over REST: a whole answer, then a stream. -N shows each event as it comes; -f makes an error's
# status curl's own.
set -eu
url="${LLMBASE_URL:-http://127.0.0.1:8080}"
model="${LLMBASE_MODEL:-local/smollm2-135m-instruct}"

chat() {
  curl -sSfN "$url/v1/chat/completions" \
    -H "Authorization: Bearer $LLMBASE_API_KEY" \
    -H "Content-Type: application/json" \
    -d "$1"
}

chat '{"model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}]}'
echo
chat '{"model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}], "stream": true}'
