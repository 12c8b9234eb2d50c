//! Which URLs hallpass trusts with secrets and opens in a browser.

use url::{Host, Url};

/// Whether a host is this machine.
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// Whether a URL may receive secrets or be opened in a browser: https, or http to a loopback address.
///
/// A URL with a user name or password may not, because it looks like a different host.
pub(super) fn is_safe(url: &Url) -> bool {
    let is_confidential = match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host().is_some_and(|host| is_loopback(&host)),
        _ => false,
    };
    is_confidential && url.username().is_empty() && url.password().is_none()
}

/// Whether a URL has no user name, password, query or fragment.
pub(super) fn is_bare(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_url_is_https_or_loopback_without_credentials() {
        for (url, expected) in [
            ("https://as.example/x", true),
            ("http://127.0.0.1:1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://as.example/", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
            ("https://user@as.example/", false),
            ("https://:pw@as.example/", false),
            ("ws://127.0.0.1/", false),
            ("file:///etc/passwd", false),
            ("mailto:a@b.example", false),
        ] {
            assert_eq!(is_safe(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
