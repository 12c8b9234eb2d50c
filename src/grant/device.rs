//! The device authorization grant (RFC 8628): the person signs in anywhere, with a code.
//!
//! This is the loop; what each answer means is decided in `oauth::device`.

use std::cell::Cell;
use std::time::Instant;

use url::Url;

use crate::http::{Http, HttpError};
use crate::oauth::device::{self, DeviceFailure, PollResult, Polling, Step};
use crate::oauth::error_code::ErrorCode;
use crate::oauth::token::{
    Client, TokenError, TokenRequest, TokenResponse, device_token_request, parse_token_response,
};
use crate::terminal::Terminal;

#[derive(Debug)]
pub struct Ask<'a> {
    pub device_endpoint: &'a Url,
    pub token_endpoint: &'a Url,
    pub client: Client<'a>,
    /// The first request, made by the session, which knows what is asked for.
    pub request: TokenRequest,
    /// Whom the person is told this is for.
    pub purpose: &'a str,
    /// Set when the person has been shown the code.
    pub was_shown: &'a Cell<bool>,
    pub deadline: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the provider did not begin a device sign-in")]
    NotBegun(#[source] TokenError),
    #[error("signing in was declined")]
    Declined(Option<ErrorCode>),
    #[error("the sign-in timed out")]
    TimedOut,
    #[error("the provider ended the device sign-in")]
    Failed(#[source] TokenError),
}

pub fn authorize(
    ask: &Ask<'_>,
    http: &Http,
    terminal: Terminal,
) -> Result<TokenResponse, DeviceError> {
    let response = http.post(
        ask.device_endpoint,
        &ask.request.body(),
        ask.request.authorization().as_ref(),
    )?;
    let authorization = device::parse(response.status, response.body.expose())
        .map_err(|fault| DeviceError::NotBegun(fault.redact(&ask.request)))?;
    ask.was_shown.set(true);
    terminal.ask(&format!(
        "Sign in to {} at {} with the code {}",
        ask.purpose, authorization.verification_uri, authorization.user_code
    ));
    if let Some(complete) = &authorization.verification_uri_complete {
        terminal.ask(&format!("The same with the code filled in: {complete}"));
    }

    let started = Instant::now();
    let mut polling = Polling::new(&authorization);
    loop {
        let wait = polling.next_wait();
        if Instant::now() + wait > ask.deadline || polling.is_expired(started.elapsed() + wait) {
            return Err(DeviceError::TimedOut);
        }
        std::thread::sleep(wait);
        let request = device_token_request(&ask.client, &authorization.device_code);
        let answer = match http.post(
            ask.token_endpoint,
            &request.body(),
            request.authorization().as_ref(),
        ) {
            Ok(response) => PollResult::Response(
                parse_token_response(response.status, response.body.expose())
                    .map_err(|fault| fault.redact(&request)),
            ),
            Err(HttpError::TimedOut { .. }) => PollResult::TimedOut,
            Err(
                HttpError::Unreachable { .. }
                | HttpError::Proxy { .. }
                | HttpError::Interrupted { .. },
            ) => PollResult::Unreachable,
            // A certificate or a redirect does not mend itself.
            Err(
                error @ (HttpError::PlainHttp { .. }
                | HttpError::ProxyLogin { .. }
                | HttpError::Certificate { .. }
                | HttpError::NotTls { .. }
                | HttpError::NetworkSignIn { .. }
                | HttpError::Redirect { .. }
                | HttpError::TooLarge { .. }
                | HttpError::CaFile { .. }
                | HttpError::Tls { .. }),
            ) => return Err(error.into()),
        };
        match polling.step(answer) {
            Step::Wait => (),
            Step::Done(tokens) => return Ok(tokens),
            Step::Failed(DeviceFailure::Declined(code)) => return Err(DeviceError::Declined(code)),
            Step::Failed(DeviceFailure::Expired) => return Err(DeviceError::TimedOut),
            Step::Failed(DeviceFailure::Failed(cause)) => return Err(DeviceError::Failed(cause)),
        }
    }
}
