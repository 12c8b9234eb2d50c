//! Parses a URL that a tool, a kubeconfig or a configuration provides: strictly.
//!
//! A URL parser repairs the input that browsers get: `https:host`, backslashes, tabs, `%2e%2e`, an
//! IP address written as one number. The program that connects may read the same text differently,
//! and the token would go to a server that was never matched. So a URL that needs repair is
//! refused.
//!
//! Specification: <https://url.spec.whatwg.org/#concept-basic-url-parser>

use url::{Host, Url};

/// Parses a URL that needs no repair. The caller decides about schemes other than http and https.
pub fn parse(text: &str) -> Option<Url> {
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    if !matches!(
        url.scheme(),
        "http" | "https" | "smtp" | "smtps" | "imap" | "imaps"
    ) {
        return Some(url);
    }
    let (_, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = match authority.split_once('@') {
        Some((_, host)) => host,
        None => authority,
    };
    // `https:host` and `https:a://b` have another scheme before `://`.
    let is_whole = text.len() > url.scheme().len()
        && text[url.scheme().len()..].starts_with("://")
        && !authority.contains('@');
    let (named, _) = split_port(authority)?;
    host(named)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    (is_whole && is_plain_path(path)).then_some(url)
}

/// Parses a host in its canonical spelling.
///
/// Only one spelling of an IP address is accepted, because a program that doesn't recognize
/// `0x7f.1` as an address looks it up as a name. A name may have non-ASCII letters, except those
/// that are mapped to ASCII.
pub(super) fn host(text: &str) -> Option<Host<String>> {
    const NOT_IN_A_HOST: &[char] = &['/', '\\', '@', '?', '#', '%'];
    let foreign = |c: char| c.is_control() || c.is_whitespace() || NOT_IN_A_HOST.contains(&c);
    if text.contains(foreign) {
        return None;
    }
    let host = Host::parse(text).ok()?;
    let is_own_spelling = match &host {
        Host::Ipv4(address) => address.to_string() == text,
        Host::Ipv6(_) => true,
        Host::Domain(_) => text.split('.').filter(|label| !label.is_ascii()).all(
            |label| matches!(Host::parse(label), Ok(Host::Domain(a)) if a.starts_with("xn--")),
        ),
    };
    is_own_spelling.then_some(host)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let after_host = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(after_host);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// Whether every server splits a path into the same segments: none is `.` or `..`, even after what
/// some servers strip (`..;x`), and no escape hides a dot or a backslash.
pub fn is_plain_path(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let hides = path.contains("%2e") || path.contains("%5c") || path.contains('\\');
    !hides
        && !path.contains(|c: char| c.is_control())
        && path.split('/').all(|segment| {
            let name = segment.split(';').next().unwrap_or_default();
            !matches!(name, "." | "..")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_need_of_repair_is_accepted_unchanged() {
        for text in [
            "https://git.example",
            "HTTPS://Git.Example:443/",
            "https://someone@git.example/a.b/c..d/.e/f.git?x=..#..",
            "https://git.example./a;b/@scope%2fname",
            "https://b\u{fc}cher.example/",
            "https://xn--bcher-kva.example/",
            "https://*.git.example",
            "https://127.0.0.1:6443",
            "http://[::1]:8080/x",
            "http://[0:0::1]/",
            "http://localhost/",
            "ssh://git.example/..",
        ] {
            assert_eq!(parse(text), Url::parse(text).ok(), "{text}");
        }
    }

    #[test]
    fn a_url_that_needs_repair_is_refused() {
        for text in [
            "",
            "git.example",
            "https:git.example",
            "https:/git.example",
            "https:///git.example",
            "https:\\\\git.example",
            "https:git.example/://x",
            "https://git.example\\@evil.example/",
            "https://evil.example\\.git.example/",
            "https://git.example/a\\..\\b",
            "https://git\t.example",
            " https://git.example",
            "https://git.example\n",
            "https://git.example/a b",
            "https://a@b@git.example/",
            "https://git%2eexample/",
            "https://git.example%40evil.example/",
            "https://git.example/../x",
            "https://git.example/./x",
            "https://git.example/a/..",
            "https://git.example/%2e%2E/x",
            "https://git.example/.%2e/x",
            "https://git.example/a%2eb",
            "https://git.example/..;/x",
            "https://git.example/..;a=b/x",
            "https://git.example/.;/x",
            "https://git.example/a%5c..",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "http://\u{ff4c}ocalhost/",
            "https://\u{ff47}ithub.com/",
            "https://git\u{3002}example/",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_separate_path_is_checked_the_same_way() {
        for (path, expected) in [
            ("", true),
            ("team/a.git", true),
            ("/team/...", true),
            ("team/../x", false),
            ("..", false),
            ("team/%2E./x", false),
            ("team/..;/x", false),
            ("team\\x", false),
        ] {
            assert_eq!(is_plain_path(path), expected, "{path}");
        }
    }
}
