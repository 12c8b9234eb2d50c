//! The OAuth 2.0 and OpenID Connect messages, sans-I/O.
pub mod redirect_uri;
pub use redirect_uri::RedirectUri;
