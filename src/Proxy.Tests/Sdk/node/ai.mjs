// Vercel's AI SDK with three providers, each with hosts of the other dialects.
// Usage: node ai.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, embedMany, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { createOllama } from 'ollama-ai-provider-v2';
import { over, parameters, pixel, run } from './things.mjs';

const base = process.argv[2];
const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: 'sk-unused' });
const anthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: 'sk-unused' });
const ollama = createOllama({ baseURL: `${base}/api` });
const ways = [
  ['responses', openai, over('openai', 'ollama', 'anthropic')],
  ['chat', openai.chat, over('ollama', 'anthropic')],
  ['anthropic', anthropic, over('openai', 'ollama')],
  ['ollama', ollama, over('openai', 'anthropic')],
];
const things = {};

for (const [way, provider, models] of ways)
  for (const name of models) {
    const model = provider(name);
    // Without store: false the Responses provider sends back the items' ids instead of the items.
    const asked = { model, maxRetries: 0, maxOutputTokens: 200, providerOptions: { openai: { store: false } } };

    things[`text_${way}_${name}`] = async () => {
      const whole = await generateText({ ...asked, prompt: 'hello' });
      assert.equal(whole.text, 'Héllo 😀');
      assert.equal(whole.finishReason, 'stop');
      assert.equal(whole.usage.outputTokens, 7);
      const stream = streamText({ ...asked, prompt: 'hello' });
      const pieces = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      assert.equal(pieces.join(''), 'Héllo 😀');
      assert.equal(await stream.finishReason, 'stop');
      assert.equal((await stream.usage).outputTokens, 7);
      assert.equal((await generateText({ ...asked, prompt: 'long' })).finishReason, 'length');
      const seen = await generateText({ ...asked, messages: [{ role: 'user',
        content: [{ type: 'text', text: 'what is this?' }, { type: 'file', data: pixel, mediaType: 'image/png' }] }] });
      assert.equal(seen.text, pixel);
    };

    things[`tools_${way}_${name}`] = async () => {
      // The SDK runs the tool itself and continues with the results.
      for (const ask of [generateText, streamText]) {
        const cities = [];
        const get_weather = tool({ description: 'the weather', inputSchema: jsonSchema(parameters), execute: ({ city }) =>
          (cities.push(city), city === 'Paris' ? 'sunny' : 'rain') });
        const reply = await ask({ ...asked, prompt: 'hello', tools: { get_weather }, stopWhen: stepCountIs(3) });
        const steps = await reply.steps;
        assert.deepEqual(cities, ['Paris', 'Rome']);
        assert.deepEqual(steps.map(step => step.finishReason), ['tool-calls', 'stop']);
        assert.match(await reply.text, /^"?sunny"?, "?rain"?$/);
      }
    };

    things[`errors_${way}_${name}`] = async () => {
      await assert.rejects(generateText({ ...asked, prompt: 'refuse' }), error => APICallError.isInstance(error) && error.statusCode === 400
        && /I take no such prompt/.test(error.responseBody));
      let text = '', fault;
      const stream = streamText({ ...asked, prompt: 'die', onError: ({ error }) => fault = error });
      for await (const piece of stream.textStream) text += piece;
      assert.equal(text, 'half');
      // The Ollama provider skips a line that is not a reply, including an error: only the end is missing.
      assert.ok(way === 'ollama' ? await stream.finishReason !== 'stop' : fault, 'the broken stream looks whole');
    };
  }

for (const [way, model] of [['openai', openai.embeddingModel('any-ollama')], ['ollama', ollama.embeddingModel('any-openai')]])
  things[`embeddings_${way}`] = async () => {
    const { embeddings } = await embedMany({ model, values: ['the cat', 'the dog'], maxRetries: 0 });
    assert.deepEqual(embeddings.map(vector => vector.map(number => Math.round(number * 100) / 100)), [[0.6, 0.8], [-0.8, 0.6]]);
  };

await run(things);
