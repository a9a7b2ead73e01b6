// OpenAI's own client for JavaScript, through the proxy.
// Usage: node openai.mjs BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure.
import assert from 'node:assert/strict';
import OpenAI, { APIError, BadRequestError, InternalServerError, NotFoundError, RateLimitError } from 'openai';
import { cities, hello, over, parameters, pixel, run } from './things.mjs';

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: 'sk-unused', maxRetries: 0, timeout: 30_000 });
const weather = { type: 'function', function: { name: 'get_weather', description: 'the weather',
  parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] } } };

const things = {
  async chat() {
    const reply = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello });
    assert.match(reply.choices[0].message.content, /\w+ \w+/);
    assert.equal(reply.model, 'tiny-bigram');
    assert.ok(reply.usage.completion_tokens > 0);
    assert.ok(reply._request_id);
  },

  async alias() {
    const reply = await client.chat.completions.create({ model: 'gpt-4o', messages: hello });
    assert.equal(reply.model, 'gpt-4o');
  },

  async stream() {
    const stream = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello, stream: true, stream_options: { include_usage: true } });
    let text = '', pieces = 0, usage, finish;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) pieces++;
      text += chunk.choices[0]?.delta.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    assert.match(text, /\w+ \w+/);
    assert.ok(pieces > 3, 'it came in one piece');
    assert.equal(finish, 'stop');
    assert.ok(usage.completion_tokens > 0);
  },

  async stream_without_usage() {
    const stream = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello, stream: true });
    for await (const chunk of stream) assert.equal(chunk.choices.length, 1, 'a chunk without a choice that nobody asked for');
  },

  async leaving() {
    // By itself the engine would continue for a long time: four hundred cities. The test checks that it was stopped.
    const schema = { type: 'array', items: { enum: ['Paris', 'Rome'] }, minItems: 400, maxItems: 400 };
    const stream = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello, stream: true, max_tokens: 1900,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  },

  async tools() {
    const reply = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello, tools: [weather], tool_choice: 'required' });
    const call = reply.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, 'get_weather');
    assert.match(JSON.parse(call.function.arguments).city, /Paris|Rome/);
    assert.equal(reply.choices[0].finish_reason, 'tool_calls');
  },

  async tools_streamed() {
    const runner = client.chat.completions.stream({ model: 'tiny-bigram', messages: hello, tools: [weather], tool_choice: 'required' });
    const message = await runner.finalMessage();
    assert.match(JSON.parse(message.tool_calls[0].function.arguments).city, /Paris|Rome/);
  },

  async json_schema() {
    const reply = await client.chat.completions.create({ model: 'tiny-bigram', messages: hello,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] } } } });
    assert.ok([1, 2].includes(JSON.parse(reply.choices[0].message.content).n));
  },

  async completions() {
    const reply = await client.completions.create({ model: 'tiny-bigram', prompt: 'the cat' });
    assert.ok(reply.choices[0].text.length > 0);
  },

  async completions_of_an_Ollama_host() {
    const reply = await client.completions.create({ model: 'native-prompt', prompt: 'the cat', suffix: '.', max_tokens: 5 });
    assert.equal(reply.choices[0].text, 'Héllo 😀');
    assert.equal(reply.choices[0].finish_reason, 'stop');
    assert.equal(reply.object, 'text_completion');
    assert.equal(reply.usage.total_tokens, 16);
    let text = '', usage;
    for await (const chunk of await client.completions.create({ model: 'native-prompt', prompt: 'the cat', stream: true,
      stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.text ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, 'Héllo 😀');
    assert.equal(usage.total_tokens, 16);
    await assert.rejects(client.completions.create({ model: 'native-prompt', prompt: [1, 2, 3] }), error => error instanceof BadRequestError
      && error.param === 'prompt');
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes('tiny-bigram'), ids.join());
    assert.equal((await client.models.retrieve('tiny-bigram')).id, 'tiny-bigram');
    await assert.rejects(client.models.retrieve('never-heard-of'), NotFoundError);
  },

  async embeddings() {
    // By default the client asks for base64.
    const reply = await client.embeddings.create({ model: 'tiny-bigram', input: ['the cat sat on the mat', 'a cat on a mat', 'database log page'] });
    assert.equal(reply.data.length, 3);
    assert.equal(reply.data[0].embedding.length, 1024);
    const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.sqrt(a.reduce((s, x) => s + x * x, 0) * b.reduce((s, x) => s + x * x, 0));
    assert.ok(cosine(reply.data[0].embedding, reply.data[1].embedding) > cosine(reply.data[0].embedding, reply.data[2].embedding));
    const floats = await client.embeddings.create({ model: 'tiny-bigram', input: 'the cat', encoding_format: 'float' });
    assert.equal(typeof floats.data[0].embedding[0], 'number');
  },

  async error_of_the_proxy() {
    await assert.rejects(client.chat.completions.create({ model: 'never-heard-of', messages: hello }), error => {
      assert.ok(error instanceof NotFoundError);
      assert.equal(error.code, 'model_not_found');
      assert.match(error.message, /never-heard-of/);
      assert.ok(error.requestID);
      return true;
    });
  },

  async error_of_the_host() {
    await assert.rejects(client.chat.completions.create({ model: 'tiny-bigram', messages: [] }), error => {
      assert.ok(error instanceof BadRequestError);
      assert.match(error.message, /'messages' is required/);
      return true;
    });
    await assert.rejects(client.chat.completions.create({ model: 'tiny-bigram', messages: [{ role: 'user', content: 'cat '.repeat(5000) }] }), error => {
      assert.ok(error instanceof BadRequestError);
      assert.equal(error.code, 'context_length_exceeded');
      return true;
    });
  },

  async fault_midstream() {
    const stream = await client.chat.completions.create({ model: 'fake-dies', messages: hello, stream: true });
    let text = '';
    await assert.rejects(async () => { for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''; }, APIError);
    assert.equal(text, 'half');
  },

  async fault_in_silence() {
    const stream = await client.chat.completions.create({ model: 'fake-silent-end', messages: hello, stream: true });
    await assert.rejects(async () => { for await (const _ of stream); }, APIError);
  },

  async fault_before_content_is_hidden() {
    const stream = await client.chat.completions.create({ model: 'fake-fails-over', messages: hello, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, 'from the second');
  },

  async overload() {
    await assert.rejects(client.chat.completions.create({ model: 'fake-429', messages: hello }), RateLimitError);
    // With retries the client waits as long as retry-after says, and gets its answer.
    const reply = await client.chat.completions.create({ model: 'fake-429-once', messages: hello }, { maxRetries: 2 });
    assert.equal(reply.choices[0].message.content, 'second try');
  },

  async host_is_down() {
    await assert.rejects(client.chat.completions.create({ model: 'fake-down', messages: hello }), InternalServerError);
  },

  async two_tools_streamed() {
    const message = await client.chat.completions.stream({ model: 'fake-two-tools', messages: hello, tools: [weather] }).finalMessage();
    assert.deepEqual(message.tool_calls.map(call => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
      [['call_a', 'get_weather', { city: 'Paris' }], ['call_b', 'get_weather', { city: 'Rome' }]]);
  },

  async ollama_host() {
    const reply = await client.chat.completions.create({ model: 'native-hello', messages: hello });
    assert.equal(reply.choices[0].message.content, 'Héllo 😀');
    assert.equal(reply.choices[0].finish_reason, 'stop');
    assert.deepEqual([reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens], [9, 7, 16]);
  },

  async ollama_host_streamed() {
    const stream = await client.chat.completions.create({ model: 'native-hello', messages: hello, stream: true, stream_options: { include_usage: true } });
    let text = '', usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, 'Héllo 😀');
    assert.equal(usage.total_tokens, 16);
  },

  async ollama_host_tools() {
    const whole = await client.chat.completions.create({ model: 'native-two-tools', messages: hello, tools: [weather] });
    const message = await client.chat.completions.stream({ model: 'native-two-tools', messages: hello, tools: [weather] }).finalMessage();
    assert.equal(whole.choices[0].finish_reason, 'tool_calls');
    for (const { tool_calls } of [whole.choices[0].message, message]) {
      assert.deepEqual(tool_calls.map(call => [call.function.name, JSON.parse(call.function.arguments)]),
        [['get_weather', { city: 'Paris' }], ['get_weather', { city: 'Rome' }]]);
      assert.equal(new Set(tool_calls.map(call => call.id)).size, 2);
    }
    // The conversation continues with the tools' results.
    const calls = message.tool_calls;
    const next = await client.chat.completions.create({ model: 'native-hello', tools: [weather],
      messages: [...hello, message, ...calls.map(call => ({ role: 'tool', tool_call_id: call.id, content: 'sunny' }))] });
    assert.equal(next.choices[0].message.content, 'Héllo 😀');
  },

  async ollama_host_image() {
    const reply = await client.chat.completions.create({ model: 'native-image',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'what is this?' },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }] }] });
    assert.equal(reply.choices[0].message.content, pixel);
  },

  async ollama_host_fault() {
    const stream = await client.chat.completions.create({ model: 'native-silent-end', messages: hello, stream: true });
    await assert.rejects(async () => { for await (const _ of stream); }, APIError);
    await assert.rejects(client.chat.completions.create({ model: 'native-not-done', messages: hello }), InternalServerError);
  },

  async responses() {
    // The engine offers only chat; the client does not notice.
    const reply = await client.responses.create({ model: 'tiny-bigram', input: 'hello', max_output_tokens: 200, store: true });
    assert.match(reply.output_text, /\w+ \w+/);
    assert.equal(reply.status, 'completed');
    assert.equal(reply.store, true);
    assert.ok(reply.usage.output_tokens > 0);
    const short = await client.responses.create({ model: 'tiny-bigram', input: 'hello', max_output_tokens: 2 });
    assert.deepEqual([short.status, short.incomplete_details], ['incomplete', { reason: 'max_output_tokens' }]);
  },

  async responses_streamed() {
    for (const model of ['tiny-bigram', 'native-hello']) {
      const stream = client.responses.stream({ model, input: [{ role: 'user', content: 'hello' }], instructions: 'be brief' });
      let text = '', last = -1;
      for await (const event of stream) {
        assert.equal(event.sequence_number, ++last);
        if (event.type === 'response.output_text.delta') text += event.delta;
      }
      const final = await stream.finalResponse();
      assert.equal(final.output_text, text);
      assert.ok(text.length > 3);
      assert.ok(final.usage.total_tokens > 0);
      assert.equal(final.instructions, 'be brief');
    }
  },

  async responses_in_the_background() {
    for (const model of ['tiny-bigram', 'native-hello', ...over('openai', 'ollama', 'anthropic')]) {
      let reply = await client.responses.create({ model, input: 'hello', background: true });
      assert.deepEqual([reply.status, reply.background], ['queued', true]);
      const { id } = reply;
      while (reply.status === 'queued' || reply.status === 'in_progress') reply = await client.responses.retrieve(id);
      assert.deepEqual([reply.status, reply.id], ['completed', id]);
      assert.ok(reply.output_text.length > 3);
      assert.equal((await client.responses.cancel(id)).status, 'completed');
      await client.responses.delete(id);
      await assert.rejects(client.responses.retrieve(id), NotFoundError);
    }
  },

  async responses_resumed() {
    for (const model of ['tiny-bigram', 'native-hello']) {
      const first = await client.responses.create({ model, input: 'hello', background: true, stream: true });
      const events = [];
      for await (const event of first) if (events.push(event) === 5) break;
      const { id } = events[0].response, last = events[4].sequence_number;
      const rest = [];
      for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last })) rest.push(event);
      assert.deepEqual(rest.map(event => event.sequence_number), rest.map((_, i) => last + 1 + i));
      assert.equal(rest.at(-1).type, 'response.completed');
      const all = [];
      for await (const event of await client.responses.retrieve(id, { stream: true })) all.push(event);
      assert.deepEqual(all, [...events, ...rest]);

      const stream = client.responses.stream({ response_id: id, starting_after: last });
      const told = [];
      for await (const event of stream) told.push(event.sequence_number);
      assert.deepEqual(told, rest.map(event => event.sequence_number));
      assert.equal((await stream.finalResponse()).output_text, (await client.responses.retrieve(id)).output_text);
      const nothing = [];
      for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: rest.at(-1).sequence_number })) nothing.push(event);
      assert.deepEqual(nothing, []);
    }
  },

  async responses_continued() {
    for (const model of ['tiny-bigram', 'native-hello']) {
      const first = await client.responses.create({ model, input: 'hello', store: true });
      const second = await client.responses.create({ model, input: [{ role: 'user', content: 'and?' }], previous_response_id: first.id, store: true });
      assert.equal(second.previous_response_id, first.id);
      const third = await client.responses.stream({ model, input: 'more', previous_response_id: second.id }).finalResponse();
      assert.ok(third.output_text.length > 3);
      const items = [];
      for await (const item of client.responses.inputItems.list(second.id, { order: 'asc', limit: 1 })) items.push(item.content[0].text);
      assert.deepEqual(items, ['and?']);
      await assert.rejects(client.responses.cancel(second.id), BadRequestError);
      await assert.rejects(client.responses.create({ model, input: 'x', previous_response_id: third.id }), NotFoundError);
    }
  },

  async responses_tools() {
    const tools = [{ type: 'function', name: 'get_weather', description: 'the weather', strict: false, parameters: weather.function.parameters },
      { type: 'web_search' }];
    for (const model of ['fake-two-tools', 'native-two-tools']) {
      const whole = await client.responses.create({ model, input: 'hello', tools });
      const streamed = await client.responses.stream({ model, input: 'hello', tools }).finalResponse();
      for (const reply of [whole, streamed]) {
        const calls = reply.output.filter(item => item.type === 'function_call');
        assert.deepEqual(calls.map(call => [call.name, JSON.parse(call.arguments)]), [['get_weather', { city: 'Paris' }], ['get_weather', { city: 'Rome' }]]);
        assert.equal(new Set(calls.map(call => call.call_id)).size, 2);
        // The conversation continues with the tools' results.
        const input = [...hello, ...reply.output, ...calls.map(call => ({ type: 'function_call_output', call_id: call.call_id, output: 'sunny' }))];
        assert.equal((await client.responses.create({ model: 'native-hello', input, tools })).output_text, 'Héllo 😀');
      }
    }
  },

  async responses_schema() {
    const text = { format: { type: 'json_schema', name: 'x', strict: true, schema: { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] } } };
    const reply = await client.responses.parse({ model: 'tiny-bigram', input: 'hello', text });
    assert.ok([1, 2].includes(reply.output_parsed.n));
  },

  async responses_errors() {
    await assert.rejects(client.responses.create({ model: 'never-heard-of', input: 'x' }), NotFoundError);
    await assert.rejects(client.responses.create({ model: 'tiny-bigram', input: 'x', previous_response_id: 'resp_1' }), error =>
      error instanceof NotFoundError && error.param === 'previous_response_id' && error.code === 'previous_response_not_found');
    await assert.rejects(client.responses.retrieve('resp_1'), NotFoundError);
    for (const model of ['fake-dies', 'native-silent-end']) {
      const stream = await client.responses.create({ model, input: 'x', stream: true });
      let text = '';
      await assert.rejects(async () => { for await (const event of stream) text += event.type === 'response.output_text.delta' ? event.delta : ''; }, APIError);
      assert.equal(text, 'half');
    }
  },
};

const png = { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } };
const tools = [{ type: 'function', function: { name: 'get_weather', description: 'the weather', parameters } }];

for (const model of over('ollama', 'anthropic')) {
  const ask = (text, more) => client.chat.completions.create({ model, messages: [{ role: 'user', content: text }], ...more });

  things[`chat_${model}`] = async () => {
    const whole = await ask('hello');
    const streamed = await client.chat.completions.stream({ model, messages: hello, stream_options: { include_usage: true } }).finalChatCompletion();
    for (const reply of [whole, streamed]) {
      assert.equal(reply.model, model);
      assert.equal(reply.choices[0].message.content, 'Héllo 😀');
      assert.equal(reply.choices[0].finish_reason, 'stop');
      assert.equal(reply.usage.completion_tokens, 7);
    }
    assert.equal((await ask('long', { max_tokens: 2 })).choices[0].finish_reason, 'length');
    assert.equal((await ask('think')).choices[0].message.reasoning_content, 'Let me think.');
    assert.equal((await ask([{ type: 'text', text: 'what is this?' }, png])).choices[0].message.content, pixel);
  };

  things[`tools_${model}`] = async () => {
    const whole = (await ask('hello', { tools })).choices[0];
    const message = await client.chat.completions.stream({ model, messages: hello, tools }).finalMessage();
    assert.equal(whole.finish_reason, 'tool_calls');
    for (const { tool_calls, content } of [whole.message, message]) {
      assert.deepEqual(tool_calls.map(call => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
        [['call_a', 'get_weather', cities[0]], ['call_b', 'get_weather', cities[1]]]);
      assert.equal(content, 'Let me look. ');
    }
    const next = await client.chat.completions.create({ model, tools,
      messages: [...hello, message, { role: 'tool', tool_call_id: 'call_a', content: 'sunny' }, { role: 'tool', tool_call_id: 'call_b', content: 'rain' }] });
    assert.equal(next.choices[0].message.content, 'sunny, rain');
  };

  things[`errors_${model}`] = async () => {
    await assert.rejects(ask('refuse'), error => error instanceof BadRequestError && /I take no such prompt/.test(error.message));
    let text = '';
    await assert.rejects(async () => { for await (const chunk of await ask('die', { stream: true })) text += chunk.choices[0]?.delta.content ?? ''; },
      APIError);
    assert.equal(text, 'half');
  };
}

for (const model of over('openai', 'ollama', 'anthropic')) {
  const ask = (input, more) => client.responses.create({ model, input, ...more });
  const tool = [{ type: 'function', name: 'get_weather', description: 'the weather', parameters, strict: false }];

  things[`responses_${model}`] = async () => {
    const whole = await ask('hello', { instructions: 'be brief' });
    const streamed = await client.responses.stream({ model, input: 'hello' }).finalResponse();
    for (const reply of [whole, streamed]) {
      assert.equal(reply.output_text, 'Héllo 😀');
      assert.equal(reply.status, 'completed');
      assert.equal(reply.usage.output_tokens, 7);
      assert.equal(reply.model, model);
    }
    const long = await ask('long', { max_output_tokens: 20 });
    assert.equal(long.status, 'incomplete');
    assert.equal(long.incomplete_details.reason, 'max_output_tokens');
    assert.deepEqual((await ask('think')).output.map(item => item.type), ['reasoning', 'message']);
    assert.equal((await ask([{ role: 'user', content: [{ type: 'input_text', text: 'what is this?' },
      { type: 'input_image', image_url: png.image_url.url, detail: 'auto' }] }])).output_text, pixel);
  };

  things[`responses_tools_${model}`] = async () => {
    const types = [];
    const stream = client.responses.stream({ model, input: hello, tools: tool });
    let last = -1;
    for await (const event of stream) {
      assert.equal(event.sequence_number, ++last);
      types.push(event.type);
    }
    const reply = await stream.finalResponse();
    const calls = reply.output.filter(item => item.type === 'function_call');
    assert.deepEqual(calls.map(call => [call.call_id, call.name, JSON.parse(call.arguments)]),
      [['call_a', 'get_weather', cities[0]], ['call_b', 'get_weather', cities[1]]]);
    assert.equal(types.filter(type => type === 'response.function_call_arguments.done').length, 2);
    assert.equal(types.at(-1), 'response.completed');
    const next = await ask([...hello, ...reply.output, { type: 'function_call_output', call_id: 'call_a', output: 'sunny' },
      { type: 'function_call_output', call_id: 'call_b', output: 'rain' }], { tools: tool });
    assert.equal(next.output_text, 'sunny, rain');
  };

  things[`responses_errors_${model}`] = async () => {
    await assert.rejects(ask('refuse'), error => error instanceof BadRequestError && /I take no such prompt/.test(error.message));
    let text = '';
    const events = [];
    try {
      for await (const event of await ask('die', { stream: true })) {
        events.push(event.type);
        if (event.type === 'response.output_text.delta') text += event.delta;
      }
    } catch (error) {
      assert.ok(error instanceof APIError, error);
      events.push('thrown');
    }
    assert.equal(text, 'half');
    assert.ok(!events.includes('response.completed') && ['thrown', 'response.failed', 'error'].includes(events.at(-1)), events.join());
  };
}

await run(things);
