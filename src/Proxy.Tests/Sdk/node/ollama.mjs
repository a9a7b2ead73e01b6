// Ollama's own client for JavaScript, through the proxy.
// Usage: node ollama.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import { Ollama } from 'ollama';
import { cities, hello, over, pixel, run } from './things.mjs';

const client = new Ollama({ host: process.argv[2] });
const weather = { type: 'function', function: { name: 'get_weather', description: 'the weather',
  parameters: { type: 'object', properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } }, required: ['city'] } } };

async function read(stream) {
  let text = '', last;
  for await (const part of stream) {
    text += part.message.content;
    last = part;
  }
  return { text, last };
}

const things = {
  async chat() {
    // A real engine that speaks OpenAI's dialect.
    const reply = await client.chat({ model: 'tiny-bigram', messages: hello });
    assert.match(reply.message.content, /\w+ \w+/);
    assert.equal(reply.model, 'tiny-bigram');
    assert.equal(reply.done, true);
    assert.ok(reply.eval_count > 0);
  },

  async stream() {
    const { text, last } = await read(await client.chat({ model: 'tiny-bigram', messages: hello, stream: true }));
    assert.match(text, /\w+ \w+/);
    assert.equal(last.done, true);
    assert.equal(last.done_reason, 'stop');
    assert.ok(last.eval_count > 0, 'no token count came through');
  },

  async leaving() {
    const format = { type: 'array', items: { enum: ['Paris', 'Rome'] }, minItems: 400, maxItems: 400 };
    const stream = await client.chat({ model: 'tiny-bigram', messages: hello, stream: true, format, options: { num_predict: 1900 } });
    for await (const part of stream) {
      if (!part.message.content) continue;
      stream.abort();
      break;
    }
  },

  async format() {
    const reply = await client.chat({ model: 'tiny-bigram', messages: hello,
      format: { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] } });
    assert.ok([1, 2].includes(JSON.parse(reply.message.content).n), reply.message.content);
  },

  async tools_of_an_OpenAI_host() {
    const whole = await client.chat({ model: 'fake-two-tools', messages: hello, tools: [weather] });
    const calls = [];
    for await (const part of await client.chat({ model: 'fake-two-tools', messages: hello, tools: [weather],
      stream: true })) calls.push(...part.message.tool_calls ?? []);
    for (const list of [whole.message.tool_calls, calls])
      assert.deepEqual(list.map(call => [call.function.name, call.function.arguments]),
        [['get_weather', { city: 'Paris' }], ['get_weather', { city: 'Rome' }]]);
    const next = await client.chat({ model: 'fake-hello', tools: [weather],
      messages: [...hello, whole.message, { role: 'tool', tool_name: 'get_weather', content: 'sunny' },
      { role: 'tool', tool_name: 'get_weather', content: 'rain' }] });
    assert.equal(next.message.content, 'Héllo 😀');
  },

  async tools() {
    const reply = await client.chat({ model: 'native-two-tools', messages: hello, tools: [weather] });
    assert.deepEqual(reply.message.tool_calls.map(call => call.function.arguments), [{ city: 'Paris' }, { city: 'Rome' }]);
  },

  async native() {
    assert.equal((await client.chat({ model: 'native-hello', messages: hello })).message.content, 'Héllo 😀');
    assert.equal((await read(await client.chat({ model: 'native-hello', messages: hello, stream: true }))).text, 'Héllo 😀');
  },

  async image_to_an_OpenAI_host() {
    const reply = await client.chat({ model: 'fake-image', messages: [{ role: 'user', content: 'what is this?', images: [pixel] }] });
    assert.equal(reply.message.content, `data:image/png;base64,${pixel}`);
  },

  async generate() {
    // A real engine behind OpenAI's dialect: with a chat, and with a text to continue.
    const reply = await client.generate({ model: 'tiny-bigram', prompt: 'the cat', system: 'Be brief.' });
    assert.match(reply.response, /\w+ \w+/);
    assert.equal(reply.done_reason, 'stop');
    assert.ok(Array.isArray(reply.context) && reply.eval_count > 0);
    const raw = await client.generate({ model: 'tiny-bigram', prompt: 'the cat', raw: true, options: { num_predict: 3 } });
    assert.ok(raw.response.length > 0);
  },

  async generate_streamed() {
    for (const options of [{}, { raw: true }]) {
      let text = '', last;
      for await (const part of await client.generate({ model: 'tiny-bigram', prompt: 'the cat', stream: true, ...options })) {
        text += part.response;
        last = part;
      }
      assert.ok(text.length > 0);
      assert.equal(last.done, true);
      assert.ok(last.eval_count > 0, 'no token count came through');
    }
    assert.equal((await client.generate({ model: 'tiny-bigram', prompt: '', keep_alive: 0 })).done_reason, 'unload');
  },

  async generate_refused() {
    await assert.rejects(client.generate({ model: 'tiny-bigram', prompt: 'a', context: [1, 2] }), error => error.status_code === 400
      && /context/.test(error.message));
    await assert.rejects(client.generate({ model: 'never-heard-of', prompt: 'a' }), error => error.status_code === 404);
  },

  async models() {
    const { models } = await client.list();
    assert.ok(models.some(model => model.name.startsWith('tiny-bigram')), JSON.stringify(models));
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
  },

  async error_of_the_proxy() {
    await assert.rejects(client.chat({ model: 'never-heard-of', messages: hello }), error => {
      assert.equal(error.status_code, 404);
      assert.match(error.message, /model 'never-heard-of' not found/);
      return true;
    });
  },

  async error_of_the_host() {
    await assert.rejects(client.chat({ model: 'tiny-bigram', messages: [{ role: 'user', content: 'cat '.repeat(5000) }] }), error => {
      assert.equal(error.status_code, 400);
      assert.match(error.message, /longer than the context/);
      return true;
    });
  },

  async faults() {
    for (const model of ['native-silent-end', 'native-dies', 'fake-dies', 'fake-silent-end']) {
      const stream = await client.chat({ model, messages: hello, stream: true });
      let text = '';
      await assert.rejects(async () => { for await (const part of stream) text += part.message.content; }, undefined, model);
      assert.match(text, /^half/, model);
    }
    await assert.rejects(client.chat({ model: 'native-not-done', messages: hello }), error => error.status_code === 502);
    await assert.rejects(client.chat({ model: 'fake-down', messages: hello }), error => error.status_code >= 502);
  },
};

for (const model of over('openai', 'anthropic')) {
  const ask = (content, more) => client.chat({ model, messages: [{ role: 'user', content }], ...more });

  things[`chat_${model}`] = async () => {
    const whole = await ask('hello');
    const { text, last } = await read(await ask('hello', { stream: true }));
    assert.equal(whole.message.content, 'Héllo 😀');
    assert.equal(text, 'Héllo 😀');
    for (const reply of [whole, last]) assert.deepEqual([reply.model, reply.done, reply.done_reason, reply.eval_count], [model, true, 'stop', 7]);
    assert.equal((await ask('long', { options: { num_predict: 2 } })).done_reason, 'length');
    assert.equal((await ask('think', { think: true })).message.thinking, 'Let me think.');
    assert.equal((await client.chat({ model, messages: [{ role: 'user', content: 'what is this?', images: [pixel] }] })).message.content, pixel);
    assert.equal((await client.generate({ model, prompt: 'hello' })).response, 'Héllo 😀');
  };

  things[`tools_${model}`] = async () => {
    const whole = await ask('hello', { tools: [weather] });
    const calls = [];
    for await (const part of await ask('hello', { tools: [weather], stream: true })) calls.push(...part.message.tool_calls ?? []);
    for (const list of [whole.message.tool_calls, calls]) assert.deepEqual(list.map(call => [call.function.name, call.function.arguments]),
      cities.map(city => ['get_weather', city]));
    const next = await client.chat({ model, tools: [weather],
      messages: [...hello, whole.message, { role: 'tool', tool_name: 'get_weather', content: 'sunny' },
      { role: 'tool', tool_name: 'get_weather', content: 'rain' }] });
    assert.equal(next.message.content, 'sunny, rain');
  };

  things[`errors_${model}`] = async () => {
    await assert.rejects(ask('refuse'), error => error.status_code === 400 && /I take no such prompt/.test(error.message));
    let text = '';
    await assert.rejects(async () => { for await (const part of await ask('die', { stream: true })) text += part.message.content; });
    assert.equal(text, 'half');
  };
}

await run(things);
