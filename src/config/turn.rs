//! A lock on the user's file: one process at a time reads it, edits it and writes it back.
//!
//! A set-up also changes other programs' files, and holds the lock until all of them are written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::ConfigError;
use super::shown::shown_at_home;
use super::{file, folders};
use crate::env::Env;
use crate::store::{Holder, Lock};

/// How long a set-up waits for others before it says so.
const QUIET: Duration = Duration::from_secs(2);
/// How long it waits in total: long enough for many simultaneous set-ups, each of which runs git or
/// kubectl a few times.
const PATIENCE: Duration = Duration::from_secs(60);

/// Held from before the user's file is read until after it is written.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(crate) struct Turn {
    lock: Option<Lock>,
    path: PathBuf,
    /// The folders that were created only for the lock, and those that may be removed with it; the
    /// outermost last. Those that contain a file by then stay.
    folders: Vec<PathBuf>,
}

impl Turn {
    /// Waits for the lock. After two seconds, calls `waiting` once with the process that holds it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Busy`] if another process holds it for too long, and
    /// [`ConfigError::Unwritable`] if its folder cannot be written.
    pub(crate) fn take(
        env: &Env,
        waiting: impl FnOnce(Option<&Holder>),
    ) -> Result<Self, ConfigError> {
        let (path, _) = folders::user_file(env)?;
        let home = folders::home(env).ok();
        let shown = || shown_at_home(&path, home.as_deref());
        let unwritable = |cause| ConfigError::unwritable(&path, home.as_deref(), cause);
        // Beside the link's target, so that two links to one file share one lock.
        let target = file::target(&path).map_err(unwritable)?;
        let folder = target.parent().unwrap_or(&target).to_owned();
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let mut turn = Self {
            lock: None,
            path: folder.join(name),
            folders: Vec::new(),
        };
        let started = Instant::now();
        let mut waiting = Some(waiting);
        let mut deadline = started + QUIET;
        loop {
            let missing = folder.ancestors().take_while(|folder| !folder.exists());
            turn.folders.extend(missing.map(Path::to_owned));
            let lock = file::create_folder(&folder)
                .and_then(|()| turn.open())
                .and_then(|file| Lock::acquire(file, deadline));
            match lock {
                Ok(Ok(lock)) => {
                    turn.lock = Some(lock);
                    // The previous holder has removed the lock's file.
                    if turn.is_named() {
                        file::sweep(&target);
                        return Ok(turn);
                    }
                    turn.lock = None;
                }
                Ok(Err(holder)) => match waiting.take() {
                    Some(waiting) => {
                        waiting(holder.as_ref());
                        deadline = started + PATIENCE;
                    }
                    None => {
                        return Err(ConfigError::Busy {
                            file: shown(),
                            holder,
                        });
                    }
                },
                // The previous holder has removed the lock's folder.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {}
                Err(error) => return Err(unwritable(error)),
            }
        }
    }

    /// Whether this folder did not exist before the lock was created.
    pub(crate) fn has_created(&self, folder: &Path) -> bool {
        self.folders.iter().any(|created| created == folder)
    }

    /// Removes these folders at the end, if they are empty then.
    pub(crate) fn remove_if_empty<'f>(&mut self, folders: impl Iterator<Item = &'f PathBuf>) {
        self.folders.extend(folders.cloned());
        self.folders
            .sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    }

    fn open(&self) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            options.mode(0o600).custom_flags(flags.bits().cast_signed());
        }
        options.open(&self.path)
    }

    #[cfg(unix)]
    fn is_named(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let held = self.lock.as_ref().and_then(Lock::metadata);
        let named = fs::symlink_metadata(&self.path).ok();
        held.zip(named)
            .is_some_and(|(held, named)| (held.dev(), held.ino()) == (named.dev(), named.ino()))
    }

    /// The file stays, because an open file cannot be removed here.
    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "as on Unix")]
    fn is_named(&self) -> bool {
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // Before the lock is released. If this fails, an empty file is left for the next holder.
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
        self.lock = None;
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}
