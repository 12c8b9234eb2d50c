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
use crate::setup::plan::Undo;
use crate::tools::tool::{Findings, Tool};
use arguments::{Arguments, NAME};

/// The file name under which kubectl starts this program as its plugin.
const PROGRAM_NAME: &str = "kubectl-hallpass";

#[derive(Debug)]
pub struct Kubectl;

impl Tool for Kubectl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn program_names(&self) -> &'static [&'static str] {
        &[PROGRAM_NAME]
    }

    fn command(&self) -> clap::Command {
        command::<Arguments>(NAME)
    }

    fn run(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        if let Some(answered) = plugin::replay(env, words) {
            return answered;
        }
        plugin::run(env, &parsed(NAME, words)?, words)
    }

    fn setup_command(&self) -> clap::Command {
        command::<setup::Arguments>(NAME)
    }

    fn set_up(&self, env: &Env, words: &[OsString]) -> Result<ExitCode, Error> {
        setup::run(env, &parsed("setup kubectl", words)?)
    }

    fn undo<'a>(&self, env: &'a Env) -> Result<Undo<'a>, Error> {
        let words = ["--undo".into()];
        setup::undo(env, &parsed("setup kubectl", &words)?)
    }

    fn doctor_command(&self) -> clap::Command {
        command::<doctor::Arguments>(NAME)
    }

    fn programs(&self) -> &'static [&'static str] {
        &["kubectl"]
    }

    fn checks(&self, env: &Env, words: &[OsString]) -> Result<Findings, Error> {
        doctor::run(env, &parsed("doctor kubectl", words)?)
    }
}
