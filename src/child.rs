//! Runs other programs for what they print, for a limited time.

use std::io::{self, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::files;

/// What a command prints, with nothing to read. What is called kubectl may be a script that waits
/// for something; one that does not end is ended.
pub(crate) fn output(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let deadline = Instant::now() + limit;
    // What it starts is in its group, and is ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = ended_by(deadline, &mut child);
    ended.unwrap_or_else(|| {
        // That it did not end is what has to be said.
        let _ = end(&mut child);
        let _ = child.wait();
        let why = format!("it did not end within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

#[cfg(unix)]
fn end(child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};
    kill_process_group(Pid::from_child(child), Signal::KILL)?;
    Ok(())
}

#[cfg(not(unix))]
fn end(child: &mut Child) -> io::Result<()> {
    child.kill()
}

/// What it printed and how it ended; `None`: it did not.
fn ended_by(deadline: Instant, child: &mut Child) -> Option<io::Result<Output>> {
    const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
    let left = || deadline.saturating_duration_since(Instant::now());
    let stdout = read_aside(child.stdout.take());
    let stderr = read_aside(child.stderr.take());
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
            (Ok(None), left) => std::thread::sleep(BETWEEN_LOOKS.min(left)),
        }
    }
}

/// Reads a stream to its end, which may never come: whoever started the command may be gone, and
/// what it has started still holds the stream.
fn read_aside(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let mut bytes = Vec::new();
        let read = stream.map_or(Ok(0), |stream| {
            stream.take(files::LARGEST).read_to_end(&mut bytes)
        });
        // Nobody waits for it any more.
        let _ = sender.send(read.map(|_| bytes));
    };
    crate::signals::in_threads_without(|| std::thread::spawn(read));
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let run = |script: &str, limit| output(Command::new("sh").args(["-c", script]), limit);
        let long = Duration::from_secs(60);
        let said = run("echo out; echo err >&2; exit 3", long).unwrap();
        assert_eq!(
            (&*said.stdout, &*said.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(said.status.code(), Some(3));
        // More than a pipe holds.
        let much = run(
            "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2",
            long,
        )
        .unwrap();
        assert_eq!((much.stdout.len(), much.stderr.len()), (300_000, 300_000));
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
    fn what_a_command_that_does_not_end_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > '{}'; wait", pid.display());
        let limit = Duration::from_secs(1);
        output(Command::new("sh").args(["-c", &script]), limit).unwrap_err();
        let pid = std::fs::read_to_string(pid).unwrap();
        let is_there = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_there() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_there(), "it is still there");
    }
}
