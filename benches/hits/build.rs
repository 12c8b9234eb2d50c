//! The programs that are measured: the release profile for each target that builds, and the
//! floors, built the same way.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

const MUSL: &str = "x86_64-unknown-linux-musl";

/// hallpass for one target.
pub(crate) struct Build {
    /// `None`: the default one.
    pub(crate) target: Option<&'static str>,
    pub(crate) program: PathBuf,
    pub(crate) bytes: u64,
    /// Crates that the program is made of, without itself.
    pub(crate) dependencies: usize,
    pub(crate) from_nothing: Option<Duration>,
}

impl Build {
    pub(crate) fn label(&self) -> &'static str {
        self.target.map_or("default", |_| "musl")
    }
}

/// The programs that start and print, and the one that weighs others.
pub(crate) struct Floors {
    pub(crate) c: PathBuf,
    /// In the order of the builds.
    pub(crate) rust: Vec<(&'static str, PathBuf)>,
    /// As the default build is linked, with the unwinder in it; see the package's `build.rs`.
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
        eprintln!("hits: no build for {MUSL}: it takes `rustup target add {MUSL}` and musl-tools");
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

/// Copies a program to where it is measured, as an installation does. What a linker has written
/// lies in the page cache in small pieces, and costs each start more page faults than the same
/// bytes that were written one after the other.
fn installed(built: &Path, folder: &Path) -> PathBuf {
    let program = folder.join(built.file_name().expect("a program"));
    std::fs::create_dir_all(folder).expect("a folder");
    // Written over, it would keep the pieces that it has.
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

/// Where cargo builds: the folder above `release/`, where this benchmark's program lies too.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_hallpass"))
        .ancestors()
        .nth(2)
        .expect("a target folder")
        .to_owned()
}

/// Builds the floors into the sandbox: they print what a hit prints.
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
        // The release profile of Cargo.toml.
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

/// Where the C compiler has the unwinder as an archive.
fn unwinders_folder() -> Option<String> {
    let said = Command::new("cc")
        .arg("-print-file-name=libgcc_eh.a")
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim_end());
    let folder = path.parent().filter(|_| path.is_file())?;
    Some(folder.to_str()?.to_owned())
}
