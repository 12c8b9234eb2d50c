//! Who was handed which token: how a refused token is told from a first request.
//!
//! An exec plugin is told of no 401: it is only started again. So the same parent that asks the
//! same thing anew, before the expiry that it was told, has been refused; or it keeps nothing.
//! The first repeat is taken for a refusal, and the next shows that it was none.
//!
//! What it asks is known by a digest of the whole request, cluster included: one that talks to two
//! clusters asks two things. That somebody was asked to sign in for a parent, in vain, stands here
//! as well, until that parent ends: a tool that polls all night must not open a tab every few
//! minutes.
//!
//! Where a parent is not known ([`super::parent`]), each request is a first one.

use time::OffsetDateTime;

use super::parent::{Key, Moment, Parent, moment, was_there};
use crate::credential::Generation;
use crate::env::Env;
use crate::store::{Journal, NOTE_LEN, Note};
use crate::terminal::Terminal;

/// The journal of all hand-outs to kubectl and its kind.
const NAME: &str = "kubectl";

/// What was done for a key last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    HandedOut,
    /// A repeat was taken for a refusal.
    Replaced,
    /// A further repeat: it forgets what it is handed.
    KeepsNothing,
    /// Somebody was asked to sign in, in vain.
    InVain,
}

const STATES: &[(u8, State)] = &[
    (b'h', State::HandedOut),
    (b'r', State::Replaced),
    (b'k', State::KeepsNothing),
    (b'v', State::InVain),
];

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    /// This generation seems to have been refused.
    Repeat(Generation),
    /// By a parent that keeps nothing, which may have been noted.
    Again {
        is_noted: bool,
    },
}

/// A note of the journal, its numbers little-endian. One of another form, as another version may
/// have written it, is none.
///
/// ```text
/// key (8 bytes)  pid (4)  at (8)  until (8)  generation (8)  state (1)  form (3)  zeros
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    key: Key,
    pid: u32,
    /// When it was written.
    at: Moment,
    /// The expiry that was reported, in seconds since 1970; `i64::MAX`: none was.
    until: i64,
    generation: Generation,
    state: State,
}

const FORM: [u8; 3] = *b"kc2";

impl Entry {
    fn of(note: &Note) -> Option<Self> {
        let mut rest = note.as_slice();
        Some(Self {
            key: Key::from_le_bytes(next(&mut rest)?),
            pid: u32::from_le_bytes(next(&mut rest)?),
            at: Moment::from_le_bytes(next(&mut rest)?),
            until: i64::from_le_bytes(next(&mut rest)?),
            generation: Generation::from_le_bytes(next(&mut rest)?),
            state: {
                let [byte] = next(&mut rest)?;
                STATES.iter().find(|(of, _)| *of == byte)?.1
            },
        })
        .filter(|_| rest.starts_with(&FORM))
    }

    fn note(&self) -> Note {
        let Self {
            key,
            pid,
            at,
            until,
            generation,
            state,
        } = self;
        let state = STATES.iter().find(|(_, of)| of == state);
        let parts: [&[u8]; 7] = [
            &key.to_le_bytes(),
            &pid.to_le_bytes(),
            &at.to_le_bytes(),
            &until.to_le_bytes(),
            &generation.to_le_bytes(),
            &[state.map_or(0, |(byte, _)| *byte)],
            &FORM,
        ];
        let mut note = [0; NOTE_LEN];
        for (to, from) in note.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        note
    }

    /// Whether the parent of that time is still there.
    fn is_alive(&self) -> bool {
        was_there(self.pid, self.at)
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (next, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*next)
}

/// What this parent was handed, for this request and this account.
pub(crate) struct Handouts {
    known: Option<Known>,
    terminal: Terminal,
}

struct Known {
    journal: Journal,
    parent: Parent,
    /// For the whole request.
    request: Key,
    last: Option<Entry>,
    /// For whatever is asked of the same account.
    login: Key,
    was_in_vain: bool,
}

impl Known {
    fn new(journal: Journal, parent: Parent, record: &str, request: &[&[u8]]) -> Self {
        let login = parent.key(&[record.as_bytes()]);
        let request = parent.key(&[&[record.as_bytes()], request].concat());
        let last_login = last_of(journal.notes(), login);
        Self {
            last: last_of(journal.notes(), request).filter(Entry::is_alive),
            was_in_vain: last_login
                .is_some_and(|last| last.state == State::InVain && last.is_alive()),
            journal,
            parent,
            request,
            login,
        }
    }
}

impl Handouts {
    /// `record` names the account's record, `request` is all that the parent said.
    pub(crate) fn open(env: &Env, terminal: Terminal, record: &str, request: &[&[u8]]) -> Self {
        let known = Parent::of_process().and_then(|parent| {
            let journal = Journal::of_user(env, NAME, |why| terminal.explain(1, || why));
            match journal {
                Ok(journal) => Some(Known::new(journal, parent, record, request)),
                Err(error) => {
                    terminal.explain(1, || {
                        format!("what was handed out cannot be remembered: {error}")
                    });
                    None
                }
            }
        });
        if known.is_none() {
            terminal.explain(1, || {
                "a refused token is not told from a first request here".to_owned()
            });
        }
        Self { known, terminal }
    }

    pub(crate) fn turn(&self, now: OffsetDateTime) -> Turn {
        let last = self.known.as_ref().and_then(|known| known.last);
        last.map_or(Turn::First, |last| turn(&last, now))
    }

    /// Whether somebody was already asked for this parent, in vain.
    pub(crate) fn was_in_vain(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.was_in_vain)
    }

    pub(crate) fn handed_out(
        &self,
        turn: Turn,
        generation: Generation,
        until: Option<OffsetDateTime>,
    ) {
        if self.was_in_vain() {
            // Somebody has signed in since.
            self.note(|known| known.login, State::HandedOut, 0, i64::MAX);
        }
        let state = match turn {
            Turn::First => State::HandedOut,
            Turn::Repeat(_) => State::Replaced,
            // What would be written stands there already.
            Turn::Again { is_noted: true } => return,
            Turn::Again { is_noted: false } => State::KeepsNothing,
        };
        let until = until.map_or(i64::MAX, OffsetDateTime::unix_timestamp);
        self.note(|known| known.request, state, generation, until);
    }

    pub(crate) fn asked_in_vain(&self) {
        self.note(|known| known.login, State::InVain, 0, i64::MAX);
    }

    fn note(
        &self,
        key: impl FnOnce(&Known) -> Key,
        state: State,
        generation: Generation,
        until: i64,
    ) {
        let Some(known) = &self.known else { return };
        let entry = Entry {
            key: key(known),
            pid: known.parent.pid,
            at: moment(),
            until,
            generation,
            state,
        };
        let kept = kept(Entry::is_alive);
        if let Err(error) = known.journal.append(&entry.note(), kept) {
            self.terminal.explain(1, || {
                format!("what was handed out cannot be remembered: {error}")
            });
        }
    }
}

/// The last that is said of a key, in notes of which the last is the first.
fn last_of<'n>(notes: impl Iterator<Item = &'n Note>, key: Key) -> Option<Entry> {
    notes
        .filter(|note| note.starts_with(&key.to_le_bytes()))
        .find_map(Entry::of)
}

fn turn(last: &Entry, now: OffsetDateTime) -> Turn {
    let has_expired = last.until <= now.unix_timestamp();
    match last.state {
        State::KeepsNothing => Turn::Again { is_noted: true },
        State::HandedOut if !has_expired => Turn::Repeat(last.generation),
        State::Replaced if !has_expired => Turn::Again { is_noted: false },
        State::HandedOut | State::Replaced | State::InVain => Turn::First,
    }
}

/// What is worth keeping of notes of which the last is the first: the last of each key whose
/// parent is still there.
fn kept(is_alive: impl Fn(&Entry) -> bool) -> impl FnMut(&Note) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    move |note| Entry::of(note).is_some_and(|entry| seen.insert(entry.key) && is_alive(&entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the form stands in a note.
    const FORM_AT: usize = 8 + 4 + 8 + 8 + 8 + 1;

    const KEY: Key = 0x0123_4567_89ab_cdef;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn entry(state: State, until: i64) -> Entry {
        Entry {
            key: KEY,
            pid: 1,
            at: 2,
            until,
            generation: 3,
            state,
        }
    }

    #[test]
    fn a_repeat_before_the_reported_expiry_is_a_refusal_and_the_next_one_is_none() {
        use State::{HandedOut, InVain, KeepsNothing, Replaced};
        let again = |is_noted| Turn::Again { is_noted };
        for (state, until, now, expected) in [
            (HandedOut, 100, 99, Turn::Repeat(3)),
            (HandedOut, 100, 100, Turn::First),
            (HandedOut, i64::MAX, 100, Turn::Repeat(3)),
            (Replaced, 100, 99, again(false)),
            (Replaced, 100, 100, Turn::First),
            (KeepsNothing, 100, 99, again(true)),
            (KeepsNothing, 100, 100, again(true)),
            (InVain, i64::MAX, 100, Turn::First),
        ] {
            let found = turn(&entry(state, until), at(now));
            assert_eq!(found, expected, "{state:?} {until} {now}");
        }
    }

    #[test]
    fn a_note_is_read_back_and_one_of_another_form_is_none() {
        for (_, state) in STATES {
            let entry = Entry {
                pid: u32::MAX,
                at: Moment::MAX,
                generation: Generation::MAX,
                ..entry(*state, i64::MIN)
            };
            assert_eq!(Entry::of(&entry.note()), Some(entry));
        }
        let note = entry(State::HandedOut, 5).note();
        for form in 0..FORM.len() {
            let mut other = note;
            other[FORM_AT + form] ^= 1;
            assert_eq!(Entry::of(&other), None);
        }
        let mut no_state = note;
        no_state[FORM_AT - 1] = b'x';
        assert_eq!(Entry::of(&no_state), None);
        assert_eq!(Entry::of(&[0; NOTE_LEN]), None);
    }

    #[test]
    fn the_last_note_of_a_key_counts() {
        let other = Entry {
            key: 1,
            ..entry(State::InVain, 9)
        };
        let replaced = entry(State::Replaced, 7);
        let mut of_another_form = entry(State::KeepsNothing, 8).note();
        of_another_form[FORM_AT] = b'0';
        let notes = [
            other.note(),
            of_another_form,
            replaced.note(),
            entry(State::HandedOut, 5).note(),
        ];
        for (key, expected) in [(KEY, Some(replaced)), (1, Some(other)), (0, None)] {
            assert_eq!(last_of(notes.iter(), key), expected, "{key}");
        }
    }

    #[test]
    fn what_is_kept_are_the_living_and_their_last() {
        let of = |key, pid| Entry {
            key,
            pid,
            ..entry(State::HandedOut, 5)
        };
        let mut kept = kept(|entry| entry.pid == 1);
        for (note, expected) in [
            (of(KEY, 1).note(), true),
            ([0; NOTE_LEN], false),
            (of(1, 9).note(), false),
            (of(KEY, 1).note(), false),
            (of(2, 1).note(), true),
        ] {
            assert_eq!(kept(&note), expected, "{note:?}");
        }
    }
}
