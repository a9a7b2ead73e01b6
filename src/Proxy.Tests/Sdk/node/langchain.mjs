// LangChain's three chat models and its embeddings, each with hosts of the other dialects.
// Usage: node langchain.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { ChatAnthropic } from '@langchain/anthropic';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOllama, OllamaEmbeddings } from '@langchain/ollama';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { cities, over, parameters, run } from './things.mjs';

const base = process.argv[2];
const ways = [
  ['openai', model => new ChatOpenAI({ model, apiKey: 'sk-unused', maxRetries: 0, configuration: { baseURL: `${base}/v1` } }), over('ollama', 'anthropic')],
  ['responses', model => new ChatOpenAI({ model, apiKey: 'sk-unused', maxRetries: 0, useResponsesApi: true, configuration: { baseURL: `${base}/v1` } }),
    over('openai', 'ollama', 'anthropic')],
  ['anthropic', model => new ChatAnthropic({ model, apiKey: 'sk-unused', maxRetries: 0, maxTokens: 200, anthropicApiUrl: base }), over('openai', 'ollama')],
  ['ollama', model => new ChatOllama({ model, baseUrl: base, maxRetries: 0 }), over('openai', 'anthropic')],
];
const weather = { name: 'get_weather', description: 'the weather', schema: parameters };
const things = {};

for (const [way, make, models] of ways)
  for (const name of models) {
    const chat = make(name);

    things[`chat_${way}_${name}`] = async () => {
      const whole = await chat.invoke('hello');
      let streamed, pieces = 0;
      for await (const chunk of await chat.stream('hello')) {
        if (chunk.text) pieces++;
        streamed = streamed ? streamed.concat(chunk) : chunk;
      }
      assert.ok(pieces > 2, 'it came in one piece');
      for (const message of [whole, streamed]) {
        assert.equal(message.text, 'Héllo 😀');
        assert.equal(message.usage_metadata.output_tokens, 7);
      }
    };

    things[`tools_${way}_${name}`] = async () => {
      const bound = chat.bindTools([weather]);
      let streamed;
      for await (const chunk of await bound.stream('hello')) streamed = streamed ? streamed.concat(chunk) : chunk;
      const whole = await bound.invoke('hello');
      for (const message of [whole, streamed])
        assert.deepEqual(message.tool_calls.map(call => [call.name, call.args]), cities.map(city => ['get_weather', city]));
      const results = whole.tool_calls.map((call, index) => new ToolMessage({ tool_call_id: call.id, name: call.name, content: ['sunny', 'rain'][index] }));
      assert.equal((await bound.invoke([new HumanMessage('hello'), whole, ...results])).text, 'sunny, rain');
    };

    things[`errors_${way}_${name}`] = async () => {
      await assert.rejects(chat.invoke('refuse'), /I take no such prompt/);
      let text = '';
      await assert.rejects(async () => { for await (const chunk of await chat.stream('die')) text += chunk.text; });
      assert.equal(text, 'half');
    };
  }

for (const [way, embeddings] of [
  ['openai', new OpenAIEmbeddings({ model: 'any-ollama', apiKey: 'sk-unused', maxRetries: 0, configuration: { baseURL: `${base}/v1` } })],
  ['ollama', new OllamaEmbeddings({ model: 'any-openai', baseUrl: base, maxRetries: 0 })],
])
  things[`embeddings_${way}`] = async () => {
    const vectors = await embeddings.embedDocuments(['the cat', 'the dog']);
    assert.deepEqual(vectors.map(vector => vector.map(number => Math.round(number * 100) / 100)), [[0.6, 0.8], [-0.8, 0.6]]);
  };

await run(things);
