//! The errors that only kubectl has.

use crate::credential::Refusal;
use crate::error::ToolError;
use crate::report::{Exit, Report};
use crate::serving::serve::ServeError;
use crate::shell::quoted;

#[derive(Debug, thiserror::Error)]
pub enum KubectlError {
    #[error("kubectl failed to read the kubeconfig")]
    Failed {
        #[source]
        cause: std::io::Error,
    },
    /// kubectl's own message is the cause.
    #[error("kubectl rejects the kubeconfig")]
    Rejected {
        #[source]
        cause: std::io::Error,
        fix: String,
    },
    #[error("cannot {action} {file}")]
    Inaccessible {
        action: &'static str,
        file: String,
        #[source]
        cause: std::io::Error,
        fix: String,
    },
    /// The kubeconfig has no such part, or the command doesn't say which one.
    #[error("{what}")]
    Lacking { what: String, fix: String },
    #[error("{file} contains more than one YAML document, and kubectl reads only the first")]
    SeveralDocuments { file: String },
    #[error("{file} contains `{key}` more than once, and kubectl reads only the last one")]
    DuplicateKey { file: String, key: &'static str },
    #[error("{file} cannot be changed for the user {user} and nothing else: {why}")]
    KubeconfigUnfit {
        file: String,
        user: String,
        why: String,
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
            Self::Failed { cause } if cause.kind() == std::io::ErrorKind::NotFound => {
                "install kubectl, or check that PATH leads to it".to_owned()
            }
            Self::Failed { .. } => "check that `kubectl config view --output=json` prints the \
                                    kubeconfig and nothing else"
                .to_owned(),
            Self::Rejected { fix, .. } | Self::Inaccessible { fix, .. } => {
                format!("{fix}, then run the command again")
            }
            Self::Lacking { fix, .. } => fix.clone(),
            Self::SeveralDocuments { file } => format!(
                "move the other documents of {file} to files of their own, and list these files in \
                 KUBECONFIG if you need them; then run the command again. Nothing was changed"
            ),
            Self::DuplicateKey { file, key } => format!(
                "put everything under one `{key}` in {file}, then run the command again; nothing was \
                 changed"
            ),
            Self::KubeconfigUnfit { file, .. } => {
                let kubectl = format!("kubectl config --kubeconfig {}", quoted(file));
                format!(
                    "reformat the file with `{kubectl} set-context hallpass-layout` and `{kubectl} \
                     delete-context hallpass-layout`, which drop its comments, and run the command \
                     again; nothing was changed"
                )
            }
            Self::NotConverted { again, .. } => format!(
                "nothing was changed; to set it up by hand, run `{again} --issuer-url URL \
                 --client-id ID --scope openid`"
            ),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotConverted { .. } | Self::Lacking { .. } => Exit::Usage,
            Self::Failed { .. }
            | Self::Rejected { .. }
            | Self::Inaccessible { .. }
            | Self::SeveralDocuments { .. }
            | Self::DuplicateKey { .. }
            | Self::KubeconfigUnfit { .. } => Exit::Failed,
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
