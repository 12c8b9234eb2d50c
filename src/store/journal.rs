//! A file of lines for what is worth remembering until the next start of the machine, and not
//! worth a sync: in the user's runtime folder, where there is one, else in the data folder.
//!
//! A line is appended whole, so processes that write at once need no lock; what was forgotten
//! because the file was just being shortened costs its reader a little work and nothing else. No
//! line may hold a secret.
//!
//! <https://specifications.freedesktop.org/basedir-spec/latest/>

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::folder::{Durable, Folder};
use crate::env::Env;

/// Beyond this length a file is shortened before it grows on.
const LONG: usize = 64 << 10;

#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    name: &'static str,
    file: File,
    /// What stood there when it was opened.
    text: String,
}

impl Journal {
    /// A journal in the user's runtime folder. Where there is none that is safe to use, it is in
    /// the data folder, and `explain` is told why.
    pub fn of_user(
        env: &Env,
        name: &'static str,
        explain: impl FnOnce(String),
    ) -> Result<Self, StoreError> {
        let runtime = env.var_in_passing("XDG_RUNTIME_DIR").map(PathBuf::from);
        let why = match runtime.filter(|path| path.is_absolute()) {
            None => "XDG_RUNTIME_DIR names no folder".to_owned(),
            Some(runtime) => match Self::below(&runtime, name) {
                Ok(journal) => return Ok(journal),
                Err(error) => error.to_string(),
            },
        };
        explain(format!("{why}: the data folder serves instead"));
        let data = Folder::open_or_create(&super::data_dir(env)?)?;
        Self::open(data.subfolder_or_create("runtime")?, name)
    }

    /// The runtime folder and ours in it are checked as the data folder is.
    fn below(runtime: &Path, name: &'static str) -> Result<Self, StoreError> {
        let missing = || StoreError::io("open", runtime)(std::io::ErrorKind::NotFound.into());
        let folder = Folder::open(runtime)?.ok_or_else(missing)?;
        Self::open(folder.subfolder_or_create("hallpass")?, name)
    }

    fn open(folder: Folder, name: &'static str) -> Result<Self, StoreError> {
        let (mut file, length) = folder.open_to_append(name)?;
        // What others append meanwhile was not there when this began.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        if length > 0 {
            let read = Read::by_ref(&mut file).take(length).read_to_end(&mut bytes);
            read.map_err(StoreError::io("read", folder.path().join(name)))?;
        }
        Ok(Self {
            // A line that is no text is no line of ours; the others still are.
            text: String::from_utf8_lossy(&bytes).into_owned(),
            folder,
            name,
            file,
        })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends a line. A file that has grown long is first cut down to what `shorten` leaves of it.
    pub fn append(
        &self,
        line: &str,
        shorten: impl FnOnce(&str) -> String,
    ) -> Result<(), StoreError> {
        if self.text.len() > LONG {
            let mut kept = shorten(&self.text);
            kept.push_str(line);
            return self.folder.replace(self.name, kept.as_bytes(), Durable::No);
        }
        let path = || self.folder.path().join(self.name);
        (&self.file)
            .write_all(line.as_bytes())
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
        let journal = || Journal::below(folder.path(), "j").unwrap();
        assert_eq!(journal().text(), "");
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
        let read = journal();
        let text = read.text();
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
            longest = longest.max(journal().text().len());
        }
        assert!(longest < 66 << 10, "{longest}");
    }

    #[test]
    fn a_line_that_is_no_text_costs_itself_and_nothing_else() {
        let folder = private();
        let journal = || Journal::below(folder.path(), "j").unwrap();
        journal().append("one\n", |_| unreachable!()).unwrap();
        let mut file = File::options()
            .append(true)
            .open(folder.path().join("hallpass/j"))
            .unwrap();
        file.write_all(b"\xff\xfe\n").unwrap();
        journal().append("two\n", |_| unreachable!()).unwrap();
        let read = journal();
        let lines: Vec<_> = read.text().lines().collect();
        assert_eq!((lines[0], lines[2]), ("one", "two"));
        // And the file is still known to be long.
        file.write_all("x".repeat(LONG).as_bytes()).unwrap();
        journal()
            .append("\nlast\n", |_| "short".to_owned())
            .unwrap();
        assert_eq!(journal().text(), "short\nlast\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_or_a_file_that_others_could_have_made_is_refused() {
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
    fn without_a_runtime_folder_it_is_in_the_data_folder() {
        let folder = private();
        let data = folder.path().join("data");
        for runtime in [None, Some("relative"), Some("/nowhere/at/all")] {
            let mut vars = vec![("HALLPASS_DATA_DIR", data.to_str().unwrap())];
            vars.extend(runtime.map(|folder| ("XDG_RUNTIME_DIR", folder)));
            let env = Env::new(Vec::<&str>::new(), vars);
            let mut told = String::new();
            let journal = Journal::of_user(&env, "j", |why| told = why).unwrap();
            assert!(told.contains("the data folder"), "{told}");
            journal.append("x\n", str::to_owned).unwrap();
        }
        let text = std::fs::read_to_string(data.join("runtime/j")).unwrap();
        assert_eq!(text, "x\nx\nx\n");
    }
}
