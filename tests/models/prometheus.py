"""The query API of a Prometheus, for tests.

    python3 prometheus.py FILE

The first line printed is "LISTENING <port>", then "QUERY <query>" for each query. FILE holds what
each is answered with: numbers, a series for each, or the word "error".
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

path = sys.argv[1]


def answer():
    words = open(path).read().split()
    if words == ["error"]:
        return 400, {"status": "error", "errorType": "bad_data", "error": "parse error at char 3"}
    series = [{"metric": {"n": str(n)}, "value": [1700000000.5, w]} for n, w in enumerate(words)]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": series}}


class Prometheus(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urlsplit(self.path)
        known = address.path == "/prom/api/v1/query"
        status, said = answer() if known else (404, {"status": "error", "error": "not found"})
        print("QUERY", parse_qs(address.query)["query"][0], flush=True)
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
print("LISTENING", server.server_port, flush=True)
server.serve_forever()
