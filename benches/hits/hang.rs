//! Measures `get-token` for a valid token while another process refreshes it at a provider that
//! does not answer.
//!
//! The token is due for a refresh, so without the other process every call would start one.

use std::fs;
use std::time::{Duration, Instant};

use crate::build::Build;
use crate::measure::{Program, quartiles};
use crate::provider::{HANGING_CLIENT, HANGING_LIFETIME, Provider, token};
use crate::sandbox::Sandbox;

const PROVIDER: &str = "hanging";

/// The times of one build before and during the refresh.
pub(crate) struct Hang {
    pub(crate) name: String,
    pub(crate) idle: [Duration; 3],
    pub(crate) hanging: [Duration; 3],
    /// The number of rounds during the refresh.
    pub(crate) rounds: usize,
}

impl Hang {
    /// The median during the refresh divided by the idle median.
    pub(crate) fn ratio(&self) -> f64 {
        self.hanging[1].as_secs_f64() / self.idle[1].as_secs_f64()
    }
}

pub(crate) fn hits(
    sandbox: &Sandbox,
    builds: &[Build],
    provider: &Provider,
    rounds: usize,
) -> Vec<Hang> {
    eprintln!("hits: a hanging provider, {rounds} rounds");
    let config = sandbox.root().join("hanging.toml");
    let text = format!(
        "{}\n[providers.{PROVIDER}]\nissuer = \"{}\"\nclient_id = \"{HANGING_CLIENT}\"\n\
         scopes = [\"openid\", \"offline_access\"]\n",
        sandbox.config(1),
        sandbox.issuer()
    );
    fs::write(&config, text).expect("a configuration");
    let config = config.to_string_lossy().into_owned();
    sandbox
        .run_with(
            &builds[0].program,
            &["login", PROVIDER],
            &[("HALLPASS_CONFIG", &config)],
        )
        .expect("a sign-in");
    let signed_in = Instant::now();
    let programs: Vec<_> = builds
        .iter()
        .map(|build| {
            let mut env = sandbox.env();
            env.push(("HALLPASS_CONFIG".to_owned(), config.clone()));
            Program {
                name: format!(
                    "**hallpass** get-token, {}, during a refresh that hangs",
                    build.label()
                ),
                words: [&build.program.to_string_lossy(), "get-token", PROVIDER]
                    .map(str::to_owned)
                    .to_vec(),
                env,
                stdin: None,
                answers: Some(token()),
                fails: false,
                finds: None,
            }
        })
        .collect();

    // Run the two measurements in quick succession, so that the machine's load is the same.
    let due = signed_in + HANGING_LIFETIME * 9 / 10;
    sleep_until(signed_in + HANGING_LIFETIME * 8 / 10);
    let idle = interleaved(&programs, rounds, signed_in + HANGING_LIFETIME * 88 / 100);

    sleep_until(due + Duration::from_millis(100));
    let before = provider.held();
    let mut refresh = programs[0].start();
    while provider.held() == before {
        let ended = refresh.try_wait().expect("the refresh");
        assert!(ended.is_none(), "no refresh was hanging");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The token must still be valid in the last round, which takes far less than the remaining time.
    let last = signed_in + HANGING_LIFETIME * 98 / 100;
    let hanging = interleaved(&programs, rounds, last);
    let ended = refresh.try_wait().expect("the refresh");
    assert!(ended.is_none(), "the refresh ended before the rounds");
    assert_eq!(provider.held(), before + 1, "a round started a refresh");
    refresh.kill().expect("the refresh");
    refresh.wait().expect("the refresh");

    programs
        .into_iter()
        .zip(idle.into_iter().zip(hanging))
        .map(|(program, (idle, hanging))| Hang {
            name: program.name,
            rounds: hanging.len(),
            idle: quartiles(idle),
            hanging: quartiles(hanging),
        })
        .collect()
}

/// Runs each program once per round until the deadline.
fn interleaved(programs: &[Program], rounds: usize, deadline: Instant) -> Vec<Vec<Duration>> {
    // The first run stores the remembered answer that the others use.
    for program in programs {
        program.timed_reply();
    }
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    for _ in 0..rounds {
        if Instant::now() >= deadline {
            break;
        }
        for (program, times) in programs.iter().zip(&mut times) {
            times.push(program.timed_reply());
        }
    }
    assert!(!times[0].is_empty(), "no time for a round");
    times
}

fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(Instant::now()));
}
