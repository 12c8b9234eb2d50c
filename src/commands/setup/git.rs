//! `hallpass setup git`: makes hallpass git's helper for some hosts or for all, and a provider
//! the one that opens a host.
//!
//! An empty `helper` stands before ours, for git hands every helper whatever worked, and nobody
//! else shall keep a token.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use url::Url;

use super::super::{print, quoted};
use super::git_config;
use crate::cli::SetupGit;
use crate::config::{Config, ConfigError, Flags, UserFile};
use crate::credential::Tool;
use crate::env::Env;
use crate::error::Error;
use crate::provider::{Provider, Realm, resource::Pattern};
use crate::report::{Exit, printable};

/// The presets that are a git server themselves, and so need not be named beside its host.
const HOSTS_OF_THEIR_OWN: &[&str] = &["github", "gitlab", "codeberg", "gitea"];

/// The presets that people run instances of.
const FORGES: &[&str] = &["gitlab", "gitea", "forgejo"];

pub(in super::super) fn run(env: &Env, args: &SetupGit) -> Result<ExitCode, Error> {
    let flags = Flags {
        store: args.common.store,
        verbose: (args.common.verbose > 0).then_some(args.common.verbose),
        ..Flags::default()
    };
    let config = Config::load(env, &flags)?;
    let hosts = match &args.host {
        Some(host) => vec![parsed(host)?],
        None => config
            .patterns(Tool::Git)
            .map(parsed_pattern)
            .collect::<Result<_, _>>()?,
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
    if let (Some(_), [host]) = (&args.host, hosts.as_slice()) {
        edited = if args.undo {
            let removed = file.remove(&host.title());
            // Something else may have come to need what this would take away.
            Config::load_edited(env, &flags, &file)?;
            removed
        } else {
            added(env, &flags, &config, args, host, &mut file)?
        };
    }
    let helper = helper(env)?;
    let mut changes = Vec::new();
    for host in &hosts {
        changes.push(Change::of(&host.key("helper"), &helper, args.undo)?);
        if host.has_path {
            // Without it git does not say which path it wants.
            changes.push(Change::of_path(&host.key("useHttpPath"), args.undo)?);
        }
    }
    if args.default {
        changes.push(Change::of("credential.helper", &helper, args.undo)?);
    }
    changes.retain(|change| change.before != change.after);

    print(&shown(&changes, &file, edited.as_deref(), args)?);
    if args.dry_run {
        return Ok(Exit::Answered.into());
    }
    if edited.is_some() {
        file.write()?;
    }
    changes.iter().try_for_each(Change::make)?;
    Ok(Exit::Answered.into())
}

// --- the host ---

struct Host {
    url: Url,
    /// As git and the configuration write it.
    text: String,
    has_path: bool,
}

impl Host {
    fn key(&self, name: &str) -> String {
        format!("credential.{}.{name}", self.text)
    }

    /// Of the block in the user's file.
    fn title(&self) -> String {
        format!("hallpass setup git --host {}", self.text)
    }
}

fn parsed(host: &str) -> Result<Host, Error> {
    let text = if host.contains("://") {
        host.to_owned()
    } else {
        format!("https://{host}")
    };
    let pattern = Pattern::parse(&text)
        .map_err(|why| Error::Usage(format!("--host {}: it {why}", printable(host))))?;
    parsed_pattern(&pattern)
}

fn parsed_pattern(pattern: &Pattern) -> Result<Host, Error> {
    let text = pattern.to_string();
    let url = Url::parse(&text).map_err(|_| Error::Usage(format!("{text} is not a URL")))?;
    Ok(Host {
        url,
        text,
        has_path: pattern.has_path(),
    })
}

// --- the configuration of hallpass ---

/// Adds what makes a provider open the host; `None` where the configuration says it already.
fn added(
    env: &Env,
    flags: &Flags,
    config: &Config,
    args: &SetupGit,
    host: &Host,
    file: &mut UserFile,
) -> Result<Option<String>, Error> {
    // What an earlier run has added is made anew.
    let earlier = file.remove(&host.title());
    let config = match &earlier {
        Some(_) => &Config::load_edited(env, flags, file)?,
        None => config,
    };
    let says_more = args.provider.is_some() || args.client_id.is_some() || args.account.is_some();
    if !says_more {
        if let Some(lines) = earlier {
            file.add(&host.title(), &lines);
            return Ok(None);
        }
        if config.resource(&host.url, Tool::Git)?.is_some() {
            return Ok(None);
        }
    }
    let (name, section) = provider_of(config, args, host)?;
    let mut lines = section;
    let _ = write!(
        lines,
        "[[resources]]\nmatch = {}\nprovider = {}\n",
        toml_text(&host.text),
        toml_text(&name)
    );
    for (key, value) in [("account", &args.account), ("username", &args.username)] {
        if let Some(value) = value {
            let _ = writeln!(lines, "{key} = {}", toml_text(value));
        }
    }
    file.add(&host.title(), &lines);
    let edited = Config::load_edited(env, flags, file)?;
    match edited.provider(&name)?.client_id() {
        Ok(_) => Ok(Some(lines)),
        Err(ConfigError::Unregistered(unregistered)) => Err(Error::NotRegistered {
            at: name.clone(),
            where_to: unregistered.where_to(),
            again: again(args, &name, unregistered.secret_wanted),
        }),
        Err(error) => Err(error.into()),
    }
}

/// The name of the provider, and its section where it has none.
fn provider_of(config: &Config, args: &SetupGit, host: &Host) -> Result<(String, String), Error> {
    let own_name = || {
        let name = host.text.split_once("://").map_or("", |(_, rest)| rest);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = name.chars().map(plain).collect();
        name.trim_matches(['-', '.']).to_owned()
    };
    let mut keys = Vec::new();
    let name = match &args.provider {
        Some(name) if config.providers().any(|known| known == name) => {
            if args.client_id.is_some() || args.issuer_url.is_some() {
                return Err(Error::Usage(format!(
                    "the provider {name} is configured: change it there, or name another one"
                )));
            }
            return Ok((name.clone(), String::new()));
        }
        Some(name) if args.issuer_url.is_some() => name.clone(),
        Some(preset) => {
            let provider = config.provider(preset)?;
            keys.push(("preset", toml_text(preset)));
            if is_home_of(&provider, &host.url) || !FORGES.contains(&preset.as_str()) {
                preset.clone()
            } else {
                keys.push(("base", toml_text(&host.text)));
                own_name()
            }
        }
        None if args.issuer_url.is_some() => own_name(),
        None => {
            let at_home = |preset: &&&str| {
                let provider = config.provider(preset);
                provider.is_ok_and(|provider| is_home_of(&provider, &host.url))
            };
            let Some(preset) = HOSTS_OF_THEIR_OWN.iter().find(at_home) else {
                return Err(Error::Usage(format!(
                    "which provider opens {0}? add `--provider gitlab` (or gitea, forgejo, or one \
                     of the configuration), or `--issuer-url URL --client-id ID`",
                    host.text
                )));
            };
            if config.providers().any(|known| known == *preset) {
                return Ok(((*preset).to_owned(), String::new()));
            }
            keys.push(("preset", toml_text(preset)));
            (*preset).to_owned()
        }
    };
    if let Some(issuer) = &args.issuer_url {
        keys.push(("issuer", toml_text(issuer)));
    }
    if let Some(client_id) = &args.client_id {
        keys.push(("client_id", toml_text(client_id)));
    }
    if let Some(path) = &args.client_secret_file {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        keys.push(("client_secret_file", toml_text(&path.to_string_lossy())));
    }
    if !args.scopes.is_empty() {
        let scopes: Vec<_> = args.scopes.iter().map(|scope| toml_text(scope)).collect();
        keys.push(("scopes", format!("[{}]", scopes.join(", "))));
    }
    if args.bearer {
        keys.push(("git_bearer", "true".to_owned()));
    }
    let mut section = format!("[providers.{}]\n", toml_text(&name));
    for (key, value) in keys {
        let _ = writeln!(section, "{key} = {value}");
    }
    section.push('\n');
    Ok((name, section))
}

fn is_home_of(provider: &Provider, url: &Url) -> bool {
    let home = provider.authorization_endpoint.as_ref().and_then(Realm::of);
    home.is_some() && home == Realm::of(url)
}

fn again(args: &SetupGit, name: &str, secret_wanted: bool) -> String {
    let host = args.host.as_deref().unwrap_or_default();
    let provider = args.provider.as_deref().unwrap_or(name);
    let mut line = format!(
        "hallpass setup git --host {} --provider {} --client-id ID",
        quoted(host),
        quoted(provider)
    );
    if secret_wanted {
        line.push_str(" --client-secret-file FILE");
    }
    line
}

/// A TOML basic string; JSON's escapes are TOML's too, but for DEL.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
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

/// How git starts this program: by the path that `PATH` leads to, which outlives an update,
/// where that is this program.
fn helper(env: &Env) -> Result<String, Error> {
    let own = std::env::current_exe().map_err(|cause| Error::GitConfig {
        action: "find the path of this program".to_owned(),
        cause,
    })?;
    let own = std::fs::canonicalize(&own).unwrap_or(own);
    let name = PathBuf::from(format!("hallpass{}", std::env::consts::EXE_SUFFIX));
    let folders = env.var_os("PATH").map(std::env::split_paths);
    let found = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(&name))
        .find(|path| {
            path.is_absolute() && std::fs::canonicalize(path).is_ok_and(|path| path == own)
        });
    let path = found.unwrap_or(own).to_string_lossy().into_owned();
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
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(&printable(line));
        text.push('\n');
    };
    if changes.is_empty() && edited.is_none() {
        line("nothing to change");
        return Ok(text);
    }
    let (would, sign) = match (args.dry_run, args.undo) {
        (true, true) => ("would be taken out of", "-"),
        (true, false) => ("would be added to", "+"),
        (false, true) => ("taken out of", "-"),
        (false, false) => ("added to", "+"),
    };
    if let Some(lines) = edited {
        line(&format!("{would} {}:", file.shown));
        for one in lines.lines() {
            line(format!("  {sign} {one}").trim_end());
        }
    }
    if !changes.is_empty() {
        line(&format!("{would} your git configuration:"));
    }
    for change in changes {
        let Change { key, before, after } = change;
        let differing = if args.undo { before } else { after };
        let same = if args.undo { after } else { before };
        for value in differing
            .iter()
            .filter(|value| !same.contains(value) || value.is_empty())
        {
            line(&format!("  {sign} {key} = {value:?}"));
        }
    }
    if !args.undo {
        let mut shadowed: Vec<String> = Vec::new();
        for key in changes.iter().map(|change| change.key.as_str()) {
            if key.ends_with(".helper") {
                shadowed.extend(git_config::helpers_everywhere(key)?);
            }
        }
        shadowed.extend(git_config::helpers_everywhere("credential.helper")?);
        shadowed.dedup();
        shadowed.retain(|helper| !helper.split(" (").next().is_some_and(is_ours));
        if !shadowed.is_empty() && !changes.is_empty() {
            line("git no longer asks for these hosts:");
            for helper in shadowed {
                line(&format!("  {helper}"));
            }
        }
        if !args.dry_run {
            let host = args
                .host
                .as_deref()
                .map_or_else(String::new, |h| format!(" --host {}", quoted(h)));
            let default = if args.default { " --default" } else { "" };
            line(&format!(
                "to take it back: hallpass setup git{host}{default} --undo"
            ));
        }
    }
    Ok(text)
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
