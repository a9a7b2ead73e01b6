"""OpenAI's and Ollama's own clients for Python with the models inside the proxy, compared with the reference tokenizers and onnxruntime.

Usage: local_client.py BASE_URL MODELS, where MODELS is the folder with the golden answers.
Prints "ok NAME" for each check that passes; any other way to end is a failure."""
import json
import math
import os
import sys
import traceback

import ollama
import openai

BASE, MODELS = sys.argv[1:3]
client = openai.OpenAI(base_url=BASE + "/v1", api_key="sk-unused", max_retries=0, timeout=60)
native = ollama.Client(host=BASE)


def golden(folder):
    with open(os.path.join(MODELS, folder, "golden.jsonl"), encoding="utf-8") as lines:
        return [line for line in map(json.loads, lines) if line.get("vector") and line["text"]]


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def near(vector, expected):
    """The bundled model may differ slightly between processors."""
    assert dot(vector, expected) / math.sqrt(dot(vector, vector) * dot(expected, expected)) >= 0.999
    assert abs(dot(vector, vector) - 1) < 1e-5


def same(vector, expected):
    assert len(vector) == len(expected) and math.dist(vector, expected) < 1e-4, math.dist(vector, expected)


KINDS = [("all-minilm-q4", golden("all-minilm-q4"), near), ("tiny", golden("tiny-bpe-embed"), same)]


def openai_string_and_list():
    for model, lines, agree in KINDS:
        one = client.embeddings.create(model=model, input=lines[0]["text"])
        agree(one.data[0].embedding, lines[0]["vector"])
        assert one.usage.prompt_tokens == len(lines[0]["ids"])
        some = lines[:100]
        many = client.embeddings.create(model=model, input=[line["text"] for line in some])
        assert [item.index for item in many.data] == list(range(len(some)))
        for item, line in zip(many.data, some):
            agree(item.embedding, line["vector"])


def openai_token_ids():
    for model, lines, agree in KINDS:
        agree(client.embeddings.create(model=model, input=lines[1]["ids"]).data[0].embedding, lines[1]["vector"])


def openai_dimensions():
    _, lines, _ = KINDS[1]
    head = lines[0]["vector"][:16]
    length = math.sqrt(dot(head, head))
    same(client.embeddings.create(model="tiny-short", input=lines[0]["text"], dimensions=16).data[0].embedding, [value / length for value in head])


def openai_as_text():
    for model, lines, agree in KINDS:
        agree(client.embeddings.create(model=model, input=lines[2]["text"], encoding_format="float").data[0].embedding, lines[2]["vector"])


def ollama_string_and_list():
    for model, lines, agree in KINDS:
        agree(native.embed(model=model, input=lines[0]["text"]).embeddings[0], lines[0]["vector"])
        many = native.embed(model=model, input=[line["text"] for line in lines[:100]])
        assert len(many.embeddings) == min(100, len(lines))
        for vector, line in zip(many.embeddings, lines):
            agree(vector, line["vector"])
        agree(native.embeddings(model=model, prompt=lines[0]["text"]).embedding, lines[0]["vector"])


failed = False
for thing in (openai_string_and_list, openai_token_ids, openai_dimensions, openai_as_text, ollama_string_and_list):
    try:
        thing()
        print("ok", thing.__name__)
    except Exception:
        failed = True
        print("FAILED", thing.__name__, traceback.format_exc())
sys.exit(failed)
