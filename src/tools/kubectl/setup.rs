//! `hallpass setup kubectl`: makes hallpass the credential plugin of a user in the kubeconfig, and
//! a provider the one that opens the user's clusters.
//!
//! kubectl reads the kubeconfig for us and judges what we would write; the entry itself is put into
//! the file here, so that comments and every other byte stay, that a user's name may be any, and
//! that an earlier entry's secret is on no command line when it is put back.

mod again;
mod kubeconfig_file;
mod kubelogin;
pub(crate) mod kuberc;
mod record;
mod recorded;
mod yaml;

use clap::Args;

use crate::arguments::{Changing, Common, Opener};
use crate::tools::kubectl::NAME;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::entry::Entry;
use super::error::KubectlError;
use super::kubeconfig::{self, Kubeconfig};
use super::protocol::{VERSION_OF_ALL, whole_version};
use crate::config::{Config, ConfigError, Flags, Flow, Turn, UserFile, file, shown};
use crate::credential::TokenKind;
use crate::env::Env;
use crate::error::Error;
use crate::files;
use crate::provider::Provider;
use crate::report::{Exit, printable};
use crate::secret::Secret;
use crate::serving::prepared::{Prepared, flags_of};
use crate::setup::host::Host;
use crate::setup::opener::{
    Opened, described, keys_of, makes, makes_provider, name_of, recipient, toml_text,
};
use crate::setup::program;
use crate::setup::shown::Shown;
use crate::setup::still_needed;
use crate::shell::quoted;
use crate::store::Store;
use crate::terminal::print;
use again::Again;
use kubeconfig_file::KubeconfigFile;
use kubelogin::Converted;
use kuberc::Allowed;
use record::{Kuberc, Record};
use recorded::{Recorded, one_server};

const ADVICE: &str = "`--provider NAME` (one of the configuration, or a preset), \
                      `--issuer-url URL --client-id ID`, or `--from-kubelogin`";

/// Configure a kubeconfig user to use hallpass as its credential plugin
#[derive(Debug, Args)]
pub struct Arguments {
    /// The context whose user to set up [default: the current context]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "user",
        allow_hyphen_values = true
    )]
    pub context: Option<String>,
    /// The kubeconfig user to set up
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub user: Option<String>,
    #[command(flatten)]
    pub opener: Opener,
    /// Import the user's kubelogin (kubectl oidc-login) settings
    #[arg(long, conflicts_with_all = ["issuer_url", "client_id"])]
    pub from_kubelogin: bool,
    /// Add hallpass to the plugin allowlist in kuberc, if there is one
    #[arg(long)]
    pub kuberc: bool,
    #[command(flatten)]
    pub changing: Changing,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    let flags = flags_of(&args.common, None);
    crate::setup::warn_if_nothing_is_saved(env, &args.common, args.changing);
    let turn = crate::setup::turn(env, args.changing)?;
    if args.changing.undo {
        undo(env, &flags, args, turn.as_ref())
    } else {
        set_up(env, &flags, args, turn.as_ref())
    }
}

// --- setting up ---

fn set_up(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    turn: Option<&Turn>,
) -> Result<ExitCode, Error> {
    let kubeconfig = Kubeconfig::load(env)?;
    let user = user(&kubeconfig, args)?;
    let mut file = UserFile::read(env)?;
    let folder = file.folder().to_owned();
    let mut target = KubeconfigFile::of(env, &kubeconfig, &user, &folder)?;

    let mut notes = Vec::new();
    let hosts = hosts(&kubeconfig, &user, &mut notes)?;

    // What an earlier run has added is made anew.
    let elsewhere = Record::blocks_elsewhere(&folder, target.path(), &user)?;
    let again = Again::of(args, &target, kubeconfig.user(&user));
    let wanted = again.as_ref().filter(|_| !hosts.is_empty());
    let wanted = wanted.map(|again| again.provider.as_str());
    let (config, earlier, block) =
        without_earlier(env, flags, &user, &elsewhere, wanted, &mut file)?;
    let mut plan = match again {
        Some(again) if args.opener.provider.is_none() => again.plan(),
        Some(_) | None => plan(env, flags, args, &config, &file, &target, &hosts)?,
    };
    let has_block_again = block.is_some();
    plan.again = block;
    let titles = titles(&user, &hosts, target.path(), &elsewhere);
    let opening = hosts.iter().zip(&titles);
    let added = opened_by(env, flags, &config, &mut plan, &user, opening, &mut file)?;
    if hosts.is_empty() {
        check_without_hosts(&kubeconfig, &user, &config, &plan)?;
    }
    let config_changes = earlier != added;

    let program = program::name_or_path(env)?;
    let store = Prepared::new(env, &args.common, None)?.store;
    let recorded = match one_server(&kubeconfig, &user, &hosts, &mut notes) {
        Some(host) => {
            let edited = Config::load_edited(env, flags, &file)?;
            let provider = edited.provider(&plan.name)?;
            let entry = Entry::new(&host.text, &provider, plan.opener.account.as_deref());
            Recorded::of(&store, entry, target.earlier_entry(), &mut notes)?
        }
        None => None,
    };
    let entry = entry(&program, &plan, recorded.as_ref(), target.before());
    target.set(&entry)?;
    notes.extend(plan.notes.iter().cloned());
    let kuberc = args
        .kuberc
        .then(|| kuberc::allow(env, &program))
        .transpose()?;

    let mut text = Shown::new(args.changing);
    if config_changes {
        text.heading(&file.shown);
        added
            .iter()
            .flat_map(|lines| lines.lines())
            .for_each(|line| text.changed(line));
    }
    plan.show_files(&mut text);
    target.show(&mut text);
    let kuberc_changes = show_kuberc(&mut text, kuberc.as_ref());
    let is_new = recorded.as_ref().is_some_and(|recorded| recorded.is_new);
    let is_changed =
        config_changes || target.is_changed() || kuberc_changes || plan.has_files() || is_new;
    if is_changed {
        let edited = Config::load_edited(env, flags, &file)?;
        show_recipients(&mut text, &edited.provider(&plan.name)?, &hosts);
        for note in &notes {
            text.line(&format!("note: {note}"));
        }
        text.way_back(&command(&user));
    } else {
        text.line("nothing to change");
    }
    print(text.text());
    let Some(turn) = turn.filter(|_| is_changed) else {
        return Ok(Exit::Answered.into());
    };

    // First what takes it back, last what makes kubectl ask.
    let mut record = record_of(&plan, &mut target, kuberc.as_ref());
    if has_block_again {
        target.keep_files(&mut record);
    }
    record.entry = recorded.as_ref().map(|recorded| recorded.id.clone());
    record.blocks = titles;
    record.write(&folder)?;
    if let Some(recorded) = &recorded {
        recorded.write(&store)?;
    }
    plan.write_files()?;
    if config_changes {
        file.write(turn)?;
    }
    if let Some(Allowed::Added { file, text, edit }) = &kuberc {
        let edited = edit.applied(text);
        file::replace(file, edited.as_bytes()).map_err(|cause| record::unwritable(file, cause))?;
    }
    target.write()?;
    // Only now does no kubeconfig name the earlier ID any more.
    if let Some(id) = target.earlier_entry()
        && record.entry.as_deref() != Some(id)
    {
        Entry::remove(&store, id)?;
    }
    Ok(Exit::Answered.into())
}

fn show_recipients(text: &mut Shown, provider: &Provider, hosts: &[Host]) {
    for host in hosts {
        text.line(&recipient(provider, host));
    }
}

/// Takes out what an earlier run has added for this kubeconfig's user: the configuration without it, and the
/// blocks. Where another user's block names the provider that one of them makes, or this run does,
/// the configuration is the one with it, and the last is that block.
fn without_earlier(
    env: &Env,
    flags: &Flags,
    user: &str,
    elsewhere: &[String],
    wanted: Option<&str>,
    file: &mut UserFile,
) -> Result<(Config, Vec<String>, Option<String>), Error> {
    let whole = file.clone();
    let titles = file.titles(&title(user, ""));
    let earlier: Vec<String> = titles
        .iter()
        .filter(|title| !elsewhere.contains(title))
        .filter_map(|title| file.remove(title))
        .collect();
    let makes_wanted = |block: &String| wanted.is_some_and(|name| makes(block, name));
    if !earlier.iter().any(makes_wanted)
        && let Ok(config) = Config::load_edited(env, flags, file)
    {
        return Ok((config, earlier, None));
    }
    let config = Config::load_edited(env, flags, &whole)?;
    let again = earlier.iter().find(|block| makes_provider(block)).cloned();
    Ok((config, earlier, again))
}

/// A user that no context leads to may only be given a provider that is configured.
fn check_without_hosts(
    kubeconfig: &Kubeconfig,
    user: &str,
    config: &Config,
    plan: &Plan,
) -> Result<(), Error> {
    let is_there = config.providers().any(|name| name == plan.name);
    if !is_there || kubeconfig.user(user).is_none() {
        return Err(Error::Usage(format!(
            "no context uses the user {}, so nothing says which server may have the token: \
             make one first, with `kubectl config set-context NAME --cluster CLUSTER --user {}`",
            printable(user),
            quoted(user)
        )));
    }
    config.provider(&plan.name)?.client_id()?;
    Ok(())
}

fn record_of(plan: &Plan, target: &mut KubeconfigFile, kuberc: Option<&Allowed>) -> Record {
    let mut record = target.record();
    record.secret_file = plan.secret.as_ref().map(|(path, _)| path.clone());
    record.ca_file = plan.authorities.as_ref().map(|(path, _)| path.clone());
    record.kuberc = match kuberc {
        Some(Allowed::Added { file, edit, .. }) => Some(Kuberc {
            file: file.clone(),
            edit: edit.clone(),
        }),
        Some(Allowed::Already | Allowed::Told { .. }) | None => target.earlier_kuberc(),
    };
    record
}

/// Adds to the user's file what makes the provider open these servers: what was added.
fn opened_by<'h>(
    env: &Env,
    flags: &Flags,
    config: &Config,
    plan: &mut Plan,
    user: &str,
    hosts: impl Iterator<Item = (&'h Host, &'h String)>,
    file: &mut UserFile,
) -> Result<Vec<String>, Error> {
    let again = plan.again.take();
    let mut added = Vec::new();
    let mut edited = None;
    for (index, (host, title)) in hosts.enumerate() {
        let is_first = index == 0;
        let rest = Opener {
            provider: Some(plan.name.clone()),
            account: plan.opener.account.clone(),
            ..Opener::default()
        };
        let opened = Opened {
            tool: NAME,
            tool_names_provider: true,
            host,
            opener: if is_first { &plan.opener } else { &rest },
            title: title.clone(),
            command: command(user),
            homes: &[],
            instances: &[],
            advice: ADVICE,
            provider_keys: if is_first {
                plan.keys.clone()
            } else {
                Vec::new()
            },
            resource_keys: vec![("tools", "[\"kubectl\"]".to_owned())],
            own_name: Some(plan.name.clone()),
            earlier: again.as_deref().filter(|_| is_first),
        };
        let config = edited.as_ref().unwrap_or(config);
        if let Some(one) = opened.add(env, flags, config, file)? {
            added.push(one.lines);
            plan.name = one.provider;
        }
        edited = Some(Config::load_edited(env, flags, file)?);
    }
    Ok(added)
}

/// Whose entry it is: the one that is named, the context's, or the current context's.
fn user(kubeconfig: &Kubeconfig, args: &Arguments) -> Result<String, Error> {
    if let Some(user) = &args.user {
        return Ok(user.clone());
    }
    let context = args.context.as_deref().or(kubeconfig.current_context());
    let Some(context) = context else {
        return Err(Error::Usage(format!(
            "the kubeconfig has no current context: add `--context NAME` or `--user NAME` (it has \
             the users: {})",
            kubeconfig::or_none(&kubeconfig.users())
        )));
    };
    let found = kubeconfig.context(context)?;
    if found.user.is_empty() {
        return Err(Error::Usage(format!(
            "the context {} has no user: add one with `kubectl config set-context {} --user NAME`",
            printable(context),
            quoted(context)
        )));
    }
    Ok(found.user.to_owned())
}

/// The servers that this user is sent to, each once.
fn hosts(kubeconfig: &Kubeconfig, user: &str, notes: &mut Vec<String>) -> Result<Vec<Host>, Error> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut refused = None;
    for context in kubeconfig.contexts().filter(|context| context.user == user) {
        let Some(cluster) = kubeconfig.cluster(context.cluster) else {
            continue;
        };
        let name = printable(context.cluster);
        match Host::parse(&format!("the server of cluster {name}:"), cluster.server) {
            Ok(host) if hosts.iter().any(|known| known.text == host.text) => continue,
            Ok(host) => hosts.push(host),
            Err(error) => {
                notes.push(format!("{error}; hallpass hands it no token"));
                refused = Some(error);
                continue;
            }
        }
        if cluster.insecure {
            notes.push(format!(
                "cluster {name} has insecure-skip-tls-verify, so hallpass hands it no token: \
                 give it its certificate-authority"
            ));
        }
        if cluster.text("proxy-url").is_some() {
            notes.push(format!(
                "cluster {name} has a proxy-url: hallpass goes to the provider through it only \
                 where the provider says so in config.toml"
            ));
        }
    }
    match (hosts.is_empty(), refused) {
        (true, Some(error)) => Err(error),
        (true, None) => {
            notes.push(format!(
                "no context uses the user {}: nothing says which server may have the token",
                printable(user)
            ));
            Ok(hosts)
        }
        (false, _) => Ok(hosts),
    }
}

/// What signs the user in, and what has to be written for it.
struct Plan {
    /// The provider's name.
    name: String,
    opener: Opener,
    /// More keys of a provider that is made here.
    keys: Vec<(&'static str, String)>,
    token: Option<TokenKind>,
    flow: Option<Flow>,
    env: Vec<(&'static str, String)>,
    secret: Option<(PathBuf, Secret<String>)>,
    authorities: Option<(PathBuf, Vec<u8>)>,
    notes: Vec<String>,
    files_are_there: bool,
    /// An earlier block that makes a provider which another block names.
    again: Option<String>,
}

impl Plan {
    fn of(name: String, opener: Opener) -> Self {
        Self {
            name,
            opener,
            keys: Vec::new(),
            token: None,
            flow: None,
            env: Vec::new(),
            secret: None,
            authorities: None,
            notes: Vec::new(),
            files_are_there: false,
            again: None,
        }
    }

    fn has_files(&self) -> bool {
        !self.files_are_there && (self.secret.is_some() || self.authorities.is_some())
    }

    fn show_files(&self, text: &mut Shown) {
        if !self.has_files() {
            return;
        }
        if let Some((path, _)) = &self.secret {
            text.line(&format!(
                "the client secret goes into {}, which only you can read (0600)",
                shown(path)
            ));
        }
        if let Some((path, _)) = &self.authorities {
            text.line(&format!(
                "the provider's authorities go into {}",
                shown(path)
            ));
        }
    }

    fn write_files(&self) -> Result<(), Error> {
        if let Some((path, secret)) = &self.secret {
            let written = file::write_secret(path, secret);
            written.map_err(|cause| record::unwritable(path, cause))?;
        }
        if let Some((path, certificates)) = &self.authorities {
            let written = file::replace(path, certificates);
            written.map_err(|cause| record::unwritable(path, cause))?;
        }
        Ok(())
    }
}

fn plan(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    config: &Config,
    file: &UserFile,
    target: &KubeconfigFile,
    hosts: &[Host],
) -> Result<Plan, Error> {
    if args.from_kubelogin {
        return converted(env, flags, args, config, file, target);
    }
    let mut opener = args.opener.clone();
    if let Some(issuer) = &opener.issuer_url {
        let name = opener.provider.clone().unwrap_or_else(|| name_of(issuer));
        return Ok(Plan::of(name, opener));
    }
    if let Some(name) = opener.provider.clone() {
        return Ok(Plan::of(name, opener));
    }
    // What the configuration says of these servers, or the one provider that it has.
    let mut names: Vec<String> = Vec::new();
    for host in hosts {
        if let Some(found) = config.resource(&host.url, NAME)?
            && !names.contains(&found.provider.name)
        {
            opener.account = opener.account.or(found.account);
            names.push(found.provider.name);
        }
    }
    let name = match names.as_slice() {
        [name] => name.clone(),
        [] => match config.only_provider() {
            Ok(provider) => provider.name,
            Err(ConfigError::NoProvider { .. } | ConfigError::SeveralProviders { .. }) => {
                return Err(Error::Usage(format!(
                    "which provider signs in {}? add {ADVICE}",
                    printable(target.user())
                )));
            }
            Err(error) => return Err(error.into()),
        },
        [_, _, ..] => {
            return Err(Error::Usage(format!(
                "the clusters of {} have several providers ({}): add `--provider NAME`",
                printable(target.user()),
                names.join(", ")
            )));
        }
    };
    opener.provider = Some(name.clone());
    Ok(Plan::of(name, opener))
}

/// A provider out of what kubelogin was told: one that is configured like that already, else a new
/// one.
fn converted(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    config: &Config,
    file: &UserFile,
    target: &KubeconfigFile,
) -> Result<Plan, Error> {
    let refused = |why: kubelogin::Refused| KubectlError::NotConverted {
        user: printable(target.user()),
        why: why.to_string(),
        again: command(target.user()),
    };
    let run = target.before().and_then(kubeconfig::exec);
    let (program, words) = run.ok_or_else(|| refused(kubelogin::Refused::NotKubelogin))?;
    let converted = kubelogin::converted(program, &words).map_err(refused)?;
    let wanted = args.opener.provider.as_deref();
    let first = wanted.map_or_else(|| name_of(&converted.issuer), str::to_owned);
    let mut number = 1;
    loop {
        let name = match number {
            1 => first.clone(),
            _ => format!("{first}-{number}"),
        };
        let made = made_of(env, &converted, &name, args, file)?;
        if !config.providers().any(|known| known == name) {
            return Ok(made);
        }
        if is_same(env, flags, config.provider(&name)?, file, &made)? {
            let opener = Opener {
                provider: Some(name),
                account: args.opener.account.clone(),
                ..Opener::default()
            };
            return Ok(Plan {
                opener,
                keys: Vec::new(),
                secret: None,
                authorities: None,
                ..made
            });
        }
        if wanted.is_some() {
            return Err(Error::Usage(format!(
                "the provider {name} is configured otherwise than this kubelogin: name another \
                 one with `--provider NAME`"
            )));
        }
        number += 1;
    }
}

/// What would be written for a provider of this name.
fn made_of(
    env: &Env,
    converted: &Converted,
    name: &str,
    args: &Arguments,
    file: &UserFile,
) -> Result<Plan, Error> {
    let folder = file.folder();
    let secret = converted.client_secret.clone();
    let secret = secret.map(|secret| (folder.join(format!("{name}.client-secret")), secret));
    let home = crate::config::home(env).ok();
    let paths = converted.ca_files.iter();
    let paths: Vec<PathBuf> = paths
        .map(|path| kubelogin::expanded(path, home.as_deref()))
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .collect();
    let mut authorities = None;
    let ca_file = match (paths.as_slice(), converted.ca_certificates.as_slice()) {
        ([], []) => None,
        ([path], []) => Some(path.clone()),
        (paths, data) => {
            let path = folder.join(format!("{name}.ca.pem"));
            authorities = Some((path.clone(), bundle(paths, data)?));
            Some(path)
        }
    };
    let mut keys = Vec::new();
    if let Some(uri) = &converted.redirect_uri {
        keys.push(("redirect_uri", toml_text(uri)));
    }
    if converted.pkce {
        keys.push(("pkce", toml_text("S256")));
    }
    if let Some(path) = &ca_file {
        keys.push(("ca_file", toml_text(&path.to_string_lossy())));
    }
    if let Some(audience) = &converted.audience {
        keys.push(("audience", toml_text(audience)));
    }
    if !converted.resources.is_empty() {
        let all: Vec<_> = converted
            .resources
            .iter()
            .map(|one| toml_text(one))
            .collect();
        keys.push(("resources", format!("[{}]", all.join(", "))));
    }
    if !converted.extra_params.is_empty() {
        let pairs = converted.extra_params.iter();
        let pairs: Vec<_> = pairs
            .map(|(key, value)| format!("{} = {}", toml_text(key), toml_text(value)))
            .collect();
        keys.push(("extra_params", format!("{{ {} }}", pairs.join(", "))));
    }
    let opener = Opener {
        provider: Some(name.to_owned()),
        issuer_url: Some(converted.issuer.clone()),
        client_id: Some(converted.client_id.clone()),
        client_secret_file: secret.as_ref().map(|(path, _)| path.clone()),
        scopes: converted.scopes.clone(),
        account: args.opener.account.clone(),
    };
    let mut notes = converted.notes.clone();
    if !converted
        .scopes
        .iter()
        .any(|scope| scope == "offline_access")
    {
        notes.push(
            "this kubelogin does not ask for `offline_access`: where the provider wants it, add it \
             to `scopes` in config.toml, and the session is refreshed without you"
                .to_owned(),
        );
    }
    Ok(Plan {
        keys,
        token: (converted.token == TokenKind::Access).then_some(TokenKind::Access),
        flow: converted.flow,
        env: converted.env.clone(),
        files_are_there: are_there(secret.as_ref(), authorities.as_ref())?,
        secret,
        authorities,
        notes,
        ..Plan::of(name.to_owned(), opener)
    })
}

/// Whether an earlier run has written these files. One that holds something else is not ours.
fn are_there(
    secret: Option<&(PathBuf, Secret<String>)>,
    authorities: Option<&(PathBuf, Vec<u8>)>,
) -> Result<bool, Error> {
    let mut all = true;
    if let Some((path, secret)) = secret {
        let provider = Provider {
            client_secret_file: Some(path.clone()),
            ..Provider::default()
        };
        match provider.client_secret() {
            Ok(Some(found)) if found == *secret => (),
            _ if !path.exists() => all = false,
            Ok(_) | Err(_) => return Err(in_the_way(path)),
        }
    }
    if let Some((path, certificates)) = authorities {
        match files::read(path, files::LARGEST) {
            Ok(found) if found == *certificates => (),
            _ if !path.exists() => all = false,
            Ok(_) | Err(_) => return Err(in_the_way(path)),
        }
    }
    Ok(all)
}

fn in_the_way(path: &Path) -> Error {
    Error::Usage(format!(
        "{} is there already and holds something else: move it away, or name the provider \
         otherwise with `--provider NAME`",
        shown(path)
    ))
}

fn bundle(paths: &[PathBuf], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    for path in paths {
        let pem = files::read(path, files::LARGEST).map_err(|cause| {
            Error::from(ConfigError::Unreadable {
                file: shown(path),
                cause,
            })
        })?;
        all.extend_from_slice(&pem);
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    all.extend_from_slice(data);
    Ok(all)
}

/// Whether the configuration has this provider, to the last setting.
fn is_same(
    env: &Env,
    flags: &Flags,
    there: Provider,
    file: &UserFile,
    made: &Plan,
) -> Result<bool, Error> {
    let mut keys = keys_of(&made.opener);
    keys.extend(made.keys.iter().cloned());
    let tried = described(env, flags, file, &keys)?;
    let has_same_secret = match &made.secret {
        Some((_, secret)) => there.client_secret().ok().flatten().as_ref() == Some(secret),
        None => there.client_secret_file.is_none(),
    };
    let mut scopes = there.scopes.clone();
    scopes.sort();
    let mut wanted = tried.scopes.clone();
    wanted.sort();
    let comparable = Provider {
        name: tried.name.clone(),
        preset: tried.preset,
        client_secret_file: tried.client_secret_file.clone(),
        scopes: tried.scopes.clone(),
        origin: tried.origin.clone(),
        ..there
    };
    Ok(has_same_secret && scopes == wanted && comparable == tried)
}

/// The user's entry: what it had of other things, and us in place of what signed it in.
fn entry(program: &str, plan: &Plan, recorded: Option<&Recorded>, before: Option<&Value>) -> Value {
    let mut args = vec!["kubectl", "--provider", &plan.name];
    if let Some(account) = &plan.opener.account {
        args.extend(["--account", account]);
    }
    match plan.token {
        Some(TokenKind::Access) => args.extend(["--token", "access"]),
        Some(TokenKind::Id) => args.extend(["--token", "id"]),
        None => (),
    }
    match plan.flow {
        Some(Flow::Browser) => args.extend(["--flow", "browser"]),
        Some(Flow::Device) => args.extend(["--flow", "device"]),
        Some(Flow::Auto) | None => (),
    }
    args.extend(["--api-version", VERSION_OF_ALL]);
    if let Some(Recorded { id, .. }) = recorded {
        args.extend(["--entry", id]);
    }
    let variables = environment(plan, before);
    let exec = yaml::object([
        ("apiVersion", whole_version(VERSION_OF_ALL).into()),
        ("args", args.into()),
        ("command", program.into()),
        ("env", variables),
        ("installHint", INSTALL_HINT.into()),
        ("interactiveMode", "IfAvailable".into()),
        ("provideClusterInfo", true.into()),
    ]);
    let kept = before.and_then(Value::as_object);
    let kept = kept.into_iter().flatten();
    let kept = kept.filter(|(key, _)| key.starts_with("as") || *key == "extensions");
    let mut entry: Map<String, Value> = kept.map(|(k, v)| (k.clone(), v.clone())).collect();
    entry.insert("exec".to_owned(), exec);
    Value::Object(entry)
}

/// What kubectl says where the command is not found.
const INSTALL_HINT: &str = "hallpass signs you in to this cluster (install it on your PATH)";

/// The variables that the plugin had before, where it was kubelogin, and ours.
fn environment(plan: &Plan, before: Option<&Value>) -> Value {
    let runs_kubelogin = before
        .and_then(kubeconfig::exec)
        .is_some_and(|(command, args)| kubelogin::arguments(command, &args).is_some());
    let had = before.filter(|_| runs_kubelogin);
    let had = had.and_then(|user| user.get("exec")?.get("env")?.as_array());
    let mut all: Vec<Value> = had.cloned().unwrap_or_default();
    for (name, value) in &plan.env {
        all.retain(|variable| variable.get("name").and_then(Value::as_str) != Some(name));
        all.push(yaml::object([
            ("name", (*name).into()),
            ("value", value.as_str().into()),
        ]));
    }
    if all.is_empty() {
        Value::Null
    } else {
        all.into()
    }
}

/// The command as it can be typed again.
fn command(user: &str) -> String {
    format!("hallpass setup kubectl --user {}", quoted(user))
}

/// Of the block in the user's file: what it is for, and which server it opens.
fn title(user: &str, server: &str) -> String {
    format!("{} {server}", printable(&command(user)))
}

/// The title of each server's block. A user of the same name in another kubeconfig may be set up
/// for the same server, and keeps its block.
fn titles(user: &str, hosts: &[Host], kubeconfig: &Path, elsewhere: &[String]) -> Vec<String> {
    let titles = hosts.iter().map(|host| {
        let title = title(user, &host.text);
        if elsewhere.contains(&title) {
            format!("{title} in {}", shown(kubeconfig))
        } else {
            title
        }
    });
    titles.collect()
}

/// Shows what becomes of kuberc, and whether anything does.
fn show_kuberc(text: &mut Shown, kuberc: Option<&Allowed>) -> bool {
    match kuberc {
        None => false,
        Some(Allowed::Already) => {
            text.line("kuberc allows it already");
            false
        }
        Some(Allowed::Added { file, edit, .. }) => {
            text.heading(&shown(file));
            edit.new.trim().lines().for_each(|line| text.changed(line));
            true
        }
        Some(Allowed::Told { why, lines }) => {
            text.line(&format!(
                "{why}. To allow hallpass alone, this would stand there:"
            ));
            lines
                .lines()
                .for_each(|line| text.line(&format!("    {line}")));
            false
        }
    }
}

// --- taking it back ---

fn undo(
    env: &Env,
    flags: &Flags,
    args: &Arguments,
    turn: Option<&Turn>,
) -> Result<ExitCode, Error> {
    let mut file = UserFile::read(env)?;
    let folder = file.folder().to_owned();
    let mut records = Record::all(&folder)?;
    let mut begin = "hallpass setup kubectl --user ".to_owned();
    let mut elsewhere = Vec::new();
    if args.user.is_some() || args.context.is_some() {
        let user = user(&Kubeconfig::load(env)?, args)?;
        let files = kubeconfig::files(env)?;
        let (own, others): (Vec<_>, Vec<_>) = records
            .into_iter()
            .filter(|record| record.user == user)
            .partition(|record| files.contains(&record.file));
        records = own;
        elsewhere.extend(others.into_iter().flat_map(|record| record.blocks));
        begin = title(&user, "");
    }
    let titles = file.titles(&begin);
    let removed: Vec<String> = titles
        .iter()
        .filter(|title| !elsewhere.contains(title))
        .filter_map(|title| file.remove(title))
        .collect();
    still_needed::check_file(env, flags, &file)?;
    if removed.is_empty() && records.is_empty() {
        print("nothing to take back\n");
        return Ok(Exit::Answered.into());
    }
    // kubectl asks only while there is something to ask for. One after the other: several users
    // may stand in one file.
    let store = Prepared::new(env, &args.common, None)?.store;
    for record in records {
        take_back(&record, &folder, &store, args.changing)?;
    }
    let mut text = Shown::new(args.changing);
    if !removed.is_empty() {
        text.heading(&file.shown);
        removed
            .iter()
            .flat_map(|lines| lines.lines())
            .for_each(|line| text.changed(line));
    }
    print(text.text());
    if let Some(turn) = turn.filter(|_| !removed.is_empty()) {
        file.write(turn)?;
    }
    Ok(Exit::Answered.into())
}

/// Puts back what stood in a kubeconfig, and in kuberc, before a record was made.
fn take_back(
    record: &Record,
    folder: &Path,
    store: &Store,
    changing: Changing,
) -> Result<(), Error> {
    let mut text = Shown::new(changing);
    let target = KubeconfigFile::without(record)?;
    match &target {
        Some(target) => target.show(&mut text),
        None => text.line(&format!(
            "{}: the user {} no longer runs hallpass, and is left as it is",
            shown(&record.file),
            record.user
        )),
    }
    let mut kuberc = None;
    if let Some(Kuberc { file, edit }) = &record.kuberc {
        let now = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(undone) = edit.undone(&now) {
            text.heading(&shown(file));
            edit.new.trim().lines().for_each(|line| text.changed(line));
            kuberc = Some((file, undone));
        } else {
            text.line(&format!(
                "{} was changed since: take the entry for hallpass out of it by hand",
                shown(file)
            ));
        }
    }
    let made = [&record.secret_file, &record.ca_file];
    let made: Vec<&PathBuf> = made.into_iter().flatten().collect();
    for path in &made {
        let becomes = if changing.dry_run { "would be" } else { "is" };
        text.line(&format!("{} {becomes} removed", shown(path)));
    }
    print(text.text());
    if changing.dry_run {
        return Ok(());
    }
    if let Some(target) = &target {
        target.write()?;
    }
    if let Some((path, text)) = kuberc {
        let written = file::replace(path, text.as_bytes());
        written.map_err(|cause| record::unwritable(path, cause))?;
    }
    for path in made {
        record::remove(path)?;
    }
    if let Some(id) = &record.entry {
        Entry::remove(store, id)?;
    }
    record.remove(folder)
}
