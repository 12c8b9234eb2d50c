//! Links the unwinder into the program, where the toolchain has it as an archive.
//!
//! The standard library asks for `libgcc_s.so.1`, of which a program that aborts on a panic uses
//! what prints a backtrace. To find it, map it and bind it takes the dynamic linker a seventh of
//! what a bare program takes from start to end. Where the archive is missing, or the C library is
//! another one, the program is linked as ever.
//!
//! Its license lets it be linked into anything: <https://www.gnu.org/licenses/gcc-exception-3.1>

use std::env::var;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    let has_static_libc =
        var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|found| found.contains("crt-static"));
    let is_wanted = is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && !has_static_libc
        // Another target's archive is not where this machine's compiler looks.
        && var("HOST") == var("TARGET");
    if is_wanted && let Some(folder) = folder_of("libgcc_eh.a") {
        println!("cargo::rustc-link-search=native={folder}");
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Where the C compiler has one of its own archives.
fn folder_of(archive: &str) -> Option<String> {
    let compiler = var("CC").unwrap_or_else(|_| "cc".to_owned());
    let said = Command::new(compiler)
        .arg(format!("-print-file-name={archive}"))
        .output()
        .ok()?;
    let path = String::from_utf8(said.stdout).ok()?;
    // A compiler that does not know it says the name alone.
    let path = Path::new(path.trim_end());
    let folder = path.parent().filter(|_| path.is_file())?;
    Some(folder.to_str()?.to_owned())
}
