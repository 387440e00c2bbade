"""A model for tests: answers on a port, or misbehaves as told. Standard library only.

usage: model.py PORT [exit|deaf|stubborn|chatty]
"""
import os
import signal
import socket
import sys
import time

port, manner = int(sys.argv[1]), (sys.argv[2:] or ["good"])[0]
print("model", os.getpid(), "port", port, "greets", os.environ.get("GREETING"), flush=True)
if manner == "exit":
    for line in range(20):
        print("weights are missing, line", line, file=sys.stderr)
    sys.exit(3)
if manner == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A worker, as many servers have them: it must not outlive its parent either.
    if os.fork() == 0:
        print("model", os.getpid(), "is a worker", flush=True)
        time.sleep(600)
if manner == "chatty":
    for _ in range(40):
        print("x" * (1 << 20), flush=True)
if manner == "deaf":
    time.sleep(600)

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen(64)
while True:
    server.accept()[0].close()
