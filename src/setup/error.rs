//! The errors of set-ups.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::config::access_fix;
use crate::shell::{delete_command, list_command, move_away_command, quoted, quoted_at_home};

/// After one of these errors, no file is changed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{file} {why}")]
    Unfit { file: String, why: String },
    #[error("{file} cannot be edited")]
    Unusable {
        file: String,
        #[source]
        cause: std::io::Error,
        /// How the user gets access to it.
        fix: Option<String>,
    },
    #[error("{file} is read-only")]
    ReadOnly {
        file: String,
        /// The changes that the set-up would have made, for the user.
        lines: String,
    },
    #[error("another program is writing {file}")]
    Locked { file: String, lock: PathBuf },
    #[error("the record of this set-up was written by a newer hallpass, or is damaged ({})", path.display())]
    NewerRecord { path: PathBuf },
    #[error("cannot write {}, which `--undo` needs", path.display())]
    UnwritableRecord {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot read the records of set-ups in {}", folder.display())]
    UnreadableRecords {
        folder: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

impl SetupError {
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unusable { fix: Some(fix), .. } => {
                format!("nothing was changed; {fix}, then run this command again")
            }
            Self::Unusable { file, cause, .. }
                if cfg!(windows) && cause.kind() == ErrorKind::PermissionDenied =>
            {
                format!(
                    "nothing was changed; check `{}`, and that no other program has the file open, \
                     then run this command again",
                    list_command(&quoted_at_home(file))
                )
            }
            Self::Unusable { file, cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
                format!(
                    "nothing was changed. If {file} belongs to root, probably because of a `sudo` \
                 command, run `sudo chown \"$(id -u):$(id -g)\" {}`, then this command again",
                    quoted_at_home(file)
                )
            }
            Self::Unusable { file, cause, .. } if cause.kind() == ErrorKind::NotFound => format!(
                "nothing was changed. {file} is a link to a file that doesn't exist: create that \
                 file or remove the link, then run the command again"
            ),
            Self::Unfit { file, .. } | Self::Unusable { file, .. } => {
                format!(
                    "correct {file} or move it away, then run the command again; nothing was changed"
                )
            }
            Self::ReadOnly { file, lines } => format!(
                "nothing was changed. If another program generates {file}, make these changes there, \
                 then run the command again:\n{}",
                lines.trim_end()
            ),
            Self::Locked { lock, .. } => format!(
                "nothing was changed; run the command again. If no program is writing it, first \
                 run `{}`",
                delete_command(lock)
            ),
            Self::NewerRecord { path } => format!(
                "nothing was changed. Update hallpass, then run the command again. If that doesn't \
                 help, rename the record with `{}`: hallpass can then no longer restore the earlier \
                 content",
                move_away_command(path)
            ),
            Self::UnwritableRecord { path, cause } => match access_fix(path, None, cause) {
                Some(fix) => format!("nothing was changed; {fix}, then run the command again"),
                None => {
                    "nothing was changed; set HALLPASS_DATA_DIR to a folder that you can write \
                         to, then run the command again"
                        .to_owned()
                }
            },
            Self::UnreadableRecords { folder, cause } => {
                let fix = access_fix(folder, None, cause);
                let word = quoted(&folder.to_string_lossy());
                let fix = fix.unwrap_or_else(|| format!("check `{}`", list_command(&word)));
                format!("nothing was changed; {fix}, then run the command again")
            }
        }
    }
}
