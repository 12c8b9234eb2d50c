"""A private certificate authority, created for each case with openssl."""

import os
import pathlib
import subprocess

from sandbox import moved_clock

# A host name that is reached directly, and one that only a proxy can resolve.
NAMES = ["localhost", "provider.test"]


class Authority:
    def __init__(self, folder, name="A private authority of the tests"):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(mode=0o700)
        self.ca_file = self._folder / "ca.pem"
        self._key = self._folder / "ca.key"
        openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.ca_file, "-days", "2",
                "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def certificate(self, names=NAMES, expired=False):
        """A server certificate and its key, in the form that the TLS servers take."""
        key, request, extensions, certificate = (self._folder / f"server.{end}" for end in ("key", "csr", "ext", "pem"))
        openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={names[0]}")
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
            f"subjectAltName={','.join(f'DNS:{name}' for name in names)}\n",
            encoding="utf-8",
        )
        # openssl can't create an expired certificate, so move its clock back.
        then = moved_clock("-30d") if expired else {}
        openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._key, "-days", "2",
                "-extfile", extensions, "-out", certificate, **then)  # fmt: skip
        return {"cert": certificate.read_text(encoding="utf-8"), "key": key.read_text(encoding="utf-8")}


class SelfSigned:
    """A self-signed server certificate, as created by `openssl req -x509`."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(mode=0o700)
        self.ca_file = folder / "server.pem"
        self._key = folder / "server.key"
        openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.ca_file, "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")  # fmt: skip

    def certificate(self):
        return {"cert": self.ca_file.read_text(encoding="utf-8"), "key": self._key.read_text(encoding="utf-8")}


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*args, **env):
    command = ["openssl", *map(str, args)]
    run = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, f"openssl {args[0]}: {run.stderr}"
