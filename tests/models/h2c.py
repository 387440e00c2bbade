"""A model that speaks HTTP/2 only, by the library `h2`. Prints one line for each event.

    python3 h2c.py _    the first line is "LISTENING <port>"

/echo   the request's body, and its trailers as trailers; without a body "hello"
/early  103 with a link, then as /echo
/sleep  no answer
/status?N   that status, with a header `retry-after: 7`
"""

import asyncio
from collections import defaultdict

import h2.config
import h2.connection
import h2.events
import h2.exceptions


def say(*words):
    print(*words, flush=True)


class Model(asyncio.Protocol):
    def connection_made(self, transport):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.http = h2.connection.H2Connection(config)
        self.transport = transport
        self.heads, self.bodies = {}, defaultdict(bytes)
        self.trailers, self.unsent = {}, {}
        say("CONNECTION")
        self.http.initiate_connection()
        transport.write(self.http.data_to_send())

    def connection_lost(self, _):
        say("CONNECTION ENDED")

    def data_received(self, data):
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            say("PROTOCOL ERROR", error)
            events = []
        for event in events:
            self.on(event)
        self.transport.write(self.http.data_to_send())

    def on(self, event):
        match event:
            case h2.events.RequestReceived():
                head = dict(event.headers)
                self.heads[event.stream_id] = head
                own = [f"{k}={v}" for k, v in event.headers if not k.startswith(":")]
                say("REQUEST", head[":method"], head[":path"], *sorted(own))
                if head[":path"] == "/early":
                    early = [(":status", "103"), ("link", "</a>; rel=preload")]
                    self.http.send_headers(event.stream_id, early)
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                self.http.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            case h2.events.TrailersReceived():
                self.trailers[event.stream_id] = event.headers
            case h2.events.StreamEnded():
                self.answer(event.stream_id)
            case h2.events.StreamReset():
                say("RESET", event.error_code)
                self.unsent.pop(event.stream_id, None)
            case h2.events.WindowUpdated():
                for stream in list(self.unsent):
                    self.send(stream)

    def answer(self, stream):
        path = self.heads[stream][":path"]
        if path == "/sleep":
            return
        status = path.partition("?")[2] if path.startswith("/status") else "200"
        self.http.send_headers(stream, [(":status", status), ("retry-after", "7")])
        self.unsent[stream] = self.bodies.pop(stream, b"hello")
        self.send(stream)

    def send(self, stream):
        rest = self.unsent[stream]
        while rest:
            room = min(
                self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size
            )
            if room == 0:
                self.unsent[stream] = rest
                return
            self.http.send_data(stream, rest[:room])
            rest = rest[room:]
        del self.unsent[stream]
        if stream in self.trailers:
            self.http.send_headers(stream, self.trailers.pop(stream), end_stream=True)
        else:
            self.http.end_stream(stream)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Model, "127.0.0.1", 0)
    say("LISTENING", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
