//! The program: the arguments and the environment, read once, and an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hallpass::run(&hallpass::env::Env::of_process())
}
