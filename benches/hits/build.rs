//! Builds the measured programs: hallpass with the release profile for each available target, and the
//! floors (minimal programs for comparison) in the same way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

const MUSL: &str = "x86_64-unknown-linux-musl";

/// hallpass built for one target.
pub(crate) struct Build {
    /// `None` for the default target.
    pub(crate) target: Option<&'static str>,
    pub(crate) program: PathBuf,
    pub(crate) bytes: u64,
    /// The number of dependencies.
    pub(crate) dependencies: usize,
    pub(crate) from_nothing: Option<Duration>,
}

impl Build {
    pub(crate) fn label(&self) -> &'static str {
        self.target.map_or("default", |_| "musl")
    }
}

/// The programs that only start and print, and the one that measures the memory of others.
pub(crate) struct Floors {
    pub(crate) c: PathBuf,
    /// In the same order as the builds.
    pub(crate) rust: Vec<(&'static str, PathBuf)>,
    /// Linked like the default build, with a static unwinder; see the package's `build.rs`.
    pub(crate) rust_with_unwinder: Option<PathBuf>,
    pub(crate) peak: PathBuf,
}

pub(crate) fn all(clean_build: bool) -> Vec<Build> {
    [None, Some(MUSL)]
        .into_iter()
        .filter_map(|target| one(target, clean_build))
        .collect()
}

fn one(target: Option<&'static str>, clean_build: bool) -> Option<Build> {
    let folder = target_folder();
    eprintln!(
        "hits: building for {}",
        target.unwrap_or("the default target")
    );
    if !cargo_build(target, &folder) {
        assert!(target.is_some(), "the default build failed");
        eprintln!(
            "hits: could not build for {MUSL}: install musl-tools and run `rustup target add {MUSL}`"
        );
        return None;
    }
    let from_nothing = clean_build.then(|| {
        let folder = folder.join("hits-clean-build");
        let started = Instant::now();
        assert!(cargo_build(target, &folder), "the clean build failed");
        let took = started.elapsed();
        let _ = std::fs::remove_dir_all(folder);
        took
    });
    let built = target
        .map_or_else(|| folder.clone(), |target| folder.join(target))
        .join("release/hallpass");
    let program = installed(
        &built,
        &folder
            .join("hits-installed")
            .join(target.unwrap_or("default")),
    );
    Some(Build {
        target,
        bytes: std::fs::metadata(&program).expect("the program").len(),
        program,
        dependencies: dependencies(target),
        from_nothing,
    })
}

/// Copies a program to where it is measured, as an installation does. A file written by a linker is
/// fragmented in the page cache, and causes more page faults at each start than a file written
/// sequentially.
fn installed(built: &Path, folder: &Path) -> PathBuf {
    let program = folder.join(built.file_name().expect("a program"));
    std::fs::create_dir_all(folder).expect("a folder");
    // An overwritten file would stay fragmented.
    let _ = std::fs::remove_file(&program);
    std::fs::copy(built, &program).expect("a copy");
    program
}

fn cargo_build(target: Option<&str>, folder: &Path) -> bool {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--bin",
        "hallpass",
    ]);
    cargo.arg("--target-dir").arg(folder);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(if target.is_some() {
            Stdio::null()
        } else {
            Stdio::inherit()
        })
        .status()
        .expect("cargo")
        .success()
}

fn dependencies(target: Option<&str>) -> usize {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    cargo.args(["--format", "{p}"]);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    let tree = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let mut crates: Vec<_> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    crates.sort_unstable();
    crates.dedup();
    crates.len() - 1
}

/// Cargo's target folder, which also contains this benchmark's program.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hallpass"))
        .ancestors()
        .nth(2)
        .expect("a target folder")
        .to_owned()
}

/// Builds the floors in the sandbox. They print the same reply as a hit.
pub(crate) fn floors(sandbox: &Sandbox, builds: &[Build]) -> Floors {
    let source = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches/hits/floor")
            .join(name)
    };
    let reply = sandbox.reply(&builds[0].program);
    let reply_file = sandbox.root().join("reply");
    std::fs::write(&reply_file, &reply).expect("the reply");

    let installed_floors = sandbox.root().join("floors");
    let cc = |name: &str, flags: &[&str]| {
        let program = sandbox.root().join(name);
        let built = Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(source(&format!("{name}.c")))
            .args(flags)
            .status()
            .expect("cc");
        assert!(built.success(), "cc {name}.c");
        installed(&program, &installed_floors)
    };
    let rustc = |name: &str, flags: &[&str]| {
        let program = sandbox.root().join(name);
        let mut rustc = Command::new("rustc");
        // As in the release profile in Cargo.toml.
        rustc.args([
            "--edition=2024",
            "-Copt-level=3",
            "-Clto=fat",
            "-Ccodegen-units=1",
        ]);
        rustc.args(["-Cpanic=abort", "-Cstrip=symbols", "-o"]);
        rustc
            .arg(&program)
            .arg(source("bare.rs"))
            .args(flags)
            .env("REPLY", &reply_file);
        assert!(rustc.status().expect("rustc").success(), "rustc bare.rs");
        installed(&program, &installed_floors)
    };
    let rust = builds
        .iter()
        .map(|build| {
            let flags = build.target.map(|target| ["--target", target]);
            let flags = flags.as_ref().map_or(&[][..], |flags| flags);
            let program = rustc(&format!("bare-{}", build.label()), flags);
            (build.label(), program)
        })
        .collect();
    let rust_with_unwinder = unwinders_folder().map(|folder| {
        let folder = format!("native={folder}");
        rustc(
            "bare-with-unwinder",
            &["-L", &folder, "-l", "static:-bundle=gcc_eh"],
        )
    });
    let reply = String::from_utf8(reply).expect("a token");
    Floors {
        c: cc("bare", &[&format!("-DREPLY=\"{}\"", reply.trim_end())]),
        rust,
        rust_with_unwinder,
        peak: cc("peak", &["-static"]),
    }
}

/// The folder of the C compiler that has the unwinder as a static library.
fn unwinders_folder() -> Option<String> {
    let said = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim_end());
    let folder = path.parent().filter(|_| path.is_file())?;
    Some(folder.to_str()?.to_owned())
}
