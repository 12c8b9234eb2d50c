"""The kernel keyring: as a cache of the OS keyring's key, as the only store, and unavailable."""

import contextlib
import json
import subprocess
import sys
import time

from rig import case, provider_flags
from sandbox import HERE, SECONDS_A_COMMAND, end, wait_for

NEVER = ("--interactive", "never")
# A new session keyring that isn't linked to the user keyring.
OTHER_SESSION = ("keyctl", "session", "-")


@contextlib.contextmanager
def without_session_bus(rig):
    """Makes the OS keyring unreachable."""
    address = rig.sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS")
    try:
        yield
    finally:
        rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = address


def in_keyring(rig, **env):
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.env.update(env)
    return rig.secret_service()


def kernel_keyring(rig):
    """The state of the kernel keyring according to `status`."""
    return json.loads(rig.sandbox.hallpass("status", "--json").ended(0).stdout)["store"]["kernel_cache"]


def cached_token(rig, provider, before=()):
    return rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider), before=before).token


@contextlib.contextmanager
def only_in_the_kernel(rig):
    """Sets store = "kernel", and removes the key at the end, because it never times out."""
    rig.sandbox.env["HALLPASS_STORE"] = "kernel"
    try:
        yield
    finally:
        for file in rig.sandbox.home.rglob("key.json"):
            forget_in_kernel(rig, json.loads(file.read_text(encoding="utf-8"))["id"])


def forget_in_kernel(rig, key_id):
    found = subprocess.run(
        [*rig.sandbox.become, "keyctl", "search", "@u", "user", f"hallpass:{key_id}"],
        capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    if found.returncode == 0:
        subprocess.run([*rig.sandbox.become, "keyctl", "unlink", found.stdout.strip(), "@u"], timeout=10, check=True)


@case(alone=True)
def a_cache_hit_opens_no_socket_and_starts_no_thread_or_process(rig):
    provider = rig.provider()
    in_keyring(rig)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    trace = rig.sandbox.root / "trace"
    calls = "socket,connect,sendto,sendmsg,clone,clone3,fork,vfork,execve"
    assert cached_token(rig, provider, before=("strace", "-f", "-qq", "-o", trace, "-e", f"trace={calls}")) == token
    made = trace.read_text(encoding="utf-8").splitlines()
    assert len([call for call in made if "execve(" in call]) == 1, made
    assert len(made) == 1, "a cache hit did more than read files: " + "\n".join(made)

    # Check the measurement itself: without the key in the kernel, there is a thread and a socket.
    rig.sandbox.hallpass("lock").ended(0)
    assert cached_token(rig, provider, before=("strace", "-f", "-qq", "-o", trace, "-e", f"trace={calls}")) == token
    missed = trace.read_text(encoding="utf-8")
    assert "socket(" in missed and "clone" in missed


@case(alone=True)
def another_session_of_the_same_user_finds_the_cached_key(rig):
    provider = rig.provider()
    in_keyring(rig)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    with without_session_bus(rig):
        assert cached_token(rig, provider, before=OTHER_SESSION) == token
        assert cached_token(rig, provider) == token


@case(alone=True)
def a_session_not_linked_to_the_user_keyring_can_cache_the_key_too(rig):
    provider = rig.provider()
    in_keyring(rig)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider), before=OTHER_SESSION).token
    assert kernel_keyring(rig) == "holds the unlocked key"
    rig.sandbox.hallpass("lock", before=OTHER_SESSION).ended(0).said("locked")
    assert kernel_keyring(rig) == "holds no key"
    assert cached_token(rig, provider, before=OTHER_SESSION) == token
    with without_session_bus(rig):
        assert cached_token(rig, provider) == token


@case(alone=True)
def the_cached_key_expires_after_its_timeout(rig):
    provider = rig.provider()
    in_keyring(rig, HALLPASS_KERNEL_KEYRING_TIMEOUT="2")
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.hallpass("lock").ended(0)
    assert cached_token(rig, provider) == token
    with without_session_bus(rig):
        assert cached_token(rig, provider) == token
        time.sleep(2.2)  # the kernel counts whole seconds; there is nothing else to wait for
        rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1).said("OS keyring", "hint:")
    assert kernel_keyring(rig) == "holds no key"
    assert cached_token(rig, provider) == token
    assert len(rig.sandbox.tabs()) == 1


@case(alone=True)
def lock_removes_the_cached_key_immediately(rig):
    provider = rig.provider()
    in_keyring(rig)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.hallpass("lock").ended(0).said("locked")
    with without_session_bus(rig):
        rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1).said("OS keyring", "hint:")
        rig.sandbox.hallpass("lock").ended(0).said("the key was not unlocked")
    assert cached_token(rig, provider) == token


@case(alone=True)
def a_timeout_of_0_disables_the_kernel_keyring(rig):
    provider = rig.provider()
    in_keyring(rig, HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    trace = rig.sandbox.root / "trace"
    before = ("strace", "-f", "-qq", "-o", trace, "-e", "trace=keyctl,add_key,request_key")
    assert cached_token(rig, provider, before=before) == token
    assert trace.read_text(encoding="utf-8") == ""
    assert kernel_keyring(rig) == "disabled"


def works_without_kernel_keyring(rig, error):
    """hallpass works without the cache, and `status` reports why the cache is unavailable."""
    provider = rig.provider()
    in_keyring(rig)
    behind = (sys.executable, "-B", str(HERE / "without_keyctl.py"), error)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider), before=behind).token
    assert cached_token(rig, provider, before=behind) == token
    assert rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider), before=behind).token != token
    status = rig.sandbox.hallpass("status", before=behind).ended(0)
    assert f"kernel keyring: unavailable: {words_for(error)}" in status.stdout, status.stdout
    rig.sandbox.hallpass("lock", before=behind).ended(0)
    assert len(rig.sandbox.tabs()) == 1

    only = rig.another_sandbox()
    only.browser()
    only.env["HALLPASS_STORE"] = "kernel"
    failed = only.hallpass("get-token", *provider_flags(provider), before=behind).ended(1)
    failed.said("the kernel keyring cannot be used", error, "hint:")
    assert only.tabs() == [], "hallpass asked for a token that it could not save"
    failed.said("HALLPASS_STORE=file")
    only.hallpass("get-token", *provider_flags(provider), before=behind, HALLPASS_STORE="file").token


def words_for(error):
    return {"EPERM": "this process may not use it (EPERM)", "ENOSYS": "the kernel has none, or hides it (ENOSYS)"}[error]


@case(alone=True)
def hallpass_works_where_the_kernel_keyring_fails_with_eperm(rig):
    works_without_kernel_keyring(rig, "EPERM")


@case(alone=True)
def hallpass_works_where_the_kernel_keyring_fails_with_enosys(rig):
    works_without_kernel_keyring(rig, "ENOSYS")


# Uses up the user's key quota to the last byte, and releases it when stdin closes.
FILL = """
n=0
for size in 4000 400 40 1; do
  while head -c $size /dev/zero | keyctl padd user "f$n" @s >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 400 ] || exit 1; done
done
echo full; cat >/dev/null
"""


@contextlib.contextmanager
def quota_used_up(rig):
    filler = subprocess.Popen(
        [*rig.sandbox.become, *OTHER_SESSION, "sh", "-c", FILL],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert filler.stdout.readline() == "full\n", "could not use up the quota"
        yield
    finally:
        filler.stdin.close()
        try:
            filler.wait(SECONDS_A_COMMAND)
        except subprocess.TimeoutExpired:
            end(filler)


@case(alone=True)
def hallpass_works_when_the_key_quota_is_used_up(rig):
    rig.sandbox.become_nobody()
    provider = rig.provider()
    in_keyring(rig)
    with quota_used_up(rig):
        token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
        assert cached_token(rig, provider) == token
        assert "EDQUOT" in kernel_keyring(rig), kernel_keyring(rig)
        rig.sandbox.env["HALLPASS_STORE"] = "kernel"
        rig.sandbox.env["HALLPASS_DATA_DIR"] = str(rig.sandbox.home / "another")
        rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("EDQUOT", "hint:")
        rig.sandbox.env["HALLPASS_STORE"] = "keyring"
        del rig.sandbox.env["HALLPASS_DATA_DIR"]
    # The kernel frees unreferenced keys with a delay.
    wait_for(lambda: "EDQUOT" not in kernel_keyring(rig), SECONDS_A_COMMAND, "the kernel did not free the quota")
    assert cached_token(rig, provider) == token
    assert kernel_keyring(rig) == "holds the unlocked key"
    with without_session_bus(rig):
        assert cached_token(rig, provider) == token
    assert len(rig.sandbox.tabs()) == 1


@case(alone=True)
def as_the_only_store_it_works_in_every_session_of_the_user(rig):
    provider = rig.provider()
    with only_in_the_kernel(rig):
        token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
        assert cached_token(rig, provider) == token
        assert cached_token(rig, provider, before=OTHER_SESSION) == token
        fresh = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider), before=OTHER_SESSION).token
        assert fresh != token
        status = json.loads(rig.sandbox.hallpass("status", "--json").ended(0).stdout)["store"]
        assert (status["place"], status["error"]) == ("kernel", None), status
        rig.sandbox.hallpass("lock").ended(1).said("the only place", "hint:", "`hallpass logout --all`")
        assert cached_token(rig, provider) == fresh
        assert len(rig.sandbox.tabs()) == 1
        rig.sandbox.hallpass("logout", "--all").ended(0).said("signed out")
        assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token != fresh


@case(alone=True)
def after_losing_a_key_stored_only_in_the_kernel_logout_lets_you_start_over(rig):
    provider = rig.provider()
    with only_in_the_kernel(rig):
        first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
        (file,) = rig.sandbox.home.rglob("key.json")
        forget_in_kernel(rig, json.loads(file.read_text(encoding="utf-8"))["id"])
        lost = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1)
        lost.said("not found in the kernel keyring", "hallpass logout --all")
        assert len(rig.sandbox.tabs()) == 1
        rig.sandbox.hallpass("logout", "--all").said("without revoking")
        assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token != first
