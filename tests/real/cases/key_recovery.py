"""The key that encrypts saved sessions: lost, replaced, damaged, locked and moved."""

import json
import re
import shutil
import subprocess

from cases.keyrings import NEVER, in_each_keyring
from rig import case, kernel_keyring, provider_flags

HOST = "protocol=https\nhost=else.example\n"
TYPED = f"{HOST}username=me\npassword=typed\n"


def git(rig, operation, stdin):
    done = subprocess.run(
        [*rig.sandbox.become, rig.sandbox.program, "git", operation],
        env=rig.sandbox.env, cwd=rig.sandbox.home, input=stdin, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def save_session_and_password(rig):
    provider = rig.provider()
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    git(rig, "store", TYPED)
    return provider, token


def key_id(rig):
    return json.loads(data(rig).joinpath("key.json").read_text(encoding="utf-8"))["id"]


def data(rig):
    return rig.sandbox.home / ".local/share/hallpass"


def records(rig):
    return [p for kind in ("sessions", "kept") for p in data(rig).joinpath(kind).glob("*") if "." not in p.name]


def still_works(rig, provider, token):
    assert rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).token == token
    assert "password=typed" in git(rig, "get", HOST)


def commands_in_hint(failed):
    """The commands that the hint of an error suggests."""
    return re.findall(r"`(hallpass [^`]+)`", failed.stderr.split("hint:", 1)[1])


def is_lost_and_the_hint_recovers(rig, provider):
    tabs = len(rig.sandbox.tabs())
    stuck = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1)
    assert len(rig.sandbox.tabs()) == tabs, "an error opened a browser"
    assert "hallpass logout --all" in commands_in_hint(stuck), stuck.stderr
    # `--all` carries on although the first session can't be revoked.
    done = rig.sandbox.hallpass("logout", "--all").ended(0)
    done.said("removed 1 session without revoking", "removed the passwords")
    assert records(rig) == []
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    git(rig, "store", TYPED)
    still_works(rig, provider, token)


@in_each_keyring
def a_deleted_key_is_replaced_after_logout(rig, keyring):
    before = set(keyring.items())
    provider, _ = save_session_and_password(rig)
    (item,) = set(keyring.items()) - before
    keyring.delete(item)
    is_lost_and_the_hint_recovers(rig, provider)


@case
def a_replaced_keyring_counts_as_a_lost_key(rig):
    rig.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    keyring = rig.secret_service()
    provider, token = save_session_and_password(rig)
    keyring.close()
    # As after `rm ~/.local/share/keyrings/login.keyring`, or on a new laptop.
    mine = rig.sandbox.home / ".local/share/keyrings"
    aside = rig.sandbox.root / "aside"
    shutil.move(mine, aside)
    other = rig.secret_service()
    stuck = rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1)
    stuck.said("if the key is in another keyring, unlock that one")
    assert len(records(rig)) == 2
    # The first half of the hint works too.
    other.close()
    shutil.rmtree(mine)
    shutil.move(aside, mine)
    own = rig.secret_service()
    still_works(rig, provider, token)
    own.close()
    shutil.rmtree(mine)
    rig.secret_service()
    is_lost_and_the_hint_recovers(rig, provider)


@case
def an_invalid_keyring_item_counts_as_a_lost_key(rig):
    rig.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    keyring = rig.secret_service()
    before = set(keyring.items())
    provider, _ = save_session_and_password(rig)
    for secret in ("hunter2", ""):
        (item,) = set(keyring.items()) - before
        keyring.overwrite(item, secret)
        stuck = rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1)
        stuck.said("is not a data key")
        assert "hunter2" not in stuck.stderr
        is_lost_and_the_hint_recovers(rig, provider)
        before = set(keyring.items()) - {current_item(keyring, rig)}


def current_item(keyring, rig):
    return next(item for item in keyring.items() if key_id(rig) in keyring.attributes(item).values())


@in_each_keyring
def logout_fails_while_the_keyring_is_locked(rig, keyring):
    provider, token = save_session_and_password(rig)
    keyring.lock()
    for line in (("logout", "--all"), ("logout", *provider_flags(provider)), ("logout", "--unreadable"), ("store", "move", "--to", "keyring")):
        rig.sandbox.hallpass(*line).ended(1).said("locked")
        assert len(records(rig)) == 2, line
    keyring.unlock()
    still_works(rig, provider, token)

    # `--unreadable` is the way out if the keyring can no longer be unlocked.
    keyring.lock()
    rig.sandbox.hallpass("logout", "--all", "--unreadable").ended(0).said("without revoking")
    assert records(rig) == []


@in_each_keyring
def a_damaged_key_json_is_rebuilt_from_the_keyring(rig, keyring):
    provider, token = save_session_and_password(rig)
    file = data(rig) / "key.json"
    good = file.read_bytes()
    file.write_text("{", encoding="utf-8")
    keyring.lock()
    rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1).said("locked")
    assert file.read_text(encoding="utf-8") == "{"
    keyring.unlock()
    still_works(rig, provider, token)
    assert file.read_bytes() == good
    file.unlink()
    still_works(rig, provider, token)
    assert file.read_bytes() == good
    assert len(rig.sandbox.tabs()) == 1


def is_only_in(rig, keyring, place):
    """Checks that the key is stored in this place and nowhere else."""
    key = key_id(rig)
    found = set()
    if any(key in keyring.attributes(item).values() for item in keyring.items()):
        found.add("keyring")
    if (data(rig) / "key").exists():
        found.add("file")
    in_kernel = subprocess.run(
        ["keyctl", "search", "@u", "user", f"hallpass:{key}"], capture_output=True, text=True, timeout=10
    )
    if in_kernel.returncode == 0:
        found.add("kernel")
    assert found == {place}, f"the key is in {found}, not only in the {place}"


@in_each_keyring
def the_key_can_be_moved_between_all_stores(rig, keyring):
    kernel_keyring()
    provider, token = save_session_and_password(rig)
    rig.sandbox.env["HALLPASS_STORE"] = "auto"
    for place in ("file", "kernel", "keyring", "kernel", "file", "keyring"):
        moved = rig.sandbox.hallpass("store", "move", "--to", place).ended(0).said("moved the key")
        assert "warning" not in moved.stderr, moved.stderr
        keyring.wait_until_on_disk()
        is_only_in(rig, keyring, place)
        still_works(rig, provider, token)
        # The setting that names this store explicitly works too.
        rig.sandbox.env["HALLPASS_STORE"] = place
        still_works(rig, provider, token)
        rig.sandbox.env["HALLPASS_STORE"] = "auto"
    fresh = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert fresh != token
    assert len(rig.sandbox.tabs()) == 1

    # The key can't be moved out of a locked keyring.
    keyring.lock()
    rig.sandbox.hallpass("store", "move", "--to", "file").ended(1).said("locked")
    assert not (data(rig) / "key").exists()
    keyring.unlock()
    still_works(rig, provider, fresh)
    rig.sandbox.hallpass("logout", "--all").ended(0)


@case
def tools_get_tokens_while_the_key_is_being_moved(rig):
    rig.sandbox.env.update(HALLPASS_STORE="auto", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    rig.secret_service()
    provider, token = save_session_and_password(rig)
    for place in ("file", "keyring") * 2:
        processes = [
            subprocess.Popen(
                [rig.sandbox.program, "get-token", *NEVER, *provider_flags(provider)],
                env=rig.sandbox.env, cwd=rig.sandbox.home, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            )
            for _ in range(10)
        ]  # fmt: skip
        rig.sandbox.hallpass("store", "move", "--to", place).ended(0)
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert out == f"{token}\n", err


@case
def changing_the_store_setting_suggests_moving_the_key(rig):
    rig.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    rig.secret_service()
    provider, token = save_session_and_password(rig)
    rig.sandbox.env["HALLPASS_STORE"] = "file"
    stuck = rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).ended(1)
    (command,) = commands_in_hint(stuck)
    rig.sandbox.hallpass(*command.split()[1:]).ended(0)
    still_works(rig, provider, token)
