"""Completion in a real shell."""

import subprocess

from rig import case

SCRIPT = """
source <(hallpass completions bash)
complete_line() {
    COMP_LINE="$*"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
    _clap_complete_hallpass hallpass "${COMP_WORDS[COMP_CWORD]}" ""
    echo "${COMPREPLY[*]}"
}
"""


@case
def bash_completes_commands_options_providers_and_hosts(rig):
    folder = rig.sandbox.home / ".config/hallpass"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        '[providers.corp]\nissuer = "https://login.corp.example"\nclient_id = "x"\n'
        '[[resources]]\nmatch = "https://git.corp.example"\nprovider = "corp"\n',
        encoding="utf-8",
    )
    (rig.sandbox.tools / "hallpass").symlink_to(rig.sandbox.program)
    env = {**rig.sandbox.env, "PATH": f"{rig.sandbox.tools}:{rig.sandbox.env['PATH']}"}
    for line, expected in (
        ("hallpass logi", "login"),
        ("hallpass login cor", "corp"),
        ("hallpass setup git --host git.", "git.corp.example"),
        ("hallpass get-token --form", "--format"),
        ("hallpass completions z", "zsh"),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{SCRIPT}\ncomplete_line {line}"], env=env, cwd=rig.sandbox.home,
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected, (line, done.stdout, done.stderr)
    assert rig.sandbox.tabs() == []
