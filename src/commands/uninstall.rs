//! `hallpass uninstall`: signs out, undoes every set-up, and removes the data folder and the key. Only
//! the program itself and the user's configuration stay.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use super::logout::Everything;
use crate::arguments::{Caution, Common, epilogue, parsed};
use crate::config::{home, shown_at_home};
use crate::env::Env;
use crate::error::Error;
use crate::report::{Exit, Report, printable};
use crate::serving::prepared::Prepared;
use crate::setup::error::SetupError;
use crate::setup::plan::{UndoOf, preview_undo_of_all, undo_all};
use crate::setup::record::Records;
use crate::store;
use crate::terminal::{confirm, is_attended, print};
use crate::tools;

/// Sign out, undo every set-up, and remove everything that hallpass has stored
///
/// The tokens are revoked at their providers. If a provider can't be reached, hallpass says which token
/// it could not revoke and continues. The program itself and your own lines in config.toml stay.
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass uninstall --dry-run
  hallpass uninstall"))]
pub(super) struct Arguments {
    #[command(flatten)]
    caution: Caution,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let args: Arguments = parsed("uninstall", words)?;
    let prepared = Prepared::new(env, &args.common, None)?.wherever_the_key_is();
    let everything = Everything::stored(&prepared)?;
    let folder = store::data_dir(env)?;
    let shown_folder = shown_at_home(&folder, home(env).ok().as_deref());
    let records = Records::read(env).readable()?;
    if let Some(path) = records.unreadable.first() {
        // Only another version knows how to undo it, and removing the data folder would lose that.
        return Err(SetupError::NewerRecord { path: path.clone() }.into());
    }
    let Caution { dry_run, yes } = args.caution;
    let undo: Vec<_> = tools::ALL
        .iter()
        .filter(|tool| records.of(tool.name()).next().is_some() || tool.is_installed(env))
        .map(|tool| (tool.name(), move || tool.undo(env)))
        .collect();
    let undo: Vec<UndoOf<'_>> = undo.iter().map(|(name, undo)| (*name, undo as _)).collect();
    // Before anything is removed, to see whether each undo is possible.
    let mut changes = String::new();
    let unknown = preview_undo_of_all(env, &undo, dry_run, |text| {
        if dry_run {
            print(text);
        } else {
            text.clone_into(&mut changes);
        }
    })?;
    for (name, error) in unknown {
        let Report { error, hint, .. } = error.report();
        let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
        let warning = format!("cannot tell whether {name} is set up: {error}{hint}");
        prepared.terminal.warn(&warning);
    }
    if dry_run || (!yes && is_attended()) {
        let mut text = changes + &everything.preview(&prepared);
        if folder.exists() {
            text.push_str(&printable(&format!("Would remove {shown_folder}")));
            text.push_str("\nWould remove the key that encrypts saved sessions, if there is one\n");
        }
        if dry_run {
            print(match &*text {
                "" => "nothing to remove\n",
                text => text,
            });
            return Ok(Exit::Answered.into());
        }
        if !confirm(&text, "Do all of this?") {
            return Ok(Exit::Failed.into());
        }
    }
    // The set-ups' blocks in the configuration may say how to revoke a token, so they go afterwards.
    let all_revoked = everything.remove(&prepared, false)?;
    undo_all(env, &undo)?;
    let is_there = folder.exists();
    let unknown = prepared.store.remove_data_folder()?;
    if is_there && unknown.is_empty() {
        prepared.terminal.say(&format!("removed {shown_folder}"));
    }
    for path in unknown {
        prepared.terminal.warn(&format!(
            "{} was not written by hallpass, so it stays",
            path.display()
        ));
    }
    prepared.terminal.say(
        "to remove the program itself, use what installed it: `apt remove hallpass`, for example, \
         or `cargo uninstall hallpass`",
    );
    Ok(if all_revoked {
        Exit::Answered
    } else {
        Exit::Failed
    }
    .into())
}
