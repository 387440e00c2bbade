#!/usr/bin/env python3
"""Replaces all replicas twice under a steady load, and says whether anybody has noticed.

    cargo build --profile dist -p tidegate
    benches/replacement/replacement.py            # 1,000 requests a second for 30 s, four replicas

Runs `tidegate up` with a light model. At a third of the time the document changes, at two thirds
`tidegate refresh` is called. Meanwhile requests come at a fixed rate, whatever the answers do, and streams
of events and WebSockets go on. It ends with 1 if one request was not answered with 200, a stream lacked its
end, or a socket did not say everything back until its client closed it.

Needs nothing but Python 3.11 and the built `tidegate`.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
DOCUMENT = """\
apiVersion: tidegate.dev/v1alpha1
kind: InferenceApi
metadata: {{name: light}}
spec:
  container:
    command: [python3, {model}, "{{port}}"]
    env: {{VERSION: {version}}}
  readiness: {{httpGet: {{path: /health}}}}
  concurrency: {{limit: 32, queueCapacity: 1000}}
  autoscaling: {{minReplicas: {replicas}, maxReplicas: {most}}}
"""
REQUEST = b"GET /x HTTP/1.1\r\nhost: bench\r\n\r\n"
SOCKET = (
    b"GET /socket HTTP/1.1\r\nhost: bench\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EVENTS, EVENT_GAP_MS = 200, 50
MESSAGES, MESSAGE_GAP_S = 100, 0.1
PATIENCE_S = 30


class Seen:
    """What became of everything."""

    def __init__(self):
        self.answers = Counter()
        self.versions = Counter()
        self.took_s = []
        self.streams = Counter()
        self.sockets = Counter()


async def head_of(reader):
    """Status and fields of an answer's head."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:-2])
    return int(lines[0].split(b" ")[1]), fields


class Client:
    """A connection that is kept, and opened anew where the other side has said that it closes."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, seen, due):
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.writer.write(REQUEST)
            status, fields = await asyncio.wait_for(head_of(self.reader), PATIENCE_S)
            body = await self.reader.readexactly(int(fields[b"content-length"]))
            seen.answers[f"{status} {fields.get(b'x-tidegate-reason', b'').decode()}".strip()] += 1
            if status == 200:
                seen.versions[json.loads(body)["version"]] += 1
            if fields.get(b"connection") == b"close":
                self.writer.close()
                self.writer = None
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            seen.answers[type(error).__name__] += 1
            self.writer = None
        seen.took_s.append(time.monotonic() - due)


async def load(port, seen, rate, seconds, clients):
    """Requests at fixed moments. One that finds no client free is late, and its wait counts."""
    free = asyncio.Queue()
    for _ in range(clients):
        free.put_nowait(Client(port))
    begun, running = time.monotonic(), set()

    async def one(client, due):
        await client.ask(seen, due)
        free.put_nowait(client)

    for number in range(int(rate * seconds)):
        due = begun + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        task = asyncio.create_task(one(await free.get(), due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


async def stream(port, seen):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /stream?n=%d&ms=%d HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n" % (EVENTS, EVENT_GAP_MS)
    )
    text = (await reader.read(-1)).decode()
    whole = text.startswith("HTTP/1.1 200") and text.count("data: ") == EVENTS + 1 and "data: [DONE]" in text
    seen.streams["whole" if whole else f"broken after {text.count('data: ')} events: {text[:60]!r}"] += 1
    writer.close()


async def socket(port, seen):
    """A WebSocket that is closed by its client, after so many messages that all come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(SOCKET)
    status, _ = await head_of(reader)
    said = 0
    try:
        assert status == 101, status
        for number in range(MESSAGES):
            text = b"%04d" % number
            writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            back = await asyncio.wait_for(reader.readexactly(2 + len(text)), PATIENCE_S)
            assert back[2:] == text, back
            said += 1
            await asyncio.sleep(MESSAGE_GAP_S)
        writer.write(bytes([0x88, 0x80, 0, 0, 0, 0]))
        assert (await reader.readexactly(2))[0] == 0x88
        seen.sockets["whole"] += 1
    except (OSError, EOFError, AssertionError, asyncio.TimeoutError) as error:
        seen.sockets[f"broken after {said} messages: {error!r}"] += 1
    writer.close()


async def again_and_again(what, port, seen, until):
    while time.monotonic() < until:
        await what(port, seen)


class Up:
    """A running `tidegate up`."""

    def __init__(self, tidegate, folder, replicas):
        self.tidegate, self.folder, self.replicas = tidegate, folder, replicas
        self.write("one")
        command = [tidegate, "up", str(folder / "api.yaml"), "--data-dir", str(folder / "data")]
        command += ["--format", "json", "--drain-timeout", "60s"]
        for flag in ["--listen", "--admin", "--status"]:
            command += [flag, "127.0.0.1:0"]
        # Into a file, as nobody reads on.
        output = folder / "output"
        with output.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        while '"event":"listening"' not in output.read_text():
            if self.process.poll() is not None:
                sys.exit(f"{tidegate} up has ended; try {' '.join(command)}")
            time.sleep(0.05)
        said = json.loads(output.read_text().splitlines()[0])
        self.port = int(said["requests"].rsplit(":", 1)[1])
        self.status_at = said["autoscaler"]

    def write(self, version):
        text = DOCUMENT.format(
            model=FOLDER / "model.py", version=version, replicas=self.replicas, most=2 * self.replicas
        )
        beside = self.folder / "api.new"
        beside.write_text(text)
        beside.rename(self.folder / "api.yaml")

    def refresh(self):
        command = [self.tidegate, "refresh", "light", "--local", "--data-dir", str(self.folder / "data")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    async def replicas_now(self):
        reader, writer = await asyncio.open_connection(*self.status_at.split(":"))
        writer.write(b"GET /status HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
        _, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        return json.loads(body)["apis"][0]["replicas"]

    async def until(self, holds):
        while not holds(await self.replicas_now()):
            await asyncio.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)


async def replace(up, begin, log):
    """Begins a replacement, and waits until all replicas are new ones, and until the old ones are gone."""
    old = {one["id"] for one in await up.replicas_now()}
    begun = time.monotonic()
    begin()
    is_new = lambda all: sum(one["state"] == "ready" and one["id"] not in old for one in all) >= up.replicas
    await up.until(is_new)
    log.append(time.monotonic() - begun)
    await up.until(lambda all: not any(one["id"] in old for one in all))
    log.append(time.monotonic() - begun)


async def run(args, up, seen):
    ready = lambda all: sum(one["state"] == "ready" for one in all) >= args.replicas
    await up.until(ready)
    begun = time.monotonic()
    until = begun + args.seconds
    beside = [again_and_again(stream, up.port, seen, until) for _ in range(args.streams)]
    beside += [again_and_again(socket, up.port, seen, until) for _ in range(args.sockets)]
    changed, refreshed = [], []

    async def replacements():
        await asyncio.sleep(args.seconds / 3)
        await replace(up, lambda: up.write("two"), changed)
        await asyncio.sleep(max(0, begun + args.seconds * 2 / 3 - time.monotonic()))
        await replace(up, up.refresh, refreshed)

    await asyncio.gather(
        load(up.port, seen, args.rate, args.seconds, args.clients), replacements(), *beside
    )
    return changed, refreshed


def report(args, seen, changed, refreshed):
    took = sorted(seen.took_s)
    at = lambda share: took[min(int(share * len(took)), len(took) - 1)] * 1000
    print(f"{len(took)} requests, {args.rate} a second for {args.seconds} s: {dict(seen.answers)}")
    print(f"by version: {dict(seen.versions)}")
    print(f"from when they were due: p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f}, p99.9 {at(0.999):.1f}, most {at(1):.1f}")
    print(f"streams of {EVENTS * EVENT_GAP_MS / 1000:.0f} s: {dict(seen.streams)}")
    print(f"sockets of {MESSAGES * MESSAGE_GAP_S:.0f} s: {dict(seen.sockets)}")
    for name, (new, gone) in {"document changed": changed, "refresh": refreshed}.items():
        print(f"{name}: all replicas new after {new:.1f} s, the old ones gone after {gone:.1f} s")
    good = set(seen.answers) == {"200"} and set(seen.streams) == {"whole"} and set(seen.sockets) == {"whole"}
    print("nobody has noticed" if good else "FAILED")
    return 0 if good else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tidegate", default="target/dist/tidegate")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--clients", type=int, default=200, help="connections for the requests")
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--sockets", type=int, default=10)
    args = parser.parse_args()
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        up = Up(os.path.abspath(args.tidegate), Path(folder), args.replicas)
        try:
            changed, refreshed = asyncio.run(run(args, up, seen))
        finally:
            up.stop()
    return report(args, seen, changed, refreshed)


sys.exit(main())
