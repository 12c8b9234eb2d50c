"""Real kubectls against a small API server that takes a real provider's tokens.

kubectl 1.32 speaks v1 of the protocol; 1.20, Debian 12's own, speaks v1beta1.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from api_server import ApiServer
from browser import Browser
from rig import case
from sandbox import Blocked, HERE, Result, Terminal, end, wait_for

SECONDS_A_KUBECTL = 60
NEW, OLD = "trixie", "bookworm"
# A parent that has the environment of the sandbox, as a client has that of the person.
PARENT = ["sh", "-c", '"$0" "$@"; exit $?']
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
VERSIONS = {NEW: ("1.32", V1), OLD: ("1.20", V1BETA1)}
# kubectl runs its plugin up to so often where it gets nothing or is refused: facts of its discovery.
MOST_RUNS = 6


def kubectl_of(suite):
    path = HERE / "debian" / suite / "usr/bin/kubectl"
    said = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, text=True, timeout=20)
    version = json.loads(said.stdout)["clientVersion"]["gitVersion"]
    assert version.startswith(f"v{VERSIONS[suite][0]}."), version
    return path


class Desk:
    """A person with a kubectl whose kubeconfig starts hallpass, and a cluster."""

    def __init__(self, rig, suite=NEW, config="", arguments=("--provider", "corp"), introspects=False, **settings):
        self.rig, self.sandbox, self.suite = rig, rig.sandbox, suite
        self.kubectl_path = kubectl_of(suite)
        self.provider = rig.provider(**settings)
        self.authority = rig.authority()
        self.server = rig.with_part(ApiServer(self.provider, self.authority, self.sandbox.root, introspects))
        self.log = self.sandbox.root / "plugin-runs"
        self.plugin = self.sandbox.tools / "counted-hallpass"
        # `exec`, so that kubectl is the parent of what counts.
        self.plugin.write_text(f'#!/bin/sh\necho run >>"{self.log}"\nexec "{self.sandbox.program}" "$@"\n', encoding="utf-8")
        self.plugin.chmod(0o700)
        folder = self.sandbox.home / ".config/hallpass"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            f'scopes = ["openid", "offline_access"]\n{config.format(server=self.server.url)}',
            encoding="utf-8",
        )
        self.arguments = list(arguments)
        self.exec = {"apiVersion": VERSIONS[suite][1], "command": str(self.plugin), "provideClusterInfo": True}
        if suite == NEW:
            self.exec["interactiveMode"] = "IfAvailable"
        self.cluster = {"server": self.server.url, "certificate-authority-data": self.server.authority}
        self.caches = 0
        self.write()

    def write(self, extension=None, clusters=None):
        """The kubeconfig, which is YAML, of which JSON is a part."""
        extensions = {}
        if extension is not None:
            extensions = {"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": extension}]}
        user = {"exec": {**self.exec, "args": ["kubectl", *self.arguments]}}
        clusters = clusters or {"here": self.cluster}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {**cluster, **extensions}} for name, cluster in clusters.items()],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in clusters],
            "current-context": next(iter(clusters)),
        }
        folder = self.sandbox.home / ".kube"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(json.dumps(config), encoding="utf-8")

    def command(self, *args):
        # Each finds nothing in its cache, as the first command of a day.
        self.caches += 1
        return [str(self.kubectl_path), f"--cache-dir={self.sandbox.root}/cache-{self.caches}", *(args or ("get", "pods"))]

    def start(self, *args, **env):
        process = subprocess.Popen(
            self.command(*args),
            env={**self.sandbox.env, **env},
            cwd=self.sandbox.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.sandbox._running.append(process)
        return process

    def finish(self, process):
        started = time.monotonic()
        try:
            out, err = process.communicate(timeout=SECONDS_A_KUBECTL)
        except subprocess.TimeoutExpired:
            end(process)
            out, err = "", f"(ended by the tests after {SECONDS_A_KUBECTL} s)"
        result = Result(["(kubectl)"], process.returncode, out, err, time.monotonic() - started)
        self.sandbox.commands.append(result)
        return result

    def gets_pods(self, *args, **env):
        result = self.ran(*args, **env)
        result.ended(0)
        assert "a-pod-of-the-tests" in result.stdout, result.stdout
        return result

    def ran(self, *args, **env):
        return self.finish(self.start(*args, **env))

    def runs(self):
        """How often the plugin was started since the last time that this was asked."""
        count = len(self.log.read_text(encoding="utf-8").splitlines()) if self.log.exists() else 0
        self.log.unlink(missing_ok=True)
        return count

    def signed_in(self):
        self.gets_pods()
        assert self.runs() == 1
        self.provider.new_requests()

    def end_the_session(self):
        """As an administrator does it: the refresh token is spent too."""
        for token in self.provider.issued("refresh_token"):
            form = urllib.parse.urlencode({"token": token, "client_id": "hallpass"}).encode()
            urllib.request.urlopen(f"{self.provider.issuer}/token/revocation", form, timeout=10).close()
        self.provider.new_requests()

    def healed(self, runs=2):
        assert self.runs() == runs
        grants = self.provider.new_grants()
        assert grants == [("refresh_token", 200)], grants
        assert len(self.sandbox.tabs()) == 1


ENTRY = '\n[[resources]]\nmatch = "{server}"\nprovider = "corp"\ntools = ["kubectl"]\n'


# --- one command ---


@case
def a_sign_in_within_kubectl_get_pods_runs_the_plugin_once(rig):
    desk = Desk(rig)
    desk.gets_pods()
    assert desk.runs() == 1
    assert {status for _, _, status in desk.server.new_seen()} == {200}
    assert len(rig.sandbox.tabs()) == 1
    desk.gets_pods()
    assert desk.runs() == 1
    assert desk.provider.new_grants() == [("authorization_code", 200)]


@case
def the_older_kubectl_signs_in_too(rig):
    desk = Desk(rig, OLD)
    desk.gets_pods()
    assert desk.runs() == 1
    desk.gets_pods()
    assert len(rig.sandbox.tabs()) == 1


@case
def a_refused_token_is_replaced_within_the_command(rig):
    desk = Desk(rig)
    desk.signed_in()
    desk.server.refuse_what_was_taken()
    desk.gets_pods()
    desk.healed()
    # And the next command has nothing to heal.
    desk.gets_pods()
    assert desk.runs() == 1
    assert desk.provider.new_grants() == []


@case
def a_refused_token_is_replaced_within_the_older_kubectls_command(rig):
    desk = Desk(rig, OLD)
    desk.signed_in()
    desk.server.refuse_what_was_taken()
    desk.gets_pods()
    desk.healed()


@case
def an_access_token_that_was_revoked_is_replaced_within_the_command(rig):
    desk = Desk(rig, arguments=("--provider", "corp", "--token", "access"), introspects=True)
    desk.signed_in()
    desk.provider.set(dead=desk.provider.issued("access_token"))
    desk.gets_pods()
    desk.healed()


@case
def a_server_that_refuses_everything_costs_one_refresh(rig):
    desk = Desk(rig)
    desk.signed_in()
    desk.server.refuses_all = True
    failed = desk.ran()
    assert failed.code != 0 and "logged in" in failed.stderr or "Unauthorized" in failed.stderr, failed.stderr
    assert 2 <= desk.runs() <= MOST_RUNS
    assert desk.provider.new_grants() == [("refresh_token", 200)]
    # The next command finds a token that was made a moment ago.
    desk.ran()
    assert desk.runs() <= MOST_RUNS
    assert desk.provider.new_grants() == []
    assert len(rig.sandbox.tabs()) == 1
    desk.server.refuses_all = False
    desk.gets_pods()


@case
def an_expired_token_is_refreshed_before_kubectl_sees_it(rig):
    desk = Desk(rig, idTokenTtl=6, accessTokenTtl=6)
    desk.signed_in()
    time.sleep(6.2)
    desk.gets_pods()
    desk.healed(runs=1)


@case
def a_session_that_was_ended_at_the_provider_leads_to_a_sign_in_within_the_command(rig):
    desk = Desk(rig)
    desk.signed_in()
    desk.server.refuse_what_was_taken()
    desk.end_the_session()
    desk.gets_pods()
    assert desk.runs() == 2
    assert len(rig.sandbox.tabs()) == 2
    assert [status for _, status in desk.provider.new_grants()] == [400, 200]


# --- one tab ---


@case
def a_declined_sign_in_is_asked_for_once_by_all_the_tries_of_one_command(rig):
    desk = Desk(rig)
    rig.sandbox.browser(do="decline")
    failed = desk.ran()
    assert failed.code != 0
    failed.said("declined", "hallpass login corp")
    assert failed.stderr.count("hallpass login corp") == 1, failed.stderr
    assert 2 <= desk.runs() <= MOST_RUNS
    assert len(rig.sandbox.tabs()) == 1
    # Nor by the commands that come within the pause.
    desk.ran().said("hallpass won't ask again")
    assert len(rig.sandbox.tabs()) == 1
    rig.sandbox.browser()
    rig.sandbox.hallpass("login", "corp").ended(0)
    desk.gets_pods()


@case(limit=240)
def twenty_at_once_from_nothing_open_one_tab(rig):
    desk = Desk(rig)
    results = [desk.finish(process) for process in [desk.start() for _ in range(20)]]
    for result in results:
        result.ended(0)
        assert "a-pod-of-the-tests" in result.stdout
    assert len(rig.sandbox.tabs()) == 1
    assert desk.runs() == 20
    assert desk.provider.new_grants() == [("authorization_code", 200)]


@case(limit=150)
def five_at_once_whose_token_was_refused_share_one_refresh(rig):
    desk = Desk(rig)
    desk.signed_in()
    desk.server.refuse_what_was_taken()
    for result in [desk.finish(process) for process in [desk.start() for _ in range(5)]]:
        result.ended(0)
    assert desk.provider.new_grants() == [("refresh_token", 200)]
    assert len(rig.sandbox.tabs()) == 1


# --- who is asked, and where ---


@case
def without_a_browser_and_a_terminal_one_line_says_what_to_run(rig):
    desk = Desk(rig)
    rig.sandbox.no_browser()
    failed = desk.ran()
    assert failed.code != 0
    failed.said("hallpass login corp", "neither a browser nor a terminal")
    rig.sandbox.browser()
    failed = desk.ran(HALLPASS_INTERACTIVE="never")
    failed.said("hallpass login corp", "prompting is disabled")
    assert failed.stderr.count("prompting is disabled") == 1, failed.stderr
    assert rig.sandbox.tabs() == []


@case(limit=150)
def every_interactive_mode_signs_in_with_the_browser(rig):
    for mode in ("Never", "IfAvailable"):
        desk = Desk(Other(rig))
        desk.exec["interactiveMode"] = mode
        desk.write()
        desk.gets_pods()
        assert desk.runs() == 1
        assert len(desk.sandbox.tabs()) == 1
    # kubectl itself wants a terminal for this one.
    desk = Desk(Other(rig))
    desk.exec["interactiveMode"] = "Always"
    desk.write()
    assert desk.ran().code != 0
    assert desk.runs() == 0
    seen = Terminal(desk.sandbox, desk.command(), desk.sandbox.env, program=None).end(SECONDS_A_KUBECTL)
    assert seen.code == 0 and "a-pod-of-the-tests" in seen.stdout, seen.stderr
    assert len(desk.sandbox.tabs()) == 1


@case
def a_client_that_hides_the_plugins_words_still_shows_the_code_on_the_terminal(rig):
    desk = Desk(rig, arguments=("--provider", "corp", "--flow", "device"))
    rig.sandbox.no_browser()
    helm = rig.sandbox.tools / "helm-like"
    helm.write_text('#!/bin/sh\nexec "$@" 2>/dev/null\n', encoding="utf-8")
    helm.chmod(0o700)
    screen = Terminal(rig.sandbox, [helm, *desk.command()], rig.sandbox.env, program=None)
    rig.sandbox._running.append(screen.process)
    code = screen.wait_for(re.compile(r"\b([A-Z]{4}-[A-Z]{4})\b")).group(1)
    page = screen.wait_for(re.compile(re.escape(desk.provider.issuer) + r"/device\b\S*")).group(0)
    Browser().visit(page.split("?")[0], code=code)
    seen = screen.end(SECONDS_A_KUBECTL)
    assert seen.code == 0 and "a-pod-of-the-tests" in seen.stdout, seen.stderr
    assert desk.runs() == 1


class Other:
    """The same rig with another person's sandbox."""

    def __init__(self, rig):
        self._rig, self.sandbox = rig, rig.another_sandbox()
        self.sandbox.browser()
        self.count = len(rig._sandboxes)

    def provider(self, **settings):
        return self._rig.provider_beside(self.count, **settings)

    def authority(self):
        return self._rig.authority(f"authority-{self.count}")

    def __getattr__(self, name):
        return getattr(self._rig, name)


# --- which cluster ---


@case(limit=150)
def the_cluster_finds_its_provider_by_its_server_or_by_its_extension(rig):
    for suite in (NEW, OLD):
        desk = Desk(Other(rig), suite, config=ENTRY, arguments=())
        desk.gets_pods()
        desk.write(extension={"provider": "corp", "token": "id"})
        desk.gets_pods()
        issuer = desk.provider.issuer
        scopes = ["openid", "offline_access"]
        desk.write(extension={"issuerURL": issuer, "clientID": "hallpass", "scopes": scopes})
        desk.gets_pods()
        assert desk.runs() == 3
        assert len(desk.sandbox.tabs()) == 1
        desk.write(extension={"provider": "corp", "clientSecret": "x"})
        failed = desk.ran()
        assert failed.code != 0
        failed.said("unknown key `clientSecret`")


@case(limit=150)
def another_server_gets_no_token_of_a_provider_that_has_clusters(rig):
    desk = Desk(rig, config=ENTRY)
    desk.signed_in()
    evil = rig.with_part(ApiServer(desk.provider, rig.authority("evil"), rig.sandbox.root))
    elsewhere = {"server": evil.url, "certificate-authority-data": evil.authority}
    unverified = {"server": desk.server.url, "insecure-skip-tls-verify": True}
    for arguments in (("--provider", "corp"), adhoc(desk.provider)):
        desk.arguments = list(arguments)
        for cluster, word in ((elsewhere, "does not open"), (unverified, "not verified")):
            desk.write(clusters={"there": cluster})
            failed = desk.ran()
            assert failed.code != 0
            failed.said(word)
    assert [token for _, token, _ in evil.new_seen() if token] == []
    desk.exec["provideClusterInfo"] = False
    desk.write()
    desk.ran().said("provideClusterInfo: true")
    assert len(rig.sandbox.tabs()) == 1


def adhoc(provider):
    return ["--issuer-url", provider.issuer, "--client-id", "hallpass", "--scope", "openid", "--scope", "offline_access"]


@case
def one_client_at_two_clusters_repeats_nothing_and_heals_the_one_that_refuses(rig):
    entry = '\n[[resources]]\nmatch = "https://{0}.corp.example"\nprovider = "corp"\n'
    desk = Desk(rig, config="".join(entry.format(name) for name in ("one", "two")), arguments=())
    # As client-go does it: one process, and a run of the plugin for each cluster that has no
    # token, or whose token was refused.
    client = rig.sandbox.root / "k9s-like.py"
    client.write_text(CLIENT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", client, desk.plugin, "one", "two", "one", "two"],
        env=rig.sandbox.env, cwd=rig.sandbox.home, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=SECONDS_A_KUBECTL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = json.loads(done.stdout)
    assert first == second, "the second cluster asked for the first time"
    assert third != first, "the first one asked again"
    assert fourth == third, "what one heals, the other is handed"
    grants = desk.provider.new_grants()
    assert grants == [("authorization_code", 200), ("refresh_token", 200)], grants
    assert len(rig.sandbox.tabs()) == 1


CLIENT = """
import json, os, subprocess, sys, time
plugin, *clusters = sys.argv[1:]
tokens = []
for name in clusters:
    if len(tokens) == 2:
        time.sleep(1.1)  # Two ID tokens of one second are the same.
    cluster = {"server": f"https://{name}.corp.example", "config": None}
    info = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
            "spec": {"cluster": cluster, "interactive": False}}
    run = subprocess.run([plugin, "kubectl"], env={**os.environ, "KUBERNETES_EXEC_INFO": json.dumps(info)},
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    tokens.append(json.loads(run.stdout)["status"]["token"])
print(json.dumps(tokens))
"""


@case
def the_first_process_of_another_pid_namespace_is_another_parent(rig):
    desk = Desk(rig)
    asks_as = {"KUBERNETES_EXEC_INFO": json.dumps({"kind": "ExecCredential", "apiVersion": V1, "spec": {
        "cluster": {"server": desk.server.url}}})}
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() != 0:
        apart += ["--user", "--map-root-user"]
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, timeout=10)
    if tried.returncode != 0:
        raise Blocked(f"unshare: {tried.stderr.strip()}")

    def tokens(times):
        # A kernel before 6.8 tells two mounts apart by their time, in steps of 4 to 10 ms.
        time.sleep(0.03)
        # The shell is process 1 there, and does not become hallpass.
        script = "; ".join(['"$0" "$@" || exit'] * times)
        before = [*apart, "sh", "-c", f"{script}; exit 0"]
        asked = rig.sandbox.hallpass("kubectl", *desk.arguments, "--token", "access", before=before, **asks_as)
        return [json.loads(line)["status"]["token"] for line in asked.ended(0).stdout.splitlines()]

    [token] = tokens(1)
    for _ in range(3):
        assert tokens(1) == [token], "process 1 of one namespace was taken for that of another"
    handed, replaced = tokens(2)
    assert handed == token
    assert replaced != token, "the same process asked again, and it was not seen"


@case
def a_proxy_of_the_cluster_leads_to_the_provider_where_that_is_asked_for(rig):
    authority = rig.authority("provider-authority")
    provider = rig.provider(tls=authority.certificate(names=["provider.test", "localhost"]), name="provider.test")
    proxy = rig.proxy()
    rig.sandbox.browser(ca=authority.ca_file, proxy=proxy.url)
    folder = rig.sandbox.home / ".config/hallpass"
    folder.mkdir(parents=True, exist_ok=True)
    info = {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False, "cluster": {
        "server": "https://k8s.corp.example", "proxy-url": proxy.url, "certificate-authority-data": "Q0E="}}}  # fmt: skip
    for asked_for in (False, True):
        (folder / "config.toml").write_text(
            f'ca_file = "{authority.ca_file}"\nhttp_timeout = 5\n[providers.corp]\nissuer = "{provider.issuer}"\n'
            f'client_id = "hallpass"\nscopes = ["openid", "offline_access"]\n'
            f"use_cluster_proxy = {str(asked_for).lower()}\n",
            encoding="utf-8",
        )
        proxy.asked.clear()
        result = rig.sandbox.hallpass("kubectl", "--provider", "corp", before=PARENT, KUBERNETES_EXEC_INFO=json.dumps(info))
        if asked_for:
            result.ended(0)
            port = provider.issuer.rpartition(":")[2]
            assert (f"CONNECT provider.test:{port}", 200) in proxy.asked, proxy.asked
            assert json.loads(result.stdout)["status"]["token"] in provider.issued("id_token")
        else:
            result.ended(1).said("provider.test")
            assert proxy.asked == []
    assert len(rig.sandbox.tabs()) == 1


@case
def an_exec_entry_chooses_neither_the_browser_nor_the_configuration(rig):
    desk = Desk(rig, config=ENTRY)
    ran = rig.sandbox.root / "ran"
    folder = rig.sandbox.root / "of-the-kubeconfig"
    folder.mkdir()
    for name in ("xdg-open", "evil"):
        (folder / name).write_text(f"#!/bin/sh\n: >'{ran}'\n", encoding="utf-8")
        (folder / name).chmod(0o700)
    path = f"{folder}:{rig.sandbox.env['PATH']}"
    desk.exec["env"] = [{"name": name, "value": value} for name, value in (
        ("BROWSER", f"{folder}/evil"), ("HALLPASS_BROWSER", f"{folder}/evil"), ("PATH", path))]  # fmt: skip
    desk.write()
    desk.gets_pods()
    assert len(rig.sandbox.tabs()) == 1 and not ran.exists()
    # A configuration that says nothing of the server, and a server that is not the person's.
    (folder / "config.toml").write_text(f'browser = "{folder}/evil"\n', encoding="utf-8")
    evil = rig.with_part(ApiServer(desk.provider, rig.authority("evil"), rig.sandbox.root))
    desk.arguments = adhoc(desk.provider)
    for name, value in (
        ("HALLPASS_CONFIG", folder / "config.toml"), ("XDG_CONFIG_HOME", folder), ("XDG_DATA_HOME", folder),
        ("HALLPASS_DATA_DIR", folder), ("HALLPASS_CA_FILE", folder / "ca.pem"), ("HOME", folder),
        ("SSL_CERT_FILE", folder / "ca.pem"), ("SSL_CERT_DIR", folder),
    ):  # fmt: skip
        desk.exec["env"] = [{"name": name, "value": str(value)}]
        desk.write(clusters={"there": {"server": evil.url, "certificate-authority-data": evil.authority}})
        failed = desk.ran()
        assert failed.code != 0
        failed.said(name)
    assert [token for _, token, _ in evil.new_seen() if token] == []
    assert len(rig.sandbox.tabs()) == 1 and not ran.exists()


# --- a provider in trouble ---


@case
def a_provider_that_is_down_opens_no_browser(rig):
    desk = Desk(rig)
    desk.signed_in()
    desk.provider.pause()
    desk.gets_pods()
    assert desk.runs() == 1
    # Refused, and nobody there to refresh: said, and the kept token is all there is.
    desk.server.refuse_what_was_taken()
    failed = desk.ran()
    assert failed.code != 0
    failed.said("seems to have refused the token", "could not be refreshed")
    assert desk.runs() <= MOST_RUNS
    assert len(rig.sandbox.tabs()) == 1
    desk.provider.resume()
    # For two seconds after a failure no caller asks the provider again.
    wait_for(lambda: desk.ran().code == 0, 20, "the pause did not end")
    assert len(rig.sandbox.tabs()) == 1
