//! The tools' protocols, one file a tool.
//!
//! A protocol reads what its tool says, asks `answer` for a credential, and replies in the tool's
//! own format. It knows nothing of sessions, OAuth, files or HTTP: M tools and N providers meet
//! only in `credential`.

use std::io;
use std::process::ExitCode;

use crate::credential::{Answer, Call};

pub mod docker;
pub mod git;
pub mod kubectl;
pub mod plain;

/// The tools that start this program themselves.
pub const ALL: &[&dyn Protocol] = &[&git::Git, &docker::Docker, &kubectl::Kubectl];

/// One tool's way of asking for a credential.
pub trait Protocol: Sync {
    /// The verb: `hallpass NAME`.
    fn name(&self) -> &'static str;

    /// The file name under which the tool starts this program, if it is not `hallpass`.
    fn program_name(&self) -> Option<&'static str>;

    /// Serves one run. It is handed a callback and not a credential, for some tools ask many
    /// times in one run, and each hears "no" differently.
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode>;
}
