// Embeddings and rankings with three clients and the models inside the proxy, compared with the reference tokenizers and onnxruntime.
// Usage: node local.mjs BASE_URL MODELS, where MODELS is the folder with the golden answers.
// Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { Ollama } from 'ollama';
import { CohereClient, CohereClientV2 } from 'cohere-ai';
import { run } from './things.mjs';

const [base, models] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: base + '/v1', apiKey: 'none', maxRetries: 0 });
const ollama = new Ollama({ host: base });
const cohere = new CohereClient({ environment: base, token: 'none' });
const cohereV2 = new CohereClientV2({ environment: base, token: 'none' });

const golden = (folder, file) => readFileSync(join(models, folder, file), 'utf8').trim().split('\n').map(line => JSON.parse(line));
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const unit = vector => vector.map(value => value / Math.sqrt(dot(vector, vector)));
const sigmoid = value => 1 / (1 + Math.exp(-value));

/** The bundled model may differ slightly between processors; a model in a folder may not. */
const near = (vector, expected) => {
  assert.equal(vector.length, expected.length);
  assert.ok(cosine(vector, expected) >= 0.999, `cosine ${cosine(vector, expected)}`);
  assert.ok(Math.abs(dot(vector, vector) - 1) < 1e-5);
};
const same = (vector, expected) => {
  assert.equal(vector.length, expected.length);
  const off = Math.hypot(...expected.map((value, i) => value - vector[i]));
  assert.ok(off < 1e-4, `off by ${off}`);
};
const kinds = [['all-minilm-q4', golden('all-minilm-q4', 'golden.jsonl'), near],
  ['tiny', golden('tiny-bpe-embed', 'golden.jsonl').filter(line => line.vector && line.text), same]];

/** The pairs of one query, with the reference's logits. */
function ranking() {
  const pairs = golden('tiny-wordpiece-rerank', 'golden-pairs.jsonl');
  const groups = Map.groupBy?.(pairs, pair => pair.query) ?? pairs.reduce((all, pair) => all.set(pair.query, [...(all.get(pair.query) ?? []), pair]),
    new Map());
  return [...groups.values()].filter(group => group.every(pair => pair.document)).sort((a, b) => b.length - a.length)[0];
}

/** Best first, each with the reference's score. */
function ranked(results, scores, top = scores.length) {
  const expected = scores.map((score, index) => ({ index, score })).sort((a, b) => b.score - a.score).slice(0, top);
  assert.equal(results.length, expected.length);
  results.forEach((result, i) => {
    assert.ok(Math.abs(result.relevanceScore - scores[result.index]) < 1e-4, `${result.relevanceScore} is not ${scores[result.index]}`);
    assert.ok(Math.abs(result.relevanceScore - expected[i].score) < 1e-4, 'the best do not come first');
  });
  assert.equal(new Set(results.map(result => result.index)).size, results.length);
}

await run({
  async openai_embeds_a_string() {
    for (const [model, lines, agree] of kinds) {
      for (const line of lines.slice(0, 6)) {
        const reply = await openai.embeddings.create({ model, input: line.text });
        agree(reply.data[0].embedding, line.vector);
        assert.equal(reply.model, model);
        assert.equal(reply.usage.prompt_tokens, line.ids.length);
      }
    }
  },

  async openai_embeds_a_list() {
    for (const [model, lines, agree] of kinds) {
      for (let from = 0; from < lines.length; from += 128) {
        const some = lines.slice(from, from + 128);
        const reply = await openai.embeddings.create({ model, input: some.map(line => line.text) });
        assert.deepEqual(reply.data.map(item => item.index), some.map((_, i) => i));
        reply.data.forEach((item, i) => agree(item.embedding, some[i].vector));
      }
    }
  },

  async openai_embeds_token_ids() {
    for (const [model, lines, agree] of kinds) {
      const reply = await openai.embeddings.create({ model, input: lines.slice(0, 4).map(line => line.ids) });
      reply.data.forEach((item, i) => agree(item.embedding, lines[i].vector));
    }
  },

  async openai_gets_the_same_numbers_in_base64_and_as_text() {
    for (const [model, lines] of kinds) {
      const wire = await fetch(base + '/v1/embeddings', { method: 'POST', body: JSON.stringify({ model, input: lines[1].text, encoding_format: 'base64' }),
        headers: { 'content-type': 'application/json' } });
      assert.equal(typeof (await wire.json()).data[0].embedding, 'string');
      const [unsaid, text] = [await openai.embeddings.create({ model, input: lines[1].text }),
        await openai.embeddings.create({ model, input: lines[1].text, encoding_format: 'float' })];
      assert.deepEqual([...new Float32Array(text.data[0].embedding)], [...unsaid.data[0].embedding]);
    }
  },

  async openai_cuts_a_model_that_is_made_for_it_and_no_other() {
    const [, lines] = kinds[1];
    const reply = await openai.embeddings.create({ model: 'tiny-short', input: lines.slice(0, 20).map(line => line.text), dimensions: 16 });
    reply.data.forEach((item, i) => same(item.embedding, unit(lines[i].vector.slice(0, 16))));
    same((await openai.embeddings.create({ model: 'tiny', input: lines[0].text, dimensions: 64 })).data[0].embedding, lines[0].vector);
    await assert.rejects(openai.embeddings.create({ model: 'all-minilm-q4', input: 'a', dimensions: 16 }), error => error.status === 400
      && error.param === 'dimensions');
  },

  async openai_is_told_what_is_wrong() {
    await assert.rejects(openai.embeddings.create({ model: 'all-minilm-q4', input: ['fits', 'does not fit '.repeat(400)] }), error => error.status === 400
      && error.code === 'context_length_exceeded' && /input\W*1/.test(error.message));
    await assert.rejects(openai.embeddings.create({ model: 'cross', input: 'a' }), error => error.status === 400);
    await assert.rejects(openai.embeddings.create({ model: 'all-minilm-q4', input: [] }), error => error.status === 400);
  },

  async openai_lists_them() {
    const listed = [];
    for await (const model of openai.models.list()) listed.push(model.id);
    for (const name of ['all-minilm-q4', 'tiny', 'tiny-short', 'cross', 'late']) assert.ok(listed.includes(name), `${listed}`);
  },

  async ollama_embeds_a_string_and_a_list() {
    for (const [model, lines, agree] of kinds) {
      const one = await ollama.embed({ model, input: lines[0].text });
      agree(one.embeddings[0], lines[0].vector);
      assert.equal(one.prompt_eval_count, lines[0].ids.length);
      const many = await ollama.embed({ model, input: lines.slice(0, 100).map(line => line.text) });
      assert.equal(many.embeddings.length, Math.min(100, lines.length));
      many.embeddings.forEach((vector, i) => agree(vector, lines[i].vector));
      agree((await ollama.embeddings({ model, prompt: lines[0].text })).embedding, lines[0].vector);
    }
  },

  async ollama_cuts_vectors_and_long_texts() {
    const [, lines] = kinds[1];
    const short = await ollama.embed({ model: 'tiny', input: lines[0].text, dimensions: 16 });
    same(short.embeddings[0], unit(lines[0].vector.slice(0, 16)));
    const long = 'a long story '.repeat(500);
    assert.equal((await ollama.embed({ model: 'all-minilm-q4', input: long })).embeddings[0].length, 384);
    await assert.rejects(ollama.embed({ model: 'all-minilm-q4', input: long, truncate: false }), /context length/);
  },

  async ollama_lists_them() {
    const listed = (await ollama.list()).models.map(model => model.name);
    for (const name of ['all-minilm-q4', 'tiny']) assert.ok(listed.some(known => known.split(':')[0] === name), `${listed}`);
  },

  async cohere_reranks_with_a_cross_encoder() {
    const pairs = ranking();
    const [query, documents, scores] = [pairs[0].query, pairs.map(pair => pair.document), pairs.map(pair => sigmoid(pair.logit))];
    for (const client of [cohere, cohereV2]) {
      ranked((await client.rerank({ model: 'cross', query, documents })).results, scores);
      ranked((await client.rerank({ model: 'cross', query, documents, topN: 2 })).results, scores, 2);
    }
    const brought = await cohere.rerank({ model: 'cross', query, documents: documents.map(text => ({ text })), returnDocuments: true });
    for (const result of brought.results) assert.equal(result.document.text, documents[result.index]);
  },

  async cohere_reranks_with_late_interaction() {
    const line = golden('tiny-wordpiece-colbert', 'golden-maxsim.jsonl').find(pair => pair.document && pair.query);
    for (const client of [cohere, cohereV2]) {
      const reply = await client.rerank({ model: 'late', query: line.query, documents: [line.document] });
      assert.ok(Math.abs(reply.results[0].relevanceScore - line.score / 32) < 1e-4);
    }
  },

  async cohere_reranks_by_cosine_with_the_bundled_model() {
    const [, lines] = kinds[0];
    const scores = lines.slice(1).map(line => cosine(lines[0].vector, line.vector));
    for (const client of [cohere, cohereV2]) {
      const reply = await client.rerank({ model: 'all-minilm-q4', query: lines[0].text, documents: lines.slice(1).map(line => line.text) });
      assert.equal(reply.results.length, scores.length);
      for (const result of reply.results) assert.ok(Math.abs(result.relevanceScore - scores[result.index]) < 0.02,
        `${result.relevanceScore} is not ${scores[result.index]}`);
      assert.equal(reply.results[0].index, scores.indexOf(Math.max(...scores)));
    }
  },

  async cohere_is_told_what_is_wrong() {
    await assert.rejects(cohereV2.rerank({ model: 'cross', query: 'q', documents: [] }), error => error.statusCode === 400);
    await assert.rejects(cohere.rerank({ model: 'nobody', query: 'q', documents: ['a'] }), error => error.statusCode === 404);
  },
});
