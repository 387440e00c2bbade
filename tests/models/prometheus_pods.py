"""A Prometheus that scrapes pods, for tests: what of its API is asked for with `--source prometheus`.

    python3 prometheus_pods.py FILE

FILE lists the targets and their labels, as Prometheus' file_sd_configs has them, and is read before each
round of scrapes, five times a second. The first line printed is "LISTENING <port>".
"""

import json
import re
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')
samples = {}


def scrape(target, labels):
    with urllib.request.urlopen(f"http://{target}/metrics", timeout=1) as page:
        text, at = page.read().decode(), time.time()
    for line in text.splitlines():
        if found := SERIES.match(line):
            own = {"__name__": found[1], **dict(LABEL.findall(found[2] or "")), **labels}
            kept = samples.setdefault(tuple(sorted(own.items())), [])
            kept.append([at, found[3]])
            del kept[:-5]


def scrape_all():
    while True:
        for group in json.load(open(sys.argv[1])):
            for target in group["targets"]:
                try:
                    scrape(target, group["labels"])
                except OSError:
                    pass
        time.sleep(0.2)


def answer(query):
    names = re.search(r'__name__=~"([^"]*)"', query)[1].split("|")
    pods = re.search(r'pod=~"([^"]*)"', query)
    no_api = 'api=""' in query
    result = []
    for key, values in list(samples.items()):
        labels = dict(key)
        is_meant = not pods or labels["pod"] in pods[1].replace("\\\\", "").split("|")
        if labels["__name__"] in names and is_meant and not (no_api and "api" in labels):
            result.append({"metric": labels, "values": list(values)})
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


class Prometheus(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urlsplit(self.path)
        body = json.dumps(answer(parse_qs(address.query)["query"][0])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.Thread(target=scrape_all, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
print("LISTENING", server.server_port, flush=True)
server.serve_forever()
