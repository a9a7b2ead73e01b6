// Runs the jobs of one pipeline:  node worker.mjs PIPELINE ./two-branches.mjs
// The module's default export is  async (job, say, signal) => undefined:  it says events and ends with say({ type: 'finished' }).
import { jetstream } from '@nats-io/jetstream';
import { Objm } from '@nats-io/obj';
import { connect } from '@nats-io/transport-node';

const [pipeline, module] = process.argv.slice(2);
const { default: work } = await import(new URL(module, `file://${process.cwd()}/`));
const servers = (process.env.NATS_URL ?? 'nats://127.0.0.1:4222').split(',');
const nc = await connect({ servers, user: process.env.NATS_USER, pass: process.env.NATS_PASSWORD, maxReconnectAttempts: -1, waitOnFirstConnect: true });
const js = jetstream(nc);
const jobs = await js.consumers.get(process.env.STREAM ?? 'PROXY_JOBS', pipeline); // the proxy has made it
for await (const message of await jobs.consume({ max_messages: Number(process.env.JOBS ?? 10) })) void run(message);

async function run(message) {
  const job = message.json(), attempt = message.info.deliveryCount, stop = new AbortController();
  if (Date.parse(job.deadline) < Date.now()) return message.term('its deadline is over');
  const alive = setInterval(() => message.working(), 10_000); // else another worker gets the job after 30 s
  const control = nc.subscribe(job.control, { callback: (_, said) => said?.headers?.has('Proxy-Do') || stop.abort() });
  let seq = 0, saying = Promise.resolve();
  const say = event => (saying = saying.then(() => publish(job, attempt, { ...event, seq: ++seq, attempt })));
  try {
    if (job.content) Object.assign(job, JSON.parse(new TextDecoder().decode(await (await new Objm(nc).open(job.content.bucket)).getBlob(job.content.name))));
    await work(job, say, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) await say({ type: 'finished', reason: 'error', error: { message: String(error.message ?? error) } });
  } finally {
    clearInterval(alive);
    control.unsubscribe();
    message.ack(); // the job is over, whatever became of it; a worker that dies before this leaves it to another one
  }
}

// One event after the other, each until the stream has it. By its id, the stream keeps it once.
async function publish(job, attempt, event) {
  while (Date.parse(job.deadline) > Date.now()) {
    try {
      return await js.publish(job.reply, JSON.stringify(event), { msgID: `${job.trace_id}/${attempt}/${event.seq}` });
    } catch {
      await new Promise(resolve => setTimeout(resolve, 250)); // NATS is away
    }
  }
}
