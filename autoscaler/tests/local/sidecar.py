"""A sidecar for tests: the real one's flags, first line, admin port and signals. Standard library.

It is ready while its upstream takes connections. The numbers in its metrics are what the file
named by FAKE_LOAD says: "running waiting", integrated over time. On SIGTERM it prints what the file
named by FAKE_ENDPOINTS says of it, and ends after its drain delay.
"""
import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

flags = argparse.ArgumentParser()
names = "listen admin upstream concurrency queue-capacity queue-bytes queue-timeout"
names += " first-byte-timeout idle-timeout request-timeout readiness readiness-period"
names += " readiness-timeout readiness-failures drain-delay drain-timeout access-log"
for name in names.split():
    flags.add_argument("--" + name, required=True)
flags = flags.parse_args()
host, port = flags.upstream.split(":")

lock = threading.Lock()
state = {"at": time.monotonic(), "running": 0.0, "waiting": 0.0, "draining": 0}


def load():
    try:
        running, waiting = open(os.environ["FAKE_LOAD"]).read().split()
        return int(running), int(waiting)
    except (KeyError, OSError, ValueError):
        return 0, 0


def metrics():
    running, waiting = load()
    with lock:
        now = time.monotonic()
        state["running"] += running * (now - state["at"])
        state["waiting"] += waiting * (now - state["at"])
        state["at"] = now
        return (
            f"tidegate_concurrency_seconds_total {state['running']}\n"
            f"tidegate_queue_seconds_total {state['waiting']}\n"
            f"tidegate_requests_in_flight {running}\n"
            f"tidegate_requests_queued {waiting}\n"
            f"tidegate_draining {state['draining']}\n"
            f"process_resident_memory_bytes 4096\n"
        )


def is_ready():
    try:
        socket.create_connection((host, int(port)), 1).close()
        return True
    except OSError:
        return False


class Admin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/readyz":
            code, body = (200, "ok") if is_ready() else (503, "not ready")
        else:
            code, body = 200, metrics()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


data = socket.create_server(("127.0.0.1", 0))
admin = ThreadingHTTPServer(("127.0.0.1", 0), Admin)
admin.daemon_threads = True
address = "127.0.0.1:%d" % data.getsockname()[1]


def term():
    state["draining"] = 1
    said = "nothing"
    try:
        for entries in json.load(open(os.environ["FAKE_ENDPOINTS"]))["apis"].values():
            said = next((e["state"] for e in entries if e["address"] == address), said)
    except (KeyError, OSError):
        pass
    print("sidecar told to drain while the file says", said, file=sys.stderr, flush=True)
    time.sleep(float(flags.drain_delay.rstrip("ms")) / (1000 if "ms" in flags.drain_delay else 1))
    os._exit(0)


# Blocked and waited for, so that none is lost between a look and a wait.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
threading.Thread(target=admin.serve_forever, daemon=True).start()
line = {"event": "listening", "data": address, "admin": "127.0.0.1:%d" % admin.server_port}
print(json.dumps(line), flush=True)
print("a later line", flush=True)
signal.sigwait({signal.SIGTERM})
term()
