"""Ollama's own client for Python, through the proxy.

Usage: ollama_client.py BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure."""
import re
import sys
import traceback

import ollama

client = ollama.Client(host=sys.argv[1])
HELLO = [{"role": "user", "content": "hello"}]


def get_weather(city: str) -> str:
    """The weather.

    Args:
        city: where
    """
    return f"sunny in {city}"


def rejected(call):
    try:
        call()
    except ollama.ResponseError as error:
        return error
    raise AssertionError("no error came")


def chat():
    reply = client.chat(model="tiny-bigram", messages=HELLO)
    assert re.search(r"\w+ \w+", reply.message.content)
    assert reply.done and reply.eval_count > 0 and reply.model == "tiny-bigram"


def stream():
    pieces = list(client.chat(model="tiny-bigram", messages=HELLO, stream=True, keep_alive=-1))
    assert len(pieces) > 5
    assert pieces[-1].done and pieces[-1].done_reason == "stop" and pieces[-1].eval_count > 0
    assert re.search(r"\w+ \w+", "".join(piece.message.content or "" for piece in pieces))


def leaving():
    schema = {"type": "array", "items": {"enum": ["Paris", "Rome"]}, "minItems": 400, "maxItems": 400}
    pieces = client.chat(model="tiny-bigram", messages=HELLO, stream=True, format=schema, options={"num_predict": 1900})
    for piece in pieces:
        if piece.message.content:
            break
    pieces.close()


def native():
    assert client.chat(model="native-hello", messages=HELLO).message.content == "Héllo 😀"
    assert "".join(piece.message.content or "" for piece in client.chat(model="native-hello", messages=HELLO, stream=True)) == "Héllo 😀"


def other_hosts():
    for model in ("any-openai", "any-anthropic"):
        assert client.chat(model=model, messages=HELLO).message.content == "Héllo 😀"
        assert client.chat(model=model, messages=[{"role": "user", "content": "think"}], think=True).message.thinking == "Let me think."
        assert "I take no such prompt" in rejected(lambda: client.chat(model=model, messages=[{"role": "user", "content": "refuse"}])).error
    assert len(client.embed(model="any-openai", input=["the cat", "the dog"]).embeddings) == 2


def tools():
    for model in ("native-two-tools", "fake-two-tools"):
        reply = client.chat(model=model, messages=HELLO, tools=[get_weather])
        assert [(call.function.name, dict(call.function.arguments)) for call in reply.message.tool_calls] == [("get_weather", {"city": "Paris"}),
            ("get_weather", {"city": "Rome"})], model
        following = [*HELLO, reply.message, {"role": "tool", "tool_name": "get_weather", "content": get_weather("Paris")}]
        assert client.chat(model=model.replace("two-tools", "hello"), messages=following, tools=[get_weather]).message.content == "Héllo 😀"


def models():
    assert any(model.model.startswith("tiny-bigram") for model in client.list().models)


def errors():
    error = rejected(lambda: client.chat(model="never-heard-of", messages=HELLO))
    assert error.status_code == 404 and error.error.startswith("model 'never-heard-of' not found"), error
    error = rejected(lambda: client.chat(model="tiny-bigram", messages=[{"role": "user", "content": "cat " * 5000}]))
    assert error.status_code == 400 and "longer than the context" in error.error, error


def faults():
    for model in ("native-silent-end", "native-dies", "fake-dies", "fake-silent-end"):
        rejected(lambda: list(client.chat(model=model, messages=HELLO, stream=True)))
    assert rejected(lambda: client.chat(model="native-not-done", messages=HELLO)).status_code == 502
    assert rejected(lambda: client.chat(model="fake-down", messages=HELLO)).status_code >= 502


failed = False
for thing in (chat, stream, leaving, native, other_hosts, tools, models, errors, faults):
    try:
        thing()
        print("ok", thing.__name__)
    except Exception:
        failed = True
        print("FAILED", thing.__name__, traceback.format_exc())
sys.exit(failed)
