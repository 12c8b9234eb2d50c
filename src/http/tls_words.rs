//! Describes TLS faults for the user. The library's messages show the names of its own types.

use rustls::{AlertDescription, CertificateError, Error};

pub(super) fn of_certificate(fault: &CertificateError) -> &'static str {
    use CertificateError as E;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list is open, and all other faults share one message"
    )]
    match fault {
        E::BadEncoding => "it is damaged",
        E::Expired | E::ExpiredContext { .. } => "it has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
        E::Revoked => "it was revoked",
        E::UnknownIssuer => "its issuer is unknown",
        E::BadSignature => "its signature is wrong",
        E::NotValidForName | E::NotValidForNameContext { .. } => "it does not name this host",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not a server certificate",
        E::UnhandledCriticalExtension => "it requires an unsupported extension",
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature algorithm is not supported"
        }
        E::ApplicationVerificationFailure => "this system does not accept it",
        _ if is_authority_as_server(fault) => {
            "it is a CA's own certificate, and `ca_file` does not contain it"
        }
        _ => "it cannot be used for a server",
    }
}

pub(super) fn of_connection(fault: &Error) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the list is open, and all other faults share one message"
    )]
    match fault {
        Error::InvalidCertificate(fault) => of_certificate(fault).to_owned(),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => "the response is not TLS".to_owned(),
        Error::PeerIncompatible(_) => {
            "the server offers no version or cipher that hallpass accepts".to_owned()
        }
        Error::PeerMisbehaved(_) => "the server violates the TLS protocol".to_owned(),
        Error::DecryptError => "its data cannot be decrypted".to_owned(),
        Error::NoCertificatesPresented => "the server sent no certificate".to_owned(),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => {
                "the server accepts no version or cipher that hallpass offers".to_owned()
            }
            AlertDescription::UnrecognisedName => "the server does not know this host".to_owned(),
            AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied
            | AlertDescription::BadCertificate => {
                "the server requires a client certificate, which hallpass does not have".to_owned()
            }
            other => format!(
                "the server ended the handshake (TLS alert {})",
                u8::from(*other)
            ),
        },
        Error::General(text) => text.clone(),
        _ => "the TLS handshake failed".to_owned(),
    }
}

/// Whether the server sent a CA certificate as its own. A self-signed certificate is often both.
pub(super) fn is_authority_as_server(fault: &CertificateError) -> bool {
    let CertificateError::Other(other) = fault else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{InvalidMessage, OtherError, PeerIncompatible};

    use super::*;

    #[test]
    fn library_type_names_never_reach_the_user() {
        use CertificateError as E;
        let other = |error| E::Other(OtherError(Arc::new(error)));
        for (fault, words) in [
            (E::UnknownIssuer, "its issuer is unknown"),
            (E::Expired, "it has expired"),
            (other(webpki::Error::CaUsedAsEndEntity), "it is a CA's own"),
            (
                other(webpki::Error::UnsupportedCertVersion),
                "it cannot be used",
            ),
        ] {
            assert!(of_certificate(&fault).starts_with(words), "{fault:?}");
            let shown = of_connection(&Error::InvalidCertificate(fault));
            assert!(shown.starts_with(words), "{shown}");
        }
        for (fault, words) in [
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "the response is not TLS",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
                "the server offers no version",
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "the server accepts no version",
            ),
            (
                Error::AlertReceived(AlertDescription::InternalError),
                "the server ended the handshake (TLS alert 80)",
            ),
        ] {
            assert!(of_connection(&fault).starts_with(words), "{fault:?}");
        }
    }
}
