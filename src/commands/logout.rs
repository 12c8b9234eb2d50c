//! `hallpass logout`: revokes the tokens at the provider, and deletes the session even if that fails.

use std::ffi::OsString;

use clap::Args;

use crate::arguments::{AdHocArgs, Caution, Common, Target, epilogue, parsed};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::env::Env;
use crate::error::Error;
use crate::report::{Exit, printable};
use crate::serving::prepared::Prepared;
use crate::serving::stored_credentials;
use crate::serving::target::{SelectedAccount, select_account};
use crate::session::record::Session;
use crate::session::{self, SignedOut};
use crate::store::{Listed, LockKind, RecordName, StoreError, Versioned};
use crate::terminal::{confirm, is_attended, print};

/// Sign out: revoke tokens and delete the saved session
#[derive(Debug, Args)]
#[command(after_help = epilogue("  hallpass logout corp
  hallpass logout --all"))]
pub(super) struct Arguments {
    /// Sign out of every account of PROVIDER, or without PROVIDER of everything: all sessions, and
    /// the passwords that tools have stored, including records that can no longer be decrypted
    #[arg(long)]
    pub(super) all: bool,
    /// Remove only records that hallpass cannot read, such as damaged ones or those of a newer version.
    /// With --all: remove everything, even if the keyring is locked or missing
    #[arg(long, conflicts_with_all = ["target", "account", "issuer_url"])]
    pub(super) unreadable: bool,
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) ad_hoc: AdHocArgs,
    #[command(flatten)]
    pub(super) caution: Caution,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
    let args: Arguments = parsed("logout", words)?;
    // The configuration may have changed since the session was stored.
    let prepared = Prepared::new(env, &args.common, None)?.wherever_the_key_is();
    let names_one = args.target.target.is_some() || args.ad_hoc.issuer_url.is_some();
    if args.all && !names_one {
        return everything(&prepared, args.unreadable, args.caution);
    }
    if args.unreadable {
        return unreadable(&prepared, args.caution.dry_run);
    }
    let found = sessions_of_provider(&prepared, &args)?;
    if found.is_empty() {
        report_no_session(&prepared);
    }
    if args.caution.dry_run {
        print(&preview(&prepared, &found));
        return Ok(exit_code(true));
    }
    let mut all_revoked = true;
    for name in found {
        all_revoked &= sign_out(&prepared, &name)?;
    }
    Ok(exit_code(all_revoked))
}

/// The exit code says whether the provider revoked the tokens. The session is deleted either way.
fn exit_code(all_revoked: bool) -> ExitCode {
    if all_revoked {
        Exit::Answered
    } else {
        Exit::Failed
    }
    .into()
}

fn report_no_session(prepared: &Prepared<'_>) {
    let message = "not signed in: there is nothing to sign out of";
    prepared.terminal.say(message);
}

/// What would be signed out of, as text for the user.
fn preview(prepared: &Prepared<'_>, sessions: &[RecordName]) -> String {
    let mut text = String::new();
    for name in sessions {
        let line = match prepared.store.read::<Session>(name) {
            Ok(Some(Versioned { value, .. })) => format!(
                "Would sign out of {} (account {})",
                value.provider, value.identity.account
            ),
            Ok(None) => continue,
            Err(_) => "Would remove a session that cannot be read".to_owned(),
        };
        text.push_str(&printable(&line));
        text.push('\n');
    }
    text
}

/// Every session, and the passwords that tools have stored.
pub(super) struct Everything {
    sessions: Vec<RecordName>,
    // The same key encrypts them, and a lost key is replaced only when no record needs it.
    passwords: Vec<RecordName>,
}

impl Everything {
    pub(super) fn stored(prepared: &Prepared<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            sessions: names(prepared.store.sessions()?),
            passwords: names(prepared.store.stored_credentials()?),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.passwords.is_empty()
    }

    /// What would be signed out of and removed, as text for the user.
    pub(super) fn preview(&self, prepared: &Prepared<'_>) -> String {
        let mut text = preview(prepared, &self.sessions);
        if !self.passwords.is_empty() {
            text.push_str("Would remove the passwords that tools have stored\n");
        }
        text
    }

    /// Signs out of every session, removes the passwords, and then the key. Records that can no
    /// longer be decrypted are removed without revoking their tokens. A locked keyring is an error,
    /// unless records are to be removed `unread`. Returns whether every token was revoked.
    pub(super) fn remove(&self, prepared: &Prepared<'_>, unread: bool) -> Result<bool, Error> {
        let store = &prepared.store;
        let mut all_revoked = true;
        let mut lost: BTreeMap<String, usize> = BTreeMap::new();
        for name in &self.sessions {
            match sign_out(prepared, name) {
                Ok(revoked) => {
                    all_revoked &= revoked;
                    // If the key was lost with the kernel's memory, the record is still there.
                    discard(prepared, name)?;
                }
                Err(Error::Store(error))
                    if unread || error.is_loss_of_the_key() || error.is_about(name) =>
                {
                    discard(prepared, name)?;
                    *lost.entry(error.to_string()).or_default() += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for name in self.passwords.iter().chain(&names(store.exchanged()?)) {
            discard(prepared, name)?;
        }
        store.forget_useless_key()?;
        for (why, count) in lost {
            prepared.terminal.warn(&format!(
                "removed {} without revoking: {why}",
                counted(count, "session")
            ));
        }
        if !self.passwords.is_empty() {
            prepared
                .terminal
                .say("removed the passwords that tools had stored");
        }
        Ok(all_revoked)
    }
}

/// Signs out of everything, after asking if a user is present.
fn everything(prepared: &Prepared<'_>, unread: bool, caution: Caution) -> Result<ExitCode, Error> {
    let everything = Everything::stored(prepared)?;
    if everything.is_empty() {
        if !caution.dry_run {
            prepared.store.forget_useless_key()?;
        }
        report_no_session(prepared);
        return Ok(exit_code(true));
    }
    if caution.dry_run {
        print(&everything.preview(prepared));
        return Ok(exit_code(true));
    }
    if !caution.yes
        && is_attended()
        && !confirm(&everything.preview(prepared), "Sign out of all of this?")
    {
        return Ok(exit_code(false));
    }
    Ok(exit_code(everything.remove(prepared, unread)?))
}

/// Removes the records that cannot be read, and nothing else.
fn unreadable(prepared: &Prepared<'_>, dry_run: bool) -> Result<ExitCode, Error> {
    let store = &prepared.store;
    let sessions = names(store.sessions()?);
    let passwords = names(store.stored_credentials()?);
    let (mut removed, mut would_remove) = (0, 0);
    for (name, is_session) in sessions
        .iter()
        .map(|name| (name, true))
        .chain(passwords.iter().map(|name| (name, false)))
    {
        let read = if is_session {
            store.read::<Session>(name).map(drop)
        } else {
            stored_credentials::check(store, name)
        };
        match read {
            Ok(()) => (),
            Err(error) if error.is_about(name) && dry_run => {
                would_remove += 1;
                print(&format!(
                    "Would remove: {}\n",
                    printable(&error.to_string())
                ));
            }
            Err(error) if error.is_about(name) => {
                discard(prepared, name)?;
                removed += 1;
                prepared.terminal.say(&format!("removed: {error}"));
            }
            // The error is about the store, not about this record.
            Err(error) => return Err(error.into()),
        }
    }
    if would_remove > 0 {
        return Ok(exit_code(true));
    }
    prepared.terminal.say(&match removed {
        0 => "every session and password can be read; nothing was removed".to_owned(),
        count => format!(
            "removed {}; everything else stays",
            counted(count, "unreadable record")
        ),
    });
    Ok(exit_code(true))
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn names(listed: Vec<Listed>) -> Vec<RecordName> {
    listed.into_iter().map(|Listed { name }| name).collect()
}

fn discard(prepared: &Prepared<'_>, name: &RecordName) -> Result<(), StoreError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let lock = prepared.store.lock(name, LockKind::Record, deadline)?;
    prepared.store.discard(name, &lock).map(drop)
}

/// The sessions of one provider: those of the account that the command line names, of all accounts,
/// or of the only account.
///
/// Sessions are matched by the data stored in them, because the provider's registration may have
/// changed, or the provider may no longer be configured.
fn sessions_of_provider(
    prepared: &Prepared<'_>,
    args: &Arguments,
) -> Result<Vec<RecordName>, Error> {
    let chosen = select_account(&prepared.config, &args.target, &args.ad_hoc);
    let named = args.target.target.as_deref();
    let provider = match (&chosen, named) {
        (Ok(chosen), _) if args.ad_hoc.issuer_url.is_none() => chosen.provider.name.clone(),
        (Err(_), Some(named)) => named.to_owned(),
        (Ok(_), _) | (Err(_), None) => String::new(),
    };
    let mut found = Vec::new();
    for Listed { name } in prepared.store.sessions()? {
        let Versioned { value, .. } = match prepared.store.read::<Session>(&name) {
            Ok(Some(kept)) => kept,
            Ok(None) => continue,
            // The record may belong to another provider, and the next one may be readable.
            Err(error) if error.is_about(&name) => {
                prepared.terminal.warn(&format!(
                    "{error}; `hallpass logout --unreadable` removes it"
                ));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let is_at = |chosen: &SelectedAccount| value.identity.is_at(&chosen.provider);
        if value.provider == provider || chosen.as_ref().is_ok_and(is_at) {
            found.push((name, value.identity.account));
        }
    }
    if found.is_empty() {
        // A name that neither the configuration nor a session knows is an error.
        chosen?;
    }
    let accounts: BTreeSet<&str> = found.iter().map(|(_, account)| account.as_str()).collect();
    if args.target.account.is_none() && !args.all && accounts.len() > 1 {
        let accounts = accounts.into_iter().map(str::to_owned).collect();
        return Err(Error::WhichAccount { provider, accounts });
    }
    let named = args.target.account.as_deref();
    found.retain(|(_, account)| named.is_none_or(|named| named == account));
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// Signs out of one session and prints the result. `false` if the provider failed to revoke the
/// refresh token.
fn sign_out(prepared: &Prepared<'_>, name: &RecordName) -> Result<bool, Error> {
    let terminal = prepared.terminal;
    match session::sign_out(&prepared.context(), name) {
        Ok(None) => Ok(true),
        Ok(Some(SignedOut {
            session,
            revocation,
        })) => {
            let Session {
                provider, identity, ..
            } = session;
            terminal.say(&format!(
                "signed out of {provider} (account {})",
                identity.account
            ));
            for note in &revocation.notes {
                terminal.say(&format!("note: {note}"));
            }
            for why in &revocation.warnings {
                terminal.warn(&format!("not revoked at the provider: {why}"));
            }
            Ok(!revocation.failed)
        }
        Err(error) => Err(error.into()),
    }
}
