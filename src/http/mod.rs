//! HTTP: one request at a time, to an authorization server.
//!
//! `policy` says which requests are allowed, along which route and for how long. `certificates` says
//! which servers are trusted. `transport` sends a request, `response` reads the answer, and `fault`
//! explains what went wrong. Logs show the method, host, path and status, never a body.

mod certificates;
mod error;
mod fault;
mod patience;
mod policy;
mod response;
#[cfg(all(unix, not(target_os = "macos")))]
mod roots;
mod tls_words;
mod transport;

pub use error::{CertificateFault, HttpError};
pub use response::{Body, Response};
pub use transport::Http;
