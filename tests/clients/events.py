"""Reads a model's events (tests/models/events.py) as they come.

    python3 events.py _ follow ADDRESS    one line: median and longest time from sending to seeing
    python3 events.py _ leave ADDRESS     leaves in silent gaps; "LEFT ID <ns>" for each

With one argument more, a file of who is believed: over TLS.
"""

import http.client
import ssl
import statistics
import sys
import time

COUNT = 100


def say(*words):
    print(*words, flush=True)


def open_stream(address, target):
    if len(sys.argv) > 4:
        tls = ssl.create_default_context(cafile=sys.argv[4])
        connection = http.client.HTTPSConnection(address, timeout=60, context=tls)
    else:
        connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", target)
    response = connection.getresponse()
    assert response.status == 200, response.status
    assert response.getheader("content-type") == "text/event-stream"
    return connection, response


def read_event(response):
    event = response.readline()
    now_ns = time.monotonic_ns()
    assert response.readline() == b"\n"
    assert event.startswith(b"data: "), event
    return event[6:].split(), now_ns


def follow(address):
    delays_ms = []
    _, response = open_stream(address, f"/events?n={COUNT}&ms=20")
    for number in range(COUNT):
        (said, sent_ns), seen_ns = read_event(response)
        assert int(said) == number, said
        delays_ms.append((seen_ns - int(sent_ns)) / 1e6)
    assert response.read() == b""
    say("MS", f"{statistics.median(delays_ms):.3f}", f"{max(delays_ms):.3f}")


def leave(address):
    for number in range(20):
        connection, response = open_stream(address, f"/silent?id={number}")
        assert read_event(response)[0] == [b"only"]
        left_ns = time.monotonic_ns()
        response.close()
        connection.close()
        say("LEFT", number, left_ns)


{"follow": follow, "leave": leave}[sys.argv[2]](sys.argv[3])
