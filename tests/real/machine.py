"""Other Debian releases, as machines of their own."""

import os
import subprocess

from ordinary_user import unused_uid
from sandbox import HERE


def ran(*command, limit=120, **options):
    process = subprocess.run(
        [*map(str, command)], timeout=limit, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options,
    )  # fmt: skip
    assert process.returncode == 0, f"{command} exited with {process.returncode}\n{process.stdout}{process.stderr}"
    return process.stdout


class Machine:
    """A Debian release without anything of this machine but the network's loopback interface and the
    folders `shared`, in a mount namespace of its own. One user lives there."""

    def __init__(self, rig, suite, *shared):
        self.base = os.fspath((HERE / f"debian/root-{suite}").resolve(strict=True))
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
            root=$1/root
            mount -t proc proc "$1/root/proc"
            mount -t tmpfs tmpfs "$1/root/dev"
            for one in null zero random urandom; do touch "$1/root/dev/$one"; mount --bind "/dev/$one" "$1/root/dev/$one"; done
            # podman needs both.
            mkdir -m 1777 "$1/root/dev/shm"
            mount --rbind /sys "$1/root/sys"
            shift 3
            for one; do mkdir -p "$root$one"; mount --bind "$one" "$root$one"; done
            echo ready
            exec sleep infinity
        """
        mounted = self.folder / "mounted"
        mounted.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", script, "sh", str(mounted), self.base, str(self.urls), *map(str, shared)],
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
