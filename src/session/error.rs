//! What can go wrong between a request and its token.

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

/// `login` is always the command that signs in to the account in question.
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
    #[error("there is no ID token of {provider}: `openid` is not among its scopes")]
    IdTokenNotAskedFor { provider: String },
    #[error("could not sign in with the browser")]
    Browser(#[from] BrowserError),
    #[error("could not sign in with a device code")]
    Device(#[source] DeviceError),
    #[error("the sign-in was ended: its answer came from another provider")]
    Mixup(#[source] Rejected),
    #[error("a sign-in to {provider} is needed (account {account}): {}, and {why}", reason.words())]
    SignInNeeded {
        provider: String,
        account: String,
        reason: Reason,
        why: &'static str,
        /// How the provider refused to refresh.
        #[source]
        refusal: Option<Box<TokenError>>,
        login: String,
    },
    #[error("signing in was declined")]
    Declined {
        cause: Option<ErrorCode>,
        login: String,
    },
    #[error("the sign-in timed out")]
    TimedOut {
        login: String,
        /// What the browser was sent with, where it was a browser that we waited for.
        sent: Option<Box<Sent>>,
    },
    #[error("the provider ended the sign-in: {}", code.as_str())]
    ProviderRefused { code: ErrorCode, login: String },
    #[error("{} a moment ago, so hallpass does not ask again for {seconds} s", outcome.words())]
    CoolingDown {
        outcome: Outcome,
        seconds: i64,
        login: String,
    },
    #[error("the last two sign-ins timed out, so hallpass does not start another one by itself")]
    NotAnswered { login: String },
    /// The sign-in was in a process of its own, which reports it in these words.
    #[error("{}", .0.error)]
    Elsewhere(Box<Report>),
    #[error("the hallpass that was signing in (process {pid}) ended without finishing")]
    LeaderDied { pid: u32, login: String },
    #[error("the hallpass that was signing in failed")]
    LeaderFailed { message: String, login: String },
    #[error("account {account} belongs to {pinned}, and {person} signed in; nothing was changed")]
    OtherPerson {
        account: String,
        pinned: String,
        person: String,
        login: Box<LoginLine>,
    },
    #[error("the account belongs to {pinned}, and the provider does not say who signed in now")]
    UnknownPerson { pinned: String },
    #[error("the token is valid, but {} does not accept it", .0.by.as_deref().unwrap_or("the server"))]
    NotAccepted(Box<NotAccepted>),
    #[error("this account was signed out while its token was being refreshed")]
    SignedOutMeanwhile { login: String },
    #[error("the registry did not issue its own credential")]
    Exchange(#[from] ExchangeError),
    #[error("the session vanished while it was being read")]
    Vanished,
}

/// What to do about a clock, given how many seconds the provider's is ahead of this machine's.
pub fn clock_hint(provider_ahead: Option<i64>) -> String {
    // Less than this is no fault of a clock: the token itself was issued for another time.
    const AGREEMENT: u64 = 30;
    let Some(ahead) = provider_ahead else {
        return "compare this machine's clock (`date -u`) with a clock that you trust".to_owned();
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

/// A resource that refused a token which is valid.
#[derive(Debug)]
pub struct NotAccepted {
    /// The resource, where the tool named its path.
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

/// What an authorization request named that the provider compares with its registration. Where it
/// differs the provider shows an error page, and hallpass does not hear of it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub client_id: String,
    pub redirect_uri: String,
    /// The same redirect URI with a fixed port, and where to set it; `None` where its port is fixed.
    pub fixed_port: Option<String>,
}

fn moved_to(to: Option<&str>) -> String {
    to.map_or_else(String::new, |to| format!(" to {to}"))
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Self::NothingKept => "nobody has signed in yet",
            Self::Expired => "its token has expired and cannot be refreshed",
            Self::RefreshRefused => "its token has expired, and the provider refused to refresh it",
            Self::Refused => "its token was refused and cannot be refreshed",
            Self::Unverified => "what the provider sent last could not be verified",
            Self::NoIdToken => "its session has no ID token",
        }
    }
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Declined => "signing in was declined",
            Self::TimedOut => "the sign-in timed out",
            Self::Failed | Self::NotOpened | Self::Cancelled => "signing in failed",
            Self::SignedIn => "a sign-in succeeded",
        }
    }
}

impl Error {
    /// An ID token that the provider sent, and what is wrong with its times.
    pub(super) fn untimely((unused, fault): (UnusedIdToken, Untimely)) -> Self {
        Self::UntimelyIdToken {
            fault,
            provider_ahead: unused.provider_ahead,
        }
    }

    /// Whether what a provider sent failed a check, as opposed to a check that could not be made.
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

    /// The error and its causes, for another process that has to tell what went wrong.
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

    /// What the waiting tab is told of it.
    pub(super) fn told(&self) -> TabMessage {
        match self {
            Self::OtherPerson { pinned, person, .. } => TabMessage::OtherPerson {
                pinned: pinned.clone(),
                who: person.clone(),
            },
            Self::UnknownPerson { .. } => TabMessage::Failed(Failure::UnknownPerson),
            // Metadata was there when the sign-in began: now it is the keys that are not.
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
            | Self::IdTokenNotAskedFor { .. }
            | Self::Browser(_)
            | Self::Device(_)
            | Self::SignInNeeded { .. }
            | Self::CoolingDown { .. }
            | Self::NotAnswered { .. }
            | Self::Elsewhere(_)
            | Self::LeaderDied { .. }
            | Self::LeaderFailed { .. }
            | Self::NotAccepted(_)
            | Self::SignedOutMeanwhile { .. }
            | Self::Exchange(_)
            | Self::Vanished => TabMessage::Failed(Failure::Exchange),
        }
    }
}
