//! The root certificates that servers are verified with, and the TLS configuration that uses them.
//!
//! hallpass trusts the platform's certificates, and in addition a CA file and certificates that the
//! caller passes. TLS is rustls over ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::HttpError;
#[cfg(all(unix, not(target_os = "macos")))]
use super::roots;
use super::tls_words;
use crate::files;

/// The certificates to trust in addition to the platform's.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) ca_file: Option<PathBuf>,
    /// Certificates in PEM.
    pub(super) pem: Vec<u8>,
}

impl Extra {
    fn read(&self) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let mut extra = match &self.ca_file {
            Some(path) => from_file(path)?,
            None => Vec::new(),
        };
        if !self.pem.is_empty() {
            extra.extend(from_pem(&self.pem).map_err(|reason| HttpError::Tls { reason })?);
        }
        Ok(extra)
    }
}

/// A TLS configuration that verifies servers with the platform's and these certificates.
pub(super) fn tls(extra: &Extra) -> Result<ClientConfig, HttpError> {
    let extra = extra.read()?;
    let fault = |error: rustls::Error| HttpError::Tls {
        reason: tls_words::of_connection(&error),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(all(unix, not(target_os = "macos")))]
    let verifier = roots::Roots::new(extra, provider.clone()).map_err(fault)?;
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    let verifier = platform_verifier(extra, provider.clone()).map_err(fault)?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous() // rustls uses this name for every verifier but its own.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Without extra roots, Windows needs no chain engine of its own, and Wine refuses to create one.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn platform_verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<rustls_platform_verifier::Verifier, rustls::Error> {
    use rustls_platform_verifier::Verifier;

    if extra.is_empty() {
        return Verifier::new(provider);
    }
    Verifier::new_with_extra_roots(extra, provider)
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let fault = |reason: String| HttpError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = files::read(path, files::LARGEST).map_err(|error| fault(error.to_string()))?;
    from_pem(&pem).map_err(fault)
}

fn from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "it is not PEM".to_owned())?;
    if found.is_empty() {
        return Err("it contains no certificate".to_owned());
    }
    Ok(found)
}
