"""A gRPC model: tests/clients/echo.proto, and the standard health service. Prints one line for each
event; the tests wait for those lines.

    python3 grpc_echo.py GENERATED    where echo_pb2.py lies; the first line is "LISTENING <port>"

It is not healthy until it gets SIGUSR1. Call metadata that begin with "x-" come back, as they were,
first and last.
"""

import asyncio
import signal
import sys

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

sys.path.insert(0, sys.argv[1])
import echo_pb2  # noqa: E402
import echo_pb2_grpc  # noqa: E402

SERVICE = "tidegate.test.Echo"
STATUSES = {status.value[0]: status for status in grpc.StatusCode}


def say(*words):
    print(*words, flush=True)


def own(context):
    return tuple((k, v) for k, v in context.invocation_metadata() if k.startswith("x-own"))


class Echo(echo_pb2_grpc.EchoServicer):
    async def begin(self, name, context):
        left = context.time_remaining()
        say("CALL", name, "deadline", "none" if left is None else f"{left:.1f}")
        await context.send_initial_metadata(own(context))
        context.set_trailing_metadata(own(context))

    async def answer(self, name, request, context):
        say("ANSWERS", name)
        try:
            await asyncio.sleep(request.sleep_ms / 1000)
        except asyncio.CancelledError:
            say("CANCELLED", name)
            raise
        if request.fail:
            await context.abort(STATUSES[request.fail], "failed as asked: äß %", own(context))
        return echo_pb2.Say(text=request.text)

    async def Unary(self, request, context):
        await self.begin("Unary", context)
        return await self.answer("Unary", request, context)

    async def Down(self, request, context):
        await self.begin("Down", context)
        for _ in range(request.count):
            yield echo_pb2.Say(text=request.text)
            await self.answer("Down", request, context)

    async def Up(self, requests, context):
        await self.begin("Up", context)
        return echo_pb2.Say(text=b"".join([request.text async for request in requests]))

    async def Both(self, requests, context):
        await self.begin("Both", context)
        async for request in requests:
            yield await self.answer("Both", request, context)


async def main():
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    echo_pb2_grpc.add_EchoServicer_to_server(Echo(), server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
    loop = asyncio.get_running_loop()
    serving = lambda: loop.create_task(  # noqa: E731
        healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    )
    loop.add_signal_handler(signal.SIGUSR1, serving)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say("LISTENING", port)
    await server.wait_for_termination()


asyncio.run(main())
