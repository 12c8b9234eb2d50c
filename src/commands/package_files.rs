//! `hallpass package-files DIR`: writes what a package holds besides the program: the program's other
//! names, manual pages, and completions. All of it is made from the command tree and the list of tools.

use std::ffi::OsString;
use std::io::Result as IoResult;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::completions;
use crate::arguments::{epilogue, parsed};
use crate::error::Error;
use crate::report::Exit;
use crate::tools;

/// Write the files that a package holds besides the program: links, manual pages and completions
///
/// The folder gets the layout of a prefix such as /usr: bin, share/man/man1, and the folders in which
/// bash, fish and zsh look for completions.
#[derive(Debug, Args)]
#[command(after_long_help = epilogue("  hallpass package-files target/package/usr"))]
pub(super) struct Arguments {
    /// The folder. It is created if it doesn't exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the files. `tree` is the whole command tree.
pub(super) fn run(tree: clap::Command, words: &[OsString]) -> Result<ExitCode, Error> {
    let Arguments { folder } = parsed("package-files", words)?;
    write(tree, &folder).map_err(Error::Reply)?;
    Ok(Exit::Answered.into())
}

fn write(tree: clap::Command, prefix: &Path) -> IoResult<()> {
    let pages = created(prefix.join("share/man/man1"))?;
    clap_mangen::generate_to(tree, &pages)?;
    for tool in tools::ALL {
        for name in tool.program_names() {
            link(&created(prefix.join("bin"))?.join(name))?;
            let text = format!(".so man1/hallpass-{}.1\n", tool.name());
            std::fs::write(pages.join(format!("{name}.1")), text)?;
        }
    }
    for (shell, folder, name) in [
        ("bash", "share/bash-completion/completions", "hallpass"),
        ("fish", "share/fish/vendor_completions.d", "hallpass.fish"),
        ("zsh", "share/zsh/site-functions", "_hallpass"),
    ] {
        let script = completions::script(shell)?;
        std::fs::write(created(prefix.join(folder))?.join(name), script)?;
    }
    Ok(())
}

fn created(folder: PathBuf) -> IoResult<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Links a program name to the program beside it. A link that is there already may stay.
#[cfg(unix)]
fn link(path: &Path) -> IoResult<()> {
    match std::os::unix::fs::symlink("hallpass", path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let target = std::fs::read_link(path)?;
            if target == Path::new("hallpass") {
                Ok(())
            } else {
                Err(std::io::Error::new(
                    error.kind(),
                    format!("{} is something else", path.display()),
                ))
            }
        }
        result => result,
    }
}

/// Windows has no links that every user may create, and no tool there needs these names in a package:
/// `hallpass setup` configures each tool with the program's own path.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
fn link(_: &Path) -> IoResult<()> {
    Ok(())
}
