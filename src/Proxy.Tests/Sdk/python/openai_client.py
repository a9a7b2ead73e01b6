"""OpenAI's own client for Python, through the proxy.

Usage: openai_client.py BASE_URL. Prints "ok NAME" for each check that passes; any other way to end is a failure."""
import asyncio
import json
import re
import sys
import traceback

import openai

BASE = sys.argv[1] + "/v1"
client = openai.OpenAI(base_url=BASE, api_key="sk-unused", max_retries=0, timeout=30)
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}}}


def rejected(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} did not come")


def read(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def chat():
    reply = client.chat.completions.create(model="tiny-bigram", messages=HELLO)
    assert re.search(r"\w+ \w+", reply.choices[0].message.content)
    assert reply.model == "tiny-bigram"
    assert reply.usage.completion_tokens > 0
    assert reply._request_id


def stream():
    pieces = list(client.chat.completions.create(model="tiny-bigram", messages=HELLO, stream=True, stream_options={"include_usage": True}))
    assert len(pieces) > 5
    assert pieces[-1].usage.completion_tokens > 0
    assert re.search(r"\w+ \w+", read(pieces))


def stream_asynchronously():
    async def run():
        async with openai.AsyncOpenAI(base_url=BASE, api_key="sk-unused", max_retries=0) as asynchronous:
            async def one():
                text = ""
                async for chunk in await asynchronous.chat.completions.create(model="tiny-bigram", messages=HELLO, stream=True):
                    text += chunk.choices[0].delta.content or ""
                return text

            return await asyncio.gather(*[one() for _ in range(4)])

    texts = asyncio.run(run())
    assert all(re.search(r"\w+ \w+", text) for text in texts)


def leaving():
    schema = {"type": "array", "items": {"enum": ["Paris", "Rome"]}, "minItems": 400, "maxItems": 400}
    with client.chat.completions.create(model="tiny-bigram", messages=HELLO, stream=True, max_tokens=1900,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}) as pieces:
        for chunk in pieces:
            if chunk.choices and chunk.choices[0].delta.content:
                break


def tools():
    reply = client.chat.completions.create(model="tiny-bigram", messages=HELLO, tools=[WEATHER], tool_choice="required")
    call = reply.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")


def two_tools_streamed():
    for model in ("fake-two-tools", "native-two-tools"):
        with client.chat.completions.stream(model=model, messages=HELLO, tools=[WEATHER]) as pieces:
            message = pieces.get_final_completion().choices[0].message
        assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [("get_weather", {"city": "Paris"}),
            ("get_weather", {"city": "Rome"})], model


def models():
    assert "tiny-bigram" in [model.id for model in client.models.list()]
    assert client.models.retrieve("tiny-bigram").id == "tiny-bigram"


def embeddings():
    reply = client.embeddings.create(model="tiny-bigram", input=["the cat", "a log"])
    assert [len(item.embedding) for item in reply.data] == [1024, 1024]
    assert all(isinstance(number, float) for number in reply.data[0].embedding)


def errors():
    error = rejected(openai.NotFoundError, lambda: client.chat.completions.create(model="never-heard-of", messages=HELLO))
    assert error.code == "model_not_found" and "never-heard-of" in str(error) and error.request_id
    error = rejected(openai.BadRequestError, lambda: client.chat.completions.create(model="tiny-bigram", messages=[]))
    assert "'messages' is required" in str(error)
    error = rejected(openai.BadRequestError, lambda: client.chat.completions.create(model="tiny-bigram", messages=[{"role": "user", "content": "cat " * 5000}]))
    assert error.code == "context_length_exceeded"


def faults():
    for model in ("fake-dies", "fake-silent-end", "native-dies", "native-silent-end"):
        rejected(openai.APIError, lambda: read(client.chat.completions.create(model=model, messages=HELLO, stream=True)))
    rejected(openai.InternalServerError, lambda: client.chat.completions.create(model="native-not-done", messages=HELLO))
    rejected(openai.InternalServerError, lambda: client.chat.completions.create(model="fake-down", messages=HELLO))
    rejected(openai.RateLimitError, lambda: client.chat.completions.create(model="fake-429", messages=HELLO))
    assert read(client.chat.completions.create(model="fake-fails-over", messages=HELLO, stream=True)) == "from the second"


def ollama_host():
    assert client.chat.completions.create(model="native-hello", messages=HELLO).choices[0].message.content == "Héllo 😀"
    assert read(client.chat.completions.create(model="native-hello", messages=HELLO, stream=True)) == "Héllo 😀"


def responses():
    weather = {"type": "function", "name": "get_weather", "parameters": WEATHER["function"]["parameters"], "strict": False}
    for model in ("any-openai", "any-ollama", "any-anthropic"):
        reply = client.responses.create(model=model, input="hello", instructions="be brief")
        assert (reply.output_text, reply.status, reply.usage.output_tokens) == ("Héllo 😀", "completed", 7), reply
        with client.responses.stream(model=model, input="hello", tools=[weather]) as events:
            reply = [*events] and events.get_final_response()
        calls = [item for item in reply.output if item.type == "function_call"]
        assert [(call.call_id, json.loads(call.arguments)) for call in calls] == [("call_a", {"city": "Paris"}), ("call_b", {"city": "Rome"})], calls
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": output} for call, output in zip(calls, ("sunny", "rain"))]
        following = client.responses.create(model=model, input=[*HELLO, *calls, *results], tools=[weather])
        assert following.output_text == "sunny, rain", following
        assert "I take no such prompt" in str(rejected(openai.BadRequestError, lambda: client.responses.create(model=model, input="refuse")))


def responses_kept():
    for model in ("tiny-bigram", "any-openai", "any-ollama", "any-anthropic"):
        reply = client.responses.create(model=model, input="hello", background=True)
        response_id = reply.id
        while reply.status in ("queued", "in_progress"):
            reply = client.responses.retrieve(response_id)
        assert reply.status == "completed" and len(reply.output_text) > 3, reply
        following = client.responses.create(model=model, input="hello", previous_response_id=response_id, store=True)
        assert (following.previous_response_id, following.status) == (response_id, "completed"), following
        assert [item.content[0].text for item in client.responses.input_items.list(following.id)] == ["hello"]
        with client.responses.create(model=model, input="hello", background=True, stream=True) as events:
            begun = [event for event, _ in zip(events, range(4))]
        number = begun[-1].sequence_number
        rest = list(client.responses.retrieve(begun[0].response.id, stream=True, starting_after=number))
        assert [event.sequence_number for event in rest] == [number + 1 + i for i in range(len(rest))], rest
        assert rest[-1].type == "response.completed", rest
        client.responses.delete(response_id)
        rejected(openai.NotFoundError, lambda: client.responses.retrieve(response_id))
        assert rejected(openai.NotFoundError, lambda: client.responses.create(model=model, input="x", previous_response_id="resp_1")).param \
            == "previous_response_id"


def anthropic_host():
    assert client.chat.completions.create(model="any-anthropic", messages=HELLO).choices[0].message.content == "Héllo 😀"
    assert read(client.chat.completions.create(model="any-anthropic", messages=HELLO, stream=True)) == "Héllo 😀"


failed = False
for thing in (chat, stream, stream_asynchronously, leaving, tools, two_tools_streamed, models, embeddings, errors, faults, ollama_host, responses,
    responses_kept, anthropic_host):
    try:
        thing()
        print("ok", thing.__name__)
    except Exception:
        failed = True
        print("FAILED", thing.__name__, traceback.format_exc())
sys.exit(failed)
