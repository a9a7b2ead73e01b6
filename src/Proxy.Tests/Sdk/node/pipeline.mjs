// The vendors' clients get a pipeline's answer like a model's: two branches ran in parallel, the winner's is shown.
// Usage: node pipeline.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { hello, run } from './things.mjs';

const base = process.argv[2], model = 'pipeline/research', answer = 'The longer answer wins. 😀';
const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'sk-unused', maxRetries: 0, timeout: 30_000 });
const ollama = new Ollama({ host: base });
const anthropic = new Anthropic({ baseURL: base, apiKey: 'sk-unused', maxRetries: 0, timeout: 30_000 });

const things = {
  async openai_lists_it() {
    const names = [];
    for await (const one of openai.models.list()) names.push(one.id);
    assert.ok(names.includes(model), names);
  },

  async openai_streams_it() {
    let text = '', pieces = 0, finish, note;
    for await (const chunk of await openai.chat.completions.create({ model, messages: hello, stream: true })) {
      if (chunk.choices[0]?.delta.content) pieces++;
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      note = chunk.x_proxy ?? note;
    }
    assert.deepEqual([text, finish, note.winner], [answer, 'stop', 'b']);
    assert.ok(pieces > 1, 'it came in one piece');
  },

  async openai_gets_it_whole() {
    const reply = await openai.chat.completions.create({ model, messages: hello });
    assert.deepEqual([reply.choices[0].message.content, reply.model, reply.x_proxy.winner], [answer, model, 'b']);
  },

  async ollama_streams_it() {
    let text = '', last;
    for await (const part of await ollama.chat({ model, messages: hello, stream: true })) {
      text += part.message.content;
      last = part;
    }
    assert.deepEqual([text, last.done, last.done_reason, last.x_proxy.winner], [answer, true, 'stop', 'b']);
  },

  async ollama_gets_it_whole() {
    const reply = await ollama.chat({ model, messages: hello });
    assert.equal(reply.message.content, answer);
  },

  async anthropic_streams_it() {
    const stream = anthropic.messages.stream({ model, messages: hello, max_tokens: 100 });
    let text = '';
    stream.on('text', piece => text += piece);
    const message = await stream.finalMessage();
    assert.deepEqual([text, message.content[0].text, message.stop_reason], [answer, answer, 'end_turn']);
  },

  async anthropic_gets_it_whole() {
    const message = await anthropic.messages.create({ model, messages: hello, max_tokens: 100 });
    assert.deepEqual([message.content[0].text, message.stop_reason], [answer, 'end_turn']);
  },
};

await run(things);
