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
    let plain = sandbox.home().join(".local/share/hallpass");
    private_folder(&crowded);
    private_folder(&crowded.join("sessions"));
    let copy = |name: &Path| {
        fs::copy(plain.join(name), crowded.join(name)).expect("a copy");
    };
    let mut record = None;
    for folder in [Path::new(""), Path::new("sessions")] {
        for entry in fs::read_dir(plain.join(folder))
            .expect("the data folder")
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let name = folder.join(entry.file_name());
                copy(&name);
                if folder.as_os_str() == "sessions" && name.extension().is_none() {
                    record = Some(plain.join(name));
                }
            }
        }
    }
    let record = record.expect("a record");
    for number in 0..MANY_RECORDS {
        let name = crowded.join(format!("sessions/{number:064x}"));
        fs::copy(&record, name).expect("a copy");
    }
    crowded
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
    builds
        .iter()
        .map(|build| {
            let words = ["get-token", "stale"].map(str::to_owned);
            let program = Program {
                name: format!("**hallpass** get-token, {}, stale token", build.label()),
                words: std::iter::once(build.program.to_string_lossy().into_owned())
                    .chain(words)
                    .collect(),
                env: sandbox.env(),
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
        })
        .collect()
}
