//! `hallpass man DIR`: writes the manual pages, for packages.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::arguments::{epilogue, parsed};
use crate::error::Error;
use crate::report::Exit;

/// Write the manual pages into a folder, for packages
#[derive(Debug, Args)]
#[command(after_long_help = epilogue("  hallpass man /usr/local/share/man/man1"))]
pub(super) struct Arguments {
    /// The folder, which must exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages of `tree`, the whole command tree.
pub(super) fn run(tree: clap::Command, words: &[OsString]) -> Result<ExitCode, Error> {
    let Arguments { folder } = parsed("man", words)?;
    clap_mangen::generate_to(tree, folder).map_err(Error::Reply)?;
    Ok(Exit::Answered.into())
}
