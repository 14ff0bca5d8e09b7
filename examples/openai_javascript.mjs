// OpenAI's SDK for JavaScript: only the base URL and the key are others.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.LLMBASE_URL ?? "http://127.0.0.1:8080"}/v1`,
  apiKey: process.env.LLMBASE_API_KEY,
});
const model = process.env.LLMBASE_MODEL ?? "local/smollm2-135m-instruct";

const answer = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Say hello." }],
  max_tokens: 60,
});
console.log(answer.choices[0].message.content);

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Tell me a story." }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  if (chunk.usage) console.log(`\n${chunk.usage.total_tokens} tokens`);
}

try {
  await client.chat.completions.create({ model: "no/model", messages: [{ role: "user", content: "Hi" }] });
} catch (error) {
  if (!(error instanceof OpenAI.NotFoundError)) throw error;
  console.log(error.code, "-", error.requestID);
}
