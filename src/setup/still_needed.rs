//! Checks that the configuration doesn't need the blocks that `--undo` removes from the user's file.

use super::binding::{provider_section, toml_text};
use super::plan::Check;
use crate::config::{ConfigError, Flags, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Config;

/// The beginning of the title of every block that a set-up writes.
const ANY: &str = "hallpass setup ";

/// Checks the user's file as it would be after the undo. [`Error::StillNeeded`] if another entry names
/// a provider that would be removed, or whose registration would be.
pub(crate) fn check<'a>(env: &'a Env, flags: &'a Flags, file: UserFile) -> Check<'a> {
    Box::new(move |documents| {
        let after = documents.after(file.path());
        let text = after.map(String::from_utf8_lossy);
        text.map_or(Ok(()), |text| {
            check_text(env, flags, &file.with_text(&text))
        })
    })
}

fn check_text(env: &Env, flags: &Flags, edited: &UserFile) -> Result<(), Error> {
    let mut whole = UserFile::read(env)?;
    let remaining = edited.titles(ANY);
    let mut gone = Vec::new();
    let mut others = Vec::new();
    for title in whole.titles(ANY) {
        let block = whole.remove(&title).unwrap_or_default();
        if remaining.contains(&title) {
            others.push((title, block));
        } else {
            gone.extend(provider_section(&block).map(|(name, _)| name));
        }
    }
    let cause = match Config::load_edited(env, flags, edited) {
        Err(cause) => cause,
        Ok(config) => match without_registration(&config, &gone) {
            Some(cause) => cause,
            None => return Ok(()),
        },
    };
    let mut undo = Vec::new();
    for (title, block) in others {
        let needs = |name: &String| {
            let named = format!("provider = {}", toml_text(name));
            block.lines().any(|line| line == named)
        };
        let command = undo_of(&title);
        if gone.iter().any(needs) && !undo.contains(&command) {
            undo.push(command);
        }
    }
    Err(Error::StillNeeded {
        cause: Box::new(cause),
        undo,
    })
}

/// Why an entry's provider could no longer sign in. Without its section, a name such as `github` is
/// the preset's, which may have no client ID.
fn without_registration(config: &Config, gone: &[String]) -> Option<ConfigError> {
    let needed = config.providers_with_resources();
    let mut needed = gone.iter().filter(|name| needed.contains(&***name));
    needed.find_map(|name| {
        let provider = config.provider(name);
        provider
            .and_then(|provider| provider.client_id().map(drop))
            .err()
    })
}

/// The command that undoes a block. kubectl's command depends on the current kubeconfig, except
/// without arguments, which undoes all of them.
fn undo_of(title: &str) -> String {
    const KUBECTL: &str = "hallpass setup kubectl";
    if title.starts_with(KUBECTL) {
        format!("{KUBECTL} --undo")
    } else {
        format!("{title} --undo")
    }
}
