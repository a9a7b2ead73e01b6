// The AI SDK's useChat({ resume }) over an app's own route: the recipe of docs/resume.md, run with the SDK's own transport.
// Usage: node resume.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { createOpenAI } from '@ai-sdk/openai';
import { convertToModelMessages, DefaultChatTransport, streamText } from 'ai';
import { run } from './things.mjs';

const base = `${process.argv[2]}/v1`;
const running = new Map(); // chat id -> trace id
const model = fetch => createOpenAI({ baseURL: base, apiKey: 'sk-unused', fetch }).chat('served');

async function POST({ id, messages }) {
  const ask = async (url, init) => {
    const reply = await fetch(url, { ...init, headers: { ...init.headers, 'x-resume': '1' } });
    running.set(id, reply.headers.get('x-trace-id'));
    return reply;
  };
  return streamText({ model: model(ask), messages: await convertToModelMessages(messages) }).toUIMessageStreamResponse();
}

async function GET(id) {
  if (!running.has(id)) return new Response(null, { status: 204 });
  const again = (url, init) => fetch(`${base}/streams/${running.get(id)}`, { headers: init.headers });
  return streamText({ model: model(again), prompt: 'resume' }).toUIMessageStreamResponse();
}

// What a browser does, without the network between it and the app.
const transport = new DefaultChatTransport({
  fetch: (url, init) => init?.method === 'POST' ? POST(JSON.parse(init.body)) : GET(decodeURIComponent(url.split('/')[3])),
});
const messages = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'node resumes' }] }];

await run({
  'node resumes': async () => {
    const first = (await transport.sendMessages({ chatId: 'c1', trigger: 'submit-message', messages })).getReader();
    while ((await first.read()).value?.type !== 'text-delta');
    await first.cancel();
    let text = '';
    for await (const part of await transport.reconnectToStream({ chatId: 'c1' })) if (part.type === 'text-delta') text += part.delta;
    assert.equal(text, 'late but here');
    assert.equal(await transport.reconnectToStream({ chatId: 'unknown' }), null);
  },
});
