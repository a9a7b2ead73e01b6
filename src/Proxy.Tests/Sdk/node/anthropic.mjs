// Anthropic's own client for JavaScript, through the proxy.
// Usage: node anthropic.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import Anthropic, { APIError, BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import { cities, hello, over, parameters, pixel, run } from './things.mjs';

const client = new Anthropic({ baseURL: process.argv[2], apiKey: 'sk-unused', maxRetries: 0, timeout: 30_000 });
const tools = [{ name: 'get_weather', description: 'the weather', input_schema: parameters }];
const things = {};

for (const model of over('openai', 'ollama', 'anthropic')) {
  const ask = (content, more) => client.messages.create({ model, max_tokens: 2048, messages: [{ role: 'user', content }], ...more });
  const follow = (content, more) => client.messages.stream({ model, max_tokens: 2048, messages: [{ role: 'user', content }], ...more });
  const words = message => message.content.filter(block => block.type === 'text').map(block => block.text).join('');

  things[`message_${model}`] = async () => {
    const whole = await ask('hello', { system: 'be brief' });
    const pieces = [];
    const streamed = await follow('hello').on('text', text => pieces.push(text)).finalMessage();
    assert.ok(pieces.length > 2, 'it came in one piece');
    for (const message of [whole, streamed]) {
      assert.deepEqual([message.type, message.role, message.model, message.stop_reason], ['message', 'assistant', model, 'end_turn']);
      assert.equal(words(message), 'Héllo 😀');
      assert.equal(message.usage.output_tokens, 7);
      assert.equal(message.usage.input_tokens, 9);
    }
    assert.ok(whole._request_id);
    assert.equal((await ask('long')).stop_reason, 'max_tokens');
    assert.equal(words(await ask([{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } },
      { type: 'text', text: 'what is this?' }])), pixel);
  };

  things[`thinking_${model}`] = async () => {
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const thoughts = [];
    const streamed = await follow('think', { thinking }).on('thinking', thought => thoughts.push(thought)).finalMessage();
    for (const message of [await ask('think', { thinking }), streamed]) {
      assert.deepEqual(message.content.map(block => block.type), ['thinking', 'text']);
      assert.equal(message.content[0].thinking, 'Let me think.');
      assert.equal(typeof message.content[0].signature, 'string');
    }
    assert.equal(thoughts.join(''), 'Let me think.');
    const next = await client.messages.create({ model, max_tokens: 2048, thinking,
      messages: [{ role: 'user', content: 'think' }, { role: 'assistant', content: streamed.content }, ...hello] });
    assert.equal(words(next), 'Héllo 😀');
  };

  things[`tools_${model}`] = async () => {
    const whole = await ask('hello', { tools });
    const streamed = await follow('hello', { tools }).finalMessage();
    for (const message of [whole, streamed]) {
      assert.equal(message.stop_reason, 'tool_use');
      assert.equal(words(message), 'Let me look. ');
      assert.deepEqual(message.content.filter(block => block.type === 'tool_use').map(block => [block.id, block.name, block.input]),
        [['call_a', 'get_weather', cities[0]], ['call_b', 'get_weather', cities[1]]]);
    }
    const results = [{ type: 'tool_result', tool_use_id: 'call_a', content: 'sunny' },
      { type: 'tool_result', tool_use_id: 'call_b', content: [{ type: 'text', text: 'rain' }] }];
    const next = await client.messages.create({ model, max_tokens: 64, tools,
      messages: [...hello, { role: 'assistant', content: streamed.content }, { role: 'user', content: results }] });
    assert.equal(words(next), 'sunny, rain');
    assert.equal(next.stop_reason, 'end_turn');
  };

  things[`errors_${model}`] = async () => {
    await assert.rejects(ask('refuse'), error => {
      assert.ok(error instanceof BadRequestError, error);
      assert.equal(error.error.error.type, 'invalid_request_error');
      assert.match(error.error.error.message, /I take no such prompt/);
      assert.ok(error.requestID);
      return true;
    });
    let text = '';
    await assert.rejects(follow('die').on('text', piece => text += piece).finalMessage(), APIError);
    assert.equal(text, 'half');
  };
}

for (const model of over('openai', 'ollama'))
  things[`count_${model}`] = async () => {
    const few = await client.messages.countTokens({ model, messages: hello, tools });
    const many = await client.messages.countTokens({ model, messages: [{ role: 'user', content: 'hello '.repeat(500) }], tools });
    assert.ok(few.input_tokens > 0 && many.input_tokens > few.input_tokens + 400, `${few.input_tokens} ${many.input_tokens}`);
  };

things.models = async () => {
  const ids = [];
  for await (const model of client.models.list()) {
    assert.equal(model.type, 'model');
    ids.push(model.id);
  }
  for (const model of over('openai', 'ollama', 'anthropic')) assert.ok(ids.includes(model), ids.join());
  assert.equal((await client.models.retrieve('any-openai')).id, 'any-openai');
};

things.error_of_the_proxy = async () => {
  await assert.rejects(client.messages.create({ model: 'never-heard-of', max_tokens: 5, messages: hello }), error => error instanceof NotFoundError
    && error.error.error.type === 'not_found_error' && /never-heard-of/.test(error.message));
};

await run(things);
