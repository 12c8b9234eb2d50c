"""The packages: what they hold, and what a new user does on a fresh Debian with nothing but them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from git_server import GitServer
from ordinary_user import unused_uid
from rig import case

HERE = pathlib.Path(__file__).resolve().parent.parent
TOP = HERE.parent.parent
SECONDS_TO_BUILD = 1500
SECONDS_TO_SIGN_IN = 60
OTHER_NAMES = ("docker-credential-hallpass", "git-credential-hallpass", "kubectl-hallpass")


def ran(*command, limit=120, **options):
    process = subprocess.run(
        [*map(str, command)], timeout=limit, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options,
    )  # fmt: skip
    assert process.returncode == 0, f"{command} exited with {process.returncode}\n{process.stdout}{process.stderr}"
    return process.stdout


def packages(rig, *kinds):
    """The packages of these kinds, built by the command of the documentation."""
    out = rig.sandbox.root / "packages"
    built = ran(TOP / "packaging/build", "--out", out, *kinds, limit=SECONDS_TO_BUILD, cwd=TOP)
    return [pathlib.Path(line) for line in built.splitlines()]


@case(full=True, limit=SECONDS_TO_BUILD)
def the_deb_has_no_fault_that_lintian_knows_and_all_packages_hold_the_same(rig):
    archive, deb, rpm = packages(rig, "archive", "deb", "rpm")
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
    # No path of the machine that built it, and nothing that it needs of the machine that runs it.
    for place in (str(TOP), os.path.expanduser("~"), os.environ.get("CARGO_HOME", "/.cargo/registry")):
        assert place.encode() not in program, place
    empty = root / "empty"
    empty.mkdir()
    shutil.copy(unpacked / "bin/hallpass", empty / "hallpass")
    version = ran("chroot", empty, "/hallpass", "--version")
    assert re.fullmatch(r"hallpass \d+\.\d+\.\d+\n", version), version


@case(full=True, limit=2 * SECONDS_TO_BUILD)
def two_builds_in_different_folders_are_the_same_byte_for_byte(rig):
    sums = []
    for name in ("one", "another/folder"):
        folder = rig.sandbox.root / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        ran("git", "clone", "--quiet", TOP, folder)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CARGO_")}
        built = ran(folder / "packaging/build", cwd=folder, limit=SECONDS_TO_BUILD, env=environment)
        sums.append([ran("sha256sum", path).split()[0] for path in built.splitlines()])
        shutil.rmtree(folder)
    assert sums[0] == sums[1], sums


class Machine:
    """A Debian release without anything of this machine but the network's loopback interface, in a
    mount namespace of its own. One user lives there."""

    def __init__(self, rig, suite):
        self.base = ran(HERE / "debootstrapped.sh", suite, limit=900).strip()
        self.folder = rig.sandbox.root / suite
        self.folder.mkdir()
        # What `$BROWSER` writes into it is opened by the browser outside.
        self.urls = self.folder / "urls"
        self.urls.mkdir()
        self.urls.chmod(0o777)
        self.uid = unused_uid()
        script = r"""
            mount -t tmpfs tmpfs "$1"
            mkdir "$1/upper" "$1/work" "$1/root"
            mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
            mkdir "$1/root/urls"
            mount --bind "$3" "$1/root/urls"
            mount -t proc proc "$1/root/proc"
            mount -t tmpfs tmpfs "$1/root/dev"
            for one in null zero random urandom; do touch "$1/root/dev/$one"; mount --bind "/dev/$one" "$1/root/dev/$one"; done
            echo ready
            exec sleep infinity
        """
        mounted = self.folder / "mounted"
        mounted.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", script, "sh", str(mounted), self.base, str(self.urls)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        rig.with_part(self)
        assert self.holder.stdout.readline() == "ready\n", f"no root file system of {suite}"
        self.enter = ("nsenter", "-m", "-t", str(self.holder.pid), "chroot", str(mounted / "root"))
        self.run("useradd", "--uid", str(self.uid), "--create-home", "--shell", "/bin/bash", "newcomer")

    def close(self):
        self.holder.kill()
        self.holder.wait()

    def run(self, *command, **options):
        return ran(*self.enter, *command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, **options)

    def person(self, line, **options):
        """Runs a line as the user's login shell."""
        return self.run("su", "-", "newcomer", "-c", line, **options)

    def put(self, source, name):
        with open(source, "rb") as file:
            subprocess.run([*self.enter, "sh", "-c", f"cat >{name}"], stdin=file, check=True, timeout=60)


def open_urls(machine, sandbox, stop):
    """Does what a desktop's browser would: opens each URL that the machine wants opened."""
    done = set()
    while not stop.is_set():
        for path in machine.urls.glob("*.url"):
            if path not in done:
                done.add(path)
                subprocess.run([sandbox.env["BROWSER"], path.read_text()], check=False, timeout=60)
        time.sleep(0.05)


@case(full=True, limit=SECONDS_TO_BUILD)
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
    (deb,) = packages(rig, "deb")
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
