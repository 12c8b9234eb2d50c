//! Who was handed which token: how a refused token is told from a first request.
//!
//! An exec plugin is told of no 401: it is only started again. So the same parent that asks the
//! same thing anew, before the expiry that it was told, has been refused; or it keeps nothing.
//! The first repeat is taken for a refusal, and the next shows that it was none.
//!
//! A parent is known by boot, pid namespace, pid and start time, and what it asks by a digest of
//! the whole request, cluster included: one that talks to two clusters asks two things. That
//! somebody was asked to sign in for a parent, in vain, stands here as well, until that parent
//! ends: a tool that polls all night must not open a tab every few minutes.
//!
//! Linux only: elsewhere there is no such thing as a parent's start time that can be had for
//! nothing, and each request is a first one.

use time::OffsetDateTime;

use crate::credential::Generation;
use crate::env::Env;
use crate::store::{Journal, digest};
use crate::terminal::Terminal;

/// The journal of all hand-outs to kubectl and its kind.
const NAME: &str = "kubectl";

/// More than one person's programs that live at once; the rest is forgotten.
const MOST: usize = 256;

/// What was done for a key last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    HandedOut,
    /// A repeat was taken for a refusal.
    Replaced,
    /// A further repeat: it forgets what it is handed.
    KeepsNothing,
    /// Somebody was asked to sign in, in vain.
    InVain,
}

const STATES: &[(&str, State)] = &[
    ("handed-out", State::HandedOut),
    ("replaced", State::Replaced),
    ("keeps-nothing", State::KeepsNothing),
    ("in-vain", State::InVain),
];

impl State {
    fn word(self) -> &'static str {
        let named = STATES.iter().find(|(_, one)| *one == self);
        named.map_or("", |(word, _)| word)
    }
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    /// This generation seems to have been refused.
    Repeat(Generation),
    /// By a parent that keeps nothing.
    Again,
}

/// One line of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    key: &'a str,
    pid: u32,
    /// The parent's start time, in ticks since boot.
    started: u64,
    /// The expiry that was reported, in seconds since 1970; `i64::MAX`: none was.
    until: i64,
    generation: Generation,
    state: State,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let entry = Self {
            key: words.next()?,
            pid: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            until: words.next()?.parse().ok()?,
            generation: words.next()?.parse().ok()?,
            state: words
                .next()
                .and_then(|word| STATES.iter().find(|(name, _)| *name == word))?
                .1,
        };
        words.next().is_none().then_some(entry)
    }

    fn line(&self) -> String {
        let Self {
            key,
            pid,
            started,
            until,
            generation,
            state,
        } = self;
        let state = state.word();
        format!("{key} {pid} {started} {until} {generation} {state}\n")
    }
}

/// The process that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    pid: u32,
    started: u64,
    /// Boot and pid namespace, without which the two above say nothing.
    world: String,
}

impl Parent {
    /// `None` where there is no proc(5) to ask.
    fn of_process() -> Option<Self> {
        #[cfg(unix)]
        let pid = std::os::unix::process::parent_id();
        #[cfg(not(unix))]
        let pid = 0;
        let boot = of_proc("/proc/sys/kernel/random/boot_id")?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        Some(Self {
            pid,
            started: started(pid)?,
            world: format!("{} {}", boot.trim(), namespace.display()),
        })
    }

    fn key(&self, parts: &[&[u8]]) -> String {
        let who = format!("{} {} {}", self.world, self.pid, self.started);
        let mut key = digest(&[&[who.as_bytes()], parts].concat());
        key.truncate(32);
        key
    }
}

/// `proc_pid_stat(5)`, field 22: the name before it stands in brackets and may hold anything.
fn started(pid: u32) -> Option<u64> {
    let stat = of_proc(&format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// A short file of proc(5), which is made whole for one read.
fn of_proc(path: &str) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = [0; 1024];
    let count = std::fs::File::open(path).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// What this parent was handed, for this request and this account.
pub(super) struct Handouts {
    known: Option<Known>,
    terminal: Terminal,
}

struct Known {
    journal: Journal,
    parent: Parent,
    /// For the whole request.
    request: String,
    /// The account's.
    record: String,
}

impl Known {
    /// For whatever is asked of the same account.
    fn login(&self) -> String {
        self.parent.key(&[self.record.as_bytes()])
    }
}

impl Handouts {
    /// `record` names the account's record, `request` is all that the parent said.
    pub(super) fn open(env: &Env, terminal: Terminal, record: &str, request: &[&[u8]]) -> Self {
        let known = Parent::of_process().and_then(|parent| {
            let journal = Journal::of_user(env, NAME, |why| terminal.explain(1, || why));
            match journal {
                Ok(journal) => Some(Known {
                    request: parent.key(&[&[record.as_bytes()], request].concat()),
                    record: record.to_owned(),
                    journal,
                    parent,
                }),
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

    pub(super) fn turn(&self, now: OffsetDateTime) -> Turn {
        self.last().map_or(Turn::First, |last| turn(&last, now))
    }

    /// Whether somebody was already asked for this parent, in vain.
    pub(super) fn was_in_vain(&self) -> bool {
        self.known.as_ref().is_some_and(|known| {
            let text = known.journal.text();
            // Hardly ever does anybody's line say so.
            text.contains(State::InVain.word())
                && last_of(text, &known.login()).is_some_and(|last| last.state == State::InVain)
        })
    }

    pub(super) fn handed_out(
        &self,
        turn: Turn,
        generation: Generation,
        until: Option<OffsetDateTime>,
    ) {
        if self.was_in_vain() {
            // Somebody has signed in since.
            self.note(Known::login, State::HandedOut, 0, i64::MAX);
        }
        let state = match (turn, self.last().map(|last| last.state)) {
            (Turn::First, _) => State::HandedOut,
            (Turn::Repeat(_), _) => State::Replaced,
            // What would be written stands there already.
            (Turn::Again, Some(State::KeepsNothing)) => return,
            (Turn::Again, _) => State::KeepsNothing,
        };
        let until = until.map_or(i64::MAX, OffsetDateTime::unix_timestamp);
        self.note(|known| known.request.clone(), state, generation, until);
    }

    pub(super) fn asked_in_vain(&self) {
        self.note(Known::login, State::InVain, 0, i64::MAX);
    }

    fn last(&self) -> Option<Entry<'_>> {
        let known = self.known.as_ref()?;
        last_of(known.journal.text(), &known.request)
    }

    fn note(
        &self,
        key: impl FnOnce(&Known) -> String,
        state: State,
        generation: Generation,
        until: i64,
    ) {
        let Some(known) = &self.known else { return };
        let entry = Entry {
            key: &key(known),
            pid: known.parent.pid,
            started: known.parent.started,
            until,
            generation,
            state,
        };
        let line = entry.line();
        let is_alive = |entry: &Entry<'_>| started(entry.pid) == Some(entry.started);
        let written = known
            .journal
            .append(&line, |text| shortened(text, is_alive));
        if let Err(error) = written {
            self.terminal.explain(1, || {
                format!("what was handed out cannot be remembered: {error}")
            });
        }
    }
}

fn last_of<'t>(text: &'t str, key: &str) -> Option<Entry<'t>> {
    text.lines()
        .rev()
        .filter(|line| line.starts_with(key))
        .find_map(Entry::parse)
}

fn turn(last: &Entry<'_>, now: OffsetDateTime) -> Turn {
    let has_expired = last.until <= now.unix_timestamp();
    match last.state {
        State::KeepsNothing => Turn::Again,
        State::HandedOut if !has_expired => Turn::Repeat(last.generation),
        State::Replaced if !has_expired => Turn::Again,
        State::HandedOut | State::Replaced | State::InVain => Turn::First,
    }
}

/// The last line of each key whose parent is still there.
fn shortened(text: &str, is_alive: impl Fn(&Entry<'_>) -> bool) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<_> = text
        .lines()
        .rev()
        .filter_map(Entry::parse)
        .filter(|entry| seen.insert(entry.key) && is_alive(entry))
        .take(MOST)
        .map(|entry| entry.line())
        .collect();
    kept.reverse();
    kept.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn entry(state: State, until: i64) -> Entry<'static> {
        Entry {
            key: KEY,
            pid: 1,
            started: 2,
            until,
            generation: 3,
            state,
        }
    }

    #[test]
    fn a_repeat_before_the_reported_expiry_is_a_refusal_and_the_next_one_is_none() {
        use State::{HandedOut, InVain, KeepsNothing, Replaced};
        for (state, until, now, expected) in [
            (HandedOut, 100, 99, Turn::Repeat(3)),
            (HandedOut, 100, 100, Turn::First),
            (HandedOut, i64::MAX, 100, Turn::Repeat(3)),
            (Replaced, 100, 99, Turn::Again),
            (Replaced, 100, 100, Turn::First),
            (KeepsNothing, 100, 99, Turn::Again),
            (KeepsNothing, 100, 100, Turn::Again),
            (InVain, i64::MAX, 100, Turn::First),
        ] {
            let found = turn(&entry(state, until), at(now));
            assert_eq!(found, expected, "{state:?} {until} {now}");
        }
    }

    #[test]
    fn a_line_is_read_back_and_what_is_none_is_not_there() {
        for (_, state) in STATES {
            let entry = entry(*state, i64::MAX);
            assert_eq!(Entry::parse(entry.line().trim_end()), Some(entry));
        }
        for line in [
            "",
            "x",
            "k 1 2 3 4",
            "k 1 2 3 4 lost",
            "k 1 2 3 4 replaced x",
            "k a 2 3 4 replaced",
        ] {
            assert_eq!(Entry::parse(line), None, "{line}");
        }
        let line = entry(State::HandedOut, 5).line();
        let torn = format!("{line}{KEY}\n{KEY} 1 2");
        assert_eq!(last_of(&torn, KEY), Some(entry(State::HandedOut, 5)));
        assert_eq!(last_of("", KEY), None);
    }

    #[test]
    fn the_last_line_of_a_key_counts() {
        let other = Entry {
            key: "ffffffffffffffffffffffffffffffff",
            ..entry(State::InVain, 9)
        };
        let text = [
            entry(State::HandedOut, 5).line(),
            entry(State::Replaced, 7).line(),
            other.line(),
        ]
        .concat();
        assert_eq!(last_of(&text, KEY), Some(entry(State::Replaced, 7)));
    }

    #[test]
    fn what_is_cut_down_keeps_the_living_and_their_last() {
        let dead = Entry {
            key: "dead",
            pid: 9,
            ..entry(State::HandedOut, 5)
        };
        let text = [
            entry(State::HandedOut, 5).line(),
            dead.line(),
            "rubbish\n".to_owned(),
            entry(State::Replaced, 7).line(),
        ]
        .concat();
        assert_eq!(
            shortened(&text, |entry| entry.pid == 1),
            entry(State::Replaced, 7).line()
        );
        let mut many = String::new();
        for number in 0..MOST * 2 {
            let key = format!("{number:032x}");
            many.push_str(&Entry { key: &key, ..dead }.line());
        }
        let kept = shortened(&many, |_| true);
        assert_eq!(kept.lines().count(), MOST);
        assert!(many.ends_with(&kept), "the newest are kept, in order");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_parent_is_told_by_its_start_and_by_what_it_asks() {
        let parent = Parent::of_process().unwrap();
        assert_eq!(started(parent.pid), Some(parent.started));
        assert_eq!(started(0), None);
        let key = parent.key(&[b"a", b"b"]);
        assert_eq!(key.len(), 32);
        assert_eq!(parent.key(&[b"a", b"b"]), key);
        assert_ne!(parent.key(&[b"ab", b""]), key);
        let later = Parent {
            started: parent.started + 1,
            ..parent.clone()
        };
        let elsewhere = Parent {
            world: String::new(),
            ..parent
        };
        assert_ne!(later.key(&[b"a", b"b"]), key);
        assert_ne!(elsewhere.key(&[b"a", b"b"]), key);
    }
}
