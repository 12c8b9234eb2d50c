//! Verifies servers against all of the platform's root certificates, but reads only what it needs.
//!
//! Most systems store their authorities twice: in one bundle, and in a folder with one file each.
//! Reading the bundle takes a fifth of the time and nearly always suffices. If it doesn't, the
//! server is verified against everything the platform has, so the result is the same.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::tls_words::is_authority_as_server;
use crate::files;

/// The platform's authorities and additional ones.
#[derive(Debug)]
pub(super) struct Roots {
    provider: Arc<CryptoProvider>,
    /// The authorities in the platform's bundle.
    bundled: Option<Arc<WebPkiServerVerifier>>,
    extra: Vec<CertificateDer<'static>>,
    all: OnceLock<Result<Arc<dyn ServerCertVerifier>, Error>>,
    read_all: ReadAll,
}

/// This machine trusts no authority at all. A minimal container or a fresh Debian has none.
#[derive(Debug, thiserror::Error)]
#[error("no CA certificates")]
pub(super) struct NoAuthorities;

type ReadAll = fn(
    Vec<CertificateDer<'static>>,
    Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error>;

impl Roots {
    pub(super) fn new(
        extra: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let bundle = bundle().and_then(|path| files::read(&path, files::LARGEST).ok());
        Self::of(bundle.as_deref(), extra, provider, |extra, provider| {
            rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
                .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
        })
    }

    fn of(
        bundle: Option<&[u8]>,
        extra: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
        read_all: ReadAll,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &extra {
            roots.add(certificate.clone())?;
        }
        let (added, _) = roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(bundle.unwrap_or_default()).flatten(),
        );
        let bundled = (added > 0).then(|| {
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()
        });
        Ok(Self {
            provider,
            bundled: bundled.and_then(Result::ok),
            extra,
            all: OnceLock::new(),
            read_all,
        })
    }

    fn all(&self) -> Result<&dyn ServerCertVerifier, Error> {
        let read = || (self.read_all)(self.extra.clone(), Arc::clone(&self.provider));
        match self.all.get_or_init(read) {
            Ok(all) => Ok(&**all),
            Err(error) => Err(error.clone()),
        }
    }
}

/// The platform's bundle. `None` if the environment names a file or folder, because then only those
/// count.
fn bundle() -> Option<PathBuf> {
    if openssl_probe::has_ssl_cert_env_vars() {
        return None;
    }
    openssl_probe::probe().cert_file
}

impl ServerCertVerifier for Roots {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = |verifier: &dyn ServerCertVerifier| {
            verifier.verify_server_cert(server, chain, name, ocsp, now)
        };
        let bundled = self.bundled.as_ref().map(|verifier| judged(&**verifier));
        if let Some(Ok(verified)) = bundled {
            return Ok(verified);
        }
        let judged = match (self.all(), bundled) {
            (Ok(all), _) => judged(all),
            (Err(_), Some(bundled)) => bundled,
            // Plain http on loopback needs no authorities, so this fails only at a certificate.
            (Err(_), None) => Err(Error::Other(OtherError(Arc::new(NoAuthorities)))),
        };
        match judged {
            Err(Error::InvalidCertificate(fault))
                if is_authority_as_server(&fault) && self.extra.iter().any(|one| one == server) =>
            {
                // The verifier checks the validity period before it rejects a CA as a server. The
                // user trusts exactly this certificate, so only the name remains to be checked.
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const AUTHORITY: &[u8] = include_bytes!("../../tests/it/provider/keys/tls-authority.pem");
    const SERVER: &[u8] = include_bytes!("../../tests/it/provider/keys/tls-server.der");

    /// Whether the server is trusted under this name with this bundle.
    fn is_trusted(bundle: Option<&[u8]>, name: &'static str, read_all: ReadAll) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let Ok(roots) = Roots::of(bundle, Vec::new(), provider, read_all) else {
            return false;
        };
        let server = CertificateDer::from(SERVER);
        let name = ServerName::try_from(name).unwrap();
        roots
            .verify_server_cert(&server, &[], &name, &[], UnixTime::now())
            .is_ok()
    }

    fn with_the_authority(
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(AUTHORITY).flatten());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
        Ok(verifier.map_err(|error| Error::General(error.to_string()))?)
    }

    /// `openssl req -x509` makes such a certificate: self-signed, and its own CA.
    #[test]
    fn a_self_signed_ca_certificate_is_trusted_if_it_is_listed() {
        let certificate = |text: &str| {
            use base64::Engine as _;
            let der = base64::engine::general_purpose::STANDARD.decode(text.trim());
            CertificateDer::from(der.unwrap())
        };
        let own = certificate(include_str!("test_certificates/localhost.txt"));
        let another = certificate(include_str!("test_certificates/another.txt"));
        // Within the certificate's hundred years.
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
        let long_ago = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_000_000_000));
        for (extra, name, now, trusted) in [
            (vec![own.clone()], "localhost", now, true),
            (vec![another.clone(), own.clone()], "localhost", now, true),
            (vec![own.clone()], "other.example", now, false),
            (vec![own.clone()], "localhost", long_ago, false),
            // Of the same name, but with another key.
            (vec![another], "localhost", now, false),
            (vec![], "localhost", now, false),
        ] {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let roots = Roots::of(
                Some(AUTHORITY),
                extra.clone(),
                provider,
                |extra, provider| {
                    let mut roots = RootCertStore::empty();
                    roots.add_parsable_certificates(extra);
                    roots.add_parsable_certificates(
                        CertificateDer::pem_slice_iter(AUTHORITY).flatten(),
                    );
                    let verifier =
                        WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
                    Ok(verifier
                        .build()
                        .map_err(|error| Error::General(error.to_string()))?)
                },
            );
            let verified = roots.unwrap().verify_server_cert(
                &own,
                &[],
                &ServerName::try_from(name).unwrap(),
                &[],
                now,
            );
            assert_eq!(
                verified.is_ok(),
                trusted,
                "{} {name} {verified:?}",
                extra.len()
            );
        }
    }

    /// A certificate in PEM that has issued no other.
    fn stranger() -> Vec<u8> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(SERVER);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    }

    #[test]
    fn the_rest_is_not_read_if_the_bundle_suffices() {
        assert!(is_trusted(Some(AUTHORITY), "localhost", |_, _| panic!(
            "all was read"
        )));
    }

    #[test]
    fn everything_is_read_if_the_bundle_does_not_suffice() {
        static READ: AtomicUsize = AtomicUsize::new(0);
        let read_all: ReadAll = |_, provider| {
            READ.fetch_add(1, Ordering::SeqCst);
            with_the_authority(provider)
        };
        for bundle in [Some(stranger()), Some(b"no PEM".to_vec()), None] {
            assert!(is_trusted(bundle.as_deref(), "localhost", read_all));
        }
        assert_eq!(READ.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn without_any_authority_only_a_certificate_is_an_error() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Roots::of(None, vec![], provider, |_, _| {
            Err(Error::General("nothing there".to_owned()))
        });
        let name = ServerName::try_from("localhost").unwrap();
        let judged =
            roots
                .unwrap()
                .verify_server_cert(&SERVER.into(), &[], &name, &[], UnixTime::now());
        let Err(Error::Other(OtherError(cause))) = judged else {
            panic!("{judged:?}")
        };
        assert!(cause.is::<NoAuthorities>(), "{cause}");
    }

    #[test]
    fn a_server_that_neither_trusts_is_refused() {
        assert!(!is_trusted(Some(&stranger()), "localhost", |_, _| Err(
            Error::General("nothing there".to_owned())
        )));
        assert!(!is_trusted(
            Some(AUTHORITY),
            "other.example",
            |_, provider| with_the_authority(provider)
        ));
        assert!(!is_trusted(None, "localhost", |_, _| Err(Error::General(
            "nothing there".to_owned()
        ))));
    }
}
