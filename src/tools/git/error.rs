//! The errors that only git has.

use crate::error::ToolError;

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("`git config` failed to {action}")]
    Config {
        action: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("git {version} is too old for hallpass")]
    TooOld { version: String },
}

impl ToolError for GitError {
    fn hint(&self) -> Option<String> {
        let cause = match self {
            Self::Config { cause, .. } => cause,
            Self::TooOld { .. } => return Some("update git to 2.26 or later".to_owned()),
        };
        Some(if cause.kind() == std::io::ErrorKind::NotFound {
            "install git, or check that PATH leads to it".to_owned()
        } else {
            "find the file with `git config --global --list --show-origin`, and check that you can \
             write it and that no `.lock` file is left beside it; then run the command again"
                .to_owned()
        })
    }
}
