"""A model that counts the jobs it has not done yet, in Prometheus' text format at /counts.

    python3 metered.py PORT FILE

FILE says how many jobs there are for all replicas together. Whichever replica holds its lock has
them all; the others have none. So the average over replicas, times their number, is what it says.
"""

import fcntl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, path = int(sys.argv[1]), sys.argv[2]
lock = open(path + ".lock", "w")


def jobs():
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return "0"
    return open(path).read().strip()


class Model(BaseHTTPRequestHandler):
    def do_GET(self):
        body = "hello\n"
        if self.path == "/counts":
            body = "# TYPE jobs gauge\n"
            body += f'jobs{{queue="main",zone="a}}"}} {jobs()}\njobs{{queue="other"}} 1e6\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Model).serve_forever()
