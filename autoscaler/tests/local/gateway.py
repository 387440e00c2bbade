"""A gateway's admin port for tests: the file named by the first argument says how much it holds.

It prints its port. The second argument is the API's name.
"""
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

path, api = sys.argv[1:3]
begin = time.monotonic()


class Admin(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            held = int(open(path).read())
        except (OSError, ValueError):
            held = 0
        body = f'tidegate_requests_queued{{api="{api}"}} {held}\n'
        body += f'tidegate_queue_seconds_total{{api="{api}"}} {held * (time.monotonic() - begin)}\n'
        body += f'tidegate_concurrency_seconds_total{{api="{api}"}} 1e9\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Admin)
print(server.server_port, flush=True)
server.serve_forever()
