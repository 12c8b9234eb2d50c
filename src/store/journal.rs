//! A file of lines for what is worth remembering until the next start of the machine, and not
//! worth a sync: in the user's runtime folder, where there is one, else in the data folder.
//!
//! A line is appended whole, so processes that write at once need no lock; what was forgotten
//! because the file was just being shortened costs its reader a little work and nothing else. No
//! line may hold a secret.
//!
//! <https://specifications.freedesktop.org/basedir-spec/latest/>

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::folder::{Durable, Folder};
use crate::env::Env;

/// Beyond this length a file is shortened before it grows on.
const LONG: u64 = 64 << 10;

#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    name: &'static str,
}

impl Journal {
    /// A journal in the user's runtime folder. Where there is none that is safe to use, it is in
    /// the data folder, and `explain` is told why.
    pub fn of_user(
        env: &Env,
        name: &'static str,
        explain: impl FnOnce(String),
    ) -> Result<Self, StoreError> {
        let data_dir = super::data_dir(env)?;
        let runtime = env.var_in_passing("XDG_RUNTIME_DIR").map(PathBuf::from);
        let why = match runtime.filter(|path| path.is_absolute()) {
            None => "XDG_RUNTIME_DIR names no folder".to_owned(),
            Some(runtime) => match Self::open(Some(&runtime), &data_dir, name) {
                Ok(journal) => return Ok(journal),
                Err(error) => error.to_string(),
            },
        };
        explain(format!("{why}: the data folder serves instead"));
        Self::open(None, &data_dir, name)
    }

    /// Opens the folder, which is checked as the data folder is; the file need not be there yet.
    fn open(
        runtime: Option<&Path>,
        data_dir: &Path,
        name: &'static str,
    ) -> Result<Self, StoreError> {
        let folder = match runtime {
            Some(runtime) => Folder::open(runtime)?.ok_or_else(|| {
                StoreError::io("open", runtime)(std::io::ErrorKind::NotFound.into())
            })?,
            None => Folder::open_or_create(data_dir)?,
        };
        let below = if runtime.is_some() {
            "hallpass"
        } else {
            "runtime"
        };
        Ok(Self {
            folder: folder.subfolder_or_create(below)?,
            name,
        })
    }

    /// All of it; what is no text is not there.
    pub fn read(&self) -> Result<String, StoreError> {
        let bytes = self.folder.read(self.name)?.unwrap_or_default();
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// Appends a line. A file that has grown long is first cut down to what `shorten` leaves of it.
    pub fn append(
        &self,
        line: &str,
        shorten: impl FnOnce(&str) -> String,
    ) -> Result<(), StoreError> {
        let path = || self.folder.path().join(self.name);
        let mut file = self.folder.open_to_append(self.name)?;
        let length = file.metadata().map_err(StoreError::io("look at", path()))?;
        if length.len() > LONG {
            let mut kept = shorten(&self.read()?);
            kept.push_str(line);
            return self.folder.replace(self.name, kept.as_bytes(), Durable::No);
        }
        file.write_all(line.as_bytes())
            .map_err(StoreError::io("write", path()))
    }
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

    #[test]
    fn lines_of_many_at_once_are_whole_and_the_file_does_not_grow_without_end() {
        let folder = private();
        let journal = || Journal::open(Some(folder.path()), Path::new("/nowhere"), "j").unwrap();
        assert_eq!(journal().read().unwrap(), "");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let journal = journal();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let line = format!("{}\n", number.to_string().repeat(100));
                        journal.append(&line, |_| unreachable!()).unwrap();
                    }
                });
            }
        });
        let text = journal().read().unwrap();
        assert_eq!(text.lines().count(), 400);
        for line in text.lines() {
            assert_eq!(line.len(), 100);
            assert!(line.chars().all(|c| line.starts_with(c)), "{line}");
        }
        let mut longest = 0;
        for _ in 0..1000 {
            let line = format!("{}\n", "x".repeat(100));
            let last = |text: &str| {
                text.lines()
                    .last()
                    .map_or(String::new(), |l| format!("{l}\n"))
            };
            journal().append(&line, last).unwrap();
            longest = longest.max(journal().read().unwrap().len());
        }
        assert!(longest < 66 << 10, "{longest}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_or_a_file_that_others_could_have_made_is_refused() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = private();
        let open = |runtime: &Path| Journal::open(Some(runtime), Path::new("/nowhere"), "j");
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

        let journal = open(folder.path()).unwrap();
        let file = folder.path().join("hallpass/j");
        symlink("/dev/null", &file).unwrap();
        assert!(journal.read().is_err());
        assert!(journal.append("x\n", str::to_owned).is_err());
    }

    #[test]
    fn without_a_runtime_folder_it_is_in_the_data_folder() {
        let folder = private();
        let data = folder.path().join("data");
        let journal = Journal::open(None, &data, "j").unwrap();
        journal.append("x\n", str::to_owned).unwrap();
        assert_eq!(
            std::fs::read_to_string(data.join("runtime/j")).unwrap(),
            "x\n"
        );
    }
}
