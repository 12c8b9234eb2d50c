//! The order in which git asks the helpers of a host.
//!
//! git has one list of helpers, in the order of its files and their lines. It doesn't matter how
//! closely a section matches. git passes every credential that worked to all helpers in the list, so
//! hallpass must come last.

use std::path::{Path, PathBuf};

use url::Url;
use url::quirks::domain_to_unicode;

use super::git_config::Entry;
use crate::env::program_name;
use crate::setup::edit::git_config::{YES, is_ours, split_ours};
use crate::setup::host::Host;

/// The key for all hosts.
const DEFAULT: &str = "credential.helper";

/// The sections that are equivalent for git: the one for all hosts, or both spellings for one host.
pub(crate) fn sections(host: Option<&Host>) -> impl Iterator<Item = String> + use<> {
    let spelled = match host {
        Some(Host { text, .. }) => vec![
            format!("credential.{text}"),
            format!("credential.{}/", text.trim_end_matches('/')),
        ],
        None => vec!["credential".to_owned()],
    };
    spelled.into_iter()
}

/// The same host in Unicode, if it has another spelling there. git compares the host of a key with
/// the URL's as it is spelled, and URLs have either.
pub(crate) fn in_unicode(host: &Host) -> Option<Host> {
    let name = host.url.host_str()?;
    let spelled = domain_to_unicode(name);
    (spelled != name && !spelled.is_empty()).then(|| Host {
        url: host.url.clone(),
        text: host.text.replacen(name, &spelled, 1),
        has_path: host.has_path,
        usual_port: host.usual_port,
    })
}

/// Where hallpass's helper belongs.
pub(crate) struct Place {
    pub(crate) section: String,
    /// Whether none of the user's other helpers comes after it.
    pub(crate) is_last: bool,
    /// If it isn't last: the index of the entry that follows it.
    pub(crate) behind: usize,
}

/// The first spelling of the section that puts hallpass after all other helpers. A new section goes
/// to the end of the file.
pub(crate) fn place(
    entries: &[Entry],
    own_file: &Path,
    host: Option<&Host>,
    helper: &str,
) -> Place {
    let of = |section: &str, entry: &Entry| {
        let (at, _) = entry.key.rsplit_once('.').unwrap_or_default();
        at == section && entry.file() == Some(own_file)
    };
    let mut behind = entries.len();
    for section in sections(host) {
        let last = entries.iter().rposition(|entry| of(&section, entry));
        let is_last = last.is_none_or(|last| {
            behind = last + 1;
            others_behind(entries, behind, host, helper).is_empty()
        });
        if is_last {
            return Place {
                section,
                is_last,
                behind: entries.len(),
            };
        }
    }
    // A section with only hallpass's lines is removed and added again at the end.
    let holds_ours_alone = |section: &String| {
        let held = entries.iter().filter(|entry| of(section, entry));
        let (helpers, more): (Vec<_>, Vec<_>) =
            held.partition(|entry| entry.key.ends_with(".helper"));
        let values = helpers.iter().map(|entry| entry.value.clone()).collect();
        split_ours(values, helper).1.is_empty()
            && more
                .iter()
                .all(|entry| entry.key.ends_with(".usehttppath") && entry.value == YES)
    };
    if let Some(section) = sections(host).find(holds_ours_alone) {
        return Place {
            section,
            is_last: true,
            behind: entries.len(),
        };
    }
    Place {
        section: sections(host).last().unwrap_or_default(),
        is_last: false,
        behind,
    }
}

/// Whether none of the user's other helpers comes after the one at this key.
pub(crate) fn is_last(entries: &[Entry], key: &str, host: Option<&Host>, helper: &str) -> bool {
    let ours = entries
        .iter()
        .rposition(|entry| entry.key == key && entry.value == helper);
    ours.is_some_and(|at| others_behind(entries, at + 1, host, helper).is_empty())
}

/// The other helpers, including empty ones, that follow an entry in the user's configuration.
fn others_behind(
    entries: &[Entry],
    behind: usize,
    host: Option<&Host>,
    helper: &str,
) -> Vec<String> {
    let fitting = entries.iter().skip(behind);
    let fitting = fitting.filter(|entry| entry.is_global() && fits(&entry.key, host));
    split_ours(fitting.map(|entry| entry.value.clone()).collect(), helper).1
}

/// Whether git reads a key for a host or a part of it; without a host: for all hosts.
fn fits(key: &str, host: Option<&Host>) -> bool {
    let of = key.strip_prefix("credential.");
    match (of.and_then(|of| of.strip_suffix(".helper")), host) {
        (None, _) => key == DEFAULT,
        (Some(_), None) => false,
        (Some(of), Some(host)) => overlap(of, &host.url),
    }
}

/// Whether a URL, which may be partial (gitcredentials(7)), and a host overlap. In doubt they do.
pub(super) fn overlap(of: &str, host: &Url) -> bool {
    let (scheme, rest) = match of.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => (host.scheme(), of),
    };
    if !scheme.eq_ignore_ascii_case(host.scheme()) {
        return false;
    }
    if rest.is_empty() || rest.starts_with('/') {
        return true;
    }
    let Ok(of) = Url::parse(&format!("{}://{rest}", host.scheme())) else {
        return true;
    };
    let labels = |url: &Url| -> Vec<String> {
        let name = url.host_str().unwrap_or_default();
        name.split('.').map(str::to_owned).collect()
    };
    let (a, b) = (labels(&of), labels(host));
    let same_host = a.len() == b.len()
        && a.iter()
            .zip(&b)
            .all(|(a, b)| a == b || a == "*" || b == "*");
    let path = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
    let (a, b) = (path(&of), path(host));
    same_host
        && of.port_or_known_default() == host.port_or_known_default()
        && (a.starts_with(&b) || b.starts_with(&a))
}

/// The other helpers, each with its file.
#[derive(Default)]
pub(crate) struct Others {
    pub(crate) no_longer_asked: Vec<String>,
    /// They come after hallpass, so git passes them every credential that worked.
    pub(crate) still_asked: Vec<String>,
    /// The files where a later empty helper removes hallpass from the list.
    pub(crate) instead_of_ours: Vec<String>,
}

impl Others {
    pub(crate) fn add(
        &mut self,
        entries: &[Entry],
        place: &Place,
        host: Option<&Host>,
        helper: &str,
    ) {
        let mut before: Vec<String> = Vec::new();
        let mut behind: Vec<String> = Vec::new();
        let mut instead = None;
        let fitting = entries.iter().enumerate();
        let fitting: Vec<_> = fitting
            .filter(|(_, entry)| fits(&entry.key, host))
            .collect();
        for (number, (at, entry)) in fitting.iter().enumerate() {
            let next = fitting.get(number + 1);
            if is_ours(&entry.value, helper)
                || (entry.value.is_empty()
                    && next.is_some_and(|(_, next)| is_ours(&next.value, helper)))
            {
                continue;
            }
            let is_before = !entry.is_behind_global() && (place.is_last || *at < place.behind);
            let list = if is_before { &mut before } else { &mut behind };
            if entry.value.is_empty() {
                list.clear();
                if !is_before {
                    instead = Some(entry.origin.clone());
                }
            } else {
                list.push(format!("{} ({})", named(&entry.value), entry.origin));
            }
        }
        for (list, new) in [
            (&mut self.no_longer_asked, before),
            (&mut self.still_asked, behind),
            (&mut self.instead_of_ours, instead.into_iter().collect()),
        ] {
            for one in new {
                if !list.contains(&one) {
                    list.push(one);
                }
            }
        }
    }
}

/// The helpers that git asks for a host, in its order, and those that an empty one removes from its
/// list.
#[derive(Default)]
pub(crate) struct Helpers {
    pub(crate) asked: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// The place of hallpass among those that are asked, also if the user configured it by hand.
    pub(crate) hallpass: Option<usize>,
    /// The section that names hallpass ends with a slash, which libgit2 doesn't read.
    pub(crate) has_slash: bool,
    /// The path at which git looks for hallpass, if there is no program.
    pub(crate) missing: Option<PathBuf>,
}

impl Helpers {
    pub(crate) fn of(entries: &[Entry], host: &Host) -> Self {
        let mut helpers = Self::default();
        for entry in entries.iter().filter(|entry| fits(&entry.key, Some(host))) {
            if entry.value.is_empty() {
                helpers.hallpass = None;
                helpers.removed.append(&mut helpers.asked);
            } else {
                if runs_hallpass(&entry.value) {
                    helpers.hallpass = Some(helpers.asked.len());
                    helpers.has_slash = entry.section().ends_with('/');
                    let program = Path::new(program_of(&entry.value));
                    let is_missing = program.is_absolute() && !program.is_file();
                    helpers.missing = is_missing.then(|| program.to_owned());
                }
                let helper = format!("{} ({})", named(&entry.value), entry.origin);
                helpers.asked.push(helper);
            }
        }
        if helpers.hallpass.is_some() {
            // Its other spelling of an internationalized host.
            helpers.removed.retain(|helper| !runs_hallpass(helper));
        }
        helpers
    }
}

impl Entry {
    /// Whether it is a helper of the user's or the system's configuration that runs hallpass.
    pub(super) fn runs_hallpass(&self) -> bool {
        let is_helper = self.key.ends_with(".helper") && !self.is_behind_global();
        is_helper && runs_hallpass(&self.value)
    }
}

/// Whether a helper runs hallpass, by whatever name or path (gitcredentials(7)).
fn runs_hallpass(helper: &str) -> bool {
    let name = program_name(program_of(helper));
    name == "hallpass" || name == "git-credential-hallpass"
}

/// The program that a helper runs, as far as that can be told.
fn program_of(helper: &str) -> &str {
    let command = helper.trim_start_matches('!');
    let program = match command.strip_prefix('\'') {
        // A quoted path may contain spaces.
        Some(quoted) => quoted.split('\'').next(),
        None => command.split(' ').next(),
    };
    program.unwrap_or_default()
}

/// A helper for messages. A shell command is shortened, because it may contain a password.
fn named(helper: &str) -> String {
    match helper
        .strip_prefix('!')
        .and_then(|line| line.split_once(' '))
    {
        Some((word, _)) => format!("!{word} …"),
        None => helper.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_command_is_shown_without_its_arguments() {
        for (helper, shown) in [
            ("store --file ~/.passwords", "store --file ~/.passwords"),
            ("!gh auth git-credential", "!gh …"),
            ("!f() { echo password=hunter2; }; f", "!f() …"),
            ("!hunter", "!hunter"),
        ] {
            assert_eq!(named(helper), shown);
        }
    }

    #[test]
    fn hallpass_is_recognized_as_people_configure_it() {
        for (helper, expected) in [
            ("/usr/bin/hallpass git", true),
            ("!hallpass git", true),
            ("!'/opt/hallpass' git", true),
            ("!'/home/a b/hallpass' git", true),
            ("!'/home/hallpass x/other' git", false),
            ("hallpass", true),
            ("/usr/bin/git-credential-hallpass", true),
            ("store", false),
            ("!echo hallpass", false),
            ("", false),
        ] {
            assert_eq!(runs_hallpass(helper), expected, "{helper}");
        }
    }

    #[test]
    fn a_key_fits_if_git_would_read_it_for_the_host() {
        for (key, host, expected) in [
            ("credential.helper", "https://a.example", true),
            (
                "credential.https://a.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.HTTPS://A.example/.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example:443.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://me@a.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://*.example.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example.helper",
                "https://*.example",
                true,
            ),
            ("credential.a.example.helper", "https://a.example", true),
            ("credential.https://.helper", "https://a.example", true),
            (
                "credential.https://a.example/team.helper",
                "https://a.example",
                true,
            ),
            (
                "credential.https://a.example.helper",
                "https://a.example/team",
                true,
            ),
            (
                "credential.https://a.example/tea.helper",
                "https://a.example/team",
                false,
            ),
            ("credential.https://*.helper", "https://a.example", false),
            (
                "credential.https://b.a.example.helper",
                "https://*.example",
                false,
            ),
            (
                "credential.http://a.example.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://a.example:8443.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://b.example.helper",
                "https://a.example",
                false,
            ),
            (
                "credential.https://a.example.username",
                "https://a.example",
                false,
            ),
        ] {
            let host = Host::parse("--host", host).unwrap();
            assert_eq!(fits(key, Some(&host)), expected, "{key} {}", host.text);
        }
        assert!(fits("credential.helper", None));
        assert!(!fits("credential.https://a.example.helper", None));
    }
}
