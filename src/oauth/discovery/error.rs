//! The reasons why metadata are rejected.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    #[error("the issuer is not a URL")]
    IssuerNotAUrl,
    #[error("the issuer must begin with https://, except on this machine")]
    IssuerNotSecure,
    #[error("the issuer must not have a user name, password, query or fragment")]
    IssuerExtra,
    #[error("the metadata is not a JSON object")]
    NotJson,
    #[error("the metadata does not name an issuer")]
    NoIssuer,
    /// The strings differ, often only by a slash at the end.
    #[error("the metadata belongs to a different issuer: {found}")]
    OtherIssuer { found: String },
    #[error("{member} in the metadata is not an https URL: {found}")]
    UnacceptableUrl { member: &'static str, found: String },
    #[error("the provider supports PKCE, but not the S256 method")]
    NoS256,
}
