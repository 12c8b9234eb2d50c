//! Whether TLS protects what git sends to a mail server.
//!
//! git send-email asks with `protocol=smtp` whatever the encryption is. With
//! `sendemail.smtpEncryption` set to `tls` (STARTTLS) or `ssl`, it fails instead of sending a
//! password in the clear (git-send-email(1)). git imap-send says `imaps` for TLS; with `imap` it
//! also continues without STARTTLS.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::background::ancestors;
use crate::child;

/// Longer than `git config` ever takes.
const LONGEST: Duration = Duration::from_secs(5);

/// Whether git send-email requires TLS for this server, as far as its options and git's
/// configuration tell.
pub(super) fn requires_tls(host: &str) -> bool {
    if let Some(encryption) = ancestors().iter().find_map(|words| option_in(words)) {
        return is_encrypted(&encryption);
    }
    let mut git = Command::new("git");
    git.args(["config", "--null", "--get-regexp"]);
    git.arg(r"^sendemail\.(.+\.)?(smtpencryption|smtpssl|smtpserver|smtpserverport)$");
    let output = child::output(&mut git, LONGEST);
    output.is_ok_and(|output| requires_tls_in(&String::from_utf8_lossy(&output.stdout), host))
}

/// The value of git send-email's `--smtp-encryption` in a command line.
fn option_in(words: &[String]) -> Option<String> {
    words
        .iter()
        .any(|word| word.ends_with("send-email"))
        .then_some(())?;
    let mut words = words.iter();
    let mut found = None;
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--smtp-encryption=") {
            found = Some(value.to_owned());
        } else if word == "--smtp-encryption" {
            found = words.next().cloned();
        } else if word == "--smtp-ssl" {
            found = Some("ssl".to_owned());
        }
    }
    found
}

/// The settings of one `sendemail` section: the general one, or an identity's.
#[derive(Default, Clone)]
struct Section {
    encryption: Option<String>,
    server: Option<String>,
}

/// The same for the entries that `git config --null` prints. Each identity that uses the server
/// must require TLS.
fn requires_tls_in(config: &str, host: &str) -> bool {
    let mut sections: BTreeMap<&str, Section> = BTreeMap::new();
    for entry in config.split_terminator('\0') {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
        let Some((section, name)) = key.rsplit_once('.') else {
            continue;
        };
        let section = sections.entry(section).or_default();
        match name {
            "smtpencryption" => section.encryption = Some(value.to_owned()),
            "smtpssl" if section.encryption.is_none() => {
                section.encryption = Some("ssl".to_owned());
            }
            "smtpserver" => section.server = Some(value.to_owned()),
            _ => (),
        }
    }
    let general = sections.remove("sendemail").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_used = |section: &Section| {
        let server = section.server.as_ref().or(general.server.as_ref());
        server.is_none_or(|server| server.eq_ignore_ascii_case(name))
    };
    let is_safe = |section: &Section| {
        let encryption = section.encryption.as_ref().or(general.encryption.as_ref());
        encryption.is_some_and(|encryption| is_encrypted(encryption))
    };
    let mut used: Vec<&Section> = sections.values().filter(|one| is_used(one)).collect();
    if is_used(&general) {
        used.push(&general);
    }
    !used.is_empty() && used.into_iter().all(is_safe)
}

/// The values for which git send-email uses TLS; any other one means no encryption.
fn is_encrypted(encryption: &str) -> bool {
    matches!(encryption, "tls" | "ssl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_must_be_required_wherever_the_server_is_used() {
        for (config, expected) in [
            ("", false),
            ("sendemail.smtpserver\nmail.example\0", false),
            ("sendemail.smtpencryption\ntls\0", true),
            ("sendemail.smtpencryption\nnone\0", false),
            (
                "sendemail.smtpserver\nMail.example\0sendemail.smtpencryption\nssl\0",
                true,
            ),
            (
                "sendemail.smtpserver\nother.example\0sendemail.smtpencryption\ntls\0",
                false,
            ),
            (
                "sendemail.work.smtpserver\nmail.example\0sendemail.work.smtpencryption\ntls\0\
                 sendemail.smtpserver\nother.example\0",
                true,
            ),
            (
                "sendemail.smtpencryption\ntls\0sendemail.work.smtpencryption\n\0",
                false,
            ),
            (
                "sendemail.work.smtpuser\nme\0sendemail.smtpencryption\ntls\0",
                true,
            ),
        ] {
            assert_eq!(
                requires_tls_in(config, "mail.example:587"),
                expected,
                "{config:?}"
            );
        }
    }

    #[test]
    fn the_command_line_takes_precedence() {
        for (line, expected) in [
            (
                "perl /usr/lib/git-core/git-send-email --smtp-encryption=tls a",
                Some("tls"),
            ),
            ("git send-email --smtp-encryption none", Some("none")),
            ("git send-email --smtp-ssl", Some("ssl")),
            ("git send-email a.patch", None),
            ("git push --smtp-encryption=tls", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(option_in(&words).as_deref(), expected, "{line}");
        }
    }
}
