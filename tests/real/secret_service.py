"""Real Secret Services, each on its own message bus: gnome-keyring and KeePassXC."""

import base64
import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import uuid

from sandbox import end, wait_for

PASS_PHRASE = "correct horse"
SECONDS_TO_START = 15

NAME = "org.freedesktop.secrets"
PATH = "/org/freedesktop/secrets"
DEFAULT = f"{PATH}/aliases/default"
COLLECTION = "org.freedesktop.Secret.Collection"
ITEM = "org.freedesktop.Secret.Item"

# A bus without a Secret Service, on which none can be started.
BARE_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir={runtime}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow own="*"/>
<allow eavesdrop="true"/></policy></busconfig>
"""


class Bus:
    """A message bus for the sandbox's programs, and the services on it."""

    # The shell runs as the bus's child until its stdin closes. Then dbus-run-session stops the bus and
    # with it the keyring.
    inside = 'echo "$DBUS_SESSION_BUS_ADDRESS"; cat >/dev/null'

    def __init__(self, sandbox, *options, **env):
        self._sandbox = sandbox
        self._log = open(sandbox.root / "keyring.log", "a", encoding="utf-8")
        self._process = subprocess.Popen(
            [*sandbox.become, "dbus-run-session", *options, "--", "sh", "-c", self.inside],
            env={**sandbox.env, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        found = []
        reader = threading.Thread(target=lambda: found.append(self._process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(SECONDS_TO_START)
        if not found or not found[0].strip():
            self.close()
            raise AssertionError("the bus and its keyring did not start: see keyring.log")
        sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = found[0].strip()

    def close(self):
        self._sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        if self._log.closed:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            end(self._process)
        # Stop the rest of the session: a program with a window doesn't exit with its bus.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._log.close()

    def _call(self, path, member, *arguments, to=NAME):
        asked = subprocess.run(
            [*self._sandbox.become, "dbus-send", "--session", "--print-reply", "--reply-timeout=3000", f"--dest={to}", path, member,
             *arguments],
            env={**os.environ, **self._sandbox.env}, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        return asked.stdout if asked.returncode == 0 else ""

    def _property(self, path, interface, name):
        return self._call(path, "org.freedesktop.DBus.Properties.Get", f"string:{interface}", f"string:{name}")


def bare(sandbox):
    """The option for a bus without services."""
    config = sandbox.root / "bare-bus.conf"
    config.write_text(BARE_BUS.format(runtime=sandbox.runtime), encoding="utf-8")
    return f"--config-file={config}"


class BareBus(Bus):
    """A bus without any keyring."""

    def __init__(self, sandbox):
        super().__init__(sandbox, bare(sandbox))


class SecretService(Bus):
    """gnome-keyring with an unlocked login collection. It reads its passphrase from stdin, as with PAM."""

    inside = f"""
printf %s "$PASS_PHRASE" | gnome-keyring-daemon --unlock --components=secrets >&2 || exit 1
{Bus.inside}
"""

    def __init__(self, sandbox, *options, **env):
        self._stopped = []
        super().__init__(sandbox, *options, PASS_PHRASE=PASS_PHRASE, **env)
        self.wait_until_open()

    def close(self):
        # A stopped process would not notice that its bus is gone.
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        super().close()

    # --- contents ---

    def items(self):
        """The object paths of the items in the default collection."""
        reply = self._property(DEFAULT, COLLECTION, "Items")
        return [line.split('"')[1] for line in reply.splitlines() if "object path" in line]

    def attributes(self, item):
        """The attributes of an item."""
        reply = self._property(item, ITEM, "Attributes")
        texts = re.findall(r'string "(.*)"', reply)
        return dict(zip(texts[::2], texts[1::2]))

    def delete(self, item):
        """Deletes an item, as a user would in the keyring's window."""
        pairs = [word for pair in self.attributes(item).items() for word in pair]
        subprocess.run(
            [*self._sandbox.become, "secret-tool", "clear", *pairs],
            env={**os.environ, **self._sandbox.env}, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        wait_for(lambda: item not in self.items(), 5, "the item was not deleted")

    def overwrite(self, item, secret):
        """Replaces the secret of an item."""
        pairs = [word for pair in self.attributes(item).items() for word in pair]
        stored = subprocess.run(
            [*self._sandbox.become, "secret-tool", "store", "--label=hallpass", *pairs],
            env={**os.environ, **self._sandbox.env}, input=secret, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        assert stored.returncode == 0, stored.stderr

    def is_open(self):
        return "boolean false" in self._property(DEFAULT, COLLECTION, "Locked")

    def is_locked(self):
        return "boolean true" in self._property(DEFAULT, COLLECTION, "Locked")

    def wait_until_open(self):
        wait_for(self.is_open, SECONDS_TO_START, "the keyring has no unlocked collection")

    def wait_until_on_disk(self):
        """Waits until the contents would survive a kill. gnome-keyring only responds once they do."""

    # --- state changes ---

    def lock(self):
        alias = self._call(PATH, "org.freedesktop.Secret.Service.ReadAlias", "string:default")
        (collection,) = re.findall(r'object path "(.*)"', alias)
        self._call(PATH, "org.freedesktop.Secret.Service.Lock", f"array:objpath:{collection}")
        wait_for(self.is_locked, 5, "the keyring did not lock")

    def unlock(self):
        """Unlocks the keyring through gnome-keyring's control socket, as PAM does at login."""
        answered = self._is_running()  # starts the service if it was killed
        assert answered, "there is no Secret Service, and none could be started"
        pass_phrase = PASS_PHRASE.encode()
        body = struct.pack(">II", 1, len(pass_phrase)) + pass_phrase
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self._sandbox.runtime / "keyring" / "control"))
            control.sendall(b"\0" + struct.pack(">I", len(body) + 4) + body)
            control.recv(8)
        self.wait_until_open()

    def _is_running(self):
        return self._property(PATH, "org.freedesktop.Secret.Service", "Collections")

    def pid(self):
        """The ID of the process that currently provides the Secret Service."""
        reply = self._call(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.GetConnectionUnixProcessID",
            f"string:{NAME}",
            to="org.freedesktop.DBus",
        )
        found = re.search(r"uint32 (\d+)", reply)
        return int(found[1]) if found else None

    def stop(self):
        """Makes the service unresponsive until `go_on`."""
        self._stopped.append(self.pid())
        os.kill(self._stopped[-1], signal.SIGSTOP)

    def go_on(self):
        os.kill(self._stopped.pop(), signal.SIGCONT)

    def kill(self):
        pid = self._stopped.pop() if self._stopped else self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self._is_dead(pid), 5, "the keyring survived SIGKILL")

    @staticmethod
    def _is_dead(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True


class KeePassXC(SecretService):
    """KeePassXC as the Secret Service, with an open database that exposes its root group."""

    inside = f"""
printf '%s\\n%s\\n' "$PASS_PHRASE" "$PASS_PHRASE" | keepassxc-cli import -q -p "$DATABASE.xml" "$DATABASE" >&2 || exit 1
(while [ -e "$DATABASE.wanted" ]; do
  rm "$DATABASE.wanted"
  printf '%s\\n' "$PASS_PHRASE" | keepassxc --pw-stdin --config "$DATABASE.ini" "$DATABASE" >&2 || true
  until [ -e "$DATABASE.wanted" ] || [ ! -e "$DATABASE.xml" ]; do sleep 0.05; done
done) &
{Bus.inside}
rm "$DATABASE.xml"
dbus-send --session --type=method_call --dest=org.keepassxc.KeePassXC.MainWindow /keepassxc \\
  org.keepassxc.KeePassXC.MainWindow.appExit
wait
"""

    _INI = """[General]
ConfigVersion=2
UpdateCheckMessageShown=true
[GUI]
CheckForUpdates=false
[FdoSecrets]
Enabled=true
ConfirmAccessItem=false
ConfirmDeleteItem=false
ShowNotification=false
[Security]
LockDatabaseIdle=false
"""
    _XML = """<?xml version="1.0" encoding="utf-8" standalone="yes"?>
<KeePassFile><Meta><CustomData><Item><Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{{{group}}}</Value></Item>
</CustomData></Meta><Root><Group><UUID>{encoded}</UUID><Name>Root</Name></Group></Root></KeePassFile>
"""

    def __init__(self, sandbox):
        self._database = sandbox.home / "passwords.kdbx"
        group = uuid.uuid4()
        xml = self._XML.format(group=group, encoded=base64.b64encode(group.bytes).decode())
        self._beside("xml").write_text(xml, encoding="utf-8")
        self._beside("ini").write_text(self._INI, encoding="utf-8")
        self._beside("wanted").touch()
        # On a bare bus, because the first request would otherwise start gnome-keyring. KeePassXC's lock file
        # is in TMPDIR.
        super().__init__(
            sandbox, bare(sandbox), DATABASE=str(self._database), TMPDIR=str(sandbox.runtime), QT_QPA_PLATFORM="offscreen"
        )

    def _beside(self, ending):
        return self._database.with_name(f"{self._database.name}.{ending}")

    def _window(self, member, *arguments):
        self._call(
            "/keepassxc",
            f"org.keepassxc.KeePassXC.MainWindow.{member}",
            *arguments,
            to="org.keepassxc.KeePassXC.MainWindow",
        )

    def wait_until_on_disk(self):
        """KeePassXC responds before it saves."""
        wait_for(self._saved, SECONDS_TO_START, "KeePassXC did not save")

    def _saved(self):
        listed = subprocess.run(
            [*self._sandbox.become, "keepassxc-cli", "ls", "-q", "-f", "-R", str(self._database)],
            env={**os.environ, **self._sandbox.env},
            input=f"{PASS_PHRASE}\n", capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        entries = [line for line in listed.stdout.splitlines() if line.startswith("keyring:")]
        return listed.returncode == 0 and len(entries) == len(self.items())

    def lock(self):
        self._window("lockAllDatabases")
        wait_for(self.is_locked, 5, "KeePassXC did not lock")

    def unlock(self):
        if self.pid() is None:  # as if the user started it again
            self._beside("wanted").touch()
        else:
            self._window("openDatabase", f"string:{self._database}", f"string:{PASS_PHRASE}")
        self.wait_until_open()
