//! `hallpass setup docker`: makes hallpass the credential helper of docker's clients for some
//! registries or for all, and a provider the one that opens a registry.
//!
//! Specification: <https://docs.docker.com/reference/cli/docker/login/#credential-helpers> and
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>. What docker's
//! own file had before stands as a comment in the user's file, so that it can be taken back.

use clap::Args;

use super::PROGRAM_NAME;
use crate::arguments::{Changing, Common, Opener};
use crate::provider::RegistryExchange;
use crate::tools::docker::NAME;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use url::Url;

use super::files::{
    TakenFirst, bare, docker_file, keys_of, logged_in, podman_files, podmans_there, registry,
    server_of, taken_first, whole,
};
use crate::config::{Config, Turn, UserFile, home};
use crate::env::Env;
use crate::error::Error;
use crate::provider::{Realm, resource::Pattern};
use crate::report::Exit;
use crate::serving::prepared::flags_of;
use crate::setup::host::Host;
use crate::setup::json_file::{Edit, JsonFile};
use crate::setup::link::{self, Link};
use crate::setup::opener::{Added, Opened, recipient, toml_text};
use crate::setup::shown::Shown;
use crate::setup::still_needed;
use crate::shell::quoted;
use crate::terminal::print;

/// What docker puts behind `docker-credential-`.
const HELPER: &str = "hallpass";

/// What begins the title of each block that this command writes.
const TITLE: &str = "hallpass setup docker ";
/// What ends the title of a block that remembers docker's side.
const BEFORE: &str = ": what docker had";
const LINK_TITLE: &str = "hallpass setup docker: its link";
const DEFAULT: &str = "--default";

/// The registries whose provider need not be named.
const REGISTRIES: &[(&str, &str)] = &[
    ("https://ghcr.io", "github"),
    ("https://registry.gitlab.com", "gitlab"),
    ("https://codeberg.org", "codeberg"),
    ("https://gitea.com", "gitea"),
    ("https://*.pkg.dev", "artifact-registry"),
    ("https://gcr.io", "artifact-registry"),
    ("https://*.gcr.io", "artifact-registry"),
    ("https://*.azurecr.io", "acr"),
];

/// The presets whose registry is on the host of their instances.
const INSTANCES: &[&str] = &["gitea", "forgejo"];

/// Configure docker, podman and other registry clients to use hallpass
#[derive(Debug, Args)]
#[command(mut_group("opener", |group| group.requires("hosts")))]
pub struct Arguments {
    /// The registries, each as HOST or HOST:PORT [default: every registry in the configuration]
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// The user name that the registry expects with the token
    #[arg(long, value_name = "NAME", requires = "hosts")]
    pub username: Option<String>,
    /// The registry exchanges the token for its own credential
    #[arg(long, value_parser = registry_exchange, value_name = "acr|harbor", requires = "hosts")]
    pub exchange: Option<RegistryExchange>,
    /// Use hallpass for every registry: it stores the passwords of registries without a provider
    #[arg(long)]
    pub default: bool,
    /// Change podman's auth.json too
    #[arg(long)]
    pub podman: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

fn registry_exchange(text: &str) -> Result<RegistryExchange, String> {
    let mut all = RegistryExchange::ALL.iter();
    let found = all.find(|(name, _)| *name == text);
    found
        .map(|(_, exchange)| *exchange)
        .ok_or_else(|| "acr or harbor".to_owned())
}

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    let flags = flags_of(&args.common, None);
    crate::setup::warn_if_nothing_is_saved(env, &args.common, args.changing);
    let turn = crate::setup::turn(env, args.changing)?;
    let mut config = Config::load(env, &flags)?;
    let file = UserFile::read(env)?;
    let hosts = hosts(&config, args, &file)?;
    let mut work = Work {
        env,
        args,
        shown: Shown::new(args.changing),
        file,
        is_edited: false,
        files: files(env, args)?,
        link: None,
    };
    if args.changing.undo {
        work.take_back(&hosts)?;
        still_needed::check(env, &flags, &work.file)?;
    } else {
        let mut given = args.opener.clone();
        for host in &hosts {
            let opener = opener_of(&given, host, &config)?;
            let wanted = opened(args, host, &opener);
            let was = work.file.clone();
            let Some(Added { lines, .. }) = wanted.add(env, &flags, &config, &mut work.file)?
            else {
                continue;
            };
            let earlier = was.clone().remove(&wanted.title);
            if earlier.is_some_and(|earlier| earlier.trim_end() == lines.trim_end()) {
                work.file = was;
            } else {
                work.is_edited = true;
                work.shown.heading(&work.file.shown);
                lines.lines().for_each(|line| work.shown.changed(line));
            }
            config = Config::load_edited(env, &flags, &work.file)?;
            if given.client_id.is_some()
                && let Some(found) = config.resource(&host.url, NAME)?
            {
                // The next registry has the provider that was made for the first one.
                given = Opener {
                    provider: Some(found.provider.name),
                    account: given.account,
                    ..Opener::default()
                };
            }
        }
        work.make(&hosts)?;
        work.warn(&hosts)?;
    }
    if !work.is_edited && work.link.is_none() {
        work.shown.line("nothing to change");
    } else {
        for host in hosts.iter().filter(|_| !args.changing.undo) {
            if let Some(found) = config.resource(&host.url, NAME)? {
                work.shown.line(&recipient(&found.provider, host));
            }
        }
        work.shown.way_back(&command(args));
    }
    if let Some(turn) = &turn {
        work.write(turn)?;
    }
    print(work.shown.text());
    Ok(Exit::Answered.into())
}

/// What is to be set up; what nobody can name to docker is left out.
fn hosts(config: &Config, args: &Arguments, file: &UserFile) -> Result<Vec<Host>, Error> {
    let given = args.hosts.iter().map(|host| registry("HOST", host));
    let mut hosts = given.collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() && !args.default && !args.changing.undo {
        hosts = config
            .patterns(NAME)
            .filter(|pattern| !pattern.has_path() && !pattern.to_string().contains('*'))
            .map(|pattern| whole(Host::of(pattern)?))
            .collect::<Result<_, _>>()?;
        hosts.dedup_by(|one, other| one.text == other.text);
        hosts.retain(|host| !is_gits_alone(file, host));
        if hosts.is_empty() {
            return Err(Error::Usage(
                "no registry is configured: name one with `hallpass setup docker HOST`, or keep \
                 every registry's password with `hallpass setup docker --default`"
                    .to_owned(),
            ));
        }
    }
    for host in &mut hosts {
        // The Hub may be configured under another of its names.
        for url in server_of(host).map_or_else(Vec::new, |server| server.urls) {
            if config.resource(&host.url, NAME)?.is_none() && config.resource(&url, NAME)?.is_some()
            {
                host.url = url;
            }
        }
    }
    Ok(hosts)
}

/// Who opens a registry: what was typed, else what is known about it.
fn opener_of(given: &Opener, host: &Host, config: &Config) -> Result<Opener, Error> {
    let mut opener = given.clone();
    let says = opener.provider.is_some() || opener.issuer_url.is_some();
    if !says && config.resource(&host.url, NAME)?.is_none() {
        opener.provider = preset_of(&host.url).map(str::to_owned);
    }
    let preset = opener.provider.as_deref();
    let is_configured = config.providers().any(|known| Some(known) == preset);
    if preset == Some("gitlab") && !is_configured && preset_of(&host.url) != preset {
        return Err(Error::Usage(
            "which GitLab is it? its registry stands on a host of its own: run `hallpass setup \
             git --host HOST --provider gitlab --client-id ID` first, and then name the provider \
             that it has made with `--provider HOST`"
                .to_owned(),
        ));
    }
    Ok(opener)
}

fn opened<'a>(args: &Arguments, host: &'a Host, opener: &'a Opener) -> Opened<'a> {
    let mut resource_keys = Vec::new();
    if let Some(name) = &args.username {
        resource_keys.push(("username", toml_text(name)));
    }
    if let Some(exchange) = args.exchange {
        resource_keys.push(("registry_exchange", toml_text(exchange.as_str())));
    }
    Opened {
        host,
        opener,
        tool: NAME,
        tool_names_provider: false,
        title: title(&host.text),
        command: format!("{TITLE}{}", quoted(bare(&host.text))),
        homes: &[],
        instances: INSTANCES,
        advice: "`--provider NAME` with one of the configuration or a preset, or `--issuer-url \
                 URL --client-id ID`; for passwords alone, `hallpass setup docker --default`",
        provider_keys: Vec::new(),
        resource_keys,
        own_name: None,
        earlier: None,
    }
}

fn preset_of(url: &Url) -> Option<&'static str> {
    let realm = Realm::of(url)?;
    let fits =
        |text: &str| Pattern::parse(text).is_ok_and(|pattern| pattern.fits(&realm, url).is_some());
    REGISTRIES
        .iter()
        .find(|(text, _)| fits(text))
        .map(|(_, preset)| *preset)
}

fn title(what: &str) -> String {
    format!("{TITLE}{}", bare(what))
}

/// Whether this command has set up a registry.
pub(crate) fn is_set_up(file: &UserFile, host: &Host) -> bool {
    let title = title(&host.text);
    let before = format!("{title}{BEFORE}");
    let titles = file.titles(TITLE);
    titles.contains(&title) || titles.contains(&before)
}

/// What begins the title of a block that `hallpass setup git` wrote.
const GIT_TITLE: &str = "hallpass setup git --host ";

/// Whether the host was set up for git and not as a registry, which it then need not be.
pub(crate) fn is_gits_alone(file: &UserFile, host: &Host) -> bool {
    let title = format!("{}{}", GIT_TITLE, host.text);
    file.titles(&title).contains(&title) && !is_set_up(file, host)
}

fn command(args: &Arguments) -> String {
    let mut line = TITLE.trim_end().to_owned();
    for host in &args.hosts {
        line.push(' ');
        line.push_str(&quoted(host));
    }
    for (flag, is_given) in [(DEFAULT, args.default), ("--podman", args.podman)] {
        if is_given {
            line.push(' ');
            line.push_str(flag);
        }
    }
    line
}

// --- the files of docker and podman ---

/// The files that are written: docker's, and podman's where that is asked.
fn files(env: &Env, args: &Arguments) -> Result<Vec<JsonFile>, Error> {
    let home = home(env)?;
    let mut paths = vec![docker_file(env, &home)];
    if args.podman {
        paths.extend(podman_files(env, &home));
    }
    paths
        .iter()
        .map(|path| JsonFile::read(path, Some(&home)))
        .collect()
}

struct Work<'a> {
    env: &'a Env,
    args: &'a Arguments,
    shown: Shown,
    file: UserFile,
    is_edited: bool,
    files: Vec<JsonFile>,
    /// The link that is made or removed.
    link: Option<PathBuf>,
}

impl Work<'_> {
    fn make(&mut self, hosts: &[Host]) -> Result<(), Error> {
        for host in hosts {
            let keys = keys_of(host);
            let keys: Vec<Vec<&str>> = keys.iter().map(|key| vec!["credHelpers", key]).collect();
            for index in 0..self.files.len() {
                self.set(index, &keys, bare(&host.text))?;
            }
        }
        if self.args.default {
            self.set(0, &[vec!["credsStore"]], DEFAULT)?;
            if self.args.podman {
                self.shown.line(
                    "podman has no setting for every registry in that file: write \
                     `credential-helpers = [\"hallpass\"]` into registries.conf",
                );
            }
        }
        match link::find(self.env, PROGRAM_NAME)? {
            Link::There => (),
            Link::At(path) => {
                self.shown
                    .heading(&path.parent().unwrap_or(&path).to_string_lossy());
                self.shown.changed(PROGRAM_NAME);
                self.file.add(LINK_TITLE, &format!("# {}", json(&path)));
                self.is_edited = true;
                self.link = Some(path);
            }
            Link::Behind(path) => self.shown.line(&format!(
                "docker finds {} first, which is not this program: move it away",
                path.display()
            )),
            Link::Nowhere(command) => self.shown.line(&format!(
                "docker finds no {PROGRAM_NAME}: link it into a folder on PATH with `{command}`"
            )),
        }
        Ok(())
    }

    /// Sets members of one file, and remembers what they were.
    fn set(&mut self, index: usize, all: &[Vec<&str>], what: &str) -> Result<(), Error> {
        let Some(file) = self.files.get_mut(index) else {
            return Ok(());
        };
        let mut edits = Vec::new();
        for keys in all {
            if let Some(edit) = file.set(keys, HELPER)? {
                if edits.is_empty() {
                    self.shown.heading(&file.shown);
                }
                let before = edit.before.as_deref();
                let before = before.map_or_else(String::new, |b| format!(" (it was {b:?})"));
                let name = keys.join(".");
                self.shown.changed(&format!("{name} = {HELPER:?}{before}"));
                edits.push(edit);
            }
        }
        if edits.is_empty() {
            return Ok(());
        }
        self.is_edited = true;
        let title = format!("{}{BEFORE}", title(what));
        let mut lines = self.file.remove(&title).unwrap_or_default();
        for edit in &edits {
            let _ = writeln!(lines, "# {}", json(edit));
        }
        self.file.add(&title, &lines);
        Ok(())
    }

    /// Takes back what was set up for these registries; without any, all of it.
    fn take_back(&mut self, hosts: &[Host]) -> Result<(), Error> {
        let all = hosts.is_empty() && !self.args.default;
        let mut titles: Vec<String> = hosts.iter().map(|host| title(&host.text)).collect();
        if self.args.default {
            titles.push(title(DEFAULT));
        }
        if all {
            titles = self.file.titles(TITLE);
            titles.retain(|title| !title.ends_with(BEFORE));
            let before = self.file.titles(TITLE).into_iter();
            let alone = before.filter_map(|title| title.strip_suffix(BEFORE).map(str::to_owned));
            titles.extend(alone);
            titles.dedup();
        }
        // The last one first, as it was put on top of the others.
        for title in titles.iter().rev() {
            if let Some(lines) = self.file.remove(&format!("{title}{BEFORE}")) {
                self.is_edited = true;
                for line in lines.lines().rev() {
                    self.take_back_edit(line)?;
                }
            }
            if let Some(lines) = self.file.remove(title) {
                self.is_edited = true;
                self.shown.heading(&self.file.shown);
                lines.lines().for_each(|line| self.shown.changed(line));
            }
        }
        if self.file.titles(TITLE).is_empty()
            && let Some(line) = self.file.remove(LINK_TITLE)
        {
            self.is_edited = true;
            let path = line.trim_start_matches("# ").trim_end();
            if let Ok(path) = serde_json::from_str::<PathBuf>(path) {
                self.shown
                    .heading(&path.parent().unwrap_or(&path).to_string_lossy());
                self.shown.changed(PROGRAM_NAME);
                self.link = Some(path);
            }
        }
        Ok(())
    }

    fn take_back_edit(&mut self, line: &str) -> Result<(), Error> {
        // A line that somebody has changed says nothing any more.
        let Ok(edit) = serde_json::from_str::<Edit>(line.trim_start_matches("# ")) else {
            return Ok(());
        };
        let known = self.files.iter().position(|file| file.path() == edit.file);
        let index = if let Some(index) = known {
            index
        } else {
            let home = home(self.env)?;
            self.files.push(JsonFile::read(&edit.file, Some(&home))?);
            self.files.len() - 1
        };
        let Some(file) = self.files.get_mut(index) else {
            return Ok(());
        };
        if file.take_back(&edit, HELPER)? {
            self.shown.heading(&file.shown);
            let name = edit.keys.join(".");
            let before = edit.before.as_deref();
            let before = before.map_or_else(String::new, |b| format!(" (it is {b:?} again)"));
            self.shown.changed(&format!("{name} = {HELPER:?}{before}"));
        }
        Ok(())
    }

    /// What would be asked before the helper, or instead of it.
    fn warn(&mut self, hosts: &[Host]) -> Result<(), Error> {
        if self.env.var("DOCKER_AUTH_CONFIG").is_some() {
            self.shown.line(
                "DOCKER_AUTH_CONFIG is set: docker takes what it has for a registry and asks no \
                 helper (unset it)",
            );
        }
        let home = home(self.env)?;
        let all = self.args.default;
        let keys: Vec<String> = hosts.iter().flat_map(keys_of).collect();
        let there = podmans_there(self.env, &home);
        // With --podman the files as they are about to be.
        let podmans = match self.files.get(1..) {
            Some(files) if self.args.podman => files,
            Some(_) | None => &there,
        };
        for TakenFirst { file, key } in taken_first(podmans, all, &keys) {
            self.shown.line(&format!(
                "{file} has a password for {key}, which podman, skopeo and buildah take first: \
                 `podman logout {}` removes it",
                quoted(&key)
            ));
        }
        let docker = JsonFile::read(&docker_file(self.env, &home), Some(&home))?;
        for key in logged_in(&docker, all, &keys) {
            self.shown.line(&format!(
                "{} has a password for {key} that docker no longer asks for: `docker logout {}` \
                 removes it",
                docker.shown,
                quoted(&key)
            ));
        }
        Ok(())
    }

    /// hallpass knows a registry before docker asks for it, and for as long as docker asks.
    fn write(&mut self, turn: &Turn) -> Result<(), Error> {
        if !self.is_edited {
            return Ok(());
        }
        if self.args.changing.undo {
            self.write_files()?;
            if let Some(path) = &self.link {
                link::remove(self.env, path)?;
            }
            return Ok(self.file.write(turn)?);
        }
        let before = UserFile::read(self.env)?;
        self.file.write(turn)?;
        let link = self.link.as_ref();
        let done = link
            .map_or(Ok(()), |path| link::make(self.env, path))
            .and_then(|()| self.write_files());
        if done.is_err() {
            // The error that is told is the first one, and it says that nothing was changed.
            if let Some(path) = link {
                let _ = link::remove(self.env, path);
            }
            let _ = before.write(turn);
        }
        done
    }

    /// All of the clients' files, or none.
    fn write_files(&self) -> Result<(), Error> {
        for (index, file) in self.files.iter().enumerate() {
            if let Err(error) = file.write() {
                for written in self.files.iter().take(index) {
                    let _ = written.put_back();
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// On one line, as a comment holds it.
fn json(value: &impl serde::Serialize) -> String {
    // Texts, lists and paths always serialize, but for a path that is no text.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_its_whole_host() {
        for (host, expected) in [
            ("https://ghcr.io", Some("github")),
            ("https://registry.gitlab.com", Some("gitlab")),
            ("https://europe-docker.pkg.dev", Some("artifact-registry")),
            ("https://eu.gcr.io", Some("artifact-registry")),
            ("https://corp.azurecr.io", Some("acr")),
            ("https://evilpkg.dev", None),
            ("https://pkg.dev", None),
            ("https://ghcr.io.evil.example", None),
            ("https://ghcr.io:8443", None),
            ("https://evilazurecr.io", None),
        ] {
            assert_eq!(preset_of(&Url::parse(host).unwrap()), expected, "{host}");
        }
    }
}
