//! The token endpoint, and those that speak like it: device authorization and revocation.
//!
//! A request is a form and a header, an answer a status and a body; sending is somebody else's.
//!
//! <https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3>,
//! <https://www.rfc-editor.org/rfc/rfc8628>, <https://www.rfc-editor.org/rfc/rfc7009>

mod request;
mod response;

pub use request::{
    Client, ClientAuth, TokenRequest, code_request, device_authorization_request,
    device_token_request, introspection_request, pushed_authorization_request, refresh_request,
    revocation_request,
};
pub use response::{
    RefreshRefusal, TokenError, TokenResponse, parse_pushed, parse_refusal, parse_token_response,
    successor,
};
pub(super) use response::{parse_answer, seconds, usable};
