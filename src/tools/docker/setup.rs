//! `hallpass setup docker`: makes hallpass the credential helper of registry clients, for some
//! registries or for all, and configures the provider of a registry.
//!
//! Specification: <https://docs.docker.com/reference/cli/docker/login/#credential-helpers> and
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::arguments::{ProviderArgs, SetupArgs, epilogue};
use crate::complete;
use crate::provider::RegistryExchange;
use std::path::Path;

use url::Url;

use super::arguments::{HELPER, NAME, PROGRAM_NAME};
use super::error::DockerError;
use super::file_passwords::FilePasswords;
use super::files::{
    AUTH_CONFIG, ClientFile, bare, docker_file, keys_of, logged_in, may_name_helper, registry,
    server_of, whole,
};
use super::former_store::FormerStore;
use super::podman::{
    PrecedingPassword, preceding_passwords, readable_podman_files, registries_conf,
    writable_podman_files,
};
use crate::config::{Flags, UserFile, home};
use crate::env::Env;
use crate::error::Error;
use crate::provider::Config;
use crate::provider::{Realm, resource::Pattern};
use crate::serving::prepared::Prepared;
use crate::setup::binding::{BindingRequest, toml_text};
use crate::setup::edit::Edit;
use crate::setup::edit::link::{self, Place};
use crate::setup::host::Host;
use crate::setup::plan::{Part, Plan, SetUp, Undo};
use crate::setup::provider_block::blocks;
use crate::setup::record::Records;
use crate::setup::{program, program_link};
use crate::shell::quoted;

/// The start of the title of each block that this command writes to `config.toml`.
const TITLE: &str = "hallpass setup docker ";
const DEFAULT: &str = "--default";

/// Well-known registries and their provider.
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

/// The presets whose instances are registries themselves.
const INSTANCES: &[&str] = &["gitea", "forgejo"];

/// Configure docker, podman and other registry clients to use hallpass
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass setup docker ghcr.io
  hallpass setup docker registry.corp.example --provider corp --podman
  hallpass setup docker --undo"))]
#[command(mut_group("provider_args", |group| group.requires("hosts")))]
pub struct Arguments {
    /// The registries, each as HOST or HOST:PORT [default: every registry in the configuration]
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub hosts: Vec<String>,
    /// The user name that the registry expects with the token
    #[arg(long, value_name = "NAME", requires = "hosts")]
    pub username: Option<String>,
    /// The registry exchanges the token for its own credential
    #[arg(long, value_parser = registry_exchange, value_name = "acr|harbor|identity-token", requires = "hosts")]
    pub exchange: Option<RegistryExchange>,
    /// Use hallpass for every registry: it stores the passwords of registries without a provider
    #[arg(long)]
    pub default: bool,
    /// With --default: copy the passwords that docker has stored elsewhere
    #[arg(long, requires = "default")]
    pub import: bool,
    /// Change podman's files too: auth.json, and with --default registries.conf.d
    #[arg(long)]
    pub podman: bool,
    #[command(flatten)]
    pub setup: SetupArgs,
}

fn registry_exchange(text: &str) -> Result<RegistryExchange, String> {
    let found = RegistryExchange::ALL.iter().find(|(name, _)| *name == text);
    let names = || "acr, harbor or identity-token".to_owned();
    found.map(|(_, exchange)| *exchange).ok_or_else(names)
}

impl SetUp for Arguments {
    fn shared(&self) -> &SetupArgs {
        &self.setup
    }

    fn set_up<'a>(&'a self, env: &'a Env, flags: &Flags) -> Result<Plan<'a>, Error> {
        let mut config = Config::load(env, flags)?;
        let mut file = UserFile::read(env)?;
        let hosts = hosts(env, &config, self, &file)?;
        let (link, warning) = program_link::edit(env, PROGRAM_NAME, NAME)?;
        let mut warnings: Vec<String> = warning.into_iter().collect();
        let files = files(env, self)?;
        let mut plan = Plan {
            command: command(self),
            ..Plan::default()
        };
        let mut given = self.setup.provider_args.clone();
        for host in &hosts {
            let mut part = part_of(host, &files);
            part.edits.splice(0..0, link.clone());
            let provider_args = provider_args_of(&given, host, &config)?;
            let wanted = binding_request(self, host, &provider_args);
            let binding = wanted.add(env, flags, &mut config, &mut file)?;
            part.edits.splice(0..0, binding.edits);
            plan.notes.push(binding.note);
            if given.client_id.is_some() {
                // The next registry has the provider that was made for the first one.
                given = ProviderArgs {
                    provider: Some(binding.provider),
                    account: given.account,
                    ..ProviderArgs::default()
                };
            }
            plan.parts.push(part);
        }
        if self.default {
            let mut part = part_of_all(&files);
            part.edits.splice(0..0, link);
            if self.podman {
                part.edits.push(podman_helpers(env, CREDENTIAL_HELPERS)?);
            }
            plan.parts.push(part);
            let docker = files.first();
            let former = docker.and_then(|docker| former_name(env, self, docker));
            let former = former.as_deref().map(FormerStore::listed);
            let passwords = docker.map(|docker| FilePasswords::of(docker, &config));
            let passwords = passwords.transpose()?;
            if self.import {
                let former = former.transpose()?;
                for (place, keys) in [
                    former.as_ref().map(|former| {
                        let keys = former.keys.iter().map(|key| &**key).collect();
                        (format!("the store {}", former.name), keys)
                    }),
                    docker
                        .zip(passwords.as_ref())
                        .map(|(docker, passwords)| {
                            (docker.shown.clone(), passwords.readable_keys())
                        })
                        .filter(|(_, keys): &(String, Vec<&str>)| !keys.is_empty()),
                ]
                .into_iter()
                .flatten()
                {
                    let keys = keys.join(", ");
                    plan.notes
                        .push(format!("copies the passwords in {place}: {keys}"));
                    plan.first_is_change = true;
                }
                // The passwords stay if a file can't be written afterwards: nothing uses them then.
                // `config` has the providers of this set-up, whose registries need no password.
                plan.first = Some(Box::new(move || {
                    if former.is_none() && passwords.as_ref().is_none_or(FilePasswords::is_empty) {
                        return Ok(Box::new(|| ()));
                    }
                    let prepared = Prepared::new(env, &self.setup.common, None)?;
                    // docker used its store rather than the file.
                    if let Some(former) = former {
                        former.import(&prepared, &config)?;
                    }
                    if let Some(passwords) = passwords {
                        passwords.import(&prepared, &config)?;
                    }
                    Ok(Box::new(|| ()))
                }));
            } else {
                warnings.extend(unused_store(former));
                let is_new =
                    docker.is_some_and(|docker| docker.helper_at(&["credsStore"]) != Some(HELPER));
                let keys = passwords
                    .as_ref()
                    .map_or_else(Vec::new, FilePasswords::keys);
                if is_new && !keys.is_empty() {
                    let keys = keys.join(", ");
                    warnings.push(format!(
                        "docker no longer uses the passwords in its own file: run `docker login` \
                         again for {keys}, or this command with `--import`"
                    ));
                }
            }
        }
        warnings.extend(precedence_warnings(env, self, &hosts, &files)?);
        plan.warnings = warnings;
        Ok(plan)
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        let file = UserFile::read(env)?;
        let files = files(env, self)?;
        let mut parts = Vec::new();
        for given in &self.hosts {
            let host = registry("HOST", given)?;
            let mut part = part_of(&host, &files);
            let block = Edit::block(file.path(), &title(&host.text), "");
            part.edits.insert(0, block);
            parts.push(part);
        }
        if self.default {
            let mut part = part_of_all(&files);
            part.edits.push(podman_helpers(env, "")?);
            parts.push(part);
        }
        let home = home(env)?;
        let docker = docker_file(env, &home);
        let is_left_out = ClientFile::read(&docker, Some(&home)).is_err();
        let left_out = is_left_out.then(|| {
            let shown = ClientFile::empty(&docker, &home).shown;
            format!("{shown} can't be read as docker's configuration, so it stays as it is")
        });
        Ok(Undo {
            left_out: left_out.into_iter().collect(),
            ..Undo::of(parts, || recognizable_edits(env, &file))?
        })
    }
}

/// The warning about the passwords in the store that hallpass replaces.
fn unused_store(former: Option<Result<FormerStore, DockerError>>) -> Option<String> {
    match former? {
        Ok(former) => (!former.keys.is_empty()).then(|| {
            format!(
                "docker no longer uses its store {}: run `docker login` again for {}, or this \
                 command with `--import`",
                former.name,
                former.keys.join(", ")
            )
        }),
        Err(DockerError::StoreNotListed { name }) => Some(format!(
            "docker no longer uses its store {name}, which cannot be listed: run `docker login \
             HOST` again for your registries"
        )),
        Err(_) => None,
    }
}

/// The store that hallpass replaces in docker's file, or for `--import` has replaced.
fn former_name(env: &Env, args: &Arguments, docker: &ClientFile) -> Option<String> {
    let current = docker.helper_at(&["credsStore"]);
    if let Some(name) = current.filter(|name| *name != HELPER) {
        return Some(name.to_owned());
    }
    let records = Records::read(env);
    let record = records.find(NAME, DEFAULT).filter(|_| args.import)?;
    let edit = Edit::member(&docker.path, &["credsStore"], HELPER);
    let replaced = record.edits().filter(|done| done.edit == edit);
    let mut names = replaced.filter_map(|done| done.replaced.as_ref()?.as_str());
    names.find(|name| !name.is_empty()).map(str::to_owned)
}

/// The part that makes hallpass the helper of a registry.
fn part_of(host: &Host, files: &[ClientFile]) -> Part {
    let keys = keys_of(host);
    let edits_of = |file: &ClientFile| {
        let edit = |key: &String| Edit::member(&file.path, &["credHelpers", key], HELPER);
        keys.iter().map(edit).collect::<Vec<_>>()
    };
    Part::new(
        TITLE,
        bare(&host.text),
        files.iter().flat_map(edits_of).collect(),
    )
}

/// The part that makes hallpass the helper of every registry. podman doesn't use docker's store.
fn part_of_all(files: &[ClientFile]) -> Part {
    let docker = files.first();
    let edit = docker.map(|file| Edit::member(&file.path, &["credsStore"], HELPER));
    Part::new(TITLE, DEFAULT, edit.into_iter().collect())
}

/// Podman asks hallpass first, and then uses the passwords in its own files.
const CREDENTIAL_HELPERS: &str = "credential-helpers = [\"hallpass\", \"containers-auth.json\"]\n";

/// The edit that makes hallpass podman's helper for every registry.
fn podman_helpers(env: &Env, lines: &str) -> Result<Edit, Error> {
    let file = registries_conf(env, &home(env)?);
    Ok(Edit::block(&file, &title(DEFAULT), lines))
}

/// Whether a file is in a folder or further below, however the paths are written.
fn is_below(path: &Path, folder: &Path) -> bool {
    let parent = path.parent().map(Path::canonicalize);
    let (Some(Ok(parent)), Ok(folder)) = (parent, folder.canonicalize()) else {
        return false;
    };
    parent.starts_with(folder)
}

/// Everything that earlier set-ups wrote, as far as it can be recognized without a record.
fn recognizable_edits(env: &Env, file: &UserFile) -> Result<Vec<Edit>, Error> {
    let home = home(env)?;
    let mut edits: Vec<Edit> = blocks(file, TITLE.trim_end()).collect();
    edits.push(podman_helpers(env, "")?);
    // A link outside the home folder may belong to a package.
    let is_recorded = Records::read(env).of(NAME).next().is_some();
    if let Place::There(path) = link::find(env, PROGRAM_NAME)?
        && is_below(&path, &home)
        && !is_recorded
    {
        edits.push(Edit::link(&path, &program::path(env)?));
    }
    let docker = read(env, &docker_file(env, &home), &home, true)?;
    for file in readable_podman_files(env, &home).iter().chain([&docker]) {
        for key in file.names_in("credHelpers") {
            edits.push(Edit::member(&file.path, &["credHelpers", &key], HELPER));
        }
        edits.push(Edit::member(&file.path, &["credsStore"], HELPER));
    }
    Ok(edits)
}

/// The registries to set up. Entries that docker can't name are left out.
fn hosts(
    env: &Env,
    config: &Config,
    args: &Arguments,
    file: &UserFile,
) -> Result<Vec<Host>, Error> {
    let given = args.hosts.iter().map(|host| registry("HOST", host));
    let mut hosts = given.collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() && !args.default {
        let records = Records::read(env);
        hosts = config
            .patterns(NAME)
            .filter(|pattern| !pattern.has_path() && !pattern.to_string().contains('*'))
            .map(|pattern| whole(Host::of(pattern)?))
            .collect::<Result<_, _>>()?;
        hosts.dedup_by(|one, other| one.text == other.text);
        hosts.retain(|host| !is_gits_alone(&records, file, host));
        if hosts.is_empty() {
            return Err(Error::Usage(
                "no registry is configured: name one with `hallpass setup docker HOST`, or use \
                 hallpass for every registry with `hallpass setup docker --default`"
                    .to_owned(),
            ));
        }
    }
    for host in &mut hosts {
        // Docker Hub may be configured under another one of its names.
        for url in server_of(host).map_or_else(Vec::new, |server| server.urls) {
            if config.resource(&host.url, NAME)?.is_none() && config.resource(&url, NAME)?.is_some()
            {
                host.url = url;
            }
        }
    }
    Ok(hosts)
}

/// The provider of a registry: the one on the command line, else a well-known one.
fn provider_args_of(
    given: &ProviderArgs,
    host: &Host,
    config: &Config,
) -> Result<ProviderArgs, Error> {
    let mut provider_args = given.clone();
    let says = provider_args.provider.is_some() || provider_args.issuer_url.is_some();
    if !says && config.resource(&host.url, NAME)?.is_none() {
        provider_args.provider = preset_of(&host.url).map(str::to_owned);
    }
    let preset = provider_args.provider.as_deref();
    let is_configured = config.providers().any(|known| Some(known) == preset);
    if preset == Some("gitlab") && !is_configured && preset_of(&host.url) != preset {
        return Err(Error::Usage(
            "cannot tell which GitLab this registry belongs to: run `hallpass setup git --host \
             HOST --provider gitlab --client-id ID` first, then name the provider that it \
             creates with `--provider HOST`"
                .to_owned(),
        ));
    }
    Ok(provider_args)
}

fn binding_request<'a>(
    args: &Arguments,
    host: &'a Host,
    provider_args: &'a ProviderArgs,
) -> BindingRequest<'a> {
    let mut resource_keys = Vec::new();
    if let Some(name) = &args.username {
        resource_keys.push(("username", toml_text(name)));
    }
    if let Some(exchange) = args.exchange {
        resource_keys.push(("registry_exchange", toml_text(exchange.as_str())));
    }
    let command = format!("{TITLE}{}", quoted(bare(&host.text)));
    BindingRequest {
        instances: INSTANCES,
        advice: "`--provider NAME` with a configured provider or a preset, or `--issuer-url URL \
                 --client-id ID`; to store only passwords, run `hallpass setup docker --default`",
        resource_keys,
        ..BindingRequest::new(NAME, host, provider_args, title(&host.text), command)
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

/// Whether this command set up the registry.
pub(crate) fn is_set_up(records: &Records, file: &UserFile, host: &Host) -> bool {
    let title = title(&host.text);
    records.find(NAME, bare(&host.text)).is_some() || file.block(&title).is_some()
}

/// The start of the title of a block that `hallpass setup git` wrote.
const GIT_TITLE: &str = "hallpass setup git --host ";

/// Whether the host was set up only for git: it need not be a registry.
pub(crate) fn is_gits_alone(records: &Records, file: &UserFile, host: &Host) -> bool {
    let title = format!("{}{}", GIT_TITLE, host.text);
    file.block(&title).is_some() && !is_set_up(records, file, host)
}

fn command(args: &Arguments) -> String {
    let mut words: Vec<String> = args.hosts.iter().map(|host| quoted(host)).collect();
    words.extend(args.default.then(|| DEFAULT.to_owned()));
    words.extend(args.podman.then(|| "--podman".to_owned()));
    format!("{TITLE}{}", words.join(" ")).trim_end().to_owned()
}

// --- the files of docker and podman ---

/// The files to change: docker's, and podman's with `--podman`.
fn files(env: &Env, args: &Arguments) -> Result<Vec<ClientFile>, Error> {
    let home = home(env)?;
    let mut paths = vec![docker_file(env, &home)];
    if args.podman {
        paths.extend(writable_podman_files(env, &home));
    }
    paths
        .iter()
        .map(|path| read(env, path, &home, args.setup.changing.undo))
        .collect()
}

/// A client's file. An undo ignores one that is invalid if no set-up can have written to it.
fn read(env: &Env, path: &Path, home: &Path, is_undo: bool) -> Result<ClientFile, Error> {
    let file = ClientFile::read(path, Some(home));
    let may_ignore = || Records::read(env).of(NAME).next().is_none() && !may_name_helper(path);
    if file.is_err() && is_undo && may_ignore() {
        return Ok(ClientFile::empty(path, home));
    }
    file
}

/// Warnings about credentials that clients use instead of the helper.
fn precedence_warnings(
    env: &Env,
    args: &Arguments,
    hosts: &[Host],
    files: &[ClientFile],
) -> Result<Vec<String>, Error> {
    let home = home(env)?;
    let all = args.default;
    let keys: Vec<String> = hosts.iter().flat_map(keys_of).collect();
    let warning = |file: &str, key: &str, effect: &str, fix: &str| {
        format!("{file} has a password for {key}{effect}: `{fix}` removes it")
    };
    let mut warnings = Vec::new();
    match ClientFile::of_variable(env) {
        Ok(variable) => {
            let effect = ", which docker uses instead of hallpass";
            let fix = format!("unset {AUTH_CONFIG}");
            let shadowing = variable.iter().flat_map(|file| logged_in(file, all, &keys));
            warnings.extend(shadowing.map(|key| warning(AUTH_CONFIG, &key, effect, &fix)));
        }
        Err(error) => warnings.push(error.to_string()),
    }
    let helped: &[String] = if args.podman { &keys } else { &[] };
    let podmans = readable_podman_files(env, &home);
    for PrecedingPassword { file, key } in preceding_passwords(&podmans, all, &keys, helped) {
        let effect = ", which podman, skopeo and buildah use instead of hallpass";
        let fix = format!("podman logout {}", quoted(&key));
        warnings.push(warning(&file, &key, effect, &fix));
    }
    for docker in files.iter().take(1) {
        for key in logged_in(docker, all, &keys) {
            let fix = format!("docker logout {}", quoted(&key));
            // An empty name makes docker use its file for this registry.
            let is_used = !keys.contains(&key)
                && docker
                    .text_at(&["credHelpers", &key])
                    .is_some_and(str::is_empty);
            let effect = if is_used {
                ", which docker uses instead of hallpass"
            } else {
                " that docker no longer uses"
            };
            let mut text = warning(&docker.shown, &key, effect, &fix);
            if all && !is_used {
                text.push_str(", and the password that hallpass stores for it");
            }
            warnings.push(text);
        }
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_known_registry_is_recognized_by_its_whole_host() {
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
