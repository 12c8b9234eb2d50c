"""A hit, seen from the kernel: what a cached token must not cost. How long it takes is benches/hits."""

import re

from rig import asks, case

# Connections of any kind, and whatever starts a thread or a process.
FORBIDDEN = ("socket", "socketpair", "connect", "clone", "clone3", "fork", "vfork")


def calls_of(rig, *args):
    """The system calls of one run, by name, and its reply."""
    log = rig.sandbox.root / "strace.log"
    token = rig.sandbox.hallpass(*args, before=("strace", "-f", "-qq", "-o", log)).token
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    calls = [found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))]
    assert calls.count("execve") == 1 and "openat" in calls, "strace saw nothing of the run"
    return token, calls


def costs_nothing_but_files(rig, *args):
    first = rig.sandbox.hallpass(*args).token
    token, calls = calls_of(rig, *args)
    assert token == first
    assert not (found := [call for call in calls if call in FORBIDDEN]), f"a hit called {found}"
    return calls


@case
def a_hit_is_one_process_that_opens_files(rig):
    provider = rig.provider()
    calls = costs_nothing_but_files(rig, "get-token", *asks(provider))
    provider.new_requests()
    rig.sandbox.hallpass("get-token", *asks(provider)).ended(0)
    assert provider.new_requests() == []

    # The same eyes see a miss: it has a socket.
    _, miss = calls_of(rig, "get-token", "--force-refresh", *asks(provider))
    assert "socket" in miss

    # However many records there are, a hit opens as much as it opened with one.
    sessions = rig.sandbox.home / ".local/share/hallpass/sessions"
    (record,) = [path for path in sessions.iterdir() if "." not in path.name]
    for number in range(200):
        copy = sessions / f"{number:064x}"
        copy.write_bytes(record.read_bytes())
        copy.chmod(0o600)
    crowded = costs_nothing_but_files(rig, "get-token", *asks(provider))
    assert crowded.count("openat") == calls.count("openat")
    assert "getdents64" not in crowded, "a hit lists a folder"
