//! A realm: the scheme, host and port that a credential is for.
//!
//! Every decision about who gets a token compares realms, and never the text of a URL:
//! `github.com.evil.example`, `evilgithub.com`, `github.com@evil.example` and
//! `github.com\@evil.example` have each fooled a credential helper that compared text. A realm's
//! text is for messages only.
//!
//! Specification: <https://url.spec.whatwg.org/#concept-url-origin>

use std::fmt;

use url::{Host, Url};

use super::web_url;
use crate::oauth::safe_url;

/// Scheme, host and port. `GITHUB.COM`, `github.com.` and `github.com:443` are one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Realm {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Realm {
    /// The realm of an http or https URL; `None` for any other scheme.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = Scheme::named(url.scheme())?;
        Some(Self {
            scheme,
            host: canonical(url.host()?.to_owned())?,
            port: url.port().unwrap_or(scheme.default_port()),
        })
    }

    /// Parses the separate fields that git sends: a scheme, and a host with an optional port.
    ///
    /// Stricter than a URL parser, which reads `github.com/..`, `github.com\@evil.example` and
    /// percent-encoded letters as a different host than they appear to be.
    pub fn from_parts(scheme: &str, authority: &str) -> Option<Self> {
        if authority.contains('*') {
            return None;
        }
        let scheme = Scheme::named(scheme)?;
        let (host, port) = web_url::split_port(authority)?;
        Some(Self {
            scheme,
            host: canonical(web_url::host(host)?)?,
            port: match port {
                None => scheme.default_port(),
                Some(digits) => port_number(digits)?,
            },
        })
    }

    /// Whether it is this machine. Only there is plain http allowed, because the traffic can't be
    /// intercepted on the way.
    pub fn is_loopback(&self) -> bool {
        safe_url::is_loopback(&self.host)
    }

    /// Whether traffic to it is confidential: https, or loopback.
    pub fn is_confidential(&self) -> bool {
        self.scheme == Scheme::Https || self.is_loopback()
    }

    /// Whether the two differ only in their hosts.
    pub(super) fn differs_in_host_only(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port
    }

    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }
}

/// For messages: `https://git.corp.example`, with the port unless it is the default.
impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match scheme {
            Scheme::Http => f.write_str("http://")?,
            Scheme::Https => f.write_str("https://")?,
        }
        write!(f, "{host}")?;
        if *port == scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{port}")
        }
    }
}

impl Scheme {
    fn named(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host name without a trailing dot; refuses empty labels.
///
/// The `url` crate has already lowercased it and converted it to punycode.
fn canonical(host: Host<String>) -> Option<Host<String>> {
    let Host::Domain(mut name) = host else {
        return Some(host);
    };
    if name.ends_with('.') {
        name.pop();
    }
    let whole = name.split('.').all(|label| !label.is_empty());
    whole.then_some(Host::Domain(name))
}

/// `str::parse` alone would accept `+443`.
fn port_number(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(text: &str) -> Option<Realm> {
        Realm::of(&web_url::parse(text)?)
    }

    #[test]
    fn case_trailing_dot_and_default_port_make_no_difference() {
        let github = realm("https://github.com").unwrap();
        for text in [
            "https://GITHUB.COM/",
            "https://github.com./a/b",
            "https://github.com:443",
            "HTTPS://GitHub.Com:0443/",
            "https://someone@github.com/",
        ] {
            assert_eq!(realm(text).as_ref(), Some(&github), "{text}");
        }
        for authority in ["github.com", "GITHUB.COM", "github.com.", "github.com:443"] {
            let parsed = Realm::from_parts("https", authority);
            assert_eq!(parsed.as_ref(), Some(&github), "{authority}");
        }
    }

    #[test]
    fn look_alikes_are_different_realms_or_refused() {
        let github = realm("https://github.com").unwrap();
        for text in [
            "http://github.com",
            "https://github.com:8443",
            "https://github.com.evil.tld",
            "https://evilgithub.com",
            "https://xgithub.com",
            "https://www.github.com",
            "https://github.com@evil.tld/",
            "https://github.com%40evil.tld/",
            "https://evil.tld/github.com",
            "https://evil.tld\\@github.com/",
            "https://evil.tld#@github.com",
            "https://evil.tld?@github.com",
            "https://github.com..",
            "https://github\u{b7}com",
            "https://g\u{456}thub.com/",
            "ftp://github.com",
            "cert:///github.com",
        ] {
            assert_ne!(realm(text).as_ref(), Some(&github), "{text}");
        }
        for authority in [
            "github.com.evil.tld",
            "evilgithub.com",
            "xgitlab.com",
            "github.com@evil.tld",
            "evil.tld@github.com",
            "github.com:443.helper=x",
            "github.com/..",
            "github.com\\@evil",
            "github.com#",
            "github.com?",
            "github%2ecom",
            "%67ithub.com",
            "*.com",
            "github.com..",
            ".github.com",
            "github.com:",
            "github.com:+443",
            "github.com:4 43",
            "github.com:443:443",
            "github.com:65979",
            "github.com\r",
            "git\thub.com",
            "github.com\0",
            "",
            ":443",
        ] {
            let parsed = Realm::from_parts("https", authority);
            assert_ne!(parsed.as_ref(), Some(&github), "{authority:?}");
        }
    }

    #[test]
    fn addresses_parse() {
        for (authority, shown) in [
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("[::1]", Some("http://[::1]")),
            ("127.0.0.1:80", Some("http://127.0.0.1")),
            ("localhost:13337", Some("http://localhost:13337")),
            ("::1", None),
            ("[::1", None),
            ("[::1]8080", None),
            ("[::1%eth0]", None),
            ("2130706433", None),
            ("0x7f.1", None),
            ("127.1", None),
            ("\u{ff11}\u{ff12}\u{ff17}.0.0.1", None),
            ("\u{ff4c}ocalhost", None),
        ] {
            let parsed = Realm::from_parts("http", authority);
            let parsed = parsed.map(|realm| realm.to_string());
            assert_eq!(parsed.as_deref(), shown, "{authority}");
        }
    }

    #[test]
    fn plain_http_is_confidential_on_loopback_only() {
        for (text, expected) in [
            ("https://example.com", true),
            ("http://127.0.0.1", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]", true),
            ("http://localhost", true),
            ("http://localhost.", true),
            ("http://example.com", false),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://0.0.0.0", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://192.168.0.1", false),
        ] {
            let found = realm(text).unwrap().is_confidential();
            assert_eq!(found, expected, "{text}");
        }
    }
}
