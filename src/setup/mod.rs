//! `hallpass setup TOOL`: tells a tool to ask hallpass, and can take that back. One file a tool;
//! what they share stands in `host` (what is set up), `opener` (the provider that opens it, and
//! the block of the user's file that says so), `program` (how a tool starts this program) and
//! `shown` (what a person sees of it all).

pub(crate) mod host;
pub(crate) mod json_file;
pub(crate) mod link;
pub(crate) mod opener;
pub(crate) mod program;
pub(crate) mod shown;
pub(crate) mod still_needed;

use crate::arguments::{Changing, Common};
use crate::config::Turn;
use crate::env::Env;
use crate::error::Error;
use crate::serving::prepared::Prepared;
use crate::store::{Place, Setting, StoreError};
use crate::terminal::Terminal;

/// Says where nothing can be saved, before anything is written: the tool would work, and sign in
/// again and again.
pub(crate) fn warn_if_nothing_is_saved(env: &Env, common: &Common, changing: Changing) {
    if changing.undo {
        return;
    }
    // The set-up itself needs no store. What is wrong beyond this, the first sign-in says.
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
                "{}{causes}, so no session can be saved; set HALLPASS_DATA_DIR to a folder that \
                 you can write",
                report.error
            ));
        }
        Ok(_) | Err(_) => (),
    }
}

/// The turn to change the user's file, and the files of other programs with it: taken before any
/// of them is read. A dry run changes nothing and waits for no turn.
pub(crate) fn turn(env: &Env, changing: Changing) -> Result<Option<Turn>, Error> {
    if changing.dry_run {
        return Ok(None);
    }
    let turn = Turn::take(env, |holder| {
        Terminal::new(0).say(&format!(
            "waiting for {}, which is changing the configuration",
            crate::store::by(holder)
        ));
    })?;
    Ok(Some(turn))
}
