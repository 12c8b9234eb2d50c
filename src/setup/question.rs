//! Asks a person whether to make the changes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::arguments::Changing;

impl Changing {
    /// Whether nobody has to be asked: the answer was given, nothing is changed, or no person is
    /// at the terminal.
    pub(super) fn is_confirmed(self) -> bool {
        let has_person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        self.yes || self.dry_run || !has_person
    }
}

/// Shows the changes on stderr, and reads the answer from stdin.
pub(super) fn confirm(changes: &str) -> bool {
    let mut err = std::io::stderr().lock();
    // A terminal that has gone away gives no answer either.
    let _ = write!(err, "{changes}Make these changes? [Y/n] ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let answer = answer.trim();
    let is_yes =
        answer.is_empty() || answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes");
    if read.is_ok_and(|length| length > 0) && is_yes {
        return true;
    }
    let _ = writeln!(err, "Nothing was changed");
    false
}
