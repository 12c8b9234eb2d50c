//! `hallpass setup git`: makes hallpass git's credential helper for some hosts or for all, and
//! assigns a provider to a host.
//!
//! An empty `helper` comes before hallpass's own. git passes every credential that worked to every
//! helper in its list, and the empty one removes the others, so that they can't store a token. For
//! the same reason hallpass comes last ([`super::order`]).

pub(super) mod lines;

use std::collections::BTreeSet;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::NAME;
use super::git_config::Entry;
use super::large_pushes::Advice;
use super::order::{Others, in_unicode, sections};
use super::plain_http;
use crate::arguments::{ProviderArgs, SetupArgs, epilogue};
use crate::complete;
use crate::config::{Flags, UserFile};
use crate::env::Env;
use crate::error::Error;
use crate::provider::{Config, Provider};
use crate::setup::binding::{BindingRequest, blocks_of, is_home_of, recipient, toml_text};
use crate::setup::edit::Edit;
use crate::setup::host::Host;
use crate::setup::plan::{Part, Plan, SetUp, Undo};
use crate::setup::provider_block::{ANY, blocks};
use crate::setup::record::Records;
use crate::shell::quoted;
use lines::Git;

/// Configure git to use hallpass as its credential helper
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass setup git --host github.com --client-id ID
  hallpass setup git --host git.corp.example --provider gitlab --client-id ID
  hallpass setup git --undo"))]
#[command(mut_group("provider_args", |group| group.requires("host")))]
pub struct Arguments {
    /// The git server, as HOST, HOST:PORT, or a URL with an optional path [default: every resource
    /// in the configuration]
    #[arg(long, value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub host: Option<String>,
    /// The user name that the server expects with the token
    #[arg(long, value_name = "NAME", requires = "host")]
    pub username: Option<String>,
    /// The server accepts the token only as `Authorization: Bearer`, not as a password
    #[arg(long, requires = "host")]
    pub bearer: bool,
    /// Use hallpass for every host: it stores the passwords of hosts without a provider
    #[arg(long)]
    pub default: bool,
    /// With --default, also store the passwords of this proxy or server, although plain http sends
    /// them unencrypted
    #[arg(long, value_name = "HOST", requires = "default")]
    pub plain_http: Vec<String>,
    #[command(flatten)]
    pub setup: SetupArgs,
}

/// The presets that are a git server themselves, so the host alone identifies them.
const HOSTS_OF_THEIR_OWN: &[&str] = &["github", "gitlab", "codeberg", "gitea", "bitbucket"];

/// The presets that people run their own instances of.
const FORGES: &[&str] = &["gitlab", "gitea", "forgejo"];

/// What a set-up for all hosts tells the user.
const NOT_STORED: &str = "hallpass stores the passwords of https hosts and mail servers, and the \
    passphrases of client certificates. It stores nothing for plain http hosts and proxies, unless \
    you name them with `--plain-http`";

/// The option for all hosts, which also identifies that part of the set-up.
const DEFAULT: &str = "--default";

/// How the title of each block in the user's file begins.
const TITLES: &str = "hallpass setup git ";

/// The same for a host.
const TITLE: &str = "hallpass setup git --host ";

/// What identifies the set-up of a host, or of one account there.
fn part_of(host: &str, account: Option<&str>) -> String {
    match account {
        Some(account) => format!("{host}{ACCOUNT}{}", quoted(account)),
        None => host.to_owned(),
    }
}

const ACCOUNT: &str = " --account ";

impl SetUp for Arguments {
    fn shared(&self) -> &SetupArgs {
        &self.setup
    }

    fn set_up<'a>(&'a self, env: &'a Env, flags: &Flags) -> Result<Plan<'a>, Error> {
        let mut config = Config::load(env, flags)?;
        let mut file = UserFile::read(env)?;
        let git = Git::read(env)?;
        let mut plan = Plan {
            command: command(self),
            ..Plan::default()
        };
        let mut others = Others::default();
        let mut bearer_hosts = Vec::new();
        for host in hosts(&config, self)? {
            let mut edits = Vec::new();
            let mut companions = Vec::new();
            let mut account = None;
            if let Some(given) = &self.host {
                account = self.setup.provider_args.account.as_deref();
                let wanted = binding_request(self, given, &host);
                if !has_account(&config, &file, self, &wanted) {
                    let binding = wanted.add(env, flags, &mut config, &mut file)?;
                    edits = binding.edits;
                    companions = binding.companions;
                }
            } else if let Some(bound) = config.resource(&host.url, NAME)? {
                edits = blocks_of(env, flags, &file, &host, NAME, &bound);
            }
            edits.extend(git.edits(Some(&host), &mut others));
            for companion in &companions {
                edits.extend(git.edits(Some(companion), &mut others));
            }
            plan.parts.push(Part {
                command: {
                    let typed = self.host.as_deref().unwrap_or(&host.text);
                    format!("{TITLE}{}", part_of(&quoted(typed), account))
                },
                what: part_of(&host.text, account),
                edits,
                ..Part::default()
            });
            if let Some(account) = account {
                plan.notes.push(format!(
                    "to use this account in a repository, run `git config hallpass.account {}` \
                     there, or put the name in the URL",
                    quoted(account)
                ));
            }
            if let Some(found) = config.resource(&host.url, NAME)? {
                plan.notes.push(recipient(&found.provider, &host));
                if found.provider.git_bearer {
                    bearer_hosts.push(host);
                }
            }
        }
        if self.default {
            let block = plain_http::block(env, flags, &config, &mut file, &self.plain_http)?;
            plan.parts.push(Part {
                command: plain_http::TITLE.to_owned(),
                what: DEFAULT.to_owned(),
                edits: block
                    .into_iter()
                    .chain(git.edits(None, &mut others))
                    .collect(),
                ..Part::default()
            });
            plan.notes.push(NOT_STORED.to_owned());
        }
        if plan.parts.is_empty() {
            return Err(Error::Usage(
                "no resource is configured: name a host with `hallpass setup git --host HOST`, or \
                 store every host's password with `hallpass setup git --default`"
                    .to_owned(),
            ));
        }
        let Others {
            no_longer_asked,
            still_asked,
            instead_of_ours,
        } = others;
        list(
            &mut plan.notes,
            "git no longer asks these helpers for the hosts:",
            &no_longer_asked,
        );
        list(
            &mut plan.warnings,
            "git also asks these helpers, and gives them every credential that worked, so they can \
             save the token (remove them for these hosts to prevent that):",
            &still_asked,
        );
        list(
            &mut plan.warnings,
            "git does not ask hallpass, because an empty helper comes after it in:",
            &instead_of_ours,
        );
        for advice in bearer_hosts.iter().filter_map(Advice::about) {
            plan.warnings.push(format!("note: {}", advice.what));
            plan.warnings
                .extend(advice.fix.lines().map(|line| format!("  {line}")));
        }
        Ok(plan)
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        let file = UserFile::read(env)?;
        let git = Git::read(env)?;
        let mut parts = Vec::new();
        if let Some(given) = &self.host {
            let host = Host::parse("--host", given)?;
            parts.extend(undo_host(
                &file,
                &git,
                &host,
                self.setup.provider_args.account.as_deref(),
            ));
        }
        if self.default {
            let block = Edit::block(file.path(), plain_http::TITLE, "");
            let lines = git.ours(|entry| entry.section() == "credential");
            parts.push(Part {
                what: DEFAULT.to_owned(),
                edits: std::iter::once(block).chain(lines).collect(),
                ..Part::default()
            });
        }
        let mut undo = Undo::of(parts, || {
            // What a record doesn't list was there before that set-up: it is the user's.
            let recorded = recorded_sections(env, &file);
            let lines =
                git.ours(|entry| !recorded.iter().any(|section| section == entry.section()));
            Ok(blocks(&file, TITLES).chain(lines).collect())
        })?;
        let given = self
            .host
            .as_deref()
            .map(|given| Host::parse("--host", given));
        let given = given.transpose()?;
        let left = git.left_by(&undo.parts, &Records::read(env), |entry| {
            undo.all || sections(given.as_ref()).any(|section| section == entry.section())
        });
        list(
            &mut undo.warnings,
            "git still asks hallpass because of these lines, which the undo leaves. Remove them \
             yourself:",
            &left,
        );
        Ok(undo)
    }
}

fn list(text: &mut Vec<String>, about: &str, items: &[String]) {
    if !items.is_empty() {
        text.push(about.to_owned());
        text.extend(items.iter().map(|item| format!("  {item}")));
    }
}

/// The sections of the hosts whose set-ups have a record.
fn recorded_sections(env: &Env, file: &UserFile) -> Vec<String> {
    let records = Records::read(env);
    let whats = records.of(NAME).map(|record| &*record.what);
    let hosts = whats.flat_map(|what| {
        let block = file.block(&format!("{TITLE}{what}")).unwrap_or_default();
        let host = what.split(ACCOUNT).next().unwrap_or(what).to_owned();
        std::iter::once(host).chain(matches_in(block))
    });
    let hosts = hosts.filter_map(|host| Host::parse("match", &host).ok());
    let hosts = hosts.flat_map(|host| in_unicode(&host).into_iter().chain([host]));
    hosts.flat_map(|host| sections(Some(&host))).collect()
}

/// What to undo for a host, or for one account there: the parts, of which the last one also stops
/// git from asking hallpass unless another account is left.
fn undo_host(file: &UserFile, git: &Git, host: &Host, account: Option<&str>) -> Vec<Part> {
    let whole = format!("{TITLE}{}", host.text);
    let of_account = format!("{whole}{ACCOUNT}");
    let titles = file.titles(&whole).into_iter();
    let titles = titles.filter(|title| *title == whole || title.starts_with(&of_account));
    let mut titles: Vec<String> = titles.collect();
    let named = format!("{TITLE}{}", part_of(&host.text, account));
    let has_others = titles.iter().any(|title| *title != named);
    if account.is_some() || !titles.contains(&named) {
        titles.retain(|title| account.is_none() && *title != named);
        titles.push(named);
    }
    let mut hosts = vec![host.text.clone()];
    let mut parts = Vec::new();
    for title in titles {
        hosts.extend(matches_in(file.block(&title).unwrap_or_default()));
        parts.push(Part {
            what: title.strip_prefix(TITLE).unwrap_or_default().to_owned(),
            edits: vec![Edit::block(file.path(), &title, "")],
            ..Part::default()
        });
    }
    if let Some(last) = parts.last_mut()
        && (account.is_none() || !has_others)
    {
        let hosts: Vec<Host> = hosts
            .iter()
            .filter_map(|host| Host::parse("match", host).ok())
            .flat_map(|host| in_unicode(&host).into_iter().chain([host]))
            .collect();
        let is_theirs = |entry: &Entry| {
            let mut all = hosts.iter().flat_map(|host| sections(Some(host)));
            all.any(|section| section == entry.section())
        };
        last.edits.extend(git.ours(is_theirs));
    }
    parts
}

/// The hosts that a block assigns to a provider.
fn matches_in(block: &str) -> impl Iterator<Item = String> {
    let values = block
        .lines()
        .filter_map(|line| line.strip_prefix("match = "));
    values.filter_map(|value| serde_json::from_str(value).ok())
}

/// Whether the account is configured for the host already, and nothing else is requested.
fn has_account(
    config: &Config,
    file: &UserFile,
    args: &Arguments,
    wanted: &BindingRequest<'_>,
) -> bool {
    let ProviderArgs {
        provider,
        client_id,
        account,
        ..
    } = &args.setup.provider_args;
    let names_only_account = provider.is_none() && client_id.is_none() && account.is_some();
    names_only_account
        && wanted.resource_keys.is_empty()
        && file.block(&wanted.title).is_none()
        && config
            .accounts(&wanted.host.url, NAME)
            .contains(&account.as_deref())
}

/// The other hosts of the same git server, if the host is the provider's own.
fn companions_of(host: &Host, provider: &Provider) -> Result<Vec<Host>, Error> {
    if host.has_path || !is_home_of(provider, &host.url) {
        return Ok(Vec::new());
    }
    let companions = provider.git_companion_hosts.iter();
    companions
        .map(|companion| Host::parse("git_companion_hosts", companion))
        .collect()
}

/// The command that was run.
fn command(args: &Arguments) -> String {
    let mut line = "hallpass setup git".to_owned();
    if let Some(host) = &args.host {
        let account = args.setup.provider_args.account.as_deref();
        line = format!("{line} --host {}", part_of(&quoted(host), account));
    }
    if args.default {
        line = format!("{line} {DEFAULT}");
    }
    line
}

/// The hosts to set up: the given one, or else those in the configuration.
fn hosts(config: &Config, args: &Arguments) -> Result<Vec<Host>, Error> {
    if let Some(given) = &args.host {
        return Ok(vec![Host::parse("--host", given)?]);
    }
    let mut hosts = config
        .patterns_with_mail(NAME)
        .map(Host::of)
        .collect::<Result<Vec<_>, _>>()?;
    // git knows only the host, however many accounts it has.
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(host.text.clone()));
    Ok(hosts)
}

fn binding_request<'a>(args: &'a Arguments, given: &str, host: &'a Host) -> BindingRequest<'a> {
    let bearer = args.bearer.then(|| ("git_bearer", "true".to_owned()));
    let account = args.setup.provider_args.account.as_deref();
    let username = args.username.as_deref();
    let username = username.map(|name| ("username", toml_text(name)));
    let title = format!("{TITLE}{}", part_of(&host.text, account));
    let command = format!("{TITLE}{}", part_of(&quoted(given), account));
    BindingRequest {
        homes: HOSTS_OF_THEIR_OWN,
        instances: FORGES,
        advice: "`--provider gitlab` (or gitea, forgejo, or one of the configuration), or \
                 `--issuer-url URL --client-id ID`",
        resource_keys: username.into_iter().chain(bearer).collect(),
        companions: companions_of,
        ..BindingRequest::new(NAME, host, &args.setup.provider_args, title, command)
    }
}

/// The hosts to which only the set-ups of other tools assign a provider.
pub(crate) fn hosts_of_other_tools(env: &Env) -> Result<BTreeSet<String>, Error> {
    let file = UserFile::read(env)?;
    let (own, others): (Vec<String>, Vec<String>) = file
        .titles(ANY)
        .into_iter()
        .partition(|title| title.starts_with(TITLE));
    let hosts = |titles: Vec<String>| -> BTreeSet<String> {
        let blocks = titles.iter().filter_map(|title| file.block(title));
        let hosts = blocks.flat_map(matches_in);
        let hosts = hosts.filter_map(|host| Host::parse("match", &host).ok());
        hosts.map(|host| host.text).collect()
    };
    let own = hosts(own);
    let mut others = hosts(others);
    others.retain(|host| !own.contains(host));
    Ok(others)
}

/// Whether a host is the own one of a preset's provider, so that a set-up needs no `--provider`.
pub(crate) fn has_preset(config: &Config, host: &Host) -> bool {
    HOSTS_OF_THEIR_OWN.iter().any(|preset| {
        let provider = config.provider(preset);
        provider.is_ok_and(|provider| is_home_of(&provider, &host.url))
    })
}
