//! Finds out why a registry denies access to docker, podman or another client: checks the program's
//! name, the clients' files and what hallpass would answer without a sign-in.
//!
//! <https://docs.docker.com/reference/cli/docker/login/#credential-helpers>

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::{HELPER, NAME, PROGRAM_NAME};
use crate::arguments::{Common, doctor_epilogue};
use crate::clock;
use crate::complete;
use std::collections::BTreeSet;

use time::Duration;

use super::files::{
    AUTH_CONFIG, ClientFile, bare, docker_file, keys_of, logged_in, registry, server_of, whole,
};
use super::podman::{PrecedingPassword, preceding_passwords, readable_podman_files};
use super::registry_check::{self, Login, Verdict};
use super::resolver::Resolver;
use super::setup::{is_gits_alone, is_set_up};
use crate::config::{UserFile, home};
use crate::credential::{Action, Reply, Request, Resource, StoredCredential, TokenKind, Want};
use crate::env::Env;
use crate::error::Error;
use crate::http::Http;
use crate::serving::prepared::Prepared;
use crate::serving::serve::{AfterReply, Served};
use crate::serving::stored_credentials;
use crate::session::Account;
use crate::session::exchanged::token_for;
use crate::session::record::TokenSet;
use crate::setup::host::Host;
use crate::setup::record::Records;
use crate::shell::quoted;
use crate::tools::findings::Findings;
use crate::tools::tool::Doctor;

/// Find out why a registry denies access to docker, podman or another client
///
/// It never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor docker ghcr.io --ask-server"))]
pub struct Arguments {
    /// The registries to check [default: every registry that is set up]
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub hosts: Vec<String>,
    /// Also send the credential to each registry, as docker does; an expired token is refreshed
    #[arg(long)]
    pub ask_server: bool,
    #[command(flatten)]
    pub common: Common,
}

impl Doctor for Arguments {
    fn checks(&self, env: &Env) -> Result<Findings, Error> {
        let prepared = Prepared::unattended(env, &self.common)?;
        let home = home(env)?;
        let docker = ClientFile::read(&docker_file(env, &home), Some(&home))?;
        let mut findings = Findings::default();
        let file = UserFile::read(env)?;
        let is_for_all = docker.text_at(&["credsStore"]) == Some(HELPER);
        let registries = registries(&prepared, self, &docker, &file, is_for_all)?;
        let retry = registries.retry_command(is_for_all);
        let effect = "no client can find it";
        findings.check_link(env, PROGRAM_NAME, effect, &retry)?;
        let variable = match ClientFile::of_variable(env) {
            Ok(variable) => variable,
            Err(error) => {
                findings.refused(&error.report());
                None
            }
        };
        if is_for_all {
            let file = &docker.shown;
            findings.ok(&format!("{file} names hallpass for every registry"));
        } else if registries.hosts.is_empty() {
            findings.problem("no registry is set up", &retry);
        }
        for name in &registries.not_asked_for {
            findings.note(&format!(
                "{name}: has a provider, but docker does not use hallpass for it; if it is a \
                 registry, run `hallpass setup docker {}`",
                quoted(name)
            ));
        }
        // Docker's own file is checked for each registry below.
        findings.check_set_ups(env, NAME, |path| path != docker.path);
        for registry in &registries.hosts {
            check_files(env, &home, registry, &docker, &mut findings);
            for key in variable
                .iter()
                .flat_map(|file| logged_in(file, false, &keys_of(registry)))
            {
                findings.problem(
                    &format!(
                        "{}: docker uses the password for {key} in {AUTH_CONFIG}",
                        bare(&registry.text)
                    ),
                    &format!("unset {AUTH_CONFIG}"),
                );
            }
            check_answer(&prepared, registry, &mut findings)?;
            if self.ask_server {
                ask_server(&prepared, registry, &mut findings)?;
            }
        }
        if !self.ask_server && !registries.hosts.is_empty() {
            findings.note("no registry was asked: `--ask-server` sends it the credential");
        }
        Ok(findings)
    }
}

/// The registries on the command line, else those that docker uses hallpass for or that are set up.
fn registries(
    prepared: &Prepared<'_>,
    args: &Arguments,
    docker: &ClientFile,
    file: &UserFile,
    is_for_all: bool,
) -> Result<Registries, Error> {
    let mut found = Registries::default();
    for given in &args.hosts {
        found.add(registry("HOST", given)?);
    }
    if !args.hosts.is_empty() {
        return Ok(found);
    }
    for key in docker.names_in("credHelpers") {
        if docker.text_at(&["credHelpers", &key]) == Some(HELPER)
            && let Ok(host) = registry("HOST", &key)
        {
            found.add(host);
        }
    }
    if is_for_all {
        // Credentials that can't be listed are reported for each registry.
        let (entered, _) = stored_credentials::listed(&prepared.store, NAME);
        let is_whole =
            |one: &&stored_credentials::Listed| one.path.as_deref().unwrap_or_default().is_empty();
        for one in entered.iter().filter(is_whole) {
            if let Ok(host) = registry("HOST", &one.realm) {
                found.add(host);
            }
        }
    }
    let records = Records::read(prepared.env);
    for pattern in prepared.config.patterns(NAME) {
        let Ok(host) = Host::of(pattern).and_then(whole) else {
            continue;
        };
        let is_asked_for = is_for_all && !is_gits_alone(&records, file, &host);
        if is_asked_for || is_set_up(&records, file, &host) || found.has(&host) {
            found.add(host);
        } else if !is_for_all {
            // It may be a host of git, or an API.
            found.not_asked_for.insert(bare(&host.text).to_owned());
        }
    }
    Ok(found)
}

/// The registries to check, each one once.
#[derive(Default)]
struct Registries {
    hosts: Vec<Host>,
    /// Configured hosts that may not be registries.
    not_asked_for: BTreeSet<String>,
}

impl Registries {
    fn add(&mut self, host: Host) {
        let known = self
            .hosts
            .iter_mut()
            .find(|known| bare(&known.text) == bare(&host.text));
        match known {
            Some(known) => known.usual_port = known.usual_port.or(host.usual_port),
            None => self.hosts.push(host),
        }
    }

    fn has(&self, host: &Host) -> bool {
        let name = bare(&host.text);
        self.hosts.iter().any(|known| bare(&known.text) == name)
    }

    /// The command that sets all of them up.
    fn retry_command(&self, is_for_all: bool) -> String {
        let mut line = "hallpass setup docker".to_owned();
        if is_for_all {
            line.push_str(" --default");
        } else if self.hosts.is_empty() {
            return format!("{line} HOST, or {line} --default");
        } else {
            for host in &self.hosts {
                line.push(' ');
                line.push_str(&quoted(bare(&host.text)));
            }
        }
        line
    }
}

/// Checks which helper the clients ask, and which passwords take precedence.
fn check_files(
    env: &Env,
    home: &std::path::Path,
    registry: &Host,
    docker: &ClientFile,
    findings: &mut Findings,
) {
    let keys = keys_of(registry);
    let registry = bare(&registry.text);
    let file = &docker.shown;
    let all = docker.text_at(&["credsStore"]);
    for (index, key) in keys.iter().enumerate() {
        let helper = docker.text_at(&["credHelpers", key]);
        let setup = format!("hallpass setup docker {}", quoted(registry));
        // An empty name hides the helper for all registries.
        match helper.or(all).filter(|name| !name.is_empty()) {
            Some(HELPER) if index > 0 => (),
            Some(HELPER) => {
                findings.ok(&format!("{registry}: {file} names hallpass"));
            }
            Some(other) => findings.problem(&format!("{key}: {file} names {other}"), &setup),
            None if index == 0 => {
                findings.problem(&format!("{registry}: {file} names no helper"), &setup);
            }
            None => findings.note(&format!(
                "{registry}: a client that asks for {key} does not use hallpass; to change that, run \
                 `hallpass setup docker {key}`"
            )),
        }
    }
    for PrecedingPassword { file, key } in
        preceding_passwords(&readable_podman_files(env, home), false, &keys, &[])
    {
        findings.problem(
            &format!("{registry}: podman, skopeo and buildah use the password for {key} in {file}"),
            &format!("podman logout {}", quoted(&key)),
        );
    }
}

/// Checks what hallpass would answer for the registry.
fn check_answer(
    prepared: &Prepared<'_>,
    host: &Host,
    findings: &mut Findings,
) -> Result<(), Error> {
    let (entered, trouble) = stored_credentials::listed(&prepared.store, NAME);
    if let Some(error) = trouble {
        findings.refused(&Error::from(error).report());
    }
    let registry = bare(&host.text);
    let Some(server) = server_of(host) else {
        return Ok(());
    };
    let is_entered = |one: &&stored_credentials::Listed| {
        one.realm == server.realm && one.path.as_deref().unwrap_or_default().is_empty()
    };
    let entered = entered.iter().find(is_entered);
    if let Some(one) = entered {
        let user = one.username.as_deref().unwrap_or_default();
        findings.note(&format!(
            "{registry}: hallpass answers with the password that {user} entered, until `docker \
             logout {}`",
            quoted(registry)
        ));
    }
    let mut found = None;
    for url in server.urls {
        if found.is_none() {
            let resource = prepared.config.resource(&url, NAME)?;
            found = resource.map(|found| (found, url));
        }
    }
    let Some((found, url)) = found else {
        if entered.is_none() {
            findings.note(&format!(
                "{registry}: has no provider and no stored password"
            ));
        }
        return Ok(());
    };
    let exchange = found.registry_exchange.or(found.provider.registry_exchange);
    let want = Want {
        token: match exchange {
            Some(exchange) => token_for(exchange),
            None => found.token.unwrap_or(TokenKind::Access),
        },
        fresh_for: Duration::ZERO,
        refused: None,
    };
    let is_at_hand = |account: &Account<'_>| {
        let made = exchange.map(|exchange| account.kept_exchanged(exchange, &url, Duration::ZERO));
        matches!(made, Some(Ok(Some(_))))
    };
    let server = ("registry", registry);
    let signed_in = findings.check_session(prepared, server, found, &want, is_at_hand);
    if let Some((session, who)) = signed_in {
        note_short_life(registry, &session.tokens, want.token, findings);
        findings.ok(&who);
    }
    Ok(())
}

/// Most clients take a credential only once, however long a push takes.
fn note_short_life(registry: &str, tokens: &TokenSet, kind: TokenKind, findings: &mut Findings) {
    const LONG_PUSH: Duration = Duration::minutes(30);
    let life = tokens.lifetime(kind);
    if let Some(life) = life.filter(|life| *life < LONG_PUSH) {
        findings.note(&format!(
            "{registry}: its tokens are valid for only {}; a push that takes longer fails, because \
             clients other than oras request the credential only once",
            clock::in_words(life.whole_seconds())
        ));
    }
}

/// Sends the registry the credential that a client would get.
fn ask_server(prepared: &Prepared<'_>, host: &Host, findings: &mut Findings) -> Result<(), Error> {
    let registry = bare(&host.text);
    let Some(server) = server_of(host) else {
        return Ok(());
    };
    let mut url = host.url.clone();
    for known in &server.urls {
        if prepared.config.resource(known, NAME)?.is_some() {
            url = known.clone();
        }
    }
    if server.is_hub() && url.set_host(Some(HUB_API)).is_err() {
        return Ok(());
    }
    let resource = Resource {
        protocol: String::new(),
        host: registry.to_owned(),
        path: None,
    };
    let request = Request {
        interactive: false,
        ..Request::about(Action::Get, Some(resource), Want::valid(TokenKind::Access))
    };
    let tool = Served {
        name: NAME,
        prepared,
        unattended: &prepared.config.settings,
    };
    let reply = Resolver { tool: &tool }.answer(&request, &mut AfterReply::default());
    let login = match reply {
        Ok(Reply::Credential(credential)) => Login {
            username: credential.username,
            secret: credential.token,
        },
        Ok(Reply::Stored(StoredCredential {
            username: Some(username),
            password: Some(secret),
            ..
        })) => Login { username, secret },
        // The reason is among the findings.
        Ok(_) | Err(_) => {
            findings.note(&format!(
                "{registry}: was not asked, because there is no credential"
            ));
            return Ok(());
        }
    };
    let settings = &prepared.config.settings;
    let ca_file = settings.ca_file.clone();
    let http = Http::new(
        settings.http_timeout,
        ca_file,
        prepared.env,
        prepared.terminal,
    );
    match registry_check::ask(&http, &url, &login) {
        Ok(Verdict::Accepted {
            offers_identity_token,
        }) => {
            findings.ok(&format!(
                "{registry}: accepts the credential (user name {}); whether it allows a pull or a push \
                 depends on the repository",
                login.username
            ));
            if offers_identity_token {
                findings.note(&format!(
                    "{registry}: its token server issues identity tokens, which a push can use after \
                     the access token has expired: set `registry_exchange = \"identity-token\"` in its \
                     entry in config.toml"
                ));
            }
        }
        Ok(Verdict::Open) => findings.note(&format!("{registry}: requests no credential")),
        Ok(Verdict::Rejected { by, status }) => findings.problem(
            &format!(
                "{registry}: {by} rejects the credential (user name {}, status {status})",
                login.username
            ),
            "check that the registry accepts tokens of this provider, the scopes, and `username`, \
             `token` and `registry_exchange` in config.toml",
        ),
        Ok(Verdict::Unclear(why)) => findings.note(&format!("{registry}: {why}")),
        Err(error) => findings.problem(
            &format!("{registry}: {error}"),
            "check the registry's name and your network",
        ),
    }
    Ok(())
}

/// The host that serves Docker Hub's images.
const HUB_API: &str = "registry-1.docker.io";
