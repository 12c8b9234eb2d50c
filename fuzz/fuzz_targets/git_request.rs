//! git's request is either rejected or accepted, whatever the bytes are, and nothing panics. An
//! accepted request reads the same with CRLF line endings, and its host fits on one line.
#![no_main]

use hallpass::credential::{Call, Refusal, Request};
use hallpass::env::Env;
use hallpass::wire::Protocol as _;
use hallpass::tools::git::protocol::{CredentialHelper, Input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    reads_the_same_with_crlf(bytes);
    asks_for_what_a_line_says(bytes);
});

fn reads_the_same_with_crlf(bytes: &[u8]) {
    let Ok(input) = Input::parse(bytes) else {
        return;
    };
    // The parser stops at the empty line and ignores the rest.
    let with_crlf: Vec<u8> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => [text, b"\r\n"].concat(),
            last => last.to_vec(),
        })
        .collect();
    if let Ok(again) = Input::parse(&with_crlf) {
        assert_eq!(input, again);
    }
}

fn asks_for_what_a_line_says(bytes: &[u8]) {
    let (mut stdin, mut stdout, mut stderr) = (bytes, Vec::new(), Vec::new());
    let mut hosts = Vec::new();
    let mut call = Call {
        args: &["get".into()],
        env: &Env::default(),
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let mut answer = |request: &Request| {
        hosts.extend(request.resource.as_ref().map(|resource| resource.host.clone()));
        Err(Refusal::NotMine)
    };
    CredentialHelper.serve(&mut call, &mut answer).expect("memory can be written to");
    assert!(stdout.is_empty());
    let said = String::from_utf8(stderr).expect("text");
    assert!(said.lines().count() <= 1 && !said.trim_end_matches('\n').contains(char::is_control));
    // Either rejected or accepted, never both.
    assert!(hosts.len() + said.lines().count() <= 1);
    let lines = || bytes.split(|byte| *byte == b'\n');
    let line = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    for host in hosts {
        let mut said = lines().map(line).take_while(|line| !line.is_empty());
        let hosts: Vec<_> = said.by_ref().filter(|line| line.starts_with(b"host=")).collect();
        assert_eq!(hosts, [["host=".as_bytes(), host.as_bytes()].concat()]);
    }
}
