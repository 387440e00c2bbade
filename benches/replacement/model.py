"""A model that takes little: what it costs to serve is not what is measured.

    python3 model.py PORT

GET /health          an answer
any request          an answer that names the VERSION of its environment
GET /stream?n=&ms=   n events, ms apart
with Upgrade         a WebSocket that says each message back, and closes when it is asked to
"""

import asyncio
import base64
import hashlib
import os
import sys
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("VERSION", "none")
BODY = b'{"version": "%s"}' % VERSION.encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Model(asyncio.Protocol):
    """One connection."""

    def __init__(self):
        self.read = b""
        self.is_socket = False
        self.task = None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _):
        if self.task:
            self.task.cancel()

    def data_received(self, data):
        self.read += data
        while self.frame() if self.is_socket else self.request():
            pass

    def request(self):
        head, end, rest = self.read.partition(b"\r\n\r\n")
        if not end:
            return False
        lines = head.split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        fields = {name.lower(): value for name, value in fields.items()}
        length = int(fields.get(b"content-length", 0))
        if len(rest) < length:
            return False
        self.read = rest[length:]
        target = lines[0].split(b" ")[1]
        if b"upgrade" in fields:
            self.switch(fields)
        elif target.startswith(b"/stream"):
            self.task = asyncio.ensure_future(self.stream(target.decode()))
        else:
            self.transport.write(ANSWER)
        return True

    async def stream(self, target):
        wanted = parse_qs(urlsplit(target).query)
        count, gap_s = int(wanted["n"][0]), int(wanted["ms"][0]) / 1000
        self.transport.write(EVENTS)
        for number in range(count):
            self.transport.write(b"data: %d\n\n" % number)
            await asyncio.sleep(gap_s)
        self.transport.write(b"data: [DONE]\n\n")
        self.transport.close()

    def switch(self, fields):
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + MAGIC).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        self.transport.write(head + b"sec-websocket-accept: " + accept + b"\r\n\r\n")
        self.is_socket = True

    def frame(self):
        """A short frame, masked, as clients send them."""
        if len(self.read) < 6:
            return False
        length = self.read[1] & 0x7F
        if len(self.read) < 6 + length:
            return False
        opcode, mask = self.read[0] & 0x0F, self.read[2:6]
        said = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.read[6 : 6 + length]))
        self.read = self.read[6 + length :]
        self.transport.write(bytes([0x80 | opcode, length]) + said)
        if opcode == 8:
            self.transport.close()
        return True


async def main():
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
