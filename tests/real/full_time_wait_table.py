"""Runs a sign-in in a network namespace where closed connections leave no trace in TIME_WAIT.

    unshare --net python3 full_time_wait_table.py CONNECTIONS HALLPASS [ARGUMENT…]

Another user sends a callback while hallpass is stopped, and closes the connection before hallpass can check who owns
it. Then hallpass's own user sends an `access_denied` callback. Prints the response to that callback and hallpass's exit
code. CONNECTIONS is the number of connections to leave in TIME_WAIT first.
"""

import fcntl
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

SECONDS = 20
ANOTHER_USER = 65533
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def main(connections, command):
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    table = pathlib.Path("/proc/sys/net/ipv4/tcp_max_tw_buckets")
    if connections:
        leave_in_time_wait(connections)
    else:
        table.write_text("0", encoding="ascii")

    folder = pathlib.Path(tempfile.mkdtemp())
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >{folder}/new && mv {folder}/new {folder}/url\n', encoding="utf-8")
    browser.chmod(0o700)
    started = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "BROWSER": str(browser)}, stdin=subprocess.DEVNULL)
    while not (folder / "url").exists():
        assert process.poll() is None and time.monotonic() < started + SECONDS, "no browser was started"
        time.sleep(0.01)
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit((folder / "url").read_text(encoding="utf-8")).query)
    redirect, (state,) = urllib.parse.urlsplit(asked["redirect_uri"][0]), asked["state"]

    os.kill(process.pid, signal.SIGSTOP)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
        os.setresuid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
        # An address, because the other user may not be allowed to read the files that name resolution needs.
        with socket.socket() as there:
            there.connect((redirect.hostname, redirect.port))
            there.sendall(request(redirect, f"code=anothers&state={state}"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the other user could not send the callback"
    if not connections:
        wait_until_gone(redirect.port)
    os.kill(process.pid, signal.SIGCONT)

    # Connections are handled in order.
    started = time.monotonic()
    with socket.create_connection((redirect.hostname, redirect.port), timeout=SECONDS) as there:
        there.sendall(request(redirect, f"error=access_denied&state={state}"))
        answer = there.recv(4096).split(b"\r\n")[0].decode()
    print(f"own callback: {answer} after {time.monotonic() - started:.3f} s", flush=True)
    print(f"exit code: {process.wait(SECONDS)}", flush=True)


def wait_until_gone(port):
    """Waits until no socket is connected to this port: the close was acknowledged, and TIME_WAIT had no room."""
    started = time.monotonic()
    connected = f":{port:04X}"
    while any(line.split()[2].endswith(connected) for line in table_of_sockets()):
        assert time.monotonic() < started + SECONDS, "the other user's connection was not closed"
        time.sleep(0.02)


def table_of_sockets():
    return pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]


def request(redirect, query):
    return f"GET {redirect.path}?{query} HTTP/1.1\r\nHost: {redirect.netloc}\r\n\r\n".encode()


def leave_in_time_wait(connections):
    """Leaves this many connections in TIME_WAIT."""
    left = 0
    while left < connections:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            for _ in range(min(20_000, connections - left)):
                with socket.create_connection(server.getsockname()):
                    server.accept()[0].close()
                left += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
