//! Sends a refresh token, and sends it once more if the response is lost.
//!
//! A provider that rotates refresh tokens may have replaced the one that was sent, although its
//! successor never arrived. Most providers accept the old one again for some seconds, for exactly
//! this; where one doesn't, the session was lost before the second try.

use std::time::{Duration, Instant};

use url::Url;

use super::account::Account;
use super::error::Error;
use crate::http::{HttpError, Response};
use crate::oauth::token::{
    Client, RefreshRefusal, TokenError, TokenRequest, TokenResponse, parse_token_response,
    refresh_request, rotated_refresh_token,
};
use crate::secret::Secret;
use crate::signals::{self, HeldBack};

/// The time limit of the first try. The shortest known grace period is ten seconds, from when the
/// provider replaces the token.
const FIRST_TRY: Duration = Duration::from_secs(10);

/// The result.
struct SentRefresh {
    response: Response,
    /// The response to the first try was lost, so that a failure doesn't mean that nothing
    /// happened.
    was_lost: bool,
}

/// The provider's answer to a refresh.
pub(super) struct RefreshAnswer {
    /// Hold them until the successor is stored.
    pub(super) signals: HeldBack,
    /// The new refresh token. A response that can't be used otherwise may have one too.
    pub(super) successor: Option<Secret<String>>,
    pub(super) result: Result<TokenResponse, RefreshFault>,
}

/// Why the answer has no tokens.
pub(super) struct RefreshFault {
    /// The refresh token isn't valid any more.
    pub(super) refusal: Option<RefreshRefusal>,
    pub(super) error: TokenError,
    pub(super) was_lost: bool,
}

impl Account<'_> {
    /// Sends a refresh token, for these scopes or for all that were granted (RFC 6749 §6).
    pub(super) fn request_refresh(
        &self,
        endpoint: &Url,
        client: &Client<'_>,
        refresh_token: &Secret<String>,
        scopes: &[String],
    ) -> Result<RefreshAnswer, Error> {
        let request = refresh_request(
            client,
            refresh_token,
            scopes,
            &self.provider.resources,
            self.provider.audience.as_deref(),
        );
        // From here on, the refresh token may be invalid while its successor is still in transit,
        // so the process must not end before the successor is stored. Both tries have a time limit.
        let signals = signals::hold_back();
        let SentRefresh { response, was_lost } = self.send_refresh(endpoint, &request)?;
        let body = response.body.expose();
        let result = parse_token_response(response.status, body).map_err(|error| {
            let error = error.redact(&request);
            RefreshFault {
                refusal: RefreshRefusal::of(response.status, body, &error),
                error,
                was_lost,
            }
        });
        Ok(RefreshAnswer {
            signals,
            successor: rotated_refresh_token(response.status, body),
            result,
        })
    }

    /// Posts a refresh. Both tries together take no longer than `http_timeout`.
    fn send_refresh(&self, endpoint: &Url, request: &TokenRequest) -> Result<SentRefresh, Error> {
        let whole = self.context.settings.http_timeout;
        let started = Instant::now();
        let post = |limit| {
            let authorization = request.authorization();
            self.http
                .post_within(limit, endpoint, &request.body(), authorization.as_ref())
        };
        let first = post(FIRST_TRY.min(whole / 2));
        if !is_lost(&first) {
            return Ok(SentRefresh {
                response: first?,
                was_lost: false,
            });
        }
        self.context.terminal.explain(1, || {
            "the response to the refresh was lost, so the same request is sent once more".to_owned()
        });
        let left = whole.saturating_sub(started.elapsed());
        match post(left) {
            Ok(response) => Ok(SentRefresh {
                response,
                was_lost: true,
            }),
            Err(mut error) => {
                if let HttpError::TimedOut { limit, .. } = &mut error {
                    *limit = whole;
                }
                Err(lost(error.into()))
            }
        }
    }
}

/// The error of the second try, after a response was lost.
pub(super) fn lost(cause: Error) -> Error {
    Error::LostResponse(Box::new(cause))
}

/// Whether a request may have reached the provider without its response coming back. A server that
/// says when to retry has answered.
fn is_lost(result: &Result<Response, HttpError>) -> bool {
    match result {
        Ok(response) => {
            response.retry_after.is_none()
                && (matches!(response.status, 502..=504) || response.is_html)
        }
        Err(error) => error.is_after_sending(),
    }
}
