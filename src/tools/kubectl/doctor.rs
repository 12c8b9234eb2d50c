//! Finds out why a cluster denies access: checks the kubeconfig, the provider and the token that
//! would be sent against each other, and with `--ask-server` asks the API server.
//!
//! The API server doesn't reveal its settings, so a finding names the flag that a claim must match.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens>

mod advice;
mod api_server;
mod exec_entry;
mod identity;
mod times;
mod token;

use std::ffi::OsString;

use clap::Args;
use serde_json::Value;

use super::arguments as plugin;
use super::caller::not_for_exec_entries;
use super::cluster::checked_login;
use super::kubeconfig::{self, Kubeconfig};
use crate::arguments::{Asking, Common, doctor_epilogue, parsed};
use crate::config::Interactive;
use crate::credential;
use crate::env::Env;
use crate::error::Error;
use crate::http::Http;
use crate::provider::Config;
use crate::report::printable_url;
use crate::serving::prepared::{Prepared, flags_of};
use crate::serving::target::SelectedAccount;
use crate::session::Account;
use crate::shell::quoted;
use crate::tools::findings::Findings;
use crate::tools::tool::Doctor;
use api_server::{Target, Verdict};
use token::{Checks, named};

/// Find out why a cluster denies kubectl access (401 or 403)
///
/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor kubectl --context prod --ask-server"))]
pub(crate) struct Arguments {
    /// The context to check [default: the current context]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Also send the token to the API server, and show who you are to it
    #[arg(long)]
    pub ask_server: bool,
    #[command(flatten)]
    pub common: Common,
}

impl Doctor for Arguments {
    fn checks(&self, env: &Env) -> Result<Findings, Error> {
        // An invalid configuration is an error, not a finding.
        Config::load(env, &flags_of(&self.common, None))?;
        let kubeconfig = Kubeconfig::load(env)?;
        let name = kubeconfig.selected(env, self.context.as_deref(), "")?;
        kubeconfig.context(env, name)?;
        let mut findings = Findings::default();
        match Kubeconfig::of_context(name) {
            Ok(alone) => check_context(env, self, &alone, name, &mut findings)?,
            Err(error) => findings.refused(&error.report()),
        }
        Ok(findings)
    }
}

fn check_context(
    env: &Env,
    args: &Arguments,
    kubeconfig: &Kubeconfig,
    name: &str,
    findings: &mut Findings,
) -> Result<(), Error> {
    let context = kubeconfig.context(env, name)?;
    let setup = format!("hallpass setup kubectl --context {}", quoted(name));
    let (Some(user), Some(cluster)) = (
        kubeconfig.user(context.user),
        kubeconfig.cluster(context.cluster),
    ) else {
        let (user, cluster) = (context.user, context.cluster);
        findings.problem(
            &format!("context {name}: its user {user} or its cluster {cluster} does not exist"),
            "check it with `kubectl config view`",
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
        findings.problem(&format!("the user {} {runs}", context.user), &setup);
        return Ok(());
    };
    exec_entry::check(env, context.user, user, &setup, findings);
    for name in not_for_exec_entries(kubeconfig::variables(user)) {
        findings.problem(
            &format!("the exec entry's `env` sets {name}, which hallpass does not accept from an exec entry"),
            &format!("remove {name} from it, and set it in your shell before you start kubectl"),
        );
    }
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let exec = match parsed::<plugin::Arguments>("kubectl", &words) {
        Ok(exec) => exec,
        Err(said) => {
            let said = said.to_string();
            let first = said.lines().next().unwrap_or_default();
            findings.problem(&format!("the exec entry's arguments: {first}"), &setup);
            return Ok(());
        }
    };
    // The environment that the plugin would have.
    let env = &env.with(kubeconfig::variables(user));
    let is_told = user.pointer("/exec/provideClusterInfo") == Some(&Value::Bool(true));
    match exec_entry::described(&cluster) {
        Ok(described) => {
            let described = is_told.then_some(described);
            let target = Target {
                cluster: &cluster,
                namespace: context.namespace.unwrap_or("default"),
            };
            check_answer(
                env,
                args,
                &exec,
                target,
                described.as_ref(),
                &setup,
                findings,
            )?;
        }
        Err(why) => findings.problem(&why, "check it with `kubectl config view`"),
    }
    Ok(())
}

/// Checks what hallpass would answer, without prompting.
fn check_answer(
    env: &Env,
    args: &Arguments,
    exec: &plugin::Arguments,
    target: Target<'_>,
    described: Option<&credential::Cluster>,
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
    exec_entry::check_recorded(&prepared, exec, setup, findings)?;
    let chosen = match checked_login(&prepared, exec, described) {
        Ok(login) => login,
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
    } = chosen.chosen;
    findings.ok(&format!(
        "hallpass answers for this cluster with {}'s {} (account {label})",
        provider.name,
        named(chosen.token),
    ));
    let this = login.this.clone();
    let account = Account::new(prepared.context(), provider, &label, login)?;
    let account = match chosen.proxy {
        Some(proxy) => account.through(proxy),
        None => account,
    };
    let checks = Checks {
        account: &account,
        token: chosen.token,
        login: &this,
        now: crate::clock::now(env),
    };
    checks.check_provider(findings);
    let Some(session) = account.served_session()? else {
        findings.problem(
            "not signed in, so there is no token to check",
            &format!("run `{this}`"),
        );
        return Ok(());
    };
    let Some(read) = checks.check_token(&session, findings) else {
        return Ok(());
    };
    let http = || {
        let settings = &prepared.config.settings;
        Http::new(settings.http_timeout, None, env, prepared.terminal)
    };
    let needs_authority = advice::needs_authority(&http(), &checks, findings);
    let verdict = match session.value.tokens.token(checks.token) {
        Some(token) if args.ask_server => {
            api_server::ask(http(), target, token, &read, &checks, findings)
        }
        Some(_) | None => {
            findings.note(
                "the API server was not asked: use `--ask-server` to send it the token, as kubectl \
                 does",
            );
            Verdict::Unknown
        }
    };
    advice::print(
        &read,
        &checks,
        needs_authority,
        target.namespace,
        verdict,
        findings,
    );
    Ok(())
}
