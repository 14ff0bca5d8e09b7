"""OpenAI's SDK for Python: only the base URL and the key are others."""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ.get("LLMBASE_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ["LLMBASE_API_KEY"],
)
model = os.environ.get("LLMBASE_MODEL", "local/smollm2-135m-instruct")

answer = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=60
)
print(answer.choices[0].message.content)

with client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Tell me a story."}], stream=True
) as stream:  # left before its end, the stream is closed, and the provider's with it
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
        if chunk.usage:
            print(f"\n{chunk.usage.total_tokens} tokens")

try:
    client.chat.completions.create(model="no/model", messages=[{"role": "user", "content": "Hi"}])
except openai.NotFoundError as error:
    print(error.code, "-", error.request_id)
