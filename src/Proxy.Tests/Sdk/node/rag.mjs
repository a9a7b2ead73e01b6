// The vendors' clients for JavaScript ask for answers from documents, through the proxy.
// Usage: node rag.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { run } from './things.mjs';

const base = process.argv[2];
const headers = { 'x-workspace': 'docs' };
const openai = new OpenAI({ apiKey: 'unused', baseURL: `${base}/v1`, maxRetries: 0 });
const anthropic = new Anthropic({ apiKey: 'unused', baseURL: base, maxRetries: 0 });
const ollama = new Ollama({ host: base });
const messages = [{ role: 'user', content: 'Why does the queue hold for long?' }];
const answer = 'The queue holds a "short" wait.\n';
const tools = [{ type: 'file_search', vector_store_ids: ['vs_docs'], max_num_results: 5 }];

const files = sources => sources.map(source => source.filename);
const both = ['guide.md', 'händbook.pdf'];

const things = {
  async 'openai whole'() {
    const { data, response } = await openai.chat.completions.create({ model: 'anthropic-tiny', messages }, { headers }).withResponse();
    assert.equal(data.choices[0].message.content, answer);
    assert.deepEqual(files(data.x_proxy.sources), both);
    assert.deepEqual(files(JSON.parse(response.headers.get('x-rag-sources'))), both);
  },

  async 'openai stream'() {
    let text = '', note;
    for await (const chunk of await openai.chat.completions.create({ model: 'openai-tiny', messages, stream: true }, { headers })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      note = chunk.x_proxy ?? note;
    }
    assert.equal(text, answer);
    assert.deepEqual(files(note.sources), both);
  },

  async 'openai pair in the list'() {
    const ids = (await openai.models.list()).data.map(model => model.id);
    assert.ok(ids.includes('openai-tiny#docs'));
    assert.equal((await openai.models.retrieve('openai-tiny#docs')).id, 'openai-tiny#docs');
    const reply = await openai.chat.completions.create({ model: 'openai-tiny#docs', messages });
    assert.equal(reply.model, 'openai-tiny#docs');
    assert.deepEqual(files(reply.x_proxy.sources), both);
  },

  async 'openai unknown workspace'() {
    const asking = openai.chat.completions.create({ model: 'openai-tiny#nowhere', messages });
    await assert.rejects(asking, error => error instanceof OpenAI.NotFoundError && error.code === 'workspace_not_found');
  },

  async 'responses whole'() {
    const reply = await openai.responses.create({ model: 'openai-tiny', input: messages[0].content, tools, include: ['file_search_call.results'] });
    const [search, message] = reply.output;
    assert.deepEqual([search.type, search.status, search.queries], ['file_search_call', 'completed', [messages[0].content]]);
    assert.deepEqual(files(search.results), both);
    assert.equal(search.results[0].text, 'The queue holds for 3 min.');
    assert.equal(reply.output_text, answer);
    assert.deepEqual(files(message.content[0].annotations), both);
    assert.ok(message.content[0].annotations.every(one => one.type === 'file_citation' && one.file_id && Number.isInteger(one.index)));
  },

  async 'responses stream'() {
    const types = [];
    const stream = openai.responses.stream({ model: 'ollama-tiny', input: messages[0].content, tools });
    for await (const event of stream) types.push(event.type);
    const order = ['response.created', 'response.output_item.added', 'response.file_search_call.in_progress', 'response.file_search_call.searching',
      'response.file_search_call.completed', 'response.output_item.done', 'response.output_text.delta', 'response.output_text.annotation.added',
      'response.output_text.done', 'response.completed'];
    assert.deepEqual(order.map(type => types.indexOf(type)).toSorted((a, b) => a - b), order.map(type => types.indexOf(type)));
    assert.ok(order.every(type => types.includes(type)));
    const reply = await stream.finalResponse(); // the SDK's own accumulator
    assert.deepEqual(reply.output.map(item => item.type), ['file_search_call', 'message']);
    assert.equal(reply.output[0].results, null);
    assert.deepEqual(files(reply.output[1].content[0].annotations), both);
    const next = await openai.responses.create({
      model: 'responses-tiny', tools, input: [...messages, ...reply.output, { role: 'user', content: 'And what else does it say there?' }],
    });
    assert.equal(next.output_text, answer);
  },

  async 'anthropic whole'() {
    const reply = await anthropic.messages.create({ model: 'openai-tiny', max_tokens: 100, messages }, { headers });
    assert.equal(reply.content[0].text, answer);
    assert.deepEqual(files(reply.x_proxy.sources), both);
  },

  async 'anthropic stream'() {
    const stream = anthropic.messages.stream({ model: 'anthropic-tiny', max_tokens: 100, messages }, { headers });
    let note;
    stream.on('streamEvent', event => { note = event.x_proxy ?? note; });
    assert.equal(await stream.finalText(), answer);
    assert.deepEqual(files(note.sources), both);
  },

  async 'ollama whole'() {
    const reply = await ollama.chat({ model: 'openai-tiny#docs', messages });
    assert.equal(reply.message.content, answer);
    assert.deepEqual(files(reply.x_proxy.sources), both);
  },

  async 'ollama stream'() {
    let text = '', last;
    for await (const part of await ollama.chat({ model: 'ollama-tiny#docs', messages, stream: true })) {
      text += part.message.content;
      last = part;
    }
    assert.equal(text, answer);
    assert.deepEqual(files(last.x_proxy.sources), both);
  },

  async 'ollama pair in the list'() {
    assert.ok((await ollama.list()).models.some(model => model.name.startsWith('openai-tiny#docs')));
    assert.ok(await ollama.show({ model: 'openai-tiny#docs' }));
  },
};

await run(things);
