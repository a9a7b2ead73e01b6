"""Lets Dagster's jobs answer chats through the proxy: a resource that publishes events, a hook that reports failures, and two sensors."""

import asyncio
import json
import os
import threading
import urllib.request
import uuid
from datetime import datetime, timezone

import dagster as dg
import nats
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

TRACE_TAG = "proxy/trace_id"


class Cancelled(Exception):
    """The client has left, or the call was cancelled."""


class Events:
    """
    Sends the events of one step to the client's stream, in the order of the calls. Use it as a context manager.

    The steps of a job run in processes of their own, which share no counter, so the events have no `seq`. Each has an id instead (Nats-Msg-Id): where
    JetStream keeps the events, a message is sent again under its id until the server has stored it, for nine seconds, and the server drops what
    comes twice. Where it does not, an event is sent once.
    """

    def __init__(self, job, url, task=None, model=None):
        self._job, self._url = job, url
        self._origin = {"task": task, "model": model}
        self._id, self._count = uuid.uuid4().hex[:12], 0
        self._reason = None
        self._loop = asyncio.new_event_loop()
        # A thread of its own keeps the connection alive while the step computes.
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def __enter__(self):
        self._await(self._open())
        return self

    def __exit__(self, *_):
        try:
            self._await(self._connection.drain())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def token(self, text, kind=None):
        """A piece of the answer; of what the model thinks, if kind is "reasoning"."""
        self.send("token", text=text, kind=kind)

    def usage(self, input_tokens, output_tokens):
        self.send("usage", input_tokens=input_tokens, output_tokens=output_tokens)

    def artifact(self, key, media_type=None, uri=None, value=None):
        """Something that the job made besides its answer: where it is, or itself as JSON. The proxy keeps it by the call's id and this key."""
        self.send("artifact", key=key, media_type=media_type, uri=uri, value=value)

    def finished(self, winner=None, reason="stop", error=None):
        """The end of the whole job, once, from its last step. What the job stores must have been committed before: the client hears of the end at once."""
        self.send("finished", winner=winner, reason=reason, error=error)

    def send(self, type, /, **members):
        """Sends an event of any type. Raises Cancelled if nobody waits for the answer any more."""
        if self._reason is not None:
            raise Cancelled(self._reason)
        self._count += 1
        event = {"type": type, "attempt": self._job.get("attempt", 1), **self._origin, **members}
        body = json.dumps({name: value for name, value in event.items() if value is not None}, ensure_ascii=False)
        self._await(self._publish(body.encode(), f"{self._job['trace_id']}/{self._job.get('attempt', 1)}/{self._id}-{self._count}"))

    def _await(self, work):
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)
        except TimeoutError:
            raise RuntimeError("NATS does not answer: is NATS_URL right, and may its user publish?") from None

    async def _open(self):
        self._connection = await _connect(self._url, max_reconnect_attempts=-1)
        self._stream = self._connection.jetstream()
        if "control" in self._job:
            await self._connection.subscribe(self._job["control"], cb=self._command)
        try:
            await self._stream.find_stream_name_by_subject(self._job["reply"])
            self._is_kept = True
        except (APIError, NotFoundError, NoRespondersError, NatsTimeout):  # no JetStream, or it does not keep events
            self._is_kept = False

    async def _publish(self, body, name):
        headers = {"Nats-Msg-Id": name, "Content-Type": "application/x-ndjson"}
        if not self._is_kept:
            return await self._connection.publish(self._job["reply"], body, headers=headers)
        for left in (3, 2, 1, 0):
            try:
                return await self._stream.publish(self._job["reply"], body, timeout=2, headers=headers)
            except (NatsTimeout, NoStreamResponseError):
                if left == 0:
                    raise
                await asyncio.sleep(0.3)

    async def _command(self, message):
        if "Proxy-Do" in (message.headers or {}):
            return  # between proxies
        command = json.loads(message.data)
        if command.get("type") == "cancel":
            self._reason = command.get("reason") or "cancelled"


class ProxyResource(dg.ConfigurableResource):
    """The chat call that a run answers, and the way back to its client. The proxy and the sensor look for it under the name `proxy`."""

    job: str = ""
    """The job document, JSON (docs/events.md). The proxy or the sensor gives it with the run."""

    nats_url: str = ""
    """The NATS server with its credentials. Empty: NATS_URL of the environment, or else the document's, which never has credentials."""

    @property
    def document(self):
        if not self.job:
            raise dg.Failure("this run was not started for a chat call: resources.proxy.config.job is empty", allow_retries=False)
        document = json.loads(self.job)
        if content := document.get("content"):  # too large for a message
            document |= json.loads(asyncio.run(_stored(self._url(document), content)))
        return document

    def _url(self, document):
        return self.nats_url or os.environ.get("NATS_URL") or document["nats"]["url"]

    def events(self, task=None, model=None):
        """Opens the way to the client. The task is the name of the branch, if the job has several."""
        document = self.document
        return Events(document, self._url(document), task, model)

    def ask(self, model, messages=None, **params):
        """
        Asks a model through the proxy and yields its text as it comes. The call's id goes along as x-correlation-id, so that `proxy events`
        shows the calls as a tree. A key, if the proxy wants one, is PROXY_API_KEY of the environment.
        """
        document = self.document
        headers = {"content-type": "application/json", "x-correlation-id": document["trace_id"]}
        if key := os.environ.get("PROXY_API_KEY"):
            headers["authorization"] = f"Bearer {key}"
        body = {**params, "model": model, "messages": messages or document["messages"], "stream": True}
        request = urllib.request.Request(
            document["proxy"]["base_url"].rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
            for line in answer:
                data = line.removeprefix(b"data: ").strip()
                if not line.startswith(b"data: ") or data == b"[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    raise RuntimeError(chunk["error"].get("message", "the model failed"))
                for choice in chunk.get("choices") or []:
                    if text := (choice.get("delta") or {}).get("content"):
                        yield text


@dg.failure_hook(required_resource_keys={"proxy"})
def tell_failure(context):
    """Ends the client's stream with the error of the step that failed. Without it the client waits until the proxy sees that the run has failed."""
    with context.resources.proxy.events() as events:
        events.finished(reason="error", error=f"{context.op.name}: {context.op_exception}")


def run_config(document):
    """The configuration of a run for a job document."""
    return {"resources": {"proxy": {"config": {"job": json.dumps(document, ensure_ascii=False)}}}}


def jobs_sensor(pipelines, prefix="", name="proxy_jobs", nats_url=None, batch=10, interval=1):
    """
    Starts runs for the jobs of pipelines whose launcher is "jetstream". `pipelines` has Dagster's job for each pipeline's name.

    It pulls from the consumers that the proxy has made. A job is acknowledged when its run exists, which is one evaluation after the one that requested it;
    until then its acknowledgement waits in the cursor. If Dagster dies in between, NATS delivers the job again, as the next attempt, and the run that exists
    is found by its tag.
    """
    stream = "PROXY_JOBS" + (f"_{prefix.replace('.', '_')}" if prefix else "")
    subjects = {f"{prefix + '.' if prefix else ''}job.chat.{pipeline}": job for pipeline, job in pipelines.items()}

    @dg.sensor(name=name, jobs=list(dict.fromkeys(pipelines.values())), minimum_interval_seconds=interval, default_status=dg.DefaultSensorStatus.RUNNING)
    def proxy_jobs(context):
        return asyncio.run(_jobs(context, nats_url or os.environ["NATS_URL"], stream, subjects, batch))

    return proxy_jobs


async def _jobs(context, url, stream, subjects, batch):
    connection = await _connect(url, connect_timeout=5, allow_reconnect=False)
    try:
        for acknowledge, trace_id in json.loads(context.cursor or "[]"):
            if _has_run(context.instance, trace_id):
                await _acknowledge(connection, acknowledge)
        client = connection.jetstream()
        pulled = await asyncio.gather(*(_pull(client, stream, subject.rpartition(".")[2], batch) for subject in subjects))
        requests, waiting = [], []
        for message in (message for messages in pulled for message in messages):
            document = json.loads(message.data)
            trace_id, attempt = document["trace_id"], message.metadata.num_delivered
            if datetime.fromisoformat(document["deadline"]) < datetime.now(timezone.utc):
                await message.term()  # nobody waits for its answer any more
                continue
            if _has_run(context.instance, trace_id):
                await _acknowledge(connection, message.reply)
                continue
            tags = {TRACE_TAG: trace_id, "proxy/pipeline": document["pipeline"]}
            if correlation := document.get("correlation_id"):
                tags["proxy/correlation_id"] = correlation
            requests.append(dg.RunRequest(
                run_key=f"{trace_id}/{attempt}", job_name=subjects[message.subject].name, tags=tags, run_config=run_config({**document, "attempt": attempt})))
            waiting.append((message.reply, trace_id))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(waiting))
    finally:
        await connection.close()


def done_sensor(asset="exchanges", prefix="", name="proxy_exchanges", nats_url=None, durable="dagster", batch=100, interval=5):
    """
    Materialises a partition of an asset for every exchange that the proxy has finished, from `done.chat.>`. Exchanges of calls that runs of this Dagster
    made themselves are skipped: their `parent` is the call that a run answers, or the id of a run. So a job that follows the asset may call
    the proxy, with its run's id as x-correlation-id, without starting itself.
    """
    stream = "PROXY_DONE" + (f"_{prefix.replace('.', '_')}" if prefix else "")
    subject = f"{prefix + '.' if prefix else ''}done.chat.*"
    partitions = dg.DynamicPartitionsDefinition(name=asset)

    @dg.sensor(name=name, minimum_interval_seconds=interval, default_status=dg.DefaultSensorStatus.RUNNING)
    def proxy_exchanges(context):
        return asyncio.run(_exchanges(context, nats_url or os.environ["NATS_URL"], stream, subject, durable, partitions, batch))

    return proxy_exchanges


def exchanges_asset(asset="exchanges"):
    """The asset that done_sensor materialises: nothing computes it here."""
    return dg.AssetSpec(asset, partitions_def=dg.DynamicPartitionsDefinition(name=asset), description="A chat call that the proxy has answered.")


async def _exchanges(context, url, stream, subject, durable, partitions, batch):
    connection = await _connect(url, connect_timeout=5, allow_reconnect=False)
    try:
        # What the evaluation before this one returned is stored when this one runs.
        for acknowledge in json.loads(context.cursor or "[]"):
            await _acknowledge(connection, acknowledge)
        client = connection.jetstream()
        try:
            await client.consumer_info(stream, durable)
        except NotFoundError:
            await client.add_consumer(stream, durable_name=durable, filter_subject=subject, ack_policy="explicit", max_ack_pending=10 * batch)
        found, waiting = [], []
        for message in await _pull(client, stream, durable, batch):
            waiting.append(message.reply)
            exchange = json.loads(message.data)
            again = message.metadata.num_delivered > 1 and context.instance.has_dynamic_partition(partitions.name, exchange["trace_id"])
            if not again and not _is_own(context.instance, exchange):
                found.append(exchange)
        return dg.SensorResult(
            asset_events=[dg.AssetMaterialization(partitions.name, partition=exchange["trace_id"], metadata=_metadata(exchange)) for exchange in found],
            dynamic_partitions_requests=[partitions.build_add_request([exchange["trace_id"] for exchange in found])] if found else [],
            cursor=json.dumps(waiting))
    finally:
        await connection.close()


async def _acknowledge(connection, subject):
    try:
        await connection.request(subject, b"+ACK", timeout=5)
    except (NoRespondersError, NatsTimeout):
        pass  # the message comes again, and is known


async def _pull(client, stream, consumer, batch):
    subscription = await client.pull_subscribe_bind(consumer, stream)
    try:
        return await subscription.fetch(batch, timeout=0.5)
    except (NatsTimeout, APIError):  # nothing is there; or no consumer, which the proxy makes when it has such a pipeline
        return []


async def _connect(url, **options):
    return await nats.connect([server.strip() for server in url.split(",")], **options)


async def _stored(url, content):
    connection = await _connect(url)
    try:
        return (await (await connection.jetstream().object_store(content["bucket"])).get(content["name"])).data
    finally:
        await connection.close()


def _has_run(instance, trace_id):
    return len(instance.get_run_records(dg.RunsFilter(tags={TRACE_TAG: trace_id}), limit=1)) > 0


def _is_own(instance, exchange):
    parent = exchange.get("parent")
    return parent is not None and (instance.has_run(parent) or _has_run(instance, parent))


def _metadata(exchange):
    usage = exchange.get("usage") or {}
    metadata = {name: exchange.get(name) for name in ("owner", "model", "pipeline", "winner", "workspace", "parent", "outcome", "started", "duration_ms")}
    return {name: value for name, value in {**metadata, **usage}.items() if value is not None}
