//! How set-ups are named: in commands, in the titles of blocks, and in records.

use std::path::Path;

use crate::report::printable;
use crate::shell::quoted;

/// The start of every block's title.
pub(super) const TITLE: &str = "hallpass setup kubectl --user ";

/// The command that sets this user up.
pub(super) fn command(user: &str) -> String {
    format!("hallpass setup kubectl --user {}", quoted(user))
}

/// The title of a block in the user's configuration: the command and the server.
pub(super) fn title(user: &str, server: &str) -> String {
    format!("{} {server}", printable(&command(user)))
}

/// Identifies the set-up of a user in a kubeconfig.
pub(super) fn what(user: &str, kubeconfig: &Path) -> String {
    format!("{user} in {}", kubeconfig.display())
}
