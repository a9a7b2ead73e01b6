// A minimal server with OpenAI's chat and embeddings in front of a real llama.cpp engine (tokenizer, KV cache, sampler).
// Usage: node llama-server.mjs MODEL.gguf. Prints {"port":N} when it listens, and {"aborted":true} when a client left and the engine was stopped.
import http from 'node:http';
import { getLlama, LlamaChatSession, LlamaCompletion } from 'node-llama-cpp';

const NAME = 'tiny-bigram';
const CONTEXT = 2048;
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 2, logLevel: 'error' });
const model = await llama.loadModel({ modelPath: process.argv[2] });
const context = await model.createContext({ contextSize: CONTEXT, sequences: 4 });
const embedding = await model.createEmbeddingContext();

const refuse = (status, message, code = null) => Object.assign(new Error(message), { status, code });

/** The text of all messages; the model does not distinguish roles. */
function promptOf(messages) {
  if (!Array.isArray(messages) || messages.length === 0) throw refuse(400, "'messages' is required");
  return messages.map(message => Array.isArray(message.content) ? message.content.map(part => part.text ?? '').join('') : message.content ?? '').join('\n');
}

/** Runs the engine on a prompt and calls `piece` with each piece of text. */
async function generate(text, options, signal, piece) {
  if (model.tokenize(text).length > CONTEXT - 64) throw refuse(400, `the prompt is longer than the context of ${CONTEXT} tokens`, 'context_length_exceeded');
  const sequence = context.getSequence();
  try {
    const meter = sequence.tokenMeter.getState();
    const session = new LlamaChatSession({ contextSequence: sequence });
    const answer = await session.promptWithMeta(text, { temperature: 0.8, seed: 3, ...options, signal, stopOnAbortSignal: true, onTextChunk: piece });
    const used = sequence.tokenMeter.diff(meter);
    return { text: answer.responseText, finish: answer.stopReason === 'maxTokens' ? 'length' : 'stop',
      usage: { prompt_tokens: used.usedInputTokens, completion_tokens: used.usedOutputTokens, total_tokens: used.usedInputTokens + used.usedOutputTokens } };
  } finally {
    sequence.dispose();
  }
}

async function chat(body, response, signal) {
  const prompt = promptOf(body.messages);
  const options = { maxTokens: body.max_completion_tokens ?? body.max_tokens ?? 60 };
  if (body.seed !== undefined) options.seed = body.seed;
  const id = `chatcmpl-${Math.random().toString(36).slice(2)}`;
  const stamp = { id, created: Math.floor(Date.now() / 1000), model: body.model };
  // For a required tool or a schema the sampler is constrained by a grammar, as in llama.cpp's own server.
  const tool = body.tool_choice && body.tool_choice !== 'none' && body.tool_choice !== 'auto' ? body.tools?.[0]?.function : null;
  const schema = tool ? tool.parameters : body.response_format?.json_schema?.schema;
  if (schema) options.grammar = await llama.createGrammarForJsonSchema(schema);

  if (!body.stream) {
    const { text, finish, usage } = await generate(prompt, options, signal);
    const message = tool
      ? { role: 'assistant', content: null, refusal: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: tool.name, arguments: text } }] }
      : { role: 'assistant', content: text, refusal: null };
    return json(response, 200, { ...stamp, object: 'chat.completion',
      choices: [{ index: 0, message, logprobs: null, finish_reason: tool ? 'tool_calls' : finish }], usage });
  }

  const send = (delta, finish_reason = null) =>
    response.write(`data: ${JSON.stringify({ ...stamp, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  send({ role: 'assistant', content: tool ? null : '' });
  if (tool) send({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: tool.name, arguments: '' } }] });
  const { finish, usage } = await generate(prompt, options, signal, text =>
    send(tool ? { tool_calls: [{ index: 0, function: { arguments: text } }] } : { content: text }));
  send({}, tool ? 'tool_calls' : finish);
  if (body.stream_options?.include_usage) response.write(`data: ${JSON.stringify({ ...stamp, object: 'chat.completion.chunk', choices: [], usage })}\n\n`);
  response.end('data: [DONE]\n\n');
}

async function complete(body, response, signal) {
  const sequence = context.getSequence();
  try {
    const text = await new LlamaCompletion({ contextSequence: sequence }).generateCompletion(String(body.prompt ?? ''),
      { maxTokens: body.max_tokens ?? 16, temperature: 0.8, seed: 3, signal });
    json(response, 200, { id: 'cmpl-1', object: 'text_completion', created: 1, model: body.model,
      choices: [{ text, index: 0, logprobs: null, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  } finally {
    sequence.dispose();
  }
}

async function embed(body, response) {
  const inputs = Array.isArray(body.input) ? body.input : [body.input];
  const data = [];
  for (const [index, text] of inputs.entries()) {
    const { vector } = await embedding.getEmbeddingFor(text);
    data.push({ object: 'embedding', index,
      embedding: body.encoding_format === 'base64' ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector });
  }
  const tokens = inputs.reduce((sum, text) => sum + model.tokenize(text).length, 0);
  json(response, 200, { object: 'list', data, model: body.model, usage: { prompt_tokens: tokens, total_tokens: tokens } });
}

function json(response, status, value) {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

const routes = { '/v1/chat/completions': chat, '/v1/completions': complete, '/v1/embeddings': embed };

const server = http.createServer(async (request, response) => {
  const leaving = new AbortController();
  response.on('close', () => {
    if (response.writableEnded) return;
    leaving.abort();
    console.log(JSON.stringify({ aborted: true }));
  });
  try {
    if (request.method === 'GET' && request.url === '/health') return json(response, 200, { status: 'ok' });
    if (request.method === 'GET' && request.url === '/v1/models')
      return json(response, 200, { object: 'list', data: [{ id: NAME, object: 'model', created: 1, owned_by: 'llamacpp', max_model_len: CONTEXT }] });
    const route = request.method === 'POST' && routes[request.url];
    if (!route) throw refuse(404, `no ${request.method} ${request.url} here`);
    let text = '';
    for await (const chunk of request) text += chunk;
    await route(JSON.parse(text), response, leaving.signal);
  } catch (error) {
    if (leaving.signal.aborted) return;
    if (response.headersSent) return response.destroy();
    json(response, error.status ?? 500, { error: { message: error.message, type: error.status === 400 ? 'invalid_request_error' : 'server_error', param: null,
      code: error.code ?? null } });
  }
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
