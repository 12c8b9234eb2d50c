//! The names and the command line of `hallpass git`.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{Asking, Common, epilogue};

/// `hallpass git`.
pub(crate) const NAME: &str = "git";

/// The file name under which git starts this program.
pub(crate) const PROGRAM_NAME: &str = "git-credential-hallpass";

/// Answer git, as its credential helper
///
/// git passes it an operation: get, store, erase or capability.
#[derive(Debug, Args)]
#[command(after_help = epilogue("  printf 'protocol=https\\nhost=git.corp.example\\n\\n' | hallpass git get"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// The operation that git requests; always the last argument
    #[arg(value_name = "get|store|erase|capability")]
    pub operation: OsString,
}

impl From<OsString> for Arguments {
    fn from(operation: OsString) -> Self {
        Self {
            asking: Asking::default(),
            common: Common::default(),
            operation,
        }
    }
}
