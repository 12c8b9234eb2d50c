//! A minimal HTTP/1.1 client for loopback that sends exactly the given bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use url::Url;

const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            status,
            headers,
            body: body.to_owned(),
        })
    }
}

pub(crate) fn get(url: &str) -> io::Result<Reply> {
    request("GET", url, &[], None)
}

/// Delivers a callback like a browser, following the redirect to the result page.
#[track_caller]
pub(crate) fn deliver(callback: &str) -> Reply {
    let reply = get(callback).expect("an answer to the callback");
    assert_eq!(reply.status, 303, "{}", reply.body);
    follow(callback, &reply)
}

/// Loads the page to which a reply to `from` redirects.
#[track_caller]
pub(crate) fn follow(from: &str, reply: &Reply) -> Reply {
    let to = reply.header("Location").expect("a redirect");
    let to = Url::parse(from)
        .and_then(|url| url.join(to))
        .expect("a URL");
    get(to.as_str()).expect("the result page")
}

/// Sends one request. Given headers replace the default ones.
pub(crate) fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    form: Option<&str>,
) -> io::Result<Reply> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target = format!("{target}?{query}");
    }
    let authority = url.authority().to_owned();
    let mut all = vec![("Host", authority.as_str()), ("Connection", "close")];
    let length = form.unwrap_or_default().len().to_string();
    if form.is_some() {
        all.push(("Content-Type", "application/x-www-form-urlencoded"));
        all.push(("Content-Length", &length));
    }
    all.retain(|(name, _)| !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)));
    all.extend_from_slice(headers);
    let mut lines = vec![format!("{method} {target} HTTP/1.1")];
    lines.extend(all.iter().map(|(name, value)| format!("{name}: {value}")));
    let text = format!("{}\r\n\r\n{}", lines.join("\r\n"), form.unwrap_or_default());
    raw(&url, text.as_bytes())
}

/// Sends raw bytes, and reads until the other side closes the connection.
pub(crate) fn raw(url: &Url, bytes: &[u8]) -> io::Result<Reply> {
    let mut stream = connect(url)?;
    stream.write_all(bytes)?;
    read(stream)
}

pub(crate) fn connect(url: &Url) -> io::Result<TcpStream> {
    if url.scheme() != "http" {
        return Err(io::Error::other("this client speaks plain HTTP only"));
    }
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let mut last = io::Error::other("no such host");
    for address in (host, port).to_socket_addrs()? {
        if !address.ip().is_loopback() {
            return Err(io::Error::other("this client stays on loopback"));
        }
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(crate) fn read(mut stream: TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // A server that closes with unread data resets the connection after its response.
        Err(_) if bytes.is_empty() => Err(io::Error::other("closed without an answer")),
        Ok(_) | Err(_) => Reply::parse(&bytes),
    }
}
