// Workspaces of documents with the progress of reading them, and pipelines.

import { bytes, count, h, list, row, say, setClass, table } from './dom.js';

const workspaceColumns = [
  ['Workspace', 'host'],
  ['Owner', ''],
  ['Files', 'progress'],
  ['Chunks', 'number'],
  ['Size', 'number'],
  ['Embedded by', 'narrow'],
  ['Last used', 'number narrow'],
  ['', 'actions'],
];
const pipelineColumns = [
  ['Pipeline', 'name'],
  ['Launcher', ''],
  ['Runs', 'mono'],
  ['Shows', 'narrow'],
  ['Time limit', 'number'],
  ['Running', 'number'],
  ['', 'actions'],
];

export function workspaces() {
  const rows = table('Workspaces', workspaceColumns);
  const note = h('p', { class: 'note', role: 'status' });
  const done = h('small');
  const empty = h(
    'div',
    { class: 'empty' },
    h('p', { text: 'There is no workspace yet. Read a folder into one:' }),
    h('pre', { text: 'proxy ingest docs ./docs' }),
    h('p', {}, 'Then ask about it in the playground, or send ', h('code', { text: 'x-workspace: docs' }), ' with a chat.'),
  );
  const node = h('div', { class: 'view' }, h('section', {}, h('h2', {}, 'Workspaces ', done), note, rows.node, empty));
  return {
    node,
    update({ state: { knowledge } }) {
      note.hidden = !knowledge.problem;
      say(note, knowledge.problem);
      list(rows.body, knowledge.workspaces, each => each.id, makeWorkspace);
      rows.node.hidden = knowledge.workspaces.length === 0;
      empty.hidden = knowledge.workspaces.length > 0 || !!knowledge.problem;
      say(
        done,
        [
          knowledge.count > knowledge.workspaces.length ? `the newest ${knowledge.workspaces.length} of ${count(knowledge.count)}` : '',
          knowledge.files_read ? `${count(knowledge.files_read)} files read since the start, ${count(knowledge.chunks_stored)} chunks` : '',
        ]
          .filter(Boolean)
          .join(' · '),
      );
    },
  };
}

function makeWorkspace(workspace) {
  const { node, cells } = row(workspaceColumns);
  const name = h('b');
  const about = h('small', { class: 'muted' });
  const bar = h('progress', {});
  const files = h('span');
  const words = h('small', {});
  cells[0].append(name, h('br'), about);
  cells[2].append(files, bar, words);
  cells[7].append(
    h('a', {
      class: 'button small',
      href: `#playground/search/${workspace.id}`,
      text: 'Search',
      'aria-label': `Search in ${workspace.name || workspace.id}`,
    }),
  );
  return {
    node,
    update(workspace) {
      const total = workspace.in_progress + workspace.completed + workspace.failed;
      say(name, workspace.name || '(no name)');
      say(about, [workspace.id, workspace.description].filter(Boolean).join(' · '));
      say(cells[1], workspace.owner);
      say(files, workspace.in_progress ? `${count(total - workspace.in_progress)} of ${count(total)} read` : `${count(workspace.completed)} read`);
      bar.hidden = !workspace.in_progress;
      bar.max = Math.max(total, 1);
      bar.value = total - workspace.in_progress;
      bar.setAttribute('aria-label', `Files read: ${bar.value} of ${total}`);
      say(words, workspace.failed ? `${count(workspace.failed)} failed` : '');
      setClass(words, workspace.failed ? 'bad' : '');
      say(cells[3], count(workspace.chunks));
      say(cells[4], bytes(workspace.bytes));
      say(cells[5], workspace.embedders.join(', ') + (workspace.reembeds ? ' (being replaced)' : '') || 'words only');
      say(cells[6], new Date(workspace.active).toLocaleDateString('en-GB'));
    },
  };
}

export function pipelines() {
  const rows = table('Pipelines', pipelineColumns);
  const empty = h(
    'div',
    { class: 'empty' },
    h('p', { text: 'No pipeline is configured. A pipeline is a program that answers chats like a model:' }),
    h('pre', { text: '[[pipelines]]\nname = "research"\nlauncher = "process"\ncommand = ["/usr/local/bin/research"]' }),
    h('p', {}, 'Clients then ask for the model ', h('code', { text: 'pipeline/research' }), '.'),
  );
  const node = h('div', { class: 'view' }, h('section', {}, h('h2', { text: 'Pipelines' }), rows.node, empty));
  return {
    node,
    update({ state }) {
      list(rows.body, state.pipelines, each => each.name, makePipeline);
      rows.node.hidden = state.pipelines.length === 0;
      empty.hidden = state.pipelines.length > 0;
    },
  };
}

function makePipeline(pipeline) {
  const { node, cells } = row(pipelineColumns);
  cells[6].append(
    h('a', { class: 'button small', href: `#playground/chat/pipeline/${pipeline.name}`, text: 'Try', 'aria-label': `Try ${pipeline.name}` }),
  );
  return {
    node,
    update(pipeline) {
      say(cells[0], pipeline.name);
      say(cells[1], pipeline.launcher);
      say(cells[2], pipeline.runs ?? '');
      say(cells[3], pipeline.present);
      say(cells[4], `${count(pipeline.timeout_s)} s`);
      say(cells[5], pipeline.running || '');
    },
  };
}
