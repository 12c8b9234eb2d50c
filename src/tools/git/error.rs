//! The errors that only git has.

use crate::error::ToolError;

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git could not be started to {action}")]
    NotStarted {
        action: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("git cannot read its configuration")]
    Unreadable {
        #[source]
        cause: std::io::Error,
    },
    #[error("git {version} is too old for hallpass")]
    TooOld { version: String },
}

impl ToolError for GitError {
    fn hint(&self) -> Option<String> {
        let cause = match self {
            Self::NotStarted { cause, .. } => cause,
            Self::Unreadable { .. } => {
                return Some(
                    "correct the line that git names, then run the command again".to_owned(),
                );
            }
            Self::TooOld { .. } => return Some("update git to 2.26 or later".to_owned()),
        };
        Some(if cause.kind() == std::io::ErrorKind::NotFound {
            "install git, or check that PATH leads to it".to_owned()
        } else {
            "check that `git --version` works, then run the command again".to_owned()
        })
    }
}
