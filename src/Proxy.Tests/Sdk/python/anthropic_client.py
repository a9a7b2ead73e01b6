"""Anthropic's own client for Python, with hosts of the other dialects.

Usage: anthropic_client.py BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure."""
import sys
import traceback

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="sk-unused", max_retries=0, timeout=30)
TOOLS = [{"name": "get_weather", "description": "the weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def user(content):
    return {"role": "user", "content": content}


def ask(model, content, **more):
    return client.messages.create(model=model, max_tokens=2048, messages=[user(content)], **more)


def follow(model, content, **more):
    with client.messages.stream(model=model, max_tokens=2048, messages=[user(content)], **more) as stream:
        return stream.get_final_message()


def words(message):
    return "".join(block.text for block in message.content if block.type == "text")


def message(model):
    for reply in (ask(model, "hello", system="be brief"), follow(model, "hello")):
        assert words(reply) == "Héllo 😀" and reply.model == model and reply.stop_reason == "end_turn", reply
        assert reply.usage.output_tokens == 7, reply.usage
    assert ask(model, "long").stop_reason == "max_tokens"
    assert words(ask(model, [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": "what is this?"}])) == PIXEL


def thinking(model):
    for reply in (ask(model, "think", thinking={"type": "enabled", "budget_tokens": 1024}),
        follow(model, "think", thinking={"type": "enabled", "budget_tokens": 1024})):
        assert [block.type for block in reply.content] == ["thinking", "text"], reply
        assert reply.content[0].thinking == "Let me think."


def tools(model):
    for reply in (ask(model, "hello", tools=TOOLS), follow(model, "hello", tools=TOOLS)):
        assert reply.stop_reason == "tool_use"
        assert [(block.id, block.name, block.input) for block in reply.content if block.type == "tool_use"] == [("call_a", "get_weather", {"city": "Paris"}),
            ("call_b", "get_weather", {"city": "Rome"})]
        results = [{"type": "tool_result", "tool_use_id": "call_a", "content": "sunny"}, {"type": "tool_result", "tool_use_id": "call_b", "content": "rain"}]
        following = client.messages.create(model=model, max_tokens=64, tools=TOOLS,
            messages=[user("hello"), {"role": "assistant", "content": reply.content}, user(results)])
        assert words(following) == "sunny, rain"


def errors(model):
    try:
        ask(model, "refuse")
        raise AssertionError("no error came")
    except anthropic.BadRequestError as error:
        assert "I take no such prompt" in error.message and error.request_id, error


def fault(model):
    text = ""
    try:
        with client.messages.stream(model=model, max_tokens=64, messages=[user("die")]) as stream:
            for piece in stream.text_stream:
                text += piece
        raise AssertionError("no error came")
    except anthropic.APIError:
        assert text == "half", text


def count(model):
    few = client.messages.count_tokens(model=model, messages=[user("hello")]).input_tokens
    many = client.messages.count_tokens(model=model, messages=[user("hello " * 500)]).input_tokens
    assert 0 < few < many - 400, (few, many)


def models(_):
    assert {"any-openai", "any-ollama"} <= {model.id for model in client.models.list()}


def never_heard_of(_):
    try:
        ask("never-heard-of", "hello")
        raise AssertionError("no error came")
    except anthropic.NotFoundError as error:
        assert "never-heard-of" in error.message, error


failed = False
things = [(thing, model) for model in ("any-openai", "any-ollama") for thing in (message, thinking, tools, errors, fault, count)] + [(models, ""),
    (never_heard_of, "")]
for thing, model in things:
    try:
        thing(model)
        print("ok", thing.__name__, model)
    except Exception:
        failed = True
        print("FAILED", thing.__name__, model, traceback.format_exc())
sys.exit(failed)
