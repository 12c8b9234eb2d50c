//! `hallpass setup TOOL`: tells a tool to ask hallpass, and can take that back. One file a tool;
//! what they share stands in `host` (what is set up), `opener` (the provider that opens it, and
//! the block of the user's file that says so), `program` (how a tool starts this program) and
//! `shown` (what a person sees of it all).

pub(super) mod docker;
pub(super) mod git;
mod git_config;
pub(super) mod host;
pub(super) mod json_file;
pub(super) mod kubectl;
mod large_pushes;
pub(super) mod link;
mod opener;
mod program;
mod shown;

use crate::cli::Changing;
use crate::config::Turn;
use crate::env::Env;
use crate::error::Error;
use crate::terminal::Terminal;

/// The turn to change the user's file, and the files of other programs with it: taken before any
/// of them is read. A dry run changes nothing and waits for no turn.
fn turn(env: &Env, changing: Changing) -> Result<Option<Turn>, Error> {
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
