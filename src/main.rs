//! The program: the arguments and the environment, read once, and an exit code.

use std::process::ExitCode;

/// musl's own takes a system call or two for nearly each allocation of a run as short as a hit.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    hallpass::run(&hallpass::env::Env::of_process())
}
