//! The configuration's files, each read after a check of who could have written it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::ConfigError;
use super::file::{self, Kind, Unusable};
use super::folders;
use super::section::{Name, Source, UnknownKeys};
use super::user_file::UserFile;
use crate::env::Env;

/// The configuration's files as they were read, each after a check of who could have written it.
pub struct Sources {
    pub(crate) system: Option<Source>,
    pub(crate) user: Option<Source>,
    /// The user's file, whether or not it exists.
    pub(crate) file: Name,
}

impl Sources {
    /// Reads the system's and the user's file.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        Self::read_files(folders::system_file().as_deref(), Kind::System, env)
    }

    /// The system's file, and the edited user's file as if it were written.
    pub(crate) fn edited(edited: &UserFile) -> Result<Self, ConfigError> {
        let system = folders::system_file()
            .map(|path| read_system(&path, Kind::System, None))
            .transpose()?
            .flatten();
        let user = edited.source();
        Ok(Self {
            system,
            file: user.name.clone(),
            user: Some(user),
        })
    }

    /// `kind` decides who may have written the system's file.
    pub(crate) fn read_files(
        system_file: Option<&Path>,
        kind: Kind,
        env: &Env,
    ) -> Result<Self, ConfigError> {
        let (user_path, must_exist) = folders::user_file(env)?;
        let home = folders::home(env).ok();

        let system = system_file
            .map(|path| read_system(path, kind, home.clone()))
            .transpose()?
            .flatten();
        let user = read(&user_path, Kind::User, UnknownKeys::Refused, home.clone())?;
        let file = Name::File {
            path: user_path,
            home,
        };
        if user.is_none() && must_exist {
            return Err(ConfigError::Absent { file: file.shown() });
        }
        Ok(Self { system, user, file })
    }

    /// The exact content of the system's and the user's file.
    pub fn texts(&self) -> [Option<&str>; 2] {
        [&self.system, &self.user].map(|source| source.as_ref().map(|source| source.text.as_str()))
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The file may be for a newer version, so unknown keys are ignored.
fn read_system(
    path: &Path,
    kind: Kind,
    home: Option<PathBuf>,
) -> Result<Option<Source>, ConfigError> {
    read(path, kind, UnknownKeys::Ignored(RefCell::default()), home)
}

/// Reads one file, if it exists and no other user can have written it.
fn read(
    path: &Path,
    kind: Kind,
    unknown_keys: UnknownKeys,
    home: Option<PathBuf>,
) -> Result<Option<Source>, ConfigError> {
    let name = Name::File {
        path: path.to_owned(),
        home: home.clone(),
    };
    let text: Zeroizing<String> = match file::read(path, kind) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(Unusable::Untrusted(why)) => {
            let file = name.shown();
            return Err(ConfigError::Untrusted { file, why });
        }
        Err(Unusable::Unreadable(cause)) => {
            return Err(ConfigError::unreadable(path, home.as_deref(), cause));
        }
    };
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Some(Source {
        name,
        text,
        folder,
        home,
        unknown_keys,
    }))
}
