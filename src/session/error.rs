//! Errors of sessions.

use crate::config::ConfigError;
use crate::exchange::ExchangeError;
use crate::grant::browser::BrowserError;
use crate::grant::device::DeviceError;
use crate::grant::page::Failure;
use crate::http::HttpError;
use crate::oauth::callback::{ErrorCode, Rejected};
use crate::oauth::discovery::DiscoveryError;
use crate::oauth::id_token::{IdTokenError, Untimely};
use crate::oauth::token::TokenError;
use crate::report::Report;
use crate::store::StoreError;

use super::attempt::Outcome;
use super::login_line::LoginLine;
use super::plan::Reason;
use super::record::UnusedIdToken;
use super::tab_message::TabMessage;

/// `login` is always the command that signs in to the affected account.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the provider's metadata cannot be used")]
    Discovery(#[from] DiscoveryError),
    #[error("the provider's metadata is not at {url} (status {status})")]
    NoMetadata { url: String, status: u16 },
    #[error("the provider's metadata is not at {url}: it is redirected (status {status}){}", moved_to(to.as_deref()))]
    MetadataMoved {
        url: String,
        status: u16,
        to: Option<String>,
    },
    #[error("the provider's metadata has no usable {0}, and the configuration sets none")]
    NoEndpoint(&'static str),
    #[error("the provider did not issue a token")]
    Token(#[from] TokenError),
    #[error("the last refresh failed, and hallpass will not try again for {seconds} s")]
    RefreshPaused {
        /// What went wrong.
        message: String,
        seconds: i64,
    },
    #[error("the provider's response to the refresh was lost")]
    LostResponse(#[source] Box<Error>),
    #[error("the ID token could not be verified")]
    IdToken(#[from] IdTokenError),
    #[error("the provider sent an ID token that cannot be used")]
    UntimelyIdToken {
        #[source]
        fault: Untimely,
        /// Seconds by which the provider's clock was ahead of this machine's.
        provider_ahead: Option<i64>,
    },
    #[error("the provider sent no ID token, although the scope `openid` was requested")]
    NoIdToken,
    #[error("{provider} issues no ID token, because `openid` is not among its scopes")]
    NoOpenIdScope { provider: String },
    #[error("could not sign in with the browser")]
    Browser(#[from] BrowserError),
    #[error("could not sign in with a device code")]
    Device(#[source] DeviceError),
    #[error("the sign-in was stopped because its response came from another provider")]
    Mixup(#[source] Rejected),
    #[error("a sign-in to {provider} is needed (account {account}): {}, and {why}", reason.words())]
    SignInNeeded {
        provider: String,
        account: String,
        reason: Reason,
        why: &'static str,
        /// Why the provider refused to refresh.
        #[source]
        refusal: Option<Box<TokenError>>,
        login: String,
    },
    #[error("the sign-in was declined")]
    Declined {
        cause: Option<ErrorCode>,
        login: String,
    },
    #[error("the sign-in timed out")]
    TimedOut {
        login: String,
        /// What the authorization request contained, if a browser was used.
        sent: Option<Box<Sent>>,
    },
    #[error("the provider refused the sign-in: {}", code.as_str())]
    ProviderRefused { code: ErrorCode, login: String },
    #[error("{}, so hallpass won't ask again for {seconds} s", outcome.words())]
    CoolingDown {
        outcome: Outcome,
        seconds: i64,
        login: String,
    },
    #[error("the last two sign-ins timed out, so hallpass won't start another one by itself")]
    NotAnswered { login: String },
    /// The report of the sign-in's own process.
    #[error("{}", .0.error)]
    Elsewhere(Box<Report>),
    #[error("the hallpass process that was signing in ({pid}) ended without a result")]
    SignInCrashed { pid: u32, login: String },
    #[error("the sign-in of another hallpass process failed")]
    OtherSignInFailed { message: String, login: String },
    #[error("account {account} belongs to {pinned}, and {person} signed in; nothing was changed")]
    OtherPerson {
        account: String,
        pinned: String,
        person: String,
        login: Box<LoginLine>,
    },
    #[error("the account belongs to {pinned}, and the provider doesn't tell who signed in now")]
    UnknownPerson { pinned: String },
    #[error("the token is valid, but {} does not accept it", .0.by.as_deref().unwrap_or("the server"))]
    NotAccepted(Box<NotAccepted>),
    #[error("this account was signed out while its token was being refreshed")]
    SignedOutMeanwhile { login: String },
    #[error("the registry did not issue its own credential")]
    Exchange(#[from] ExchangeError),
    #[error("the session was removed while it was being read")]
    Vanished,
}

/// A hint about the clock, given by how many seconds the provider's is ahead of this machine's.
pub fn clock_hint(provider_ahead: Option<i64>) -> String {
    // With a smaller difference, the clock is not the problem, but the token's own times.
    const AGREEMENT: u64 = 30;
    let Some(ahead) = provider_ahead else {
        return "compare the output of `date -u` with a clock that you trust".to_owned();
    };
    if ahead.unsigned_abs() < AGREEMENT {
        return "this machine's clock agrees with the provider's: tell the people who run the \
                provider that it issues ID tokens for another time"
            .to_owned();
    }
    format!(
        "this machine's clock is {} {} the provider's: correct it, then run the command again",
        crate::clock::in_words(ahead.saturating_abs()),
        if ahead > 0 { "behind" } else { "ahead of" },
    )
}

/// A resource that refused a valid token.
#[derive(Debug)]
pub struct NotAccepted {
    /// The resource, if the tool named its path.
    pub by: Option<String>,
    pub account: String,
    pub scopes: Vec<String>,
    pub login: String,
}

impl NotAccepted {
    /// What to check, and how to sign in again after a change.
    pub fn hint(&self) -> String {
        let Self {
            by: _,
            account,
            scopes,
            login,
        } = self;
        let scopes = if scopes.is_empty() {
            "the provider's default scopes".to_owned()
        } else {
            format!("the scopes `{}`", scopes.join(" "))
        };
        format!(
            "check that the account {account} has permission there, and that {scopes} suffice; to \
             sign in again, run `{login}`"
        )
    }
}

/// The parts of an authorization request that the provider compares with its registration. If they
/// differ, the provider shows an error page, and hallpass never learns about it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub client_id: String,
    pub redirect_uri: String,
    /// How to use a fixed port instead; `None` if the port is fixed already.
    pub fixed_port: Option<String>,
}

fn moved_to(to: Option<&str>) -> String {
    to.map_or_else(String::new, |to| format!(" to {to}"))
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Self::NotSignedIn => "not signed in yet",
            Self::Expired => "its token has expired and cannot be refreshed",
            Self::RefreshRefused => "its token has expired, and the provider refused to refresh it",
            Self::Refused => "its token was refused and cannot be refreshed",
            Self::Unverified => "the provider's last response could not be verified",
            Self::NoIdToken => "its session has no ID token",
        }
    }
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Declined => "the sign-in was declined",
            Self::TimedOut => "the last sign-in timed out",
            Self::Failed | Self::NotOpened | Self::Cancelled => "the last sign-in failed",
            Self::SignedIn => "the last sign-in succeeded",
        }
    }
}

impl Error {
    /// The error for an ID token whose times are wrong.
    pub(super) fn untimely((unused, fault): (UnusedIdToken, Untimely)) -> Self {
        Self::UntimelyIdToken {
            fault,
            provider_ahead: unused.provider_ahead,
        }
    }

    /// Whether a response failed a check, as opposed to a check that could not be made.
    pub(super) fn is_failed_check(&self) -> bool {
        matches!(
            self,
            Self::IdToken(_)
                | Self::OtherPerson { .. }
                | Self::UnknownPerson { .. }
                | Self::NoIdToken
                | Self::Token(
                    TokenError::Malformed
                        | TokenError::Missing { .. }
                        | TokenError::Unusable { .. }
                        | TokenError::WrongTokenType
                        | TokenError::DpopOnly
                )
        )
    }

    /// The error and its causes on one line, for another process to report.
    pub(super) fn in_one_line(&self) -> String {
        let mut line = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            let words = cause.to_string();
            if !line.ends_with(&words) {
                line.push_str(": ");
                line.push_str(&words);
            }
            next = cause.source();
        }
        line
    }

    /// The message for the waiting tab.
    pub(super) fn told(&self) -> TabMessage {
        match self {
            Self::OtherPerson { pinned, person, .. } => TabMessage::OtherPerson {
                pinned: pinned.clone(),
                who: person.clone(),
            },
            Self::UnknownPerson { .. } => TabMessage::Failed(Failure::UnknownPerson),
            // The sign-in began with metadata, so these are about the keys.
            Self::IdToken(_)
            | Self::UntimelyIdToken { .. }
            | Self::NoMetadata { .. }
            | Self::MetadataMoved { .. } => TabMessage::Failed(Failure::IdToken),
            Self::Store(_) => TabMessage::Failed(Failure::Store),
            Self::Http(HttpError::TimedOut { .. }) | Self::TimedOut { .. } => TabMessage::TimedOut,
            Self::Declined { .. } => TabMessage::Declined,
            Self::Http(_) => TabMessage::Failed(Failure::Unreachable),
            Self::ProviderRefused { .. } | Self::Mixup(_) => TabMessage::Failed(Failure::Provider),
            Self::Config(_)
            | Self::Discovery(_)
            | Self::NoEndpoint(_)
            | Self::LostResponse(_)
            | Self::RefreshPaused { .. }
            | Self::Token(_)
            | Self::NoIdToken
            | Self::NoOpenIdScope { .. }
            | Self::Browser(_)
            | Self::Device(_)
            | Self::SignInNeeded { .. }
            | Self::CoolingDown { .. }
            | Self::NotAnswered { .. }
            | Self::Elsewhere(_)
            | Self::SignInCrashed { .. }
            | Self::OtherSignInFailed { .. }
            | Self::NotAccepted(_)
            | Self::SignedOutMeanwhile { .. }
            | Self::Exchange(_)
            | Self::Vanished => TabMessage::Failed(Failure::Exchange),
        }
    }
}
