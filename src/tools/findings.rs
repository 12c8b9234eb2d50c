//! What every doctor reports, and the checks that the doctors of several tools share.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::{home, shown_at_home};
use crate::credential::Want;
use crate::env::Env;
use crate::error::Error;
use crate::provider::Match;
use crate::report::{Report, printable};
use crate::serving::prepared::Prepared;
use crate::serving::target::login_of;
use crate::session::plan::{Reason, plan};
use crate::session::record::Session;
use crate::session::{Account, DEFAULT_ACCOUNT};
use crate::setup::edit::link::{self, Place};
use crate::setup::record::Records;
use crate::shell::move_away_command;

/// The results of a doctor's checks, in order.
#[derive(Debug, Default)]
pub struct Findings {
    text: String,
    has_problem: bool,
}

impl Findings {
    /// A check passed.
    pub(crate) fn ok(&mut self, what: &str) {
        self.line("ok", what);
    }

    /// Something worth knowing that isn't a problem.
    pub(crate) fn note(&mut self, what: &str) {
        self.line("note", what);
    }

    /// A problem, and the command or step that fixes it.
    pub(crate) fn problem(&mut self, what: &str, hint: &str) {
        self.has_problem = true;
        self.line("error", what);
        self.detail(hint);
    }

    /// Adds lines to the last result.
    pub(crate) fn detail(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "      {}", printable(line));
        }
    }

    pub(crate) fn refused(&mut self, report: &Report) {
        let Report {
            error,
            causes,
            hint,
            exit: _,
        } = report;
        let what = [std::slice::from_ref(error), causes].concat().join(": ");
        self.problem(&what, hint.as_deref().unwrap_or_default());
    }

    fn line(&mut self, verdict: &str, what: &str) {
        let _ = writeln!(self.text, "{verdict:<5} {}", printable(what));
    }

    /// One line for each result, with its hint below it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a problem.
    pub(crate) fn has_problem(&self) -> bool {
        self.has_problem
    }
}

// --- checks ---

impl Findings {
    /// Checks that a tool finds this program under the name `program`. `effect` says what happens if it
    /// doesn't, and `set_up` is the command that makes the link.
    pub(crate) fn check_link(
        &mut self,
        env: &Env,
        program: &str,
        effect: &str,
        set_up: &str,
    ) -> Result<(), Error> {
        let missing = format!("{program} is not on PATH, so {effect}");
        match link::find(env, program)? {
            Place::There(_) => self.ok(&format!("{program} is on PATH and is this program")),
            Place::At(_) => self.problem(&missing, set_up),
            Place::Behind(path) => self.problem(
                &format!("{} comes first on PATH and is not hallpass", path.display()),
                &move_away_command(&path),
            ),
            Place::Nowhere(command) => self.problem(&missing, &command),
        }
        Ok(())
    }

    /// Checks that the files which are `relevant` have what the tool's set-ups wrote.
    pub(crate) fn check_set_ups(
        &mut self,
        env: &Env,
        tool: &str,
        relevant: impl Fn(&Path) -> bool,
    ) {
        let home = home(env).ok();
        for record in Records::read(env).of(tool) {
            let files = record.files().into_iter();
            for (path, _) in files.filter(|(path, is_there)| !is_there && relevant(path)) {
                let shown = shown_at_home(path, home.as_deref());
                let what = format!("{shown} no longer has what the set-up wrote");
                self.problem(&what, &record.command);
            }
        }
    }

    /// Checks that a `server`, such as a registry, would get a token without a sign-in. `is_at_hand` says
    /// whether the account has another credential for it. Returns the session, and who is signed in.
    pub(crate) fn check_session(
        &mut self,
        prepared: &Prepared<'_>,
        (server, name): (&str, &str),
        found: Match,
        want: &Want,
        is_at_hand: impl FnOnce(&Account<'_>) -> bool,
    ) -> Option<(Session, String)> {
        let account = found.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        let login = login_of(&found.provider, account);
        let (this, provider) = (login.this.clone(), found.provider.name.clone());
        let account = Account::new(prepared.context(), found.provider, account, login);
        let kept = account.and_then(|account| Ok((account.served_session()?, account)));
        let (kept, account) = match kept {
            Ok(kept) => kept,
            Err(error) => {
                self.refused(&Error::from(error).report());
                return None;
            }
        };
        let Some(session) = kept else {
            self.problem(&format!("{name}: not signed in to {provider}"), &this);
            return None;
        };
        // The doctor never prompts, but a tool's request may open a browser tab.
        let now = crate::clock::now(prepared.env);
        let reason = plan(Some(&session), want, now).needs_person();
        if let Some(reason) = reason.filter(|_| !is_at_hand(&account)) {
            let why = match reason {
                Reason::Refused => format!("the {server} rejected the token of {provider}"),
                Reason::Unverified => {
                    format!("the last response of {provider} could not be verified")
                }
                Reason::NoIdToken => format!("{provider} sent no ID token"),
                Reason::RefreshRefused => format!(
                    "the token of {provider} has expired, and the provider rejected the refresh"
                ),
                Reason::NotSignedIn | Reason::Expired => {
                    format!("the token of {provider} has expired and cannot be refreshed")
                }
            };
            self.problem(&format!("{name}: {why}"), &this);
            return None;
        }
        let person = session.value.person.as_ref();
        let who = person.map_or_else(String::new, |person| format!(" as {}", person.shown()));
        let who = format!("{name}: signed in{who} to {provider}");
        Some((session.value, who))
    }
}
