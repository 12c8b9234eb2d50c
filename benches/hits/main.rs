//! Measures the cost of a cache hit as a whole process, and compares it with minimal programs and
//! with other credential helpers.
//!
//! ```text
//! cargo bench --bench hits                  prints a table in Markdown
//! cargo bench --bench hits -- --json        prints JSON
//! cargo bench --bench hits -- --rounds 500  runs each program 500 times instead of 200
//! cargo bench --bench hits -- --clean-build also measures a clean build (takes minutes)
//! ```
//!
//! It needs Linux and a C compiler, but not root. It uses optional tools if they are installed:
//! `valgrind` counts instructions, `strace` counts system calls, the musl target is measured if it
//! builds, a Secret Service needs `dbus-run-session` and `gnome-keyring-daemon`, and each installed
//! peer is measured. Missing tools are reported, and their cells stay empty.
#![expect(clippy::print_stderr, reason = "a benchmark reports its progress")]
#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::print_stdout,
        clippy::expect_used,
        reason = "a benchmark prints, and stops where it cannot go on"
    )
)]

#[cfg(target_os = "linux")]
mod build;
#[cfg(target_os = "linux")]
mod hang;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod peers;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod provider;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod scenes;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("hits: this benchmark needs Linux");
}

#[cfg(target_os = "linux")]
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, url] = words.as_slice()
        && verb == sandbox::BROWSE
    {
        return sandbox::browse(url);
    }
    if let Some(code) = sandbox::outside() {
        std::process::exit(code);
    }
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let rounds = words
        .iter()
        .position(|word| word == "--rounds")
        .and_then(|at| words.get(at + 1)?.parse().ok())
        .unwrap_or(200);

    let builds = build::all(has("--clean-build"));
    let provider = provider::Provider::start();
    let mut sandbox = sandbox::Sandbox::new(provider.issuer());
    sandbox.sign_in(&builds[0].program);

    let floors = build::floors(&sandbox, &builds);
    let mut programs = scenes::floors(&floors);
    programs.extend(scenes::hits(&sandbox, &builds));
    let peers = peers::installed(&sandbox, sandbox.has_keyring());
    programs.extend(peers.programs());
    programs.extend(scenes::fills(&sandbox, &builds, peers.has_cache()));
    let hits = measure::all(&programs, &floors, rounds);

    let miss = scenes::misses(&sandbox, &builds, &provider, rounds.min(100));
    drop(peers);
    let hangs = hang::hits(&sandbox, &builds, &provider, rounds);
    let report = report::Report {
        builds: &builds,
        hits: &hits,
        misses: &miss,
        hangs: &hangs,
        place: sandbox.place(),
        rounds,
    };
    if has("--json") {
        println!("{:#}", report.json());
    } else {
        println!("{report}");
    }
}
