//! Carries out a set-up: shows it, asks, takes the locks, computes it again, writes all files or
//! none, and records how to undo it.
//!
//! A tool describes its set-up as a list of edits. The edits are computed again under the locks,
//! because another process may have changed a file in the meantime.

#[cfg(test)]
mod tests;

use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use super::content::bytes;
use super::document::Documents;
use super::edit::Edit;
use super::provider_block;
use super::record::{Done, Record, Records, Step};
use super::undo::{remove, revert, transfer_folders};
use crate::arguments::{Caution, SetupArgs};
use crate::config::{Flags, Turn, UserFile, home, shown_at_home};
use crate::env::Env;
use crate::error::Error;
use crate::report::{Exit, printable};
use crate::serving::prepared::flags_of;
use crate::shell::quoted;
use crate::terminal::{Terminal, confirm, is_attended, print};

/// A part of a set-up, such as one host. Each part has its own record and can be undone alone.
#[derive(Default)]
pub(crate) struct Part {
    /// What distinguishes it from the tool's other set-ups, such as a host.
    pub(crate) what: String,
    /// The command that sets up this part alone.
    pub(crate) command: String,
    pub(crate) edits: Vec<Edit>,
    /// The tool's own data for undoing it.
    pub(crate) data: Value,
}

impl Part {
    /// A part whose command is the beginning of a title and `what`.
    pub(crate) fn new(title: &str, what: &str, edits: Vec<Edit>) -> Self {
        Self {
            what: what.to_owned(),
            command: format!("{title}{}", quoted(what)),
            edits,
            data: Value::Null,
        }
    }
}

/// Checks the edited files before they are written.
pub(crate) type Check<'a> = Box<dyn Fn(&Documents) -> Result<(), Error> + 'a>;

/// An action of the tool itself.
type Action<'a> = Box<dyn FnOnce() -> Result<(), Error> + 'a>;

/// What reverts the tool's own first action, if a file can't be written after it.
pub(crate) type Revert<'a> = Box<dyn FnOnce() + 'a>;

/// The tool's own first action.
type First<'a> = Box<dyn FnOnce() -> Result<Revert<'a>, Error> + 'a>;

/// The tool's own part of an undo, with [`Part::data`].
type Forget<'a> = Box<dyn Fn(&Value) -> Result<(), Error> + 'a>;

/// The request of a command.
enum Request<'a> {
    SetUp(Plan<'a>),
    Undo(Undo<'a>),
}

/// A set-up.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    pub(crate) parts: Vec<Part>,
    /// Printed if anything changes.
    pub(crate) notes: Vec<String>,
    /// Printed in any case.
    pub(crate) warnings: Vec<String>,
    /// The command as it was typed, without `--undo`. Empty for an undo.
    pub(crate) command: String,
    pub(crate) check: Option<Check<'a>>,
    /// Runs under the locks before the first file is written.
    pub(crate) first: Option<First<'a>>,
    /// [`Self::first`] is a change by itself, even if no file changes.
    pub(crate) first_is_change: bool,
    /// Runs when all files are written.
    pub(crate) last: Option<Action<'a>>,
}

/// An undo.
#[derive(Default)]
pub struct Undo<'a> {
    /// The parts to undo, each with the edits to remove if it has no record.
    pub(crate) parts: Vec<Part>,
    /// Undo every recorded set-up of the tool, and remove the edits of all parts.
    pub(crate) all: bool,
    /// Printed even if nothing changes.
    pub(crate) warnings: Vec<String>,
    /// What the undo leaves out because nothing can be set up there: printed instead of `nothing to
    /// change`.
    pub(crate) left_out: Vec<String>,
    pub(crate) check: Option<Check<'a>>,
    /// Runs when all files are written, with the [`Part::data`] of each step.
    pub(crate) forget: Option<Forget<'a>>,
}

impl Undo<'_> {
    /// Undoes these parts. If there are none, it undoes every set-up of the tool, and removes the edits
    /// that `unrecorded` recognizes.
    pub(crate) fn of(
        mut parts: Vec<Part>,
        unrecorded: impl FnOnce() -> Result<Vec<Edit>, Error>,
    ) -> Result<Self, Error> {
        let all = parts.is_empty();
        if all {
            parts.push(Part {
                edits: unrecorded()?,
                ..Part::default()
            });
        }
        Ok(Self {
            parts,
            all,
            ..Self::default()
        })
    }
}

impl fmt::Debug for Undo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An edit may hold a secret.
        f.debug_struct("Undo").finish_non_exhaustive()
    }
}

/// A tool's set-up: the arguments of `hallpass setup TOOL`, and the changes that they stand for. Both
/// methods describe changes to the current files, and may be called several times.
pub(crate) trait SetUp: clap::Args {
    /// The arguments that every set-up takes.
    fn shared(&self) -> &SetupArgs;

    /// The changes that set the tool up.
    fn set_up<'a>(&'a self, env: &'a Env, flags: &Flags) -> Result<Plan<'a>, Error>;

    /// The changes that revert set-ups.
    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error>;
}

/// Sets a tool up, or undoes that.
///
/// # Errors
///
/// After an error, no file is changed.
pub(crate) fn run(env: &Env, tool: &str, args: &impl SetUp) -> Result<ExitCode, Error> {
    let SetupArgs {
        changing, common, ..
    } = args.shared();
    let flags = flags_of(common, None);
    let mut compute = || {
        if changing.undo {
            args.undo(env).map(Request::Undo)
        } else {
            args.set_up(env, &flags).map(Request::SetUp)
        }
    };
    if !changing.undo {
        super::warn_if_nothing_is_saved(env, common);
    }
    let Caution { dry_run, yes } = changing.caution;
    let is_asked = !yes && !dry_run && is_attended();
    let engine = Engine {
        env,
        tool,
        dry_run,
        print: &print,
    };
    let mut confirm = |changes: &str| confirm(changes, "Make these changes?");
    let confirm: Option<&mut dyn FnMut(&str) -> bool> = Some(&mut confirm);
    let is_done = engine.carry_out(&mut compute, confirm.filter(|_| is_asked));
    Ok(if is_done? {
        Exit::Answered
    } else {
        Exit::Failed
    }
    .into())
}

/// What undoes every set-up of a tool.
pub(crate) type UndoOf<'u> = (&'static str, &'u dyn Fn() -> Result<Undo<'u>, Error>);

/// The tools without a recorded set-up whose files can't be read, and why.
pub(crate) type Unknown = Vec<(&'static str, Error)>;

/// Previews the undo of every set-up of these tools, in one step, because several tools may share a
/// provider. `say` gets the changes before they are checked, so that a user can make them in a file
/// that is read-only here.
///
/// # Errors
///
/// The first recorded set-up that can't be undone, or a file that can't be written.
pub(crate) fn preview_undo_of_all(
    env: &Env,
    tools: &[UndoOf<'_>],
    dry_run: bool,
    say: impl FnOnce(&str),
) -> Result<Unknown, Error> {
    let (draft, unknown) = undo_of_all(env, tools)?;
    if draft.is_changed() || !draft.plan.warnings.is_empty() {
        say(&draft.text(false));
    }
    if dry_run {
        draft.documents.check()?;
    } else {
        draft.documents.rehearse()?;
    }
    Ok(unknown)
}

/// Undoes every set-up of these tools. All files are written or none.
pub(crate) fn undo_all(env: &Env, tools: &[UndoOf<'_>]) -> Result<(), Error> {
    let mut turn = turn(env)?;
    let (mut draft, _) = undo_of_all(env, tools)?;
    let _locks = draft.documents.lock()?;
    if !draft.documents.are_current()? {
        (draft, _) = undo_of_all(env, tools)?;
    }
    let text = draft.text(true);
    let is_silent = !draft.is_changed() && draft.plan.warnings.is_empty();
    draft.apply(&mut turn)?;
    if !is_silent {
        print(&text);
    }
    Ok(())
}

fn undo_of_all<'u>(env: &Env, tools: &[UndoOf<'u>]) -> Result<(Draft<'u>, Unknown), Error> {
    let records = Records::read(env);
    let mut draft = Draft::new(env);
    let mut unknown = Vec::new();
    for (name, undo) in tools {
        // Try each undo in its own draft first: if a file can't be read, half an undo must not stay
        // in the shared draft.
        let alone = undo().and_then(|undo| Draft::new(env).undo(env, name, undo));
        match alone {
            Ok(()) => draft.undo(env, name, undo()?)?,
            Err(error) if records.of(name).next().is_some() => return Err(error),
            Err(error) => unknown.push((*name, error)),
        }
    }
    Ok((draft, unknown))
}

fn turn(env: &Env) -> Result<Turn, Error> {
    let turn = Turn::take(env, |holder| {
        Terminal::new(0).say(&format!(
            "waiting for {}, which is changing the configuration",
            crate::store::by(holder)
        ));
    });
    Ok(turn?)
}

struct Engine<'e> {
    env: &'e Env,
    tool: &'e str,
    dry_run: bool,
    print: &'e dyn Fn(&str),
}

type Compute<'c, 'a> = &'c mut dyn FnMut() -> Result<Request<'a>, Error>;

impl Engine<'_> {
    /// Returns whether the request was carried out. `confirm`, if present, asks the user about the
    /// changes.
    fn carry_out<'a>(
        &self,
        compute: Compute<'_, 'a>,
        mut confirm: Option<&mut dyn FnMut(&str) -> bool>,
    ) -> Result<bool, Error> {
        let mut shown = None;
        if self.dry_run || confirm.is_some() {
            let draft = self.draft(compute()?)?;
            let is_changed = draft.is_changed();
            if self.dry_run || !is_changed {
                (self.print)(&draft.text(false));
                // After the changes, so that a user can make them in a file that is read-only here.
                draft.documents.check()?;
                return Ok(true);
            }
            draft.documents.check()?;
            shown = Some(draft.text(false));
        }
        loop {
            if let (Some(confirm), Some(shown)) = (confirm.as_mut(), &shown)
                && !confirm(shown)
            {
                return Ok(false);
            }
            let mut turn = turn(self.env)?;
            let mut draft = self.draft(compute()?)?;
            let _locks = draft.documents.lock()?;
            if !draft.documents.are_current()? {
                draft = self.draft(compute()?)?;
            }
            let text = draft.text(false);
            if shown.as_ref().is_some_and(|shown| *shown != text) {
                shown = Some(text);
                continue;
            }
            // The user has just seen the changes.
            let text = match shown {
                Some(_) => draft.summary(),
                None => draft.text(true),
            };
            draft.apply(&mut turn)?;
            (self.print)(&text);
            return Ok(true);
        }
    }

    fn draft<'a>(&self, request: Request<'a>) -> Result<Draft<'a>, Error> {
        let mut draft = Draft::new(self.env);
        match request {
            Request::SetUp(plan) => self.set_up(&mut draft, plan)?,
            Request::Undo(undo) => draft.undo(self.env, self.tool, undo)?,
        }
        Ok(draft)
    }

    fn set_up<'a>(&self, draft: &mut Draft<'a>, mut plan: Plan<'a>) -> Result<(), Error> {
        for part in std::mem::take(&mut plan.parts) {
            let step = self.step(draft, &part)?;
            if step.edits.is_empty() {
                continue;
            }
            let Part { what, command, .. } = part;
            let added = draft.records.add(self.tool, &what, &command, step)?;
            draft.saved.push(added);
        }
        if let Some(check) = &plan.check {
            check(&draft.documents)?;
        }
        draft.plan = plan;
        Ok(())
    }

    /// Makes the edits of a part that are not in place.
    fn step(&self, draft: &mut Draft<'_>, part: &Part) -> Result<Step, Error> {
        let records = &draft.records;
        let own = records.find(self.tool, &part.what);
        let mut step = Step {
            number: records.next(),
            edits: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
            data: part.data.clone(),
        };
        for edit in &part.edits {
            let document = draft.documents.of(edit)?;
            if edit.kind().is_in_place(document.bytes()) {
                // An edit that several set-ups share stays until the last of them is undone.
                let is_own = own.is_some_and(|own| own.edits().any(|done| done.edit == *edit));
                if !is_own {
                    step.edits
                        .extend(records.shared(self.tool, &part.what, edit));
                }
                continue;
            }
            let before = document.now.clone();
            document.change(edit, |bytes| edit.kind().apply(bytes))?;
            step.add(edit.clone(), bytes(&before), document.bytes());
        }
        Ok(step)
    }
}

/// The changes to make.
struct Draft<'a> {
    documents: Documents,
    records: Records,
    /// The records to write, each with the one that it replaces.
    saved: Vec<(Record, Option<Record>)>,
    gone: Vec<Record>,
    /// As in [`Undo`].
    left_out: Vec<String>,
    /// What remains of the plan; of an undo, its warnings and its last action.
    plan: Plan<'a>,
}

impl<'a> Draft<'a> {
    fn new(env: &Env) -> Self {
        Self {
            documents: Documents::new(env),
            records: Records::read(env),
            saved: Vec::new(),
            gone: Vec::new(),
            left_out: Vec::new(),
            plan: Plan::default(),
        }
    }

    /// Takes the set-ups of a tool out of the files.
    fn undo(&mut self, env: &Env, tool: &str, undo: Undo<'a>) -> Result<(), Error> {
        let home = home(env).ok();
        let records = Records::read(env).readable()?;
        let named = undo.parts.iter().map(|part| &*part.what);
        let named = named.filter_map(|what| records.unreadable_one(tool, what));
        let all = records.unreadable_of(tool).filter(|_| undo.all);
        for path in all.chain(named.filter(|_| !undo.all)) {
            self.plan.warnings.push(format!(
                "{} is damaged, or was written by a newer hallpass. It stays, and of its set-up, \
                 hallpass undoes only what it recognizes",
                shown_at_home(path, home.as_deref())
            ));
        }
        let is_named = |record: &Record| undo.parts.iter().any(|part| part.what == record.what);
        let all = std::mem::take(&mut self.records.all);
        let (selected, mut rest): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|record| record.tool == tool && (undo.all || is_named(record)));
        let current: Vec<&Edit> = selected.iter().flat_map(Record::current).collect();
        for edit in current.into_iter().rev() {
            let document = self.documents.of(edit)?;
            let kind = edit.kind();
            if !kind.is_ours(document.bytes()) && !kind.view(document.bytes()).is_empty() {
                self.plan.warnings.push(format!(
                    "{} has been changed since the set-up, so this part of it stays: {}",
                    document.shown,
                    kind.place()
                ));
            }
        }
        let before = rest.clone();
        let mut updated = revert(&mut self.documents, &selected, &mut rest)?;
        updated.extend(transfer_folders(&selected, &mut rest));
        for index in updated {
            let before = Some(before[index].clone());
            self.saved.push((rest[index].clone(), before));
        }
        for part in &undo.parts {
            let is_recorded = selected.iter().any(|record| record.what == part.what);
            let edits = part.edits.iter().rev();
            // Without a record, hallpass can't tell its own lines from the user's.
            for edit in edits.filter(|_| !is_recorded) {
                let done = Done::unrecorded(edit.clone());
                remove(self.documents.of(edit)?, &done, &rest)?;
            }
        }
        let file = UserFile::read(env)?;
        for block in provider_block::of_providers(&file) {
            let done = Done::unrecorded(block);
            remove(self.documents.of(&done.edit)?, &done, &rest)?;
        }
        if let Some(check) = undo.check {
            check(&self.documents)?;
        }
        let steps = selected.iter().flat_map(|record| &record.steps);
        let data: Vec<Value> = steps.map(|step| step.data.clone()).collect();
        if let Some(forget) = undo.forget {
            let others = self.plan.last.take();
            self.plan.last = Some(Box::new(move || {
                let mut data = data.iter().filter(|data| !data.is_null());
                data.try_for_each(forget)?;
                others.map_or(Ok(()), |others| others())
            }));
        }
        self.plan.warnings.extend(undo.warnings);
        self.left_out.extend(undo.left_out);
        self.records.all = rest;
        self.gone.extend(selected);
        Ok(())
    }

    fn is_changed(&self) -> bool {
        self.documents.changed().next().is_some()
            || !self.gone.is_empty()
            || self.plan.first_is_change
    }

    /// The description for the user, before or after the changes are made.
    fn text(&self, is_done: bool) -> String {
        let mut lines = Vec::new();
        for document in self.documents.changed() {
            let verb = if is_done { "Changed" } else { "Would change" };
            lines.push(format!("{verb} {}:", document.shown));
            let changed = document.lines.iter();
            lines.extend(changed.map(|(sign, line)| format!("  {sign} {line}").trim_end().into()));
        }
        if !self.is_changed() && self.left_out.is_empty() {
            lines.push("nothing to change".to_owned());
        }
        lines.extend(self.left_out.iter().cloned());
        lines.extend(self.plan.warnings.iter().cloned());
        if self.is_changed() {
            lines.extend(self.plan.notes.iter().cloned());
            if cfg!(target_os = "macos") && !self.plan.command.is_empty() {
                lines.push(SIGNING_NOTE.to_owned());
            }
            lines.extend(self.undo_hint().filter(|_| is_done));
        }
        printable_lines(&lines)
    }

    /// What was done, without the changes.
    fn summary(&self) -> String {
        let files = self.documents.changed().map(|document| &*document.shown);
        let files: Vec<&str> = files.collect();
        let changed = (!files.is_empty()).then(|| format!("Changed {}", files.join(", ")));
        let lines: Vec<String> = changed.into_iter().chain(self.undo_hint()).collect();
        printable_lines(&lines)
    }

    fn undo_hint(&self) -> Option<String> {
        let command = &self.plan.command;
        (!command.is_empty()).then(|| format!("To undo this, run `{command} --undo`"))
    }

    fn apply(self, turn: &mut Turn) -> Result<(), Error> {
        let Self {
            documents,
            records,
            mut saved,
            gone,
            left_out: _,
            plan,
        } = self;
        documents.check()?;
        let revert = plan.first.map(|first| first()).transpose()?;
        for (record, before) in &mut saved {
            let is_longer = |steps: usize| before.as_ref().is_none_or(|it| it.steps.len() < steps);
            if is_longer(record.steps.len())
                && let Some(step) = record.steps.last_mut()
            {
                step.add_folders(|folder| turn.has_created(folder) || !folder.exists());
            }
        }
        // Records come first, so that an interrupted set-up can be undone.
        let mut records_to_write = saved.iter().map(|(record, _)| record);
        let written = records_to_write.try_for_each(|record| records.write(record));
        if let Err(error) = written.and_then(|()| documents.write()) {
            for (record, before) in saved.iter().rev() {
                // The first error is the one to report.
                match before {
                    Some(before) => drop(records.write(before)),
                    None => records.remove(record),
                }
            }
            if let Some(revert) = revert {
                revert();
            }
            return Err(error);
        }
        for record in &gone {
            records.remove(record);
        }
        let steps = gone.iter().flat_map(|record| &record.steps);
        turn.remove_if_empty(steps.flat_map(|step| &step.folders));
        plan.last.map_or(Ok(()), |last| last())
    }
}

/// <https://developer.apple.com/documentation/security/access-control-lists>
const SIGNING_NOTE: &str = "note: if macOS asks whether hallpass may use the Keychain, choose \
     \"Always Allow\". Unless hallpass is signed with a developer certificate, macOS asks again after \
     each update";

fn printable_lines(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| printable(line) + "\n");
    lines.collect()
}
