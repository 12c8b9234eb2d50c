//! Removes set-ups from the files that they changed.
//!
//! If only set-ups changed a file, its steps are reverted byte for byte, back to the first step to
//! undo, and the steps to keep are applied again. Otherwise only the parts that the set-ups wrote are
//! removed.

use std::collections::BTreeSet;
use std::path::Path;

use super::document::{Document, Documents};
use super::edit::Edit;
use super::provider_block::is_named;
use super::record::{ChangedSince, Done, Record, Step};
use crate::error::Error;

/// Removes the set-ups in `gone` from the files and updates the records in `rest`. Returns the indices
/// of the updated ones.
pub(crate) fn revert(
    documents: &mut Documents,
    gone: &[Record],
    rest: &mut [Record],
) -> Result<BTreeSet<usize>, Error> {
    let mut updated = BTreeSet::new();
    let mut steps: Vec<&Step> = gone.iter().flat_map(|record| &record.steps).collect();
    steps.sort_by_key(|step| std::cmp::Reverse(step.number));
    // The last edit first, because it builds on the others.
    let mut edits: Vec<&Done> = Vec::new();
    for step in &steps {
        edits.extend(step.edits.iter().rev());
    }
    let is_same_file = |one: &Edit, other: &Edit| one.path == other.path;
    for first in distinct(edits.iter().copied(), is_same_file) {
        let path = &*first.path;
        let document = documents.of(first)?;
        let here = edits.iter().filter(|done| done.edit.path == path);
        if let Ok((bytes, reapplied)) = without_steps(document.bytes(), path, gone, rest) {
            let places = distinct(here.copied(), Edit::is_same_place);
            document.replace(places.into_iter(), bytes);
            for (index, step) in reapplied {
                updated.insert(index);
                rest[index].put(&step);
            }
            continue;
        }
        for done in here {
            remove(document, done, rest)?;
        }
        let is_new = steps.iter().any(|step| step.created(path));
        if is_new
            && document
                .bytes()
                .is_some_and(|bytes| first.kind().is_void(bytes))
        {
            document.now = None;
        }
    }
    Ok(updated)
}

/// Transfers each folder that a set-up in `gone` created to a remaining set-up with a file in it, whose
/// undo then removes the folder. Returns the indices of the updated records.
pub(crate) fn transfer_folders(gone: &[Record], rest: &mut [Record]) -> BTreeSet<usize> {
    let mut updated = BTreeSet::new();
    let steps = gone.iter().flat_map(|record| &record.steps);
    for folder in steps.flat_map(|step| &step.folders) {
        for (index, record) in rest.iter_mut().enumerate() {
            let mut steps = record.steps.iter_mut();
            if let Some(step) = steps.find(|step| step.has_file_in(folder)) {
                step.folders.push(folder.clone());
                updated.insert(index);
                break;
            }
        }
    }
    updated
}

/// The first edit of each file or place.
fn distinct<'d>(
    edits: impl Iterator<Item = &'d Done>,
    is_same: impl Fn(&Edit, &Edit) -> bool,
) -> Vec<&'d Edit> {
    let mut distinct: Vec<&Edit> = Vec::new();
    for Done { edit, .. } in edits {
        if !distinct.iter().any(|known| is_same(known, edit)) {
            distinct.push(edit);
        }
    }
    distinct
}

/// Whether a remaining set-up needs the edit too. A block is identified by its title,
/// even if it has been changed since.
fn is_needed(edit: &Edit, rest: &[Record]) -> bool {
    let mut needed = rest.iter().flat_map(Record::edits);
    needed.any(|done| {
        let is_same_block = edit.title().is_some() && done.edit.title() == edit.title();
        done.edit == *edit || (is_same_block && done.edit.path == edit.path)
    })
}

/// Removes an edit, if the file still contains what it wrote, and no remaining set-up or entry of the
/// file needs it.
pub(crate) fn remove(document: &mut Document, done: &Done, rest: &[Record]) -> Result<(), Error> {
    let edit = &done.edit;
    let text = String::from_utf8_lossy(document.bytes().unwrap_or_default());
    let is_named = edit.title().is_some_and(|title| is_named(&text, title));
    if edit.kind().is_ours(document.bytes()) && !is_named && !is_needed(edit, rest) {
        document.change(edit, |bytes| done.removed(bytes))?;
    }
    Ok(())
}

/// Steps, each with the index of its record.
type StepsOf = Vec<(usize, Step)>;

/// The bytes without the steps of `gone`, and the steps of `rest` as they were applied again.
fn without_steps(
    bytes: Option<&[u8]>,
    path: &Path,
    gone: &[Record],
    rest: &[Record],
) -> Result<(Option<Vec<u8>>, StepsOf), ChangedSince> {
    let mut chain: Vec<(&Step, Option<usize>)> = Vec::new();
    for record in gone {
        chain.extend(record.steps_on(path).map(|step| (step, None)));
    }
    for (index, record) in rest.iter().enumerate() {
        chain.extend(record.steps_on(path).map(|step| (step, Some(index))));
    }
    chain.sort_by_key(|(step, _)| std::cmp::Reverse(step.number));
    let first_gone = chain.iter().rposition(|(_, stays)| stays.is_none());
    chain.truncate(first_gone.map_or(0, |at| at + 1));
    // No step to undo wrote an edit that another set-up has left to it.
    let written = |edit: &Edit| {
        let mut steps = chain.iter().filter(|(step, _)| step.wrote(path));
        steps.any(|(step, _)| step.edits.iter().any(|done| done.edit == *edit))
    };
    let gone = chain.iter().filter(|(_, stays)| stays.is_none());
    let mut edits = gone.flat_map(|(step, _)| &step.edits);
    if edits.any(|Done { edit, .. }| edit.path == path && !written(edit) && !is_needed(edit, rest))
    {
        return Err(ChangedSince);
    }
    let mut now = bytes.map(<[u8]>::to_vec);
    for (step, _) in &chain {
        now = step.revert(path, now)?;
    }
    let mut reapplied = Vec::new();
    for (step, stays) in chain.into_iter().rev() {
        if let Some(index) = stays {
            let mut step = step.clone();
            now = step.reapply(path, now)?;
            reapplied.push((index, step));
        }
    }
    Ok((now, reapplied))
}
