//! A journal of notes that need to survive until the next reboot but don't justify a sync. It is in
//! the user's runtime folder, or else in the data folder.
//!
//! A note is appended in one write, so concurrent processes need no lock. A note that is lost while
//! the file is being shortened costs its reader a little work and nothing else. All notes have the
//! same length, because each run of a tool scans them. They must not contain secrets.
//!
//! <https://specifications.freedesktop.org/basedir-spec/latest/>

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use super::data_dir::data_dir;
use super::error::StoreError;
use super::folder::{Durable, Folder};
use crate::env::Env;

/// A power of two, so that no note crosses a page boundary: readers could briefly see only the
/// first part of such a note.
pub const NOTE_LEN: usize = 64;

pub type Note = [u8; NOTE_LEN];

/// A file with more notes than this is shortened before the next one is appended.
const MOST: usize = 192;

/// How many notes remain after shortening.
const LIMIT: usize = 128;

/// Far more than any of our files needs. No more than this is read.
const LONGEST: u64 = 1 << 20;

/// The folder in the data folder, for a user without a runtime folder.
pub(super) const FOLDER: &str = "runtime";

#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    /// Below the folder.
    name: String,
    file: File,
    /// The content when it was opened.
    bytes: Vec<u8>,
}

impl Journal {
    /// Opens a journal in the user's runtime folder. If there is none that is safe to use, opens
    /// one in the data folder and passes the reason to `explain`.
    pub fn of_user(
        env: &Env,
        name: &str,
        explain: impl FnOnce(String),
    ) -> Result<Self, StoreError> {
        let runtime = env.var_unrecorded("XDG_RUNTIME_DIR").map(PathBuf::from);
        let why = match runtime.filter(|path| path.is_absolute()) {
            None => "XDG_RUNTIME_DIR is not set to a folder".to_owned(),
            Some(runtime) => match Self::below(&runtime, name) {
                Ok(journal) => return Ok(journal),
                Err(error) => error.to_string(),
            },
        };
        explain(format!("{why}; using the data folder instead"));
        let data = Folder::open_or_create(&data_dir(env)?)?;
        Self::open(data, FOLDER, name)
    }

    /// Checks the runtime folder like the data folder, so that no other user can have created ours.
    fn below(runtime: &Path, name: &str) -> Result<Self, StoreError> {
        let folder = Folder::open(runtime)?.ok_or_else(|| missing("open", runtime))?;
        Self::open(folder, "hallpass", name)
    }

    fn open(folder: Folder, ours: &str, name: &str) -> Result<Self, StoreError> {
        let name = [ours, "/", name].concat();
        let opened = match folder.open_to_append(&name)? {
            None => {
                folder.subfolder_or_create(ours)?;
                folder.open_to_append(&name)?
            }
            opened => opened,
        };
        let (mut file, length) =
            opened.ok_or_else(|| missing("make", folder.path().join(&name)))?;
        // Notes that are appended later were not there when this began.
        let length = length.min(LONGEST);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        if length > 0 {
            let read = Read::by_ref(&mut file).take(length).read_to_end(&mut bytes);
            read.map_err(StoreError::io("read", folder.path().join(&name)))?;
        }
        Ok(Self {
            folder,
            name,
            file,
            bytes,
        })
    }

    /// The notes, newest first. They may include a torn one.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        let (notes, _) = self.bytes.as_chunks();
        notes.iter().rev()
    }

    /// Appends a note. If the file has grown too long, only the newest notes that `keep` accepts
    /// remain; `keep` is called from the newest to the oldest.
    pub fn append(
        &self,
        note: &Note,
        mut keep: impl FnMut(&Note) -> bool,
    ) -> Result<(), StoreError> {
        // A full disk may have left a partial note, and notes after it would not be found.
        let is_whole = self.bytes.len().is_multiple_of(NOTE_LEN);
        if is_whole && self.bytes.len() <= MOST * NOTE_LEN {
            let write = |mut file: &File| file.write_all(note);
            // Another process shortened it while this one was waiting for the user.
            let of_that_name = if Folder::is_nameless(&self.file) {
                self.folder.open_to_append(&self.name)?
            } else {
                None
            };
            let written = match &of_that_name {
                Some((file, _)) => write(file),
                None => write(&self.file),
            };
            let path = || self.folder.path().join(&self.name);
            return written.map_err(|error| StoreError::io("write", path())(error));
        }
        let notes = self.notes().filter(|note| keep(note)).take(LIMIT);
        let mut notes: Vec<Note> = [note].into_iter().chain(notes).copied().collect();
        notes.reverse();
        self.folder
            .replace(&self.name, notes.as_flattened(), Durable::No)
    }
}

fn missing(action: &'static str, path: impl Into<PathBuf>) -> StoreError {
    StoreError::io(action, path)(std::io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path(), mode).unwrap();
        }
        folder
    }

    fn numbered(number: usize) -> Note {
        let mut note = [0; NOTE_LEN];
        note[..8].copy_from_slice(&number.to_le_bytes());
        note
    }

    #[test]
    fn concurrent_notes_are_complete() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        let journals = [0; 8].map(|_| journal());
        std::thread::scope(|scope| {
            for (number, journal) in (0..).zip(&journals) {
                assert_eq!(journal.notes().count(), 0);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let note = [number; NOTE_LEN];
                        journal.append(&note, |_| unreachable!()).unwrap();
                    }
                });
            }
        });
        let read = journal();
        assert_eq!(read.notes().count(), 400);
        for note in read.notes() {
            assert_eq!(*note, [note[0]; NOTE_LEN]);
        }
    }

    #[test]
    fn a_journal_stays_bounded_and_keeps_the_newest_notes() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        let mut longest = 0;
        for number in 0..1000 {
            journal().append(&numbered(number), |_| true).unwrap();
            longest = longest.max(journal().notes().count());
        }
        assert_eq!(longest, MOST + 1);
        let read = journal();
        for (note, number) in read.notes().zip((0..1000).rev()).take(LIMIT) {
            assert_eq!(*note, numbered(number));
        }
    }

    #[test]
    fn shortening_keeps_only_the_accepted_notes() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        for number in 0..=MOST {
            journal()
                .append(&numbered(number), |_| unreachable!())
                .unwrap();
        }
        let is_wanted = |note: &Note| note[0] % 10 == 7;
        journal().append(&numbered(1000), is_wanted).unwrap();
        let read = journal();
        let notes: Vec<_> = read.notes().copied().collect();
        assert_eq!(notes[..3], [1000, 187, 177].map(numbered));
        assert_eq!(notes.last(), Some(&numbered(7)));
    }

    #[test]
    fn a_torn_note_does_not_affect_others() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        let append = |number| journal().append(&numbered(number), |_| true).unwrap();
        append(1);
        let mut file = File::options()
            .append(true)
            .open(folder.path().join("hallpass/j"))
            .unwrap();
        file.write_all(b"torn").unwrap();
        append(2);
        append(3);
        let read = journal();
        let notes: Vec<_> = read.notes().copied().collect();
        assert_eq!(notes, [3, 2, 1].map(numbered));
    }

    #[cfg(unix)]
    #[test]
    fn a_late_note_survives_a_concurrent_shortening() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        let waits = journal();
        for number in 0..MOST + 3 {
            journal().append(&numbered(number), |_| false).unwrap();
        }
        waits.append(&numbered(1000), |_| true).unwrap();
        assert_eq!(journal().notes().next(), Some(&numbered(1000)));
    }

    #[test]
    fn a_foreign_file_is_read_up_to_the_limit_only() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        journal();
        let file = File::options()
            .write(true)
            .open(folder.path().join("hallpass/j"))
            .unwrap();
        file.set_len(4 << 30).unwrap();
        assert_eq!(journal().bytes.len(), 1 << 20);
        journal().append(&numbered(1), |note| note[0] > 0).unwrap();
        assert_eq!(journal().bytes.len(), NOTE_LEN);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_or_file_that_others_could_have_created_is_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = private();
        let open = |runtime: &Path| Journal::below(runtime, "j");
        let open_to_all = folder.path().join("open");
        std::fs::create_dir(&open_to_all).unwrap();
        std::fs::set_permissions(&open_to_all, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            open(&open_to_all),
            Err(StoreError::TooOpen { .. })
        ));
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(matches!(open(&link), Err(StoreError::IsALink { .. })));
        assert!(open(&folder.path().join("missing")).is_err());

        open(folder.path()).unwrap();
        let file = folder.path().join("hallpass/j");
        std::fs::remove_file(&file).unwrap();
        symlink("/dev/null", &file).unwrap();
        assert!(matches!(
            open(folder.path()),
            Err(StoreError::IsALink { .. })
        ));
    }

    #[test]
    fn without_a_runtime_folder_the_journal_is_in_the_data_folder() {
        let folder = private();
        let data = folder.path().join("data");
        for runtime in [None, Some("relative"), Some("/nowhere/at/all")] {
            let mut vars = vec![("HALLPASS_DATA_DIR", data.to_str().unwrap())];
            vars.extend(runtime.map(|folder| ("XDG_RUNTIME_DIR", folder)));
            let env = Env::new(Vec::<&str>::new(), vars);
            let mut told = String::new();
            let journal = Journal::of_user(&env, "j", |why| told = why).unwrap();
            assert!(told.contains("the data folder"), "{told}");
            journal.append(&[1; NOTE_LEN], |_| true).unwrap();
        }
        let bytes = std::fs::read(data.join("runtime/j")).unwrap();
        assert_eq!(bytes, [1; 3 * NOTE_LEN]);
    }
}
