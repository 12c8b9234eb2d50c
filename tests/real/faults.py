"""Injects a fault into one system call with `strace`: the call fails, or the process is killed."""

import dataclasses
import re

# The calls that change a folder or read from it.
CALLS = ("openat", "write", "fsync", "ftruncate", "renameat", "unlinkat", "mkdir", "mkdirat", "flock", "getdents64")
KILL = "KILL"

_LINE = re.compile(r"^(?P<call>\w+)\((?P<rest>.*)$")
_HASH = re.compile(r"[0-9a-f]{64}")
_RANDOM = re.compile(r"\.[0-9a-f]{16}\.tmp")
_SLOT = re.compile(r"""(resolutions(?:/|>, "))[0-9a-f]{2}\b""")


@dataclasses.dataclass(frozen=True)
class Site:
    """The `number`th time that a process makes `call`, and the arguments of that call."""

    call: str
    number: int
    what: str

    @property
    def changes_something(self):
        return not self.reads

    @property
    def reads(self):
        return self.call == "getdents64" or (self.call == "openat" and "O_CREAT" not in self.what)

    def __str__(self):
        return f"{self.call} {self.number} ({self.what})"


def watching(trace):
    """The prefix of a command that writes its system calls to `trace`."""
    return ("strace", "-qq", "-y", "-s", "8", "-o", str(trace), "-e", f"trace={','.join(CALLS)}")


def sites(trace, folder):
    """The calls of a run that touched the folder. Of repeated calls with the same arguments, only the
    first and the last are included."""
    counts, found = dict.fromkeys(CALLS, 0), []
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if not match or match["call"] not in counts:
            continue
        call = match["call"]
        counts[call] += 1
        if str(folder) not in match["rest"]:
            continue
        site = Site(call, counts[call], named(match["rest"], folder))
        same = [(one.call, one.what) for one in found[-2:]] == [(site.call, site.what)] * 2
        if same:
            found.pop()
        found.append(site)
    return found


def named(rest, folder):
    """A call's arguments, without data and without anything that varies from run to run."""
    rest = _RANDOM.sub(".tmp", _HASH.sub("H", rest.replace(str(folder), "")))
    rest = re.sub(r"\b\d+</?", "<", rest.split(") = ")[0].split(") (INJECTED)")[0])
    rest = _SLOT.sub(r"\1S", rest)
    # Data that was written or listed, and its size.
    return re.sub(r"""(>), (".*"\.*, \d+|0x.*)$""", r"\1", rest)


def injecting(trace, site, fault):
    """The prefix of a command that injects the fault at the site."""
    how = "signal=SIGKILL" if fault == KILL else f"error={fault}"
    return (*watching(trace), "-e", f"inject={site.call}:{how}:when={site.number}")


def was_injected(trace, site, folder, fault):
    """Whether the fault was injected at the site, and not into another call."""
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    if fault == KILL:
        calls = [line for line in lines if _LINE.match(line)]
        hit = calls[-1] if calls else ""
    else:
        hit = next((line for line in lines if "(INJECTED)" in line), "")
    match = _LINE.match(hit)
    if not match:
        return False
    rest = re.sub(r" <unfinished \.\.\.>$|\) += \?.*$", "", match["rest"])
    return match["call"] == site.call and named(rest, folder) == site.what
