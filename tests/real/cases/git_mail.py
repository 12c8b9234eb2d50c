"""git's two programs for mail, git send-email and git imap-send, sign in to a mail server with a
token that hallpass gives them."""

import shutil
import subprocess

from cases.git import Desk, Other, gits
from mail_server import MailServer
from names import knowing
from rig import case
from sandbox import HERE

NAME = "mail.corp.example"
# Of Debian's newest release: its git send-email, and the SASL library for Perl, because Debian 12's
# knows no bearer tokens.
NEWEST = HERE / "debian/sid/usr"
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


def senders():
    """git send-email of this machine's Debian, and the newest: (git, command)."""
    debian = shutil.which("git", path="/usr/bin")
    _, newest = gits()[-1]
    # The tests build their git without Perl, so the script is started as `git send-email` does it.
    newest_script = ("env", f"GITPERLLIB={NEWEST}/share/perl5", NEWEST / "lib/git-core/git-send-email")
    return [(debian, (debian, "send-email")), (newest, newest_script)]


class MailDesk(Desk):
    """A person whose mail server is not on loopback, as far as its name tells."""

    def __init__(self, rig, git, protocol, bearer=False):
        super().__init__(rig, git, configured=False, bearer=bearer)
        self.authority = rig.authority(f"authority-of-{self.sandbox.root.name}")
        certificate = self.authority.certificate([NAME])
        self.mail = rig.with_part(MailServer(self.provider, certificate, protocol))
        config = self.sandbox.home / ".config/hallpass/config.toml"
        entry = f'[[resources]]\nmatch = "{protocol}://{NAME}:{self.mail.port}"\nprovider = "corp"\n'
        config.write_text(config.read_text(encoding="utf-8") + entry, encoding="utf-8")
        self.sandbox.hallpass("setup", "git").ended(0)
        self.work = self.sandbox.home / "work"
        self.git("init", "--quiet", "--initial-branch=main", self.work)
        self.commit(self.work, "first")
        self.git("-C", self.work, "format-patch", "--quiet", "--root", "-o", "patches")
        self.patch = next((self.work / "patches").glob("*.patch"))

    def sends(self, *command):
        """Sends the patch; returns its exit code and all of its output."""
        done = subprocess.run(
            [*knowing(self.sandbox, NAME), *map(str, command)],
            env={**self.sandbox.env, "PERL5LIB": f"{NEWEST}/share/perl5"},
            cwd=self.work,
            stdin=self.patch.open("rb"),
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr


@case
def git_send_email_signs_in_with_a_token_over_tls_only(rig):
    for (git, command), mechanism in zip(senders(), MECHANISMS):
        desk = MailDesk(Other(rig), git, "smtp")
        for name, value in {
            "smtpServer": NAME, "smtpServerPort": desk.mail.port, "smtpUser": "alice", "smtpAuth": mechanism,
            "smtpSSLCertPath": desk.authority.ca_file, "from": "alice@corp.example", "to": "list@corp.example",
            "confirm": "never", "suppressCc": "all",
        }.items():  # fmt: skip
            desk.git("config", "--global", f"sendemail.{name}", value)

        def send(*args):
            return desk.sends(*command, *args, desk.patch)

        # Without TLS no token goes out, and the message says what to set.
        code, said = send()
        assert code != 0 and "sendemail.smtpEncryption tls" in said, (git, mechanism, said)
        assert desk.mail.new_sign_ins() == [] and not desk.sandbox.tabs(), said
        desk.asked.unlink()
        desk.git("config", "--global", "sendemail.smtpEncryption", "tls")
        for _ in range(2):
            code, said = send()
            assert code == 0, (git, mechanism, said)
        first = desk.mail.new_sign_ins()
        token = first[0][3]
        assert first == [(mechanism, True, "alice", token, True)] * 2, first
        assert len(desk.mail.messages) == 2 and "Subject: [PATCH] first" in desk.mail.messages[0]
        # An option that turns TLS off counts too.
        code, said = send("--smtp-encryption=none")
        assert code != 0 and desk.mail.new_sign_ins() == [], (git, mechanism, said)
        desk.asked.unlink()
        # The server refuses the token: the next command has another one.
        desk.kill_all()
        code, said = send()
        assert code != 0, (git, mechanism, said)
        code, said = send()
        assert code == 0, (git, mechanism, said)
        refused, fresh = desk.mail.new_sign_ins()
        assert refused[3:] == (token, False) and fresh[3] != token and fresh[4], (refused, fresh)
        desk.healed()


@case
def git_imap_send_signs_in_with_a_token(rig):
    """Since 2.51. Before that it names no mechanism to the server, or finds no folder."""
    _, git = gits()[-1]
    # A git server that takes only `Authorization: Bearer` changes nothing for mail.
    for mechanism, bearer in zip(MECHANISMS, (False, True)):
        desk = MailDesk(Other(rig), git, "imaps", bearer)
        desk.mail.mechanisms = (mechanism,)
        for name, value in {
            "host": f"imaps://{NAME}", "port": desk.mail.port, "user": "alice", "folder": "Drafts",
            "authMethod": mechanism, "sslVerify": "false",
        }.items():  # fmt: skip
            desk.git("config", "--global", f"imap.{name}", value)
        for _ in range(2):
            code, said = desk.sends(git, "imap-send")
            assert code == 0, (mechanism, said)
        first = desk.mail.new_sign_ins()
        token = first[0][3]
        assert first == [(mechanism, True, "alice", token, True)] * 2, first
        assert len(desk.mail.messages) == 2 and "Subject: [PATCH] first" in desk.mail.messages[0]
        desk.kill_all()
        code, said = desk.sends(git, "imap-send")
        assert code != 0, (mechanism, said)
        code, said = desk.sends(git, "imap-send")
        assert code == 0, (mechanism, said)
        refused, fresh = desk.mail.new_sign_ins()
        assert refused[3:] == (token, False) and fresh[3] != token and fresh[4], (refused, fresh)
        desk.healed()
