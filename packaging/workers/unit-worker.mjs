// Runs each job of one pipeline as a unit of this host:  node unit-worker.mjs PIPELINE dagster-research
// The unit is dagster-research@TRACE_ID.service, Type=oneshot, with StandardInput=file:/run/proxy/jobs/%i.json. Its program publishes the events.
import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { jetstream } from '@nats-io/jetstream';
import { Objm } from '@nats-io/obj';
import { connect } from '@nats-io/transport-node';

const [pipeline, template] = process.argv.slice(2);
const folder = process.env.JOBS_FOLDER ?? '/run/proxy/jobs';
const servers = (process.env.NATS_URL ?? 'nats://127.0.0.1:4222').split(',');
const nc = await connect({ servers, user: process.env.NATS_USER, pass: process.env.NATS_PASSWORD, maxReconnectAttempts: -1, waitOnFirstConnect: true });
const js = jetstream(nc);
await mkdir(folder, { recursive: true, mode: 0o700 });
const jobs = await js.consumers.get(process.env.STREAM ?? 'PROXY_JOBS', pipeline); // the proxy has made it
for await (const message of await jobs.consume({ max_messages: Number(process.env.JOBS ?? 10) })) void run(message);

function systemctl(...words) {
  return new Promise(resolve => spawn('systemctl', words, { stdio: 'inherit' }).on('close', resolve).on('error', () => resolve(-1)));
}

async function run(message) {
  const job = message.json(), attempt = message.info.deliveryCount;
  if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(job.trace_id) || Date.parse(job.deadline) < Date.now()) return message.term('not a job, or too late');
  const unit = `${template}@${job.trace_id}.service`, file = `${folder}/${job.trace_id}.json`;
  const alive = setInterval(() => message.working(), 10_000); // else another worker gets the job after 30 s
  let stopped = false, problem;
  const stop = () => (stopped = true, systemctl('stop', unit));
  const control = nc.subscribe(job.control, { callback: (_, said) => said?.headers?.has('Proxy-Do') || stop() });
  const late = setTimeout(stop, Date.parse(job.deadline) - Date.now());
  try {
    if (job.content) Object.assign(job, JSON.parse(new TextDecoder().decode(await (await new Objm(nc).open(job.content.bucket)).getBlob(job.content.name))));
    await writeFile(file, JSON.stringify({ ...job, attempt }), { mode: 0o600 });
    if (await systemctl('start', '--wait', unit) !== 0) problem = `${unit} failed`;
  } catch (error) {
    problem = error.message;
  }
  clearTimeout(late);
  clearInterval(alive);
  control.unsubscribe();
  await rm(file, { force: true });
  // A unit that ended well has published its own `finished`, after it had committed what it stores. This one has no number: nothing comes after it.
  const failed = { type: 'finished', reason: 'error', attempt, error: { message: problem } };
  if (problem && !stopped) await js.publish(job.reply, JSON.stringify(failed)).catch(error => console.error(`${unit}: ${error.message}`));
  message.ack();
}
