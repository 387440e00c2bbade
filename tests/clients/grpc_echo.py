"""What a gRPC client does: one scenario a run, against the model of tests/models/grpc_echo.py or
what stands before it. Ends with 0 if all went as it must.

    python3 grpc_echo.py GENERATED SCENARIO ADDRESS [ARGUMENT [CA]]    with a file of who is
                                                                       believed: over TLS
"""

import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc

sys.path.insert(0, sys.argv[1])
import echo_pb2  # noqa: E402
import echo_pb2_grpc  # noqa: E402

FOR_EVER_MS = 600_000
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    # What fails is to be seen, not sent again.
    ("grpc.enable_retries", 0),
]


def say(*words):
    print(*words, flush=True)


def connect(address, authorities=None):
    if authorities:
        with open(authorities, "rb") as file:
            believed = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, believed, options=OPTIONS)
    else:
        channel = grpc.insecure_channel(address, options=OPTIONS)
    return channel, echo_pb2_grpc.EchoStub(channel)


def message(text=b"", **fields):
    return echo_pb2.Say(text=text, **fields)


def failure(call):
    """The error that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


class Turns:
    """Requests that are sent one by one, when told to."""

    def __init__(self):
        self.queue = SimpleQueue()

    def send(self, text, **fields):
        self.queue.put(message(text, **fields))

    def end(self):
        self.queue.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        turn = self.queue.get()
        if turn is None:
            raise StopIteration
        return turn


def basics(stub, _):
    assert stub.Unary(message(b"one")).text == b"one"
    assert stub.Unary(message(b"")).text == b""
    assert [answer.text for answer in stub.Down(message(b"x", count=5))] == [b"x"] * 5
    assert list(stub.Down(message(b"x", count=0))) == []
    assert stub.Up(message(b"%d," % n) for n in range(5)).text == b"0,1,2,3,4,"
    assert stub.Up(iter(())).text == b""
    # Each answer comes before the next request is sent: nothing is held back on the way.
    turns = Turns()
    answers = stub.Both(turns, timeout=60)
    for n in range(50):
        turns.send(b"%d" % n)
        assert next(answers).text == b"%d" % n
    turns.end()
    assert list(answers) == []


def large(stub, _):
    text = bytes(range(256)) * (4 << 12)
    assert len(text) == 4 << 20
    assert stub.Unary(message(text)).text == text
    assert [answer.text == text for answer in stub.Down(message(text, count=3))] == [True] * 3
    assert stub.Up(message(text) for _ in range(3)).text == text * 3


def metadata(stub, _):
    every = bytes(range(256))
    sent = [("x-own", "a"), ("x-own", "b, c"), ("x-own-bin", every), ("x-own-two-bin", b"")]
    answer, call = stub.Unary.with_call(message(b"m"), metadata=sent)
    own = lambda all: [(k, v) for k, v in all if k.startswith("x-own")]  # noqa: E731
    assert answer.text == b"m"
    assert sorted(own(call.initial_metadata())) == sorted(sent), call.initial_metadata()
    assert sorted(own(call.trailing_metadata())) == sorted(sent), call.trailing_metadata()


def errors(stub, _):
    for code in range(1, 17):
        sent = [("x-own-bin", b"\x00\xff" * code)]
        error = failure(lambda: stub.Unary(message(fail=code), metadata=sent))
        assert error.code().value[0] == code, error
        assert error.details() == "failed as asked: äß %", error.details()
        assert ("x-own-bin", b"\x00\xff" * code) in error.trailing_metadata()
    # After a part of a stream, too.
    answers = stub.Down(message(b"x", count=3, fail=9))
    assert next(answers).text == b"x"
    assert failure(lambda: next(answers)).code() == grpc.StatusCode.FAILED_PRECONDITION
    channel_error = failure(lambda: unknown(stub))
    assert channel_error.code() == grpc.StatusCode.UNIMPLEMENTED


def unknown(stub):
    method = stub.channel.unary_unary("/tidegate.test.Echo/Unknown")
    return method(b"")


def deadline(stub, _):
    error = failure(lambda: stub.Unary(message(sleep_ms=FOR_EVER_MS), timeout=1))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def late(stub, _):
    """While another runs, and waits in line for longer than the deadline."""
    error = failure(lambda: stub.Unary(message(b"late"), timeout=0.3))
    reason = dict(error.trailing_metadata() or ()).get("x-tidegate-reason")
    # Which of the two clocks strikes first is left open.
    known = error.code() == grpc.StatusCode.UNAVAILABLE and reason == "queue-timeout"
    assert known or error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def cancel(stub, _):
    # One after the other: the model may take one at a time, and either could be first.
    for begin in [
        lambda: stub.Unary.future(message(sleep_ms=FOR_EVER_MS)),
        lambda: stub.Down(message(count=2, sleep_ms=FOR_EVER_MS)),
    ]:
        call = begin()
        started.wait_for_call()
        assert call.cancel()
        assert call.code() == grpc.StatusCode.CANCELLED
    turns = Turns()
    call = stub.Both(turns)
    turns.send(b"x")
    assert next(call).text == b"x"
    turns.send(b"x", sleep_ms=FOR_EVER_MS)
    started.wait_for_call()
    call.cancel()
    turns.end()


class Started:
    """The test says on standard input that a call has begun."""

    def wait_for_call(self):
        assert sys.stdin.readline() != ""


started = Started()


def hold(stub, _):
    """A call that runs until the test ends this process."""
    answers = stub.Down(message(b"held", count=2, sleep_ms=FOR_EVER_MS))
    next(answers)
    say("HOLDING")
    next(answers)


def refused(stub, expected):
    error = failure(lambda: stub.Unary(message(b"refused")))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    trailing = dict(error.trailing_metadata())
    assert trailing["x-tidegate-reason"] == expected, trailing
    say("DETAILS", error.details())
    say("RETRY-AFTER", trailing.get("retry-after"))


def many(stub, _):
    with ThreadPoolExecutor(40) as threads:
        texts = [b"%d" % n for n in range(400)]
        answers = threads.map(lambda text: stub.Unary(message(text, sleep_ms=1)).text, texts)
        assert list(answers) == texts


def crowd(stub, count):
    """Many streams at once from a standing start, each of which needs all the others to run."""
    all_here = threading.Barrier(int(count), timeout=60)

    def one(n):
        turns = Turns()
        answers = stub.Both(turns, timeout=60)
        turns.send(b"%d" % n)
        assert next(answers).text == b"%d" % n
        all_here.wait()
        turns.end()
        assert list(answers) == []

    with ThreadPoolExecutor(int(count)) as threads:
        list(threads.map(one, range(int(count))))


def is_ready(admin):
    try:
        return urllib.request.urlopen(f"http://{admin}/readyz", timeout=10).status == 200
    except OSError:
        return False


def drain(stub, admin):
    """Calls without a pause until what is before the model says that it is going, and some more;
    a stream lives through it."""
    turns = Turns()
    answers = stub.Both(turns, timeout=60)
    turns.send(b"before")
    assert next(answers).text == b"before"
    say("RUNNING")
    count = 0
    while is_ready(admin):
        assert stub.Unary(message(b"u")).text == b"u"
        count += 1
    for _ in range(50):
        assert stub.Unary(message(b"u")).text == b"u"
    for n in range(50):
        turns.send(b"%d" % n)
        assert next(answers).text == b"%d" % n
    say("STILL RUNNING", count)
    started.wait_for_call()
    turns.send(b"after")
    assert next(answers).text == b"after"
    turns.end()
    assert list(answers) == []


def load(stub, seconds):
    until = time.monotonic() + float(seconds)
    count = 0
    while time.monotonic() < until:
        assert stub.Unary(message(b"u", sleep_ms=1)).text == b"u"
        count += 1
        if count == 20:
            say("LOADING")
    say("CALLED", count)


def main():
    _, _, scenario, address, *argument = sys.argv
    channel, stub = connect(address, *argument[1:])
    stub.channel = channel
    with channel:
        globals()[scenario](stub, argument[0] if argument else None)
    say("DONE")


main()
