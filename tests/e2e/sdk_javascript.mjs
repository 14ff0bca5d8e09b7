// What a user of the OpenAI SDK writes, with only base URL and key changed; one JSON line at the end.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.LLMBASE_BASE_URL,
  apiKey: process.env.LLMBASE_API_KEY,
  maxRetries: 0,
});

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const messages = [{ role: "user", content: "Hello" }];
const said = {};

const response = await client.chat.completions.create({
  model: "zai-org/glm-5",
  messages: [
    { role: "system", content: "You are a concise assistant." },
    { role: "user", content: "Explain recursion in one sentence." },
  ],
  temperature: 0.7,
  max_tokens: 100,
});
said.full = response.choices[0].message.content;
said.requestId = response._request_id;

const stream = await client.chat.completions.create({
  model: "zai-org/glm-5",
  messages: [{ role: "user", content: "Write a short poem." }],
  stream: true,
});
said.streamed = "";
for await (const chunk of stream) {
  said.streamed += chunk.choices[0]?.delta?.content ?? "";
}

const usual = await client.chat.completions.create({
  model: "zai-org/glm-5",
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
const usages = [];
for await (const chunk of usual) {
  if (chunk.usage) usages.push([chunk.choices.length, chunk.usage.total_tokens]);
}
said.usages = usages;

const called = await client.chat.completions.create({ model: "test/one", messages, tools });
said.calls = called.choices[0].message.tool_calls.map((c) => [c.function.name, c.function.arguments]);

const runner = client.chat.completions.stream({ model: "test/one", messages, tools });
const last = await runner.finalChatCompletion();
said.streamedCalls = last.choices[0].message.tool_calls.map((c) => [
  c.function.name,
  c.function.arguments,
]);

const parsed = await client.chat.completions.create({
  model: "wild/json-answer",
  messages,
  response_format: {
    type: "json_schema",
    json_schema: { name: "answer", strict: true, schema: { type: "object" } },
  },
}).catch((error) => error);
said.structured = parsed.choices ? JSON.parse(parsed.choices[0].message.content) : String(parsed);

said.models = [];
for await (const model of client.models.list()) said.models.push(model.id);
said.model = (await client.models.retrieve("zai-org/glm-5")).id;

async function failure(asking) {
  try {
    const answer = await asking();
    for await (const _ of answer) { /* an error may come in the stream */ }
  } catch (error) {
    return [error.constructor.name, error.status ?? null, error.code ?? null];
  }
  return null;
}

const ask = (model, more = {}) => () =>
  client.chat.completions.create({ model, messages, stream: true, ...more });
const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "wrong-key-0123456789", maxRetries: 0 });
said.failures = {
  unknownModel: await failure(ask("unknown/model")),
  badField: await failure(ask("test/one", { temperature: 5 })),
  badKey: await failure(() => stranger.chat.completions.create({ model: "test/one", messages })),
  allFailed: await failure(ask("test/dead")),
  cut: await failure(ask("test/two")),
};
console.log(JSON.stringify(said));
