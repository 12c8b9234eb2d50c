//! `hallpass logout`: revokes at the provider, and removes here, whether or not that worked.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Prepared, chosen};
use crate::cli::Logout;
use crate::env::Env;
use crate::error::Error;
use crate::report::Exit;
use crate::session::record::Session;
use crate::session::{self, SignedOut};
use crate::store::{Kept, Listed, LockKind, Place, RecordName, StoreError};

pub(super) fn run(env: &Env, args: &Logout) -> Result<ExitCode, Error> {
    let prepared = Prepared::new(env, &args.common, None)?;
    let names_one = args.target.target.is_some() || args.ad_hoc.issuer_url.is_some();
    let everything = args.all && !names_one;
    let found = if everything {
        names(prepared.store.sessions()?)
    } else {
        of_one(&prepared, args)?
    };
    // What tools handed over is sealed by the same key, and keeps a lost one from being made anew.
    let handed_over = if everything {
        names(prepared.store.kept()?)
    } else {
        Vec::new()
    };
    if found.is_empty() && handed_over.is_empty() {
        prepared
            .terminal
            .say("nothing is kept of it: nothing to sign out of");
    }
    let mut all_revoked = true;
    for name in found {
        all_revoked &= sign_out(&prepared, &name)?;
    }
    for name in &handed_over {
        remove(&prepared, name)?;
    }
    if !handed_over.is_empty() {
        prepared
            .terminal
            .say("removed the passwords that tools had handed over");
    }
    // What was asked for is done either way; the exit code says whether the provider knows.
    Ok(if all_revoked {
        Exit::Answered
    } else {
        Exit::Failed
    }
    .into())
}

fn names(listed: Vec<Listed>) -> Vec<RecordName> {
    listed.into_iter().map(|Listed { name }| name).collect()
}

fn remove(prepared: &Prepared<'_>, name: &RecordName) -> Result<(), StoreError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let lock = prepared.store.lock(name, LockKind::Record, deadline)?;
    prepared.store.remove(name, &lock).map(|_| ())
}

/// The sessions of one provider: of the account that is named, of all of them, or of the only one.
fn of_one(prepared: &Prepared<'_>, args: &Logout) -> Result<Vec<RecordName>, Error> {
    let chosen = chosen(&prepared.config, &args.target, &args.ad_hoc)?;
    let mut found = Vec::new();
    for Listed { name } in prepared.store.sessions()? {
        let Some(Kept { value, .. }) = prepared.store.read::<Session>(&name)? else {
            continue;
        };
        if value.identity.is_at(&chosen.provider) {
            found.push((name, value.identity.account));
        }
    }
    let accounts: BTreeSet<&str> = found.iter().map(|(_, account)| account.as_str()).collect();
    if args.target.account.is_none() && !args.all && accounts.len() > 1 {
        let accounts = accounts.into_iter().map(str::to_owned).collect();
        return Err(Error::WhichAccount {
            provider: chosen.provider.name,
            accounts,
        });
    }
    let named = args.target.account.as_deref();
    found.retain(|(_, account)| named.is_none_or(|named| named == account));
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// Signs out of one session and says what came of it; `false` where the provider was asked to revoke
/// the refresh token and did not.
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
        // Its key is gone for good, or it was never ours to read: it can only be removed.
        Err(session::Error::Store(error)) if is_unreadable(&error) => {
            remove(prepared, name)?;
            session::exchanged::forget(&prepared.context(), name).map_err(session::Error::from)?;
            terminal.warn(&format!(
                "a session could not be opened ({error}), and so was removed without being revoked"
            ));
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether nothing can ever open it. An OS keyring that lacks the key may only be locked.
fn is_unreadable(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::KeyMissing {
            place: Place::Kernel | Place::File
        } | StoreError::Damaged { .. }
    )
}
