//! `hallpass store move`: moves the key that encrypts everything else, and nothing else.

use std::process::ExitCode;

use super::Prepared;
use crate::cli::{NewPlace, StoreMove};
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::store::{Moved, Place, Setting};

pub(super) fn run(env: &Env, args: &StoreMove) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, None)?;
    let (to, wanted) = match args.to {
        NewPlace::Keyring => (Place::Keyring, Setting::Keyring),
        NewPlace::Kernel => (Place::Kernel, Setting::Kernel),
        NewPlace::File => (Place::File, Setting::File),
    };
    // Else every command after this one would look in the wrong place.
    let setting = prepared.config.settings.store;
    if setting != Setting::Auto && setting != wanted {
        return Err(Error::StoreSetOtherwise {
            is: setting,
            wanted,
        });
    }
    let said = match prepared.store.move_key(to)? {
        Moved::NoKey => format!(
            "nothing is stored yet, so there is no key to move; to use the {to} from the first \
             sign-in on, set `store = \"{wanted}\"` in config.toml"
        ),
        Moved::Already => format!("the key is in the {to} already"),
        Moved::From { place, left_behind } => {
            if let Some(error) = left_behind {
                prepared.terminal.warn(&format!(
                    "the key could not be removed from the {place}: {error}"
                ));
            }
            format!("moved the key from the {place} to the {to}; sessions and passwords stay")
        }
    };
    prepared.terminal.say(&said);
    Ok(Exit::Answered.into())
}
