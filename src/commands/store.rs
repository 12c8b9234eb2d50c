//! `hallpass store move`: moves the key that encrypts sessions and passwords.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::{Caution, Common, epilogue, parsed};
use std::process::ExitCode;

use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::serving::prepared::Prepared;
use crate::store::{Moved, Place, Setting};
use crate::terminal::print;

/// Move the key to another place, and leave sessions and passwords where they are
///
/// The key that encrypts saved sessions and passwords is moved, and nothing else changes. Set
/// `store` in config.toml to the new place before, or leave it out.
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass store move --to keyring"))]
pub(super) struct Arguments {
    /// Where to store the key
    #[arg(long, value_enum)]
    pub(super) to: NewPlace,
    #[command(flatten)]
    pub(super) caution: Caution,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Where the key can be moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NewPlace {
    /// The operating system's keyring
    Keyring,
    /// The kernel's memory, until the machine restarts (Linux)
    Kernel,
    /// A file that only you can read
    File,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Move(Arguments),
}

/// Show or change where the key that encrypts saved sessions is stored
#[derive(Debug, Args)]
struct Store {
    #[command(subcommand)]
    command: Subcommands,
}

pub(super) fn command(name: &'static str) -> clap::Command {
    crate::arguments::command::<Store>(name)
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let Store {
        command: Subcommands::Move(args),
    } = parsed("store", words)?;
    move_key(env, &args)
}

fn move_key(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, None)?;
    let (to, wanted) = match args.to {
        NewPlace::Keyring => (Place::Keyring, Setting::Keyring),
        NewPlace::Kernel => (Place::Kernel, Setting::Kernel),
        NewPlace::File => (Place::File, Setting::File),
    };
    // Otherwise every later command would look in the wrong place.
    let setting = prepared.config.settings.store;
    if setting != Setting::Auto && setting != wanted {
        return Err(Error::StoreSetOtherwise {
            is: setting,
            wanted,
        });
    }
    let moved = if args.caution.dry_run {
        match prepared.store.key_place()? {
            None => Moved::NoKey,
            Some(place) if place == to => Moved::Already,
            Some(place) => {
                print(&format!(
                    "Would move the key from the {place} to the {to}\n"
                ));
                return Ok(Exit::Answered.into());
            }
        }
    } else {
        prepared.store.move_key(to)?
    };
    let message = match moved {
        Moved::NoKey => format!(
            "nothing is stored yet, so there is no key to move; to use the {to} from the first \
             sign-in on, set `store = \"{wanted}\"` in config.toml"
        ),
        Moved::Already => format!("the key is already in the {to}"),
        Moved::From { place, left_behind } => {
            if let Some(error) = left_behind {
                prepared.terminal.warn(&format!(
                    "the key could not be removed from the {place}: {error}"
                ));
            }
            format!(
                "moved the key from the {place} to the {to}; sessions and passwords stay where they are"
            )
        }
    };
    prepared.terminal.say(&message);
    Ok(Exit::Answered.into())
}
