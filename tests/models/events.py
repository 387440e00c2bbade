"""A model that sends events (text/event-stream) over HTTP/1.1. Prints one line for each event of its
own. Times are nanoseconds of the clock that all processes of a machine share.

    python3 events.py _    the first line is "LISTENING <port>"

GET /events?n=N&ms=M    N events M ms apart; each says its number, and when it was sent
GET /silent?id=ID       one event, then nothing; "GONE ID <ns>" when its client has left
"""

import asyncio
import time


def say(*words):
    print(*words, flush=True)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def send(writer, text):
    event = f"data: {text}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
    await writer.drain()


async def events(writer, count, gap_s):
    for number in range(count):
        await asyncio.sleep(gap_s)
        await send(writer, f"{number} {time.monotonic_ns()}")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def connection(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path, _, query = head.split(" ")[1].partition("?")
            query = dict(pair.split("=") for pair in query.split("&"))
            writer.write(HEAD)
            if path == "/events":
                await events(writer, int(query["n"]), int(query["ms"]) / 1000)
            else:
                await send(writer, "only")
                assert await reader.read(1) == b""
                say("GONE", query["id"], time.monotonic_ns())
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    say("LISTENING", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
