"""A model with no dependencies, for the proxy's tests: HTTP/1.1 over raw asyncio streams, so that
each byte and each close is known. Prints one line for each event; the tests wait for those lines.

    python3 plain.py PORT        PORT 0 takes a free one; the first line is "LISTENING <port>"
    python3 plain.py /PATH       a Unix socket; the first line is "LISTENING /PATH"

GET  /sleep?ms=N    answers after N ms, unless its client leaves first
GET  /stream?n=N&ms=M    N chunks of 4 bytes, M ms apart
GET  /half          a head that promises 100 bytes, 10 of them, then a close
GET  /close         a close without an answer
GET  /status?code=N an answer with that status
GET  /load          an answer that reports a load, in ORCA's text form
POST /echo          the request's body
any  with Upgrade   101, then an echo of each byte

With STATUS in its environment each answer is of that status, with DELAY_MS each comes so much later.
Where the environment has a VERSION, each answer with a length says it as X-Version.
"""

import asyncio
import os
import sys

STATUS = os.environ.get("STATUS", "")
DELAY_S = int(os.environ.get("DELAY_MS", "0")) / 1000
VERSION = f"X-Version: {os.environ['VERSION']}\r\n" if "VERSION" in os.environ else ""


def say(*words):
    print(*words, flush=True)


async def read_body(reader, headers):
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    return body


async def left_within(reader, seconds):
    """Whether the client leaves before the time is over."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except asyncio.TimeoutError:
        return False


async def answer(writer, status, body, fields=""):
    head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\n{VERSION}{fields}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def stream(writer, count, gap_s):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(count):
        writer.write(b"4\r\ndata\r\n")
        await writer.drain()
        await asyncio.sleep(gap_s)
    writer.write(b"0\r\n\r\n")


async def one_request(reader, writer):
    """Serves one request; false when the connection is to end."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    headers = {name.lower(): value for name, value in headers.items()}
    say("REQUEST", method, target, *[f"{n}={v}" for n, v in sorted(headers.items())])
    path, _, query = target.partition("?")
    query = dict(pair.split("=") for pair in query.split("&") if pair)
    if "upgrade" in headers:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ")
        writer.write(headers["upgrade"].encode() + b"\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        say("TUNNEL ENDED")
        return False
    body = await read_body(reader, headers)
    await asyncio.sleep(DELAY_S)
    if STATUS:
        await answer(writer, STATUS, b"as told\n")
        return True
    if path == "/sleep" or "ms" in query and path == "/line":
        if await left_within(reader, int(query["ms"]) / 1000):
            say("LEFT", target)
            return False
        await answer(writer, 200, b"slept\n")
    elif path == "/stream":
        streaming = asyncio.ensure_future(stream(writer, int(query["n"]), int(query["ms"]) / 1000))
        leaving = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([streaming, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not streaming.done() or streaming.exception():
            streaming.cancel()
            say("LEFT", target)
            return False
        leaving.cancel()
        await asyncio.wait([leaving])
    elif path == "/half":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        await writer.drain()
        return False
    elif path == "/close":
        return False
    elif path == "/load":
        load = "Endpoint-Load-Metrics: TEXT named_metrics.kv_cache_usage_perc=0.4\r\n"
        await answer(writer, 200, b"loaded\n", load)
    elif path == "/status":
        await answer(writer, int(query["code"]), b"status\n")
    else:
        await answer(writer, 200, body or b"hello\n")
    return True


async def connection(reader, writer):
    try:
        while await one_request(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    place = sys.argv[1]
    if place.startswith("/"):
        server = await asyncio.start_unix_server(connection, place)
        say("LISTENING", place)
    else:
        server = await asyncio.start_server(connection, "127.0.0.1", int(place))
        say("LISTENING", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
