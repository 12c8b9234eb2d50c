//! Completes providers, accounts and hosts from the configuration.
//!
//! Completion reads only the configuration, never the keyring or the network. If the configuration
//! cannot be read, there are no candidates.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;

use crate::config::Flags;
use crate::env::Env;
use crate::provider::Config;
use crate::provider::presets;

/// Configured providers and presets.
pub(crate) fn providers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let config = config();
    let configured = config.iter().flat_map(Config::providers);
    starting_with(typed, configured.chain(presets::names()).map(str::to_owned))
}

/// Accounts that the configuration names.
pub(crate) fn accounts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let config = config();
    let accounts = config.iter().flat_map(|config| {
        let providers = config.providers();
        providers.flat_map(|provider| config.accounts_of(provider))
    });
    starting_with(typed, accounts.map(str::to_owned))
}

/// Configured hosts, without `https://`.
pub(crate) fn hosts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let urls = urls(config().as_ref());
    let hosts = urls.into_iter();
    starting_with(
        typed,
        hosts.map(|url| url.trim_start_matches("https://").to_owned()),
    )
}

/// The targets of `hallpass login` and `get-token`: a provider or a resource's URL.
pub(crate) fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut all = providers(typed);
    all.extend(starting_with(typed, urls(config().as_ref()).into_iter()));
    all
}

fn config() -> Option<Config> {
    Config::load(&Env::of_process(), &Flags::default()).ok()
}

fn urls(config: Option<&Config>) -> Vec<String> {
    let patterns = config.into_iter().flat_map(Config::all_patterns);
    let urls = patterns.map(ToString::to_string);
    urls.filter(|url| !url.contains('*')).collect()
}

fn starting_with(typed: &OsStr, values: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let mut values: Vec<String> = values.filter(|value| value.starts_with(typed)).collect();
    values.sort();
    values.dedup();
    values.into_iter().map(CompletionCandidate::new).collect()
}
