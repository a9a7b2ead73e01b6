"""An example: two models answer at the same time, and a judge names the winner."""

import os
import time

import dagster as dg

from proxy_dagster import ProxyResource, done_sensor, exchanges_asset, jobs_sensor, tell_failure


def answer(proxy, task, model):
    text = ""
    with proxy.events(task, model) as events:
        for piece in proxy.ask(model) if model else made_up(task):
            events.token(piece)
            text += piece
    return text


def made_up(task):
    """What stands for a model where none is named."""
    for word in range(5 if task == "A" else 8):
        time.sleep(0.05)
        yield f"{task}{word} "


@dg.op
def ask_a(proxy: ProxyResource) -> str:
    return answer(proxy, "A", os.environ.get("MODEL_A"))


@dg.op
def ask_b(proxy: ProxyResource) -> str:
    return answer(proxy, "B", os.environ.get("MODEL_B"))


@dg.op
def judge(context: dg.OpExecutionContext, proxy: ProxyResource, a: str, b: str) -> None:
    winner, text = ("A", a) if len(a) >= len(b) else ("B", b)
    # First what is to be kept, then the end: the client may ask for it as soon as it has heard of the end.
    context.log_event(dg.AssetMaterialization("winners", metadata={"trace_id": proxy.document["trace_id"], "winner": winner, "text": text}))
    with proxy.events() as events:
        events.finished(winner=winner)


@dg.job(hooks={tell_failure})
def research():
    judge(ask_a(), ask_b())


defs = dg.Definitions(
    jobs=[research],
    assets=[exchanges_asset()],
    resources={"proxy": ProxyResource()},
    sensors=[jobs_sensor({"research": research}), done_sensor()],
)
