//! Hints for network errors.

use crate::http::{CertificateFault, HttpError};

pub(super) fn http_hint(error: &HttpError) -> Option<String> {
    match error {
        HttpError::PlainHttp { .. } => Some("use the https address".to_owned()),
        HttpError::TimedOut { .. }
        | HttpError::Unreachable { .. }
        | HttpError::Interrupted { .. } => Some(
            "check the network connection and HTTPS_PROXY, then run the command again".to_owned(),
        ),
        HttpError::Proxy { host, .. } => Some(format!(
            "correct HTTPS_PROXY, or set NO_PROXY={} to bypass the proxy, then run the command again",
            without_port(host)
        )),
        HttpError::ProxyLogin { proxy, .. } => Some(format!(
            "set HTTPS_PROXY=http://USER:PASSWORD@{proxy} and run the command again"
        )),
        HttpError::Certificate {
            fault: CertificateFault::Time,
            ..
        } => Some(
            "check this machine's clock with `date`; if it is right, contact the provider's administrators"
                .to_owned(),
        ),
        HttpError::Certificate {
            fault: CertificateFault::Trust,
            ..
        } => Some(
            "if your company has its own CA, set `ca_file = \"/path/to/ca.pem\"` in config.toml"
                .to_owned(),
        ),
        HttpError::NoAuthorities { .. } => Some(
            "install your system's package `ca-certificates`, or set `HALLPASS_CA_FILE=/path/to/ca.pem` (in config.toml: `ca_file`)"
                .to_owned(),
        ),
        HttpError::NotTls { .. } => Some(NETWORK_PAGE.to_owned()),
        HttpError::NetworkSignIn { .. } => Some(
            "open any page in a browser, sign in to the network, and run the command again"
                .to_owned(),
        ),
        HttpError::Redirect { .. }
        | HttpError::Certificate {
            fault: CertificateFault::Name,
            ..
        } => Some(format!(
            "{NETWORK_PAGE}; otherwise correct the provider's addresses in config.toml"
        )),
        HttpError::TooLarge { .. } => {
            Some("check that the provider's addresses are right".to_owned())
        }
        HttpError::CaFile { .. } => Some("correct `ca_file` in config.toml".to_owned()),
        HttpError::Tls { .. } => None,
    }
}

/// A captive portal's response looks like many other faults.
pub(super) const NETWORK_PAGE: &str = "this may be a network's sign-in page or an intercepting proxy: open any page in a browser, then run the command again";

pub(super) const LATER: &str = "the provider is having problems: try again later";

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => host,
    }
}
