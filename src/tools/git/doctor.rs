//! `hallpass doctor git`: finds out why a git server denies access.

use std::collections::BTreeSet;

use clap::Args;
use clap_complete::ArgValueCompleter;
use url::Position;

use super::arguments::NAME;
use super::explanation::{Explained, explained};
use super::names::may_be_token;
use super::repository::Repository;
use super::resolver::Resolver;
use super::{git_config, large_pushes, setup};
use crate::arguments::{Asking, Common, doctor_epilogue};
use crate::complete;
use crate::config::Interactive;
use crate::credential::Refusal;
use crate::env::Env;
use crate::error::Error;
use crate::serving::prepared::Prepared;
use crate::serving::serve::Served;
use crate::serving::target::login_of;
use crate::setup::host::Host;
use crate::shell::quoted;
use crate::store::Versioned;
use crate::tools::tool::Findings;

/// Find out why a git server denies access
///
/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor git github.com\n  hallpass doctor git https://work@git.corp.example/team/app.git"))]
pub struct Arguments {
    /// The git servers to check, as HOST or URL [default: every git server in the configuration]
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<Findings, Error> {
    let asking = Asking {
        interactive: Some(Interactive::Never),
        ..Asking::default()
    };
    let prepared = Prepared::new(env, &args.common, Some(&asking))?;
    let mut findings = Findings::default();
    let given = args.hosts.iter().map(|given| Server::parse(given));
    let mut servers = given.collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        let mut seen = BTreeSet::new();
        for pattern in prepared.config.patterns_with_mail(NAME) {
            let host = Host::of(pattern)?;
            if seen.insert(host.text.clone()) {
                servers.push(Server::of(host));
            }
        }
    }
    if servers.is_empty() {
        findings.problem(
            "no git server is configured",
            "hallpass setup git --host HOST",
        );
    }
    check_remotes(&mut findings);
    for server in servers {
        check_server(env, &prepared, &server, &mut findings)?;
    }
    Ok(findings)
}

/// A git server, and what its URL says beside that.
struct Server {
    host: Host,
    username: Option<String>,
    has_password: bool,
}

impl Server {
    fn of(host: Host) -> Self {
        Self {
            host,
            username: None,
            has_password: false,
        }
    }

    /// Parses `HOST`, `HOST:PORT` or a URL, which may name a user.
    fn parse(given: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = given.split_once("://") else {
            return Host::parse("HOST", given).map(Self::of);
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let decoded = |text: &str| text.replace("%40", "@");
        let name = user.map(|user| user.split(':').next().unwrap_or_default());
        Ok(Self {
            host: Host::parse("HOST", &format!("{scheme}://{authority}{path}"))?,
            username: name.filter(|name| !name.is_empty()).map(decoded),
            has_password: user.is_some_and(|user| user.contains(':')),
        })
    }
}

fn check_server(
    env: &Env,
    prepared: &Prepared<'_>,
    server: &Server,
    findings: &mut Findings,
) -> Result<(), Error> {
    let Server {
        host,
        username,
        has_password,
    } = server;
    let site = Host::parse("HOST", &host.url[..Position::BeforePath])?;
    let host = if setup::is_in_place(host, env)? {
        host
    } else {
        &site
    };
    let name = &host.text;
    if *has_password || username.as_deref().is_some_and(may_be_token) {
        findings.problem(
            &format!("{name}: the URL contains a password or token, which git stores unencrypted"),
            &format!("git remote set-url origin {}", quoted(name)),
        );
    }
    let helpers = setup::helpers(host, env)?;
    if setup::is_in_place(host, env)? || helpers.is_hallpass_last {
        findings.ok(&format!("{name}: git asks hallpass"));
    } else {
        findings.problem(
            &format!("{name}: git does not ask hallpass, or asks another helper after it"),
            &format!("hallpass setup git --host {}", quoted(name)),
        );
    }
    for (number, helper) in helpers.asked.iter().enumerate() {
        findings.note(&format!("{name}: helper {}: {helper}", number + 1));
    }
    for helper in &helpers.removed {
        findings.note(&format!(
            "{name}: not asked, because an empty helper comes after it: {helper}"
        ));
    }
    if host.url.port().is_some() || host.has_path {
        findings.note(&format!(
            "{name}: cargo and other programs that use libgit2 ignore settings for a host with a \
             port or a path; for cargo, run `git config --global net.git-fetch-with-cli true`"
        ));
    }
    let Some(found) = prepared.config.resource(&server.host.url, NAME)? else {
        findings.note(&format!("{name}: no provider is configured for it"));
        return Ok(());
    };
    if found.provider.git_bearer {
        for line in large_pushes::advice(std::slice::from_ref(host)) {
            findings.note(&line);
        }
    }
    let provider = &found.provider.name;
    let accounts = prepared.signed_in(&found.provider)?;
    if accounts.is_empty() {
        findings.problem(
            &format!("{name}: not signed in to {provider}"),
            &format!("hallpass login {}", quoted(provider)),
        );
        return Ok(());
    }
    findings.ok(&format!(
        "{name}: signed in to {provider} ({})",
        accounts.join(", ")
    ));
    check_account(env, prepared, server, findings);
    Ok(())
}

/// Checks which account answers, and its session.
fn check_account(env: &Env, prepared: &Prepared<'_>, server: &Server, findings: &mut Findings) {
    let name = &server.host.url[..Position::BeforePath];
    let repository = Repository::new(env);
    let tool = Served {
        name: NAME,
        prepared,
        unattended: &prepared.config.settings,
    };
    let resolver = Resolver {
        tool: &tool,
        repository: &repository,
    };
    let explained = match explained(&resolver, &server.host.url, server.username.as_deref()) {
        Ok(Some(explained)) => explained,
        Ok(None) | Err(Refusal::NotMine) => return,
        Err(Refusal::NotSignedIn(report) | Refusal::Declined(report) | Refusal::Failed(report)) => {
            findings.refused(&report);
            return;
        }
    };
    let Explained {
        opened,
        why,
        session,
    } = explained;
    let provider = &opened.found.provider;
    let account = &opened.account;
    let Some(Versioned {
        value: session,
        generation,
    }) = session
    else {
        findings.problem(
            &format!(
                "{name}: the account {account} of {provider} answers ({why}), and is not signed in",
                provider = provider.name
            ),
            &login_of(provider, account).this,
        );
        return;
    };
    let person = session.person.as_ref();
    let person = person.map_or_else(String::new, |person| format!(", {}", person.shown()));
    findings.ok(&format!(
        "{name}: the account {account} of {}{person} answers ({why})",
        provider.name
    ));
    let has = |scope: &&String| session.tokens.scopes.contains(scope);
    let missing: Vec<&str> = provider
        .scopes
        .iter()
        .filter(|scope| !has(scope) && *scope != "offline_access")
        .map(String::as_str)
        .collect();
    if !missing.is_empty() && !session.tokens.scopes.is_empty() {
        findings.problem(
            &format!(
                "{name}: the token lacks the scope {}, so the server may allow a fetch and refuse \
                 a push",
                missing.join(" ")
            ),
            &format!(
                "{}\nand allow everything that the provider asks for",
                login_of(provider, account).this
            ),
        );
    }
    let now = crate::clock::now(env);
    if let Some(refusal) = session.refusals.latest(now) {
        let ago = crate::clock::in_words((now - refusal.at).whole_seconds());
        let which = if refusal.generation == generation {
            "this token"
        } else {
            "an earlier token"
        };
        findings.note(&format!(
            "{name}: {} refused {which} {ago} ago",
            refusal.resource
        ));
    }
}

/// Looks for passwords in the URLs of the repository's remotes. It names the remote, not the URL.
fn check_remotes(findings: &mut Findings) {
    let Ok(remotes) = git_config::everywhere(r"^remote\..+\.(push)?url$") else {
        return;
    };
    for remote in remotes {
        let Ok(server) = Server::parse(&remote.value) else {
            continue;
        };
        if server.has_password || server.username.as_deref().is_some_and(may_be_token) {
            let remote_name = remote.section().trim_start_matches("remote.");
            findings.problem(
                &format!(
                    "the URL of the remote {remote_name} contains a password or token ({})",
                    remote.origin
                ),
                &format!(
                    "git remote set-url {} {}",
                    quoted(remote_name),
                    quoted(&server.host.text)
                ),
            );
        }
    }
}
