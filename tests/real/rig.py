"""The `rig` passed to each case: a sandbox, and real parts that are started on demand."""

import contextlib
import ctypes
import os
import platform

from certificates import Authority
from chromium import Chromium
from provider import Provider, Toolkit
from proxy import Proxy
from sandbox import Blocked, Sandbox
from secret_service import BareBus, KeePassXC, SecretService

CASES = []
SECONDS_A_CASE = 150


def case(function=None, *, limit=SECONDS_A_CASE, alone=False, full=False):
    """Registers a function as a case. Its name is the sentence that is printed.

    `alone`: runs while no other case is running.
    `limit`: seconds; 0 if each of its steps has a limit.
    `full`: runs only with `--full`, because preparing it takes minutes.
    """

    def mark(function):
        function.limit = limit
        function.alone = alone
        function.full = full
        CASES.append(function)
        return function

    return mark(function) if function else mark


class Rig:
    def __init__(self, program):
        self._ends = contextlib.ExitStack()
        self._program = program
        self._providers = []
        self._sandboxes = []
        self.sandbox = self.another_sandbox()
        self.sandbox.browser()

    def _with(self, part):
        self._ends.callback(part.close)
        return part

    def close(self):
        # The kernel keyring isn't tied to HOME, so a key stored there would outlive the sandbox.
        with contextlib.suppress(Exception):
            self.sandbox.hallpass("lock", limit=5)
        self._ends.close()

    def with_part(self, part):
        """Closes a part that the case created at the end of the case."""
        return self._with(part)

    def another_sandbox(self):
        self._sandboxes.append(self._with(Sandbox(self._program)))
        return self._sandboxes[-1]

    # --- the parts ---

    def provider(self, **settings):
        provider = self._with(Provider(self.sandbox.root / "provider.log", **settings))
        self._providers.append(provider)
        return provider

    def provider_beside(self, number, **settings):
        """Another provider with its own log, to run beside the first."""
        provider = self._with(Provider(self.sandbox.root / f"provider-{number}.log", **settings))
        self._providers.append(provider)
        return provider

    def stock_provider(self):
        return self._with(Provider(self.sandbox.root / "provider.log", "stock_provider.mjs"))

    def toolkit(self, **settings):
        toolkit = self._with(Toolkit(self.sandbox.root / "provider.log", **settings))
        self._providers.append(toolkit)
        return toolkit

    def chromium(self, **settings):
        """Starts a Chromium in which `$BROWSER` opens tabs."""
        return self._with(Chromium(self.sandbox, **settings))

    def authority(self, name="authority"):
        return Authority(self.sandbox.root / name)

    def proxy(self, **settings):
        return self._with(Proxy(**settings))

    def secret_service(self):
        return self._with(SecretService(self.sandbox))

    def secret_service_of(self, sandbox):
        return self._with(SecretService(sandbox))

    def keepassxc(self):
        return self._with(KeePassXC(self.sandbox))

    def bus_without_a_keyring(self):
        return self._with(BareBus(self.sandbox))

    # --- a check after every case ---

    def check_that_nothing_leaked(self):
        """Checks that no token or code was written to a file under HOME or printed on stderr."""
        for provider in self._providers:
            secrets = provider.secrets()
            for sandbox in self._sandboxes:
                sandbox.check_files_do_not_contain(secrets)
                sandbox.check_stderr_does_not_contain(secrets)

    # --- for the report of a failed case ---

    def transcript(self):
        lines = []
        for command in self.sandbox.commands[-6:]:
            lines.append(f"$ {command.line}   [exit {command.code}, {command.seconds:.2f} s]")
            lines += [f"  {line}" for line in command.stderr.splitlines()[-25:]]
        for name in ("provider.log", "keyring.log"):
            path = self.sandbox.root / name
            if path.exists():
                tail = [t for t in path.read_text(encoding="utf-8").splitlines() if "WARNING" not in t][-10:]
                lines += [f"{name}: {line}" for line in tail]
        return "\n".join(lines)


def provider_flags(provider, client="hallpass"):
    """The options that select a provider without a configuration file, as in the README."""
    return ["--issuer-url", provider.issuer, "--client-id", client,
            "--scope", "openid", "--scope", "offline_access"]  # fmt: skip


def kernel_keyring():
    """Blocks the case if the kernel (or a container's seccomp filter) doesn't provide a keyring."""
    libc = ctypes.CDLL(None, use_errno=True)
    keyctl = {"x86_64": 250, "aarch64": 219}.get(platform.machine())
    if keyctl is None:
        raise Blocked(f"the system call number of keyctl on {platform.machine()} is unknown")
    # KEYCTL_GET_KEYRING_ID of the user keyring, which creates it if necessary: keyctl(2).
    if libc.syscall(keyctl, 0, -4, 1) < 0:
        raise Blocked(f"keyctl: {os.strerror(ctypes.get_errno())}")
