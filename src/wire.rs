//! What the protocols of tools share.
//!
//! A protocol reads a tool's request, asks `answer` for a credential, and replies in the tool's own
//! format. It knows nothing of sessions, OAuth, files or HTTP: M tools and N providers meet
//! only in `credential`.

use std::io;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;
use zeroize::Zeroizing;

use crate::credential::{Answer, Call, Credential, Refusal, Reply};
use crate::report::Exit;
use crate::secret::{Secret, Wiping};

/// One tool's way of asking for a credential.
pub trait Protocol: Sync {
    /// Serves one run. It gets a callback instead of a credential, because some tools ask several
    /// times in one run, and each reports a refusal in its own way.
    fn serve(&self, call: &mut Call<'_>, answer: Answer<'_>) -> io::Result<ExitCode>;
}

/// Reads a tool's request: to the end of the stream, or until `has_ended`, which gets all bytes so
/// far and how many of them it has already seen. `None` if the request is longer than `longest`
/// bytes.
///
/// # Errors
///
/// The stream's own error.
pub fn read_request(
    stdin: &mut dyn io::Read,
    longest: usize,
    has_ended: impl Fn(&[u8], usize) -> bool,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut chunk = Zeroizing::new([0; 1024]);
    let mut request = Wiping::with_capacity(1024);
    loop {
        let count = match stdin.read(&mut *chunk) {
            Ok(0) => return Ok(Some(request.into_bytes())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let seen = request.bytes().len();
        request.add(chunk.get(..count).unwrap_or_default());
        if request.bytes().len() > longest {
            return Ok(None);
        }
        if has_ended(request.bytes(), seen) {
            return Ok(Some(request.into_bytes()));
        }
    }
}

/// Replies to a tool that always wants a credential, whatever its protocol: `write` writes it. Without
/// one, the reason goes to stderr.
pub fn reply_with_credential(
    call: &mut Call<'_>,
    outcome: Result<Reply, Refusal>,
    write: impl FnOnce(&Credential, &mut dyn io::Write) -> io::Result<()>,
) -> io::Result<ExitCode> {
    match outcome {
        Ok(Reply::Credential(credential)) => {
            write(&credential, call.stdout)?;
            call.stdout.flush()?;
            Ok(Exit::Answered.into())
        }
        Err(Refusal::NotSignedIn(report) | Refusal::Declined(report) | Refusal::Failed(report)) => {
            report.write(call.stderr);
            Ok(report.exit.into())
        }
        // Only protocols that store credentials or ask several helpers get these.
        Ok(Reply::Stored(_) | Reply::List(_) | Reply::Done) | Err(Refusal::NotMine) => {
            Ok(Exit::Failed.into())
        }
    }
}

/// Writes a JSON object that contains a secret, and a newline. Nothing of it stays in memory.
pub fn write_json(stdout: &mut dyn io::Write, object: &impl Serialize) -> io::Result<()> {
    let mut reply = Wiping::with_capacity(4096);
    serde_json::to_writer(&mut reply, object)?;
    reply.add(b"\n");
    stdout.write_all(reply.bytes())?;
    stdout.flush()
}

/// When a token expires, for tools that read RFC 3339 in whole seconds: never too late.
pub fn rfc3339(expires_at: Option<OffsetDateTime>) -> Option<String> {
    expires_at?
        .replace_nanosecond(0)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// The URL of a path at a realm (`https://host:port`).
pub fn url_at(realm: &str, path: &str) -> Option<Url> {
    let mut url = Url::parse(realm).ok()?;
    url.set_path(path);
    Some(url)
}

/// The credentials of Basic authentication: a user name and a token or password (RFC 7617 §2).
pub fn basic(username: &str, password: &str) -> Zeroizing<String> {
    let mut pair = Wiping::with_capacity(username.len() + 1 + password.len());
    for part in [username, ":", password] {
        pair.add(part.as_bytes());
    }
    Zeroizing::new(STANDARD.encode(pair.bytes()))
}

/// The password in the credentials of Basic authentication.
pub fn password_of(credentials: &Secret<String>) -> Option<Secret<String>> {
    let pair = Zeroizing::new(STANDARD.decode(credentials.expose()).ok()?);
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Secret::from(password))
}

/// For tests of a protocol on exact bytes.
#[cfg(test)]
pub(crate) mod transcript {
    use super::*;
    use crate::credential::Request;
    use crate::env::Env;

    /// One run: what it wrote, and what it asked for.
    pub(crate) struct Run {
        pub(crate) code: ExitCode,
        pub(crate) stdout: String,
        pub(crate) stderr: String,
        pub(crate) asked: Vec<Request>,
    }

    /// Serves one run of a protocol, with these arguments and bytes.
    pub(crate) fn run(
        protocol: &dyn Protocol,
        env: &Env,
        args: &[&str],
        mut stdin: &[u8],
        mut answer: impl FnMut(&Request) -> Result<Reply, Refusal>,
    ) -> Run {
        let (mut stdout, mut stderr, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        let args: Vec<_> = args.iter().map(Into::into).collect();
        let mut call = Call {
            args: &args,
            env,
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
        };
        let code = protocol.serve(&mut call, &mut |request| {
            asked.push(request.clone());
            answer(request)
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run {
            code: code.unwrap(),
            stdout: text(stdout),
            stderr: text(stderr),
            asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_of_reverses_basic_and_rejects_anything_else() {
        assert_eq!(
            *basic("Aladdin", "open sesame"),
            "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        for password in ["tok", "", "a:b", "\u{f6}"] {
            let made = Secret::from(basic("oauth2", password).as_str());
            let found = password_of(&made).unwrap();
            assert_eq!(found.expose(), password);
        }
        for nothing in ["", "x", "b2F1dGgy", "/////w=="] {
            assert!(password_of(&Secret::from(nothing)).is_none(), "{nothing}");
        }
    }
}
