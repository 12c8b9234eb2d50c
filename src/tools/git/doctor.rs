//! `hallpass doctor git`: finds out why a git server denies access.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::arguments::NAME;
use super::setup;
use crate::arguments::{Asking, Common, doctor_epilogue};
use crate::complete;
use crate::config::Interactive;
use crate::env::Env;
use crate::error::Error;
use crate::serving::prepared::Prepared;
use crate::setup::host::Host;
use crate::shell::quoted;
use crate::tools::tool::Findings;

/// Find out why a git server denies access
///
/// It refreshes nothing and never starts a sign-in.
#[derive(Debug, Args)]
#[command(after_help = doctor_epilogue("  hallpass doctor git github.com"))]
pub struct Arguments {
    /// The git servers to check [default: every git server in the configuration]
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(env: &Env, args: &Arguments) -> Result<ExitCode, Error> {
    let asking = Asking {
        interactive: Some(Interactive::Never),
        ..Asking::default()
    };
    let prepared = Prepared::new(env, &args.common, Some(&asking))?;
    let mut findings = Findings::default();
    let given = args.hosts.iter().map(|host| Host::parse("HOST", host));
    let mut hosts = given.collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        let all = prepared.config.patterns(NAME).map(Host::of);
        hosts = all.collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        hosts.retain(|host| seen.insert(host.text.clone()));
    }
    if hosts.is_empty() {
        findings.off(
            "no git server is configured",
            "hallpass setup git --host HOST",
        );
    }
    for host in hosts {
        let name = &host.text;
        if setup::is_in_place(&host, env)? {
            findings.well(&format!("{name}: git asks hallpass"));
        } else {
            findings.off(
                &format!("{name}: git does not ask hallpass, or asks another helper after it"),
                &format!("hallpass setup git --host {}", quoted(name)),
            );
        }
        let Some(found) = prepared.config.resource(&host.url, NAME)? else {
            findings.note(&format!("{name}: no provider is configured for it"));
            continue;
        };
        let accounts = prepared.signed_in(&found.provider)?;
        let provider = &found.provider.name;
        if accounts.is_empty() {
            findings.off(
                &format!("{name}: not signed in to {provider}"),
                &format!("hallpass login {}", quoted(provider)),
            );
        } else {
            findings.well(&format!(
                "{name}: signed in to {provider} ({})",
                accounts.join(", ")
            ));
        }
    }
    Ok(findings.end())
}
