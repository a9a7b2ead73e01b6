// Asks two models at the same time and lets the longer answer win:  MODELS=model-a,model-b node worker.mjs PIPELINE ./two-branches.mjs
const models = process.env.MODELS?.split(',') ?? [];

export default async function (job, say, signal) {
  const branches = ['a', 'b'].map((task, i) => ask(job, task, models[i] ?? job.model, say, signal));
  const [a, b] = await Promise.all(branches);
  const winner = b.length > a.length ? 'b' : 'a';
  await say({ type: 'artifact', key: 'lengths', media_type: 'application/json', value: { a: a.length, b: b.length } });
  // What the work stores itself is committed here, before `finished`: the client may look for it as soon as it has its answer.
  await say({ type: 'finished', reason: 'stop', winner });
}

async function ask(job, task, model, say, signal) {
  const headers = { 'content-type': 'application/json', 'x-correlation-id': job.trace_id }; // so that the calls of a job are found by it
  if (process.env.PROXY_API_KEY) headers.authorization = `Bearer ${process.env.PROXY_API_KEY}`;
  const body = JSON.stringify({ ...job.params, model, messages: job.messages, stream: true });
  const reply = await fetch(`${process.env.PROXY_URL ?? job.proxy.base_url}/chat/completions`, { method: 'POST', headers, body, signal });
  if (!reply.ok) throw new Error(`${model}: ${reply.status} ${await reply.text()}`);
  let text = '', rest = '';
  for await (const bytes of reply.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + bytes).split('\n');
    rest = lines.pop();
    for (const line of lines.filter(line => line.startsWith('data: {'))) {
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new Error(`${model}: ${chunk.error.message}`);
      const token = chunk.choices?.[0]?.delta?.content;
      if (token) await say({ type: 'token', text: token, task, model });
      text += token ?? '';
    }
  }
  return text;
}
