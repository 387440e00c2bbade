"""A language model without the model: answers as OpenAI's API has them, a byte stream that the test
can know in advance. Prints "LISTENING <port>" first.

    python3 llm.py PORT        PORT 0 takes a free one

POST /v1/completions   "stream": an event for each of `n` tokens, `ms` apart, each cut in two writes;
                       "usage": say it; else one JSON document
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def head(self, kind, *fields):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {"prompt_tokens": 11, "completion_tokens": 40, "total_tokens": 51}
        if not asked.get("stream"):
            document = {"choices": [{"text": "x" * 100_000}], "usage": usage}
            body = json.dumps(document).encode()
            self.head("application/json", ("Content-Length", str(len(body))))
            self.wfile.write(body)
            return
        self.head("text/event-stream; charset=utf-8", ("Transfer-Encoding", "chunked"))
        events = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}]
        events += [{"choices": [{"delta": {"content": f" {i}"}}]} for i in range(asked["n"])]
        if asked.get("usage"):
            events.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
        for line in lines + [b"data: [DONE]\n\n"]:
            self.chunk(line[:17])
            if line[17:]:
                self.chunk(line[17:])
            time.sleep(asked.get("ms", 0) / 1000)
        self.wfile.write(b"0\r\n\r\n")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model)
    print("LISTENING", server.server_address[1], flush=True)
    server.serve_forever()
