// Talks to the proxy. The key is kept in this tab's session storage and sent as a header, never as a cookie.

const place = 'console-key';
let key = read();

function read() {
  try {
    return sessionStorage.getItem(place) ?? '';
  } catch {
    return '';
  }
}

export const hasKey = () => key !== '';

export function setKey(value) {
  key = value;
  try {
    if (value) sessionStorage.setItem(place, value);
    else sessionStorage.removeItem(place);
  } catch {
    // Then the key is kept until the page is closed.
  }
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Calls the proxy. Throws a Refused with the proxy's own words. */
export async function call(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (key) sent.authorization = `Bearer ${key}`;
  if (body !== undefined) sent['content-type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw new Refused(0, 'The proxy does not answer. Is it running?');
  }
  if (answer.ok) return answer;
  throw new Refused(answer.status, await reason(answer));
}

async function reason(answer) {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text);
    return (typeof error === 'string' ? error : error.message) || `status ${answer.status}`;
  } catch {
    return `status ${answer.status}`;
  }
}

/** The lines of a body as they come. */
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The `data` of server-sent events, as they come. */
export async function* events(answer) {
  for await (const line of lines(answer)) if (line.startsWith('data:')) yield line.slice(5).trim();
}

/**
 * Keeps giving states to show(state): from a stream, or by asking again and again where a server between the proxy and this browser holds streams back.
 * refused(problem) is told when the key is not an operator's, and the end; lost(problem) is told when the proxy is away, and it tries on.
 */
export function watch({ show, refused, lost }) {
  const stop = new AbortController();
  let after = 0;
  let id = null;
  let polls = false;
  const take = state => {
    if (id !== null && id !== state.id) after = 0; // another process answers: its numbers begin anew
    const isNew = id !== state.id;
    id = state.id;
    after = state.last;
    show(state, isNew);
  };

  async function stream() {
    const limit = new AbortController();
    const signal = AbortSignal.any([stop.signal, limit.signal]);
    let timer = setTimeout(() => {
      polls = true;
      limit.abort();
    }, 5000);
    try {
      const answer = await call(`/console/api/events?after=${after}`, { signal });
      for await (const data of events(answer)) {
        clearTimeout(timer);
        timer = setTimeout(() => limit.abort(), 10_000);
        const state = JSON.parse(data);
        if (state.id) take(state);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async function poll() {
    take(await (await call(`/console/api/state?after=${after}`, { signal: stop.signal })).json());
    await new Promise(done => setTimeout(done, 2000));
  }

  (async () => {
    while (!stop.signal.aborted) {
      try {
        await (polls ? poll() : stream());
      } catch (problem) {
        if (stop.signal.aborted) return;
        if (problem.status === 401 || problem.status === 403) {
          refused(problem);
          return;
        }
        if (problem.name !== 'AbortError') lost(problem);
      }
      if (!polls) await new Promise(done => setTimeout(done, 1000));
    }
  })();
  return () => stop.abort();
}
