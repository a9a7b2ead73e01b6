#!/usr/bin/env python3
"""A model host for test.sh, which answers like an OpenAI server.   fake-host.py PORT MODEL...

It says what it heard and then counts to 40, a word every 25 ms."""
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = os.environ.get("ADDRESS", "127.0.0.1")
MODELS = sys.argv[2:]


class Host(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        listing = {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "test"} for name in MODELS]}
        self.whole(listing if self.path == "/v1/models" else None)

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        heard = json.dumps(call["messages"], ensure_ascii=False)
        words = [f"{MODELS[0]} heard {heard}:"] + [f" {number}" for number in range(1, 41)]
        if not call.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            return self.whole({"id": "c", "object": "chat.completion", "created": 1, "model": call["model"],
                               "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                               "usage": {"prompt_tokens": 1, "completion_tokens": 41, "total_tokens": 42}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for word in words:
            self.frame({"delta": {"content": word}, "finish_reason": None}, call["model"])
            time.sleep(0.025)
        self.frame({"delta": {}, "finish_reason": "stop"}, call["model"])
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def frame(self, choice, model):
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [{"index": 0, **choice}]}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def whole(self, answer):
        body = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((ADDRESS, int(sys.argv[1])), Host).serve_forever()
