//! `hallpass setup git`: makes hallpass git's helper for some hosts or for all, and a provider
//! the one that opens a host.
//!
//! An empty `helper` stands before ours, for git hands every helper whatever worked, and nobody
//! else shall keep a token.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use super::super::{flags_of, print, quoted, shell_word};
use super::git_config;
use super::host::Host;
use super::opener::{Opened, toml_text};
use super::program;
use super::shown::Shown;
use crate::cli::SetupGit;
use crate::config::{Config, UserFile};
use crate::credential::Tool;
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;

/// The presets that are a git server themselves, and so need not be named beside its host.
const HOSTS_OF_THEIR_OWN: &[&str] = &["github", "gitlab", "codeberg", "gitea", "bitbucket"];

/// The presets that people run instances of.
const FORGES: &[&str] = &["gitlab", "gitea", "forgejo"];

/// The keys that git has a helper in: of all hosts, and of one.
const HELPER_KEYS: &str = r"^credential\.(.*\.)?helper$";

pub(in super::super) fn run(env: &Env, args: &SetupGit) -> Result<ExitCode, Error> {
    let flags = flags_of(&args.common, None);
    let config = Config::load(env, &flags)?;
    let host = args.host.as_deref();
    let host = host.map(|host| Host::parse("--host", host)).transpose()?;
    let mut file = UserFile::read(env)?;
    let mut edited = Vec::new();
    let mut changes;
    if args.changing.undo {
        let titles = match &host {
            Some(host) => vec![title(host)],
            None => file.titles(TITLE),
        };
        edited.extend(titles.iter().filter_map(|title| file.remove(title)));
        // Something else may have come to need what this would take away.
        Config::load_edited(env, &flags, &file)?;
        changes = taken_back(host.as_ref(), args.default)?;
    } else {
        let mut hosts = Vec::new();
        if let (Some(host), Some(given)) = (host, &args.host) {
            edited.extend(opened(args, given, &host).add(env, &flags, &config, &mut file)?);
            hosts.push(host);
        } else {
            hosts = config
                .patterns(Tool::Git)
                .map(Host::of)
                .collect::<Result<_, _>>()?;
            // Several accounts at one host are one host to git.
            let mut seen = BTreeSet::new();
            hosts.retain(|host| seen.insert(host.text.clone()));
        }
        if hosts.is_empty() && !args.default {
            return Err(Error::Usage(
                "no resource is configured: name a host with `hallpass setup git --host HOST`, \
                 or keep every host's password with `hallpass setup git --default`"
                    .to_owned(),
            ));
        }
        changes = made(&hosts, args.default, &helper(env)?)?;
    }
    changes.retain(|change| !change.taken.is_empty() || !change.added.is_empty());

    print(&shown(&changes, &file, &edited, args)?);
    if args.changing.dry_run {
        return Ok(Exit::Answered.into());
    }
    // git asks only while there is something to ask for.
    if args.changing.undo {
        made_in_git(&changes)?;
    }
    if !edited.is_empty() {
        file.write()?;
    }
    if !args.changing.undo {
        made_in_git(&changes)?;
    }
    Ok(Exit::Answered.into())
}

/// What git has to be told for these hosts.
fn made(hosts: &[Host], default: bool, helper: &str) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for host in hosts {
        let is_set_up = Change::ours(&key(host, "helper"))?.has_taken();
        changes.push(Change::to(&key(host, "helper"), helper)?);
        if host.has_path {
            // Without it git does not say which path it wants.
            changes.push(Change::to_name_the_path(host, is_set_up)?);
        }
    }
    if default {
        changes.push(Change::to(DEFAULT, helper)?);
    }
    Ok(changes)
}

/// What git has to forget: one host, or wherever it asks us.
fn taken_back(host: Option<&Host>, default: bool) -> Result<Vec<Change>, Error> {
    let mut keys = Vec::new();
    if let Some(host) = host {
        keys.push(key(host, "helper"));
        keys.extend(default.then(|| DEFAULT.to_owned()));
    } else {
        keys.extend(
            git_config::matching(HELPER_KEYS)?
                .into_iter()
                .map(|(key, _)| key),
        );
        let mut seen = BTreeSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
    let mut changes = Vec::new();
    for key in keys {
        let change = Change::ours(&key)?;
        if change.has_taken() {
            let path = key.strip_suffix(".helper").unwrap_or(&key);
            let path = Change::not_to_name_the_path(&format!("{path}.useHttpPath"))?;
            changes.extend([change, path]);
        }
    }
    Ok(changes)
}

fn made_in_git(changes: &[Change]) -> Result<(), Error> {
    for change in changes {
        if change.added.is_empty() {
            change.take_back()?;
        } else {
            change.make()?;
        }
    }
    Ok(())
}

/// Every host's key.
const DEFAULT: &str = "credential.helper";

fn key(host: &Host, name: &str) -> String {
    format!("credential.{}.{name}", host.text)
}

/// Our spelling of a true value (git-config(1)): seldom anybody else's, so git can take ours out
/// from beside theirs.
const YES: &str = "yes";

/// How the title of each block in the user's file begins.
pub(super) const TITLE: &str = "hallpass setup git --host ";

fn title(host: &Host) -> String {
    format!("{TITLE}{}", host.text)
}

fn opened<'a>(args: &'a SetupGit, given: &str, host: &'a Host) -> Opened<'a> {
    let bearer = args.bearer.then(|| ("git_bearer", "true".to_owned()));
    let username = args.username.as_deref();
    let username = username.map(|name| ("username", toml_text(name)));
    Opened {
        tool: Tool::Git,
        host,
        opener: &args.opener,
        title: title(host),
        command: format!("{TITLE}{}", quoted(given)),
        homes: HOSTS_OF_THEIR_OWN,
        instances: FORGES,
        advice: "`--provider gitlab` (or gitea, forgejo, or one of the configuration), or \
                 `--issuer-url URL --client-id ID`",
        provider_keys: bearer.into_iter().collect(),
        resource_keys: username.into_iter().collect(),
    }
}

// --- git's configuration ---

/// What becomes of one key: of its values some go, the rest stays, and others come behind it.
struct Change {
    key: String,
    taken: Vec<String>,
    rest: Vec<String>,
    added: Vec<String>,
}

impl Change {
    /// Ours comes last, behind an empty one that ends the list before it.
    fn to(key: &str, helper: &str) -> Result<Self, Error> {
        let ours = [String::new(), helper.to_owned()];
        let change = Self::ours(key)?;
        if change.taken == ours && git_config::values(key)?.ends_with(&ours) {
            return Ok(Self::none(key));
        }
        Ok(Self {
            added: ours.into(),
            ..change
        })
    }

    /// Takes our helper out, with the empty one that stands before it.
    fn ours(key: &str) -> Result<Self, Error> {
        let (taken, rest) = parted(git_config::values(key)?);
        Ok(Self {
            key: key.to_owned(),
            taken,
            rest,
            added: Vec::new(),
        })
    }

    /// Ours is added also where somebody's says the same, so that taking it back leaves that.
    fn to_name_the_path(host: &Host, is_set_up: bool) -> Result<Self, Error> {
        let key = key(host, "useHttpPath");
        let last = git_config::values(&key)?.pop();
        let mut change = Self::none(&key);
        if !(is_set_up && last.as_deref() == Some(YES)) {
            change.added.push(YES.to_owned());
        }
        Ok(change)
    }

    fn not_to_name_the_path(key: &str) -> Result<Self, Error> {
        let mut change = Self::none(key);
        change.rest = git_config::values(key)?;
        if change.rest.last().is_some_and(|last| last == YES) {
            change.taken.extend(change.rest.pop());
        }
        Ok(change)
    }

    fn none(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            taken: Vec::new(),
            rest: Vec::new(),
            added: Vec::new(),
        }
    }

    fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// As if it had never been there.
    fn take_back(&self) -> Result<(), Error> {
        let file = git_config::file_of(&self.key)?;
        self.make()?;
        if let Some(file) = file {
            git_config::remove_section_if_empty(&file, &self.key)?;
            git_config::remove_if_empty(&file);
        }
        Ok(())
    }

    fn make(&self) -> Result<(), Error> {
        if self.has_taken() {
            git_config::take(&self.key, &self.taken, &self.rest)?;
        }
        let mut added = self.added.iter();
        added.try_for_each(|value| git_config::add(&self.key, value))
    }
}

/// Our helpers, each with the empty one that stands before it, and all others.
fn parted(values: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut ours = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for value in values {
        if is_ours(&value) {
            ours.extend(others.pop_if(|last| last.is_empty()));
            ours.push(value);
        } else {
            others.push(value);
        }
    }
    (ours, others)
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
    let word = shell_word(path);
    let mark = if word == path { "" } else { "!" };
    format!("{mark}{word} git")
}

// --- what a person sees ---

fn shown(
    changes: &[Change],
    file: &UserFile,
    edited: &[String],
    args: &SetupGit,
) -> Result<String, Error> {
    let mut shown = Shown::new(args.changing);
    let undo = args.changing.undo;
    if changes.is_empty() && edited.is_empty() {
        shown.line("nothing to change");
        return Ok(shown.text().to_owned());
    }
    if !edited.is_empty() {
        shown.heading(&file.shown);
    }
    for line in edited.iter().flat_map(|lines| lines.lines()) {
        shown.changed(line);
    }
    if !changes.is_empty() {
        shown.heading("your git configuration");
    }
    for change in changes {
        let values = if undo { &change.taken } else { &change.added };
        for value in values {
            shown.changed(&format!("{} = {value:?}", change.key));
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
        let quoted = "!'/opt/a b/hallpass' git";
        for (before, taken, rest) in [
            (vec!["", ours], vec!["", ours], vec![]),
            (vec!["store", "", ours], vec!["", ours], vec!["store"]),
            (
                vec!["", "store", "", quoted],
                vec!["", quoted],
                vec!["", "store"],
            ),
            (vec!["", "store"], vec![], vec!["", "store"]),
            (vec![ours, "cache"], vec![ours], vec!["cache"]),
            (
                vec!["/x/nothallpass git"],
                vec![],
                vec!["/x/nothallpass git"],
            ),
        ] {
            let values = before.iter().map(|value| (*value).to_owned()).collect();
            let (ours, others) = parted(values);
            assert_eq!(ours, taken, "{before:?}");
            assert_eq!(others, rest, "{before:?}");
        }
    }
}
