//! Measures whole processes: their times in interleaved runs, and other costs one by one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;

use crate::build::Floors;
use crate::programs::which;

/// One measured command line.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) words: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// A file for stdin, if the program reads a request from it.
    pub(crate) stdin: Option<PathBuf>,
    /// Text that the reply must contain. Only successful replies are measured.
    pub(crate) answers: Option<String>,
    /// The program exits with an error, as `git credential fill` does without credentials.
    pub(crate) fails: bool,
    /// A file to restore to this content before each run.
    pub(crate) finds: Option<(PathBuf, Vec<u8>)>,
}

/// The cost of one run.
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) quartiles: [Duration; 3],
    pub(crate) instructions: Option<u64>,
    pub(crate) calls: Option<Calls>,
    pub(crate) peak_kb: Option<u64>,
}

impl Cost {
    pub(crate) fn median(&self) -> Duration {
        self.quartiles[1]
    }
}

/// The results of `strace -f`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) all: usize,
    pub(crate) threads: usize,
    pub(crate) children: usize,
    pub(crate) sockets: usize,
}

impl Program {
    fn command(&self) -> Command {
        self.under(&[])
    }

    /// The same command line with another program.
    fn under(&self, tool: &[&str]) -> Command {
        if let Some((path, bytes)) = &self.finds {
            std::fs::write(path, bytes).expect("what is to be found");
        }
        let mut words = tool
            .iter()
            .copied()
            .chain(self.words.iter().map(String::as_str));
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(match &self.stdin {
                Some(path) => Stdio::from(File::open(path).expect("stdin")),
                None => Stdio::null(),
            })
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn check(&self) {
        let output = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("the program");
        let reply = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() != self.fails
                && self
                    .answers
                    .as_ref()
                    .is_none_or(|wanted| reply.contains(wanted)),
            "{} does not answer: {}\n{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Times one run, from before the process starts until after it exits.
    pub(crate) fn timed(&self) -> Duration {
        let mut command = self.command();
        let started = Instant::now();
        let status = command.status().expect("the program");
        let took = started.elapsed();
        assert!(status.success() != self.fails, "{}: {status}", self.name);
        took
    }

    /// Like [`Self::timed`], but also checks the reply. The time includes reading it.
    pub(crate) fn timed_reply(&self) -> Duration {
        let mut command = self.command();
        command.stdout(Stdio::piped());
        let started = Instant::now();
        let output = command.output().expect("the program");
        let took = started.elapsed();
        let reply = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() != self.fails
                && self
                    .answers
                    .as_ref()
                    .is_none_or(|wanted| reply.contains(wanted)),
            "{}: {}",
            self.name,
            output.status
        );
        took
    }

    /// Starts a run without waiting for it.
    pub(crate) fn start(&self) -> Child {
        self.command().spawn().expect("the program")
    }

    fn instructions(&self) -> Option<u64> {
        let tool = which("valgrind")?;
        let output = self
            .under(&[&tool, "--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .stderr(Stdio::piped())
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, count) = said.split_once("Collected :")?;
        count.split_whitespace().next()?.parse().ok()
    }

    fn calls(&self) -> Option<Calls> {
        let tool = which("strace")?;
        let output = self
            .under(&[&tool, "-f", "-qq", "-o", "/dev/stderr"])
            .stderr(Stdio::piped())
            .output()
            .ok()?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Some(Calls::of(&log))
    }

    fn peak_kb(&self, peak: &Path) -> Option<u64> {
        let output = self
            .under(&[peak.to_str()?])
            .stderr(Stdio::piped())
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().last()?.strip_prefix("peak ")?.parse().ok()
    }
}

impl Calls {
    fn of(log: &str) -> Self {
        let mut calls = Self::default();
        for line in log.lines() {
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            if call.starts_with("<...") || !call.contains('(') {
                continue;
            }
            calls.all += 1;
            let is = |names: &[&str]| {
                names.iter().any(|name| {
                    call.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with('('))
                })
            };
            if is(&["clone", "clone3", "fork", "vfork"]) {
                if call.contains("CLONE_THREAD") {
                    calls.threads += 1;
                } else {
                    calls.children += 1;
                }
            }
            if is(&["socket", "socketpair"]) {
                calls.sockets += 1;
            }
        }
        calls
    }
}

/// Runs each program once per round, so that other load on the machine affects all of them equally.
pub(crate) fn all(programs: &[Program], floors: &Floors, rounds: usize) -> Vec<Cost> {
    eprintln!("hits: {} programs, {rounds} rounds", programs.len());
    for program in programs {
        program.check();
    }
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    let mut order: Vec<usize> = (0..programs.len()).collect();
    for _ in 0..rounds {
        // The previous program warms the caches for similar ones.
        order.shuffle(&mut rand::rng());
        for at in &order {
            times[*at].push(programs[*at].timed());
        }
    }
    eprintln!("hits: instructions, system calls, memory");
    programs
        .iter()
        .zip(times)
        .map(|(program, times)| Cost {
            name: program.name.clone(),
            quartiles: quartiles(times),
            instructions: program.instructions(),
            calls: program.calls(),
            peak_kb: program.peak_kb(&floors.peak),
        })
        .collect()
}

pub(crate) fn quartiles(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    [1, 2, 3].map(|quarter| times[times.len() * quarter / 4])
}
