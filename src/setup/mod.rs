//! Configures tools to use hallpass, and undoes that. It knows no tool.
//!
//! A tool describes its set-up as edits to files (`edit`), each a pure function of a file's bytes.
//! `plan` shows them, asks, takes the locks, writes all files or none and prints the changes.
//! `record` stores what `--undo` needs, and `undo` reverts the changes. `host` is the host of a
//! set-up, `binding` assigns it to a provider, `provider_block` is the provider's block in the user's
//! configuration, `program` the command by which a tool starts hallpass, and `program_link` the link for
//! a tool that starts it by a name of its own.

pub(crate) mod binding;
mod content;
pub(crate) mod document;
pub(crate) mod edit;
pub mod error;
pub(crate) mod host;
pub(crate) mod plan;
pub(crate) mod program;
pub(crate) mod program_link;
pub(crate) mod provider_block;
pub(crate) mod record;
mod undo;
pub(crate) mod yaml;

use std::path::Path;

use crate::arguments::Common;
use crate::config::{home, shown_at_home};
use crate::env::Env;
use crate::error::Error;
use crate::report::printable;
use crate::serving::prepared::Prepared;
use crate::store::{Place, Setting, StoreError};
use record::Records;

/// Warns before the set-up if sessions cannot be saved: the tool would work, but every request would
/// start a sign-in.
fn warn_if_nothing_is_saved(env: &Env, common: &Common) {
    // The set-up itself needs no store. The first sign-in reports other problems.
    let Ok(prepared) = Prepared::new(env, common, None) else {
        return;
    };
    match prepared.store.without_waiting().would_save() {
        Ok(Place::None) if prepared.config.settings.store == Setting::Auto => {
            prepared.terminal.warn(crate::session::NOWHERE_TO_SAVE);
        }
        Err(error @ StoreError::Io { .. }) => {
            let report = Error::from(error).report();
            let causes = report
                .causes
                .iter()
                .fold(String::new(), |all, cause| all + ": " + cause);
            prepared.terminal.warn(&format!(
                "{}{causes}, so no session can be saved; {}",
                report.error,
                report.hint.unwrap_or_default()
            ));
        }
        Ok(_) | Err(_) => (),
    }
}

/// Lists each set-up with its files.
pub(crate) fn list(env: &Env) -> Result<String, Error> {
    let records = Records::read(env).readable()?;
    let home = home(env).ok();
    let shown = |path: &Path| shown_at_home(path, home.as_deref());
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(&printable(line));
        text.push('\n');
    };
    for record in &records.all {
        line(&record.command);
        for (path, is_there) in record.files() {
            let state = if is_there {
                "in place"
            } else {
                "changed or removed since"
            };
            line(&format!("  {}: {state}", shown(path)));
        }
    }
    for path in &records.unreadable {
        line(&format!(
            "{}: damaged, or written by a newer hallpass",
            shown(path)
        ));
    }
    if text.is_empty() {
        text.push_str("nothing is set up\n");
    }
    Ok(text)
}
