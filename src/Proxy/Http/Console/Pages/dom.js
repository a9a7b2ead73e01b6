// Makes and updates elements. Data from the proxy is only ever set as text or as an attribute's value: it may contain anything.

const plain = new Set(['value', 'checked', 'disabled', 'hidden', 'selected', 'tabIndex']);

/** Makes an element. `on…` members of props are listeners, `class` and `text` are what they say, all others are attributes. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'text') node.textContent = value;
    else if (name === 'class') node.className = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (plain.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets a node's text, if it is another one. */
export function say(node, text) {
  const wanted = text === undefined || text === null ? '' : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/**
 * Makes the children of a node those of a list, and keeps the node of an item that was there before: the focus stays where it is.
 * make(item) returns { node, update(item) }.
 */
export function list(parent, items, key, make) {
  const known = (parent.known ??= new Map());
  const wanted = new Map(items.map(item => [key(item), item]));
  // What goes is removed first: to move a node that stays would take the focus from it.
  for (const [id, entry] of known) {
    if (wanted.has(id)) continue;
    entry.node.remove();
    known.delete(id);
  }
  let before = null;
  for (const [id, item] of wanted) {
    let entry = known.get(id);
    if (!entry) known.set(id, (entry = make(item)));
    entry.update(item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (entry.node !== place) parent.insertBefore(entry.node, place);
    before = entry.node;
  }
}

/** A table with a heading. Columns are [title, class]. */
export function table(label, columns) {
  const body = h('tbody');
  const node = h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { 'aria-label': label },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          columns.map(([title, name]) => h('th', { scope: 'col', class: name, text: title })),
        ),
      ),
      body,
    ),
  );
  return { node, body };
}

/** A row of cells, one for each of the classes. cells[i] is the i-th. */
export function row(columns, props = {}) {
  const cells = columns.map(([, name]) => h('td', { class: name }));
  return { node: h('tr', props, cells), cells };
}

export function duration(ms) {
  if (ms === undefined || ms === null) return '';
  if (ms < 1) return ms <= 0 ? '0 ms' : '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(count) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let at = 0;
  for (; count >= 1000 && at < units.length - 1; at++) count /= 1000;
  return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

export const count = number => number.toLocaleString('en');
export const rate = speed =>
  speed === null || speed === undefined || !isFinite(speed) ? '' : speed >= 100 ? String(Math.round(speed)) : speed.toFixed(1);
