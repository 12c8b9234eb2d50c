//! The names and the command line of `hallpass docker`.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{Asking, Common, epilogue};

/// `hallpass docker`.
pub(crate) const NAME: &str = "docker";

/// The helper's name in the clients' files: docker runs `docker-credential-NAME`.
pub(crate) const HELPER: &str = "hallpass";

/// The name under which registry clients start this program.
pub(crate) const PROGRAM_NAME: &str = "docker-credential-hallpass";

/// Answer docker, podman and other registry clients, as their credential helper
///
/// A registry client starts it with an operation as the only argument.
#[derive(Debug, Args)]
#[command(after_help = epilogue("  echo registry.corp.example | hallpass docker get"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub asking: Asking,
    #[command(flatten)]
    pub common: Common,
    /// The operation that the client requests; always the last argument
    #[arg(value_name = "get|store|erase|list|version")]
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
