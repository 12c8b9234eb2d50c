"""The packages: what they hold, and what a new user does on a fresh Debian with nothing but them."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
import zlib

from git_server import GitServer
from machine import Machine, ran
from rig import case, provider_flags
from sandbox import Blocked

HERE = pathlib.Path(__file__).resolve().parent.parent
TOP = HERE.parent.parent
# A build that uses less than a second of a processor for so long hangs. How long it takes in total
# depends on what else the machine does.
SECONDS_OF_SILENCE = 300
SECONDS_TO_SIGN_IN = 60
KINDS = {"archive": "hallpass-*-musl.tar.gz", "deb": "*.deb", "rpm": "*.rpm"}
OTHER_NAMES = ("docker-credential-hallpass", "git-credential-hallpass", "kubectl-hallpass")


def packages(*kinds):
    """The packages of these kinds, which `tests/run --full` builds once with the documentation's command."""
    folder = os.environ.get("HALLPASS_TEST_PACKAGES")
    assert folder, "HALLPASS_TEST_PACKAGES is not set: run this case with `tests/run --full`"
    found = [list(pathlib.Path(folder).glob(KINDS[kind])) for kind in kinds]
    assert all(len(files) == 1 for files in found), found
    return [files[0] for files in found]


def built(script, *options, **more):
    """The packages that a build makes now. Its case has no time limit of its own."""
    build = subprocess.Popen(
        [script, *map(str, options)], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, **more,
    )  # fmt: skip
    used, since = 0, time.monotonic()
    while True:
        try:
            out, _ = build.communicate(timeout=5)
            break
        except subprocess.TimeoutExpired:
            now = seconds_of_processors(build.pid)
            if now - used >= 1:
                used, since = now, time.monotonic()
            if time.monotonic() - since > SECONDS_OF_SILENCE:
                os.killpg(build.pid, signal.SIGKILL)
                raise
    assert build.returncode == 0, f"{script} exited with {build.returncode}\n{out}"
    return [path for line in out.splitlines() if (path := pathlib.Path(line)).is_file()]


def seconds_of_processors(session):
    """What the processes of a session, and their children that ended, have used."""
    ticks = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@case(full=True, limit=300)
def the_deb_has_no_fault_that_lintian_knows_and_all_packages_hold_the_same(rig):
    archive, deb, rpm = packages("archive", "deb", "rpm")
    ran("lintian", "--fail-on", "error,warning", "--allow-root", deb)
    root = rig.sandbox.root
    ran("dpkg-deb", "-x", deb, root / "deb")
    (root / "rpm").mkdir()
    with open(root / "cpio", "wb") as cpio:
        subprocess.run(["rpm2cpio", str(rpm)], stdout=cpio, check=True, timeout=60)
    with open(root / "cpio", "rb") as cpio:
        subprocess.run(["cpio", "-idm", "--quiet"], stdin=cpio, cwd=root / "rpm", check=True, timeout=60)
    ran("tar", "-xf", archive, "-C", root)
    unpacked = next(root.glob("hallpass-*-musl"))
    program = (unpacked / "bin/hallpass").read_bytes()
    for prefix in (root / "deb/usr", root / "rpm/usr", unpacked):
        assert (prefix / "bin/hallpass").read_bytes() == program, prefix
        links = {path.name: os.readlink(path) for path in (prefix / "bin").iterdir() if path.is_symlink()}
        assert links == dict.fromkeys(OTHER_NAMES, "hallpass"), (prefix, links)
        assert list(prefix.glob("share/man/man1/hallpass-setup-git.1*")), prefix
        assert (prefix / "share/bash-completion/completions/hallpass").is_file(), prefix
    assert {"hallpass", "ring", "rustls"} <= dependencies(unpacked / "bin/hallpass", root)
    # No path of the machine that built it, and nothing that it needs of the machine that runs it.
    for place in (str(TOP), os.path.expanduser("~"), os.environ.get("CARGO_HOME", "/.cargo/registry")):
        assert place.encode() not in program, place
    empty = root / "empty"
    empty.mkdir()
    shutil.copy(unpacked / "bin/hallpass", empty / "hallpass")
    version = ran("chroot", empty, "/hallpass", "--version")
    assert re.fullmatch(r"hallpass \d+\.\d+\.\d+\n", version), version


def dependencies(program, work):
    """The names of what the program was built from: https://github.com/rust-secure-code/cargo-auditable"""
    section = work / "dep-v0"
    ran("objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc", program, section)
    return {package["name"] for package in json.loads(zlib.decompress(section.read_bytes()))["packages"]}


def other_rust(work):
    """A folder for `PATH` in which rustc has the component rust-src if the real one lacks it, and the other
    way round. rustc only looks whether one file is there."""
    real = pathlib.Path(ran("rustc", "--print", "sysroot").strip())
    sysroot = work / "sysroot"
    source = sysroot / "lib/rustlib/src/rust/library/std/src/lib.rs"
    for folder in ("", "lib", "lib/rustlib"):
        (sysroot / folder).mkdir(exist_ok=True)
        for path in (real / folder).iterdir():
            if path.name not in ("lib", "rustlib", "src"):
                (sysroot / folder / path.name).symlink_to(path)
    if not (real / source.relative_to(sysroot)).exists():
        source.parent.mkdir(parents=True)
        source.touch()
    (work / "bin").mkdir()
    rustc = work / "bin/rustc"
    rustc.write_text(f'#!/bin/sh\nexec {real}/bin/rustc --sysroot {sysroot} "$@"\n', encoding="utf-8")
    rustc.chmod(0o755)
    return rustc


@case(full=True, alone=True, limit=0)
def builds_in_two_folders_with_and_without_rust_src_are_the_same_byte_for_byte(rig):
    here = packages("deb", "rpm", "archive")
    folder = rig.sandbox.root / "another/folder"
    folder.mkdir(parents=True)
    files = ran("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=TOP)
    subprocess.run(["cpio", "-pdm", "--quiet", folder], input=files, text=True, cwd=TOP, check=True, timeout=60)
    work = rig.sandbox.root / "other-rust"
    work.mkdir()
    rustc = other_rust(work)
    # Its own folder for what is built, too.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CARGO_")}
    environment |= {"PATH": f"{rustc.parent}:{environment['PATH']}", "RUSTC": str(rustc)}
    # The folder isn't a clone, so it doesn't know the commit's time.
    environment["SOURCE_DATE_EPOCH"] = ran("git", "log", "-1", "--format=%ct", cwd=TOP).strip()
    there = built(folder / "packaging/build", "--out", work / "packages", cwd=folder, env=environment)
    assert sorted(path.name for path in here) == sorted(path.name for path in there)
    for one in here:
        assert one.read_bytes() == (work / "packages" / one.name).read_bytes(), one.name


@case(full=True, alone=True, limit=0)
def the_archive_for_glibc_holds_the_same_and_starts_under_each_name(rig):
    (archive,) = built(TOP / "packaging/build", "--libc", "gnu", "--out", rig.sandbox.root / "packages", cwd=TOP)
    ran("tar", "-xf", archive, "-C", rig.sandbox.root)
    (static,) = packages("archive")
    # Only the folder and the program differ.
    members = [
        sorted(name.partition("/")[2] for name in ran("tar", "-tf", one).split()) for one in (archive, static)
    ]
    assert members[0] == members[1]
    (folder,) = rig.sandbox.root.glob("hallpass-*-gnu")
    assert "libc.so.6" in ran("objdump", "-p", folder / "bin/hallpass")
    for name in ("hallpass", *OTHER_NAMES):
        assert re.fullmatch(r"[\w-]+ \d+\.\d+\.\d+\n", ran(folder / "bin" / name, "--version")), name
    provider = rig.provider()
    rig.sandbox.program = folder / "bin/hallpass"
    assert provider.honours(rig.sandbox.hallpass("get-token", *provider_flags(provider)).token)


class Emulation:
    """Lets the kernel run programs for aarch64 under qemu, also those that such a program starts."""

    # The start of a 64-bit little-endian ELF file for EM_AARCH64, and which of its bits count.
    MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

    def __init__(self, work):
        if os.geteuid() != 0:
            raise Blocked("only root can register an emulator")
        self.folder = work / "binfmt_misc"
        self.folder.mkdir()
        mounted = subprocess.run(["mount", "-t", "binfmt_misc", "none", self.folder], check=False)
        if mounted.returncode != 0:
            raise Blocked("this kernel has no binfmt_misc")
        self.name = f"hallpass-{os.getpid()}"
        qemu = shutil.which("qemu-aarch64-static")
        entry = f":{self.name}:M::{self.MAGIC}:{self.MASK}:{qemu}:F"
        (self.folder / "register").write_text(entry, encoding="ascii")

    def close(self):
        (self.folder / self.name).write_text("-1", encoding="ascii")
        subprocess.run(["umount", self.folder], check=True)


@case(full=True, alone=True, limit=0)
def the_program_for_aarch64_signs_in_answers_from_its_cache_and_refreshes_under_qemu(rig):
    out = rig.sandbox.root / "packages"
    (archive,) = built(TOP / "packaging/build", "--arch", "aarch64", "--out", out, "archive", cwd=TOP)
    ran("tar", "-xf", archive, "-C", rig.sandbox.root)
    (folder,) = rig.sandbox.root.glob("hallpass-*-aarch64-unknown-linux-musl")
    rig.with_part(Emulation(rig.sandbox.root))
    sandbox = rig.sandbox
    sandbox.program = folder / "bin/hallpass"
    assert sandbox.program.read_bytes()[18:20] == b"\xb7\x00"  # EM_AARCH64
    for name in ("hallpass", *OTHER_NAMES):
        assert re.fullmatch(r"[\w-]+ \d+\.\d+\.\d+\n", ran(folder / "bin" / name, "--version")), name
    assert "Usage" in sandbox.hallpass("get-token", "--help").ended(0).stdout
    provider = rig.provider()
    flags = provider_flags(provider)
    token = sandbox.hallpass("get-token", *flags).token
    assert provider.honours(token)
    provider.new_requests()
    assert sandbox.hallpass("get-token", *flags).token == token
    assert provider.new_requests() == []
    refreshed = sandbox.hallpass("get-token", "--force-refresh", *flags).token
    assert refreshed != token and provider.honours(refreshed)
    assert len(sandbox.tabs()) == 1
    sandbox.hallpass("logout", "--all").ended(0)
    assert not provider.honours(refreshed)


def open_urls(machine, sandbox, stop):
    """Does what a desktop's browser would: opens each URL that the machine wants opened."""
    done = set()
    while not stop.is_set():
        for path in machine.urls.glob("*.url"):
            if path not in done:
                done.add(path)
                subprocess.run([sandbox.env["BROWSER"], path.read_text()], check=False, timeout=60)
        time.sleep(0.05)


@case(full=True, limit=300)
def a_new_user_of_debian_11_12_and_13_clones_with_the_package_alone(rig):
    provider = rig.provider()
    served = rig.sandbox.root / "served"
    server = rig.with_part(GitServer(served, provider, "git", ("Basic",), "oauth2"))
    bare = served / "one.git"
    ran("git", "init", "--quiet", "--bare", "--initial-branch=main", bare)
    work = rig.sandbox.root / "work"
    ran("git", "init", "--quiet", "--initial-branch=main", work)
    commit = ("-c", "user.name=A", "-c", "user.email=a@people.example", "commit", "--quiet", "--allow-empty")
    ran("git", "-C", work, *commit, "-m", "first")
    ran("git", "-C", work, "push", "--quiet", bare, "main")
    (deb,) = packages("deb")
    for suite in ("bullseye", "bookworm", "trixie"):
        machine = Machine(rig, suite)
        machine.put(deb, "/hallpass.deb")
        machine.run("dpkg", "-i", "/hallpass.deb")
        began = time.monotonic()
        assert machine.person("hallpass --version").startswith("hallpass ")
        for name in OTHER_NAMES:
            machine.person(f"test -x \"$(command -v {name})\"")
        assert "hallpass" in machine.person("man -P cat hallpass-setup-git")
        completed = 'source /usr/share/bash-completion/bash_completion; source /usr/share/bash-completion/completions/hallpass; complete -p hallpass'
        assert "_clap_complete_hallpass" in machine.person(f"bash -c '{completed}'")
        # A server without a desktop: the key goes into the kernel's keyring.
        browser = "#!/bin/sh\nprintf %s \"$1\" >/urls/$$.new && mv /urls/$$.new /urls/$$.url\n"
        machine.person(f"printf '%s' '{browser}' >browser && chmod 700 browser")
        stop = threading.Event()
        opener = threading.Thread(target=open_urls, args=(machine, rig.sandbox, stop))
        opener.start()
        try:
            machine.person(
                f"hallpass setup git --host {server.url} --issuer-url {provider.issuer} --client-id hallpass --yes"
            )
            clone = f"export BROWSER=$HOME/browser HALLPASS_INTERACTIVE=auto; git clone --quiet {server.url}/one.git"
            machine.person(clone, limit=SECONDS_TO_SIGN_IN)
        finally:
            stop.set()
            opener.join()
        assert time.monotonic() - began < SECONDS_TO_SIGN_IN, suite
        assert machine.person("git -C one log -1 --format=%s") == "first\n"
        assert len(list(machine.urls.glob("*.url"))) == 1, suite
        status = json.loads(machine.person("hallpass status --json"))
        assert status["sessions"], status
        machine.person("hallpass logout --all && hallpass setup git --undo --yes")
        assert machine.person("git config --global --list || true") == ""
        machine.run("dpkg", "--purge", "hallpass")
        left = machine.run("find", "/usr", "/etc", "-name", "*hallpass*")
        assert left == "", left
