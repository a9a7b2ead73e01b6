// Embeddings and rankings with three clients, each with a host of another dialect.
// Usage: node embed.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { Ollama } from 'ollama';
import { CohereClient, CohereClientV2 } from 'cohere-ai';

const base = process.argv[2];
const openai = new OpenAI({ baseURL: base + '/v1', apiKey: 'none', maxRetries: 0 });
const ollama = new Ollama({ host: base });
const cohere = new CohereClient({ environment: base, token: 'none' });
const cohereV2 = new CohereClientV2({ environment: base, token: 'none' });
const close = (vector, expected) => {
  assert.equal(vector.length, expected.length);
  vector.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${vector}`));
};
const documents = ['A stream is resumed after a restart of the proxy.', 'The cat sat.', 'streams are resumed how'];

const things = {
  async openai_over_an_Ollama_host() {
    // By default the client asks for base64, and it decodes either form.
    const reply = await openai.embeddings.create({ model: 'ollama-embed', input: ['a', 'b'] });
    assert.equal(reply.data.length, 2);
    for (const item of reply.data) close(item.embedding, [0.6, 0.8, 0, 0]);
    assert.equal(reply.usage.prompt_tokens, 6);
  },

  async openai_over_a_host_that_ignores_base64() {
    const reply = await openai.embeddings.create({ model: 'openai-embed', input: 'a' });
    close(reply.data[0].embedding, [0.6, 0.8, 0, 0]);
  },

  async openai_is_told_what_is_wrong() {
    await assert.rejects(openai.embeddings.create({ model: 'openai-embed', input: 'a', dimensions: 2 }), error => error.status === 400
      && error.param === 'dimensions');
    await assert.rejects(openai.embeddings.create({ model: 'nobody', input: 'a' }), error => error.status === 404);
  },

  async ollama_over_an_OpenAI_host() {
    const reply = await ollama.embed({ model: 'openai-embed', input: ['a'] });
    close(reply.embeddings[0], [0.6, 0.8, 0, 0]);
    assert.equal(reply.model, 'openai-embed');
    const older = await ollama.embeddings({ model: 'openai-embed', prompt: 'a' });
    close(older.embedding, [0.6, 0.8, 0, 0]);
  },

  async cohere_over_a_TEI_host() {
    const reply = await cohere.rerank({ model: 'tei-rerank', query: 'how are streams resumed', documents, topN: 2, returnDocuments: true });
    assert.deepEqual(reply.results.map(result => result.index), [2, 0]);
    assert.equal(reply.results[0].document.text, documents[2]);
    assert.ok(Math.abs(reply.results[0].relevanceScore - 0.9975274) < 1e-6);
  },

  async cohere_v2_over_a_TEI_host() {
    const reply = await cohereV2.rerank({ model: 'tei-rerank', query: 'how are streams resumed', documents });
    assert.deepEqual(reply.results.map(result => result.index), [2, 0, 1]);
    await assert.rejects(cohereV2.rerank({ model: 'tei-rerank', query: 'q', documents: [] }), error => error.statusCode === 400);
  },
};

for (const [name, thing] of Object.entries(things)) {
  await thing();
  console.log('ok ' + name);
}
