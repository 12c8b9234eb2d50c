//! What keeps git from asking hallpass: other settings, URLs and files that git uses first.

use super::server::without_password;
use crate::config::{access_fix, home, shown_at_home};
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::setup::host::Host;
use crate::shell::{list_command, quoted, quoted_at_home};
use crate::tools::findings::Findings;
use crate::tools::git::git_config::{self, Entry};
use crate::tools::git::large_pushes::{self, Version};
use crate::tools::git::order::overlap;

/// The first git that can replace a refused token within a command (`state[]`).
const REPLACES_TOKENS: Version = (2, 46);
/// Larger than any real file.
const LARGEST: u64 = 1 << 20;

/// git's configuration of URLs and headers, and the file `.netrc`.
pub(super) struct Surroundings {
    entries: Vec<Entry>,
    netrc: String,
}

impl Surroundings {
    pub(super) fn read(env: &Env) -> Result<Self, Error> {
        let keys = r"^(remote\..+\.(push)?url|url\..+\.(push)?insteadof|http\.(.+\.)?extraheader)$";
        let netrc = home(env).map(|home| {
            let text = files::read(&home.join(".netrc"), LARGEST);
            String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
        });
        Ok(Self {
            entries: git_config::everywhere(keys)?,
            netrc: netrc.unwrap_or_default(),
        })
    }

    /// Entries `SECTION.SUBSECTION.NAME`: each with its subsection.
    fn entries(&self, section: &str, name: &str) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().filter_map(move |entry| {
            let rest = entry.key.strip_prefix(section)?.strip_prefix('.')?;
            let subsection = rest.strip_suffix(name)?;
            Some((entry, subsection.strip_suffix('.').unwrap_or(subsection)))
        })
    }

    /// Looks for passwords in URLs. It names the setting, never the URL.
    pub(super) fn check_urls(&self, findings: &mut Findings) {
        for (name, option) in [("url", ""), ("pushurl", "--push ")] {
            for (entry, remote) in self.entries("remote", name) {
                let Some(plain) = without_password(&entry.value) else {
                    continue;
                };
                let (remote_word, plain) = (quoted(remote), quoted(&plain));
                let fix = if matches!(entry.scope.as_str(), "local" | "worktree") {
                    format!("git remote set-url {option}{remote_word} {plain}")
                } else {
                    format!("{} {plain}", git_config_at(entry, ""))
                };
                findings.problem(
                    &format!(
                        "the URL of the remote {remote} contains a password or token ({})",
                        entry.origin
                    ),
                    &fix,
                );
            }
        }
        for name in ["insteadof", "pushinsteadof"] {
            for (entry, base) in self.entries("url", name) {
                if without_password(base).is_some() {
                    findings.problem(
                        &format!(
                            "the URL in a `url.<base>.insteadOf` setting contains a password or \
                             token ({})",
                            entry.origin
                        ),
                        "remove the user name and password from that URL",
                    );
                }
            }
        }
    }

    /// Checks what git uses for a host before it asks a helper.
    pub(super) fn check_host(&self, host: &Host, findings: &mut Findings) {
        let name = &host.text;
        self.check_replacement(host, findings);
        let host_name = host.url.host_str().unwrap_or_default();
        for (entry, remote) in self.entries("remote", "url") {
            if ssh_host(&entry.value).is_some_and(|host| host.eq_ignore_ascii_case(host_name)) {
                findings.note(&format!(
                    "{name}: the remote {remote} uses SSH, so git never asks hallpass for it ({})",
                    entry.origin
                ));
            }
        }
        for (entry, of) in self.entries("http", "extraheader") {
            let header = entry.value.trim_start().to_ascii_lowercase();
            let fits = of.is_empty() || overlap(of, &host.url);
            if fits && header.starts_with("authorization:") {
                // A key may contain a password too. Other headers of the same key stay.
                let hint = if without_password(of).is_some() {
                    "remove it from that file".to_owned()
                } else {
                    let command = git_config_at(entry, "--unset-all ");
                    format!("{command} '^ *[Aa][Uu][Tt][Hh]'")
                };
                findings.problem(
                    &format!(
                        "{name}: `http.extraHeader` contains an Authorization header, which git \
                         sends in place of a token ({})",
                        entry.origin
                    ),
                    &hint,
                );
            }
        }
        if names_host(&self.netrc, host_name) {
            findings.problem(
                &format!("{name}: git uses the password in ~/.netrc before it asks hallpass"),
                &format!("remove the entry for {host_name} from ~/.netrc"),
            );
        }
    }

    /// Looks for a setting that replaces the host's URL. git uses the longest match
    /// (git-config(1), `url.<base>.insteadOf`).
    fn check_replacement(&self, host: &Host, findings: &mut Findings) {
        let url = format!("{}/", host.text.trim_end_matches('/'));
        for (name, what) in [("insteadof", ""), ("pushinsteadof", "for pushes ")] {
            let fitting = self.entries("url", name);
            let fitting = fitting.filter(|(entry, _)| {
                url.starts_with(&entry.value) || entry.value.starts_with(&url)
            });
            let Some((entry, base)) = fitting.max_by_key(|(entry, _)| entry.value.len()) else {
                continue;
            };
            if without_password(base).is_some() || base.starts_with(&host.text) {
                continue;
            }
            findings.problem(
                &format!(
                    "{}: {what}git uses {base} instead, so it may not ask hallpass ({})",
                    host.text, entry.origin
                ),
                // Other replacements by the same base stay.
                &format!(
                    "{} {}",
                    git_config_at(entry, "--unset-all "),
                    quoted(&pattern_of(&entry.value))
                ),
            );
        }
    }
}

/// Says which git is installed, and what it can't do.
pub(super) fn check_version(findings: &mut Findings) {
    let Some((major, minor)) = large_pushes::installed() else {
        return;
    };
    if (major, minor) < REPLACES_TOKENS {
        findings.note(&format!(
            "git {major}.{minor}: if a server refuses a token, the command fails, and only the \
             next one gets a fresh token. git 2.46 and later get it within the same command"
        ));
    } else {
        findings.ok(&format!("git {major}.{minor}"));
    }
}

/// Names files of the user that git ignores, because it can't read them.
pub(super) fn check_files(env: &Env, findings: &mut Findings) -> Result<(), Error> {
    let home = home(env).ok();
    for path in git_config::global_files(env)? {
        if let Err(error) = std::fs::File::open(&path)
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            let shown = shown_at_home(&path, home.as_deref());
            findings.problem(
                &format!("{shown} cannot be read, so git ignores it"),
                &access_fix(&path, home.as_deref(), &error).unwrap_or_else(|| {
                    format!("check `{}`", list_command(&quoted_at_home(&shown)))
                }),
            );
        }
    }
    Ok(())
}

/// `git config` for the file and key of an entry.
fn git_config_at(entry: &Entry, option: &str) -> String {
    let file = entry.file().map(|file| file.to_string_lossy().into_owned());
    let file = file.map_or_else(String::new, |file| format!("--file {} ", quoted(&file)));
    format!("git config {file}{option}{}", quoted(&entry.key))
}

/// The extended regular expression that matches this value alone.
fn pattern_of(value: &str) -> String {
    let special = |c: char| "\\.[]*+?{}()|^$".contains(c);
    let escaped = value.chars().flat_map(|c| {
        let backslash = special(c).then_some('\\');
        backslash.into_iter().chain([c])
    });
    format!("^{}$", escaped.collect::<String>())
}

/// The host of a remote that uses SSH: `ssh://git@HOST:22/path` or `git@HOST:path`.
fn ssh_host(url: &str) -> Option<&str> {
    let authority = match url.split_once("://") {
        Some(("ssh" | "git+ssh" | "ssh+git", rest)) => rest.split('/').next()?,
        Some(_) => return None,
        None => url.split_once(':').map(|(host, _)| host)?,
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.split(':').next()?;
    (!host.is_empty() && !host.contains('/')).then_some(host)
}

/// Whether a `.netrc` has a password for a host (curl's documentation of the file).
fn names_host(netrc: &str, host: &str) -> bool {
    let mut words = netrc.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "machine" if words.next() == Some(host) => return true,
            "default" => return true,
            // These have a value, which may be one of the words above.
            "login" | "password" | "account" => drop(words.next()),
            _ => (),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netrc_names_hosts_and_perhaps_a_default() {
        for (netrc, expected) in [
            ("machine a.example login me password pw", true),
            (
                "machine b.example\nlogin machine\npassword a.example",
                false,
            ),
            ("machine b.example login me password default", false),
            ("machine b.example login me\ndefault login anonymous", true),
            ("", false),
        ] {
            assert_eq!(names_host(netrc, "a.example"), expected, "{netrc}");
        }
    }

    #[test]
    fn the_host_of_an_ssh_remote_is_found() {
        for (url, host) in [
            ("git@a.example:team/app.git", Some("a.example")),
            ("a.example:app.git", Some("a.example")),
            ("ssh://git@a.example:22/app.git", Some("a.example")),
            ("https://a.example/app.git", None),
            ("/srv/git:app", None),
            ("../app", None),
        ] {
            assert_eq!(ssh_host(url), host, "{url}");
        }
    }
}
