//! Links the unwinder statically, if the toolchain has it as an archive.
//!
//! The standard library loads `libgcc_s.so.1`. A program that aborts on a panic needs it only to print
//! a backtrace, but finding, mapping and binding it takes a seventh of a bare program's whole run time.
//! Without the archive, or with another C library, the program is linked as usual.
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
        // This machine's compiler knows only its own archives.
        && var("HOST") == var("TARGET");
    if is_wanted && let Some(folder) = folder_of("libgcc_eh.a") {
        println!("cargo::rustc-link-search=native={folder}");
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// The folder of one of the C compiler's own archives.
fn folder_of(archive: &str) -> Option<String> {
    let compiler = var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(compiler)
        .arg(format!("-print-file-name={archive}"))
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    // A compiler without this archive prints only its name.
    let path = Path::new(path.trim_end());
    let folder = path.parent().filter(|_| path.is_file())?;
    Some(folder.to_str()?.to_owned())
}
