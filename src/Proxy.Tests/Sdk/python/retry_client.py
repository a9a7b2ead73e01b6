"""Clients that give up after one second and try again, in front of a host that answers after three.

Usage: retry_client.py BASE_URL. The prompt names the check, so that the host's calls can be counted. Prints "ok NAME" for each check that passes."""
import sys
import traceback

import anthropic
import openai

OPENAI = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="sk-unused", timeout=1, max_retries=6)
ANTHROPIC = anthropic.Anthropic(base_url=sys.argv[1], api_key="sk-unused", timeout=1, max_retries=6)


def openai_whole(name):
    reply = OPENAI.chat.completions.create(model="served", messages=[{"role": "user", "content": name}])
    return reply.choices[0].message.content


def openai_stream(name):
    stream = OPENAI.chat.completions.create(model="served", stream=True, messages=[{"role": "user", "content": name}])
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def anthropic_whole(name):
    return ANTHROPIC.messages.create(model="served", max_tokens=100, messages=[{"role": "user", "content": name}]).content[0].text


failed = False
for check in (openai_whole, openai_stream, anthropic_whole):
    name = "python " + check.__name__.replace("_", " ")
    try:
        text = check(name)
        assert text == "late but here", text
        print("ok " + name)
    except Exception:
        failed = True
        print("FAILED " + name + ": " + traceback.format_exc())
sys.exit(1 if failed else 0)
