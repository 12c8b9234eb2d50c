"""Rootless podman and buildah, which run the credential helper in a user namespace as uid 0."""

import contextlib
import json
import os
import subprocess

from ordinary_user import OrdinaryUser
from registry import Registry, image
from rig import case, kernel_keyring
from sandbox import end

SECONDS_A_CLIENT = 60
CLIENTS = ("podman", "buildah")
INSIDE = ("podman", "unshare")
NEVER = ("--interactive", "never")


class Person:
    """An ordinary user with podman, buildah, hallpass and a provider, and a registry with one image."""

    def __init__(self, rig, keyring=True, config="home"):
        kernel_keyring()
        self.rig, self.sandbox = rig, rig.sandbox
        self.user = rig.with_part(OrdinaryUser(self.sandbox))
        self.user.needs_user_namespaces()
        self.provider = rig.provider()
        self.registry = rig.with_part(Registry(self.sandbox.root / "registry", self.provider))
        self.sandbox.env["PATH"] = f"{self.sandbox.tools}:{self.sandbox.env['PATH']}"
        (self.sandbox.tools / "docker-credential-hallpass").symlink_to(self.sandbox.program)
        if keyring:
            self.sandbox.env["HALLPASS_STORE"] = "keyring"
            self.keyring = rig.secret_service()
        text = (
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            'scopes = ["openid", "offline_access"]\n\n'
            f'[[resources]]\nmatch = "http://{self.registry.host}"\nprovider = "corp"\n'
        )
        if config == "home":
            self.write(".config/hallpass/config.toml", text)
        else:
            self.user.write_etc("hallpass/config.toml", text)
        self.write(".docker/config.json", json.dumps({"credHelpers": {self.registry.host: "hallpass"}}))
        self.write(".config/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        self.write(".config/containers/storage.conf", '[storage]\ndriver = "vfs"\n')
        self.token = self.sandbox.hallpass("get-token", "corp").token
        source, target = image(self.sandbox.root / "image"), f"docker://{self.registry.host}/one:latest"
        self.run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{source}:latest", target)
        self.registry.tokens.new_seen()

    def write(self, name, text):
        path = self.sandbox.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for one in (path, *path.parents):
            if one == self.sandbox.home:
                break
            self.user.owns(one)

    def ran(self, *args):
        process = subprocess.Popen(
            [*self.sandbox.become, *map(str, args)], env=self.sandbox.env, cwd=self.sandbox.home, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=SECONDS_A_CLIENT)
        except subprocess.TimeoutExpired:
            end(process)
            raise
        return process.returncode, out, err

    def run(self, *args):
        code, out, err = self.ran(*args)
        assert code == 0, f"{' '.join(map(str, args))} exited with {code}\n{out}{err}"
        return out

    def pulls(self, client):
        """Pulls with one of the clients, and checks the user name that the registry saw."""
        self.run(client, "pull", "-q", "--tls-verify=false", f"{self.registry.host}/one:latest")
        who = {who for user, _, who in self.registry.tokens.new_seen() if user}
        assert who == {"alice"}, f"{client} signed in as {who}"
        self.run(client, "rmi", "--all", "--force")

    def kernel_cache(self, before=()):
        status = self.sandbox.hallpass("status", "--json", before=before).ended(0)
        return json.loads(status.stdout)["store"]["kernel_cache"]

    @contextlib.contextmanager
    def without_bus(self):
        address = self.sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS")
        try:
            yield
        finally:
            self.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = address

    def tabs(self):
        return len(self.sandbox.tabs())


@case(alone=True)
def podman_and_buildah_find_the_key_in_the_kernel_keyring(rig):
    person = Person(rig)
    with person.without_bus():
        for client in CLIENTS:
            person.pulls(client)
        assert rig.sandbox.hallpass("get-token", "corp", *NEVER, before=INSIDE).token == person.token
        assert person.kernel_cache(INSIDE) == "holds the unlocked key"
    assert person.tabs() == 1


@case(alone=True)
def podman_and_buildah_reach_gnome_keyring(rig):
    person = Person(rig)
    for client in CLIENTS:
        rig.sandbox.hallpass("lock").ended(0).said("locked")
        assert person.kernel_cache() == "holds no key"
        person.pulls(client)
        # The key is in the user's own keyring, not in the namespace's.
        assert person.kernel_cache() == "holds the unlocked key"
    rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
    for client in CLIENTS:
        person.pulls(client)
    assert person.tabs() == 1


@case(alone=True)
def lock_works_from_inside_a_user_namespace(rig):
    person = Person(rig)
    for lock_in, look_in in ((INSIDE, ()), ((), INSIDE)):
        rig.sandbox.hallpass("lock", before=lock_in).ended(0).said("locked")
        assert person.kernel_cache(look_in) == "holds no key"


@case(alone=True)
def a_first_sign_in_inside_a_user_namespace_also_works_outside(rig):
    person = Person(rig)
    rig.sandbox.hallpass("logout", "--all").ended(0)
    token = rig.sandbox.hallpass("get-token", "corp", before=INSIDE).token
    assert rig.sandbox.hallpass("get-token", "corp", *NEVER).token == token
    with person.without_bus():
        assert rig.sandbox.hallpass("get-token", "corp", *NEVER).token == token


@case(alone=True)
def podman_and_buildah_use_the_system_configuration(rig):
    person = Person(rig, keyring=False, config="etc")
    for client in CLIENTS:
        person.pulls(client)
    person.user.etc.joinpath("hallpass").chmod(0o775)
    refused = rig.sandbox.hallpass("get-token", "corp", *NEVER, before=INSIDE).ended(2)
    refused.said("/etc/hallpass/config.toml", "outside this user namespace", "hint:")
    person.user.etc.joinpath("hallpass").chmod(0o755)
    assert rig.sandbox.hallpass("get-token", "corp", *NEVER, before=INSIDE).token == person.token


@case(alone=True)
def a_user_namespace_accepts_links_to_roots_files_but_rejects_other_users_files(rig):
    person = Person(rig, keyring=False)
    config = rig.sandbox.home / ".config/hallpass/config.toml"
    text = config.read_text(encoding="utf-8")

    def asked(before=INSIDE, **env):
        return rig.sandbox.hallpass("get-token", "corp", *NEVER, before=before, **env)

    # A directory of root's, as in a Nix store. It is below /etc because this case can write there.
    person.user.write_etc("store/config.toml", text)
    config.unlink()
    config.symlink_to("/etc/store/config.toml")
    person.user.owns(config)
    for before in ((), INSIDE, ("unshare", "--user", "--map-root-user"), ("unshare", "--user", "--map-current-user")):
        assert asked(before).token == person.token, before

    # A file of root's that isn't reached through the user's own link.
    refused = asked(HALLPASS_CONFIG="/etc/store/config.toml").ended(2)
    refused.said("outside this user namespace", "hint:")

    # A third user's file, in a directory that only that user can write to.
    third = person.user.etc / "third"
    third.mkdir()
    (third / "config.toml").write_text(text, encoding="utf-8")
    for path in (third, third / "config.toml"):
        os.chown(path, person.user.uid + 1, person.user.uid + 1)
    person.user.add_account("third", person.user.uid + 1, "/etc/third")
    named = {"HALLPASS_CONFIG": "/etc/third/config.toml"}
    asked((), **named).ended(2).said(f"another user (uid {person.user.uid + 1})", "hint:")
    asked(**named).ended(2).said("outside this user namespace", "hint:")
    config.unlink()
    config.symlink_to("/etc/third/config.toml")
    person.user.owns(config)
    asked(()).ended(2).said("another user", "hint:")
    asked().ended(2).said("outside this user namespace", "hint:")

    # A namespace without a uid map shows the same uid for this user, root and a third user.
    unmapped = ("unshare", "--user")
    asked(unmapped).ended(2).said("outside this user namespace", "hint:")
    asked(unmapped, **named).ended(2).said("outside this user namespace", "hint:")

    # The data folder must always belong to the user.
    config.unlink()
    person.write(".config/hallpass/config.toml", text)
    for before in (INSIDE, unmapped):
        assert asked(before).token == person.token, before
    data = rig.sandbox.home / ".local/share/hallpass"
    os.chown(data, 0, 0)
    data.chmod(0o755)
    for before in ((), INSIDE, unmapped):
        asked(before).ended(1).said("belongs to")
    person.user.owns(data)
    data.chmod(0o700)
    assert asked().token == person.token


@case(alone=True)
def outside_a_login_session_podmans_password_is_reported_and_the_set_up_takes_precedence(rig):
    person = Person(rig, keyring=False)
    # As under sudo and cron. podman then has a folder of its own below TMPDIR.
    del rig.sandbox.env["XDG_RUNTIME_DIR"]
    host, url = person.registry.host, f"http://{person.registry.host}"
    person.registry.tokens.passwords["bob"] = "typed by bob"
    person.run("podman", "login", "--tls-verify=false", "-u", "bob", "-p", "typed by bob", host)

    def in_use():
        return person.run("podman", "login", "--get-login", host).strip()

    assert in_use() == "bob"
    found = rig.sandbox.hallpass("doctor", "docker", url).ended(1)
    assert f"use the password for {host} in {rig.sandbox.runtime}/podman-run-" in found.stdout, found.stdout
    rig.sandbox.hallpass("setup", "docker", url, "--podman").ended(0)
    rig.sandbox.hallpass("doctor", "docker", url).ended(0)
    assert in_use() == "alice"
    person.registry.tokens.new_seen()
    person.pulls("podman")
    rig.sandbox.hallpass("setup", "docker", url, "--podman", "--undo").ended(0)
    assert in_use() == "bob"
    assert person.tabs() == 1
