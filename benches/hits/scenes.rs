//! The measured command lines of hallpass and the floors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::build::{Build, Floors};
use crate::measure::{Program, quartiles};
use crate::peers::git_question;
use crate::programs::which;
use crate::provider::Provider;
use crate::sandbox::{Sandbox, private_folder};

/// The numbers of records and resources that must not slow down a hit.
const MANY_RECORDS: usize = 10_000;
const MANY_RESOURCES: usize = 100;

pub(crate) fn floors(floors: &Floors) -> Vec<Program> {
    let bare = |name: String, program: &Path| Program {
        name,
        words: vec![program.to_string_lossy().into_owned()],
        env: Vec::new(),
        stdin: None,
        answers: None,
        fails: false,
        finds: None,
    };
    let mut programs = vec![
        bare("/bin/true".to_owned(), Path::new("/bin/true")),
        bare("bare C".to_owned(), &floors.c),
    ];
    for (label, program) in &floors.rust {
        programs.push(bare(format!("bare Rust, {label}"), program));
    }
    if let Some(program) = &floors.rust_with_unwinder {
        programs.push(bare(
            "bare Rust, default, unwinder within".to_owned(),
            program,
        ));
    }
    programs
}

/// A tool's hit: its arguments, environment and stdin. To add a tool, add a row.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    words: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    stdin: Option<&'static str>,
    /// The maximum cost as a multiple of `get-token`'s, if there is such a goal.
    pub(crate) goal: Option<f64>,
}

/// The others are compared with the first.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "get-token",
        words: &["get-token", "corp"],
        env: &[],
        stdin: None,
        goal: None,
    },
    Tool {
        name: "git get",
        words: &["git", "get"],
        env: &[],
        stdin: Some(
            "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.corp.example\n\n",
        ),
        goal: None,
    },
    Tool {
        name: "docker get",
        words: &["docker", "get"],
        env: &[],
        stdin: Some("git.corp.example"),
        goal: Some(1.0),
    },
    KUBECTL,
    Tool {
        name: "kubectl, for a client that keeps nothing",
        goal: None,
        ..KUBECTL
    },
];

/// The first request of a kubectl, with a journal that only has lines of others.
const KUBECTL: Tool = Tool {
    name: "kubectl",
    words: &["kubectl", "--provider", "corp", "--token", "access"],
    env: &[(
        "KUBERNETES_EXEC_INFO",
        "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\
         \"spec\":{\"interactive\":false,\"cluster\":{\"server\":\"https://k8s.corp.example\"}}}",
    )],
    stdin: None,
    goal: Some(1.0),
};

/// A journal of tokens returned to many other parents, in a new runtime folder.
fn journal_of_others(sandbox: &Sandbox, run: &Path) -> (PathBuf, Vec<u8>) {
    let own = fs::read(sandbox.runtime().join("run/hallpass/kubectl")).expect("a journal");
    // The first of its three notes, which begin with the parent and the request.
    let (key, note) = own[..own.len() / 3].split_at(8);
    let others = (1..=64).flat_map(|number| {
        let mut other = key.to_vec();
        other[0] ^= number;
        [&other, note].concat()
    });
    private_folder(run);
    private_folder(&run.join("hallpass"));
    let journal = run.join("hallpass/kubectl");
    fs::write(&journal, "").expect("a journal");
    fs::set_permissions(
        &journal,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .expect("a file's mode");
    (journal, others.collect())
}

pub(crate) fn hits(sandbox: &Sandbox, builds: &[Build]) -> Vec<Program> {
    // All runs have the same parent. hallpass treats a parent's second request as a rejection, and
    // returns another token. The third request shows that the client caches nothing.
    for _ in 0..3 {
        let run = sandbox.run_with(&builds[0].program, KUBECTL.words, KUBECTL.env);
        run.expect("a reply to kubectl");
    }
    let run = sandbox.runtime().join("run-of-kubectl");
    let journal = journal_of_others(sandbox, &run);
    let run = run.to_string_lossy();
    let crowded = crowded_folder(sandbox);
    let long = sandbox.root().join("long.toml");
    fs::write(&long, sandbox.config(MANY_RESOURCES)).expect("a configuration");
    let token = String::from_utf8(sandbox.reply(&builds[0].program)).expect("a token");
    let token = token.trim_end().to_owned();

    let mut programs = Vec::new();
    for build in builds {
        let mut add =
            |tool: &str, what: &str, words: &[&str], env: &[(&str, &str)], stdin, finds| {
                let label = build.label();
                let mut all = sandbox.env();
                let own = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                all.extend(own);
                programs.push(Program {
                    name: format!("**hallpass** {tool}, {label}{what}"),
                    words: [&*build.program.to_string_lossy()]
                        .into_iter()
                        .chain(words.iter().copied())
                        .map(str::to_owned)
                        .collect(),
                    env: all,
                    stdin,
                    // git gets a header.
                    answers: Some(match tool {
                        "git get" => STANDARD.encode(format!("oauth2:{token}")),
                        _ => token.clone(),
                    }),
                    fails: false,
                    finds,
                });
            };
        for tool in TOOLS {
            let stdin = tool.stdin.map(|text| said(sandbox, tool.name, text));
            if tool.name == KUBECTL.name {
                let env = [tool.env, &[("XDG_RUNTIME_DIR", &*run)]].concat();
                add(tool.name, "", tool.words, &env, None, Some(journal.clone()));
            } else {
                add(tool.name, "", tool.words, tool.env, stdin, None);
            }
        }
        let crowded = crowded.to_string_lossy();
        let crowded = [("HALLPASS_DATA_DIR", &*crowded)];
        let many = [&["get-token", "corp"][..], &["get-token", FAR_DOWN]];
        add(
            "get-token",
            ", 10,000 records",
            many[0],
            &crowded,
            None,
            None,
        );
        let long = long.to_string_lossy();
        let long = [("HALLPASS_CONFIG", &*long)];
        add("get-token", ", 100 resources", many[0], &long, None, None);
        add(
            "get-token",
            ", 100 resources, by URL",
            many[1],
            &long,
            None,
            None,
        );
    }
    programs
}

/// A URL that only matches one of the last of many resources.
const FAR_DOWN: &str = "https://git77.corp.example/team/a.git";

/// A file with a tool's request on stdin.
fn said(sandbox: &Sandbox, name: &str, text: &str) -> PathBuf {
    let path = sandbox
        .root()
        .join(format!("said-by-{}", name.replace(' ', "-")));
    fs::write(&path, text).expect("a question");
    path
}

/// A complete run of `git credential fill` with each helper in turn, configured as its users would
/// configure it.
pub(crate) fn fills(sandbox: &Sandbox, builds: &[Build], has_cache: bool) -> Vec<Program> {
    let Some(git) = which("git") else {
        return Vec::new();
    };
    let mut helpers = vec![
        ("/bin/true, no answer".to_owned(), "/bin/true".to_owned()),
        ("store".to_owned(), "store".to_owned()),
    ];
    if has_cache {
        helpers.push(("cache".to_owned(), "cache".to_owned()));
    }
    for build in builds {
        let program = build.program.to_string_lossy();
        helpers.push((
            format!("**hallpass**, {}", build.label()),
            format!("{program} git"),
        ));
    }
    let question = said(sandbox, "git itself", &git_question());
    let fill = |(number, (name, helper)): (usize, (String, String))| {
        let config = sandbox.root().join(format!("gitconfig-{number}"));
        let text = format!("[credential]\n\thelper = {helper}\n");
        fs::write(&config, text).expect("git's configuration");
        let mut env = sandbox.env();
        for (name, value) in [
            ("GIT_CONFIG_GLOBAL", &*config.to_string_lossy()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ] {
            env.push((name.to_owned(), value.to_owned()));
        }
        let fails = helper == "/bin/true";
        Program {
            name: format!("{FILL} {name}"),
            words: [&git, "credential", "fill"].map(str::to_owned).to_vec(),
            env,
            stdin: Some(question.clone()),
            answers: (!fails).then(|| "password=".to_owned()),
            fails,
            finds: None,
        }
    };
    helpers.into_iter().enumerate().map(fill).collect()
}

/// The beginning of these rows' names. The helper's name follows.
pub(crate) const FILL: &str = "git credential fill:";

/// A data folder with many more records, which are copies under other names.
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

/// Copies the data folder, and returns the path of one of the records in the copy.
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

/// The cost of a miss with a stale token and cached metadata.
pub(crate) struct Miss {
    pub(crate) name: String,
    pub(crate) quartiles: [Duration; 3],
    /// The server thread's processor time per miss.
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
    // The time a disk takes to store data says nothing about the program.
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
        fails: false,
        finds: None,
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
