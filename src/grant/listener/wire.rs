//! Parses the listener's requests and formats its responses, without I/O.
//!
//! No part of a request ever appears in a response.
//! <https://www.rfc-editor.org/rfc/rfc9112>

use httparse::{EMPTY_HEADER, Header, Request, Status};

use super::super::page::{self, Rendered};

/// The largest request head in bytes. A browser sends the cookies of every server on this host, because
/// cookies don't distinguish ports (RFC 6265 §8.5).
pub(super) const HEAD_LIMIT: usize = 16 * 1024;

const HEADER_LIMIT: usize = 128;

/// The listener's address, which is compared with each request byte for byte.
#[derive(Debug)]
pub(super) struct Site {
    /// `127.0.0.1:49152`
    authority: String,
    /// The path of the redirect URI.
    callback: String,
    /// The path of the result page, which is below the callback's and has no query.
    result_page: String,
}

/// A complete request head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Callback { query: &'a str },
    ResultPage,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a valid request, or not a genuine callback.
    BadRequest,
    /// The request is for another host, or from another site's page.
    Forbidden,
    /// The request is from another user of this computer.
    OtherUser,
    NotFound,
    MethodNotAllowed,
    HeadTooLarge,
    /// The browser prefetches the page before the user opens it.
    Prefetch,
}

impl Site {
    /// `None` if the redirect URI is not `http://authority` with or without a path.
    pub(super) fn of(redirect_uri: &str) -> Option<Self> {
        let rest = redirect_uri.strip_prefix("http://")?;
        let (authority, callback) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            // The browser then requests this path (RFC 9110 §4.2.3).
            None => (rest, "/"),
        };
        Some(Self {
            authority: authority.to_owned(),
            callback: callback.to_owned(),
            // This is always longer than the callback's path, so the two differ.
            result_page: format!("{}/done", callback.trim_end_matches('/')),
        })
    }

    /// Parses a head. `None`: it is incomplete. Anything after the head is ignored, because a connection
    /// has only one request and a GET has no content.
    pub(super) fn read<'a>(&self, bytes: &'a [u8]) -> Option<Head<'a>> {
        let mut headers = [EMPTY_HEADER; HEADER_LIMIT];
        let mut request = Request::new(&mut headers);
        let refusal = match request.parse(bytes) {
            Ok(Status::Complete(_)) => match (request.method, request.path) {
                (Some(method), Some(target)) => match self.admit(method, request.headers) {
                    Ok(()) => return Some(self.route(target)),
                    Err(refusal) => refusal,
                },
                (_, _) => Refusal::BadRequest,
            },
            Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => return None,
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => Refusal::HeadTooLarge,
            Err(_) => Refusal::BadRequest,
        };
        Some(Head::Refused(refusal))
    }

    fn admit(&self, method: &str, headers: &[Header<'_>]) -> Result<(), Refusal> {
        let values = |name: &'static str| {
            headers
                .iter()
                .filter(move |header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };

        // DNS rebinding: a site whose name resolves to loopback could read the responses.
        let mut hosts = values("Host");
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal::BadRequest); // RFC 9112 §3.2
        };
        if !host.eq_ignore_ascii_case(self.authority.as_bytes()) {
            return Err(Refusal::Forbidden);
        }

        // A navigation by GET has no Origin. If there is one, a script sent the request.
        let own =
            |origin: &[u8]| origin.strip_prefix(b"http://") == Some(self.authority.as_bytes());
        if !values("Origin").all(own) {
            return Err(Refusal::Forbidden);
        }

        if method != "GET" {
            return Err(Refusal::MethodNotAllowed);
        }
        if values("Content-Length")
            .chain(values("Transfer-Encoding"))
            .next()
            .is_some()
        {
            return Err(Refusal::BadRequest);
        }

        let early = ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"]
            .into_iter()
            .flat_map(values)
            .any(is_speculative);
        if early {
            return Err(Refusal::Prefetch);
        }

        // Only a tab may request the page, not an image, frame or script of another page. Old browsers
        // don't send these fields (https://www.w3.org/TR/fetch-metadata/).
        let navigation = values("Sec-Fetch-Mode").all(|mode| mode == b"navigate")
            && values("Sec-Fetch-Dest").all(|destination| destination == b"document");
        if !navigation {
            return Err(Refusal::Forbidden);
        }
        Ok(())
    }

    /// Compares whole paths, so `//host`, an absolute URL and `*` are not found.
    fn route<'a>(&self, target: &'a str) -> Head<'a> {
        if target.contains('#') {
            return Head::Refused(Refusal::BadRequest);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == self.callback {
            Head::Callback { query }
        } else if path == self.result_page {
            Head::ResultPage
        } else {
            Head::Refused(Refusal::NotFound)
        }
    }

    /// The redirect that removes the code from the address bar, the history and the Referer.
    pub(super) fn redirect(&self) -> Vec<u8> {
        let location = format!(
            "Location: http://{}{}\r\n",
            self.authority, self.result_page
        );
        response(
            "303 See Other",
            &location,
            &page::content_security_policy(),
            "",
        )
    }
}

/// Recognizes `prefetch`, `prefetch;prerender`, and the values of Safari and old browsers.
fn is_speculative(purpose: &[u8]) -> bool {
    let purpose = String::from_utf8_lossy(purpose).to_ascii_lowercase();
    ["prefetch", "prerender", "preview"]
        .iter()
        .any(|word| purpose.contains(word))
}

impl Refusal {
    pub(super) fn response(self) -> Vec<u8> {
        let (status, fields, sentence) = match self {
            Refusal::BadRequest => (
                "400 Bad Request",
                "",
                "This request does not belong to the current sign-in. hallpass is still waiting.\n",
            ),
            Refusal::Forbidden => (
                "403 Forbidden",
                "",
                "hallpass does not accept requests from other sites.\n",
            ),
            Refusal::OtherUser => (
                "403 Forbidden",
                "",
                "hallpass and this browser belong to different users of this computer. \
                 hallpass is still waiting.\n",
            ),
            Refusal::NotFound => ("404 Not Found", "", "Not found.\n"),
            // No text, because a response to HEAD has none.
            Refusal::MethodNotAllowed => ("405 Method Not Allowed", "Allow: GET\r\n", ""),
            Refusal::HeadTooLarge => (
                "431 Request Header Fields Too Large",
                "",
                "The browser sent too much data. Delete the cookies of this host and try again.\n",
            ),
            Refusal::Prefetch => ("503 Service Unavailable", "", ""),
        };
        let fields = format!("{fields}Content-Type: text/plain; charset=utf-8\r\n");
        response(status, &fields, &page::content_security_policy(), sentence)
    }
}

pub(super) fn page(rendered: &Rendered) -> Vec<u8> {
    let status = match rendered.status {
        200 => "200 OK",
        _ => "400 Bad Request",
    };
    let fields = "Content-Type: text/html; charset=utf-8\r\n";
    response(status, fields, &rendered.csp, &rendered.html)
}

fn response(status: &str, fields: &str, csp: &str, content: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n{fields}\
         Content-Length: {length}\r\n\
         Connection: close\r\n\
         Cache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: {csp}\r\n\
         X-Frame-Options: DENY\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n\
         \r\n{content}",
        length = content.len(),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_pages_path_differs_from_the_callbacks() {
        for (uri, path) in [
            ("http://127.0.0.1:8400/callback", "/callback/done"),
            ("http://127.0.0.1:8400/", "/done"),
            ("http://127.0.0.1:8400", "/done"),
            ("http://127.0.0.1:8400/done", "/done/done"),
            ("http://127.0.0.1:8400/a/", "/a/done"),
            ("http://[::1]:8400/a/done/", "/a/done/done"),
        ] {
            let site = Site::of(uri).unwrap();
            assert_eq!(site.result_page, path, "{uri}");
            assert_ne!(site.result_page, site.callback, "{uri}");
        }
    }

    #[test]
    fn a_head_is_parsed_once_complete_without_what_follows() {
        let site = Site::of("http://127.0.0.1:8400/callback").unwrap();
        let head = b"GET /callback?code=c HTTP/1.1\r\nHost: 127.0.0.1:8400\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(site.read(&head[..end]), None, "{end}");
        }
        let mut with_more = head.to_vec();
        with_more.extend_from_slice(b"GET /callback?code=d HTTP/1.1\r\n");
        for bytes in [&head[..], &with_more] {
            assert_eq!(site.read(bytes), Some(Head::Callback { query: "code=c" }));
        }
    }
}
