"""A network of its own, where no closed connection leaves a trace, and a sign-in in it.

    unshare --net python3 full_time_wait_table.py CONNECTIONS HALLPASS [ARGUMENT…]

Another user's callback comes while hallpass is stopped, and its connection is closed before hallpass looks. Prints what
hallpass did with it; then hallpass's own user says that access was denied, and its output and exit code follow. With
CONNECTIONS, that many are left in TIME_WAIT first.
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
        leave(connections)
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
        # No name to look up: the other user may not read what that takes.
        with socket.socket() as there:
            there.connect((redirect.hostname, redirect.port))
            there.sendall(request(redirect, f"code=anothers&state={state}"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the other user could not send his callback"
    if not connections:
        wait_until_gone(redirect.port)
    os.kill(process.pid, signal.SIGCONT)

    # Connections are answered in their order.
    started = time.monotonic()
    with socket.create_connection((redirect.hostname, redirect.port), timeout=SECONDS) as there:
        there.sendall(request(redirect, f"error=access_denied&state={state}"))
        answer = there.recv(4096).split(b"\r\n")[0].decode()
    print(f"own callback: {answer} after {time.monotonic() - started:.3f} s", flush=True)
    print(f"exit code: {process.wait(SECONDS)}", flush=True)


def wait_until_gone(port):
    """Until no socket is connected to this port: its end was acknowledged, and there was no room for a trace."""
    started = time.monotonic()
    connected = f":{port:04X}"
    while any(line.split()[2].endswith(connected) for line in table_of_sockets()):
        assert time.monotonic() < started + SECONDS, "the other user's connection stays"
        time.sleep(0.02)


def table_of_sockets():
    return pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]


def request(redirect, query):
    return f"GET {redirect.path}?{query} HTTP/1.1\r\nHost: {redirect.netloc}\r\n\r\n".encode()


def leave(connections):
    """That many connections in TIME_WAIT."""
    left = 0
    while left < connections:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            for _ in range(min(20_000, connections - left)):
                with socket.create_connection(server.getsockname()):
                    server.accept()[0].close()
                left += 1


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
