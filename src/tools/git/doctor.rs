//! `hallpass doctor git`: finds out why a git server denies access.

mod server;
mod surroundings;

use std::collections::BTreeSet;

use clap::Args;
use clap_complete::ArgValueCompleter;
use url::Position;

use super::arguments::NAME;
use super::explanation::{Explained, explained};
use super::git_config::{self, Entry};
use super::large_pushes::Advice;
use super::order::Helpers;
use super::refusals;
use super::repository::Repository;
use super::resolver::Resolver;
use super::setup::{self, lines};
use super::target::Target;
use crate::arguments::{Common, doctor_epilogue};
use crate::complete;
use crate::credential::Refusal;
use crate::env::Env;
use crate::error::Error;
use crate::provider::Realm;
use crate::serving::prepared::Prepared;
use crate::serving::serve::Served;
use crate::serving::target::login_of;
use crate::setup::host::Host;
use crate::shell::quoted;
use crate::store::Versioned;
use crate::tools::findings::Findings;
use crate::tools::tool::Doctor;
use server::Server;
use surroundings::Surroundings;

/// Find out why a git server denies access
///
/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor git github.com\n  hallpass doctor git https://work@git.corp.example/team/app.git"))]
pub struct Arguments {
    /// The git servers to check, as HOST or URL [default: every git server in the configuration, and every host for which git asks hallpass]
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

impl Doctor for Arguments {
    fn checks(&self, env: &Env) -> Result<Findings, Error> {
        let prepared = Prepared::unattended(env, &self.common)?;
        let mut findings = Findings::default();
        let given = self.hosts.iter().map(|given| Server::parse(given));
        let mut servers = given.collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            let mut seen = BTreeSet::new();
            let in_git = lines::hosts_in_git(env)?;
            // A registry's entry is for every tool, but a registry is no git server.
            let of_others = setup::hosts_of_other_tools(env)?;
            let configured = prepared.config.patterns_with_mail(NAME).map(Host::of);
            let configured = configured.collect::<Result<Vec<_>, _>>()?.into_iter();
            let configured = configured.filter(|host| !of_others.contains(&host.text));
            for host in configured.chain(in_git) {
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
        surroundings::check_version(&mut findings);
        surroundings::check_files(env, &mut findings)?;
        let surroundings = Surroundings::read(env)?;
        surroundings.check_urls(&mut findings);
        for server in servers {
            check_server(env, &prepared, &server, &surroundings, &mut findings)?;
        }
        Ok(findings)
    }
}

fn check_server(
    env: &Env,
    prepared: &Prepared<'_>,
    server: &Server,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Result<(), Error> {
    let host = &server.host;
    let site = Host::parse("HOST", &host.url[..Position::BeforePath])?;
    let host = if lines::is_in_place(host, env)? {
        host
    } else {
        &site
    };
    let name = &host.text;
    if let Some(plain) = &server.without_password {
        findings.problem(
            &format!("{name}: the URL contains a password or token, which git stores unencrypted"),
            &format!("use this URL instead: {plain}"),
        );
    }
    let found = prepared.config.resource(&server.host.url, NAME)?;
    let mut set_up = format!("hallpass setup git --host {}", quoted(name));
    if found.is_none() && !setup::has_preset(&prepared.config, host) {
        set_up.push_str(" --provider NAME");
    }
    let helpers = check_helpers(env, host, &set_up, findings)?;
    if is_mail(host) {
        check_mail(host, findings)?;
    } else {
        surroundings.check_host(host, findings);
        if host.url.port().is_some() || host.has_path || helpers.has_slash {
            findings.note(&format!(
                "{name}: cargo and other programs that use libgit2 ignore sections with a port, a \
                 path or a trailing slash; for cargo, run `git config --global net.git-fetch-with-cli true`"
            ));
        }
    }
    let Some(found) = found else {
        // With --default, hallpass stores the passwords of all other hosts.
        if lines::hosts_in_git(env)?
            .iter()
            .any(|own| own.text == *name)
        {
            findings.problem(
                &format!("{name}: git asks hallpass, but no provider is configured for it"),
                &format!(
                    "{set_up}\nor, to stop git from asking hallpass: hallpass setup git --host {} --undo",
                    quoted(name)
                ),
            );
        } else {
            findings.note(&format!("{name}: no provider is configured for it"));
        }
        return Ok(());
    };
    if found.provider.git_bearer && !is_mail(host) {
        match Advice::about(host) {
            Some(advice) if advice.is_raised => {
                findings.note(&advice.what);
                findings.detail(&advice.fix);
            }
            Some(advice) => findings.problem(&advice.what, &advice.fix),
            None => (),
        }
    }
    let accounts = prepared.signed_in(&found.provider)?;
    if !accounts.is_empty() {
        findings.ok(&format!(
            "{name}: signed in to {} ({})",
            found.provider.name,
            accounts.join(", ")
        ));
    }
    check_account(env, prepared, server, findings);
    Ok(())
}

/// Checks which helpers git asks, in their order.
fn check_helpers(
    env: &Env,
    host: &Host,
    set_up: &str,
    findings: &mut Findings,
) -> Result<Helpers, Error> {
    let name = &host.text;
    let helpers = lines::helpers(host, env)?;
    match (helpers.hallpass, &helpers.missing) {
        (Some(_), Some(path)) => findings.problem(
            &format!(
                "{name}: git asks hallpass at {}, where it no longer is",
                path.display()
            ),
            set_up,
        ),
        (Some(_), None) => findings.ok(&format!("{name}: git asks hallpass")),
        (None, _) => findings.problem(&format!("{name}: git does not ask hallpass"), set_up),
    }
    let is_in_place = lines::is_in_place(host, env)?;
    for (number, helper) in helpers.asked.iter().enumerate() {
        let line = format!("{name}: helper {}: {helper}", number + 1);
        match helpers.hallpass {
            Some(ours) if number < ours => {
                findings.note(&format!("{line}; if it answers, git does not ask hallpass"));
            }
            Some(ours) if number > ours => {
                let fix = if is_in_place {
                    "remove this helper, or set it for other hosts only"
                } else {
                    set_up
                };
                let what = "git gives it every token that worked, and it may save them";
                findings.problem(&format!("{line}; {what}"), fix);
            }
            Some(_) | None => findings.note(&line),
        }
    }
    for helper in &helpers.removed {
        findings.note(&format!(
            "{name}: not asked, because an empty helper comes after it: {helper}"
        ));
    }
    Ok(helpers)
}

fn is_mail(host: &Host) -> bool {
    Realm::of(&host.url).is_some_and(|realm| realm.is_mail())
}

/// Checks that git sends the token, and only over TLS.
fn check_mail(host: &Host, findings: &mut Findings) -> Result<(), Error> {
    let name = &host.text;
    if let Ok(target) = Target::of_url(&host.url)
        && !target.is_protected()
    {
        findings.refused(&refusals::no_tls(&target));
    }
    let (program, key, pattern) = if host.url.scheme().starts_with("smtp") {
        (
            "send-email",
            "sendemail.smtpAuth",
            r"^sendemail\.(.+\.)?smtpauth$",
        )
    } else {
        ("imap-send", "imap.authMethod", r"^imap\.authmethod$")
    };
    let methods = git_config::everywhere(pattern)?;
    let is_bearer = |entry: &Entry| {
        ["XOAUTH2", "OAUTHBEARER"]
            .iter()
            .any(|word| entry.value.contains(word))
    };
    if !methods.iter().any(is_bearer) {
        findings.problem(
            &format!("{name}: git {program} does not send a token, but a password"),
            &format!("git config --global {key} XOAUTH2"),
        );
    }
    Ok(())
}

/// Checks which account answers, and its session.
fn check_account(env: &Env, prepared: &Prepared<'_>, server: &Server, findings: &mut Findings) {
    let name = &server.host.url[..Position::BeforePath];
    let repository = Repository::around_here(env);
    let tool = Served {
        name: NAME,
        prepared,
        unattended: &prepared.config.settings,
    };
    let resolver = Resolver {
        tool: &tool,
        repository: &repository,
    };
    let configured = git_config::value_for("credential.username", &server.host.url);
    let username = match (&server.username, &configured) {
        (Some(name), _) => Some((name.as_str(), "chosen by the user name in the URL")),
        (None, Some(name)) => Some((name.as_str(), "chosen by credential.username")),
        (None, None) => None,
    };
    let explained = match explained(&resolver, &server.host.url, username) {
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
                "{name}: not signed in to {provider} (account {account}, {why})",
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
