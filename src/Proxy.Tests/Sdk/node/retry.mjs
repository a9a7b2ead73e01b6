// Clients that give up after one second and try again, in front of a host that answers after three.
// Usage: node retry.mjs BASE_URL. The prompt names the check, so that the host's calls can be counted. Prints "ok NAME" for each check that passes.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { run } from './things.mjs';

const settings = { apiKey: 'sk-unused', timeout: 1000, maxRetries: 6 };
const openai = new OpenAI({ ...settings, baseURL: `${process.argv[2]}/v1` });
const announced = { timeout: 1000 }; // this client says its time-out only if it is an option of the call
const anthropic = new Anthropic({ ...settings, baseURL: process.argv[2] });
const says = content => [{ role: 'user', content }];

await run({
  'node openai whole': async () => {
    const reply = await openai.chat.completions.create({ model: 'served', messages: says('node openai whole') }, announced);
    assert.equal(reply.choices[0].message.content, 'late but here');
  },
  'node openai stream': async () => {
    let text = '';
    for await (const chunk of await openai.chat.completions.create({ model: 'served', stream: true, messages: says('node openai stream') }, announced))
      text += chunk.choices[0]?.delta?.content ?? '';
    assert.equal(text, 'late but here');
  },
  'node responses whole': async () => {
    const reply = await openai.responses.create({ model: 'served', input: 'node responses whole' }, announced);
    assert.equal(reply.output_text, 'late but here');
  },
  'node anthropic whole': async () => {
    const reply = await anthropic.messages.create({ model: 'served', max_tokens: 100, messages: says('node anthropic whole') });
    assert.equal(reply.content[0].text, 'late but here');
  },
  'node anthropic stream': async () => {
    const stream = anthropic.messages.stream({ model: 'served', max_tokens: 100, messages: says('node anthropic stream') });
    assert.equal(await stream.finalText(), 'late but here');
  },
  'node time-out of the client': async () => { // which it does not say, so that the host begins twice: see docs/resume.md
    const reply = await openai.chat.completions.create({ model: 'served', messages: says('node time-out of the client') });
    assert.equal(reply.choices[0].message.content, 'late but here');
  },
  'node leaves early': async () => {
    const patient = new OpenAI({ ...settings, timeout: 60_000, baseURL: `${process.argv[2]}/v1` });
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 300);
    await assert.rejects(patient.chat.completions.create({ model: 'served', messages: says('node leaves early') }, { signal: leaving.signal }));
  },
});
