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
    Smtp,
    Smtps,
    Imap,
    Imaps,
}

impl Realm {
    /// The realm of a web or mail server's URL; `None` for any other scheme.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = Scheme::named(url.scheme())?;
        let host = if scheme.is_mail() {
            // Only the schemes of the web have their host parsed by `url`.
            web_url::host(url.host_str()?)?
        } else {
            url.host()?.to_owned()
        };
        Some(Self {
            scheme,
            host: canonical(host)?,
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

    /// Whether it is a web server, and traffic to it is confidential: https, or loopback.
    pub fn is_confidential(&self) -> bool {
        !self.is_mail() && (self.scheme == Scheme::Https || self.is_loopback())
    }

    /// Whether it is a mail server. Whether traffic to one is confidential may depend on more than
    /// its URL (STARTTLS).
    pub fn is_mail(&self) -> bool {
        self.scheme.is_mail()
    }

    /// Whether its scheme alone says that TLS protects the connection from the start.
    pub fn implies_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Smtps | Scheme::Imaps)
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
        write!(f, "{}://{host}", scheme.name())?;
        if *port == scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{port}")
        }
    }
}

impl Scheme {
    fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Http,
            Self::Https,
            Self::Smtp,
            Self::Smtps,
            Self::Imap,
            Self::Imaps,
        ];
        all.into_iter().find(|scheme| scheme.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
        }
    }

    fn is_mail(self) -> bool {
        !matches!(self, Self::Http | Self::Https)
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Smtp => 25,
            Self::Smtps => 465,
            Self::Imap => 143,
            Self::Imaps => 993,
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
            "smtps://github.com",
            "smtps://github.com:443",
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
    fn a_mail_server_has_one_spelling_too() {
        for (text, shown) in [
            ("smtp://Mail.Example.:587", "smtp://mail.example:587"),
            ("smtp://mail.example:25", "smtp://mail.example"),
            ("imaps://127.0.0.1:993", "imaps://127.0.0.1"),
            ("imap://[::1]:1143", "imap://[::1]:1143"),
        ] {
            assert_eq!(realm(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "smtp://",
            "smtp:mail.example",
            "smtp://a@b@c",
            "smtp://mail%2eexample",
        ] {
            assert_eq!(realm(text), None, "{text}");
        }
        assert_eq!(
            Realm::from_parts("smtp", "mail.example:587"),
            realm("smtp://mail.example:587")
        );
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
            ("smtps://example.com", false),
            ("smtp://localhost", false),
        ] {
            let found = realm(text).unwrap().is_confidential();
            assert_eq!(found, expected, "{text}");
        }
    }
}
