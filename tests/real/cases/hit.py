"""The system calls of a cache hit, and those it must never make. benches/hits measures how long it takes."""

import re

from rig import case, provider_flags

# Anything that opens a connection or starts a thread or a process.
FORBIDDEN = ("socket", "socketpair", "connect", "clone", "clone3", "fork", "vfork")


def system_calls(rig, *args):
    """The token of one run and the names of its system calls."""
    log = rig.sandbox.root / "strace.log"
    token = rig.sandbox.hallpass(*args, before=("strace", "-f", "-qq", "-o", log)).token
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    calls = [found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))]
    assert calls.count("execve") == 1 and "openat" in calls, "strace did not trace the run"
    return token, calls


def only_uses_files(rig, *args):
    first = rig.sandbox.hallpass(*args).token
    token, calls = system_calls(rig, *args)
    assert token == first
    assert not (found := [call for call in calls if call in FORBIDDEN]), f"a cache hit called {found}"
    return calls


@case
def a_cache_hit_is_a_single_process_that_only_opens_files(rig):
    provider = rig.provider()
    calls = only_uses_files(rig, "get-token", *provider_flags(provider))
    provider.new_requests()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(0)
    assert provider.new_requests() == []

    # Check the measurement itself: a miss does open a socket.
    _, miss = system_calls(rig, "get-token", "--force-refresh", *provider_flags(provider))
    assert "socket" in miss

    # The number of files a hit opens doesn't depend on the number of records.
    sessions = rig.sandbox.home / ".local/share/hallpass/sessions"
    (record,) = [path for path in sessions.iterdir() if "." not in path.name]
    for number in range(200):
        copy = sessions / f"{number:064x}"
        copy.write_bytes(record.read_bytes())
        copy.chmod(0o600)
    crowded = only_uses_files(rig, "get-token", *provider_flags(provider))
    assert crowded.count("openat") == calls.count("openat")
    assert "getdents64" not in crowded, "a cache hit listed a directory"
