// What the official Node clients do once against an endpoint, as kits.py does with Python's.
// Runs in the folder where they are installed: `node kits.mjs NAME URL MODEL` prints a line of JSON for
// each check.
import { createRequire } from "node:module";

const installed = createRequire(`${process.cwd()}/`);
const SAYS = "What is the capital of France?";
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const [name, url, model] = process.argv.slice(2);

function openai() {
  const { OpenAI } = installed("openai");
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const messages = [{ role: "user", content: SAYS }];
  const asked = { model, messages, max_tokens: 20 };
  const look_up = { name: "look_up", parameters: SCHEMA };
  const tools = [{ type: "function", function: look_up }];
  const flat = [{ type: "function", strict: true, ...look_up }];
  return {
    chat: async () => (await client.chat.completions.create(asked)).choices[0].message.content,
    "chat stream": async () => {
      let text = "";
      for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
        text += chunk.choices[0]?.delta?.content ?? "";
      return text;
    },
    "chat tool": async () => {
      const given = { model, messages, max_tokens: 200, tools, tool_choice: "required" };
      const answer = await client.chat.completions.create(given);
      return answer.choices[0].message.tool_calls[0].function.arguments;
    },
    responses: async () => (await client.responses.create({ model, input: SAYS })).output_text,
    "responses stream": async () =>
      (await client.responses.stream({ model, input: SAYS }).finalResponse()).output_text,
    "responses tool": async () => {
      const given = { model, input: SAYS, tools: flat, tool_choice: "required" };
      return (await client.responses.create(given)).output[0].arguments;
    },
    models: async () => (await client.models.list()).data.map((found) => found.id),
  };
}

function anthropic() {
  const { Anthropic } = installed("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
  const messages = [{ role: "user", content: SAYS }];
  const asked = { model, messages, max_tokens: 200 };
  const tools = [{ name: "look_up", input_schema: SCHEMA }];
  return {
    messages: async () => (await client.messages.create(asked)).content[0].text,
    "messages stream": async () => client.messages.stream(asked).finalText(),
    "messages tool": async () => {
      const answer = await client.messages.create({ ...asked, tools, tool_choice: { type: "any" } });
      return answer.content[0].input;
    },
    count_tokens: async () =>
      (await client.messages.countTokens({ model: "small", messages })).input_tokens,
    models: async () => (await client.models.list()).data.map((found) => found.id),
  };
}

for (const [check, run] of Object.entries({ openai, anthropic }[name]())) {
  let failed = "";
  try {
    const found = await run();
    if (!found || found.length === 0) failed = "an empty answer";
  } catch (error) {
    failed = `${error.name}: ${error.message}`.split("\n")[0].slice(0, 200);
  }
  console.log(JSON.stringify({ check, failed }));
}
