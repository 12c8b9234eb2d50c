"""Real Secret Services, each on a message bus of its own: gnome-keyring, and KeePassXC."""

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

# A bus on which nobody is the Secret Service and nobody can be started as one.
BARE_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir={runtime}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow own="*"/>
<allow eavesdrop="true"/></policy></busconfig>
"""


class Bus:
    """A message bus for every program of the sandbox, and what is started on it."""

    # The shell stays the bus's child and waits for its stdin to close; dbus-run-session then ends
    # the bus, and the keyring with it.
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
        # Whoever is left of its session: a program with a window does not end with its bus.
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
    """The option that makes a bus a bare one."""
    config = sandbox.root / "bare-bus.conf"
    config.write_text(BARE_BUS.format(runtime=sandbox.runtime), encoding="utf-8")
    return f"--config-file={config}"


class BareBus(Bus):
    """A bus without any keyring."""

    def __init__(self, sandbox):
        super().__init__(sandbox, bare(sandbox))


class SecretService(Bus):
    """gnome-keyring with an unlocked login collection. It gets its pass phrase by stdin, as from PAM."""

    inside = f"""
printf %s "$PASS_PHRASE" | gnome-keyring-daemon --unlock --components=secrets >&2 || exit 1
{Bus.inside}
"""

    def __init__(self, sandbox, *options, **env):
        self._stopped = []
        super().__init__(sandbox, *options, PASS_PHRASE=PASS_PHRASE, **env)
        self.wait_until_open()

    def close(self):
        # A stopped process would not hear that its bus is gone.
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        super().close()

    # --- what is in it ---

    def items(self):
        """The object paths of what is kept in the default collection."""
        reply = self._property(DEFAULT, COLLECTION, "Items")
        return [line.split('"')[1] for line in reply.splitlines() if "object path" in line]

    def attributes(self, item):
        """What an item is found by."""
        reply = self._property(item, ITEM, "Attributes")
        texts = re.findall(r'string "(.*)"', reply)
        return dict(zip(texts[::2], texts[1::2]))

    def delete(self, item):
        """As a person does it in the keyring's own window."""
        pairs = [word for pair in self.attributes(item).items() for word in pair]
        subprocess.run(
            [*self._sandbox.become, "secret-tool", "clear", *pairs],
            env={**os.environ, **self._sandbox.env}, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        wait_for(lambda: item not in self.items(), 5, "the item was not deleted")

    def overwrite(self, item, secret):
        """Gives an item another secret."""
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
        """Until what is in it would be there after a kill. gnome-keyring answers no sooner."""

    # --- what happens to it ---

    def lock(self):
        alias = self._call(PATH, "org.freedesktop.Secret.Service.ReadAlias", "string:default")
        (collection,) = re.findall(r'object path "(.*)"', alias)
        self._call(PATH, "org.freedesktop.Secret.Service.Lock", f"array:objpath:{collection}")
        wait_for(self.is_locked, 5, "the keyring did not lock")

    def unlock(self):
        """As PAM does it when somebody signs in (gnome-keyring's control socket)."""
        answered = self._is_somebody()  # starts one where it was killed
        assert answered, "nobody is the Secret Service, and nobody could be started"
        pass_phrase = PASS_PHRASE.encode()
        body = struct.pack(">II", 1, len(pass_phrase)) + pass_phrase
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self._sandbox.runtime / "keyring" / "control"))
            control.sendall(b"\0" + struct.pack(">I", len(body) + 4) + body)
            control.recv(8)
        self.wait_until_open()

    def _is_somebody(self):
        return self._property(PATH, "org.freedesktop.Secret.Service", "Collections")

    def pid(self):
        """The process that is the Secret Service now."""
        reply = self._call(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.GetConnectionUnixProcessID",
            f"string:{NAME}",
            to="org.freedesktop.DBus",
        )
        found = re.search(r"uint32 (\d+)", reply)
        return int(found[1]) if found else None

    def stop(self):
        """It is there and says nothing more, until `go_on`."""
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
    """KeePassXC as the Secret Service, with a database open that exposes its root group."""

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
        # On a bare bus, or whoever asks first starts gnome-keyring. Its lock is in TMPDIR.
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
        """KeePassXC answers first and saves later."""
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
        if self.pid() is None:  # a person starts it anew
            self._beside("wanted").touch()
        else:
            self._window("openDatabase", f"string:{self._database}", f"string:{PASS_PHRASE}")
        self.wait_until_open()
