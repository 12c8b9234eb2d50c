//! `hallpass setup git`: makes hallpass git's helper for some hosts or for all, and a provider
//! the one that opens a host.
//!
//! An empty `helper` stands before ours, for git hands every helper whatever worked, and nobody
//! else shall keep a token.

use std::path::Path;
use std::process::ExitCode;

use super::super::{flags_of, print, quoted};
use super::git_config;
use super::host::Host;
use super::opener::{Opened, toml_text};
use super::program;
use super::shown::Shown;
use crate::cli::{Changing, SetupGit};
use crate::config::{Config, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;

/// The presets that are a git server themselves, and so need not be named beside its host.
const HOSTS_OF_THEIR_OWN: &[&str] = &["github", "gitlab", "codeberg", "gitea"];

/// The presets that people run instances of.
const FORGES: &[&str] = &["gitlab", "gitea", "forgejo"];

pub(in super::super) fn run(env: &Env, args: &SetupGit) -> Result<ExitCode, Error> {
    let flags = flags_of(&args.common, None);
    let config = Config::load(env, &flags)?;
    let Changing { dry_run, undo } = args.changing;
    let hosts = match &args.host {
        Some(host) => vec![Host::parse("--host", host)?],
        None => config.patterns().map(Host::of).collect::<Result<_, _>>()?,
    };
    if hosts.is_empty() && !args.default {
        return Err(Error::Usage(
            "no resource is configured: name a host with `hallpass setup git --host HOST`, or \
             keep every host's password with `hallpass setup git --default`"
                .to_owned(),
        ));
    }
    let mut file = UserFile::read(env)?;
    let mut edited = None;
    if let (Some(given), [host]) = (&args.host, hosts.as_slice()) {
        edited = if undo {
            let removed = file.remove(&title(host));
            // Something else may have come to need what this would take away.
            Config::load_edited(env, &flags, &file)?;
            removed
        } else {
            opened(args, given, host).add(env, &flags, &config, &mut file)?
        };
    }
    let helper = helper(env)?;
    let mut changes = Vec::new();
    for host in &hosts {
        changes.push(Change::of(&key(host, "helper"), &helper, undo)?);
        if host.has_path {
            // Without it git does not say which path it wants.
            changes.push(Change::of_path(&key(host, "useHttpPath"), undo)?);
        }
    }
    if args.default {
        changes.push(Change::of("credential.helper", &helper, undo)?);
    }
    changes.retain(|change| change.before != change.after);

    print(&shown(&changes, &file, edited.as_deref(), args)?);
    if dry_run {
        return Ok(Exit::Answered.into());
    }
    if edited.is_some() {
        file.write()?;
    }
    changes.iter().try_for_each(Change::make)?;
    Ok(Exit::Answered.into())
}

fn key(host: &Host, name: &str) -> String {
    format!("credential.{}.{name}", host.text)
}

/// Of the block in the user's file.
fn title(host: &Host) -> String {
    format!("hallpass setup git --host {}", host.text)
}

fn opened<'a>(args: &'a SetupGit, given: &str, host: &'a Host) -> Opened<'a> {
    let bearer = args.bearer.then(|| ("git_bearer", "true".to_owned()));
    let username = args.username.as_deref();
    let username = username.map(|name| ("username", toml_text(name)));
    Opened {
        host,
        opener: &args.opener,
        title: title(host),
        command: format!("hallpass setup git --host {}", quoted(given)),
        homes: HOSTS_OF_THEIR_OWN,
        instances: FORGES,
        advice: "`--provider gitlab` (or gitea, forgejo, or one of the configuration), or \
                 `--issuer-url URL --client-id ID`",
        provider_keys: bearer.into_iter().collect(),
        resource_keys: username.into_iter().collect(),
    }
}

// --- git's configuration ---

/// What becomes of one key.
struct Change {
    key: String,
    before: Vec<String>,
    after: Vec<String>,
}

impl Change {
    /// Ours comes last, behind an empty one that ends the list before it.
    fn of(key: &str, helper: &str, undo: bool) -> Result<Self, Error> {
        let before = git_config::values(key)?;
        let mut after = without_ours(&before);
        if !undo {
            after.extend([String::new(), helper.to_owned()]);
        }
        Ok(Self {
            key: key.to_owned(),
            before,
            after,
        })
    }

    fn of_path(key: &str, undo: bool) -> Result<Self, Error> {
        let before = git_config::values(key)?;
        let mut after = before.clone();
        if undo && after.last().is_some_and(|last| last == "true") {
            after.pop();
        } else if !undo && after.is_empty() {
            after.push("true".to_owned());
        }
        Ok(Self {
            key: key.to_owned(),
            before,
            after,
        })
    }

    fn make(&self) -> Result<(), Error> {
        // What stands there already stays where it is.
        if let Some(more) = self.after.strip_prefix(self.before.as_slice()) {
            return more
                .iter()
                .try_for_each(|value| git_config::add(&self.key, value));
        }
        git_config::leave(&self.key, &self.after)
    }
}

/// The helpers that are not ours, without the empty one that we put before ours.
fn without_ours(values: &[String]) -> Vec<String> {
    let mut rest: Vec<String> = Vec::new();
    for value in values {
        if is_ours(value) {
            if rest.last().is_some_and(String::is_empty) {
                rest.pop();
            }
        } else {
            rest.push(value.clone());
        }
    }
    rest
}

fn is_ours(helper: &str) -> bool {
    let Some(program) = helper.strip_suffix(" git") else {
        return false;
    };
    let program = program.trim_start_matches('!').trim_matches('\'');
    let name = Path::new(program).file_stem();
    name.is_some_and(|name| name == "hallpass")
}

/// How git starts this program.
fn helper(env: &Env) -> Result<String, Error> {
    let path = program::path(env)?.to_string_lossy().into_owned();
    // git hands it to a shell, also on Windows.
    let path = if cfg!(windows) {
        path.trim_start_matches(r"\\?\").replace('\\', "/")
    } else {
        path
    };
    Ok(as_git_reads_it(&path))
}

/// An absolute path is a program to git only where it begins as one; what has to be quoted is
/// marked as a line for the shell (gitcredentials(7)).
fn as_git_reads_it(path: &str) -> String {
    let word = quoted(path);
    let mark = if word == path { "" } else { "!" };
    format!("{mark}{word} git")
}

// --- what a person sees ---

fn shown(
    changes: &[Change],
    file: &UserFile,
    edited: Option<&str>,
    args: &SetupGit,
) -> Result<String, Error> {
    let mut shown = Shown::new(args.changing);
    let undo = args.changing.undo;
    if changes.is_empty() && edited.is_none() {
        shown.line("nothing to change");
        return Ok(shown.text().to_owned());
    }
    if let Some(lines) = edited {
        shown.heading(&file.shown);
        lines.lines().for_each(|line| shown.changed(line));
    }
    if !changes.is_empty() {
        shown.heading("your git configuration");
    }
    for change in changes {
        let Change { key, before, after } = change;
        let differing = if undo { before } else { after };
        let same = if undo { after } else { before };
        for value in differing
            .iter()
            .filter(|value| !same.contains(value) || value.is_empty())
        {
            shown.changed(&format!("{key} = {value:?}"));
        }
    }
    if !undo && !changes.is_empty() {
        let shadowed = shadowed(changes)?;
        if !shadowed.is_empty() {
            shown.line("git no longer asks for these hosts:");
            for helper in shadowed {
                shown.line(&format!("  {helper}"));
            }
        }
    }
    let host = args.host.as_deref();
    let host = host.map_or_else(String::new, |host| format!(" --host {}", quoted(host)));
    let default = if args.default { " --default" } else { "" };
    shown.way_back(&format!("hallpass setup git{host}{default}"));
    Ok(shown.text().to_owned())
}

/// The helpers of others that git asks no more, each with where it stands.
fn shadowed(changes: &[Change]) -> Result<Vec<String>, Error> {
    let mut shadowed: Vec<String> = Vec::new();
    for key in changes.iter().map(|change| change.key.as_str()) {
        if key.ends_with(".helper") {
            shadowed.extend(git_config::helpers_everywhere(key)?);
        }
    }
    shadowed.extend(git_config::helpers_everywhere("credential.helper")?);
    shadowed.dedup();
    shadowed.retain(|helper| !helper.split(" (").next().is_some_and(is_ours));
    Ok(shadowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_taken_out_with_its_empty_one_and_no_other() {
        let ours = "/usr/local/bin/hallpass git";
        for (before, after) in [
            (vec!["", ours], vec![]),
            (vec!["store", "", ours], vec!["store"]),
            (
                vec!["", "store", "", "!'/opt/a b/hallpass' git"],
                vec!["", "store"],
            ),
            (vec!["", "store"], vec!["", "store"]),
            (vec![ours, "cache"], vec!["cache"]),
            (vec!["/x/nothallpass git"], vec!["/x/nothallpass git"]),
        ] {
            let before: Vec<String> = before.into_iter().map(str::to_owned).collect();
            assert_eq!(without_ours(&before), after, "{before:?}");
        }
    }
}
