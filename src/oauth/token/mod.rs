//! The token endpoint, and the endpoints that use the same format: device authorization and
//! revocation.
//!
//! A request is a form and a header, and a response is a status and a body. The caller sends them.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3>,
//! <https://www.rfc-editor.org/rfc/rfc8628>, <https://www.rfc-editor.org/rfc/rfc7009>

mod error;
mod json;
mod refusal;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use error::TokenError;
pub(super) use json::{parse_response, printable, seconds};
pub use refusal::RefreshRefusal;
pub use request::{
    Client, ClientAuth, TokenRequest, code_request, device_authorization_request,
    device_token_request, introspection_request, pushed_authorization_request, refresh_request,
    revocation_request,
};
pub use response::{
    TokenResponse, parse_pushed, parse_refusal, parse_token_response, rotated_refresh_token,
};
