//! The device authorization grant (RFC 8628): the user signs in on any device, with a code.
//!
//! This module sends the requests and waits. `oauth::device` decides what each response means.

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
pub struct Request<'a> {
    pub device_endpoint: &'a Url,
    pub token_endpoint: &'a Url,
    pub client: Client<'a>,
    /// The device authorization request.
    pub initial: TokenRequest,
    /// The purpose shown in the sign-in prompt.
    pub purpose: &'a str,
    /// Set once the user has been shown the code.
    pub was_shown: &'a Cell<bool>,
    pub deadline: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the provider did not start the device flow")]
    NotStarted(#[source] TokenError),
    #[error("the sign-in was declined")]
    Declined(Option<ErrorCode>),
    #[error("the sign-in timed out")]
    TimedOut,
    #[error("the device flow failed")]
    Failed(#[source] TokenError),
}

pub fn authorize(
    request: &Request<'_>,
    http: &Http,
    terminal: Terminal,
) -> Result<TokenResponse, DeviceError> {
    let response = http.post(
        request.device_endpoint,
        &request.initial.body(),
        request.initial.authorization().as_ref(),
    )?;
    let authorization = device::parse(response.status, response.body.expose())
        .map_err(|error| DeviceError::NotStarted(error.redact(&request.initial)))?;
    request.was_shown.set(true);
    terminal.ask(&format!(
        "Sign in to {} at {} with the code {}",
        request.purpose, authorization.verification_uri, authorization.user_code
    ));
    if let Some(complete) = &authorization.verification_uri_complete {
        terminal.ask(&format!(
            "Or open this link, which contains the code: {complete}"
        ));
    }

    let started = Instant::now();
    let mut polling = Polling::new(&authorization);
    loop {
        let wait = polling.next_wait();
        if Instant::now() + wait > request.deadline || polling.is_expired(started.elapsed() + wait)
        {
            return Err(DeviceError::TimedOut);
        }
        std::thread::sleep(wait);
        let poll = device_token_request(&request.client, &authorization.device_code);
        let result = match http.post(
            request.token_endpoint,
            &poll.body(),
            poll.authorization().as_ref(),
        ) {
            Ok(response) => PollResult::Response(
                parse_token_response(response.status, response.body.expose())
                    .map_err(|error| error.redact(&poll)),
            ),
            Err(HttpError::TimedOut { .. }) => PollResult::TimedOut,
            Err(
                HttpError::Unreachable { .. }
                | HttpError::Proxy { .. }
                | HttpError::Interrupted { .. },
            ) => PollResult::Unreachable,
            // Polling again would not fix a certificate or a redirect.
            Err(
                error @ (HttpError::PlainHttp { .. }
                | HttpError::ProxyLogin { .. }
                | HttpError::Certificate { .. }
                | HttpError::NoAuthorities { .. }
                | HttpError::NotTls { .. }
                | HttpError::NetworkSignIn { .. }
                | HttpError::Redirect { .. }
                | HttpError::TooLarge { .. }
                | HttpError::CaFile { .. }
                | HttpError::Tls { .. }),
            ) => return Err(error.into()),
        };
        match polling.step(result) {
            Step::Wait => (),
            Step::Done(tokens) => return Ok(tokens),
            Step::Failed(DeviceFailure::Declined(code)) => return Err(DeviceError::Declined(code)),
            Step::Failed(DeviceFailure::Expired) => return Err(DeviceError::TimedOut),
            Step::Failed(DeviceFailure::Failed(cause)) => return Err(DeviceError::Failed(cause)),
        }
    }
}
