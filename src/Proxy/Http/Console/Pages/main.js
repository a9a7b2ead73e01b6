// The frame around the views: the key, the keys of the keyboard, the colours, and the connection to the proxy.

import { hasKey, setKey, watch } from './api.js';
import { duration, h, say, setClass } from './dom.js';
import { closeAll, openDialog } from './dialogs.js';
import { live } from './live.js';
import { playground } from './playground.js';
import { pipelines, workspaces } from './rooms.js';

const main = document.getElementById('main');
const link = document.getElementById('link');
const bar = document.getElementById('views');
const leave = document.getElementById('leave');
const views = { live: live(), playground: playground(), workspaces: workspaces(), pipelines: pipelines() };
const names = Object.keys(views);
const memory = { state: null, finished: [] };
let current = null;
let stop = null;

/** The number of finished calls that the page keeps, as many as the proxy does. */
const kept = 200;

function connect() {
  stop?.();
  stop = watch({ show, refused, lost });
}

function show(state, isNew) {
  if (isNew) memory.finished = [];
  const known = memory.finished.at(-1)?.number ?? 0;
  memory.finished = [...memory.finished, ...state.finished.filter(call => call.number > known)].slice(-kept);
  memory.state = state;
  bar.hidden = false;
  leave.hidden = !hasKey();
  say(document.getElementById('version'), state.version);
  setClass(link, `link ${state.draining ? 'warn' : 'good'}`);
  say(link, state.draining ? 'draining' : `up ${duration(state.uptime_s * 1000)}`);
  if (!current) go();
  for (const view of Object.values(views)) view.update(memory);
}

function lost(problem) {
  setClass(link, 'link bad');
  say(link, 'not connected');
  link.title = problem.message;
  if (!current)
    main.replaceChildren(
      h(
        'section',
        { class: 'login' },
        h('h1', { text: 'Not connected' }),
        h('p', { class: 'error', text: problem.message }),
        h('p', { class: 'muted', text: 'This page tries again every second.' }),
      ),
    );
}

function refused(problem) {
  const tried = hasKey();
  setKey('');
  current = null;
  memory.state = null;
  memory.finished = [];
  bar.hidden = true;
  leave.hidden = true;
  closeAll();
  setClass(link, 'link');
  say(link, '');
  login(tried || problem.status === 403 ? problem.message : '');
}

function login(problem) {
  const field = h('input', {
    id: 'key',
    type: 'password',
    autocomplete: 'off',
    spellcheck: 'false',
    'aria-describedby': 'key-help key-error',
    'aria-invalid': problem ? 'true' : undefined,
  });
  const enter = () => {
    if (!field.value.trim()) return;
    setKey(field.value.trim());
    connect();
  };
  field.addEventListener('keydown', event => {
    if (event.key === 'Enter') enter();
  });
  main.replaceChildren(
    h(
      'section',
      { class: 'login' },
      h('h1', { text: 'Operator’s key' }),
      h(
        'p',
        { id: 'key-help', class: 'muted' },
        'The console needs a key with ',
        h('code', { text: 'admin = true' }),
        ' in its section. Make one with ',
        h('code', { text: 'proxy keys new NAME --admin' }),
        ', add the section that it prints to the configuration, and run ',
        h('code', { text: 'proxy reload' }),
        '.',
      ),
      h('label', { for: 'key', text: 'Key' }),
      h('div', { class: 'line' }, field, h('button', { type: 'button', class: 'main', text: 'Open', onclick: enter })),
      h('p', { id: 'key-error', class: 'error', role: 'alert', text: problem }),
      h('p', { class: 'muted', text: 'It stays in this tab until the tab is closed, and is sent to this proxy only.' }),
    ),
  );
  field.focus();
}

function go() {
  if (!memory.state) return;
  const [wanted, more] = decodeURIComponent(location.hash.slice(1)).split(/\/(.*)/s);
  const name = names.includes(wanted) ? wanted : 'live';
  for (const each of bar.children) {
    if (each.dataset.view === name) each.setAttribute('aria-current', 'page');
    else each.removeAttribute('aria-current');
  }
  if (current !== name) main.replaceChildren(views[name].node);
  current = name;
  document.title = `${bar.querySelector('[aria-current]').textContent} · Proxy console`;
  views[name].update(memory);
  views[name].open?.(more);
}

const themes = ['system', 'light', 'dark'];

function theme(wanted) {
  if (wanted === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  try {
    if (wanted === 'system') localStorage.removeItem('console-theme');
    else localStorage.setItem('console-theme', wanted);
  } catch {
    // Then the choice lasts until the page is closed.
  }
  const button = document.getElementById('theme');
  say(button, { system: '◐', light: '○', dark: '●' }[wanted]);
  button.title = `Colours: ${wanted} (t)`;
}

const nextTheme = () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme ?? 'system') + 1) % themes.length]);

const keys = [
  ['1 2 3 4', 'Live, Playground, Workspaces, Pipelines'],
  ['j k', 'next and previous call'],
  ['Enter', 'follow the call in flight that is marked, or show all about a finished one'],
  ['f', 'follow the call that is marked'],
  ['x', 'cancel the call that is marked, after a question'],
  ['/', 'filter the calls, or write into the playground'],
  ['Ctrl Enter', 'send in the playground'],
  ['Esc', 'close a window, or stop an answer in the playground'],
  ['t', 'change the colours: system, light, dark'],
  ['?', 'this list'],
];

function help() {
  openDialog(
    'Keys',
    h(
      'table',
      { class: 'keys' },
      h(
        'tbody',
        {},
        keys.map(([names, what]) =>
          h(
            'tr',
            {},
            h(
              'td',
              {},
              names.split(' ').flatMap(each => [h('kbd', { text: each }), ' ']),
            ),
            h('td', { text: what }),
          ),
        ),
      ),
    ),
  );
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector('dialog[open]')) return;
  const writes = event.target.closest?.('input, textarea, select');
  if (event.key === 'Escape' && current && views[current].escape?.()) return event.preventDefault();
  if (writes) {
    if (event.key === 'Escape') event.target.blur();
    return undefined;
  }
  const number = Number(event.key);
  if (number >= 1 && number <= names.length && memory.state) location.hash = names[number - 1];
  else if (event.key === '?') help();
  else if (event.key === 't') nextTheme();
  else if (!current || !views[current].key?.(event.key)) return undefined;
  return event.preventDefault();
});

document.getElementById('theme').addEventListener('click', nextTheme);
document.getElementById('help').addEventListener('click', help);
leave.addEventListener('click', () => {
  stop?.();
  setKey('');
  refused({ status: 401, message: '' });
});
window.addEventListener('hashchange', go);
theme(document.documentElement.dataset.theme ?? 'system');
connect();
