"""`setup kubectl` and `doctor kubectl`, with real kubectls reading what was written."""

import contextlib
import json
import os
import pathlib
import random
import socket
import subprocess

from api_server import ApiServer
from cases.kubectl import NEW, OLD, V1BETA1, kubectl_of
from rig import case

SECONDS_A_KUBECTL = 60

# As somebody keeps it: comments, an order and a layout of their own, a path beside the file.
CLUSTERS = """\
# the clusters of mine
apiVersion: v1
kind: Config
current-context: here   # most of the time
clusters:
  - name: c.1
    cluster:
      server: {server}
      certificate-authority: pki/ca.pem   # beside this file
contexts:
  - {{name: here, context: {{cluster: c.1, user: {user}}}}}
  - name: elsewhere
    context: {{cluster: c.1, user: other}}
"""
USERS = """\
apiVersion: v1
kind: Config
users:
# people
- name: other
  user: {{token: theirs}}
- name: {user}  # me
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: {command}   # as it came
      args:
{args}
      env: null

# the end
"""


class Person:
    """A kubeconfig in two files, a kubectl of one kind, and hallpass on the PATH."""

    def __init__(self, rig, suite=NEW, user="me.exec.you", server="https://k8s.corp.example:6443", **kubelogin):
        self.rig, self.sandbox = rig, rig.sandbox
        self.folder = self.sandbox.home / ".kube"
        (self.folder / "pki").mkdir(parents=True, exist_ok=True)
        for name, target in (("kubectl", kubectl_of(suite)), ("hallpass", self.sandbox.program)):
            (self.sandbox.tools / name).unlink(missing_ok=True)
            (self.sandbox.tools / name).symlink_to(target)
        self.files = [self.folder / name for name in ("clusters", "users")]
        self.sandbox.env.update(
            PATH=f"{self.sandbox.tools}:/usr/bin:/bin", KUBECONFIG=os.pathsep.join(map(str, self.files))
        )
        self.user, self.caches = user, 0
        name = json.dumps(user)
        self.files[0].write_text(CLUSTERS.format(server=server, user=name), encoding="utf-8")
        self.kubelogin(name, **kubelogin)

    def kubelogin(self, name, command="kubectl", args=("--oidc-issuer-url=https://login.corp.example", "--oidc-client-id", "kube")):
        words = [*(["oidc-login"] if command == "kubectl" else []), "get-token", *args]
        listed = "\n".join(f"      - {json.dumps(word)}" for word in words)
        self.files[1].write_text(USERS.format(user=name, command=command, args=listed), encoding="utf-8")

    def state(self):
        return {path.relative_to(self.sandbox.home): path.read_bytes() for path in self.sandbox.files()}

    def kubectl(self, *args, code=0):
        # Each finds nothing in its cache, as the first command of a day.
        self.caches += 1
        done = subprocess.run(
            ["kubectl", f"--cache-dir={self.sandbox.root}/cache-{self.caches}", *args],
            env=self.sandbox.env,
            executable=self.sandbox.tools / "kubectl",
            cwd=self.sandbox.home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_A_KUBECTL,
        )
        assert done.returncode == code, f"kubectl {args} exited with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def view(self):
        config = json.loads(self.kubectl("config", "view", "--raw", "--output=json"))
        return config, {entry["name"]: entry["user"] for entry in config["users"]}

    def setup(self, *args):
        return self.sandbox.hallpass("setup", "kubectl", *args)


def but_users(config):
    return {key: value for key, value in config.items() if key != "users"}


@case(limit=240)
def a_set_up_whose_write_fails_anywhere_changes_nothing(rig):
    """All or nothing, with a client secret among the files: each write and each fsync fails in turn."""
    args = ("--oidc-issuer-url=https://login.corp.example", "--oidc-client-id=kube", "--oidc-client-secret=s3cret")
    person = Person(rig, args=args)
    before = person.state()
    failed = 0
    for error, call in (("ENOSPC", "write"), ("EIO", "fsync")):
        trace = rig.sandbox.root / "trace"
        for when in range(1, 60):
            inject = f"inject={call}:error={error}:when={when}"
            strace = ("strace", "-qq", "-o", trace, "-e", f"trace={call}", "-e", inject)
            result = rig.sandbox.hallpass("setup", "kubectl", "--from-kubelogin", before=strace)
            if "(INJECTED)" not in trace.read_text(encoding="utf-8"):
                result.ended(0)
                person.setup("--undo").ended(0)
                break
            if result.code == 0:
                # The message about it was lost, not a file.
                person.setup("--undo").ended(0)
            else:
                failed += 1
            left = {path: content for path, content in person.state().items() if before.get(path) != content}
            assert not left and person.state().keys() == before.keys(), f"{error} at {call} {when}: {sorted(map(str, left))}"
        else:
            raise AssertionError(f"{call} never came to an end")
    assert failed >= 6, failed


@case
def a_kubelogin_is_converted_as_kubectl_reads_it_and_every_other_byte_stays(rig):
    for suite in (NEW, OLD):
        person = Person(rig, suite)
        before, (was, users_were) = person.state(), person.view()
        person.setup("--from-kubelogin", "--dry-run").ended(0)
        assert person.state() == before
        person.setup("--from-kubelogin").ended(0)
        config, users = person.view()
        assert but_users(config) == but_users(was)
        assert users["other"] == users_were["other"] and list(users) == list(users_were)
        run = users[person.user]["exec"]
        assert run["command"] == "hallpass" and run["args"][:3] == ["kubectl", "--provider", "login.corp.example"], run
        assert run["apiVersion"] == V1BETA1, run
        if suite == NEW:
            assert run["provideClusterInfo"] is True and run["interactiveMode"] == "IfAvailable", run
            assert "install" in run["installHint"], run
        # One file was changed, and in it one value.
        assert person.files[0].read_bytes() == before[person.files[0].relative_to(rig.sandbox.home)]
        text = person.files[1].read_text(encoding="utf-8")
        for line in ("# people", "- name: other\n  user: {token: theirs}", "  # me", "\n\n# the end\n"):
            assert line in text, text
        after = person.state()
        person.setup("--from-kubelogin").ended(0)
        assert person.state() == after
        person.setup("--undo").ended(0)
        assert person.state() == before


@case
def every_name_of_a_user_is_changed_as_kubectl_reads_it(rig):
    for user in ("a.token.b", "me.exec.com", "arn:aws:eks:eu-1:1:cluster/x", "a b", "ü", "true", "123", 'q"\'', "# no", "- x"):
        person = Person(rig, user=user)
        before, (was, _) = person.state(), person.view()
        person.setup("--user", user, "--from-kubelogin").ended(0)
        config, users = person.view()
        assert users[user]["exec"]["command"] == "hallpass", (user, users)
        assert but_users(config) == but_users(was)
        person.setup("--user", user, "--undo").ended(0)
        assert person.state() == before, user


@case
def what_kubectl_writes_meanwhile_stays_and_the_entry_comes_back(rig):
    # The older kubectl of Debian breaks down when it writes.
    person = Person(rig, args=("--oidc-issuer-url=https://login.corp.example", "--oidc-client-id=k",
                                      "--oidc-client-secret", "hush-hush"))  # fmt: skip
    files = person.state()
    person.setup("--from-kubelogin").ended(0)
    # kubectl reformats what it writes, and drops the comments.
    person.kubectl("config", "set-credentials", "third", "--username=u", "--password=p")
    person.kubectl("config", "use-context", "elsewhere")
    person.kubectl("config", "set-credentials", "other", "--token=new")
    was, users_were = person.view()
    told = person.setup("--undo").ended(0)
    assert "hush-hush" not in told.stdout + told.stderr
    config, users = person.view()
    assert but_users(config) == but_users(was)
    del users_were[person.user]
    run = users.pop(person.user)["exec"]
    assert users == users_were
    assert run["command"] == "kubectl" and run["args"][-2:] == ["--oidc-client-secret", "hush-hush"], run["command"]
    assert not any(b"hush-hush" in content for path, content in person.state().items() if path.parts[0] != ".kube")
    assert set(person.state()) == set(files)


@case
def the_first_file_that_has_the_user_is_the_one_that_is_changed(rig):
    person = Person(rig)
    third = person.folder / "third"
    third.write_text(json.dumps({"users": [{"name": person.user, "user": {"token": "hidden"}}]}), encoding="utf-8")
    nowhere = person.folder / "nowhere"
    rig.sandbox.env["KUBECONFIG"] = os.pathsep.join(map(str, [nowhere, *person.files, third]))
    before, (_, users_were) = person.state(), person.view()
    assert "exec" in users_were[person.user]
    person.setup("--from-kubelogin").ended(0)
    _, users = person.view()
    assert users[person.user]["exec"]["command"] == "hallpass"
    changed = [path for path, content in person.state().items() if path in before and before[path] != content]
    assert changed == [person.files[1].relative_to(rig.sandbox.home)], changed
    person.setup("--undo").ended(0)
    assert person.state() == before


@case
def a_user_that_is_new_is_added_where_kubectl_would(rig):
    person = Person(rig)
    person.kubectl("config", "set-context", "more", "--cluster=c.1", "--user=new.user")
    before = person.state()
    flags = ["--context", "more", "--issuer-url", "https://login.corp.example", "--client-id", "kube", "--scope", "openid"]
    person.setup(*flags).ended(0)
    _, users = person.view()
    assert users["new.user"]["exec"]["command"] == "hallpass"
    # kubectl, too, would have put it into the first file that is there.
    assert "new.user" in person.files[0].read_text(encoding="utf-8")
    assert "new.user" not in person.files[1].read_text(encoding="utf-8")
    person.setup("--context", "more", "--undo").ended(0)
    assert person.state() == before


@case
def nobody_writes_while_kubectl_does(rig):
    person = Person(rig)
    lock = pathlib.Path(f"{person.files[1]}.lock")
    lock.touch()
    before = person.files[1].read_bytes()
    person.setup("--from-kubelogin").ended(1).said("another program is writing", str(lock))
    assert person.files[1].read_bytes() == before and lock.exists()
    lock.unlink()
    person.setup("--from-kubelogin").ended(0)
    assert not lock.exists()


def free_port():
    """One that nobody is given who asks for any."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def with_cluster(rig, client="kubelogin"):
    """A person whose kubelogin signs in to a cluster that is there. Another program has its first port."""
    busy = rig.with_part(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    provider, authority = rig.provider(), rig.authority()
    server = rig.with_part(ApiServer(provider, authority, rig.sandbox.root))
    server.client = client
    args = (
        f"--oidc-issuer-url={provider.issuer}", f"--oidc-client-id={client}", "--oidc-client-secret", provider.secret,
        "--oidc-extra-scope=offline_access", f"--listen-address=127.0.0.1:{busy},127.0.0.1:{free_port()}", "-v1",
    )  # fmt: skip
    person = Person(rig, server=server.url, command="kubelogin", args=args)
    (person.folder / "pki/ca.pem").write_bytes(authority.ca_file.read_bytes())
    return person, provider, server


@case
def a_converted_kubelogin_gets_pods(rig):
    person, provider, server = with_cluster(rig)
    before = person.state()
    told = person.setup("--from-kubelogin").ended(0)
    assert provider.secret not in told.stdout + told.stderr
    config = rig.sandbox.home / ".config/hallpass/config.toml"
    assert provider.secret not in config.read_text(encoding="utf-8")
    assert provider.secret not in person.files[1].read_text(encoding="utf-8")
    private = [path for path in (config.parent).rglob("*") if path.is_file() and provider.secret.encode() in path.read_bytes()]
    assert private and all(path.stat().st_mode & 0o777 == 0o600 for path in private), private
    assert "a-pod-of-the-tests" in person.kubectl("get", "pods")
    assert len(rig.sandbox.tabs()) == 1
    # As kubelogin asked, to the character: the registration has no path.
    (request,) = rig.sandbox.tabs()
    assert "redirect_uri=http%3A%2F%2Flocalhost%3A" in request and "%2Fcallback" not in request, request
    server.refuse_what_was_taken()
    assert "a-pod-of-the-tests" in person.kubectl("get", "pods")
    assert len(rig.sandbox.tabs()) == 1
    # The token is bound to that server from now on.
    person.kubectl("config", "set-cluster", "c.1", "--server=https://localhost:1")
    person.kubectl("get", "pods", code=1)
    person.kubectl("config", "set-cluster", "c.1", f"--server={server.url}")
    person.setup("--undo").ended(0)
    users = person.files[1].relative_to(rig.sandbox.home)
    assert person.state()[users] == before[users]
    assert not any((rig.sandbox.home / ".config/hallpass").rglob("*secret*"))
    person.files[1].unlink()  # the kubelogin's own copy


@case
def the_doctor_names_the_problem_and_the_user_that_the_server_sees(rig):
    person, provider, server = with_cluster(rig)
    looked = rig.sandbox.hallpass("doctor", "kubectl").ended(1)
    assert "runs kubelogin, not hallpass" in looked.stdout, looked.stdout
    person.setup("--from-kubelogin").ended(0)
    looked = rig.sandbox.hallpass("doctor", "kubectl").ended(1)
    assert "not signed in" in looked.stdout and "hallpass login" in looked.stdout, looked.stdout
    person.kubectl("get", "pods")
    provider.new_requests(), server.new_seen()
    looked = rig.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(0)
    user = json.loads(person.kubectl("auth", "whoami", "--output=json"))["status"]["userInfo"]["username"]
    assert user.startswith(f"{provider.issuer}#"), user
    for words in (f"to it you are {user} (the prefix {provider.issuer}# and the token's sub)",
                  "permissions in the namespace default", "audience: kubelogin", "signed with RS256",
                  "clock: the API server's"):  # fmt: skip
        assert words in looked.stdout, looked.stdout
    # Bound with another prefix, or not at all.
    server.username_prefix, server.groups, server.permits = "oidc:", ["oidc:dev"], False
    user = json.loads(person.kubectl("auth", "whoami", "--output=json"))["status"]["userInfo"]["username"]
    looked = rig.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(1)
    for words in (f"to it you are {user} (the prefix oidc: and the token's sub)", "no permissions in the namespace default",
                  f"--clusterrole=view --user={user} --namespace=default", "oidc:dev"):  # fmt: skip
        assert words in looked.stdout, looked.stdout
    server.new_seen()
    server.refuses_all = True
    looked_again = rig.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(1)
    assert "rejects the token (401)" in looked_again.stdout and "--oidc-client-id=kubelogin" in looked_again.stdout, looked_again.stdout
    assert provider.new_grants() == [] and len(rig.sandbox.tabs()) == 1
    for kind, secret in provider.secrets():
        assert secret not in looked.stdout + looked_again.stdout, f"the doctor shows a {kind}"
    # Another cluster's authority is not this one's.
    (person.folder / "pki/ca.pem").write_bytes(rig.authority("another").ca_file.read_bytes())
    looked = rig.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(1)
    assert "certificate" in looked.stdout, looked.stdout
    person.setup("--undo").ended(0)
    person.files[1].unlink()  # the kubelogin's own copy of its secret


@case
def a_ca_that_only_hallpass_knows_is_named_for_the_api_server(rig):
    authority = rig.authority("provider-authority")
    provider = rig.provider(tls=authority.certificate(names=["localhost"]), name="localhost")
    rig.sandbox.browser(ca=authority.ca_file)
    authority_of_server = rig.authority()
    server = rig.with_part(ApiServer(provider, authority_of_server, rig.sandbox.root))
    server.refuses_all = True
    args = (f"--oidc-issuer-url={provider.issuer}", "--oidc-client-id=kubelogin", "--oidc-client-secret", provider.secret,
            "--oidc-extra-scope=offline_access", f"--certificate-authority={authority.ca_file}", f"--listen-address=127.0.0.1:{free_port()}")  # fmt: skip
    person = Person(rig, server=server.url, command="kubelogin", args=args)
    (person.folder / "pki/ca.pem").write_bytes(authority_of_server.ca_file.read_bytes())
    person.setup("--from-kubelogin").ended(0)
    rig.sandbox.hallpass("login", "localhost-" + provider.issuer.rpartition(":")[2]).ended(0)
    looked = rig.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(1)
    for words in ("rejects every token unless its --oidc-ca-file", "--oidc-ca-file=FILE", "rejects the token (401)"):
        assert words in looked.stdout, looked.stdout
    assert provider.new_grants() == [("authorization_code", 200)]
    person.setup("--undo").ended(0)
    person.files[1].unlink()  # the kubelogin's own copy of its secret
