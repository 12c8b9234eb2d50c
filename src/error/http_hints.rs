//! What to do about a network that doesn't lead to the server.

use crate::http::{CertificateFault, HttpError};

pub(super) fn http_hint(error: &HttpError) -> Option<String> {
    match error {
        HttpError::PlainHttp { .. } => Some("use the https address".to_owned()),
        HttpError::TimedOut { .. }
        | HttpError::Unreachable { .. }
        | HttpError::Interrupted { .. } => Some(
            "check the network and HTTPS_PROXY, then run it again".to_owned(),
        ),
        HttpError::Proxy { host, .. } => Some(format!(
            "correct HTTPS_PROXY, or set NO_PROXY={} to go without it, then run it again",
            without_port(host)
        )),
        HttpError::ProxyLogin { proxy, .. } => Some(format!(
            "set HTTPS_PROXY=http://USER:PASSWORD@{proxy} and run it again"
        )),
        HttpError::Certificate {
            fault: CertificateFault::Time,
            ..
        } => Some(
            "check this machine's clock with `date`; if it is right, tell those who run the provider"
                .to_owned(),
        ),
        HttpError::Certificate {
            fault: CertificateFault::Trust,
            ..
        } => Some(
            "if your company has its own CA, set `ca_file = \"/path/to/ca.pem\"` in config.toml"
                .to_owned(),
        ),
        HttpError::NotTls { .. } => Some(NETWORK_PAGE.to_owned()),
        HttpError::NetworkSignIn { .. } => Some(
            "open any page in a browser, sign in to the network, and run it again"
                .to_owned(),
        ),
        HttpError::Redirect { .. }
        | HttpError::Certificate {
            fault: CertificateFault::Name,
            ..
        } => Some(format!(
            "{NETWORK_PAGE}; else correct the provider's addresses in config.toml"
        )),
        HttpError::TooLarge { .. } => {
            Some("check that the provider's addresses are right".to_owned())
        }
        HttpError::CaFile { .. } => Some("correct `ca_file` in config.toml".to_owned()),
        HttpError::Tls { .. } => None,
    }
}

/// What a captive portal leaves behind looks like many another fault.
pub(super) const NETWORK_PAGE: &str = "this may be a network's sign-in page, or a proxy that meddles: open any page in a browser and run it again";

pub(super) const LATER: &str = "the provider is in trouble: run it again later";

pub(super) const VERBOSE: &str = "run it again with `-v`, which shows each request";

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => host,
    }
}
