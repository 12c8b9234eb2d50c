//! Asks a registry whether it accepts a credential, the way docker does before a pull.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> and
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support>.

use url::Url;

use crate::exchange::token_server::{
    Challenge, IDENTITY_TOKEN, TokenServer, Tokens, api_of, basic, challenge_in,
};
use crate::http::{Http, HttpError, Response};
use crate::secret::Secret;

/// A user name and its secret.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) secret: Secret<String>,
}

/// What the registry did with a credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted {
        /// Its token server could issue an identity token for this credential.
        offers_identity_token: bool,
    },
    /// It requests no credential.
    Open,
    Rejected {
        /// The registry or its token server.
        by: String,
        status: u16,
    },
    /// The answer says nothing about the credential.
    Unclear(String),
}

/// # Errors
///
/// If the registry or its token server can't be reached.
pub(super) fn ask(http: &Http, registry: &Url, login: &Login) -> Result<Verdict, HttpError> {
    let api = api_of(registry);
    let first = http.get(&api, None)?;
    if first.status == 200 {
        return Ok(Verdict::Open);
    }
    let (realm, service) = match challenge_in(&first) {
        Some(Challenge::Basic) => {
            let answer = http.get_with(&api, &basic(&login.username, &login.secret))?;
            return Ok(verdict(&api, &answer).unwrap_or(ACCEPTED));
        }
        Some(Challenge::Bearer { realm, service }) => (realm, service),
        None => {
            let status = first.status;
            return Ok(Verdict::Unclear(format!(
                "{api} answered with status {status} and without a known challenge"
            )));
        }
    };
    let Some(server) = TokenServer::of(registry, &realm, service) else {
        return Ok(Verdict::Unclear(
            "its token server has no https URL, so the credential was not sent".to_owned(),
        ));
    };
    let is_identity = login.username == IDENTITY_TOKEN;
    let answer = if is_identity {
        server.tokens_for_identity(http, &login.secret)?
    } else {
        server.tokens(http, &login.username, &login.secret)?
    };
    if let Some(verdict) = verdict(&server.url, &answer) {
        return Ok(verdict);
    }
    let tokens = Tokens::of(&answer.body);
    let offers_identity_token = !is_identity && tokens.refresh_token.is_some();
    let Some(token) = tokens.access() else {
        return Ok(Verdict::Unclear(
            "its token server sent no token".to_owned(),
        ));
    };
    let answer = http.get(&api, Some(&token))?;
    Ok(verdict(&api, &answer).unwrap_or(Verdict::Accepted {
        offers_identity_token,
    }))
}

const ACCEPTED: Verdict = Verdict::Accepted {
    offers_identity_token: false,
};

/// `None` if the request succeeded.
fn verdict(asked: &Url, answer: &Response) -> Option<Verdict> {
    let by = asked.host_str().unwrap_or_default().to_owned();
    match answer.status {
        200..=299 => None,
        status @ (400 | 401 | 403) => Some(Verdict::Rejected { by, status }),
        status => Some(Verdict::Unclear(format!(
            "{by} answered with status {status}"
        ))),
    }
}
