//! Matches what a tool wants to reach against `[[resources]]`.
//!
//! Matching compares the parsed scheme, host, port and whole path segments, never a substring or
//! suffix. This module decides only *whether* and *how closely* something matches; the
//! configuration decides which provider answers.

use std::fmt;

use url::{Host, Url};

use super::realm::Realm;
use super::web_url;

/// The `match` of a `[[resources]]` entry: `https://git.corp.example`,
/// `https://git.corp.example/team`, `https://*.corp.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    hosts: Hosts,
    /// The path's segments, percent-encoded as `url` writes them.
    path: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    One(Realm),
    /// Every host with at least one more label in front, and never the domain itself. The realm is
    /// the domain's.
    Beneath(Realm),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error("must be a URL such as https://git.corp.example")]
    NotAUrl,
    #[error(
        "must begin with https:// (http:// is for loopback addresses only), or be a mail server's \
         URL (smtp://, smtps://, imap://, imaps://)"
    )]
    NotHttps,
    #[error("must have no user name or password: an entry has `username` for that")]
    UserInfo,
    #[error("must have no query and no fragment")]
    Extra,
    #[error(
        "may have a `*` only as the whole first label of its host, as in https://*.corp.example"
    )]
    Star,
}

/// How closely a pattern matches; the greatest wins. The fields are in order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closeness {
    host_is_named: bool,
    labels: usize,
    segments: usize,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let url = web_url::parse(text).ok_or(InvalidPattern::NotAUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidPattern::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidPattern::Extra);
        }
        let hosts = match url.host_str().and_then(|host| host.strip_prefix("*.")) {
            None => Hosts::One(Realm::of(&url).ok_or(InvalidPattern::NotHttps)?),
            Some(domain) => {
                let mut beneath = url.clone();
                beneath
                    .set_host(Some(domain))
                    .map_err(|_| InvalidPattern::Star)?;
                Hosts::Beneath(Realm::of(&beneath).ok_or(InvalidPattern::NotHttps)?)
            }
        };
        let (Hosts::One(realm) | Hosts::Beneath(realm)) = &hosts;
        let starred =
            |host: &Host<String>| matches!(host, Host::Domain(name) if name.contains('*'));
        let beneath_an_address =
            matches!(hosts, Hosts::Beneath(_)) && !matches!(realm.host(), Host::Domain(_));
        if starred(realm.host()) || beneath_an_address {
            return Err(InvalidPattern::Star);
        }
        if realm.is_mail() && matches!(hosts, Hosts::Beneath(_)) {
            return Err(InvalidPattern::Star);
        }
        // A name below `localhost` need not be this machine.
        let confidential = match &hosts {
            // For a mail server, the tool that asks says whether TLS is used.
            Hosts::One(realm) => realm.is_confidential() || realm.is_mail(),
            Hosts::Beneath(realm) => realm.is_confidential() && !realm.is_loopback(),
        };
        if !confidential {
            return Err(InvalidPattern::NotHttps);
        }
        let path = segments(&url).map(str::to_owned).collect();
        Ok(Self { hosts, path })
    }

    /// Whether it is a mail server's.
    pub fn is_mail(&self) -> bool {
        let (Hosts::One(realm) | Hosts::Beneath(realm)) = &self.hosts;
        realm.is_mail()
    }

    /// Whether the pattern is limited to a path.
    pub fn has_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// How closely the pattern matches the URL, if it does.
    pub fn fits(&self, realm: &Realm, url: &Url) -> Option<Closeness> {
        let (host_is_named, domain) = match &self.hosts {
            Hosts::One(own) => (own == realm).then_some((true, own))?,
            Hosts::Beneath(domain) => is_beneath(realm, domain).then_some((false, domain))?,
        };
        let mut wanted = segments(url);
        let under = self
            .path
            .iter()
            .all(|segment| wanted.next() == Some(segment));
        under.then(|| Closeness {
            host_is_named,
            labels: labels(domain.host()).count(),
            segments: self.path.len(),
        })
    }
}

/// As written in the configuration, with the host in A-labels.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::One(realm) => write!(f, "{realm}")?,
            Hosts::Beneath(domain) => {
                let domain = domain.to_string();
                f.write_str(&domain.replacen("://", "://*.", 1))?;
            }
        }
        self.path
            .iter()
            .try_for_each(|segment| write!(f, "/{segment}"))
    }
}

fn is_beneath(realm: &Realm, domain: &Realm) -> bool {
    let (Host::Domain(_), Host::Domain(_)) = (realm.host(), domain.host()) else {
        return false;
    };
    let mut own = labels(realm.host());
    let ends_alike = labels(domain.host()).all(|label| own.next() == Some(label));
    realm.differs_in_host_only(domain) && ends_alike && own.next().is_some()
}

/// The labels of a name from right to left; an IP address is one label.
fn labels(host: &Host<String>) -> impl Iterator<Item = &str> {
    let name = match host {
        Host::Domain(name) => name.as_str(),
        Host::Ipv4(_) | Host::Ipv6(_) => "",
    };
    name.rsplit('.')
}

/// The segments of a path; a trailing slash adds none.
fn segments(url: &Url) -> impl Iterator<Item = &str> {
    let path = url.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').filter(move |_| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        let url = Url::parse(text).unwrap();
        let pattern = Pattern::parse(pattern).unwrap();
        Realm::of(&url).is_some_and(|realm| pattern.fits(&realm, &url).is_some())
    }

    #[test]
    fn a_realm_must_match_completely() {
        for (pattern, url, expected) in [
            ("https://github.com", "https://github.com/a/b.git", true),
            ("https://github.com/", "https://github.com", true),
            ("https://GitHub.com.:443", "https://github.com/", true),
            ("https://github.com", "https://GITHUB.COM./", true),
            ("https://github.com", "http://github.com/", false),
            ("https://github.com", "https://github.com:8443/", false),
            ("https://github.com", "https://github.com.evil.tld/", false),
            ("https://github.com", "https://evilgithub.com/", false),
            ("https://github.com", "https://gist.github.com/", false),
            ("https://github.com", "https://github.com@evil.tld/", false),
            (
                "https://github.com",
                "https://evil.tld/https://github.com",
                false,
            ),
            ("https://gitlab.com", "https://xgitlab.com/", false),
            ("https://pkg.dev", "https://evilpkg.dev/", false),
            ("https://pkg.dev", "https://europe-docker.pkg.dev/", false),
            (
                "https://reg.example:5000",
                "https://reg.example:5000/v2/",
                true,
            ),
            ("https://reg.example:5000", "https://reg.example/v2/", false),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/x", true),
            ("http://localhost", "http://127.0.0.1/", false),
            ("http://[::1]:8080", "http://[::1]:8080/", true),
            (
                "https://b\u{fc}cher.example",
                "https://xn--bcher-kva.example/",
                true,
            ),
        ] {
            assert_eq!(fits(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn a_star_matches_one_or_more_whole_labels() {
        for (pattern, url, expected) in [
            (
                "https://*.pkg.dev",
                "https://europe-docker.pkg.dev/v2/",
                true,
            ),
            ("https://*.pkg.dev", "https://a.b.pkg.dev/", true),
            ("https://*.pkg.dev", "https://A.PKG.DEV./", true),
            ("https://*.pkg.dev", "https://pkg.dev/", false),
            ("https://*.pkg.dev", "https://evilpkg.dev/", false),
            ("https://*.pkg.dev", "https://a.evilpkg.dev/", false),
            ("https://*.pkg.dev", "https://a.pkg.dev.evil.tld/", false),
            ("https://*.pkg.dev", "https://a.pkg.dev:8443/", false),
            ("https://*.pkg.dev", "http://a.pkg.dev/", false),
            ("https://*.pkg.dev:8443", "https://a.pkg.dev:8443/", true),
            ("https://*.pkg.dev/team", "https://a.pkg.dev/team/x", true),
            ("https://*.pkg.dev/team", "https://a.pkg.dev/teams", false),
        ] {
            assert_eq!(fits(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn paths_match_by_whole_segments() {
        for (pattern, url, expected) in [
            ("https://git.example/team", "https://git.example/team", true),
            (
                "https://git.example/team",
                "https://git.example/team/",
                true,
            ),
            (
                "https://git.example/team/",
                "https://git.example/team",
                true,
            ),
            (
                "https://git.example/team",
                "https://git.example/team/a.git",
                true,
            ),
            (
                "https://git.example/team",
                "https://git.example/teams/a.git",
                false,
            ),
            (
                "https://git.example/team",
                "https://git.example/team.git",
                false,
            ),
            ("https://git.example/team", "https://git.example/", false),
            (
                "https://git.example/team",
                "https://git.example/TEAM",
                false,
            ),
            (
                "https://git.example/team",
                "https://git.example/x/team",
                false,
            ),
            (
                "https://git.example/team",
                "https://git.example/team/../x",
                false,
            ),
            (
                "https://git.example/team",
                "https://git.example/team/%2e%2e/x",
                false,
            ),
            ("https://git.example/a/b", "https://git.example/a/b/c", true),
            ("https://git.example/a/b", "https://git.example/a", false),
        ] {
            assert_eq!(fits(pattern, url), expected, "{pattern} {url}");
        }
    }

    #[test]
    fn an_exact_host_beats_a_star_and_a_longer_path_a_shorter_one() {
        let url = Url::parse("https://a.b.example/x/y/z").unwrap();
        let realm = Realm::of(&url).unwrap();
        let from_far_to_near = [
            "https://*.example",
            "https://*.example/x/y",
            "https://*.b.example",
            "https://*.b.example/x",
            "https://a.b.example",
            "https://a.b.example/x",
            "https://a.b.example/x/y/z",
        ]
        .map(|text| Pattern::parse(text).unwrap().fits(&realm, &url).unwrap());
        assert!(from_far_to_near.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_pattern_with_extra_parts_is_refused() {
        for (text, expected) in [
            ("git.corp.example", InvalidPattern::NotAUrl),
            ("https://", InvalidPattern::NotAUrl),
            ("ssh://git.corp.example", InvalidPattern::NotHttps),
            ("smtp://*.corp.example", InvalidPattern::Star),
            ("http://git.corp.example", InvalidPattern::NotHttps),
            ("http://*.localhost", InvalidPattern::NotHttps),
            ("https://me@git.corp.example", InvalidPattern::UserInfo),
            ("https://:pw@git.corp.example", InvalidPattern::UserInfo),
            ("https://git.corp.example/?x", InvalidPattern::Extra),
            ("https://git.corp.example/#x", InvalidPattern::Extra),
            ("https://*", InvalidPattern::Star),
            ("https://*git.example", InvalidPattern::Star),
            ("https://git.*.example", InvalidPattern::Star),
            ("https://*.*.example", InvalidPattern::Star),
            ("https://*.10.0.0.1", InvalidPattern::NotAUrl),
            ("https://*.[::1]", InvalidPattern::NotAUrl),
            ("https://*.", InvalidPattern::Star),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), expected, "{text}");
        }
    }
}
