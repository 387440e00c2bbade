"""A WebSocket model: says back what it is told. Prints one line for each event.

    python3 websocket_echo.py _    the first line is "LISTENING <port>"

The text "close N" makes it close with code N, "ping" makes it ping and say when the pong is there.
"""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(*words):
    print(*words, flush=True)


async def serve_one(socket):
    say("OPEN", socket.request.path)
    try:
        async for message in socket:
            if isinstance(message, str) and message.startswith("close "):
                await socket.close(int(message[6:]), "as asked")
            elif message == "ping":
                await (await socket.ping(b"from the model"))
                await socket.send("ponged")
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass
    say("CLOSED", socket.close_code)


async def main():
    # It is the proxy that has to see a quiet connection.
    async with serve(
        serve_one, "127.0.0.1", 0, ping_interval=None, max_size=None, close_timeout=1
    ) as server:
        say("LISTENING", server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
