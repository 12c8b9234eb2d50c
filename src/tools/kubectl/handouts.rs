//! Records which process received which token, to tell a refused token from a first request.
//!
//! An exec plugin is not told about a 401: it is just started again. So a parent that makes the
//! same request again before the reported expiry was refused, or doesn't cache tokens. The first
//! repeat counts as a refusal, and the next one shows that it wasn't.
//!
//! Requests are compared by a digest that includes the cluster, so talking to two clusters means
//! two different requests. A failed sign-in for a parent is recorded too, until the parent ends: a
//! tool that polls all night must not open a tab every few minutes.
//!
//! If the parent can't be identified ([`super::parent`]), each request counts as a first one.

use time::OffsetDateTime;

use super::parent::{Key, Moment, Parent, moment, was_there};
use crate::credential::Generation;
use crate::env::Env;
use crate::store::{Journal, NOTE_LEN, Note};
use crate::terminal::Terminal;

/// The journal of all tokens given to kubectl and similar clients.
const NAME: &str = "kubectl";

/// The last thing that was done for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    HandedOut,
    /// A repeat counted as a refusal.
    Replaced,
    /// Another repeat: the parent doesn't cache tokens.
    KeepsNothing,
    /// A sign-in for this parent failed.
    InVain,
    /// An error was shown.
    Shown,
}

const STATES: &[(u8, State)] = &[
    (b'h', State::HandedOut),
    (b'r', State::Replaced),
    (b'k', State::KeepsNothing),
    (b'v', State::InVain),
    (b's', State::Shown),
];

/// How to treat a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    /// This generation seems to have been refused.
    Repeat(Generation),
    /// From a parent that doesn't cache tokens, which may be recorded already.
    Again {
        is_noted: bool,
    },
}

/// A note of the journal, with little-endian numbers. A note of another form, such as another
/// version's, is ignored.
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
    /// The reported expiry, in seconds since 1970; `i64::MAX` if there was none.
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

    /// Whether that parent is still running.
    fn is_alive(&self) -> bool {
        was_there(self.pid, self.at)
    }
}

/// For how long the same error of the same request is not shown again, in milliseconds. kubectl
/// repeats a failed request four times at once.
const ONE_COMMAND: std::ops::Range<Moment> = 0..10_000;

/// Notes that this parent is shown an error for this request. Returns false if it was shown the same
/// one a moment ago. `None` for an error that only follows from another one.
pub(crate) fn is_new_error(env: &Env, request: &[&[u8]], error: Option<&[u8]>) -> bool {
    let journal = Journal::of_user(env, NAME, |_| ());
    let (Some(parent), Ok(journal)) = (Parent::of_process(), journal) else {
        return true;
    };
    // How many seconds are left to wait is no difference.
    let mut text = error.unwrap_or_default().to_vec();
    text.retain(|byte| !byte.is_ascii_digit());
    let shown = Entry {
        key: parent.key(&[&[b"error".as_slice()], request].concat()),
        pid: parent.pid,
        at: moment(),
        until: i64::MAX,
        // Not a token's, but the error's.
        generation: parent.key(&[&text]),
        state: State::Shown,
    };
    let last = last_of(journal.notes(), shown.key).filter(Entry::is_alive);
    let is_repeated = |last: Entry| {
        let is_same = error.is_none() || last.generation == shown.generation;
        is_same && ONE_COMMAND.contains(&(shown.at - last.at))
    };
    if last.is_some_and(is_repeated) {
        return false;
    }
    // Without the note, the error is shown again.
    let _ = journal.append(&shown.note(), notes_to_keep(Entry::is_alive));
    true
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (next, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*next)
}

/// What this parent received for this request and this account.
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
    /// For all requests of the same account.
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
    /// `record` names the account's record; `request` is the parent's complete request.
    pub(crate) fn open(env: &Env, terminal: Terminal, record: &str, request: &[&[u8]]) -> Self {
        let known = Parent::of_process().and_then(|parent| {
            let journal = Journal::of_user(env, NAME, |why| terminal.explain(1, || why));
            match journal {
                Ok(journal) => Some(Known::new(journal, parent, record, request)),
                Err(error) => {
                    terminal.explain(1, || {
                        format!("could not record which token was given to the client: {error}")
                    });
                    None
                }
            }
        });
        if known.is_none() {
            terminal.explain(1, || "refused tokens cannot be recognized here".to_owned());
        }
        Self { known, terminal }
    }

    pub(crate) fn turn(&self, now: OffsetDateTime) -> Turn {
        let last = self.known.as_ref().and_then(|known| known.last);
        last.map_or(Turn::First, |last| turn(&last, now))
    }

    /// Whether a sign-in for this parent has already failed.
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
            // There was a sign-in in the meantime.
            self.note(|known| known.login, State::HandedOut, 0, i64::MAX);
        }
        let state = match turn {
            Turn::First => State::HandedOut,
            Turn::Repeat(_) => State::Replaced,
            // The note is already there.
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
        let kept = notes_to_keep(Entry::is_alive);
        if let Err(error) = known.journal.append(&entry.note(), kept) {
            self.terminal.explain(1, || {
                format!("could not record which token was given to the client: {error}")
            });
        }
    }
}

/// The latest note about a key. The notes are in reverse order.
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
        State::HandedOut | State::Replaced | State::InVain | State::Shown => Turn::First,
    }
}

/// The notes to keep: the latest of each key whose parent is still running. The notes are in
/// reverse order.
fn notes_to_keep(is_alive: impl Fn(&Entry) -> bool) -> impl FnMut(&Note) -> bool {
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
    fn only_the_last_handout_of_each_living_parent_is_recorded() {
        let of = |key, pid| Entry {
            key,
            pid,
            ..entry(State::HandedOut, 5)
        };
        let mut kept = notes_to_keep(|entry| entry.pid == 1);
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
