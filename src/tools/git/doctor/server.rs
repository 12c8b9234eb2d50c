//! A git server, as the user names it to the doctor, and what a URL says beside the host.

use crate::error::Error;
use crate::setup::host::Host;
use crate::tools::git::names::may_be_token;

/// A git server, and the user name in its URL.
pub(super) struct Server {
    pub(super) host: Host,
    pub(super) username: Option<String>,
    /// The URL without its user and password, if it contains a password or token.
    pub(super) without_password: Option<String>,
}

impl Server {
    pub(super) fn of(host: Host) -> Self {
        Self {
            host,
            username: None,
            without_password: None,
        }
    }

    /// Parses `HOST`, `HOST:PORT` or a URL, which may name a user.
    pub(super) fn parse(given: &str) -> Result<Self, Error> {
        if !given.contains("://") {
            return Host::parse("HOST", given).map(Self::of);
        }
        let UserInfo { user, plain } = UserInfo::of(given);
        let name = user.map(|user| user.split(':').next().unwrap_or_default());
        let decoded = |text: &str| text.replace("%40", "@");
        Ok(Self {
            host: Host::parse("HOST", &plain)?,
            username: name.filter(|name| !name.is_empty()).map(decoded),
            without_password: without_password(given),
        })
    }
}

/// The URL without its user and password, if it contains a password or token.
pub(super) fn without_password(url: &str) -> Option<String> {
    let UserInfo { user, plain } = UserInfo::of(url);
    let user = user?;
    (user.contains(':') || may_be_token(user)).then_some(plain)
}

/// The part of a URL before `@`, and the URL without it.
struct UserInfo<'u> {
    user: Option<&'u str>,
    plain: String,
}

impl<'u> UserInfo<'u> {
    fn of(url: &'u str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, authority)) if !scheme.is_empty() => Self {
                user: Some(user),
                plain: format!("{scheme}://{authority}{path}"),
            },
            Some(_) | None => Self {
                user: None,
                plain: url.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_or_token_is_found_and_removed() {
        for (url, plain) in [
            (
                "https://me:pw@a.example/b c.git",
                Some("https://a.example/b c.git"),
            ),
            (
                "https://ghp_0@a.example:8443",
                Some("https://a.example:8443"),
            ),
            ("https://me@a.example/b", None),
            ("https://a.example/b@c:d", None),
            ("git@a.example:b.git", None),
            ("ssh://git@a.example/b.git", None),
        ] {
            assert_eq!(without_password(url).as_deref(), plain, "{url}");
        }
    }

    #[test]
    fn the_user_name_is_separated_from_the_host() {
        let server = Server::parse("https://me%40a.example:pw@Git.example/x").unwrap();
        assert_eq!(server.username.as_deref(), Some("me@a.example"));
        assert_eq!(server.host.text, "https://git.example/x");
        assert_eq!(Server::parse("git.example").unwrap().username, None);
    }
}
