// Windows over the page: help, the question before a call is cancelled, and a stream that is followed.

import { call, lines } from './api.js';
import { duration, h, say } from './dom.js';

/** Opens a window. Returns it; ended() is called when it closes. */
export function openDialog(title, content, { wide = false, buttons = [], ended } = {}) {
  const dialog = h('dialog', { 'aria-label': title, class: wide ? 'wide' : '' });
  const close = h('button', { type: 'button', class: 'quiet', text: 'Close', onclick: () => dialog.close() });
  dialog.append(h('header', {}, h('h2', { text: title }), h('span', { class: 'spring' }), buttons, close), content);
  dialog.addEventListener('close', () => {
    dialog.remove();
    ended?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export function closeAll() {
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
}

/** Asks, then cancels. */
export function askToCancel(running) {
  const error = h('p', { class: 'error', role: 'alert' });
  const yes = h('button', { type: 'button', class: 'danger', text: 'Cancel the call' });
  const dialog = openDialog(
    'Cancel this call?',
    h(
      'div',
      {},
      h(
        'p',
        {},
        'The call of ',
        h('b', { text: running.key ?? 'anonymous' }),
        ' to ',
        h('b', { text: running.model ?? running.surface }),
        ' ends with an error at its client, and its host stops working for it.',
      ),
      h('p', { class: 'mono muted', text: running.trace_id }),
      error,
      h('div', { class: 'line end' }, h('button', { type: 'button', text: 'Let it run', onclick: () => dialog.close() }), yes),
    ),
  );
  yes.addEventListener('click', async () => {
    yes.disabled = true;
    try {
      await cancel(running.trace_id);
      dialog.close();
    } catch (problem) {
      yes.disabled = false;
      say(error, problem.message);
    }
  });
  yes.focus();
}

export const cancel = id => call(`/v1/streams/${encodeURIComponent(id)}`, { method: 'DELETE' });

/** Shows the answer to a call while it is generated, or says why that is not possible. */
export function follow(running, resumesAll) {
  const heading = running.model ?? running.surface;
  if (!running.follow) {
    openDialog(
      'This answer cannot be followed',
      h(
        'div',
        {},
        h('p', {
          text: resumesAll
            ? 'The proxy keeps no journal of it: it is not a chat, its answer has not begun to be kept, or it was too large for [streams] memory.'
            : 'The proxy keeps no journal of it, so only its client can read it.',
        }),
        h(
          'p',
          {},
          'A call can be followed if it is sent with the header ',
          h('code', { text: 'x-resume: 1' }),
          ', and every chat if the configuration has ',
          h('code', { text: 'resume = "all"' }),
          ' in ',
          h('code', { text: '[streams]' }),
          '.',
        ),
      ),
    );
    return;
  }
  const stop = new AbortController();
  const text = h('div', { class: 'answer', 'aria-live': 'off', tabindex: '0', 'aria-label': 'The answer' });
  const status = h('p', { class: 'muted', role: 'status', text: 'waiting for the first token' });
  const end = h('button', {
    type: 'button',
    class: 'danger',
    text: 'Cancel the call',
    onclick: async () => {
      end.disabled = true;
      try {
        await cancel(running.trace_id);
      } catch (problem) {
        say(status, problem.message);
      }
    },
  });
  openDialog(
    heading,
    h(
      'div',
      { class: 'follow' },
      h(
        'p',
        { class: 'muted' },
        `${running.key ?? 'anonymous'} · ${running.backend ?? 'no host yet'} · `,
        h('span', { class: 'mono', text: running.follow }),
      ),
      text,
      status,
    ),
    { wide: true, buttons: [end], ended: () => stop.abort() },
  );
  text.focus();
  read(running.follow, text, status, stop.signal).finally(() => {
    end.disabled = true;
  });
}

async function read(id, text, status, signal) {
  const began = performance.now();
  let tokens = 0;
  let kind = null;
  let part = null;
  try {
    const answer = await call(`/v1/streams/${encodeURIComponent(id)}?as=events`, { signal });
    for await (const line of lines(answer)) {
      if (!line.trim()) continue;
      const happened = JSON.parse(line);
      if (happened.type === 'token') {
        tokens++;
        if (kind !== (happened.kind ?? 'answer')) {
          kind = happened.kind ?? 'answer';
          text.append((part = h('span', { class: kind })));
        }
        const isAtEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 8;
        part.append(happened.text ?? '');
        if (isAtEnd) text.scrollTop = text.scrollHeight;
        say(status, `${tokens} tokens`);
      } else if (happened.type === 'tool_call') {
        kind = null;
        const values = typeof happened.arguments === 'string' ? happened.arguments : JSON.stringify(happened.arguments ?? '');
        text.append(h('span', { class: 'call', text: `${happened.name ?? ''} ${values}` }));
      } else if (happened.type === 'finished') {
        const problem = happened.error ? (happened.error.message ?? happened.error) : null;
        say(
          status,
          problem
            ? `ended with an error: ${problem}`
            : `finished (${happened.reason ?? 'stop'}), ${tokens} tokens, followed for ${duration(performance.now() - began)}`,
        );
      }
    }
  } catch (problem) {
    if (!signal.aborted) say(status, problem.message);
  }
}
