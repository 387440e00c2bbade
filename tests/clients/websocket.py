"""What a WebSocket client does: one scenario a run, against the model of
tests/models/websocket_echo.py or what stands before it. Ends with 0 if all went as it must.

    python3 websocket.py _ SCENARIO ADDRESS [CA]    with a file of who is believed: over TLS
"""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def say(*words):
    print(*words, flush=True)


def open_one(address, path="/socket?a=b"):
    options = {"ping_interval": None, "max_size": None, "close_timeout": 1}
    if len(sys.argv) > 4:
        tls = ssl.create_default_context(cafile=sys.argv[4])
        return connect(f"wss://{address}{path}", ssl=tls, **options)
    return connect(f"ws://{address}{path}", **options)


async def echoed(socket, message):
    await socket.send(message)
    assert await socket.recv() == message


async def basics(address):
    async with open_one(address) as socket:
        for text in ["a", "", "äß€𝄞", "x" * 70_000]:
            await echoed(socket, text)
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20]:
            await echoed(socket, os.urandom(size))
        for _ in range(8):
            await echoed(socket, os.urandom(1 << 20))
        # Fragments, and frames that are all on their way before the first is read.
        await socket.send(["a", "b", "c"])
        assert await socket.recv() == "abc"
        parts = [os.urandom(1000) for _ in range(200)]
        for part in parts:
            await socket.send(part)
        assert [await socket.recv() for _ in parts] == parts
        await (await socket.ping(b"from the client"))
        await socket.send("ping")
        assert await socket.recv() == "ponged"
        await socket.close(4001, "enough")
    assert socket.close_code == 4001, socket.close_code
    for code in [1000, 1011, 4999]:
        async with open_one(address) as socket:
            await socket.send(f"close {code}")
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (code, "as asked")


async def many(address):
    async def one(n):
        async with open_one(address) as socket:
            for turn in range(20):
                await echoed(socket, f"{n} {turn}")

    await asyncio.gather(*[one(n) for n in range(100)])


async def quiet(address):
    """Says one thing, and then nothing."""
    async with open_one(address) as socket:
        await echoed(socket, "once")
        say("QUIET")
        try:
            await socket.recv()
        except ConnectionClosed:
            # No close frame: it was the connection that ended.
            assert socket.close_code == 1006, socket.close_code
            return
        raise AssertionError("it goes on")


async def busy(address):
    """Goes on as long as it can."""
    async with open_one(address) as socket:
        try:
            for turn in range(100_000):
                await echoed(socket, f"{turn}")
                if turn == 10:
                    say("BUSY")
                await asyncio.sleep(0.01)
        except ConnectionClosed:
            say("CUT")
            return
    raise AssertionError("it was never cut")


asyncio.run(globals()[sys.argv[2]](sys.argv[3]))
say("DONE")
