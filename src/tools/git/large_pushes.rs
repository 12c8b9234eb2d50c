//! The installed git's version, and advice about it for servers that accept only `Authorization: Bearer`.
//!
//! git 2.46 learned to send a helper's Bearer token. Up to 2.53 it leaves the token out of the
//! probe before a POST larger than `http.postBuffer` (1 MiB), so such a push ends in 401; 2.54.0
//! fixes that (git's commit ed0f7a62f7).

use super::git_config;
use crate::setup::host::Host;

/// The first git that sends a Bearer token.
const SENDS_BEARER: Version = (2, 46);
/// The first git that sends one before a large POST too.
const SENDS_BEARER_IN_PROBE: Version = (2, 54);
/// `http.postBuffer`, unless it is configured (git-config(1)).
const POST_BUFFER: u64 = 1 << 20;

/// The major and minor version.
pub(crate) type Version = (u32, u32);

/// What keeps git from sending Bearer tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) what: String,
    pub(crate) fix: String,
    /// The user has raised `http.postBuffer`, so most pushes work.
    pub(crate) is_raised: bool,
}

impl Advice {
    /// What to tell the user about a host that accepts only Bearer tokens; `None` if the installed
    /// git sends them always.
    pub(crate) fn about(host: &Host) -> Option<Self> {
        let limit = git_config::number_for("http.postBuffer", &host.url);
        advice_for(&host.text, installed(), limit.unwrap_or(POST_BUFFER))
    }
}

fn advice_for(host: &str, version: Option<Version>, limit: u64) -> Option<Advice> {
    let name = match version {
        Some((major, minor)) => format!("git {major}.{minor}"),
        None => "git before version 2.54".to_owned(),
    };
    let is_raised = limit > POST_BUFFER;
    let (what, fix) = match version {
        Some(version) if version >= SENDS_BEARER_IN_PROBE => return None,
        Some(version) if version < SENDS_BEARER => (
            format!("{host} accepts only Bearer tokens, which {name} cannot send"),
            "update git to 2.46 or later".to_owned(),
        ),
        Some(_) | None => (
            format!(
                "{host} accepts only Bearer tokens, and {name} leaves them out of a push larger \
                 than {} (`http.postBuffer`), which then fails with HTTP 401",
                in_words(limit)
            ),
            if is_raised {
                "for larger pushes, update git to 2.54 or later, or raise the limit further"
                    .to_owned()
            } else {
                format!(
                    "update git to 2.54 or later, or raise the limit for this host:\n\
                     git config --global http.{host}.postBuffer 500m"
                )
            },
        ),
    };
    Some(Advice {
        what,
        fix,
        is_raised,
    })
}

/// A number of bytes: `500 MiB`.
fn in_words(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= MIB {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

/// The version of the installed git.
pub(crate) fn installed() -> Option<Version> {
    version(&git_config::version_output()?)
}

/// The major and minor version in what `git --version` prints: `git version 2.39.5 (Apple Git-154)`.
fn version(said: &str) -> Option<Version> {
    let number = said.split_whitespace().nth(2)?;
    let mut parts = number.split('.');
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_every_maker_of_git() {
        for (said, expected) in [
            ("git version 2.47.3\n", Some((2, 47))),
            ("git version 2.39.5 (Apple Git-154)\n", Some((2, 39))),
            ("git version 2.54.0.windows.1\n", Some((2, 54))),
            ("git version 2.54.rc0\n", Some((2, 54))),
            ("git version 3.0.0", Some((3, 0))),
            ("git version unknown", None),
            ("", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn each_version_gets_the_advice_that_helps_it() {
        let mib = |count: u64| count << 20;
        for (version, limit, expected) in [
            (Some((2, 39)), mib(1), "2.46 or later"),
            (Some((2, 45)), mib(500), "2.46 or later"),
            (Some((2, 46)), mib(1), "http.https://git.example.postBuffer"),
            (Some((2, 53)), mib(1), "git 2.53 leaves them out"),
            (Some((2, 53)), 65_536, "larger than 65536 bytes"),
            (Some((2, 53)), mib(500), "larger than 500 MiB"),
            (None, mib(1), "git before version 2.54 leaves them out"),
        ] {
            let advice = advice_for("https://git.example", version, limit).unwrap();
            let text = format!("{}\n{}", advice.what, advice.fix);
            assert!(text.contains(expected), "{version:?}: {advice:?}");
            assert_eq!(advice.is_raised, limit == mib(500));
        }
        for version in [(2, 54), (3, 0)] {
            assert_eq!(advice_for("https://git.example", Some(version), 1), None);
        }
    }
}
