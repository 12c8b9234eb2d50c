//! The errors that only kubectl has.

use crate::credential::Refusal;
use crate::error::ToolError;
use crate::report::{Exit, Report};
use crate::serving::serve::ServeError;

#[derive(Debug, thiserror::Error)]
pub enum KubectlError {
    #[error("kubectl failed to {action}")]
    Failed {
        action: &'static str,
        #[source]
        cause: std::io::Error,
    },
    #[error("{file} cannot be changed for the user {user} and nothing else: {why}")]
    KubeconfigUnfit {
        file: String,
        user: String,
        why: String,
    },
    #[error("{file} {why}")]
    KubeconfigBusy {
        file: String,
        why: &'static str,
        hint: String,
    },
    #[error("the user {user} cannot be converted: {why}")]
    NotConverted {
        user: String,
        why: String,
        /// The set-up's own command.
        again: String,
    },
}

impl ToolError for KubectlError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Failed { .. } => {
                "check that kubectl is installed, and run `kubectl config view`".to_owned()
            }
            Self::KubeconfigUnfit { .. } => {
                "reformat the file with `kubectl config set-context hallpass-layout` and `kubectl \
                 config delete-context hallpass-layout`, which drop its comments, and run the \
                 command again; nothing was changed"
                    .to_owned()
            }
            Self::KubeconfigBusy { hint, .. } => hint.clone(),
            Self::NotConverted { again, .. } => format!(
                "nothing was changed; to set it up by hand, run `{again} --issuer-url URL \
                 --client-id ID --scope openid`"
            ),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotConverted { .. } => Exit::Usage,
            Self::Failed { .. } | Self::KubeconfigUnfit { .. } | Self::KubeconfigBusy { .. } => {
                Exit::Failed
            }
        }
    }
}

/// Refuses a request, with a hint.
pub(super) fn refusal(error: String, hint: String, exit: Exit) -> ServeError {
    let report = Report {
        error,
        causes: Vec::new(),
        hint: Some(hint),
        exit,
    };
    ServeError::refused(match exit {
        Exit::SignInNeeded => Refusal::NotSignedIn(report),
        Exit::Answered | Exit::Failed | Exit::Usage | Exit::NotSignedIn => Refusal::Failed(report),
    })
}
