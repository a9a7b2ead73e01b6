// Compares the proxy's vectors and scores with onnxruntime-node on the same machine, which gets the ids of the reference tokenizers.
// Usage: node parity.mjs BASE_URL MODELS [NAME GRAPH]...
// MODELS is the folder with the golden answers; NAME is a MiniLM that the proxy serves, GRAPH its file.
// Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { run } from './things.mjs';

const [base, models, ...graphs] = process.argv.slice(2);
const golden = (folder, file) => readFileSync(join(models, folder, file), 'utf8').trim().split('\n').map(line => JSON.parse(line));
const options = { intraOpNumThreads: 1, logSeverityLevel: 3 };

async function post(path, body) {
  const reply = await fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  assert.equal(reply.status, 200, `${path}: ${await reply.clone().text()}`);
  return reply.json();
}

/** One vector for each token of one text. */
async function rows(session, ids) {
  const tensor = value => new ort.Tensor('int64', BigInt64Array.from(ids, value), [1, ids.length]);
  const values = { input_ids: tensor(BigInt), attention_mask: tensor(() => 1n), token_type_ids: tensor(() => 0n) };
  const outputs = await session.run(Object.fromEntries(session.inputNames.map(name => [name, values[name]])));
  const { data, dims } = outputs[session.outputNames[0]];
  assert.equal(dims.length, 3);
  return Array.from({ length: ids.length }, (_, i) => data.slice(i * dims[2], (i + 1) * dims[2]));
}

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
const unit = vector => { const length = Math.sqrt(dot(vector, vector)); return length > 0 ? Array.from(vector, value => value / length) : Array.from(vector); };
const mean = vectors => Array.from(vectors[0], (_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);

const things = {
  async maxsim_is_a_double_loop() {
    const folder = join(models, 'tiny-wordpiece-colbert');
    const session = await ort.InferenceSession.create(join(folder, 'onnx', 'model.onnx'), options);
    const { vocab } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')).model;
    const skipped = new Set(JSON.parse(readFileSync(join(folder, 'config_sentence_transformers.json'), 'utf8')).skiplist_words.map(word => vocab[word]));
    for (const line of golden('tiny-wordpiece-colbert', 'golden-maxsim.jsonl')) {
      const query = (await rows(session, line.query_ids)).map(unit);
      const document = (await rows(session, line.document_ids)).map(unit).filter((_, i) => !skipped.has(line.document_ids[i]));
      let sum = 0;
      for (const asked of query) {
        let best = -Infinity;
        for (const offered of document) best = Math.max(best, dot(asked, offered));
        sum += best;
      }

      const [{ score }] = await post('/rerank', { model: 'late', query: line.query, texts: [line.document], raw_scores: true });
      assert.ok(Math.abs(score - sum) < 1e-3 && Math.abs(score - line.score) < 1e-3, `${score} is not ${sum}`);
      const ranking = await post('/v1/rerank', { model: 'late', query: line.query, documents: [line.document] });
      assert.ok(Math.abs(ranking.results[0].relevance_score - sum / 32) < 1e-4);
    }
  },
};

for (let i = 0; i < graphs.length; i += 2) {
  const [name, graph] = [graphs[i], graphs[i + 1]];
  things[`vectors_of_${name}`] = async () => {
    const session = await ort.InferenceSession.create(graph, options);
    const lines = golden('all-MiniLM-L6-v2', 'golden.jsonl').filter(line => line.ids.length <= 256).filter((line, at) => line.vector || at % 5 === 0);
    assert.ok(lines.length > 60, `${lines.length}`);
    const together = await post('/v1/embeddings', { model: name, input: lines.map(line => line.text) });
    const wrong = [];
    for (const [at, line] of lines.entries()) {
      const expected = unit(mean(await rows(session, line.ids)));
      const off = 1 - dot(expected, unit(together.data[at].embedding));
      if (!(off <= 1e-4)) wrong.push(`${off}: ${line.text}`);
    }

    assert.deepEqual(wrong, []);
  };
}

await run(things);
