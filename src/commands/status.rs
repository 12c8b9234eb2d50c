//! `hallpass status`: the saved sessions, whose they are, when they expire, and where the key is
//! stored. It never shows a token.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{Common, epilogue, parsed};
use std::fmt::Write as _;
use std::process::ExitCode;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::env::Env;
use crate::error::Error;
use crate::provider::Config;
use crate::report::Exit;
use crate::serving::prepared::Prepared;
use crate::session::record::Session;
use crate::shell::quoted;
use crate::store::{KEY_CACHE, KernelCache, KeyringState, Listed, Report, Versioned};
use crate::terminal::print;

/// Show sessions and where they are stored, but never a token
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass status
  hallpass status --json"))]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let args: Arguments = parsed("status", words)?;
    let prepared = Prepared::new(env, &args.common, None)?;
    let report = prepared.store.report();
    let now = crate::clock::now(env);
    let servers_with_passwords = prepared.store.stored_credentials()?.len();
    let mut sessions = Vec::new();
    let mut unreadable = Vec::new();
    for Listed { name } in prepared.store.sessions()? {
        match prepared.store.read::<Session>(&name) {
            Ok(Some(kept)) => sessions.push(kept),
            Ok(None) => (),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    sessions.sort_by(|a, b| {
        let key = |kept: &Versioned<Session>| {
            (
                kept.value.provider.clone(),
                kept.value.identity.account.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    if args.json {
        let json_of = |kept| as_json(kept, is_unused(&prepared.config, kept), now);
        let sessions: Vec<_> = sessions.iter().map(json_of).collect();
        let json = serde_json::json!({
            "store": store_json(&report), "sessions": sessions, "unreadable": unreadable,
            "servers_with_passwords": servers_with_passwords,
        });
        print(&format!("{json:#}\n"));
    } else {
        let mut text = store_text(&report);
        if sessions.is_empty() && unreadable.is_empty() {
            text.push_str("sessions: none\n");
        }
        for kept in &sessions {
            text.push_str(&as_text(kept, is_unused(&prepared.config, kept), now));
        }
        for why in &unreadable {
            let _ = writeln!(text, "a session that cannot be decrypted: {why}");
        }
        if servers_with_passwords > 0 {
            let _ = writeln!(
                text,
                "passwords stored by tools: for {servers_with_passwords} server(s)"
            );
        }
        print(&text);
    }
    Ok(Exit::Answered.into())
}

/// Whether no configured provider uses this session's registration. A session of an issuer that was
/// named on the command line doesn't count as unused.
fn is_unused(config: &Config, kept: &Versioned<Session>) -> bool {
    let Session {
        identity, provider, ..
    } = &kept.value;
    let is_ad_hoc = provider.contains("://");
    let is_at = |name: &str| {
        config
            .provider(name)
            .is_ok_and(|provider| identity.is_at(&provider))
    };
    // Another provider may have the same registration.
    !is_ad_hoc && !is_at(provider) && !config.providers().any(is_at)
}

fn store_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "setting": report.setting,
        "place": report.place.as_ref().ok(),
        "error": report.place.as_ref().err().map(ToString::to_string),
        "folder": report.folder,
        "kernel_cache": kernel_cache(report.kernel_cache),
        "os_keyring": keyring(report),
    })
}

fn store_text(report: &Report) -> String {
    let place = match &report.place {
        Ok(place) => place.to_string(),
        Err(error) => format!("unavailable: {error}"),
    };
    format!(
        "store: {place} (store = \"{}\")\n  folder: {}\n  OS keyring: {}\n  {KEY_CACHE}: {}\n",
        report.setting,
        report.folder.display(),
        keyring(report),
        kernel_cache(report.kernel_cache),
    )
}

fn keyring(report: &Report) -> String {
    match &report.keyring {
        Ok(KeyringState::Open) => "open".to_owned(),
        Ok(KeyringState::Locked) => "locked".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn kernel_cache(cache: KernelCache) -> String {
    match cache {
        KernelCache::Off => "disabled".to_owned(),
        KernelCache::Holds => "holds the unlocked key".to_owned(),
        KernelCache::Empty => "holds no key".to_owned(),
        KernelCache::Unavailable(error) => format!("unavailable: {error}"),
    }
}

fn as_json(kept: &Versioned<Session>, unused: bool, now: OffsetDateTime) -> serde_json::Value {
    let Session {
        identity,
        provider,
        person,
        tokens,
        ..
    } = &kept.value;
    serde_json::json!({
        "provider": provider,
        "issuer": identity.issuer,
        "account": identity.account,
        "subject": person.as_ref().map(|person| &person.subject),
        "name": person.as_ref().and_then(|person| person.name.as_ref()),
        "scopes": tokens.scopes,
        "expires_at": tokens.expires_at.and_then(|at| at.format(&Rfc3339).ok()),
        "expired": tokens.expires_at.is_some_and(|at| at <= now),
        "refreshable": tokens.usable_refresh_token().is_some(),
        "unverified": kept.value.unverified.is_some(),
        "id_token": tokens.id_token.is_some(),
        "generation": kept.generation,
        "unused": unused,
        "refused": kept.value.refusals.latest(now).map(|refusal| serde_json::json!({
            "at": refusal.at.format(&Rfc3339).ok(),
            "by": refusal.resource,
            "generation": refusal.generation,
        })),
    })
}

fn as_text(kept: &Versioned<Session>, unused: bool, now: OffsetDateTime) -> String {
    let Session {
        identity,
        provider,
        person,
        tokens,
        ..
    } = &kept.value;
    let who = person
        .as_ref()
        .map_or("name unknown", |person| person.shown());
    let expiry = match tokens.expires_at {
        None => "no known expiry".to_owned(),
        Some(at) if at <= now => "expired".to_owned(),
        Some(at) => format!(
            "expires in {}",
            crate::clock::in_words((at - now).whole_seconds())
        ),
    };
    let refresh = if tokens.usable_refresh_token().is_some() {
        "renews automatically"
    } else {
        "cannot be renewed without signing in again"
    };
    let mut text = format!("{provider} (account {}): {who}\n", identity.account);
    let _ = writeln!(text, "  token: {expiry}, {refresh}");
    if kept.value.unverified.is_some() {
        let _ = writeln!(
            text,
            "  unverified: the provider's last response failed a check, so no token is served \
             until a refresh or a sign-in passes it"
        );
    }
    let scopes = if tokens.scopes.is_empty() {
        "the provider's default".to_owned()
    } else {
        tokens.scopes.join(" ")
    };
    let _ = writeln!(text, "  scopes: {scopes}");
    if unused {
        let provider = quoted(provider);
        let _ = writeln!(
            text,
            "  not used: the configuration now has another registration for {provider}, or none; \
             to revoke and remove this session, run `hallpass logout {provider} --account {}`",
            quoted(&identity.account)
        );
    }
    text.push_str(&refusal_text(kept, now));
    crate::report::printable_lines(&text)
}

/// The last refusal, if it is recent.
fn refusal_text(kept: &Versioned<Session>, now: OffsetDateTime) -> String {
    let Some(refusal) = kept.value.refusals.latest(now) else {
        return String::new();
    };
    let by = match refusal.resource.as_str() {
        "" => String::new(),
        resource => format!(" by {resource}"),
    };
    let ago = crate::clock::in_words((now - refusal.at).whole_seconds());
    let since = if refusal.generation == kept.generation {
        "check permissions and scopes there if it happens again"
    } else {
        "the token has been refreshed since then"
    };
    format!("  refused{by} {ago} ago; {since}\n")
}
