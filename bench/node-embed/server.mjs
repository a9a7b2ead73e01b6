// node server.mjs PORT FOLDER THREADS: the embedding server that a JavaScript programmer would write, and write well. One call is one batch;
// calls that wait meanwhile are computed together, up to 32 texts, and longer lists are sorted by length and cut into such batches.
import { createServer } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { existsSync } from 'node:fs';
import { env, pipeline } from '@huggingface/transformers';

const [port, folder, threads] = process.argv.slice(2);
const most = 32;
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const quantized = existsSync(join(folder, 'onnx', 'model_quantized.onnx'));
const extract = await pipeline('feature-extraction', basename(folder), {
  dtype: quantized ? 'q8' : 'fp32', // as the file is named, not as its weights are
  session_options: { intraOpNumThreads: Number(threads), interOpNumThreads: 1 },
});

let waiting = [];
let busy = false;
async function work() {
  if (busy) return;
  busy = true;
  while (waiting.length > 0) {
    const batch = [];
    while (waiting.length > 0 && (batch.length === 0 || batch.length < most)) batch.push(waiting.shift());
    try {
      const rows = await extract(batch.map(one => one.text), { pooling: 'mean', normalize: true });
      const width = rows.dims.at(-1);
      batch.forEach((one, i) => one.resolve(rows.data.subarray(i * width, (i + 1) * width)));
    } catch (problem) {
      batch.forEach(one => one.reject(problem));
    }
  }
  busy = false;
}

function embed(texts) {
  const order = texts.map((text, i) => [text.length, i]).sort((a, b) => a[0] - b[0]);
  const results = new Array(texts.length);
  const all = order.map(([, i]) => new Promise((resolve, reject) => waiting.push({ text: texts[i], resolve: row => resolve(results[i] = row), reject })));
  work();
  return Promise.all(all).then(() => results);
}

createServer(async (request, response) => {
  if (request.method === 'GET') return response.end('ok');
  let body = '';
  request.setEncoding('utf8');
  for await (const part of request) body += part;
  try {
    const { input, model } = JSON.parse(body);
    const rows = await embed(Array.isArray(input) ? input : [input]);
    const answer = JSON.stringify({ object: 'list', model, data: rows.map((row, index) => ({ object: 'embedding', index, embedding: Array.from(row) })) });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) }).end(answer);
  } catch (problem) {
    response.writeHead(500).end(String(problem));
  }
}).listen(Number(port), '127.0.0.1');
