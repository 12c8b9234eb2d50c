//! Advice about git versions, for servers that accept only `Authorization: Bearer`.
//!
//! git 2.46 learned to send a helper's Bearer token. Up to 2.53 it leaves the token out of the
//! probe before a POST larger than `http.postBuffer` (1 MiB), so such a push ends in 401; 2.54.0
//! fixes that (git's commit ed0f7a62f7).

use super::git_config;
use crate::setup::host::Host;

/// The first git that sends a Bearer token.
const SENDS_BEARER: (u32, u32) = (2, 46);
/// The first git that sends one before a large POST too.
const SENDS_BEARER_IN_PROBE: (u32, u32) = (2, 54);

/// What to tell the user about each host that accepts only Bearer tokens, a line at a time.
pub(crate) fn advice(bearer_hosts: &[Host]) -> Vec<String> {
    if bearer_hosts.is_empty() {
        return Vec::new();
    }
    let said = git_config::version_output();
    let version = said.as_deref().and_then(version);
    bearer_hosts
        .iter()
        .flat_map(|host| advice_for(&host.text, version))
        .collect()
}

fn advice_for(host: &str, version: Option<(u32, u32)>) -> Vec<String> {
    let name = match version {
        Some((major, minor)) => format!("git {major}.{minor}"),
        None => "git before version 2.54".to_owned(),
    };
    match version {
        Some(version) if version >= SENDS_BEARER_IN_PROBE => Vec::new(),
        Some(version) if version < SENDS_BEARER => vec![format!(
            "note: {host} accepts only Bearer tokens, which {name} cannot send; update git to \
             2.46 or later"
        )],
        Some(_) | None => vec![
            format!(
                "note: {host} accepts only Bearer tokens, and {name} leaves them out of a push \
                 larger than 1 MiB (`http.postBuffer`), which then fails with HTTP 401. Update \
                 git to 2.54 or later, or raise the limit for this host:"
            ),
            format!("  git config --global http.{host}.postBuffer 500m"),
        ],
    }
}

/// The major and minor version in what `git --version` prints: `git version 2.39.5 (Apple Git-154)`.
fn version(said: &str) -> Option<(u32, u32)> {
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
        for (version, lines, word) in [
            (Some((2, 39)), 1, "2.46 or later"),
            (Some((2, 45)), 1, "2.46 or later"),
            (Some((2, 46)), 2, "http.https://git.example.postBuffer"),
            (Some((2, 53)), 2, "git 2.53 leaves them out"),
            (None, 2, "git before version 2.54 leaves them out"),
            (Some((2, 54)), 0, ""),
            (Some((3, 0)), 0, ""),
        ] {
            let advice = advice_for("https://git.example", version);
            assert_eq!(advice.len(), lines, "{version:?}: {advice:?}");
            assert!(advice.concat().contains(word), "{version:?}: {advice:?}");
        }
    }
}
