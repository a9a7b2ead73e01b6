// Tries the proxy as a client does: a chat, embeddings, and a search in a workspace.

import { call, events, hasKey } from './api.js';
import { count, duration, h, list, rate, say, setClass } from './dom.js';

export function playground() {
  const parts = { chat: chat(), embeddings: embeddings(), search: search() };
  const tabs = h(
    'div',
    { class: 'tabs', role: 'tablist', 'aria-label': 'What to try' },
    [
      ['chat', 'Chat'],
      ['embeddings', 'Embeddings'],
      ['search', 'Search'],
    ].map(([name, title]) =>
      h('button', { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `part-${name}`, text: title, onclick: () => pick(name) }),
    ),
  );
  tabs.addEventListener('keydown', event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  });
  for (const [name, part] of Object.entries(parts)) {
    part.node.id = `part-${name}`;
    part.node.setAttribute('role', 'tabpanel');
    part.node.setAttribute('aria-labelledby', `tab-${name}`);
  }
  const models = { all: null, problem: null, asked: 0 };
  let current = 'chat';

  function pick(name) {
    current = name;
    for (const [each, part] of Object.entries(parts)) part.node.hidden = each !== name;
    for (const tab of tabs.children) {
      const isIt = tab.id === `tab-${name}`;
      tab.setAttribute('aria-selected', String(isIt));
      tab.tabIndex = isIt ? 0 : -1;
    }
  }

  /** The list of models is asked for when the view is opened, and again when it may have changed. */
  async function ask() {
    if (Date.now() - models.asked < 10_000) return;
    models.asked = Date.now();
    try {
      models.all = (await (await call('/v1/models')).json()).data;
      models.problem = null;
    } catch (problem) {
      models.problem = problem.message;
    }
    for (const part of Object.values(parts)) part.models?.(models);
  }

  pick(current);
  return {
    node: h(
      'div',
      { class: 'view playground' },
      tabs,
      Object.values(parts).map(part => part.node),
    ),
    update({ state }) {
      for (const part of Object.values(parts)) part.update?.(state);
    },
    async open(more) {
      const [, name, value] = /^(\w+)(?:\/(.+))?$/.exec(more ?? '') ?? [];
      if (parts[name]) pick(name);
      await ask();
      if (parts[name] && value) parts[name].choose(value);
    },
    key(name) {
      if (name !== '/') return false;
      parts[current].field.focus();
      return true;
    },
    escape: () => parts[current].stop?.() ?? false,
  };
}

const field = (label, control, hint, name = 'field') =>
  h('label', { class: name }, h('span', { text: label }), control, hint ? h('small', { class: 'muted', text: hint }) : null);

/** Fills a choice, and keeps what is chosen if it is still there. */
function fill(select, options) {
  const key = JSON.stringify(options);
  if (select.filled === key) return;
  select.filled = key;
  const chosen = select.wanted ?? select.value;
  select.replaceChildren(...options.map(([value, text]) => h('option', { value, text })));
  if (options.some(([value]) => value === chosen)) {
    select.value = chosen;
    select.wanted = undefined;
  }
}

function choose(select, value) {
  select.wanted = value;
  if ([...select.options].some(option => option.value === value)) {
    select.value = value;
    select.wanted = undefined;
  }
}

const workspaceOptions = state =>
  state.knowledge.workspaces.map(each => [each.id, `${each.name || each.id} (${count(each.completed)} ${each.completed === 1 ? 'file' : 'files'})`]);
const embeds = model => model.capabilities?.includes('embedding');
const quote = text => `'${text.replaceAll("'", `'\\''`)}'`;

/** The request as a command, with the key left out. */
function curl(path, body, headers = {}) {
  const lines = [
    `curl -N ${quote(location.origin + path)}`,
    ...Object.entries({ 'content-type': 'application/json', ...headers }).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
  ];
  if (hasKey()) lines.push('-H "authorization: Bearer $PROXY_KEY"');
  return [...lines, `-d ${quote(JSON.stringify(body))}`].join(' \\\n  ');
}

function rawRequest() {
  const text = h('pre', { tabindex: '0', 'aria-label': 'The request as a command' });
  const copy = h('button', {
    type: 'button',
    class: 'small',
    text: 'Copy',
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        say(copy, 'Copied');
      } catch {
        getSelection().selectAllChildren(text);
        say(copy, 'Press Ctrl C');
      }
      setTimeout(() => say(copy, 'Copy'), 2000);
    },
  });
  const node = h('details', { class: 'raw', hidden: true }, h('summary', { text: 'The request as curl' }), text, copy);
  return {
    node,
    show(command) {
      say(text, command);
      node.hidden = false;
    },
  };
}

function chat() {
  const model = h('select', { 'aria-label': 'Model', id: 'chat-model' });
  const workspace = h('select', { 'aria-label': 'Workspace', id: 'chat-workspace' });
  const system = h('textarea', { rows: 3, 'aria-label': 'System prompt', spellcheck: 'false' });
  const temperature = h('input', { type: 'number', min: '0', max: '2', step: '0.1', placeholder: 'the model’s', 'aria-label': 'Temperature' });
  const most = h('input', { type: 'number', min: '1', step: '1', placeholder: 'no limit', 'aria-label': 'Most tokens' });
  const text = h('textarea', { rows: 3, id: 'chat-text', placeholder: 'Write to the model. Ctrl Enter sends.', 'aria-label': 'Message' });
  const send = h('button', { type: 'button', class: 'main', id: 'chat-send', text: 'Send' });
  const stop = h('button', { type: 'button', id: 'chat-stop', text: 'Stop', disabled: true });
  const clear = h('button', { type: 'button', class: 'quiet', text: 'New chat' });
  const talk = h('div', { class: 'talk', role: 'log', 'aria-label': 'The chat', tabindex: '0' });
  const error = h('p', { class: 'error', role: 'alert' });
  const raw = rawRequest();
  const empty = h('p', { class: 'empty', text: 'An answer appears here as it is generated, with its time to the first token and its speed.' });
  const messages = [];
  let running = null;
  talk.append(empty);

  async function start() {
    const said = text.value.trim();
    if (!said || running) return;
    say(error, '');
    empty.remove();
    messages.push({ role: 'user', content: said });
    talk.append(h('div', { class: 'turn user' }, h('p', { text: said })));
    text.value = '';
    const reply = h('div', { class: 'turn model' });
    const thought = h('p', { class: 'reasoning', hidden: true });
    const words = h('p', { class: 'words' });
    const facts = h('small', { class: 'muted facts' });
    const found = h('small', { class: 'muted' });
    reply.append(thought, words, found, facts);
    talk.append(reply);
    running = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    const body = {
      model: model.value,
      stream: true,
      stream_options: { include_usage: true },
      messages: [...(system.value.trim() ? [{ role: 'system', content: system.value }] : []), ...messages],
    };
    if (temperature.value !== '') body.temperature = Number(temperature.value);
    if (most.value !== '') body.max_tokens = Number(most.value);
    const headers = workspace.value ? { 'x-workspace': workspace.value } : {};
    raw.show(curl('/v1/chat/completions', body, headers));
    const answer = { content: '', first: null, frames: 0, usage: null, began: performance.now(), trace: '', finish: null };
    try {
      const response = await call('/v1/chat/completions', { method: 'POST', body, headers, signal: running.signal });
      answer.trace = response.headers.get('x-trace-id') ?? '';
      for await (const data of events(response)) {
        if (data === '[DONE]') break;
        take(JSON.parse(data), answer, { words, thought, found });
        tell(facts, answer);
        talk.scrollTop = talk.scrollHeight;
      }
    } catch (problem) {
      if (running.signal.aborted) answer.finish = 'stopped';
      else say(error, problem.message);
    }
    answer.ended = performance.now();
    tell(facts, answer);
    if (answer.content) messages.push({ role: 'assistant', content: answer.content });
    else {
      messages.pop();
      if (!answer.finish) reply.remove();
    }
    running = null;
    send.disabled = false;
    stop.disabled = true;
    text.focus();
  }

  function take(chunk, answer, { words, thought, found }) {
    if (chunk.error) throw new Error(chunk.error.message ?? 'the answer broke off');
    const delta = chunk.choices?.[0]?.delta ?? {};
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? '';
    if (delta.content || reasoning) {
      answer.first ??= performance.now();
      answer.frames++;
    }
    if (reasoning) {
      thought.hidden = false;
      thought.append(reasoning);
    }
    if (delta.content) {
      answer.content += delta.content;
      words.append(delta.content);
    }
    if (delta.refusal) words.append(delta.refusal);
    for (const tool of delta.tool_calls ?? []) words.append(`${tool.function?.name ?? ''}${tool.function?.arguments ?? ''}`);
    answer.usage = chunk.usage ?? answer.usage;
    answer.finish = chunk.choices?.[0]?.finish_reason ?? answer.finish;
    const sources = chunk.x_proxy?.sources;
    if (sources?.length) say(found, `Sources: ${sources.map(source => source.title ?? source.filename ?? source.file_id ?? source.id).join(', ')}`);
  }

  function tell(facts, answer) {
    const end = answer.ended ?? performance.now();
    const tokens = answer.usage?.completion_tokens ?? answer.frames;
    const speed = answer.first && tokens > 1 && end > answer.first ? ((tokens - 1) / (end - answer.first)) * 1000 : null;
    say(
      facts,
      [
        answer.first ? `first token ${duration(answer.first - answer.began)}` : '',
        tokens ? `${count(tokens)} tokens` : '',
        speed ? `${rate(speed)} tokens/s` : '',
        answer.usage?.prompt_tokens ? `${count(answer.usage.prompt_tokens)} in the prompt` : '',
        answer.finish && answer.finish !== 'stop' ? answer.finish : '',
        answer.trace,
      ]
        .filter(Boolean)
        .join(' · '),
    );
  }

  const halt = () => {
    if (!running) return false;
    running.abort();
    return true;
  };
  send.addEventListener('click', start);
  stop.addEventListener('click', halt);
  clear.addEventListener('click', () => {
    halt();
    messages.length = 0;
    talk.replaceChildren(empty);
    say(error, '');
  });
  text.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) start();
  });
  return {
    node: h(
      'div',
      { class: 'split' },
      h(
        'div',
        { class: 'side' },
        field('Model', model),
        field('Workspace', workspace),
        field('System prompt', system, '', 'field whole'),
        field('Temperature', temperature),
        field('Most tokens', most),
      ),
      h('div', { class: 'work' }, talk, error, text, h('div', { class: 'line' }, send, stop, h('span', { class: 'spring' }), clear), raw.node),
    ),
    field: text,
    stop: halt,
    choose: value => choose(model, value),
    update: state => fill(workspace, [['', 'none'], ...workspaceOptions(state)]),
    models({ all, problem }) {
      if (problem) say(error, `The models cannot be listed: ${problem}`);
      else if (all) {
        fill(
          model,
          all.filter(each => !embeds(each)).map(each => [each.id, each.id]),
        );
        if (!model.options.length) say(error, 'No model is listed that chats. Is a host up?');
      }
    },
  };
}

function embeddings() {
  const model = h('select', { 'aria-label': 'Model', id: 'embed-model' });
  const first = h('textarea', { rows: 4, id: 'embed-a', 'aria-label': 'First text' });
  const second = h('textarea', { rows: 4, id: 'embed-b', 'aria-label': 'Second text' });
  const run = h('button', { type: 'button', class: 'main', id: 'embed-run', text: 'Embed' });
  const error = h('p', { class: 'error', role: 'alert' });
  const result = h('div', { role: 'status' });
  const raw = rawRequest();

  async function start() {
    const input = [first.value, second.value].filter(each => each.trim());
    if (input.length === 0) return;
    say(error, '');
    run.disabled = true;
    const body = { model: model.value, input };
    raw.show(curl('/v1/embeddings', body));
    const began = performance.now();
    try {
      const answer = await (await call('/v1/embeddings', { method: 'POST', body })).json();
      const took = performance.now() - began;
      const vectors = answer.data.map(each => each.embedding);
      result.replaceChildren(
        h(
          'div',
          { class: 'tiles' },
          tile(count(vectors[0].length), 'dimensions'),
          tile(vectors.length > 1 ? cosine(vectors[0], vectors[1]).toFixed(4) : '–', 'cosine of the two texts'),
          tile(duration(took), 'for the call'),
          tile(count(answer.usage?.prompt_tokens ?? 0), 'tokens'),
        ),
        ...vectors.map((vector, at) =>
          h(
            'div',
            {},
            h('h3', { text: at === 0 ? 'First values of the first text' : 'First values of the second text' }),
            h('pre', {
              class: 'vector',
              text: vector
                .slice(0, 12)
                .map(value => value.toFixed(5))
                .join('  '),
            }),
          ),
        ),
      );
    } catch (problem) {
      result.replaceChildren();
      say(error, problem.message);
    }
    run.disabled = false;
  }

  const tile = (value, label) => h('div', { class: 'tile' }, h('b', { text: value }), h('span', { text: label }));
  run.addEventListener('click', start);
  for (const each of [first, second])
    each.addEventListener('keydown', event => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) start();
    });
  return {
    node: h(
      'div',
      { class: 'split' },
      h('div', { class: 'side' }, field('Model', model), h('p', { class: 'muted', text: 'Models that only chat refuse to embed, or embed badly.' })),
      h(
        'div',
        { class: 'work' },
        h('div', { class: 'two' }, field('First text', first), field('Second text', second, 'may be empty')),
        h('div', { class: 'line' }, run),
        error,
        result,
        raw.node,
      ),
    ),
    field: first,
    choose: value => choose(model, value),
    models({ all, problem }) {
      if (problem) say(error, `The models cannot be listed: ${problem}`);
      else if (all) {
        const options = each => [each.id, each.id];
        fill(model, [...all.filter(embeds).map(options), ...all.filter(each => !embeds(each)).map(options)]);
      }
    },
  };
}

function cosine(a, b) {
  let [dot, lengthA, lengthB] = [0, 0, 0];
  for (let at = 0; at < a.length; at++) {
    dot += a[at] * b[at];
    lengthA += a[at] ** 2;
    lengthB += b[at] ** 2;
  }
  return dot / Math.sqrt(lengthA * lengthB);
}

function search() {
  const workspace = h('select', { 'aria-label': 'Workspace', id: 'search-workspace' });
  const most = h('input', { type: 'number', min: '1', max: '50', value: '8', 'aria-label': 'Most passages' });
  const query = h('input', { type: 'text', id: 'search-query', 'aria-label': 'Query', placeholder: 'What do you look for?' });
  const run = h('button', { type: 'button', class: 'main', id: 'search-run', text: 'Search' });
  const error = h('p', { class: 'error', role: 'alert' });
  const stages = h('div', { class: 'stages', role: 'status' });
  const hits = h('ol', { class: 'hits' });
  const nothing = h('p', { class: 'empty', text: 'Passages appear here, best first, with their scores and the time of every stage.' });
  const raw = rawRequest();

  async function start() {
    if (!query.value.trim()) return;
    say(error, '');
    if (!workspace.value) {
      say(error, 'There is no workspace to search. `proxy ingest NAME FOLDER` makes one.');
      return;
    }
    run.disabled = true;
    const path = `/v1/vector_stores/${encodeURIComponent(workspace.value)}/search`;
    const body = { query: query.value, max_num_results: Number(most.value) || 8 };
    raw.show(curl(path, body, { 'x-rag-trace': '1' }));
    const began = performance.now();
    try {
      const answer = await call(path, { method: 'POST', body, headers: { 'x-rag-trace': '1' } });
      const trace = JSON.parse(answer.headers.get('x-rag-trace') ?? '{}');
      const { data } = await answer.json();
      const ranks = new Map();
      for (const each of trace.candidates ?? []) if (!ranks.has(each.file_id)) ranks.set(each.file_id, each);
      stages.replaceChildren(
        ...Object.entries(trace.stages ?? {}).map(([name, ms]) => h('span', {}, h('b', { text: duration(ms) }), ` ${name}`)),
        h('span', {}, h('b', { text: duration(performance.now() - began) }), ' in all'),
        ...[trace.lexical_only, ...(trace.notes ?? [])].filter(Boolean).map(text => h('p', { class: 'note', text })),
      );
      hits.replaceChildren(
        ...data.map(hit =>
          h(
            'li',
            {},
            h(
              'div',
              { class: 'line' },
              h('b', { text: hit.filename }),
              h('span', { class: 'muted', text: place(ranks.get(hit.file_id)) }),
              h('span', { class: 'spring' }),
              h('span', { class: 'score', text: hit.score.toFixed(3) }),
            ),
            h('p', { text: hit.content.map(each => each.text).join('\n') }),
          ),
        ),
      );
      nothing.hidden = data.length > 0;
      say(nothing, 'Nothing was found.');
    } catch (problem) {
      stages.replaceChildren();
      hits.replaceChildren();
      say(error, problem.message);
    }
    run.disabled = false;
  }

  const place = ranks =>
    ranks
      ? ['lexical', 'dense', 'rerank']
          .filter(name => ranks[name]?.[0])
          .map(name => `${{ lexical: 'words', dense: 'vectors', rerank: 'reranker' }[name]} #${ranks[name][0]}`)
          .join(' · ')
      : '';
  run.addEventListener('click', start);
  query.addEventListener('keydown', event => {
    if (event.key === 'Enter') start();
  });
  return {
    node: h(
      'div',
      { class: 'split' },
      h('div', { class: 'side' }, field('Workspace', workspace), field('Most passages', most)),
      h('div', { class: 'work' }, h('div', { class: 'line' }, query, run), error, stages, hits, nothing, raw.node),
    ),
    field: query,
    choose: value => choose(workspace, value),
    update: state => fill(workspace, workspaceOptions(state)),
  };
}
