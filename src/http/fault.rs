//! Finds out why a request failed. The HTTP library's errors are nested and have private types.

use std::time::Duration;

use super::error::{CertificateFault, HttpError};
use super::tls_words;

/// The cause of a failed request in the caller's terms. `limit` is the time limit that applied.
pub(super) fn classify(
    error: reqwest::Error,
    host: &str,
    proxy: &str,
    limit: Duration,
) -> HttpError {
    let host = host.to_owned();
    // A URL can contain secrets.
    let error = error.without_url();
    if error.is_timeout() {
        return HttpError::TimedOut {
            host,
            limit,
            connected: !error.is_connect(),
        };
    }
    match tls_fault(&error) {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            return HttpError::Certificate {
                host,
                fault: certificate_fault(fault),
                reason: tls_words::of_certificate(fault).to_owned(),
            };
        }
        #[cfg(all(unix, not(target_os = "macos")))]
        Some(rustls::Error::Other(other)) if other.0.is::<super::roots::NoAuthorities>() => {
            return HttpError::NoAuthorities { host };
        }
        Some(fault) => {
            return HttpError::NotTls {
                host,
                reason: tls_words::of_connection(fault),
            };
        }
        None => (),
    }
    let reason = root_cause(&error);
    if is_tunnel_error(&error) {
        let proxy = proxy.to_owned();
        return if reason.contains("proxy authorization required") {
            HttpError::ProxyLogin { proxy, host }
        } else {
            HttpError::Proxy {
                proxy,
                host,
                reason: reason.replace("tunnel error: unsuccessful", "it refused the connection"),
            }
        };
    }
    if error.is_connect() {
        HttpError::Unreachable { host, reason }
    } else {
        HttpError::Interrupted { host, reason }
    }
}

/// The TLS fault behind an error. A rejected certificate is an error of its own and never leads to
/// a new sign-in.
fn tls_fault<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

fn certificate_fault(fault: &rustls::CertificateError) -> CertificateFault {
    use rustls::CertificateError as E;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list is open, and all other faults are a matter of trust"
    )]
    match fault {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            CertificateFault::Time
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::Name,
        _ => CertificateFault::Trust,
    }
}

/// Whether the connection through a proxy failed. The library's type for that is private, so this
/// compares its message.
fn is_tunnel_error(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("tunnel error"))
}

/// An error and its causes. An `io::Error` forwards `source` to the error inside it and so skips
/// that error.
fn chain<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// The root cause. The layers above it add no detail.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}
