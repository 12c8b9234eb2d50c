//! The names and the command line of `hallpass docker`.

use crate::arguments::OperationHelp;

/// `hallpass docker`.
pub(crate) const NAME: &str = "docker";

/// The helper's name in the clients' files: docker runs `docker-credential-NAME`.
pub(crate) const HELPER: &str = "hallpass";

/// The name under which registry clients start this program.
pub(crate) const PROGRAM_NAME: &str = "docker-credential-hallpass";

pub(crate) const HELP: OperationHelp = OperationHelp {
    name: NAME,
    about: "Answer docker, podman and other registry clients, as their credential helper",
    more: "A registry client starts it with an operation as the only argument.",
    operations: "get|store|erase|list|version",
    examples: "  echo registry.corp.example | hallpass docker get",
};
