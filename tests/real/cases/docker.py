"""Real clients of a real registry, whose token server accepts the tokens of a real provider. Docker's
daemon runs only where docker needs it: for a login without a password and for builds. skopeo, podman and buildah pull.
"""

import functools
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from git_server import GitServer
from machine import Machine
from registry import DockerDaemon, Registry, image
from rig import case
from sandbox import HERE, Blocked, end, moved_clock, wait_for

SECONDS_A_CLIENT = 60


class Desk:
    """A user with docker's clients, hallpass, a provider and a registry."""

    def __init__(self, rig, set_up=True, git=False, **settings):
        self.rig, self.sandbox = rig, rig.sandbox
        self.provider = rig.provider(**settings)
        self.registry = rig.with_part(Registry(self.sandbox.root / "registry", self.provider))
        self.host = self.registry.host
        self.image = image(self.sandbox.root / "image")
        self.config = self.sandbox.home / ".docker/config.json"
        # On PATH under its own name, as after an installation.
        program = self.sandbox.tools / "hallpass"
        program.symlink_to(self.sandbox.program)
        self.sandbox.env["PATH"] = f"{self.sandbox.tools}:{self.sandbox.env['PATH']}"
        folder = self.sandbox.home / ".config/hallpass"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            'scopes = ["openid", "offline_access"]\n',
            encoding="utf-8",
        )
        # The clients pull nothing without a policy, and the machine's own may forbid anything.
        containers = self.sandbox.home / ".config/containers"
        containers.mkdir(parents=True)
        (containers / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}', encoding="utf-8")
        if set_up:
            self.hallpass("setup", "docker", self.url, "--provider", "corp").ended(0)

    @property
    def url(self):
        """The registry's URL, for commands that need the scheme."""
        return f"http://{self.host}"

    def hallpass(self, *args, **env):
        return self.sandbox.hallpass(*args, **env)

    def start(self, *args, stdin=None, **env):
        process = subprocess.Popen(
            [str(arg) for arg in args],
            env={**self.sandbox.env, **env},
            cwd=self.sandbox.home,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.sandbox._running.append(process)
        return process

    def ran(self, *args, stdin=None, **env):
        process = self.start(*args, stdin=stdin, **env)
        try:
            out, err = process.communicate(stdin, timeout=SECONDS_A_CLIENT)
        except subprocess.TimeoutExpired:
            end(process)
            raise
        self.said = out + err
        return process.returncode, out, err

    def run(self, *args, **more):
        code, out, err = self.ran(*args, **more)
        assert code == 0, f"{' '.join(map(str, args))} exited with {code}\n{out}{err}"
        return out

    def fails(self, *args, **more):
        code, out, err = self.ran(*args, **more)
        assert code != 0, f"{' '.join(map(str, args))} did not fail\n{out}{err}"
        return out + err

    # --- the clients ---

    def push(self, name="one", kind="oci"):
        copy = ["skopeo", "copy", "--format", kind, "--dest-tls-verify=false"]
        self.run(*copy, f"oci:{self.image}:latest", self.skopeo(name))

    def pull(self, name="one", **env):
        target = pathlib.Path(tempfile.mkdtemp(dir=self.sandbox.root))
        self.run(*self.pulling(name, target), **env)
        return target

    def pulling(self, name, target):
        return ["skopeo", "copy", "--src-tls-verify=false", self.skopeo(name), f"dir:{target}"]

    def skopeo(self, name):
        return f"docker://{self.host}/{name}:latest"

    def docker(self, *args, **env):
        return self.run("docker", *args, DOCKER_HOST=self.daemon, **env)

    @functools.cached_property
    def daemon(self):
        """The URL of a daemon, which starts when it is first needed."""
        return self.rig.with_part(DockerDaemon(self.sandbox.root / "daemon")).url

    def login_again(self):
        """`docker login` without a user name."""
        out = self.docker("login", self.host)
        assert "Login Succeeded" in out, out

    def push_for_docker(self):
        """Pushes an image with docker's own kind of manifest: older versions know no other one."""
        self.push("docker", "v2s2")

    def inspect(self):
        return self.run("docker", "manifest", "inspect", "--insecure", f"{self.host}/docker:latest")

    def helper(self, operation, text):
        return self.ran("docker-credential-hallpass", operation, stdin=text)

    def get(self, server=None):
        code, out, err = self.helper("get", server or self.host)
        assert code == 0, out + err
        return json.loads(out)

    # --- the provider ---

    def kill_all(self):
        """Makes the access tokens invalid, but not the grants that they belong to."""
        self.provider.set(dead=self.provider.issued("access_token"))
        self.provider.new_requests()

    def tabs(self):
        return len(self.sandbox.tabs())

    def users(self):
        return {(user, who) for user, _, who in self.registry.tokens.new_seen() if user}


def storage(desk):
    """The options that make podman and buildah store images without special privileges."""
    root = desk.sandbox.root
    return ["--root", root / "storage", "--runroot", root / "runroot", "--storage-driver", "vfs"]


def pulled_by(desk, program, *pull):
    """Pulls with podman or buildah. If the kernel forbids them to unpack an image, the case is blocked."""
    code, out, err = desk.ran(program, *storage(desk), *pull, "--tls-verify=false", f"{desk.host}/one:latest")
    forbidden = ("operation not permitted", "newuidmap", "permission denied", "cannot clone", "user namespaces")
    if code and any(word in (out + err).lower() for word in forbidden) and "unauthorized" not in (out + err).lower():
        raise Blocked(f"{program} cannot unpack an image here: {err.strip().splitlines()[-1]}")
    assert code == 0, out + err
    listed = desk.run(program, *storage(desk), "images", "-q")
    assert listed.strip(), "nothing was pulled"


# --- one sign-in ---


@case
def one_sign_in_pushes_and_pulls_with_docker_and_skopeo(rig):
    desk = Desk(rig)
    desk.push()
    desk.push_for_docker()
    assert desk.tabs() == 1
    target = desk.pull()
    assert json.loads((target / "manifest.json").read_text(encoding="utf-8"))["layers"]
    assert json.loads(desk.inspect())["schemaVersion"] == 2
    assert desk.tabs() == 1
    assert desk.users() == {("alice", "alice")}
    assert "auth" not in json.loads(desk.config.read_text(encoding="utf-8")).get("auths", {}).get(desk.host, {})


@case(limit=180)
def a_sign_in_for_git_serves_docker_podman_and_skopeo(rig):
    desk = Desk(rig, set_up=False)
    git = shutil.which("git", path=desk.sandbox.env["PATH"])
    server = rig.with_part(GitServer(desk.sandbox.root / "served", desk.provider, git, user="oauth2"))
    desk.run(git, "init", "--quiet", "--bare", server.root / "one.git")
    desk.hallpass("setup", "git", "--host", server.url, "--provider", "corp").ended(0)
    desk.run(git, "clone", "--quiet", f"{server.url}/one.git", "work")
    assert desk.tabs() == 1

    desk.hallpass("setup", "docker", desk.url, "--provider", "corp").ended(0)
    desk.push()
    desk.push_for_docker()
    desk.pull()
    desk.inspect()
    desk.login_again()
    desk.run("podman", "login", "--get-login", desk.host)
    pulled_by(desk, "podman", "pull", "-q")
    assert desk.tabs() == 1


@case(limit=180)
def buildah_pulls_with_the_same_sign_in(rig):
    desk = Desk(rig)
    desk.push()
    pulled_by(desk, "buildah", "pull", "-q")
    assert desk.tabs() == 1


@case
def oras_pulls_with_the_same_sign_in(rig):
    desk = Desk(rig)
    desk.push()
    desk.registry.tokens.new_seen()
    pulled = desk.sandbox.home / "pulled"
    desk.run(HERE / "venv/bin/python", "-B", "-c", ORAS, f"{desk.host}/one:latest", pulled)
    # It unpacks the layer, so the file isn't named after the layer's title.
    assert [path for path in pulled.rglob("*") if path.is_file()], "nothing was pulled"
    assert desk.tabs() == 1
    assert desk.users() == {("alice", "alice")}


# A program that uses the ORAS project's library for Python. It can't push if that needs another token.
ORAS = """
import sys
import oras.client
oras.client.OrasClient(insecure=True).pull(target=sys.argv[1], outdir=sys.argv[2])
"""


@case
def ten_skopeo_copies_at_once_from_nothing_open_one_tab(rig):
    desk = Desk(rig)
    desk.push()
    desk.hallpass("logout", "corp").ended(0)
    before = desk.tabs()
    targets = [pathlib.Path(tempfile.mkdtemp(dir=desk.sandbox.root)) for _ in range(10)]
    running = [desk.start(*desk.pulling("one", target)) for target in targets]
    for process in running:
        out, err = process.communicate(timeout=SECONDS_A_CLIENT)
        assert process.returncode == 0, out + err
    assert all((target / "manifest.json").exists() for target in targets)
    assert desk.tabs() == before + 1


# --- time, and a token that is revoked ---


@case
def an_expired_token_is_refreshed_between_two_commands(rig):
    desk = Desk(rig)
    desk.provider.set(accessTokenTtl=2)
    desk.push()
    desk.push_for_docker()
    time.sleep(2.2)
    desk.provider.set(accessTokenTtl=3600)
    desk.provider.new_requests()
    desk.pull()
    desk.inspect()
    assert desk.provider.new_grants() == [("refresh_token", 200)]
    assert desk.tabs() == 1


@case
def a_token_with_less_than_five_minutes_left_is_not_handed_out(rig):
    desk = Desk(rig)
    desk.push()
    first = desk.get()["Secret"]
    desk.provider.new_requests()
    code, out, err = desk.ran("docker-credential-hallpass", "get", stdin=desk.host, **moved_clock("+3310s"))
    assert code == 0, out + err
    assert json.loads(out)["Secret"] != first
    assert desk.provider.new_grants() == [("refresh_token", 200)]


@case
def a_session_revoked_between_two_commands_leads_to_one_sign_in(rig):
    desk = Desk(rig)
    desk.provider.set(accessTokenTtl=2)
    desk.push()
    for token in desk.provider.issued("refresh_token"):
        form = urllib.parse.urlencode({"token": token, "client_id": "hallpass"}).encode()
        urllib.request.urlopen(f"{desk.provider.issuer}/token/revocation", form, timeout=10).close()
    time.sleep(2.2)
    desk.provider.set(accessTokenTtl=3600)
    desk.pull()
    assert desk.tabs() == 2


@case
def a_revoked_token_is_replaced_and_nothing_else_is_lost(rig):
    desk = Desk(rig)
    desk.push()
    desk.kill_all()
    said = desk.fails(*desk.pulling("one", tempfile.mkdtemp(dir=desk.sandbox.root)))
    assert "unauthorized" in said.lower(), said
    desk.hallpass("get-token", "corp", "--force-refresh").ended(0)
    desk.pull()
    assert desk.tabs() == 1


@case
def an_identity_token_serves_clients_after_the_access_token_is_invalid(rig):
    desk = Desk(rig, set_up=False)
    desk.registry.tokens.issues_identity_tokens = True
    desk.hallpass("setup", "docker", desk.url, "--provider", "corp", "--exchange", "identity-token").ended(0)
    desk.push()
    desk.push_for_docker()
    assert desk.get()["Username"] == "<token>"
    assert len(desk.registry.tokens.identity_tokens) == 1
    desk.kill_all()
    desk.registry.tokens.new_seen()
    desk.push()
    desk.pull()
    desk.inspect()
    desk.docker("pull", f"{desk.host}/docker:latest")
    pulled_by(desk, "podman", "pull", "-q")
    assert desk.users() == {("<token>", "alice")}
    asked = desk.hallpass("doctor", "docker", desk.url, "--ask-server").ended(0)
    assert "accepts the credential (user name <token>)" in asked.stdout, asked.stdout
    assert desk.tabs() == 1
    for path in desk.sandbox.files():
        for token in desk.registry.tokens.identity_tokens:
            assert token.encode() not in path.read_bytes(), path


# --- docker login and docker logout ---


@case
def docker_login_uses_the_providers_token_without_storing_it(rig):
    desk = Desk(rig)
    desk.login_again()
    assert not (desk.sandbox.home / ".local/share/hallpass/kept").exists()
    assert desk.get()["Username"] == "alice"
    desk.run("docker", "logout", desk.host)
    assert "hallpass logout corp" in desk.said, desk.said
    assert desk.get()["Username"] == "alice"
    assert desk.tabs() == 1


@case
def docker_logout_refreshes_the_token_at_the_next_request(rig):
    desk = Desk(rig)
    desk.push()
    desk.provider.new_requests()
    first = desk.get()["Secret"]
    desk.run("docker", "logout", desk.host)
    # Other tools keep their token.
    assert desk.hallpass("get-token", "corp", "--interactive", "never").ended(0).stdout.strip() == first
    second = desk.get()["Secret"]
    assert second != first
    for _ in range(2):
        desk.run("docker", "logout", desk.host)
        assert desk.get()["Secret"] == second
        desk.pull()
    assert desk.provider.new_grants() == [("refresh_token", 200)]
    assert desk.tabs() == 1


@case
def credentials_entered_at_docker_login_take_precedence_until_docker_logout(rig):
    desk = Desk(rig)
    desk.registry.tokens.passwords["bob"] = "typed by bob"
    desk.push()
    desk.registry.tokens.new_seen()
    desk.run("docker", "login", "-u", "bob", "--password-stdin", desk.host, stdin="typed by bob")
    assert f"docker logout {desk.host}" in desk.said, desk.said
    desk.registry.tokens.new_seen()
    desk.pull()
    assert desk.users() == {("bob", "bob")}
    desk.run("docker", "logout", desk.host)
    desk.pull()
    assert desk.users() == {("alice", "alice")}
    assert "typed by bob" not in desk.config.read_text(encoding="utf-8")


@case
def podman_and_skopeo_login_and_logout_work(rig):
    desk = Desk(rig, set_up=False)
    desk.registry.tokens.passwords["bob"] = "typed by bob"
    desk.hallpass("setup", "docker", desk.url, "--provider", "corp", "--podman").ended(0)
    desk.push()
    for program in ("podman", "skopeo"):
        desk.run(program, "login", "--tls-verify=false", "-u", "bob", "--password-stdin", desk.host, stdin="typed by bob")
        assert desk.get() == {"ServerURL": desk.host, "Username": "bob", "Secret": "typed by bob"}
        desk.run(program, "logout", desk.host)
        assert desk.get()["Username"] == "alice"
    for path in desk.sandbox.files():
        assert b"typed by bob" not in path.read_bytes(), path


@case
def a_wrong_password_is_not_stored(rig):
    desk = Desk(rig)
    desk.registry.tokens.passwords["bob"] = "right"
    desk.fails("docker", "login", "-u", "bob", "--password-stdin", desk.host, stdin="wrong")
    assert not (desk.sandbox.home / ".local/share/hallpass/kept").exists()


@case
def docker_reads_its_files_names_in_any_case_and_so_does_the_set_up(rig):
    desk = Desk(rig, set_up=False)
    desk.config.parent.mkdir()
    before = '{"CREDSSTORE": "missing", "credsstore": "none", "CredHelpers": {"other.corp.example": "x"}}\n'
    desk.config.write_text(before, encoding="utf-8")
    desk.hallpass("setup", "docker", "--default", "--yes").ended(0)
    code, out, err = desk.ran("docker", "login", "-u", "bob", "--password-stdin", desk.host, stdin="wrong")
    assert code != 0 and "error getting credentials" not in out + err, out + err
    desk.hallpass("setup", "docker", "--default", "--undo").ended(0)
    assert desk.config.read_text(encoding="utf-8") == before

    # docker writes the whole file with the usual names.
    desk.hallpass("setup", "docker", "--default", "--yes").ended(0)
    desk.registry.tokens.passwords["bob"] = "typed by bob"
    desk.run("docker", "login", "-u", "bob", "--password-stdin", desk.host, stdin="typed by bob")
    assert desk.get()["Username"] == "bob"
    written = json.loads(desk.config.read_text(encoding="utf-8"))
    assert written["credsStore"] == "hallpass", written
    desk.hallpass("setup", "docker", "--default", "--undo").ended(0)
    assert json.loads(desk.config.read_text(encoding="utf-8"))["credsStore"] == "none"


# --- a store for all registries ---


@case
def as_the_default_store_it_stores_what_docker_login_enters(rig):
    desk = Desk(rig, set_up=False)
    desk.registry.tokens.passwords["bob"] = "typed by bob"
    desk.hallpass("setup", "docker", "--default").ended(0)
    desk.run("docker", "login", "-u", "bob", "--password-stdin", desk.host, stdin="typed by bob")
    assert desk.get() == {"ServerURL": desk.host, "Username": "bob", "Secret": "typed by bob"}
    code, out, _ = desk.helper("list", "unused")
    assert (code, json.loads(out)) == (0, {desk.host: "bob"})
    desk.run("docker", "logout", desk.host)
    code, out, _ = desk.helper("get", desk.host)
    assert (code, out) == (1, "credentials not found in native keychain\n")
    desk.hallpass("setup", "docker", "--undo").ended(0)
    assert desk.tabs() == 0


@case
def an_unknown_registry_gets_no_credential_and_opens_no_browser(rig):
    desk = Desk(rig, set_up=False)
    desk.hallpass("setup", "docker", "--default").ended(0)
    said = desk.fails("docker", "manifest", "inspect", "--insecure", f"{desk.host}/one:latest")
    assert "unauthorized" in said.lower() or "no such manifest" in said.lower(), said
    assert all(user is None for user, _, _ in desk.registry.tokens.new_seen())
    assert desk.tabs() == 0


@case
def if_prompting_is_disabled_the_client_shows_the_command_to_run(rig):
    desk = Desk(rig)
    said = desk.fails("skopeo", "inspect", "--tls-verify=false", desk.skopeo("one"), HALLPASS_INTERACTIVE="never")
    assert "hallpass login corp" in said, said
    assert desk.tabs() == 0


@case
def with_default_and_podman_podman_stores_every_password_in_hallpass(rig):
    desk = Desk(rig, set_up=False)
    desk.registry.tokens.passwords["bob"] = "typed by bob"
    desk.hallpass("setup", "docker", "--default", "--podman").ended(0)
    desk.run("podman", "login", "--tls-verify=false", "-u", "bob", "--password-stdin", desk.host, stdin="typed by bob")
    assert desk.get() == {"ServerURL": desk.host, "Username": "bob", "Secret": "typed by bob"}
    assert desk.run("podman", "login", "--get-login", desk.host).strip() == "bob"
    for path in desk.sandbox.files():
        assert b"typed by bob" not in path.read_bytes(), path
    desk.run("podman", "logout", desk.host)
    desk.fails("podman", "login", "--get-login", desk.host)
    desk.hallpass("setup", "docker", "--undo").ended(0)
    assert not (desk.sandbox.home / ".config/containers/registries.conf.d/hallpass.conf").exists()


@case
def doctor_asks_the_registry_whether_it_accepts_the_token(rig):
    desk = Desk(rig)
    desk.hallpass("login", "corp").ended(0)
    asked = desk.hallpass("doctor", "docker", desk.url, "--ask-server").ended(0)
    assert f"ok    {desk.host}: accepts the credential (user name alice)" in asked.stdout, asked.stdout
    assert desk.users() == {("alice", "alice")}
    # Without the option, nothing is sent.
    desk.hallpass("doctor", "docker", desk.url).ended(0)
    assert desk.users() == set()
    desk.kill_all()
    asked = desk.hallpass("doctor", "docker", desk.url, "--ask-server").ended(1)
    assert "rejects the credential (user name alice, status 401)" in asked.stdout, asked.stdout
    token = desk.get()["Secret"]
    assert token not in asked.stdout + asked.stderr


# --- clients that ask every helper ---


@case(limit=180)
def podman_remote_asks_every_helper_and_an_unrelated_build_succeeds(rig):
    desk = Desk(rig)
    other = ["setup", "docker", "other.corp.example", "--provider", "corp", "--account", "other"]
    desk.hallpass(*other).ended(0)
    context = desk.sandbox.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nLABEL one=two\n", encoding="utf-8")
    socket = f"unix://{desk.sandbox.root}/podman.sock"
    desk.start("podman", *storage(desk), "system", "service", "--time=120", socket)
    wait_for((desk.sandbox.root / "podman.sock").exists, SECONDS_A_CLIENT, lambda: "podman's service did not start")
    build = ["podman", "--remote", "--url", socket, "build", context]
    for env in ({"HALLPASS_INTERACTIVE": "never"}, {"HALLPASS_DOCKER_ASK": "login"}):
        desk.run(*build, **env)
        flag = " --interactive auto" if "HALLPASS_INTERACTIVE" in env else ""
        for login in ("hallpass login corp", "hallpass login corp --account other"):
            assert f"{login}{flag}`" in desk.said, desk.said
        assert desk.tabs() == 0
    # If a sign-in is not completed, the command starts no other one.
    desk.run(*build, BROWSER="true", HALLPASS_SIGN_IN_TIMEOUT="2")
    assert "timed out" in desk.said and "was not completed" in desk.said, desk.said


@case(limit=180)
def dockers_classic_builder_asks_every_helper_and_signs_in_only_where_it_must(rig):
    def build(desk, context, **env):
        desk.docker("build", context, DOCKER_BUILDKIT="0", **env)

    asks_every_helper(rig, build)


@case(limit=180)
def docker_py_asks_every_helper_and_signs_in_only_where_it_must(rig):
    def build(desk, context, **env):
        desk.run(HERE / "venv/bin/python", "-B", "-c", DOCKER_PY, context, DOCKER_HOST=desk.daemon, **env)

    asks_every_helper(rig, build)


# A program that uses docker's library for Python.
DOCKER_PY = """
import sys
import docker
docker.from_env().images.build(path=sys.argv[1])
"""


def asks_every_helper(rig, build):
    """Builds with a client that requests the credentials of two registries, each with its own provider."""
    desk = Desk(rig)
    other = rig.provider_beside(2)
    with open(desk.sandbox.home / ".config/hallpass/config.toml", "a", encoding="utf-8") as config:
        config.write(
            f'[providers.other]\nissuer = "{other.issuer}"\nclient_id = "hallpass"\n'
            'scopes = ["openid", "offline_access"]\n'
        )
    desk.hallpass("setup", "docker", "other.corp.example", "--provider", "other").ended(0)
    scratch, based = (desk.sandbox.root / name for name in ("scratch", "based"))
    for context, image in ((scratch, "scratch"), (based, f"{desk.host}/docker:latest")):
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {image}\nLABEL one=two\n", encoding="utf-8")

    # A build that needs no registry succeeds without a sign-in, and shows how to sign in.
    for env in ({"HALLPASS_INTERACTIVE": "never"}, {"HALLPASS_DOCKER_ASK": "login"}):
        build(desk, scratch, **env)
        flag = " --interactive auto" if "HALLPASS_INTERACTIVE" in env else ""
        for login in (f"hallpass login corp{flag}`", f"hallpass login other{flag}`"):
            assert login in desk.said, desk.said
        assert desk.tabs() == 0
    # `docker login` is the one sign-in that the builds need.
    login_only = {"HALLPASS_DOCKER_ASK": "login"}
    desk.docker("login", desk.host, **login_only)
    assert desk.tabs() == 1
    desk.push_for_docker()
    desk.registry.tokens.new_seen()
    build(desk, based, **login_only)
    assert desk.users() == {("alice", "alice")}
    assert desk.tabs() == 1

    # Without it, a build signs in to the provider that lacks a session, once.
    desk.hallpass("login", "other").ended(0)
    desk.hallpass("logout", "corp").ended(0)
    before = desk.tabs()
    for _ in range(2):
        build(desk, based)
        assert desk.tabs() == before + 1

    # A sign-in that is not completed is the only one of its command, and doesn't end the build.
    for provider in ("corp", "other"):
        desk.hallpass("logout", provider).ended(0)
    build(desk, scratch, BROWSER="true", HALLPASS_SIGN_IN_TIMEOUT="2")
    assert desk.said.count("timed out") == 1 and "was not completed" in desk.said, desk.said


# --- what is refused ---


@case
def similar_host_names_and_malformed_requests_get_nothing(rig):
    desk = Desk(rig)
    desk.push()
    token = desk.get()["Secret"]
    port = desk.host.partition(":")[2]
    for server in (
        f"evil{desk.host}", f"{desk.host}.evil.example", f"{desk.host}@evil.example", f"127.0.0.1:{int(port) - 1}",
        f"http://evil.example/{desk.host}", f"evil.example#{desk.host}", f"127.0.0.2:{port}", "", "\0\1\xff",
        "x" * (10 << 20),
    ):  # fmt: skip
        code, out, err = desk.helper("get", server)
        assert code == 1 and out.count("\n") == 1, (server[:60], out[:200])
        assert token not in out + err
    for request in ("", "{", "[]", '{"ServerURL":7}', "\0\xff", '{"Secret":"hunter2"}', '{"Secret":"hunter2"' * (1 << 20)):
        code, out, err = desk.helper("store", request)
        assert code == 1 and "hunter2" not in out + err, (request[:60], out[:200])
    assert desk.get()["Secret"] == token
    assert desk.tabs() == 1


@case
def a_secret_of_one_mebibyte_is_stored_and_returned(rig):
    desk = Desk(rig, set_up=False)
    desk.hallpass("setup", "docker", "--default").ended(0)
    secret = "s" * (1 << 20)
    stored = json.dumps({"ServerURL": "quay.example", "Username": "robot", "Secret": secret})
    code, out, err = desk.helper("store", stored)
    assert (code, out) == (0, ""), out + err
    assert desk.get("quay.example")["Secret"] == secret


# --- the newest clients ---


@case(full=True)
def the_newest_registry_clients_use_the_session(rig):
    desk = Desk(rig)
    desk.push()
    desk.push_for_docker()
    machine = Machine(rig, "sid", desk.sandbox.root)
    for name in ("hallpass", "docker-credential-hallpass"):
        machine.put(desk.sandbox.program, f"/usr/local/bin/{name}")
        machine.run("chmod", "755", f"/usr/local/bin/{name}")
    one, other = f"{desk.host}/one:latest", f"{desk.host}/docker:latest"
    desk.registry.tokens.new_seen()
    for command in (
        ["podman", *storage(desk), "pull", "-q", "--tls-verify=false", one],
        ["buildah", *storage(desk), "pull", "-q", "--policy", "always", "--tls-verify=false", one],
        ["skopeo", "inspect", "--tls-verify=false", desk.skopeo("one")],
        ["crane", "manifest", "--insecure", one],
        ["oras", "manifest", "fetch", "--plain-http", one],
        ["docker", "manifest", "inspect", "--insecure", other],
        ["docker", "buildx", "imagetools", "inspect", one],
    ):
        desk.run(*machine.enter, "env", "PATH=/usr/local/bin:/usr/bin:/bin", *command)
        assert {who for _, who in desk.users()} == {"alice"}, command
    assert desk.tabs() == 1
