"""Jobs for the tests of the launcher. Each runs in one process, which begins sooner than one for each step."""

import time

import dagster as dg

from proxy_dagster import ProxyResource, tell_failure


@dg.op
def speak(proxy: ProxyResource):
    with proxy.events() as events:
        events.token("spoken")
        events.finished()


@dg.op
def stop_short(proxy: ProxyResource):
    with proxy.events() as events:
        events.token("half")


@dg.op
def break_down(proxy: ProxyResource):
    with proxy.events() as events:
        events.token("so far")
    try:
        raise ValueError("the well is dry")
    except ValueError as problem:
        raise RuntimeError("no water") from problem


@dg.op
def go_on(context: dg.OpExecutionContext, proxy: ProxyResource):
    with proxy.events() as events:
        events.token("begun")
    context.log.info("begun")
    time.sleep(300)


@dg.op(config_schema={"needed": str})
def demand(context):
    context.log.info("has what it needs")


@dg.op
def repeat(context):
    context.log.info("without the proxy")


@dg.job(executor_def=dg.in_process_executor)
def speaking():
    speak()


@dg.job(executor_def=dg.in_process_executor)
def silent():
    stop_short()


@dg.job(executor_def=dg.in_process_executor)
def failing():
    break_down()


@dg.job(executor_def=dg.in_process_executor, hooks={tell_failure})
def telling():
    break_down()


@dg.job(executor_def=dg.in_process_executor)
def endless():
    go_on()


@dg.job(executor_def=dg.in_process_executor)
def demanding():
    demand()


@dg.job(executor_def=dg.in_process_executor)
def without_resource():
    repeat()


# Also in the other file: a name alone does not say which one is meant.
@dg.job(name="research", executor_def=dg.in_process_executor)
def another_research():
    speak()


defs = dg.Definitions(
    jobs=[speaking, silent, failing, telling, endless, demanding, without_resource, another_research], resources={"proxy": ProxyResource()})
