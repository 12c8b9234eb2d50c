//! Runs other programs, with a time limit, and returns their output.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::files;

/// Runs a command with an empty stdin and returns its output. Kills it at the time limit: a program
/// called `kubectl`, say, may be a script that waits forever.
pub(crate) fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    output_for(command, b"", limit)
}

/// Like [`output`], for a command that reads a short input, which must fit into a pipe.
pub(crate) fn output_for(
    command: &mut Command,
    input: &[u8],
    limit: Duration,
) -> io::Result<Output> {
    let deadline = Instant::now() + limit;
    // A group of its own, so that its children can be killed with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = spawn(command, !input.is_empty())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that doesn't read its input may still succeed.
        let _ = stdin.write_all(input);
    }
    let output = wait_until(deadline, &mut child);
    output.unwrap_or_else(|| {
        // The timeout is the error to report.
        let _ = kill(&mut child);
        let _ = child.wait();
        let why = format!("it did not finish within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

fn spawn(command: &mut Command, has_input: bool) -> io::Result<Child> {
    let start = |command: &mut Command| {
        let stdin = if has_input {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    match start(command) {
        #[cfg(windows)]
        Err(error) if error.kind() == io::ErrorKind::NotFound => start(&mut batch_file(command)),
        started => started,
    }
}

/// The same command as a batch file. Other programs find it on `PATH` under the name alone, and some
/// tools are installed as one (`docker-credential-gcloud.cmd`).
#[cfg(windows)]
fn batch_file(command: &Command) -> Command {
    let mut name = command.get_program().to_owned();
    name.push(".cmd");
    let mut batch_file = Command::new(name);
    batch_file.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => batch_file.env(name, value),
            None => batch_file.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        batch_file.current_dir(folder);
    }
    batch_file
}

#[cfg(unix)]
fn kill(child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};
    kill_process_group(Pid::from_child(child), Signal::KILL)?;
    Ok(())
}

#[cfg(not(unix))]
fn kill(child: &mut Child) -> io::Result<()> {
    child.kill()
}

/// Waits for the output and the exit status until the deadline; `None` after that.
fn wait_until(deadline: Instant, child: &mut Child) -> Option<io::Result<Output>> {
    const POLL_INTERVAL: Duration = Duration::from_millis(5);
    let left = || deadline.saturating_duration_since(Instant::now());
    let stdout = read_in_thread(child.stdout.take());
    let stderr = read_in_thread(child.stderr.take());
    let printed = (
        stdout.recv_timeout(left()).ok()?,
        stderr.recv_timeout(left()).ok()?,
    );
    loop {
        match (child.try_wait(), left()) {
            (Ok(Some(status)), _) => {
                let (stdout, stderr) = printed;
                return Some(stdout.and_then(|stdout| {
                    Ok(Output {
                        status,
                        stdout,
                        stderr: stderr?,
                    })
                }));
            }
            (Err(error), _) => return Some(Err(error)),
            (Ok(None), Duration::ZERO) => return None,
            (Ok(None), left) => std::thread::sleep(POLL_INTERVAL.min(left)),
        }
    }
}

/// Reads a stream to its end in a thread. The end may never come: a background process that the
/// command started may hold the stream open.
fn read_in_thread(
    stream: Option<impl Read + Send + 'static>,
) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let mut bytes = Vec::new();
        let read = stream.map_or(Ok(0), |stream| {
            stream.take(files::LARGEST).read_to_end(&mut bytes)
        });
        // The receiver is gone after a timeout.
        let _ = sender.send(read.map(|_| bytes));
    };
    crate::signals::in_threads_without(|| std::thread::spawn(read));
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_runs_too_long_is_killed() {
        let run = |script: &str, limit| output(Command::new("sh").args(["-c", script]), limit);
        let long = Duration::from_secs(60);
        let output = run("echo out; echo err >&2; exit 3", long).unwrap();
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(output.status.code(), Some(3));
        // More than a pipe's buffer.
        let output = run(
            "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2",
            long,
        )
        .unwrap();
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (300_000, 300_000)
        );
        for script in [
            "exec sleep 60",
            "sleep 5 & sleep 5",
            "exec >&- 2>&-; exec sleep 60",
        ] {
            let error = run(script, Duration::from_millis(50)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{script}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_children_of_a_command_are_killed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > '{}'; wait", pid.display());
        let limit = Duration::from_secs(1);
        output(Command::new("sh").args(["-c", &script]), limit).unwrap_err();
        let pid = std::fs::read_to_string(pid).unwrap();
        let is_running = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_running(), "the child is still running");
    }
}
