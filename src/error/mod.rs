//! Every error that a command can end with.
//!
//! `hint` is an exhaustive match, so a new variant does not compile without a decision about its
//! hint. A hint is a command that works in this state, or says what to check.

use std::error::Error as _;

use crate::config::ConfigError;
use crate::report::{Exit, Report};
use crate::session;
use crate::setup::error::SetupError;
use crate::store::{Setting, StoreError};
use session_hints::session_hint;
use store_hints::store_hint;

mod http_hints;
mod session_hints;
mod store_hints;
mod token_hints;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    /// Also the text of `--help` and `--version`.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    #[error("no [[resources]] entry matches {0}")]
    NoResource(String),
    #[error("{provider} has no account {account}")]
    UnknownAccount {
        provider: String,
        account: String,
        known: Vec<String>,
        login: String,
    },
    #[error("{provider} has several accounts: {}", accounts.join(", "))]
    WhichAccount {
        provider: String,
        accounts: Vec<String>,
    },
    #[error("hallpass must first be registered at {at}")]
    NotRegistered {
        at: String,
        /// Where, and what to write there.
        where_to: String,
        /// What to type then.
        retry: String,
    },
    /// One that a single tool knows.
    #[error("{0}")]
    Tool(Box<dyn ToolError>),
    #[error("the store is set to \"{is}\", so the key cannot be moved to the {wanted}")]
    StoreSetOtherwise { is: Setting, wanted: Setting },
    #[error("cannot find the path of the hallpass program")]
    Program(#[source] std::io::Error),
    #[error("cannot write the reply")]
    Reply(#[source] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Session(session::Error),
}

/// An error that only one tool has.
pub trait ToolError: std::error::Error + Send + Sync {
    /// What the user can do about it.
    fn hint(&self) -> Option<String>;

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

impl<E: ToolError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Tool(Box::new(error))
    }
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Self {
        if let session::Error::Config(error) = error {
            Self::Config(error)
        } else if let session::Error::Store(error) = error {
            Self::Store(error)
        } else {
            Self::Session(error)
        }
    }
}

impl Error {
    pub fn report(&self) -> Report {
        if let Self::Session(session::Error::Elsewhere(report)) = self {
            return Report::clone(report);
        }
        let mut causes = Vec::new();
        let mut next = if let Self::Tool(error) = self {
            error.source()
        } else {
            self.source()
        };
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if causes.last() != Some(&cause_text) {
                causes.push(cause_text);
            }
            next = cause.source();
        }
        let error = self.to_string();
        causes.retain(|cause| *cause != error);
        if let Self::Session(
            session::Error::OtherSignInFailed { message, .. }
            | session::Error::RefreshPaused { message, .. },
        ) = self
        {
            causes.push(message.clone());
        }
        if let Self::Session(session::Error::ProviderRefused { code, .. }) = self {
            causes.extend(code.description().map(str::to_owned));
        }
        if let Self::Session(session::Error::Declined {
            cause: Some(code), ..
        }) = self
        {
            causes.push(code.to_string());
        }
        Report {
            error,
            causes,
            hint: self.hint(),
            exit: self.exit(),
        }
    }

    fn exit(&self) -> Exit {
        use session::Error as S;
        match self {
            Self::Config(error) if error.is_the_machines() => Exit::Failed,
            Self::Usage(_)
            | Self::CommandLine(_)
            | Self::NoResource(_)
            | Self::UnknownAccount { .. }
            | Self::WhichAccount { .. }
            | Self::NotRegistered { .. }
            | Self::StoreSetOtherwise { .. }
            | Self::Session(S::NoOpenIdScope { .. })
            | Self::Config(_) => Exit::Usage,
            Self::Session(S::SignInNeeded { .. }) => Exit::SignInNeeded,
            Self::Session(
                S::Declined { .. }
                | S::TimedOut { .. }
                | S::CoolingDown { .. }
                | S::NotAnswered { .. },
            ) => Exit::NotSignedIn,
            Self::Session(S::Elsewhere(report)) => report.exit,
            Self::Tool(error) => error.exit(),
            Self::Store(_)
            | Self::Reply(_)
            | Self::Program(_)
            | Self::Setup(_)
            | Self::Session(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(_) | Self::CommandLine(_) => {
                Some("run the same command with `--help`".to_owned())
            }
            Self::NoResource(url) => Some(format!(
                "add to config.toml:\n[[resources]]\nmatch = \"{url}\"\nprovider = \"…\""
            )),
            Self::UnknownAccount { known, login, .. } => Some(format!(
                "known accounts: {}; to add this one, run `{login}`",
                known.join(", ")
            )),
            Self::WhichAccount { provider, .. } => Some(format!(
                "run `hallpass logout {provider} --account NAME`, or with `--all`"
            )),
            Self::NotRegistered {
                where_to, retry, ..
            } => Some(format!("{where_to}\nthen run `{retry}`")),
            Self::Tool(error) => error.hint(),
            Self::StoreSetOtherwise { wanted, .. } => Some(format!(
                "set `store = \"{wanted}\"` in config.toml or HALLPASS_STORE={wanted}, then run \
                 `hallpass store move --to {wanted}` again"
            )),
            Self::Program(_) => Some("start hallpass by its absolute path".to_owned()),
            Self::Reply(_) => None,
            Self::Config(error) => error.hint(),
            Self::Store(error) => store_hint(error),
            Self::Setup(error) => Some(error.hint()),
            Self::Session(error) => session_hint(error),
        }
    }
}
