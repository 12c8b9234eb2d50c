//! Transcripts: the bytes that git sends, the bytes that it gets.
#![expect(
    clippy::unnecessary_wraps,
    reason = "each is one of the answers that a session gives"
)]

use super::*;
use crate::credential::Credential;
use crate::wire::transcript::{self, Run};

type Answering = fn() -> Result<Reply, Refusal>;

fn run(operation: &str, input: &[u8], reply: fn() -> Result<Reply, Refusal>) -> Run {
    let env = Env::default();
    run_with(&env, operation, input, reply)
}

fn run_with(
    env: &Env,
    operation: &str,
    input: &[u8],
    reply: fn() -> Result<Reply, Refusal>,
) -> Run {
    transcript::run(&CredentialHelper, env, &[operation], input, |_| reply())
}

fn token() -> Credential {
    Credential {
        generation: 7,
        ..Credential::example(2_000_000_000)
    }
}

fn answered() -> Result<Reply, Refusal> {
    Ok(Reply::Credential(token()))
}

fn bearer() -> Result<Reply, Refusal> {
    Ok(Reply::Credential(Credential {
        bearer: true,
        ..token()
    }))
}

fn unrenewable() -> Result<Reply, Refusal> {
    Ok(Reply::Credential(Credential {
        renewable: false,
        expires_at: None,
        ..token()
    }))
}

fn kept() -> Result<Reply, Refusal> {
    Ok(Reply::Stored(StoredCredential {
        username: Some(String::new()),
        password: Some(Secret::from("")),
        authtype: Some("Token".into()),
        credential: Some(Secret::from("c")),
        expires_at: Some(9_999_999_999),
        oauth_refresh_token: Some(Secret::from("r")),
        ..StoredCredential::default()
    }))
}

fn report() -> Report {
    Report {
        error: "no".into(),
        causes: Vec::new(),
        hint: None,
        exit: Exit::NotSignedIn,
    }
}

const HOST: &str = "protocol=https\nhost=git.example\n";

#[test]
fn capabilities_are_listed_as_git_reads_them() {
    let run = run("capability", b"", answered);
    assert_eq!(
        run.stdout,
        "version 0\ncapability authtype\ncapability state\n"
    );
}

#[test]
fn an_operation_of_a_later_git_is_ignored_in_silence() {
    let run = run("negotiate", b"\0\r", answered);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    assert!(run.asked.is_empty());
}

#[test]
fn only_what_git_offered_is_sent_back() {
    let basic = "username=oauth2\npassword=tok\npassword_expiry_utc=2000000000\n";
    let header = "authtype=Bearer\ncredential=tok\nephemeral=1\npassword_expiry_utc=2000000000\n";
    let heal = "state[]=hallpass:7:default\ncontinue=1\n";
    let (authtype, state) = ("capability[]=authtype\n", "capability[]=state\n");
    for (offered, reply, expected) in [
        // git 2.45 and earlier.
        (String::new(), answered as Answering, basic.to_owned()),
        (String::new(), bearer, basic.to_owned()),
        (authtype.to_owned(), answered, format!("{authtype}{basic}")),
        (
            format!("{authtype}{state}"),
            answered,
            format!("{authtype}{state}{basic}{heal}"),
        ),
        (authtype.to_owned(), bearer, format!("{authtype}{header}")),
        (state.to_owned(), bearer, format!("{state}{basic}{heal}")),
        (
            format!("{authtype}{state}"),
            bearer,
            format!("{authtype}{state}{header}{heal}"),
        ),
        // Nothing to heal it with.
        (
            state.to_owned(),
            unrenewable,
            format!("{state}username=oauth2\npassword=tok\n"),
        ),
        // An empty value takes back what was offered.
        (
            format!("{authtype}{state}capability[]=\n"),
            bearer,
            basic.to_owned(),
        ),
        (
            String::new(),
            kept,
            "username=\npassword=\npassword_expiry_utc=9999999999\noauth_refresh_token=r\n".into(),
        ),
        (
            authtype.to_owned(),
            kept,
            format!(
                "{authtype}authtype=Token\ncredential=c\nusername=\npassword=\n\
                 password_expiry_utc=9999999999\noauth_refresh_token=r\n"
            ),
        ),
    ] {
        let input = format!("{offered}{HOST}\n");
        assert_eq!(
            run("get", input.as_bytes(), reply).stdout,
            expected,
            "{input}"
        );
    }
}

#[test]
fn a_state_of_ours_names_the_refused_generation_and_ends_the_healing() {
    let input = format!(
        "capability[]=state\nstate[]=other:3\nstate[]=hallpass:7:default\nstate[]=hallpass:x\n{HOST}\n"
    );
    let run = run("get", input.as_bytes(), answered);
    assert_eq!(run.asked[0].want.refused, Some(7));
    assert!(!run.stdout.contains("continue"), "{}", run.stdout);
    assert!(!run.stdout.contains("state[]=h"), "{}", run.stdout);
}

#[test]
fn every_attribute_of_gits_request_is_read() {
    let input = "protocol=HTTPS\nhost=git.example:8443\npath=a/b=c.git\nusername=me\n\
                 ntlm=suppressed\nwwwauth[]=\nwwwauth[]=Basic realm=\"x\"\npassword=p=1\n\
                 password_expiry_utc=soon\n\nhost=late.example\n";
    let run = run("erase", input.as_bytes(), || Ok(Reply::Done));
    let request = &run.asked[0];
    let resource = request.resource.as_ref().unwrap();
    assert_eq!(resource.protocol, "https");
    assert_eq!(resource.host, "git.example:8443");
    assert_eq!(resource.path.as_deref(), Some("a/b=c.git"));
    assert_eq!(request.username.as_deref(), Some("me"));
    assert_eq!(request.challenges, ["Basic realm=\"x\""]);
    let Action::Erase(refused) = &request.action else {
        panic!("{:?}", request.action);
    };
    assert_eq!(refused.password, Some(Secret::from("p=1")));
    assert_eq!(refused.expires_at, None);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[test]
fn an_expiry_that_is_no_time_is_none() {
    for (text, expected) in [
        ("9999999999", Some(9_999_999_999)),
        ("1", Some(1)),
        ("0", None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("99999999999999999999", None),
    ] {
        let input = format!("{HOST}username=u\npassword=p\npassword_expiry_utc={text}\n");
        let run = run("store", input.as_bytes(), || Ok(Reply::Done));
        let Action::Store(handed) = &run.asked[0].action else {
            panic!("{:?}", run.asked);
        };
        assert_eq!(handed.expires_at, expected, "{text}");
    }
}

#[test]
fn an_ephemeral_credential_is_not_stored() {
    let input = format!("{HOST}username=u\npassword=p\nephemeral=1\n");
    let run = run("store", input.as_bytes(), || Ok(Reply::Done));
    assert_eq!(
        run.asked[0].action,
        Action::Store(StoredCredential::default())
    );
}

#[test]
fn a_no_of_the_person_keeps_git_from_asking_too() {
    let input = format!("{HOST}\n");
    let declined = run("get", input.as_bytes(), || Err(Refusal::Declined(report())));
    assert_eq!(declined.stdout, "quit=1\n");
    assert_eq!(declined.stderr, "hallpass: error: no\n");
    let unasked = run("get", input.as_bytes(), || {
        Err(Refusal::NotSignedIn(report()))
    });
    assert_eq!(unasked.stdout, "");
    assert_eq!(unasked.stderr, "hallpass: error: no\n");
    // Nobody can replace what the server has refused.
    let refused = format!("capability[]=state\nstate[]=hallpass:7:default\n{input}");
    let refused = run("get", refused.as_bytes(), || {
        Err(Refusal::NotSignedIn(report()))
    });
    assert_eq!(refused.stdout, "quit=1\n");
    let foreign = run("get", input.as_bytes(), || Err(Refusal::NotMine));
    assert_eq!((foreign.stdout.as_str(), foreign.stderr.as_str()), ("", ""));
}

#[test]
fn a_token_that_would_break_the_protocol_is_not_printed() {
    let reply: [Answering; 3] = [
        || {
            let token = Secret::from("a\nhost=evil.example");
            Ok(Reply::Credential(Credential {
                token,
                ..self::token()
            }))
        },
        || {
            let token = Secret::from("a\rb");
            Ok(Reply::Credential(Credential {
                token,
                ..self::token()
            }))
        },
        || {
            let token = Secret::from("a\0b");
            Ok(Reply::Credential(Credential {
                token,
                ..self::token()
            }))
        },
    ];
    for reply in reply {
        let run = run("get", format!("{HOST}\n").as_bytes(), reply);
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(!run.stderr.contains("evil"), "{}", run.stderr);
    }
}

#[test]
fn the_environment_can_rule_asking_out() {
    for (name, value, expected) in [
        ("GIT_TERMINAL_PROMPT", "0", false),
        ("GIT_TERMINAL_PROMPT", "false", false),
        ("GIT_TERMINAL_PROMPT", "1", true),
        ("GCM_INTERACTIVE", "Never", false),
        ("GCM_INTERACTIVE", "0", false),
        ("GCM_INTERACTIVE", "auto", true),
        ("OTHER", "0", true),
    ] {
        let env = Env::new(Vec::<&str>::new(), [(name, value)]);
        let run = run_with(&env, "get", HOST.as_bytes(), answered);
        assert_eq!(run.asked[0].interactive, expected, "{name}={value}");
    }
}

/// What must be refused, by its number in docs/reference/git.md: the corpus of the fuzz target too.
const CORPUS: &[(&[u8], bool)] = &[
    (
        include_bytes!("../../../../fuzz/corpus/git_request/01-cr-as-newline"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/02-cr-at-the-end"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/02-cr-within"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/02-crlf-throughout"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/03-unicode-line-ends"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/04-host-twice"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/04-expiry-twice"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/05-nul"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/06-empty"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/06-no-host"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/06-no-protocol"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/06-empty-host"),
        false,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/09-equals-in-host"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/10-ipv6"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/11-escapes"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/12-long-challenge"),
        true,
    ),
    (
        include_bytes!("../../../../fuzz/corpus/git_request/12-line-too-long"),
        false,
    ),
];

#[test]
fn every_refusal_is_one_line_and_prompts_for_nothing() {
    for (number, (bytes, is_taken)) in CORPUS.iter().enumerate() {
        for operation in ["get", "store", "erase"] {
            let run = run(operation, bytes, || Err(Refusal::NotMine));
            assert_eq!(run.stdout, "", "{number}");
            assert_eq!(run.asked.len(), usize::from(*is_taken), "{number}");
            let lines = usize::from(!is_taken);
            assert_eq!(
                run.stderr.lines().count(),
                lines,
                "{number}: {}",
                run.stderr
            );
            let clean = |c: char| c == '\n' || !c.is_control();
            assert!(run.stderr.chars().all(clean), "{number}: {:?}", run.stderr);
        }
    }
}

#[test]
fn no_byte_but_the_newline_ends_a_value() {
    let bytes = include_bytes!("../../../../fuzz/corpus/git_request/03-unicode-line-ends");
    let run = run("get", bytes, || Err(Refusal::NotMine));
    let request = &run.asked[0];
    assert_eq!(request.resource.as_ref().unwrap().host, "git.example");
    assert_eq!(
        request.username.as_deref(),
        Some("a\u{2028}host=e\u{2029}host=e\u{85}host=e\u{b}host=e\u{c}host=e")
    );
    let bytes = include_bytes!("../../../../fuzz/corpus/git_request/12-long-challenge");
    let run = self::run("get", bytes, || Err(Refusal::NotMine));
    assert_eq!(run.asked[0].resource.as_ref().unwrap().host, "git.example");
}

#[test]
fn only_a_certificate_with_a_path_needs_no_host() {
    let get = |input: &[u8]| run("get", input, || Err(Refusal::NotMine));
    let certificate = get(b"protocol=cert\nhost=\npath=etc/x\n\n");
    let resource = certificate.asked[0].resource.as_ref().unwrap();
    assert_eq!(
        (resource.host.as_str(), resource.path.as_deref()),
        ("", Some("etc/x"))
    );
    for input in [
        &b"protocol=cert\nhost=\n\n"[..],
        b"protocol=smtp\nhost=\npath=etc/x\n\n",
    ] {
        let run = get(input);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
        assert!(run.asked.is_empty());
    }
}

#[test]
fn a_request_ends_at_its_empty_line_and_nothing_after_it_is_waited_for() {
    struct OneChunkOnly<'a>(&'a [u8]);
    impl io::Read for OneChunkOnly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.0.is_empty(), "waited for more than the empty line");
            let (byte, rest) = self.0.split_at(1);
            buffer[..1].copy_from_slice(byte);
            self.0 = rest;
            Ok(1)
        }
    }
    for bytes in ["a=b\n\n", "a=b\r\n\r\n", "\n", "\r\n"] {
        let mut stdin = OneChunkOnly(bytes.as_bytes());
        assert!(
            read_request(&mut stdin, LONGEST_REQUEST, has_ended)
                .unwrap()
                .is_some()
        );
    }
}

#[test]
fn the_account_that_a_user_name_chose_survives_our_own_user_name() {
    let asked = format!("capability[]=state\n{HOST}username=work\n");
    let reply = run("get", asked.as_bytes(), answered).stdout;
    let account = "oauth_refresh_token=hallpass:7:default\n";
    assert!(reply.contains(account), "{reply}");
    // After a good GET git sends it back, without a state and with the user name of the reply.
    let again = format!("capability[]=state\n{HOST}username=oauth2\n{account}");
    let again = run("get", again.as_bytes(), answered);
    assert_eq!(again.asked[0].account.as_deref(), Some("default"));
    assert_eq!(again.asked[0].want.refused, None);
    assert!(again.stdout.contains("continue=1"), "{}", again.stdout);
    // A state says more, and another helper's refresh token says nothing.
    for (more, refused, account) in [
        (
            "state[]=hallpass:9:home\noauth_refresh_token=hallpass:7:work\n",
            Some(9),
            Some("home"),
        ),
        ("oauth_refresh_token=xyzzy\n", None, None),
    ] {
        let input = format!("capability[]=state\n{HOST}{more}");
        let request = &run("get", input.as_bytes(), answered).asked[0];
        assert_eq!(request.want.refused, refused, "{more}");
        assert_eq!(request.account.as_deref(), account, "{more}");
    }
    // Without a user name nothing has to be remembered, and an older git ends anyway.
    for input in [
        format!("capability[]=state\n{HOST}"),
        format!("{HOST}username=work\n"),
    ] {
        let reply = run("get", input.as_bytes(), answered).stdout;
        assert!(!reply.contains("oauth_refresh_token"), "{reply}");
    }
}
