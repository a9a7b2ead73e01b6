// Hosts, calls in flight, and the calls that finished last.

import { askToCancel, follow, openDialog } from './dialogs.js';
import { count, duration, h, list, rate, row, say, setClass, table } from './dom.js';

const hostColumns = [
  ['Host', 'host'],
  ['Health', ''],
  ['Slots', 'slots'],
  ['Waiting', 'number'],
  ['Models', 'models'],
];
const callColumns = [
  ['Caller', ''],
  ['Model', 'name'],
  ['Host', ''],
  ['Stage', 'stage'],
  ['Age', 'number'],
  ['First token', 'number narrow'],
  ['Frames', 'number narrow'],
  ['Per second', 'number'],
  ['Trace id', 'mono wide-only'],
  ['', 'actions'],
];
const doneColumns = [
  ['Ended', 'number'],
  ['Caller', ''],
  ['Model', 'name'],
  ['Host', ''],
  ['Outcome', ''],
  ['Time', 'times'],
  ['', 'number'],
  ['First token', 'number narrow'],
  ['Tokens', 'number narrow'],
  ['Per second', 'number narrow'],
  ['Trace id', 'mono wide-only'],
];

const shown = 100; // rows of finished calls

/** A call's speed: frames after the first, over the time since the first. A frame of a chat is nearly always one token. */
const speedOf = call => (call.frames > 1 && call.answering_ms > 250 ? ((call.frames - 1) / call.answering_ms) * 1000 : null);
const speedAfter = call => (call.generating_ms > 0 && call.tokens_out > 1 ? ((call.tokens_out - 1) / call.generating_ms) * 1000 : null);
const median = numbers => (numbers.length === 0 ? null : numbers.sort((a, b) => a - b)[numbers.length >> 1]);

export function live() {
  const tiles = {};
  const strip = h(
    'div',
    { class: 'tiles' },
    [
      ['flight', 'in flight'],
      ['waiting', 'in line for a slot'],
      ['speed', 'frames per second'],
      ['hosts', 'hosts up'],
      ['first', 'median first token'],
      ['failed', 'failed of the last 200'],
    ].map(([name, label]) => h('div', { class: 'tile' }, (tiles[name] = h('b', { text: '–' })), h('span', { text: label }))),
  );
  const notes = h('div', { role: 'status' });
  const hosts = table('Hosts', hostColumns);
  const calls = table('Calls in flight', callColumns);
  const done = table('Calls that finished', doneColumns);
  const noCalls = h('p', { class: 'empty' });
  const noneDone = h('p', { class: 'empty' });
  const filter = h('input', {
    type: 'search',
    placeholder: 'caller, model, host, outcome, trace id',
    'aria-label': 'Filter the calls (/)',
    id: 'filter',
  });
  const total = h('small');
  let memory = null;

  filter.addEventListener('input', () => memory && update(memory));
  const node = h(
    'div',
    { class: 'view live' },
    strip,
    notes,
    h('section', {}, h('h2', { text: 'Hosts' }), hosts.node),
    h('section', {}, h('h2', {}, 'In flight ', total), calls.node, noCalls),
    h(
      'section',
      {},
      h('div', { class: 'line' }, h('h2', { text: 'Finished' }), h('span', { class: 'spring' }), legend(), filter),
      done.node,
      noneDone,
    ),
  );

  function update(next) {
    memory = next;
    const { state, finished } = next;
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = call =>
      words.every(word =>
        [
          call.key,
          call.model,
          call.served,
          call.backend,
          call.outcome,
          call.trace_id,
          call.surface,
          call.pipeline,
          call.workspace,
          call.error,
          call.stage,
        ].some(value => value?.toLowerCase().includes(word)),
      );
    showTiles(tiles, state, finished);
    list(
      notes,
      notesOf(state),
      each => each,
      text => ({ node: h('p', { class: 'note', text }), update() {} }),
    );
    list(hosts.body, state.hosts, host => host.name, makeHost);
    const running = state.calls.filter(matches);
    list(
      calls.body,
      running,
      call => call.trace_id,
      call => makeCall(call, () => memory.state.resumes_all),
    );
    say(total, state.call_count > running.length ? `${running.length} of ${state.call_count}` : state.call_count || '');
    calls.node.hidden = running.length === 0;
    noCalls.hidden = running.length > 0;
    say(
      noCalls,
      state.call_count > 0
        ? 'No call in flight matches the filter.'
        : 'No call is running. Send one from the playground (2), or point a client at this proxy.',
    );
    const rows = finished.filter(matches).reverse().slice(0, shown);
    const longest = Math.max(...rows.map(call => call.duration_ms), 1);
    list(
      done.body,
      rows,
      call => call.number,
      call => makeDone(call, longest),
    );
    for (const each of done.body.children) each.scale(longest);
    done.node.hidden = rows.length === 0;
    noneDone.hidden = rows.length > 0;
    say(noneDone, finished.length > 0 ? 'No finished call matches the filter.' : 'No call has finished since the proxy started.');
  }

  const marked = () => document.activeElement?.closest?.('tr[data-call], tr[data-done]');
  function key(name) {
    if (name === '/') {
      filter.focus();
      return true;
    }
    const rows = [...calls.body.children, ...done.body.children];
    const at = rows.indexOf(marked());
    if (name === 'j' || name === 'k') rows[name === 'j' ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0)]?.focus();
    else if (name === 'f' && at >= 0) rows[at].querySelector('.follow-it')?.click();
    else if (name === 'x' && at >= 0) rows[at].querySelector('.cancel-it')?.click();
    else return false;
    return true;
  }

  return { node, update, key };
}

const legend = () =>
  h(
    'span',
    { class: 'legend', 'aria-hidden': 'true' },
    [
      ['queue', 'in line'],
      ['wait', 'to the first token'],
      ['flow', 'answer'],
    ].map(([name, text]) => h('span', {}, h('i', { class: name }), text)),
  );

function notesOf(state) {
  const notes = state.degraded.map(text => `Degraded: ${text}`);
  if (state.draining) notes.unshift('This process is draining: it takes no new calls and ends when the running ones are done.');
  for (const server of state.servers) if (!server.up) notes.push(`${server.name} cannot be used${server.reason ? `: ${server.reason}` : ''}`);
  return notes;
}

function showTiles(tiles, state, finished) {
  const waiting = state.calls.filter(call => call.stage === 'queued').length;
  const real = state.hosts.filter(host => host.url);
  const up = real.filter(host => host.health === 'up').length;
  const bad = finished.filter(call => call.outcome !== 'ok' && call.outcome !== 'client_left').length;
  say(tiles.flight, count(state.call_count));
  say(tiles.waiting, count(waiting));
  say(tiles.speed, rate(state.calls.reduce((sum, call) => sum + (speedOf(call) ?? 0), 0)));
  say(tiles.hosts, `${up}/${real.length}`);
  say(tiles.first, duration(median(finished.map(call => call.first_token_ms).filter(ms => ms !== undefined))) || '–');
  say(tiles.failed, finished.length ? `${bad}` : '–');
  setClass(tiles.hosts, up < real.length ? 'bad' : '');
  setClass(tiles.failed, bad ? 'bad' : '');
  setClass(tiles.waiting, waiting ? 'warn' : '');
}

function makeHost(host) {
  const { node, cells } = row(hostColumns);
  const name = h('b', { text: host.name });
  const about = h('small', { class: 'muted' });
  const health = h('span');
  const reason = h('small', { class: 'muted reason' });
  const meter = h('span', { class: 'meter', role: 'img' });
  const used = h('span');
  const models = h('span', { class: 'chips' });
  const more = h('small', { class: 'muted' });
  cells[0].append(name, h('br'), about);
  cells[1].append(health, h('br'), reason);
  cells[2].append(used, meter);
  cells[4].append(models, more);
  let loaded = '';
  return {
    node,
    update(host) {
      say(
        about,
        [
          host.url,
          [host.dialects?.includes(host.kind) && !host.version ? '' : host.kind, host.version].filter(Boolean).join(' '),
          host.dialects?.join(', '),
        ]
          .filter(Boolean)
          .join(' · '),
      );
      setClass(health, `state ${host.avoided && host.health === 'up' ? 'warn' : ({ up: 'good', unknown: '' }[host.health] ?? 'bad')}`);
      say(health, host.breaker === 'half open' ? 'on trial' : host.avoided && host.health === 'up' ? 'paused (it asked for time)' : host.health);
      say(reason, host.health === 'up' ? '' : (host.reason ?? ''));
      say(
        used,
        host.in_use === undefined ? '' : host.slots ? `${host.in_use} of ${host.slots}` : host.in_use ? `${host.in_use}, no limit` : 'no limit',
      );
      bars(meter, host);
      say(cells[3], host.waiting || '');
      setClass(cells[3], host.waiting ? 'number warn' : 'number');
      const key = JSON.stringify(host.models);
      if (key !== loaded) {
        loaded = key;
        const first = host.models.slice(0, 8);
        models.replaceChildren(
          ...first.map(model =>
            h('span', {
              class: model.loaded ? 'chip loaded' : 'chip',
              text: model.name,
              title:
                [
                  model.loaded === true ? 'loaded' : model.loaded === false ? 'not loaded' : '',
                  model.context ? `${count(model.context)} tokens of context` : '',
                ]
                  .filter(Boolean)
                  .join(', ') || undefined,
            }),
          ),
        );
        const rest = (host.model_count ?? host.models.length) - first.length;
        say(more, rest > 0 ? ` and ${rest} more` : host.models.length === 0 ? 'none known' : '');
        more.title = host.models
          .slice(8)
          .map(model => model.name)
          .join('\n');
      }
    },
  };
}

function bars(meter, host) {
  const slots = Math.min(host.slots ?? 0, 32);
  meter.hidden = slots === 0;
  meter.setAttribute('aria-label', `${host.in_use} of ${host.slots} slots in use`);
  while (meter.children.length > slots) meter.lastChild.remove();
  while (meter.children.length < slots) meter.append(h('i'));
  const full = host.slots > 32 ? Math.round((host.in_use * 32) / host.slots) : host.in_use;
  [...meter.children].forEach((each, at) => setClass(each, at < full ? 'on' : ''));
}

/** Acts when Enter is pressed on a row. The key must not act on the window that opens, too. */
function onEnter(node, act) {
  node.addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.target !== node) return;
    event.preventDefault();
    act();
  });
}

function makeCall(call, resumesAll) {
  let now = call;
  const { node, cells } = row(callColumns, { tabindex: '0', 'data-call': call.trace_id });
  const label = name => `${name} the call of ${call.key ?? 'anonymous'} to ${call.model ?? call.surface}`;
  const stage = h('span');
  cells[3].append(stage);
  const read = h('button', { type: 'button', text: 'Follow', 'aria-label': label('Follow'), onclick: () => follow(now, resumesAll()) });
  cells[9].append(
    read,
    h('button', { type: 'button', class: 'small cancel-it', text: 'Cancel', 'aria-label': label('Cancel'), onclick: () => askToCancel(now) }),
  );
  onEnter(node, () => follow(now, resumesAll()));
  return {
    node,
    update(call) {
      now = call;
      say(cells[0], call.key);
      say(cells[1], call.model ?? call.surface);
      cells[1].title = [
        call.surface,
        call.served && call.served !== call.model ? `served as ${call.served}` : '',
        call.workspace ? `workspace ${call.workspace}` : '',
        call.pipeline ? `pipeline ${call.pipeline}` : '',
        call.session ? `session ${call.session}` : '',
      ]
        .filter(Boolean)
        .join('\n');
      say(cells[2], call.backend ?? (call.route && call.route !== 'direct' ? call.route : ''));
      say(
        stage,
        call.stage === 'queued'
          ? `in line, place ${call.place}`
          : { starting: 'starting', waiting: 'at the host', answering: call.stream ? 'streaming' : 'answering' }[call.stage],
      );
      setClass(stage, `state ${{ queued: 'warn', answering: 'good' }[call.stage] ?? ''}`);
      stage.title = call.failed_attempts ? `${call.failed_attempts} host(s) failed before` : '';
      say(cells[4], duration(call.age_ms));
      say(cells[5], duration(call.first_token_ms));
      say(cells[6], call.frames ? count(call.frames) : '');
      say(cells[7], rate(speedOf(call)));
      say(cells[8], call.trace_id);
      setClass(read, call.follow ? 'small follow-it' : 'small follow-it off');
      read.title = call.follow ? '' : 'only its client can read this answer';
    },
  };
}

function makeDone(call) {
  const { node, cells } = row(doneColumns, { tabindex: '-1', 'data-done': call.trace_id });
  node.addEventListener('click', () => details(call));
  onEnter(node, () => details(call));
  const outcome = h('span', {
    class: `state ${{ ok: 'good', client_left: '' }[call.outcome] ?? 'bad'}`,
    text: call.outcome === 'ok' ? 'ok' : call.outcome.replace('_', ' '),
    title: [`status ${call.status}`, call.error].filter(Boolean).join(', '),
  });
  const parts = stagesOf(call);
  const bar = h(
    'span',
    {
      class: 'timing',
      role: 'img',
      'aria-label': parts.map(([, ms, what]) => `${what} ${duration(ms)}`).join(', '),
      title: parts.map(([, ms, what]) => `${what}: ${duration(ms)}`).join('\n'),
    },
    parts.map(([name]) => h('i', { class: name })),
  );
  say(cells[0], new Date(call.ended).toLocaleTimeString('en-GB'));
  say(cells[1], call.key);
  say(cells[2], call.model ?? call.surface);
  cells[2].title = [
    call.surface,
    call.served && call.served !== call.model ? `served as ${call.served}` : '',
    call.workspace ? `workspace ${call.workspace}` : '',
    call.joined ? `answer of ${call.joined}` : '',
  ]
    .filter(Boolean)
    .join('\n');
  say(cells[3], call.backend ?? '');
  cells[4].append(outcome, call.error ? h('small', { class: 'muted', text: ` ${call.error}` }) : '');
  cells[5].append(bar);
  say(cells[6], duration(call.duration_ms));
  say(cells[7], duration(call.first_token_ms));
  say(cells[8], call.tokens_out === undefined ? '' : `${count(call.tokens_in ?? 0)} → ${count(call.tokens_out)}`);
  say(cells[9], rate(speedAfter(call)));
  say(cells[10], call.trace_id);
  node.scale = longest =>
    parts.forEach(([, ms], at) => {
      const width = `${Math.max((ms / longest) * 100, ms > 0 ? 0.6 : 0).toFixed(2)}%`;
      if (bar.children[at].style.width !== width) bar.children[at].style.width = width;
    });
  return { node, update() {} };
}

/** Shows everything that is known of a finished call. */
function details(call) {
  const facts = [
    ['Trace id', call.trace_id],
    ['Caller', call.key],
    ['Path', call.surface],
    ['Model', call.served && call.served !== call.model ? `${call.model}, served as ${call.served}` : call.model],
    ['Host', call.backend],
    ['Route', call.route],
    ['Workspace', call.workspace],
    ['Pipeline', call.pipeline],
    ['Session', call.session],
    ['Answer of', call.joined],
    ['Ended', new Date(call.ended).toLocaleString('en-GB')],
    ['Outcome', [call.outcome.replace('_', ' '), `status ${call.status}`, call.error].filter(Boolean).join(', ')],
    ...stagesOf(call).map(([, ms, what]) => [what[0].toUpperCase() + what.slice(1), ms > 0 ? duration(ms) : '']),
    ['Connecting', duration(call.connect_ms)],
    ['In all', duration(call.duration_ms)],
    ['Tokens', call.tokens_out === undefined ? '' : `${count(call.tokens_in ?? 0)} in, ${count(call.tokens_out)} out`],
    ['Tokens per second', rate(speedAfter(call))],
  ].filter(([, value]) => value);
  openDialog(
    'Call',
    h(
      'table',
      { class: 'facts' },
      h(
        'tbody',
        {},
        facts.map(([name, value]) => h('tr', {}, h('th', { scope: 'row', text: name }), h('td', { text: value }))),
      ),
    ),
  );
}

/** The stages of a call as [class, milliseconds, words]; together they are its duration. */
function stagesOf(call) {
  const queue = Math.min(call.queue_ms ?? 0, call.duration_ms);
  const first = call.first_token_ms === undefined ? call.duration_ms : Math.max(Math.min(call.first_token_ms, call.duration_ms), queue);
  return [
    ['queue', queue, 'in line'],
    ['wait', first - queue, call.first_token_ms === undefined ? 'until its end' : 'to the first token'],
    ['flow', call.duration_ms - first, 'answer'],
  ];
}
