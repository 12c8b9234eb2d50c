//! `hallpass kubectl`: serves kubectl, and any other program that reads a kubeconfig.

mod arguments;
mod caller;
mod cluster;
mod doctor;
pub(crate) mod entry;
pub mod error;
mod faults;
mod handouts;
mod kubeconfig;
mod kuberc;
mod parent;
mod plugin;
pub mod protocol;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::arguments::{command, parsed};
use crate::env::Env;
use crate::error::Error;
use crate::tools::tool::Tool;
use arguments::{Arguments, NAME};

/// The file name under which kubectl starts this program as its plugin.
const PROGRAM_NAME: &str = "kubectl-hallpass";

#[derive(Debug)]
pub struct Kubectl;

impl Tool for Kubectl {
    const NAME: &'static str = NAME;
    const PROGRAM_NAMES: &'static [&'static str] = &[PROGRAM_NAME];
    const PROGRAMS: &'static [&'static str] = &["kubectl"];
    type SetUp = setup::Arguments;
    type Doctor = doctor::Arguments;

    fn command() -> clap::Command {
        command::<Arguments>(NAME)
    }

    fn run(env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        if let Some(answered) = plugin::replay(env, words) {
            return answered;
        }
        plugin::run(env, &parsed(NAME, words)?, words)
    }
}
