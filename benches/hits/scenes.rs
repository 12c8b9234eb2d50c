//! The command lines of hallpass that are measured, and of its floors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::{Build, Floors};
use crate::measure::{Program, quartiles};
use crate::provider::Provider;
use crate::sandbox::{Sandbox, private_folder};

/// How many records, and how many resources, must not be felt.
const MANY_RECORDS: usize = 10_000;
const MANY_RESOURCES: usize = 100;

pub(crate) fn floors(floors: &Floors) -> Vec<Program> {
    let bare = |name: String, program: &Path| Program {
        name,
        words: vec![program.to_string_lossy().into_owned()],
        env: Vec::new(),
        stdin: None,
        answers: None,
    };
    let mut programs = vec![
        bare("/bin/true".to_owned(), Path::new("/bin/true")),
        bare("bare C".to_owned(), &floors.c),
    ];
    for (label, program) in &floors.rust {
        programs.push(bare(format!("bare Rust, {label}"), program));
    }
    programs
}

pub(crate) fn hits(sandbox: &Sandbox, builds: &[Build]) -> Vec<Program> {
    let crowded = crowded_folder(sandbox);
    let long = sandbox.root().join("long.toml");
    fs::write(&long, sandbox.config(MANY_RESOURCES)).expect("a configuration");
    let token = String::from_utf8(sandbox.reply(&builds[0].program)).expect("a token");

    let mut programs = Vec::new();
    for build in builds {
        let mut add = |what: &str, words: &[&str], env: &[(&str, &Path)]| {
            let label = build.label();
            let mut all = sandbox.env();
            all.extend(
                env.iter()
                    .map(|(k, v)| ((*k).to_owned(), v.to_string_lossy().into_owned())),
            );
            programs.push(Program {
                name: format!("**hallpass** get-token, {label}{what}"),
                words: [&build.program.to_string_lossy(), "get-token"]
                    .into_iter()
                    .chain(words.iter().copied())
                    .map(str::to_owned)
                    .collect(),
                env: all,
                stdin: None,
                answers: Some(token.clone()),
            });
        };
        add("", &["corp"], &[]);
        add(
            ", 10,000 records",
            &["corp"],
            &[("HALLPASS_DATA_DIR", &crowded)],
        );
        add(", 100 resources", &["corp"], &[("HALLPASS_CONFIG", &long)]);
        let url = "https://git77.corp.example/team/a.git";
        add(
            ", 100 resources, by URL",
            &[url],
            &[("HALLPASS_CONFIG", &long)],
        );
    }
    programs
}

/// The data folder with many more records in it, which are copies under other names.
fn crowded_folder(sandbox: &Sandbox) -> PathBuf {
    let crowded = sandbox.root().join("crowded");
    private_folder(&crowded);
    let record = copy_data(sandbox, &crowded);
    for number in 0..MANY_RECORDS {
        let name = crowded.join(format!("sessions/{number:064x}"));
        fs::copy(&record, name).expect("a copy");
    }
    crowded
}

/// Copies the data folder into a new one; where one of its records is.
fn copy_data(sandbox: &Sandbox, to: &Path) -> PathBuf {
    let from = sandbox.home().join(".local/share/hallpass");
    let mut record = None;
    for folder in ["", "sessions", "metadata"] {
        if !folder.is_empty() {
            private_folder(&to.join(folder));
        }
        let entries = fs::read_dir(from.join(folder)).expect("the data folder");
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let copy = to.join(folder).join(entry.file_name());
                fs::copy(entry.path(), &copy).expect("a copy");
                if folder == "sessions" && copy.extension().is_none() {
                    record = Some(copy);
                }
            }
        }
    }
    record.expect("a record")
}

/// What a miss costs: a token that is stale, metadata that is known.
pub(crate) struct Miss {
    pub(crate) name: String,
    pub(crate) quartiles: [Duration; 3],
    /// What the server's thread had of the processor, a miss.
    pub(crate) server: Duration,
    pub(crate) requests: f64,
}

pub(crate) fn misses(
    sandbox: &Sandbox,
    builds: &[Build],
    provider: &Provider,
    rounds: usize,
) -> Vec<Miss> {
    eprintln!("hits: misses, {rounds} rounds");
    // What a disk takes to keep what it is given says nothing of the program.
    let memory = tempfile::TempDir::with_prefix_in("hits-", "/dev/shm").ok();
    if let Some(memory) = &memory {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(memory.path(), mode).expect("a folder's mode");
        copy_data(sandbox, memory.path());
    }
    let mut misses = Vec::new();
    for build in builds {
        misses.push(miss(sandbox, build, provider, rounds, None));
        if let Some(memory) = &memory {
            misses.push(miss(sandbox, build, provider, rounds, Some(memory.path())));
        }
    }
    misses
}

fn miss(
    sandbox: &Sandbox,
    build: &Build,
    provider: &Provider,
    rounds: usize,
    memory: Option<&Path>,
) -> Miss {
    let mut env = sandbox.env();
    if let Some(folder) = memory {
        let folder = folder.to_string_lossy().into_owned();
        env.push(("HALLPASS_DATA_DIR".to_owned(), folder));
    }
    let on = memory.map_or("on disk", |_| "in memory");
    let program = Program {
        name: format!(
            "**hallpass** get-token, {}, stale, records {on}",
            build.label()
        ),
        words: [&build.program.to_string_lossy(), "get-token", "stale"]
            .map(str::to_owned)
            .to_vec(),
        env,
        stdin: None,
        answers: None,
    };
    program.timed();
    provider.seen();
    let times = (0..rounds).map(|_| program.timed()).collect();
    let (requests, busy) = provider.seen();
    let rounds = u32::try_from(rounds).expect("a few rounds");
    Miss {
        name: program.name,
        quartiles: quartiles(times),
        server: busy / rounds,
        #[expect(clippy::cast_precision_loss, reason = "a few requests")]
        requests: requests as f64 / f64::from(rounds),
    }
}
