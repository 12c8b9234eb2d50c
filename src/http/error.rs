//! The reasons why a request failed.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url} is plain http, which hallpass uses for loopback addresses only")]
    PlainHttp { url: String },
    #[error("{host} did not answer within {} s", limit.as_secs_f64().ceil())]
    TimedOut {
        host: String,
        limit: Duration,
        /// There was a connection, so the server may have received the request.
        connected: bool,
    },
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("the proxy {proxy} could not connect to {host}: {reason}")]
    Proxy {
        proxy: String,
        host: String,
        reason: String,
    },
    #[error("the proxy {proxy} requires a user name and password to reach {host}")]
    ProxyLogin { proxy: String, host: String },
    #[error("the certificate of {host} is not trusted: {reason}")]
    Certificate {
        host: String,
        fault: CertificateFault,
        reason: String,
    },
    #[error("the certificate of {host} cannot be checked: this system has no CA certificates")]
    NoAuthorities { host: String },
    #[error("the TLS connection to {host} failed: {reason}")]
    NotTls { host: String, reason: String },
    #[error("this network requires you to sign in before you can reach {host} (status 511)")]
    NetworkSignIn { host: String },
    #[error("the connection to {host} was interrupted: {reason}")]
    Interrupted { host: String, reason: String },
    #[error("{host} answered with a redirect (status {status}), which hallpass does not follow")]
    Redirect {
        host: String,
        status: u16,
        /// The target, printable and without the parts that may be secret.
        to: Option<String>,
    },
    #[error("the response from {host} is larger than {} KiB", limit / 1024)]
    TooLarge {
        host: String,
        /// In bytes.
        limit: usize,
    },
    #[error("cannot read the CA file {}: {reason}", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("TLS cannot be set up: {reason}")]
    Tls { reason: String },
}

impl HttpError {
    /// Whether the request was sent, at least in part, and the connection then failed.
    pub fn is_after_sending(&self) -> bool {
        matches!(
            self,
            Self::TimedOut {
                connected: true,
                ..
            } | Self::Interrupted { .. }
        )
    }
}

/// What is wrong with a certificate. Each kind has its own remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Not yet or no longer valid, by this machine's clock.
    Time,
    /// It is for a different host.
    Name,
    /// No trusted authority issued it, or it is damaged.
    Trust,
}
