//! The parts of HTTP/1.1 that the fake provider needs, over plain TCP or TLS.
//!
//! Every connection has its own thread and carries one request, so that a hanging request delays no
//! other. Tests must be able to cut a connection in the middle of a body, which server libraries
//! don't support.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Longer than any client takes. It ends a browser's speculative connections.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Name and value pairs in their original order, including duplicates.
pub(crate) type Pairs = Vec<(String, String)>;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Pairs,
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
    /// The body, if it is a form.
    pub(crate) form: Pairs,
    pub(crate) tls: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

/// The first value of a name.
pub(crate) fn first<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let (_, value) = pairs.iter().find(|(n, _)| n == name)?;
    Some(value)
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
    /// Stops after half of the body, like a crashing proxy.
    pub(crate) cut: bool,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            cut: false,
        }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string()).header("Cache-Control", "no-store")
    }

    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
            .header("Cache-Control", "no-store")
            .header("Referrer-Policy", "no-referrer")
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::new(status, "text/plain", "").header("Location", to)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn write_to(&self, stream: &mut dyn Write) -> io::Result<()> {
        let mut head = vec![format!("HTTP/1.1 {} Answer", self.status)];
        head.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        head.push("Connection: close".to_owned());
        head.push(format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let head = head.join("\r\n");
        stream.write_all(head.as_bytes())?;
        let end = if self.cut {
            self.body.len() / 2
        } else {
            self.body.len()
        };
        stream.write_all(&self.body[..end])?;
        stream.flush()
    }
}

/// A listener on a free loopback port, which stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn bind(tls: bool) -> io::Result<(TcpListener, Option<Arc<rustls::ServerConfig>>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tls = tls.then(tls_config).transpose()?;
        Ok((listener, tls))
    }

    pub(crate) fn serve<F>(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        answer: F,
    ) -> io::Result<Self>
    where
        F: Fn(Request) -> Option<Response> + Send + Sync + 'static,
    {
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answer = Arc::new(answer);
        let acceptor = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let answer = Arc::clone(&answer);
                let tls = tls.clone();
                std::thread::spawn(move || {
                    let whole = stream.try_clone();
                    // A client may disconnect at any time.
                    drop(converse(stream, tls, &*answer));
                    // On Windows, a program that another thread has started meanwhile inherits the
                    // connection. Without this, the client would see its end when that program exits.
                    if let Ok(whole) = whole {
                        drop(whole.shutdown(Shutdown::Both));
                    }
                });
            }
        });
        Ok(Self {
            address,
            stop,
            acceptor: Some(acceptor),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wake the accepting thread.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn converse(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: &dyn Fn(Request) -> Option<Response>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    let Some(config) = tls else {
        return exchange(stream, false, answer).map(drop);
    };
    let connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
    let stream = rustls::StreamOwned::new(connection, stream);
    let mut stream = exchange(stream, true, answer)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn exchange<S: Read + Write>(
    stream: S,
    tls: bool,
    answer: &dyn Fn(Request) -> Option<Response>,
) -> io::Result<S> {
    let mut reader = BufReader::new(stream);
    let Some(request) = read_request(&mut reader, tls)? else {
        return Ok(reader.into_inner());
    };
    let response = answer(request);
    let mut stream = reader.into_inner();
    if let Some(response) = response {
        response.write_to(&mut stream)?;
    }
    Ok(stream)
}

fn read_request(reader: &mut dyn BufRead, tls: bool) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Pairs::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: pairs(query.as_bytes()),
        headers,
        body: Vec::new(),
        form: Pairs::new(),
        tls,
    };
    let length = request
        .header("Content-Length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if request
        .header("Content-Type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    {
        request.form = pairs(&body);
    }
    request.body = body;
    Ok(Some(request))
}

pub(super) fn pairs(encoded: &[u8]) -> Pairs {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

fn tls_config() -> io::Result<Arc<rustls::ServerConfig>> {
    let certificate = CertificateDer::from(include_bytes!("keys/tls-server.der").as_slice());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("keys/tls-server.pk8").as_slice());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}
