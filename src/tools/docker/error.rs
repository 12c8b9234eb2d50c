//! The errors that only docker has.

use crate::error::ToolError;
use crate::shell::quoted;

/// A client's file that can't be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("{file} begins with a byte order mark (BOM), which docker cannot read")]
    ByteOrderMark { file: String },
    #[error("{file} is invalid: `{key}` must be {expected}, or docker cannot read the file")]
    WrongType {
        file: String,
        key: String,
        expected: &'static str,
    },
    #[error("{path} belongs to root, probably because of a `sudo docker` command")]
    OfRoot { path: String, folder: String },
    #[error("{folder} must be a folder, but it is a file")]
    NotAFolder { folder: String },
    #[error("docker's credential store {name} cannot be listed")]
    StoreNotListed { name: String },
}

impl ToolError for DockerError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ByteOrderMark { file } => format!(
                "save {file} as UTF-8 without a BOM, then run the command again; nothing was \
                 changed"
            ),
            Self::WrongType { file, key, .. } => format!(
                "correct or remove `{key}` in {file}, then run the command again; nothing was \
                 changed"
            ),
            Self::NotAFolder { folder } => format!(
                "move {folder} away, or if DOCKER_CONFIG or REGISTRY_AUTH_FILE names it, correct that; \
                 then run the command again; nothing was changed"
            ),
            Self::OfRoot { folder, .. } => format!(
                "run `sudo chown -R \"$(id -u):$(id -g)\" {}`, then this command again; nothing \
                 was changed",
                quoted(folder)
            ),
            Self::StoreNotListed { name } => format!(
                "check that `docker-credential-{name} list` works, or leave out `--import` and run \
                 `docker login` again for your registries; nothing was changed"
            ),
        })
    }
}
