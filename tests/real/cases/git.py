"""Real versions of git with a real git server, whose tokens come from a real provider.

A git since 2.46 can have a refused token replaced within one command; an older one cannot, and
Debian 12's knows nothing of capabilities.
"""

import base64
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

from git_server import GitServer
from names import knowing
from rig import case
from sandbox import HERE, wait_for

SECONDS_A_GIT = 60


def gits():
    """Each version of git on this machine, oldest first: (version, path). `tests/run` provides them."""
    found = {}
    built = sorted(str(folder) for folder in HERE.glob("gits/*/bin"))
    for folder in ("/usr/local/bin", "/usr/bin", *built):
        path = shutil.which("git", path=folder)
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
            found.setdefault(tuple(int(n) for n in re.findall(r"\d+", said)[:2]), path)
    gits = sorted(found.items())
    has_all = gits and gits[0][0] < HEALING and gits[-1][0] >= BEARER_IN_PROBE
    has_all = has_all and any(HEALING <= version < BEARER_IN_PROBE for version, _ in gits)
    assert has_all, f"tests/run builds the gits that are missing: {gits}"
    return gits


HEALING = (2, 46)
# From this version on git sends a Bearer token with a large push too.
BEARER_IN_PROBE = (2, 54)
MIB = 1 << 20


def healing_git():
    """The newest git, which supports `state[]`."""
    return gits()[-1][1]


LARGE = b"one" * 1000


class Desk:
    """A user with git, hallpass and a provider, and a git server with one repository."""

    def __init__(self, rig, git=None, bearer=False, configured=True, served=None, **settings):
        self.rig, self.sandbox = rig, rig.sandbox
        self.git_path = git or healing_git()
        self.before = ()  # what starts git
        self.provider = rig.provider(**settings)
        schemes, user = (("Bearer",), None) if bearer else (("Basic",), "oauth2")
        root = self.sandbox.root / "served"
        self.server = rig.with_part(
            GitServer(root, self.provider, self.git_path, schemes, user, **(served or {}))
        )
        self.asked = self.sandbox.root / "git-asked"
        script = self.sandbox.tools / "askpass"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>"{self.asked}"\nexit 1\n', encoding="utf-8")
        script.chmod(0o700)
        self.sandbox.env.update(
            GIT_ASKPASS=str(script),
            PATH=f"{pathlib.Path(self.git_path).parent}:{self.sandbox.env['PATH']}",
        )
        self.config(bearer)
        self.git("config", "--global", "user.name", "A")
        self.git("config", "--global", "user.email", "a@people.example")
        if configured:
            self.sandbox.hallpass("setup", "git", "--host", self.server.url, "--provider", "corp").ended(0)
        self.make("one.git")

    def config(self, bearer):
        folder = self.sandbox.home / ".config/hallpass"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            f'scopes = ["openid", "offline_access"]\ngit_bearer = {"true" if bearer else "false"}\n',
            encoding="utf-8",
        )

    def make(self, name):
        """Creates a repository with one commit on the server."""
        bare = self.server.root / name
        self.git("init", "--quiet", "--bare", "--initial-branch=main", bare)
        self.git("-C", bare, "config", "http.receivepack", "true")
        work = pathlib.Path(tempfile.mkdtemp(dir=self.sandbox.root))
        self.git("init", "--quiet", "--initial-branch=main", work)
        self.commit(work, "first")
        self.git("-C", work, "push", "--quiet", bare, "main")
        return bare

    def commit(self, work, name):
        (pathlib.Path(work) / name).write_text(name, encoding="utf-8")
        self.git("-C", work, "add", ".")
        self.git("-C", work, "commit", "--quiet", "-m", name)

    def start(self, *args, stdin=None, **env):
        return subprocess.Popen(
            [*self.before, self.git_path, *map(str, args)],
            env={**self.sandbox.env, **env},
            cwd=self.sandbox.home,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ran(self, *args, stdin=None, **env):
        process = self.start(*args, stdin=stdin, **env)
        self.sandbox._running.append(process)
        out, err = process.communicate(stdin, timeout=SECONDS_A_GIT)
        return process.returncode, out, err

    def git(self, *args, **env):
        code, out, err = self.ran(*args, **env)
        assert code == 0, f"git {' '.join(map(str, args))} exited with {code}\n{err}"
        return out

    def clone(self, name="one.git", to="work", *more, **env):
        self.git("clone", "--quiet", *more, f"{self.server.url}/{name}", to, **env)
        return self.sandbox.home / to

    def with_submodules(self, count):
        """Adds submodules to the repository on the server, each with a commit."""
        work = pathlib.Path(tempfile.mkdtemp(dir=self.sandbox.root))
        self.git("clone", "--quiet", self.server.root / "one.git", work)
        for n in range(count):
            local = self.make(f"sub{n}.git")
            self.git("-C", work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", local, f"sub{n}")
            self.git("-C", work, "config", "-f", ".gitmodules", f"submodule.sub{n}.url", f"{self.server.url}/sub{n}.git")
        self.commit(work, "subs")
        self.git("-C", work, "push", "--quiet", "origin", "main")

    def new_commit_on_the_server(self, name="second"):
        work = pathlib.Path(tempfile.mkdtemp(dir=self.sandbox.root))
        self.git("clone", "--quiet", self.server.root / "one.git", work)
        self.commit(work, name)
        self.git("-C", work, "push", "--quiet", "origin", "main")

    def with_a_large_file(self, work):
        """Commits a file that git-lfs has to upload."""
        self.git("lfs", "install", "--skip-repo")
        self.git("config", "--global", "lfs.locksverify", "false")
        self.git("-C", work, "lfs", "track", "*.bin")
        (work / "one.bin").write_bytes(LARGE)
        self.commit(work, "large")

    def with_work_account(self, work):
        """Bob signs in to the account `work`, beside Alice's."""
        self.sandbox.browser(user="bob")
        self.sandbox.hallpass("login", "corp", "--account", "work").ended(0)
        return work

    def kill(self, *tokens):
        """Revokes access tokens; the grant that they came from stays valid."""
        self.provider.set(dead=tokens)
        assert not any(self.provider.introspect(token)["active"] for token in tokens)

    def kill_all(self):
        self.kill(*self.provider.issued("access_token"))
        self.provider.new_requests()

    def end_the_session(self):
        """Ends the session as an administrator would: the refresh token is revoked too."""
        for token in self.provider.issued("refresh_token"):
            form = urllib.parse.urlencode({"token": token, "client_id": "hallpass"}).encode()
            urllib.request.urlopen(f"{self.provider.issuer}/token/revocation", form, timeout=10).close()
        self.provider.new_requests()

    def kill_before(self, method, service):
        """Revokes the token once, just before the server checks it in such a request."""
        done = []

        def before(seen_method, seen_service, token):
            if (seen_method, seen_service) == (method, service) and not done:
                done.append(token)
                self.kill(token)

        self.server.before = before
        return done

    def healed(self, refreshes=1):
        grants = self.provider.new_grants()
        assert grants == [("refresh_token", 200)] * refreshes, grants
        assert len(self.sandbox.tabs()) == 1
        assert not self.asked.exists(), self.asked.read_text(encoding="utf-8")


# --- clone, fetch, push ---


@case(limit=240)
def every_git_clones_fetches_and_pushes_after_one_sign_in(rig):
    for number, (version, path) in enumerate(gits()):
        desk = Desk(rig, path) if number == 0 else Desk(Other(rig), path)
        work = desk.clone()
        desk.new_commit_on_the_server()
        desk.git("-C", work, "pull", "--quiet")
        desk.commit(work, "third")
        desk.git("-C", work, "push", "--quiet")
        served = desk.git("-C", desk.server.root / "one.git", "log", "--format=%s", "main")
        assert served.split() == ["third", "second", "first"], (version, served)
        assert len(desk.sandbox.tabs()) == 1
        assert not desk.asked.exists()


class Other:
    """The same rig with another user's sandbox."""

    def __init__(self, rig):
        self._rig, self.sandbox = rig, rig.another_sandbox()
        self.sandbox.browser()

    def __getattr__(self, name):
        return getattr(self._rig, name)


@case
def no_other_helper_stores_a_token_and_a_bearer_token_goes_out_as_one(rig):
    for bearer in (False, True):
        desk = Desk(Other(rig), bearer=bearer)
        # A helper that the user had before, which would store every credential that worked.
        desk.git("config", "--global", "--unset-all", f"credential.{desk.server.url}.helper")
        desk.git("config", "--global", "credential.helper", "store")
        desk.sandbox.hallpass("setup", "git", "--host", desk.server.url).ended(0)
        work = desk.clone()
        desk.commit(work, "second")
        desk.git("-C", work, "push", "--quiet")
        schemes = {scheme for _, _, scheme, _, status in desk.server.new_seen() if status == 200}
        assert schemes == {"Bearer" if bearer else "Basic"}
        assert not (desk.sandbox.home / ".git-credentials").exists()


@case(limit=240)
def no_other_helper_gets_a_token_wherever_it_is_configured(rig):
    keeps = "[credential]\n\thelper = store\n"
    for version, path in gits():
        for own in (
            '[credential "{url}"]\n\tusername = oauth2\n' + keeps,
            '[credential "{url}"]\n\tusername = oauth2\n[credential "{url}/"]\n\thelper = store\n',
            '[credential "{url}"]\n\tusername = oauth2\n[include]\n\tpath = more\n',
            None,
        ):
            desk = Desk(Other(rig), path, configured=False)
            config = desk.sandbox.home / ".gitconfig"
            (desk.sandbox.home / "more").write_text(keeps, encoding="utf-8")
            set_up = ("setup", "git", "--host", desk.server.url, "--provider", "corp")
            if own is None:  # it comes after the set-up, which is then run again
                desk.sandbox.hallpass(*set_up).ended(0)
                own = keeps
            mine = own.format(url=desk.server.url)
            config.write_text(config.read_text(encoding="utf-8") + mine, encoding="utf-8")
            desk.sandbox.hallpass(*set_up).ended(0)
            desk.clone()
            assert not (desk.sandbox.home / ".git-credentials").exists(), (version, own)
            desk.sandbox.hallpass("setup", "git", "--undo").ended(0)
            assert config.read_text(encoding="utf-8").endswith(mine), (version, own)


@case
def an_expired_token_is_refreshed_between_two_fetches(rig):
    desk = Desk(rig)
    desk.provider.set(accessTokenTtl=2)
    work = desk.clone()
    time.sleep(2.2)
    desk.provider.set(accessTokenTtl=3600)
    desk.provider.new_requests()
    desk.git("-C", work, "fetch", "--quiet")
    desk.healed()


@case
def a_token_that_expires_between_two_requests_of_a_fetch_is_refreshed(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.new_commit_on_the_server()
    desk.provider.set(accessTokenTtl=5)
    desk.sandbox.hallpass("get-token", "corp", "--force-refresh").ended(0)
    desk.provider.set(accessTokenTtl=3600)
    desk.provider.new_requests()
    waited = []

    def before(method, _service, token):
        if method == "POST" and not waited:
            waited.append(token)
            wait_for(lambda: not desk.provider.introspect(token)["active"], 10, "the token did not expire")

    desk.server.before = before
    desk.git("-C", work, "pull", "--quiet")
    assert waited and (work / "second").exists()
    desk.healed()


@case(limit=180)
def ten_clones_at_once_from_nothing_open_one_tab(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path)
        processes = [desk.start("clone", "--quiet", f"{desk.server.url}/one.git", f"w{n}") for n in range(10)]
        desk.sandbox._running.extend(processes)
        for process in processes:
            _, err = process.communicate(timeout=SECONDS_A_GIT)
            assert process.returncode == 0, err
        assert len(desk.sandbox.tabs()) == 1
        assert not desk.asked.exists()


@case(limit=240)
def submodules_in_parallel_need_one_sign_in_and_after_a_revocation_one_refresh(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path)
        desk.with_submodules(8)
        work = desk.clone("one.git", "all", "--recurse-submodules", "--jobs", "8")
        assert (work / "sub7/first").exists()
        assert len(desk.sandbox.tabs()) == 1
        desk.kill_all()
        fetch = ("-C", work, "fetch", "--quiet", "--recurse-submodules=yes", "--jobs", "8")
        if version < HEALING:
            desk.ran(*fetch)
        desk.git(*fetch)
        desk.healed()


@case
def large_files_of_git_lfs_come_and_go_with_the_same_sign_in(rig):
    desk = Desk(rig)
    desk.git("lfs", "install", "--skip-repo")
    desk.git("config", "--global", "lfs.locksverify", "false")
    work = desk.clone()
    desk.git("-C", work, "lfs", "track", "*.bin")
    contents = {f"{n}.bin": bytes([n]) * (100_000 + n) for n in range(8)}
    for name, content in contents.items():
        (work / name).write_bytes(content)
    desk.commit(work, "large")
    desk.git("-C", work, "push", "--quiet")
    assert len(list((desk.server.root / "one.git.lfs").iterdir())) == len(contents)
    assert len([seen for seen in desk.server.new_seen() if seen[4] == 200]) > len(contents)
    # The token is revoked between a push and a clone: git replaces it, and git-lfs gets the new one.
    desk.kill_all()
    again = desk.clone(to="again")
    for name, content in contents.items():
        assert (again / name).read_bytes() == content
    desk.healed()


@case
def git_lfs_itself_gets_another_token_for_one_that_was_revoked(rig):
    """git-lfs doesn't support `state[]`: it erases the refused token and asks once more."""
    desk = Desk(rig)
    work = desk.clone()
    desk.with_a_large_file(work)
    desk.git("-C", work, "push", "--quiet")
    shutil.rmtree(work / ".git/lfs")
    (work / "one.bin").unlink()
    desk.kill_all()
    desk.git("-C", work, "lfs", "pull")
    assert (work / "one.bin").read_bytes() == LARGE
    desk.healed()


@case(limit=180)
def a_private_authority_and_a_proxy_are_honoured_from_the_first_clone_on(rig):
    for number, (_, path) in enumerate(gits()):
        one = Other(rig)
        authority, proxy = rig.authority(f"authority-{number}"), rig.proxy()
        # Only the proxy can resolve the two names.
        served = {"tls": authority.certificate(["git.test"]), "name": "git.test"}
        desk = Desk(one, path, configured=False, served=served,
                    tls=authority.certificate(["provider.test"]), name="provider.test")  # fmt: skip
        one.sandbox.browser(ca=authority.ca_file, proxy=proxy.url)
        config = desk.sandbox.home / ".config/hallpass/config.toml"
        config.write_text(f'ca_file = "{authority.ca_file}"\n' + config.read_text(encoding="utf-8"), encoding="utf-8")
        desk.sandbox.hallpass("setup", "git", "--host", desk.server.url, "--provider", "corp").ended(0)
        url, trusts = f"{desk.server.url}/one.git", {"GIT_SSL_CAINFO": str(authority.ca_file)}
        assert desk.ran("clone", url, "direct", **trusts)[0] == 128
        code, _, err = desk.ran("clone", url, "untrusted", https_proxy=proxy.url)
        assert code == 128 and "certificate" in err.lower(), err
        assert not desk.sandbox.tabs()

        work = desk.clone(https_proxy=proxy.url, **trusts)
        desk.commit(work, "second")
        desk.kill_all()
        push = ("-C", work, "push", "--quiet")
        if desk.ran(*push, https_proxy=proxy.url, **trusts)[0] != 0:
            desk.git(*push, https_proxy=proxy.url, **trusts)
        desk.healed()
        hosts = {address.removeprefix("https://") for address in (desk.server.url, desk.provider.issuer)}
        assert {line.removeprefix("CONNECT ") for line, _ in proxy.asked} == hosts, proxy.asked


# --- large pushes ---


def commit_random_bytes(desk, work, *sizes):
    """Commits a file of each size, each in its own pack. Random bytes can't be compressed."""
    # A new git repacks in the background after a commit, and would combine these packs.
    desk.git("-C", work, "config", "maintenance.auto", "false")
    desk.git("-C", work, "config", "gc.auto", "0")
    for number, size in enumerate(sizes):
        (work / f"random-{number}.bin").write_bytes(os.urandom(size))
        desk.git("-C", work, "add", ".")
        desk.git("-C", work, "commit", "--quiet", "-m", f"random-{number}")
        desk.git("-C", work, "repack", "--quiet", "-d")
    packs = list((work / ".git/objects/pack").glob("*.pack"))
    assert len(packs) >= len(sizes), packs


def arrived(desk, work):
    local = desk.git("-C", work, "rev-parse", "HEAD")
    assert desk.git("-C", desk.server.root / "one.git", "rev-parse", "main") == local
    desk.git("-C", desk.server.root / "one.git", "fsck", "--strict", "--no-dangling")


@case(limit=240)
def every_git_pushes_more_than_its_post_buffer_holds(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.clone()
        for sizes in ((2 * MIB,), (3 * MIB, 2 * MIB, MIB)):
            commit_random_bytes(desk, work, *sizes)
            desk.server.new_seen()
            desk.git("-C", work, "push", "--quiet")
            arrived(desk, work)
            posts = [seen for seen in desk.server.new_seen() if seen[0] == "POST"]
            # The probe and the push itself: neither is refused.
            assert [seen[4] for seen in posts] == [200, 200], (version, sizes, posts)
        # With this limit, nearly every push is chunked.
        commit_random_bytes(desk, work, 300_000)
        desk.git("-C", work, "-c", "http.postBuffer=65536", "push", "--quiet")
        arrived(desk, work)
        assert len(desk.sandbox.tabs()) == 1 and not desk.asked.exists()


@case(limit=240)
def every_git_pushes_a_repository_of_100_mb(rig):
    source = rig.sandbox.root / "large"
    for bearer in (False, True):
        for version, path in gits():
            if bearer and version < HEALING:
                continue
            desk = Desk(Other(rig), path, bearer=bearer)
            if not source.exists():
                desk.git("init", "--quiet", "--initial-branch=main", source)
                # Random bytes can't be compressed.
                desk.git("-C", source, "config", "core.compression", "0")
                (source / "random.bin").write_bytes(os.urandom(100_000_000))
                desk.commit(source, "large")
                desk.git("-C", source, "repack", "--quiet", "-d")
            # The server stores the pack as it is.
            desk.git("-C", desk.server.root / "one.git", "config", "receive.unpackLimit", "1")
            if bearer and version < BEARER_IN_PROBE:  # as setup says
                desk.git("config", "--global", f"http.{desk.server.url}.postBuffer", "500m")
            desk.git("-C", source, "push", "--quiet", f"{desk.server.url}/one.git", "main:large")
            large = desk.git("-C", desk.server.root / "one.git", "rev-parse", "large")
            assert large == desk.git("-C", source, "rev-parse", "main"), (version, bearer)
            seen = desk.server.new_seen()
            schemes = {scheme for _, _, scheme, _, status in seen if status == 200}
            assert schemes == {"Bearer" if bearer else "Basic"}, (version, seen)
            assert len(desk.sandbox.tabs()) == 1 and not desk.asked.exists()


@case(limit=240)
def a_dead_token_in_front_of_a_large_push_is_replaced(rig):
    for version, path in gits():
        for at in ("GET", "POST"):
            desk = Desk(Other(rig), path)
            work = desk.clone()
            commit_random_bytes(desk, work, 2 * MIB, MIB)
            desk.provider.new_requests()
            died = desk.kill_before(at, "git-receive-pack")
            push = ("-C", work, "push", "--quiet")
            if version < HEALING:
                code, _, err = desk.ran(*push)
                assert code != 0, (version, at, err)
            desk.git(*push)
            assert died, (version, at)
            arrived(desk, work)
            desk.healed()


@case(limit=240)
def a_partial_clone_fetches_many_missing_blobs(rig):
    """A request for 24,000 objects is larger than `http.postBuffer` as well."""
    for version, path in gits():
        desk = Desk(Other(rig), path)
        bare = desk.server.root / "one.git"
        desk.git("-C", bare, "config", "uploadpack.allowFilter", "true")
        desk.git("-C", bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        blobs = "".join(f"M 100644 inline d{n // 200}/{n}\ndata {len(str(n))}\n{n}\n" for n in range(24_000))
        head = "commit refs/heads/main\ncommitter A <a@people.example> 0 +0000\ndata 4\nmany\nfrom refs/heads/main^0\n"
        code, _, err = desk.ran("-C", bare, "fast-import", "--quiet", stdin=head + blobs)
        assert code == 0, err
        for dies in (False, True) if path == healing_git() else (False,):
            work = desk.clone("one.git", f"partial-{dies}", "--filter=blob:none", "--no-checkout")
            if dies:
                desk.kill_all()
            desk.server.new_seen()
            desk.provider.new_requests()
            checkout = ("-C", work, "-c", "gc.auto=0", "checkout", "--quiet", "main")
            desk.git(*checkout)
            assert (work / "d119/23999").read_text(encoding="utf-8") == "23999"
            posts = [seen for seen in desk.server.new_seen() if seen[0] == "POST"]
            assert posts, (version, dies)
            desk.healed(int(dies))


@case(limit=180)
def a_server_that_accepts_only_bearer_gets_large_pushes_as_setup_explains(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path, bearer=True)
        said = desk.sandbox.hallpass("setup", "git", "--host", desk.server.url).ended(0).stdout
        if version < HEALING:
            assert "update git to 2.46 or later" in said, said
            continue
        work = desk.clone()
        commit_random_bytes(desk, work, 2 * MIB)
        key = f"http.{desk.server.url}.postBuffer"
        if version < BEARER_IN_PROBE:
            command = next(line.strip() for line in said.splitlines() if key in line)
            assert command.startswith("git config --global "), said
            desk.git(*command.split()[1:])
        else:
            assert "only Bearer" not in said, said
        desk.git("-C", work, "push", "--quiet")
        arrived(desk, work)
        if version < BEARER_IN_PROBE:  # what the advice is for
            desk.git("config", "--global", "--unset", key)
            commit_random_bytes(desk, work, 2 * MIB)
            code, _, err = desk.ran("-C", work, "push", "--quiet")
            assert code != 0, (version, err)
        assert {scheme for _, _, scheme, _, status in desk.server.new_seen() if status == 200} == {"Bearer"}
        assert not desk.asked.exists()


# --- a refused token, replaced within the command ---


@case(limit=240)
def a_revoked_token_is_replaced_within_the_fetch_or_push_wherever_it_is_refused(rig):
    for bearer in (False, True):
        for push in (False, True):
            for at in ("GET", "POST"):
                desk = Desk(Other(rig), bearer=bearer)
                work = desk.clone()
                desk.commit(work, "mine") if push else desk.new_commit_on_the_server()
                desk.provider.new_requests()
                died = desk.kill_before(at, "git-receive-pack" if push else "git-upload-pack")
                desk.git("-C", work, *(("push",) if push else ("pull",)), "--quiet")
                assert died, (bearer, push, at)
                if push:
                    log = desk.git("-C", desk.server.root / "one.git", "log", "--format=%s", "main")
                    assert log.split() == ["mine", "first"]
                else:
                    assert (work / "second").exists()
                desk.healed()


@case
def a_fetch_signs_in_again_after_the_session_ended(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.new_commit_on_the_server()
    desk.end_the_session()
    # If prompting is disabled, git fails, and the message says what to run.
    code, _, err = desk.ran("-C", work, "fetch", GIT_TERMINAL_PROMPT="0")
    assert code == 128 and "hallpass login corp" in err, err
    assert len(desk.sandbox.tabs()) == 1
    desk.git("-C", work, "pull", "--quiet")
    assert (work / "second").exists()
    assert desk.provider.new_grants() == [("refresh_token", 400), ("authorization_code", 200)]
    assert len(desk.sandbox.tabs()) == 2
    assert not desk.asked.exists()


@case
def a_server_that_refuses_every_token_ends_the_command_without_a_prompt(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.provider.new_requests()
    desk.server.new_seen()
    desk.server.refuses_all = True
    for _ in range(2):
        code, _, err = desk.ran("-C", work, "fetch")
        assert code != 0
        assert len(desk.server.new_seen()) <= 4
    assert "hallpass login" in err, err
    desk.healed()  # one refresh in five minutes, however often it is refused


@case(limit=240)
def a_repository_without_permission_withholds_the_token_from_no_other_one(rig):
    """With `credential.useHttpPath`, git names the repository, and only that repository gets no token."""
    for version, path in gits():
        for names_path in (False, True):
            desk = Desk(Other(rig), path)
            work = desk.clone()
            desk.make("closed.git")
            desk.server.closed.add("closed.git")
            desk.git("config", "--global", f"credential.{desk.server.url}.useHttpPath", str(names_path).lower())
            desk.provider.new_requests()
            for _ in range(3):
                code, _, err = desk.ran("ls-remote", f"{desk.server.url}/closed.git")
                assert code != 0, (version, names_path)
                # All other repositories and tools still work, without another refresh.
                desk.git("-C", work, "fetch", "--quiet")
                desk.sandbox.hallpass("get-token", "corp", "--interactive", "never").ended(0)
            if names_path or version >= HEALING:
                assert "the token is valid" in err and "permission" in err, (version, names_path, err)
            if names_path:
                assert f"{desk.server.url}/closed.git does not accept it" in err, (version, err)
            said = desk.sandbox.hallpass("status").ended(0).stdout
            assert f"refused by {desk.server.url}" in said, said
            desk.healed()


@case
def two_rejects_do_not_withhold_the_token(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.provider.new_requests()
    wanted = f"url={desk.server.url}\n\n"
    tokens = []
    for _ in range(3):
        code, said, err = desk.ran("credential", "fill", stdin=wanted)
        assert code == 0, err
        tokens.append(re.search("^password=(.*)$", said, re.M)[1])
        assert desk.ran("credential", "reject", stdin=said)[0] == 0
    assert tokens[0] != tokens[1] == tokens[2]
    desk.git("-C", work, "fetch", "--quiet")
    desk.sandbox.hallpass("get-token", "corp", "--interactive", "never").ended(0)
    desk.healed()


@case
def an_older_git_fails_once_and_its_next_command_works_without_a_sign_in(rig):
    version, path = gits()[0]
    desk = Desk(rig, path)
    work = desk.clone()
    desk.kill_all()
    code, _, err = desk.ran("-C", work, "fetch")
    assert code == 128, (version, err)
    desk.git("-C", work, "fetch")
    desk.healed()


# --- whose token ---


@case
def the_repository_names_the_account_and_so_may_a_command(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.sandbox.browser(user="bob")
    desk.sandbox.hallpass("login", "corp", "--account", "work").ended(0)
    desk.server.new_seen()

    def who():
        return {who for _, _, _, who, status in desk.server.new_seen() if status == 200}

    desk.git("-C", work, "fetch")
    assert who() == {"alice"}
    desk.git("-C", work, "-c", "hallpass.account=work", "fetch")
    assert who() == {"bob"}
    desk.git("-C", work, "config", "hallpass.account", "work")
    desk.git("-C", work, "fetch")
    assert who() == {"bob"}
    # A linked work tree uses the configuration of its repository.
    desk.git("-C", work, "worktree", "add", "--quiet", "../linked")
    desk.git("-C", desk.sandbox.home / "linked", "fetch")
    assert who() == {"bob"}
    desk.git("-C", work, "config", "--unset", "hallpass.account")
    # A clone that only this account may see.
    desk.git("clone", "--quiet", "-c", "hallpass.account=work", f"{desk.server.url}/one.git", "cloned")
    assert who() == {"bob"}
    # The name in the URL.
    desk.git("-C", work, "fetch", desk.server.url.replace("://", "://work@") + "/one.git")
    assert who() == {"bob"}
    assert len(desk.sandbox.tabs()) == 2


@case(limit=240)
def a_name_in_the_url_is_that_person_or_an_error(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.with_work_account(desk.clone())

        def fetch(name):
            url = desk.server.url.replace("://", f"://{name}@") + "/one.git"
            desk.server.new_seen()
            code, _, err = desk.ran("-C", work, "fetch", url, GIT_TERMINAL_PROMPT="0")
            return code, {who for _, _, _, who, status in desk.server.new_seen() if status == 200}, err

        for name, person in (
            ("work", "bob"),
            ("WORK", "bob"),
            ("Bob", "bob"),
            ("alice", "alice"),
            ("git", "alice"),
        ):
            code, who, err = fetch(name)
            assert (code, who) == (0, {person}), (version, name, code, who, err)
        code, who, err = fetch("mallory")
        assert code == 128 and not who, (version, err)
        for words in ("the user name mallory", "default (alice), work (bob)", "hallpass login corp --account mallory"):
            assert words in err, (version, words, err)
        code, who, err = fetch("ghp_16C7e42F292c6912E7710c838347Ae178B4a")
        assert code == 128 and not who and "looks like a token" in err, (version, err)
        hallpass_said = [line for line in err.splitlines() if "unable to access" not in line and "for 'http" not in line]
        assert not any("16C7e42F" in line for line in hallpass_said), (version, err)
        assert len(desk.sandbox.tabs()) == 2


@case
def one_entry_and_an_include_choose_the_account_of_a_folder(rig):
    desk = Desk(rig)
    desk.with_work_account(desk.clone())
    desk.clone(to="at-work")
    desk.sandbox.hallpass("setup", "git", "--host", desk.server.url, "--account", "work").ended(0)
    desk.git("config", "--global", "includeIf.gitdir:~/at-work/.path", "~/.gitconfig-work")
    desk.git("config", "--file", desk.sandbox.home / ".gitconfig-work", "hallpass.account", "Bob")
    for folder, person in (("at-work", "bob"), ("work", "alice"), ("at-work", "bob")):
        desk.server.new_seen()
        desk.git("-C", desk.sandbox.home / folder, "fetch")
        assert {who for _, _, _, who, status in desk.server.new_seen() if status == 200} == {person}, folder
    # It also works without the second entry.
    desk.sandbox.hallpass("setup", "git", "--host", desk.server.url, "--account", "work", "--undo").ended(0)
    desk.server.new_seen()
    desk.git("-C", desk.sandbox.home / "at-work", "fetch")
    assert {who for _, _, _, who, status in desk.server.new_seen() if status == 200} == {"bob"}


@case(limit=240)
def a_push_as_another_account_continues_with_a_new_token_of_that_account(rig):
    """The user name in a reply is the same for all accounts, so only the token identifies its account."""
    for version, path in gits():
        for at in ("GET", "POST"):
            desk = Desk(Other(rig), path)
            work = desk.with_work_account(desk.clone())
            desk.git("-C", work, "remote", "set-url", "origin", desk.server.url.replace("://", "://work@") + "/one.git")
            desk.commit(work, "second")
            desk.server.new_seen()
            desk.provider.new_requests()
            died = desk.kill_before(at, "git-receive-pack")
            push = ("-C", work, "push", "--quiet", "origin", "main")
            if version < HEALING:
                code, _, err = desk.ran(*push, GIT_TERMINAL_PROMPT="0")
                assert code != 0, (version, at, err)
            desk.git(*push, GIT_TERMINAL_PROMPT="0")
            assert died, (version, at)
            seen = desk.server.new_seen()
            assert {who for _, _, _, who, status in seen if status == 200} == {"bob"}, (version, at, seen)
            assert desk.provider.new_grants() == [("refresh_token", 200)], (version, at)
            log = desk.git("-C", desk.server.root / "one.git", "log", "--format=%s", "main")
            assert log.split() == ["second", "first"]
            assert len(desk.sandbox.tabs()) == 2 and not desk.asked.exists()


@case(limit=120)
def git_lfs_as_another_account_asks_once_more_and_does_not_loop(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.with_work_account(desk.clone())
        desk.git("-C", work, "remote", "set-url", "origin", desk.server.url.replace("://", "://work@") + "/one.git")
        desk.with_a_large_file(work)
        desk.git("-C", work, "push", "--quiet", "origin", "main")
        shutil.rmtree(work / ".git/lfs")
        (work / "one.bin").unlink()
        desk.kill(desk.sandbox.hallpass("get-token", "corp", "--account", "work").token)
        desk.provider.new_requests()
        desk.server.new_seen()
        desk.git("-C", work, "lfs", "pull", GIT_TERMINAL_PROMPT="0")
        assert (work / "one.bin").read_bytes() == LARGE
        seen = desk.server.new_seen()
        assert len(seen) < 10 and {who for _, _, _, who, status in seen if status == 200} == {"bob"}, seen
        assert desk.provider.new_grants() == [("refresh_token", 200)]
        assert len(desk.sandbox.tabs()) == 2 and not desk.asked.exists()


@case(limit=120)
def git_lfs_uses_the_account_that_the_repository_names(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.with_work_account(desk.clone())
        desk.git("-C", work, "config", "hallpass.account", "work")
        desk.with_a_large_file(work)
        desk.server.new_seen()
        desk.git("-C", work, "push", "--quiet", "origin", "main")
        seen = desk.server.new_seen()
        assert {"batch", "git-receive-pack"} <= {what for _, what, *_ in seen}, seen
        assert {who for _, _, _, who, status in seen if status == 200} == {"bob"}, seen


@case(limit=180)
def after_a_new_sign_in_the_next_command_uses_that_person(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.clone()
        desk.sandbox.browser(user="bob")
        # An account belongs to one person; another person can use it only after a logout.
        desk.sandbox.hallpass("login", "corp").ended(1).said("alice", "bob")
        desk.git("-C", work, "fetch")
        desk.sandbox.hallpass("logout", "corp").ended(0)
        desk.sandbox.hallpass("login", "corp").ended(0)
        desk.server.new_seen()
        desk.git("-C", work, "fetch")
        assert {seen[3] for seen in desk.server.new_seen() if seen[4] == 200} == {"bob"}
        assert not desk.asked.exists()


@case
def a_declined_sign_in_ends_git_without_a_question(rig):
    desk = Desk(rig)
    desk.sandbox.browser(do="decline")
    for _ in range(2):
        code, _, err = desk.ran("clone", f"{desk.server.url}/one.git", "work")
        assert code == 128 and "told us to quit" in err, err
    assert len(desk.sandbox.tabs()) == 1
    assert not desk.asked.exists()


@case
def no_browser_opens_if_prompting_is_disabled(rig):
    desk = Desk(rig)
    for env in ({"GIT_TERMINAL_PROMPT": "0"}, {"GCM_INTERACTIVE": "never"}):
        code, _, err = desk.ran("clone", f"{desk.server.url}/one.git", "work", **env)
        assert code == 128 and "hallpass login corp" in err, err
    code, _, err = desk.ran("-c", "credential.interactive=false", "clone", f"{desk.server.url}/one.git", "work")
    assert code == 128 and "hallpass login corp" in err, err
    assert not desk.sandbox.tabs()
    # Neither a browser nor a terminal.
    desk.sandbox.no_browser()
    code, _, err = desk.ran("clone", f"{desk.server.url}/one.git", "work")
    assert code == 128 and "hallpass login corp" in err, err
    assert not [line for line in desk.provider.new_requests() if "device" in line["path"]]


# --- any other host ---


@case
def background_work_opens_no_tab(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path)
        work = desk.clone()
        desk.end_the_session()
        desk.sandbox.hallpass("logout", "corp").ended(0)
        tabs = len(desk.sandbox.tabs())
        code, _, err = desk.ran("-C", work, "maintenance", "run", "--task=prefetch")
        assert "hallpass login corp" in err, (code, err)
        code, _, err = desk.ran("-C", work, "fetch", VSCODE_GIT_FETCH_SILENT="true", GIT_TERMINAL_PROMPT="0")
        assert code == 128 and "hallpass login corp" in err, err
        assert len(desk.sandbox.tabs()) == tabs
        # The same commands work with a session.
        desk.git("-C", work, "fetch")
        assert len(desk.sandbox.tabs()) == tabs + 1
        desk.git("-C", work, "maintenance", "run", "--task=prefetch")
        desk.git("-C", work, "fetch", VSCODE_GIT_FETCH_SILENT="true")
        assert len(desk.sandbox.tabs()) == tabs + 1


@case
def a_mail_server_gets_a_token_only_if_git_requires_tls(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        config = desk.sandbox.home / ".config/hallpass/config.toml"
        entry = '[[resources]]\nmatch = "smtp://mail.corp.example:587"\nprovider = "corp"\n'
        config.write_text(config.read_text(encoding="utf-8") + entry, encoding="utf-8")
        desk.sandbox.hallpass("setup", "git").ended(0)
        asked = "protocol=smtp\nhost=mail.corp.example:587\nusername=alice\n"

        def fill():
            code, said, err = desk.ran("credential", "fill", stdin=f"{asked}\n")
            found = re.search("^password=(.*)$", said, re.M)
            return found and found[1], said, err

        token, _, err = fill()
        assert token is None and "without TLS" in err and "sendemail.smtpEncryption tls" in err, err
        assert not desk.sandbox.tabs()
        desk.git("config", "--global", "sendemail.smtpEncryption", "tls")
        token, said, err = fill()
        assert token, (version, said, err)
        assert desk.provider.introspect(token)["sub"] == "alice", err
        assert "username=alice\n" in said, said
        # As git send-email does after a success, and after 535.
        assert desk.ran("credential", "approve", stdin=f"{asked}password={token}\n\n")[0] == 0
        assert fill()[0] == token
        assert desk.ran("credential", "reject", stdin=f"{asked}password={token}\n\n")[0] == 0
        fresh, _, err = fill()
        assert fresh not in (None, token), err
        assert len(desk.sandbox.tabs()) == 1


@case
def default_stores_passphrases_and_says_what_it_does_not_store(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        said = desk.sandbox.hallpass("setup", "git", "--default").ended(0)
        assert "--plain-http" in said.stdout, said.stdout

        def fill(asked):
            code, said, _ = desk.ran("credential", "fill", stdin=f"{asked}\n", GIT_TERMINAL_PROMPT="0")
            found = re.search("^password=(.*)$", said, re.M)
            return found and found[1]

        certificate = "protocol=cert\nhost=\nusername=\npath=/home/me/client.pem\n"
        assert desk.ran("credential", "approve", stdin=f"{certificate}password=canary\n\n")[0] == 0
        assert fill(certificate) == "canary"
        intranet = "protocol=http\nhost=intranet\nusername=me\n"
        code, _, err = desk.ran("credential", "approve", stdin=f"{intranet}password=canary\n\n")
        assert code == 0 and "plain http is not encrypted" in err, err
        assert fill(intranet) is None
        # What it says to run helps.
        command = re.search("run `hallpass (.*)`", err)[1]
        desk.sandbox.hallpass(*command.split()).ended(0)
        assert desk.ran("credential", "approve", stdin=f"{intranet}password=canary\n\n")[0] == 0
        assert fill(intranet) == "canary"


@case(limit=180)
def a_proxy_gets_its_password_from_hallpass(rig):
    for version, path in gits():
        one = Other(rig)
        authority = rig.authority(f"authority-{version}")
        served = {"tls": authority.certificate(["git.test"]), "name": "git.test"}
        desk = Desk(one, path, served=served)
        proxy = rig.proxy(user="me", password="pass%word")
        name = f"proxy.corp.example:{proxy.port}"
        desk.sandbox.hallpass("setup", "git", "--default", "--plain-http", name).ended(0)
        desk.git("config", "--global", "http.proxy", f"http://me@{name}")
        desk.git("config", "--global", "http.sslCAInfo", authority.ca_file)
        desk.before = knowing(desk.sandbox, "proxy.corp.example")
        # git asks for the proxy's password once.
        answers = desk.sandbox.tools / "answers"
        answers.write_text('#!/bin/sh\necho "pass%word"\n', encoding="utf-8")
        answers.chmod(0o700)
        work = desk.clone(GIT_ASKPASS=str(answers))
        desk.new_commit_on_the_server()
        desk.git("-C", work, "pull", "--quiet")
        assert (work / "second").exists()
        assert {status for _, status in proxy.asked} <= {200, 407}, (version, proxy.asked)
        assert len(desk.sandbox.tabs()) == 1 and not desk.asked.exists(), version


@case
def an_internationalized_host_is_answered_in_both_spellings(rig):
    for version, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        desk.sandbox.hallpass("setup", "git", "--host", "bücher.example", "--provider", "corp").ended(0)
        tokens = set()
        for host in ("bücher.example", "xn--bcher-kva.example"):
            code, said, err = desk.ran("credential", "fill", stdin=f"url=https://{host}/a.git\n\n")
            assert code == 0, (version, host, err)
            tokens.add(re.search("^password=(.*)$", said, re.M)[1])
        assert len(tokens) == 1 and len(desk.sandbox.tabs()) == 1, version


@case
def doctor_explains_what_git_asks_and_who_answers(rig):
    desk = Desk(rig)
    work = desk.clone()
    url = f"{desk.server.url}/one.git"

    def doctor(*args):
        return subprocess.run(
            [desk.sandbox.program, "doctor", "git", *args],
            env=desk.sandbox.env,
            cwd=work,
            capture_output=True,
            text=True,
            timeout=SECONDS_A_GIT,
        )

    said = doctor(url)
    assert said.returncode == 0, said
    for words in ("git asks hallpass", "helper 1: ", "the account default of corp, alice answers"):
        assert words in said.stdout, (words, said)
    desk.git("-C", work, "remote", "set-url", "origin", url.replace("://", "://alice:hunter2@"))
    said = doctor()
    assert said.returncode == 1 and "the remote origin contains a password" in said.stdout, said
    assert "hunter2" not in said.stdout + said.stderr, said
    desk.git("-C", work, "remote", "set-url", "origin", url)

    # What git uses before it asks a helper.
    desk.server.passwords["me"] = "hunter2"
    basic = base64.b64encode(b"me:hunter2").decode()
    netrc = desk.sandbox.home / ".netrc"
    header = f"http.{desk.server.url}.extraHeader"

    def fetches_as(who, words):
        desk.server.new_seen()
        desk.git("-C", work, "fetch")
        assert {who for *_, who, status in desk.server.new_seen() if status == 200} == {who}
        said = doctor(url).stdout
        assert (words in said) == (who == "me") and "hunter2" not in said, said

    netrc.write_text("machine 127.0.0.1 login me password hunter2\n", encoding="utf-8")
    fetches_as("me", "git uses the password in ~/.netrc")
    netrc.unlink()
    fetches_as("alice", "git uses the password in ~/.netrc")
    desk.git("-C", work, "config", header, f"Authorization: Basic {basic}")
    fetches_as("me", "contains an Authorization header")
    desk.git("-C", work, "config", "--unset", header)
    fetches_as("alice", "contains an Authorization header")


@case
def a_latin1_path_is_answered_with_use_http_path(rig):
    desk = Desk(rig)
    desk.git("config", "--global", "credential.useHttpPath", "true")
    source = desk.make("one.git")
    (desk.server.root / "caf").mkdir()
    shutil.copytree(os.fsencode(source), os.fsencode(desk.server.root / "caf") + b"/\xe9.git")
    desk.git("clone", "--quiet", f"{desk.server.url}/caf/%E9.git", "latin1")
    assert (desk.sandbox.home / "latin1/first").exists()
    assert len(desk.sandbox.tabs()) == 1


@case(limit=180)
def a_typed_password_is_stored_and_an_unknown_host_gets_nothing(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        desk.sandbox.hallpass("setup", "git", "--default").ended(0)
        desk.server.passwords["me"] = "pass word"
        # Nothing is stored, so git sends no credential and asks the user.
        code, _, _ = desk.ran("clone", f"{desk.server.url}/one.git", "work")
        assert code == 128 and desk.asked.exists()
        assert [seen[2] for seen in desk.server.new_seen()] == [None]
        answers = desk.sandbox.tools / "answers"
        answers.write_text('#!/bin/sh\ncase "$1" in User*) echo me;; *) echo "pass word";; esac\n', encoding="utf-8")
        answers.chmod(0o700)
        desk.git("clone", "--quiet", f"{desk.server.url}/one.git", "work", GIT_ASKPASS=str(answers))
        work = desk.sandbox.home / "work"
        desk.asked.unlink()
        desk.git("-C", work, "fetch")
        assert not desk.asked.exists()
        # The password is changed on the server: git erases it, and asks again the next time.
        desk.server.passwords["me"] = "another"
        code, _, _ = desk.ran("-C", work, "fetch")
        assert code == 128
        desk.ran("-C", work, "fetch")
        assert desk.asked.exists()
        assert not desk.sandbox.tabs()


@case(limit=180)
def fill_approve_and_reject_are_what_git_defines(rig):
    """As git's own tests for external helpers: a password is returned as it was stored, only for that
    protocol, host, path and user, and hallpass prints no messages."""
    for version, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        desk.sandbox.hallpass("setup", "git", "--default").ended(0)

        def credential(operation, *lines):
            code, out, err = desk.ran("credential", operation, stdin="\n".join(lines) + "\n\n")
            if operation == "approve" and "protocol=http" in lines:
                # Another case checks the message about plain http.
                assert "plain http is not encrypted" in err, (version, lines, err)
                err = ""
            assert "hallpass" not in err and (code == 0 or operation == "fill"), (version, lines, err)
            assert code != 0 or err == "", (version, lines, err)
            return sorted(out.splitlines()) if code == 0 else None

        def fills(lines, expected):
            said = credential("fill", *lines)
            assert said == sorted([*lines, *expected]), (version, lines, said)
            assert not desk.asked.exists(), (version, lines)

        def asks(lines):
            assert credential("fill", *lines) is None, (version, lines)
            assert desk.asked.exists(), (version, lines)
            desk.asked.unlink()

        https = ["protocol=https", "host=example.com"]
        asks(https)
        credential("approve", *https, "username=store-user", "password=store-pass")
        fills(https, ["username=store-user", "password=store-pass"])
        asks(["protocol=http", "host=example.com"])
        asks(["protocol=https", "host=other.tld"])
        asks([*https, "username=other"])
        desk.git("config", "--global", "credential.useHttpPath", "true")
        path_tld = ["protocol=https", "host=path.tld"]
        credential("approve", *path_tld, "path=foo.git", "username=user", "password=pass")
        asks([*path_tld, "path=bar.git"])
        fills([*path_tld, "path=foo.git"], ["username=user", "password=pass"])
        desk.git("config", "--global", "--unset", "credential.useHttpPath")
        credential("approve", *https, "username=store-user", "password=new")
        fills(https, ["username=store-user", "password=new"])
        credential("reject", *https, "username=store-user", "password=new")
        asks([*https, "username=store-user"])
        for user in ("erase1", "erase2"):
            credential("approve", *https, f"username={user}", "password=p")
        credential("reject", *https)
        asks(https)
        for user in ("erase1", "erase2"):
            asks([*https, f"username={user}"])
        for user in ("user1", "user2"):
            credential("approve", *https, f"username={user}", f"password={user}-pass")
        for user in ("user1", "user2"):
            fills([*https, f"username={user}"], [f"password={user}-pass"])
        credential("reject", *https, "username=user1", "password=older")
        if version >= (2, 41):  # an older git compares no password on erase, and its suite neither
            fills([*https, "username=user1"], ["password=user1-pass"])
        credential("reject", *https, "username=user1")
        asks([*https, "username=user1"])
        fills([*https, "username=user2"], ["password=user2-pass"])
        credential("approve", "protocol=https", "host=sso.tld", "username=", "password=")
        fills(["protocol=https", "host=sso.tld"], ["username=", "password="])
        # A challenge so long that part of it could be left in a reader's buffer.
        credential("approve", "protocol=https", "host=victim.example", "username=user", "password=to-be-stolen")
        for length in (1001, 4073, 60_000):
            asks(["protocol=https", "host=other.example", f"wwwauth[]=basic realm={'a' * length}host=victim.example"])
        fills(["protocol=https", "host=victim.example"], ["username=user", "password=to-be-stolen"])
        credential("approve", "protocol=http", "host=plain.example", "username=user", "password=p")
        asks(["protocol=http", "host=plain.example"])
        if version >= (2, 41):
            more = ["password_expiry_utc=9999999999", "oauth_refresh_token=xyzzy"]
            credential("approve", "protocol=https", "host=timeout.tld", "username=u", "password=p", *more)
            fills(["protocol=https", "host=timeout.tld"], ["username=u", "password=p", *more])
            credential("approve", "protocol=https", "host=timeout.tld", "username=u", "password=q",
                       "password_expiry_utc=9999999998", "oauth_refresh_token=abcde")  # fmt: skip
            fills(["protocol=https", "host=timeout.tld", "username=u"],
                  ["password=q", "password_expiry_utc=9999999998", "oauth_refresh_token=abcde"])  # fmt: skip
            credential("reject", "protocol=https", "host=timeout.tld", "username=u", "password=q")
            asks(["protocol=https", "host=timeout.tld", "username=u"])
            # Expired: git drops the password, and asks with the user name.
            credential("approve", "protocol=https", "host=over.tld", "username=u", "password=p", "password_expiry_utc=1")
            asks(["protocol=https", "host=over.tld"])
        if version >= (2, 46):
            offered, git_host = ["capability[]=authtype"], ["protocol=https", "host=git.example.com"]
            bearer = ["authtype=Bearer", "credential=random-token"]
            credential("approve", *offered, *git_host, *bearer)
            fills([*offered, *git_host], bearer)
            asks(git_host)
            credential("approve", *offered, *git_host, "username=foobar", "authtype=Bearer", "credential=other")
            fills([*offered, *git_host, "username=foobar"], ["authtype=Bearer", "credential=other"])
            asks([*offered, *git_host, "username=barbaz"])
            two = ["protocol=https", "host=git2.example.com"]
            credential("approve", *offered, *two, "ephemeral=1", *bearer)
            asks([*offered, *two])
            credential("approve", *offered, *two, "ephemeral=1", "username=barbaz", "password=secret")
            asks([*offered, *two])
            asks([*offered, *two, "username=barbaz"])


@case(limit=180)
def undo_restores_both_files(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        files = [desk.sandbox.home / ".gitconfig", desk.sandbox.home / ".config/hallpass/config.toml"]
        files[0].write_text("# mine\n[credential] ; all\n\thelper = cache # why\n[user]\n  name = A\n# end\n", encoding="utf-8")
        before = [path.read_bytes() for path in files]
        host = ("setup", "git", "--host", desk.server.url, "--provider", "corp")
        for undo in (("--host", desk.server.url, "--default"), ()):
            desk.sandbox.hallpass(*host, "--default").ended(0)
            if not undo:
                desk.sandbox.hallpass("setup", "git", "--host", "codeberg.org").ended(0)
                desk.sandbox.hallpass("setup", "git", "--host", "https://git.example/team", "--provider", "forgejo").ended(0)
            assert all(path.read_bytes() != old for path, old in zip(files, before))
            desk.sandbox.hallpass("setup", "git", *undo, "--undo").ended(0)
            assert [path.read_bytes() for path in files] == before


@case(limit=180)
def a_newcomer_needs_two_commands_and_one_sign_in(rig):
    for _, path in gits():
        desk = Desk(Other(rig), path, configured=False)
        shutil.rmtree(desk.sandbox.home / ".config")
        (desk.sandbox.home / ".gitconfig").unlink()
        assert not any(desk.sandbox.home.iterdir())
        issuer = ("--issuer-url", desk.provider.issuer, "--client-id", "hallpass")
        desk.sandbox.hallpass("setup", "git", "--host", desk.server.url, *issuer).ended(0)
        work = desk.clone()
        assert (work / "first").exists()
        assert len(desk.sandbox.tabs()) == 1
        assert not desk.asked.exists()


# --- what a hit costs ---


@case
def a_hit_starts_nothing_and_a_repository_that_names_an_account_one_git_config(rig):
    desk = Desk(rig)
    work = desk.clone()
    desk.sandbox.browser(user="bob")
    desk.sandbox.hallpass("login", "corp", "--account", "work").ended(0)
    helper = desk.git("config", "--global", "--get-all", f"credential.{desk.server.url}.helper").split()[0]
    request = f"capability[]=authtype\ncapability[]=state\nprotocol=http\nhost={desk.server.url.split('//')[1]}\n\n"

    def started(**env):
        """The programs that one `get` starts, without hallpass; there is one trace per process and thread."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=desk.sandbox.root))
        command = ["strace", "-ff", "-qq", "-e", "trace=execve,socket", "-o", folder / "trace", helper, "git", "get"]
        done = subprocess.run(
            command, input=request, env={**desk.sandbox.env, **env}, cwd=work, capture_output=True, text=True, timeout=20
        )
        assert "password=" in done.stdout, done.stderr
        traces = [trace.read_text(encoding="utf-8") for trace in folder.iterdir()]
        assert not any("socket(" in trace for trace in traces), traces
        programs = [re.findall(r'execve\("([^"]*)".*= 0$', trace, re.MULTILINE) for trace in traces]
        names = sorted(path.rsplit("/", 1)[-1] for paths in programs for path in paths)
        # Every process and thread must start a program, except the one that limits the time of `git config`.
        assert all(programs) or "git" in names, traces
        assert names.count("hallpass") == 1, traces
        return [name for name in names if name != "hallpass"]

    git_dir = {"GIT_DIR": str(work / ".git")}
    assert started() == []
    assert started(**git_dir) == []
    desk.git("-C", work, "config", "hallpass.account", "work")
    assert started(**git_dir) == ["git"]
    assert started() == ["git"]  # it runs in the top of the work tree
    # The same if the configuration has several accounts.
    desk.git("-C", work, "config", "--unset", "hallpass.account")
    config = desk.sandbox.home / ".config/hallpass/config.toml"
    for account in ("default", "work"):
        more = f'\n[[resources]]\nmatch = "{desk.server.url}"\nprovider = "corp"\naccount = "{account}"\n'
        config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert started(**git_dir) == ["git"]
