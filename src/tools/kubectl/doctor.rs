//! Why a cluster answers 401: the kubeconfig, the provider and the token that would be sent, held
//! against each other, and against the API server where the person allows that.
//!
//! What the API server wants stands in its own flags, which nobody can ask for: what is said here
//! names the flag beside the claim that it is compared with.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens>

use clap::Args;

use crate::arguments::{doctor_epilogue, parsed};
use std::ffi::OsString;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use url::Url;

use super::arguments::Arguments as ExecArguments;
use super::entry::Entry;
use super::kubeconfig::{self, Cluster, Kubeconfig};
use super::protocol::cluster_of;
use super::setup::kuberc::{self, FIRST_WITH_POLICY, Rule};
use super::{caller, cluster};
use crate::arguments::{Asking, Common};
use crate::config::Interactive;
use crate::credential::{self, TokenKind};
use crate::env::Env;
use crate::error::Error;
use crate::http::Http;
use crate::oauth::id_token::Unverified;
use crate::provider::Config;
use crate::provider::web_url;
use crate::report::printable_url;
use crate::serving::prepared::{Prepared, flags_of};
use crate::serving::target::SelectedAccount;
use crate::session::record::Session;
use crate::session::{Account, DEFAULT_ACCOUNT};
use crate::shell::quoted;
use crate::store::Versioned;
use crate::tools::tool::Findings;

/// How far clocks may be apart before a token is refused for it: an API server allows ten seconds,
/// and tokens are sent a minute after they were made at the latest.
const CLOCK: Duration = Duration::seconds(60);

/// What an API server takes where `--oidc-signing-algs` says nothing.
const DEFAULT_ALGORITHM: &str = "RS256";

/// The name of the extension that a plugin is handed.
const EXTENSION: &str = "client.authentication.k8s.io/exec";

/// Find out why a cluster answers kubectl with 401
///
/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor kubectl --context prod --ask-server"))]
pub struct Arguments {
    /// The context to check [default: the current context]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Also send the token to the API server, as kubectl does
    #[arg(long)]
    pub ask_server: bool,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    // What is wrong with the configuration is an error of its own.
    Config::load(env, &flags_of(&args.common, None))?;
    let kubeconfig = Kubeconfig::load(env)?;
    let name = args.context.as_deref().or(kubeconfig.current_context());
    let Some(name) = name else {
        return Err(Error::Usage(
            "the kubeconfig has no current context: add `--context NAME`".to_owned(),
        ));
    };
    kubeconfig.context(name)?;
    let mut findings = Findings::default();
    match Kubeconfig::of_context(name) {
        Ok(alone) => look_at_context(env, args, &alone, name, &mut findings)?,
        Err(error) => findings.refused(&error.report()),
    }
    Ok(findings.end())
}

fn look_at_context(
    env: &Env,
    args: &Arguments,
    kubeconfig: &Kubeconfig,
    name: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let context = kubeconfig.context(name)?;
    let setup = format!("hallpass setup kubectl --context {}", quoted(name));
    let (Some(user), Some(cluster)) = (
        kubeconfig.user(context.user),
        kubeconfig.cluster(context.cluster),
    ) else {
        let (user, cluster) = (context.user, context.cluster);
        findings.off(
            &format!("context {name}: its user {user} or its cluster {cluster} is not there"),
            "look at it with `kubectl config view`",
        );
        return Ok(());
    };
    findings.note(&format!(
        "context {name}: user {}, cluster {} at {}",
        context.user,
        context.cluster,
        printable_url(cluster.server)
    ));
    let Some(words) = kubeconfig::own_arguments(user) else {
        let runs = kubeconfig::exec(user).map_or_else(
            || "runs no plugin".to_owned(),
            |(command, _)| format!("runs {command}, not hallpass"),
        );
        findings.off(&format!("the user {} {runs}", context.user), &setup);
        return Ok(());
    };
    look_at_entry(env, user, &setup, findings);
    for name in caller::not_for_exec_entries(kubeconfig::variables(user)) {
        findings.off(
            &format!("the exec entry's env sets {name}, which an exec entry cannot choose"),
            &format!("take {name} out of it, and set it in your shell before you start kubectl"),
        );
    }
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let exec = match parsed::<ExecArguments>("kubectl", &words) {
        Ok(exec) => exec,
        Err(said) => {
            let said = said.to_string();
            let first = said.lines().next().unwrap_or_default();
            findings.off(&format!("the exec entry's arguments: {first}"), &setup);
            return Ok(());
        }
    };
    // As it would find it.
    let env = &env.with(kubeconfig::variables(user));
    let is_told = user.pointer("/exec/provideClusterInfo") == Some(&Value::Bool(true));
    match handed(&cluster) {
        Ok(handed) => {
            let handed = is_told.then_some(handed);
            look_at_answer(
                env,
                args,
                &exec,
                &cluster,
                handed.as_ref(),
                &setup,
                findings,
            )?;
        }
        Err(why) => findings.off(&why, "look at it with `kubectl config view`"),
    }
    Ok(())
}

/// What hallpass would answer, with nobody to ask.
fn look_at_answer(
    env: &Env,
    args: &Arguments,
    exec: &ExecArguments,
    cluster: &Cluster<'_>,
    handed: Option<&credential::Cluster>,
    setup: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let asking = Asking {
        flow: exec.asking.flow,
        interactive: Some(Interactive::Never),
    };
    let common = Common {
        store: args.common.store.or(exec.common.store),
        verbose: args.common.verbose,
    };
    let prepared = Prepared::new(env, &common, Some(&asking))?;
    look_at_recorded(&prepared, exec, setup, findings)?;
    let opened = match cluster::reported_login(&prepared, exec, handed) {
        Ok(opened) => opened,
        Err(report) => {
            findings.refused(&report);
            return Ok(());
        }
    };
    let SelectedAccount {
        provider,
        account: label,
        login,
        ..
    } = opened.chosen;
    findings.well(&format!(
        "hallpass answers for this cluster with {}'s {} (account {label})",
        provider.name,
        named(opened.token),
    ));
    let this = login.this.clone();
    let account = Account::new(prepared.context(), provider, &label, login)?;
    let account = match opened.proxy {
        Some(proxy) => account.through(proxy),
        None => account,
    };
    let checks = Checks {
        account: &account,
        token: opened.token,
        login: &this,
        now: crate::clock::now(env),
    };
    checks.look_at_provider(findings);
    let Some(kept) = account.served_session()? else {
        findings.off(
            "nobody is signed in, so there is no token to look at",
            &format!("run `{this}`"),
        );
        return Ok(());
    };
    if !checks.look_at_token(&kept, findings) {
        return Ok(());
    }
    if args.ask_server {
        let settings = &prepared.config.settings;
        let http = Http::new(settings.http_timeout, None, env, prepared.terminal);
        ask(http, cluster, &kept.value, &checks, findings);
    } else {
        findings.note(
            "the API server was not asked: `--ask-server` sends it the token, as kubectl does",
        );
    }
    Ok(())
}

/// What clients get that do not describe their cluster.
fn look_at_recorded(
    prepared: &Prepared<'_>,
    exec: &ExecArguments,
    setup: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let recorded = exec.entry.as_deref();
    let recorded = recorded.map(|id| Entry::read(&prepared.store, id));
    match (exec.entry.is_some(), recorded.transpose()?.flatten()) {
        (true, Some(entry)) => findings.well(&format!(
            "the exec entry is recorded for {} (provider {}, account {}): clients that do not say \
             which cluster they talk to are answered too",
            entry.server,
            entry.provider,
            entry.account.as_deref().unwrap_or(DEFAULT_ACCOUNT)
        )),
        (true, None) => findings.off(
            "the exec entry has an `--entry` that is not recorded on this machine: clients that do \
             not say which cluster they talk to get no token",
            setup,
        ),
        (false, _) => findings.note(
            "the exec entry has no `--entry`: clients that do not say which cluster they talk to \
             get no token",
        ),
    }
    if exec.api_version.is_none() {
        findings.note(
            "the exec entry has no `--api-version`: clients that do not set KUBERNETES_EXEC_INFO \
             get no token",
        );
    }
    Ok(())
}

fn named(token: TokenKind) -> &'static str {
    match token {
        TokenKind::Id => "ID token",
        TokenKind::Access => "access token",
    }
}

// --- the kubeconfig ---

fn look_at_entry(env: &Env, user: &Value, setup: &str, findings: &mut Findings) {
    let text = |key: &str| {
        user.pointer(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let version = text("/exec/apiVersion");
    if ![
        "client.authentication.k8s.io/v1",
        "client.authentication.k8s.io/v1beta1",
    ]
    .contains(&version)
    {
        findings.off(
            &format!("the exec entry's apiVersion is {version:?}"),
            setup,
        );
    }
    if version == "client.authentication.k8s.io/v1" {
        findings.note(
            "apiVersion v1: kubectl before 1.22, lightkube and pykube-ng read only v1beta1, which \
             every client reads",
        );
    }
    if text("/exec/interactiveMode") == "Never" {
        findings.note("interactiveMode is Never: hallpass still asks on the terminal itself");
    }
    // kubectl prefers these to what a plugin says.
    let others = ["token", "tokenFile", "username", "auth-provider"];
    let others = others
        .into_iter()
        .filter(|key| !matches!(user.get(key), None | Some(Value::Null)));
    for other in others {
        findings.off(
            &format!(
                "the user has `{other}` beside its exec entry, and kubectl sends that instead"
            ),
            &format!("take it out of the kubeconfig, or run `{setup}`"),
        );
    }
    let command = text("/exec/command");
    look_at_kuberc(env, command, setup, findings);
    if is_found(env, command) {
        findings.well(&format!("the exec entry runs {command}"));
    } else {
        findings.off(
            &format!("the exec entry runs {command}, which is not there, or not on PATH"),
            setup,
        );
    }
}

/// kubectl's own rule about plugins, where this kubectl has one.
fn look_at_kuberc(env: &Env, command: &str, setup: &str, findings: &mut Findings) {
    let is_ruled = |rule: &Rule| matches!(rule, Rule::Denied(_) | Rule::Unlisted(_));
    let rule = match kuberc::rule(env, command) {
        Ok(rule) => rule,
        Err(error) => return findings.refused(&error.report()),
    };
    if is_ruled(&rule) && kuberc::client_minor().is_some_and(|minor| minor < FIRST_WITH_POLICY) {
        return findings.note("this kubectl does not know the plugin policy that kuberc has");
    }
    match rule {
        Rule::Denied(why) => findings.off(
            &why,
            &format!("to have it run, set credentialPluginPolicy: Allowlist there, then `{setup} --kuberc`"),
        ),
        Rule::Unlisted(_) => findings.off(
            &format!("kuberc's allow-list does not have {command}, so kubectl does not run it"),
            &format!("{setup} --kuberc"),
        ),
        Rule::Listed(_) => findings.well("kuberc's allow-list has it"),
        Rule::Unrestricted(_) | Rule::Unknown(_) => (),
    }
}

fn is_found(env: &Env, command: &str) -> bool {
    if command.contains(['/', '\\']) {
        return std::path::Path::new(command).is_file();
    }
    let name = format!("{command}{}", std::env::consts::EXE_SUFFIX);
    let folders = env.var_os("PATH").map(std::env::split_paths);
    let mut folders = folders.into_iter().flatten();
    folders.any(|folder| folder.join(&name).is_file())
}

/// What kubectl hands the plugin of a cluster.
fn handed(cluster: &Cluster<'_>) -> Result<credential::Cluster, String> {
    let mut fields = Map::new();
    fields.insert("server".to_owned(), cluster.server.into());
    fields.insert(
        "insecure-skip-tls-verify".to_owned(),
        cluster.insecure.into(),
    );
    for key in ["certificate-authority-data", "tls-server-name", "proxy-url"] {
        if let Some(value) = cluster.text(key) {
            fields.insert(key.to_owned(), value.into());
        }
    }
    if let Some(extension) = cluster.extension(EXTENSION) {
        fields.insert("config".to_owned(), extension.clone());
    }
    cluster_of(&fields).map_err(|why| format!("the cluster's entry: {why}"))
}

// --- the provider and the token ---

struct Checks<'a> {
    account: &'a Account<'a>,
    token: TokenKind,
    login: &'a str,
    now: OffsetDateTime,
}

impl Checks<'_> {
    fn look_at_provider(&self, findings: &mut Findings) {
        let provider = self.account.provider();
        let Some(issuer) = &provider.issuer else {
            findings
                .note("the provider has no issuer: an API server with --oidc-issuer-url needs one");
            return;
        };
        match self.account.metadata() {
            Ok(_) => findings.well(&format!("{issuer} describes itself under that name")),
            Err(error) => findings.refused(&Error::from(error).report()),
        }
        if !issuer.starts_with("https://") {
            findings.note("an API server takes an issuer of https:// only");
        }
    }

    /// Holds the token against everything but the API server; whether it could be sent.
    fn look_at_token(&self, kept: &Versioned<Session>, findings: &mut Findings) -> bool {
        let session = &kept.value;
        let kind = named(self.token);
        let Some(token) = session.tokens.token(self.token) else {
            findings.off(
                &format!("the provider has sent no {kind}"),
                &format!(
                    "ask for the scope `openid` (`scopes` in config.toml), then run `{}`",
                    self.login
                ),
            );
            return false;
        };
        if session.refusals.wants_refresh(kept.generation, self.now) {
            findings.note("a server refused this token: the next call refreshes it");
        }
        let Some(read) = Unverified::read(token) else {
            let hint = match self.token {
                TokenKind::Access => {
                    "take `--token access` out of the exec entry, if the API \
                     server takes ID tokens"
                }
                TokenKind::Id => "tell those who run the provider",
            };
            findings.off(
                &format!("the {kind} is not a JWT, and an API server takes no other"),
                hint,
            );
            return false;
        };
        self.look_at_algorithm(&read, session, findings);
        self.look_at_issuer(&read, findings);
        self.look_at_audience(&read, findings);
        self.look_at_times(&read, session, findings);
        look_at_person(&read, findings);
        true
    }

    fn look_at_algorithm(&self, read: &Unverified, session: &Session, findings: &mut Findings) {
        let algorithm = &read.algorithm;
        if self.token == TokenKind::Id
            && let Err(error) = self.account.checked_again(session)
        {
            findings.refused(&Error::from(error).report());
            return;
        }
        if algorithm == DEFAULT_ALGORITHM {
            findings.well("signed with RS256, by a key that the provider publishes");
        } else if algorithm.starts_with("HS") || algorithm == "none" {
            findings.off(
                &format!("signed with {algorithm}, which no API server takes"),
                "set the client's signing algorithm to RS256 at the provider",
            );
        } else {
            findings.off(
                &format!(
                    "signed with {algorithm}: an API server takes RS256 alone, unless its \
                     --oidc-signing-algs names {algorithm}"
                ),
                "set the client's signing algorithm to RS256 at the provider, or that flag",
            );
        }
    }

    fn look_at_issuer(&self, read: &Unverified, findings: &mut Findings) {
        let Some(found) = read.text("iss") else {
            findings.off(
                "the token names no issuer (iss)",
                "tell those who run the provider",
            );
            return;
        };
        match &self.account.provider().issuer {
            Some(issuer) if *issuer == found => findings.well(&format!(
                "issuer: {found}; the API server's --oidc-issuer-url has to be the same, to the \
                 character"
            )),
            Some(issuer) => findings.off(
                &format!("issuer: the token says {found}, the configuration {issuer}"),
                "set `issuer` in config.toml to what the token says, if that is your provider",
            ),
            None => findings.note(&format!("issuer: {found}")),
        }
    }

    fn look_at_audience(&self, read: &Unverified, findings: &mut Findings) {
        let audience = read.texts("aud");
        let shown = audience.join(", ");
        let provider = self.account.provider();
        let client = provider.client_id.as_deref().unwrap_or_default();
        if audience.is_empty() {
            findings.off(
                "the token is for nobody (aud)",
                "set `audience` or `resources` in config.toml, as the API server wants it",
            );
        } else if self.token == TokenKind::Access {
            findings.note(&format!(
                "audience: {shown}; the API server's --oidc-client-id has to be one of them"
            ));
        } else if audience.iter().any(|one| one == client) {
            findings.well(&format!(
                "audience: {shown}; the API server's --oidc-client-id has to be {}",
                if audience.len() == 1 {
                    "the same"
                } else {
                    "one of them"
                }
            ));
        } else {
            findings.off(
                &format!("audience: the token is for {shown}, and the client here is {client}"),
                "correct `client_id` in config.toml",
            );
        }
    }

    fn look_at_times(&self, read: &Unverified, session: &Session, findings: &mut Findings) {
        let tokens = &session.tokens;
        let obtained_at = match self.token {
            TokenKind::Id => tokens.id_token_obtained_at.unwrap_or(tokens.obtained_at),
            TokenKind::Access => tokens.obtained_at,
        };
        if let Some(issued_at) = read.instant("iat") {
            let apart = issued_at - obtained_at;
            if apart.abs() > CLOCK {
                findings.off(
                    &format!(
                        "clock: the provider made the token at {}, and it came at {} by this \
                         machine's clock, which is {} {}",
                        moment(issued_at),
                        moment(obtained_at),
                        length(apart.abs()),
                        if apart.is_positive() {
                            "behind"
                        } else {
                            "ahead"
                        }
                    ),
                    "compare `date` with a clock that you trust, and set this machine's",
                );
            } else {
                findings.well("clock: the provider's and this machine's agree");
            }
        }
        match read.instant("exp") {
            None => findings.off(
                "the token has no expiry (exp)",
                "tell those who run the provider",
            ),
            Some(expires_at) if expires_at > self.now => findings.well(&format!(
                "expires in {}, at {}",
                length(expires_at - self.now),
                moment(expires_at)
            )),
            Some(expires_at) if tokens.usable_refresh_token().is_some() => findings.note(&format!(
                "expired {} ago, at {}: the next call refreshes it",
                length(self.now - expires_at),
                moment(expires_at)
            )),
            Some(expires_at) => findings.off(
                &format!(
                    "expired {} ago, at {}, and there is no refresh token",
                    length(self.now - expires_at),
                    moment(expires_at)
                ),
                &format!("run `{}`", self.login),
            ),
        }
    }
}

fn look_at_person(read: &Unverified, findings: &mut Findings) {
    let shown = |claim: &str| {
        let text = read.text(claim)?;
        Some(format!("{claim} {text}"))
    };
    let who = ["sub", "email", "preferred_username", "name"];
    let who: Vec<String> = who.into_iter().filter_map(shown).collect();
    findings.note(&format!(
        "who: {}; the API server's --oidc-username-claim is sub unless it is set",
        who.join(", ")
    ));
    if read.claims().get("email_verified") == Some(&Value::Bool(false)) {
        findings.note(
            "email_verified is false: with --oidc-username-claim=email the API server refuses \
             the token",
        );
    }
    let groups = read.texts("groups");
    if read
        .claims()
        .get("_claim_names")
        .is_some_and(|names| names.get("groups").is_some())
    {
        findings.off(
            "groups: there are so many that the token only says where to ask for them",
            "let the provider send only the groups that are assigned to the application",
        );
    } else if groups.is_empty() {
        findings.note(
            "groups: none in the token, so no binding to a group applies; a scope (often \
             `groups`) or a setting at the provider brings them",
        );
    } else {
        findings.well(&format!("groups: {}", groups.join(", ")));
    }
}

fn moment(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn length(duration: Duration) -> String {
    crate::clock::in_words(duration.whole_seconds())
}

// --- the API server ---

/// Sends the token as kubectl would, to a page that everybody may read who is known.
fn ask(
    http: Http,
    cluster: &Cluster<'_>,
    session: &Session,
    checks: &Checks<'_>,
    findings: &mut Findings,
) {
    let refused = |findings: &mut Findings, why: &str| {
        findings.note(&format!("the API server was not asked: {why}"));
    };
    let Some(server) = web_url::parse(cluster.server) else {
        return refused(findings, "its server is no URL");
    };
    if cluster.insecure {
        return refused(findings, "insecure-skip-tls-verify, so it might be anybody");
    }
    if cluster.text("tls-server-name").is_some() {
        return refused(findings, "tls-server-name, which only kubectl knows to use");
    }
    let authority = match authority(cluster) {
        Ok(authority) => authority,
        Err(why) => {
            return findings.off(&why, "look at it with `kubectl config view --raw`");
        }
    };
    let http = match authority {
        Some(pem) => http.trusting(pem),
        None => http,
    };
    let http = match cluster.text("proxy-url").map(Url::parse) {
        Some(Ok(proxy)) => http.through(proxy),
        Some(Err(_)) => return refused(findings, "its proxy-url is no URL"),
        None => http,
    };
    let Some(token) = session.tokens.token(checks.token) else {
        return;
    };
    let Ok(url) = Url::parse(&format!("{}/api", server.as_str().trim_end_matches('/'))) else {
        return refused(findings, "its server is no URL");
    };
    let response = match http.get(&url, Some(token)) {
        Ok(response) => response,
        Err(error) => {
            return findings.off(
                &format!("the API server: {error}"),
                "compare the cluster's entry with `kubectl cluster-info`",
            );
        }
    };
    if let Some(date) = response.date {
        let apart = date - checks.now;
        if apart.abs() > CLOCK {
            findings.off(
                &format!(
                    "clock: the API server's is {}, this machine's {}",
                    moment(date),
                    moment(checks.now)
                ),
                "compare `date` with a clock that you trust, and have the wrong one set",
            );
        } else {
            findings.well("clock: the API server's and this machine's agree");
        }
    }
    match response.status {
        401 => findings.off(
            "the API server answers 401: it does not take this token",
            "compare the lines above with the API server's --oidc-issuer-url, --oidc-client-id and \
             --oidc-signing-algs (or its AuthenticationConfiguration), and look for `Unable to \
             authenticate the request` in its log",
        ),
        200..=299 => findings.well("the API server takes the token"),
        403 => findings.well(
            "the API server knows the person; what is then forbidden is a matter of RBAC: \
             `kubectl auth whoami` shows the name and the groups",
        ),
        status => findings.note(&format!(
            "the API server answers {status}, which says nothing of the token"
        )),
    }
}

/// The cluster's own authority, in PEM.
fn authority(cluster: &Cluster<'_>) -> Result<Option<Vec<u8>>, String> {
    let Some(data) = cluster.text("certificate-authority-data") else {
        return Ok(None);
    };
    let pem = STANDARD.decode(data);
    pem.map(Some)
        .map_err(|_| "the cluster's certificate-authority-data is not base64".to_owned())
}
