//! The files that a set-up changes: they are read once, edited in memory, and all written or none.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::content::{Content, bytes, is_absence, read, unusable};
use super::edit::{Edit, Unfit, link};
use super::error::SetupError;
use crate::config::file::{self, Staged};
use crate::config::{ConfigError, access_fix, shown_at_home};
use crate::env::Env;
use crate::error::Error;

/// A file as it was read, and as it should become.
pub(crate) struct Document {
    pub(crate) path: PathBuf,
    /// Its path, for the user.
    pub(crate) shown: String,
    /// The file without symbolic links.
    target: PathBuf,
    /// The target, if it is a link to a program.
    program: Option<PathBuf>,
    before: Content,
    pub(crate) now: Content,
    /// The changes as shown to the user: a sign and a line.
    pub(crate) lines: Vec<(char, String)>,
    lock: Option<PathBuf>,
}

impl Document {
    fn open(edit: &Edit, home: Option<&Path>) -> Result<Self, Error> {
        let path = &edit.path;
        let program = edit.program().map(Path::to_owned);
        let target = match &program {
            Some(_) => path.clone(),
            None => match file::target(path) {
                Err(cause) if !is_absence(&cause) => return Err(unusable(path, cause)),
                target => target.unwrap_or_else(|_| path.clone()),
            },
        };
        let before = read(path, program.as_deref())?;
        Ok(Self {
            shown: shown_at_home(path, home),
            lock: edit.kind().lock(path, &target),
            path: path.clone(),
            now: before.clone(),
            target,
            program,
            before,
            lines: Vec::new(),
        })
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        bytes(&self.now)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.before != self.now
    }

    /// Applies one edit.
    pub(crate) fn change(
        &mut self,
        edit: &Edit,
        change: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, Unfit>,
    ) -> Result<(), Error> {
        let changed = change(self.bytes()).map_err(|why| SetupError::Unfit {
            file: self.shown.clone(),
            why: why.to_string(),
        })?;
        self.replace(std::iter::once(edit), changed);
        Ok(())
    }

    /// Replaces its bytes, and adds the changed lines in the places of these edits.
    pub(crate) fn replace<'e>(
        &mut self,
        edits: impl Iterator<Item = &'e Edit>,
        bytes: Option<Vec<u8>>,
    ) {
        for edit in edits {
            let before = edit.kind().view(self.bytes());
            let after = edit.kind().view(bytes.as_deref());
            self.lines.extend(differences(&before, &after));
        }
        self.now = bytes.map(Zeroizing::new);
    }

    fn is_current(&self) -> Result<bool, Error> {
        Ok(read(&self.path, self.program.as_deref())? == self.before)
    }

    /// A file without any write permission is read-only on purpose, and root must respect that too.
    fn check_writable(&self) -> Result<(), Error> {
        let is_read_only =
            std::fs::metadata(&self.target).is_ok_and(|metadata| metadata.permissions().readonly());
        if self.program.is_some() || !is_read_only {
            return Ok(());
        }
        let lines = self.lines.iter();
        Err(SetupError::ReadOnly {
            file: self.shown.clone(),
            lines: lines.fold(String::new(), |all, (sign, line)| {
                format!("{all}{sign} {line}\n")
            }),
        }
        .into())
    }

    /// Does everything that is likely to fail. What it returns does the rest.
    fn stage(&self, content: &Content) -> io::Result<Commit> {
        let (path, target) = (self.path.clone(), self.target.clone());
        Ok(match (self.program.clone(), content) {
            (Some(program), Some(_)) => Box::new(move || link::make(&program, &path)),
            (None, Some(bytes)) => {
                let staged = Staged::of(&path, bytes)?;
                Box::new(|| staged.commit())
            }
            (_, None) => {
                file::check_removable(&target)?;
                Box::new(move || match std::fs::remove_file(target) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                })
            }
        })
    }

    fn put_back(&self) {
        // The first error is the one to report.
        let _ = self.stage(&self.before).and_then(|commit| commit());
    }
}

/// The last step for one file.
type Commit = Box<dyn FnOnce() -> io::Result<()>>;

/// Each file once, in the order of the edits.
pub(crate) struct Documents {
    all: Vec<Document>,
    home: Option<PathBuf>,
}

impl Documents {
    pub(crate) fn new(env: &Env) -> Self {
        Self {
            all: Vec::new(),
            home: crate::config::home(env).ok(),
        }
    }

    pub(crate) fn of(&mut self, edit: &Edit) -> Result<&mut Document, Error> {
        let known = self
            .all
            .iter()
            .position(|document| document.path == edit.path);
        let known = known.or_else(|| {
            let target = file::target(&edit.path).ok()?;
            let mut files = self.all.iter();
            files.position(|one| one.program.is_none() && one.target == target)
        });
        let index = if let Some(index) = known {
            index
        } else {
            self.all.push(Document::open(edit, self.home.as_deref())?);
            self.all.len() - 1
        };
        Ok(&mut self.all[index])
    }

    pub(crate) fn changed(&self) -> impl Iterator<Item = &Document> {
        self.all.iter().filter(|document| document.is_changed())
    }

    /// The edited bytes of a file, empty if there is no file; `None` if no edit is about it.
    pub(crate) fn after(&self, path: &Path) -> Option<&[u8]> {
        let document = self.all.iter().find(|document| document.path == path)?;
        Some(document.bytes().unwrap_or_default())
    }

    /// Whether no file has changed since it was read.
    pub(crate) fn are_current(&self) -> Result<bool, Error> {
        let mut documents = self.all.iter();
        documents.try_fold(true, |all, document| Ok(all && document.is_current()?))
    }

    /// Takes the locks that the programs of these files take before they write.
    pub(crate) fn lock(&self) -> Result<Vec<ProgramLock>, Error> {
        let locks = self
            .changed()
            .filter_map(|one| Some((one, one.lock.clone()?)));
        locks
            .map(|(one, lock)| ProgramLock::take(one, lock))
            .collect()
    }

    /// Checks that the files can be written, before the user is asked.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.changed().try_for_each(Document::check_writable)
    }

    /// Does everything that is likely to fail, and changes nothing.
    pub(crate) fn rehearse(&self) -> Result<(), Error> {
        let _locks = self.lock()?;
        self.staged().map(drop)
    }

    fn unwritable(&self, document: &Document, cause: io::Error) -> ConfigError {
        ConfigError::Unwritable {
            file: document.shown.clone(),
            fix: access_fix(&document.target, self.home.as_deref(), &cause),
            cause,
        }
    }

    fn staged(&self) -> Result<Vec<(&Document, Commit)>, Error> {
        self.check()?;
        let mut ready = Vec::new();
        for document in self.changed() {
            let staged = document.stage(&document.now);
            ready.push((
                document,
                staged.map_err(|cause| self.unwritable(document, cause))?,
            ));
        }
        Ok(ready)
    }

    /// Writes all files or none.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let ready = self.staged()?;
        let mut written = Vec::new();
        for (document, commit) in ready {
            if let Err(cause) = commit() {
                written.into_iter().rev().for_each(Document::put_back);
                return Err(self.unwritable(document, cause).into());
            }
            written.push(document);
        }
        Ok(())
    }
}

/// Keeps another program from writing its file.
#[derive(Debug)]
pub(crate) struct ProgramLock(PathBuf);

impl ProgramLock {
    fn take(document: &Document, lock: PathBuf) -> Result<Self, Error> {
        match std::fs::File::create_new(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(SetupError::Locked {
                file: document.shown.clone(),
                lock,
            }
            .into()),
            // The folder is created with the file later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(lock)),
            Err(cause) => Err(ConfigError::unwritable(&lock, None, cause).into()),
        }
    }
}

impl Drop for ProgramLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The lines that differ, without equal lines at the beginning and at the end.
fn differences(before: &[String], after: &[String]) -> Vec<(char, String)> {
    let same = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let ends = before[same..].iter().rev().zip(after[same..].iter().rev());
    let end = ends.take_while(|(a, b)| a == b).count();
    let signed = |sign, lines: &[String]| {
        let lines = lines[same..lines.len() - end].iter();
        lines
            .map(move |line| (sign, line.clone()))
            .collect::<Vec<_>>()
    };
    [signed('-', before), signed('+', after)].concat()
}
