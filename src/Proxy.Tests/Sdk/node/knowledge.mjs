// OpenAI's own client for JavaScript: files, vector stores and their search, in the proxy itself.
// Usage: node knowledge.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import OpenAI, { BadRequestError, NotFoundError, toFile } from 'openai';
import { run } from './things.mjs';

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: 'sk-unused', maxRetries: 0, timeout: 60_000 });
const text = (name, body) => toFile(Buffer.from(body), name);
let store, geese;

const things = {
  async create() {
    store = await client.vectorStores.create({ name: 'birds', description: 'About birds', metadata: { topic: 'birds' },
      expires_after: { anchor: 'last_active_at', days: 30 } });
    assert.equal(store.status, 'completed');
    assert.equal(store.file_counts.total, 0);
    assert.equal((await client.vectorStores.retrieve('birds')).id, store.id);
  },

  async upload_and_poll() {
    const file = await client.vectorStores.files.uploadAndPoll(store.id, await text('geese.md', '# Geese\n\nGeese fly south in autumn.'));
    assert.equal(file.status, 'completed');
    assert.equal(file.last_error, null);
    assert.ok(file.usage_bytes > 0);
    geese = file.id;
  },

  async failed_file_ends_the_poll() {
    const file = await client.vectorStores.files.uploadAndPoll(store.id, await text('broken.pdf', '%PDF-1.7 nothing'));
    assert.equal(file.status, 'failed');
    assert.match(file.last_error.code, /^(invalid|unsupported)_file$/);
    assert.ok(file.last_error.message);
    await client.files.delete(file.id);
  },

  async batch_upload_and_poll() {
    const files = await Promise.all([text('owls.txt', 'Owls hunt mice at night.'), text('ducks.txt', 'Ducks swim on ponds and eat weed.'),
      text('larks.txt', 'Larks sing early in the morning.')]);
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files });
    assert.equal(batch.status, 'completed');
    assert.equal(batch.file_counts.completed, 3);
    const names = [];
    for await (const file of client.vectorStores.fileBatches.listFiles(batch.id, { vector_store_id: store.id, limit: 2 })) names.push(file.id);
    assert.equal(names.length, 3);
  },

  async batch_with_attributes() {
    const file = await client.files.create({ file: await text('storks.txt', 'Storks build nests on roofs.'), purpose: 'user_data' });
    const batch = await client.vectorStores.fileBatches.createAndPoll(store.id, { files: [{ file_id: file.id, attributes: { year: 2024, wild: true },
      chunking_strategy: { type: 'static', static: { max_chunk_size_tokens: 800, chunk_overlap_tokens: 400 } } }] });
    assert.equal(batch.status, 'completed');
    const there = await client.vectorStores.files.retrieve(file.id, { vector_store_id: store.id });
    assert.deepEqual(there.attributes, { year: 2024, wild: true });
    assert.ok(there.chunking_strategy.static.max_chunk_size_tokens < 800);
  },

  async list() {
    const ids = [];
    for await (const file of client.vectorStores.files.list(store.id, { limit: 2, order: 'asc' })) ids.push(file.id);
    assert.equal(ids.length, 5);
    assert.equal(ids[0], geese);
    const stores = [];
    for await (const one of client.vectorStores.list()) stores.push(one.name);
    assert.deepEqual(stores, ['birds']);
    const files = [];
    for await (const file of client.files.list({ purpose: 'user_data' })) files.push(file.filename);
    assert.deepEqual(files, ['storks.txt']);
  },

  async search() {
    const found = await client.vectorStores.search(store.id, { query: 'Which birds travel to warm countries before winter?', max_num_results: 3 });
    assert.equal(found.data[0].filename, 'geese.md');
    assert.match(found.data[0].content[0].text, /fly south/);
    assert.ok(found.data[0].score > 0 && found.data[0].score <= 1);
    assert.ok(found.data.length <= 3);
  },

  async search_with_filter_and_ranking() {
    const found = await client.vectorStores.search(store.id, { query: ['birds', 'nests'], rewrite_query: true,
      filters: { type: 'and', filters: [{ type: 'gte', key: 'year', value: 2024 }, { type: 'eq', key: 'wild', value: true }] },
      ranking_options: { ranker: 'none', score_threshold: 0, hybrid_search: { embedding_weight: 1, text_weight: 1 } } });
    assert.deepEqual(found.data.map(hit => hit.filename), ['storks.txt']);
    assert.deepEqual(found.data[0].attributes, { year: 2024, wild: true });
  },

  async update_attributes() {
    const file = await client.vectorStores.files.update(geese, { vector_store_id: store.id, attributes: { lang: 'en' } });
    assert.deepEqual(file.attributes, { lang: 'en' });
    const found = await client.vectorStores.search(store.id, { query: 'geese', filters: { type: 'in', key: 'lang', value: ['en', 'de'] } });
    assert.deepEqual(found.data.map(hit => hit.file_id), [geese]);
  },

  async content() {
    const parts = [];
    for await (const part of client.vectorStores.files.content(geese, { vector_store_id: store.id })) parts.push(part.text);
    assert.match(parts.join('\n'), /Geese fly south/);
    assert.equal(await (await client.files.content(geese)).text(), '# Geese\n\nGeese fly south in autumn.');
  },

  async update_store() {
    const changed = await client.vectorStores.update(store.id, { name: 'fowl', expires_after: null, metadata: { topic: 'fowl' } });
    assert.equal(changed.name, 'fowl');
    assert.equal(changed.expires_at, null);
  },

  async errors() {
    await assert.rejects(client.vectorStores.retrieve('vs_none'), NotFoundError);
    await assert.rejects(client.files.retrieve('file-none'), NotFoundError);
    await assert.rejects(client.vectorStores.search(store.id, { query: 'x', filters: { type: 'like', key: 'a', value: 1 } }), error =>
      error instanceof BadRequestError && error.param === 'filters' && error.message.includes("type is 'like'"));
  },

  async delete() {
    assert.equal((await client.vectorStores.files.delete(geese, { vector_store_id: store.id })).deleted, true);
    assert.equal((await client.vectorStores.search(store.id, { query: 'geese fly south' })).data.filter(hit => hit.file_id === geese).length, 0);
    assert.equal((await client.files.delete(geese)).deleted, true);
    assert.equal((await client.vectorStores.delete(store.id)).deleted, true);
    await assert.rejects(client.vectorStores.retrieve(store.id), NotFoundError);
    for await (const file of client.files.list()) await client.files.delete(file.id);
  },
};

await run(things);
