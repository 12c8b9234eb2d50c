//! The link through which a tool starts this program.

use super::edit::Edit;
use super::edit::link::{self, Place};
use super::program;
use crate::env::Env;
use crate::error::Error;

/// The edit that creates the link `name`, or a warning if it can't be created on `PATH`. `tool` is the
/// tool's name at the beginning of a sentence.
pub(crate) fn edit(
    env: &Env,
    name: &str,
    tool: &str,
) -> Result<(Option<Edit>, Option<String>), Error> {
    let warning = match link::find(env, name)? {
        Place::There(path) | Place::At(path) => {
            return Ok((Some(Edit::link(&path, &program::path(env)?)), None));
        }
        Place::Behind(path) => format!(
            "{tool} finds {} first, which is not hallpass: move it away",
            path.display()
        ),
        Place::Nowhere(command) => {
            format!("{tool} cannot find {name} on PATH. To link it there, run `{command}`")
        }
    };
    Ok((None, Some(warning)))
}
