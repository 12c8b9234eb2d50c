//! The OAuth 2.0 and OpenID Connect messages, sans-I/O.
pub mod authorization;
pub mod redirect_uri;
pub mod token;
pub use redirect_uri::RedirectUri;
