"""Set-ups of several tools at once, and on a disk that fails."""

import json
import re
import subprocess

from rig import case
from sandbox import SECONDS_A_COMMAND, end

CORP = '[providers.corp]\nissuer = "https://login.corp.example"\nclient_id = "hallpass"\n'
CALLS = {"ENOSPC": "write", "EIO": "fsync"}


def configured(rig, text=CORP):
    folder = rig.sandbox.home / ".config/hallpass"
    folder.mkdir(parents=True)
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    # A folder on PATH for docker's link.
    local = rig.sandbox.home / ".local/bin"
    local.mkdir(parents=True)
    rig.sandbox.env["PATH"] = f"{local}:{rig.sandbox.env['PATH']}"
    return path


@case(limit=180)
def eighty_five_set_ups_at_once_all_leave_their_block(rig):
    config = configured(rig)
    # The lock is there whatever is stored, and where nothing is.
    rig.sandbox.env["HALLPASS_STORE"] = "none"
    lines = [["docker", f"r{n}.example"] for n in range(45)] + [["git", "--host", f"g{n}.example"] for n in range(40)]
    running = [
        subprocess.Popen(
            [rig.sandbox.program, "setup", *line, "--provider", "corp"],
            env=rig.sandbox.env,
            cwd=rig.sandbox.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for line in lines
    ]
    try:
        for line, process in zip(lines, running):
            _, said = process.communicate(timeout=150)
            assert process.returncode == 0, f"{line}: {said}"
    finally:
        for process in running:
            end(process)
    text = config.read_text(encoding="utf-8")
    missing = [line[-1] for line in lines if f'match = "https://{line[-1]}"' not in text]
    assert not missing, f"{len(missing)} of {len(lines)} have no block: {missing}"
    docker = json.loads((rig.sandbox.home / ".docker/config.json").read_text(encoding="utf-8"))
    assert len(docker["credHelpers"]) == 45, docker
    git = (rig.sandbox.home / ".gitconfig").read_text(encoding="utf-8")
    assert all(f'[credential "https://g{n}.example"]' in git for n in range(40)), git
    left = [path.name for path in config.parent.iterdir()]
    assert left == ["config.toml"], left

    rig.sandbox.hallpass("setup", "git", "--undo", limit=2 * SECONDS_A_COMMAND).ended(0)
    rig.sandbox.hallpass("setup", "docker", "--undo").ended(0)
    assert config.read_text(encoding="utf-8") == CORP


@case
def a_person_at_a_terminal_is_asked_first(rig):
    config = configured(rig)
    line = ("setup", "docker", "r.example", "--provider", "corp")
    for answer, code in [("n", 1), ("", 0)]:
        person = rig.sandbox.at_a_terminal(*line)
        person.wait_for(re.compile(r"\+ credHelpers.r.example = .*\n.*\nMake these changes\? \[Y/n\]", re.DOTALL))
        assert config.read_text(encoding="utf-8") == CORP
        person.type(f"{answer}\n")
        result = person.end().ended(code)
        assert ("r.example" in config.read_text(encoding="utf-8")) == (code == 0)
        # The changes are shown once.
        said = result.stdout + result.stderr
        assert said.count("+ credHelpers.r.example") == 1, said
        assert ("To undo this, run `hallpass setup docker r.example --undo`" in said) == (code == 0), said
    for more in [("--undo", "--dry-run"), ("--undo", "--yes")]:
        result = rig.sandbox.at_a_terminal(*line[:3], *more).end()
        assert "Make these changes?" not in result.ended(0).stderr
    assert config.read_text(encoding="utf-8") == CORP
    # What cannot be undone is asked too.
    subprocess.run(
        [rig.sandbox.program, "git", "store"],
        env=rig.sandbox.env,
        input="protocol=https\nhost=a.example\nusername=u\npassword=p\n",
        text=True,
        check=True,
    )
    person = rig.sandbox.at_a_terminal("logout", "--all")
    person.wait_for(re.compile(r"Would remove the passwords.*\nSign out of all of this\?"))
    person.type("n\n")
    person.end().ended(1).said("Nothing was changed")


@case
def a_disk_that_fails_is_not_called_a_mistake_in_the_configuration(rig):
    config = configured(rig)
    for error, call in CALLS.items():
        trace = rig.sandbox.root / "trace"
        # The record of the set-up, the new configuration, and docker's file.
        for when, file in enumerate(["setups/docker-", "config.toml", "config.json"], start=1):
            inject = f"inject={call}:error={error}:when={when}"
            before = ("strace", "-qq", "-o", trace, "-e", f"trace={call}", "-e", inject)
            failed = rig.sandbox.hallpass("setup", "docker", "r.example", "--provider", "corp", before=before)
            failed.ended(1).said("cannot write", file, "nothing was changed")
            assert "(INJECTED)" in trace.read_text(encoding="utf-8")
            assert config.read_text(encoding="utf-8") == CORP
            left = [str(path.relative_to(rig.sandbox.home)) for path in rig.sandbox.files()]
            assert left == [".config/hallpass/config.toml"], left


@case
def an_undo_that_a_full_disk_stops_changes_nothing_and_works_later(rig):
    configured(rig)
    docker = rig.sandbox.home / ".docker/config.json"
    docker.parent.mkdir()
    docker.write_text('{"auths": {}}', encoding="utf-8")
    issuer = ("--issuer-url", "https://login.two.example", "--client-id", "two")
    before = contents(rig)
    rig.sandbox.hallpass("setup", "docker", "r.two.example", *issuer).ended(0)
    rig.sandbox.hallpass("setup", "git", "--host", "git.two.example", *issuer).ended(0)
    done = contents(rig)
    for error, call in CALLS.items():
        trace = rig.sandbox.root / "trace"
        # The record of git's set-up, which stays, and the two files that docker's set-up changed.
        for when in (1, 2, 3):
            inject = f"inject={call}:error={error}:when={when}"
            strace = ("strace", "-qq", "-o", trace, "-e", f"trace={call}", "-e", inject)
            failed = rig.sandbox.hallpass("setup", "docker", "--undo", before=strace)
            failed.ended(1).said("cannot write", "nothing was changed")
            assert "(INJECTED)" in trace.read_text(encoding="utf-8")
            assert contents(rig) == done, (call, when)
    rig.sandbox.hallpass("setup", "docker", "--undo").ended(0)
    rig.sandbox.hallpass("setup", "git", "--undo").ended(0)
    assert contents(rig) == before


def contents(rig):
    return {path: path.read_bytes() for path in rig.sandbox.files() if not path.is_symlink()}


@case
def a_read_only_home_is_named_before_anything_is_set_up_and_the_way_out_works(rig):
    provider = rig.provider()
    configured(rig, f'[providers.corp]\nissuer = "{provider.issuer}"\nclient_id = "hallpass"\nscopes = ["openid", "offline_access"]\n')
    # A private mount namespace: the home is read-only there and nowhere else.
    behind = ("unshare", "-m", "sh", "-c", 'mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME" && exec "$@"', "sh")
    dry = rig.sandbox.hallpass("setup", "docker", "r.example", "--provider", "corp", "--dry-run", before=behind).ended(0)
    dry.said("warning: cannot write", "no session can be saved", "HALLPASS_DATA_DIR")
    failed = rig.sandbox.hallpass("get-token", "corp", before=behind).ended(1)
    failed.said("hint: set HALLPASS_DATA_DIR to a folder that you can write to")
    assert rig.sandbox.tabs() == []
    elsewhere = str(rig.sandbox.root / "elsewhere")
    token = rig.sandbox.hallpass("get-token", "corp", before=behind, HALLPASS_DATA_DIR=elsewhere).token
    again = rig.sandbox.hallpass("get-token", "corp", before=behind, HALLPASS_DATA_DIR=elsewhere).token
    assert again == token


@case
def a_data_folder_without_permissions_is_reported_and_the_hint_gives_access(rig):
    configured(rig)
    before = contents(rig)
    rig.sandbox.become_nobody()  # permissions don't restrict root
    data = rig.sandbox.home / ".local/share/hallpass"
    commands = (["setup", "--list"], ["setup", "git", "--undo"], ["uninstall", "--yes"])
    for number, command in enumerate(commands):
        rig.sandbox.hallpass("setup", "git", "--host", "git.corp.example", "--provider", "corp").ended(0)
        data.chmod(0)
        told = rig.sandbox.hallpass(*command).ended(1)
        hint = re.search("run `(chmod [^`]+)`", told.stderr)
        assert hint, told.stderr
        subprocess.run([*rig.sandbox.become, "sh", "-c", hint[1]], env=rig.sandbox.env, timeout=20, check=True)
        rig.sandbox.hallpass(*command).ended(0)
        if number:
            assert contents(rig) == before, command


@case
def uninstall_keeps_every_password_while_a_file_cannot_be_written(rig):
    configured(rig)
    (rig.sandbox.home / ".docker").mkdir()
    rig.sandbox.become_nobody()
    before = contents(rig)
    for line in (["git", "--default"], ["docker", "r.example", "--provider", "corp"]):
        rig.sandbox.hallpass("setup", *line).ended(0)
    typed = "protocol=https\nhost=h.example\nusername=me\npassword=typed\n"
    git(rig, "approve", typed)
    docker = rig.sandbox.home / ".docker"
    docker.chmod(0o500)
    for _ in range(2):
        told = rig.sandbox.hallpass("uninstall", "--yes").ended(1)
        told.said("cannot write ~/.docker/config.json", "run `chmod u+rwX ~/.docker`", "nothing was changed")
        assert git(rig, "fill", "protocol=https\nhost=h.example\n\n") == typed
    docker.chmod(0o700)
    rig.sandbox.hallpass("uninstall", "--yes").ended(0)
    assert contents(rig) == before


def git(rig, operation, lines):
    asked = subprocess.run(
        [*rig.sandbox.become, "git", "credential", operation],
        env={**rig.sandbox.env, "GIT_TERMINAL_PROMPT": "0"},
        cwd=rig.sandbox.home, input=lines, text=True, capture_output=True, timeout=20,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    return asked.stdout
