//! Builds OAuth 2.0 and OpenID Connect requests and parses the responses, without any I/O.
//!
//! Nothing here opens a socket or a file, reads the clock or prints. Bytes and `now` are arguments,
//! so tests need neither a server nor delays. Of this crate, it imports only `crate::secret`.
//!
//! hallpass supports two grants: the authorization code with PKCE, and the device code. RFC 9700
//! excludes the implicit grant (§2.1.2) and the password grant (§2.4).

pub mod authorization;
pub mod callback;
pub mod device;
pub mod discovery;
pub mod error_code;
pub mod id_token;
pub mod pkce;
pub mod redirect_uri;
pub mod safe_url;
pub mod token;

pub use redirect_uri::RedirectUri;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use ring::hmac;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Generates a `state`, a `nonce` or a code verifier: 32 random bytes in base64url.
///
/// That is 43 characters, as RFC 7636 §4.1 requires for a verifier.
///
/// # Panics
///
/// If the operating system has no randomness, because no sign-in is safe without it.
pub fn random_secret() -> Secret<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    UnwrapErr(SysRng).fill_bytes(bytes.as_mut_slice());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// The longest text from a server that hallpass shows, in characters.
const LONGEST_TEXT: usize = 200;

/// Makes a server's text safe to print: on one line, without invisible characters, and not too long.
///
/// Line breaks and other white space become one space. Control, bidirectional, zero-width and other
/// unprintable characters become `\u{…}`. Everything after 200 characters becomes `…`.
pub fn sanitize(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST_TEXT));
    let words = text.split_ascii_whitespace();
    let spaced = words.flat_map(|word| std::iter::once(' ').chain(word.chars()));
    for (position, character) in spaced.skip(1).enumerate() {
        if position == LONGEST_TEXT {
            shown.push('…');
            break;
        }
        // `escape_debug` knows which characters print. It also escapes these harmless three.
        if matches!(character, '\'' | '"' | '\\') {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    shown
}

/// Compares two secrets in constant time.
fn is_same_secret(expected: &str, guess: &str) -> bool {
    // `ring::hmac::verify` compares in constant time, and both tags have the same length.
    let key = hmac::Key::new(hmac::HMAC_SHA256, expected.as_bytes());
    let tag = hmac::sign(&key, expected.as_bytes());
    hmac::verify(&key, guess.as_bytes(), tag.as_ref()).is_ok()
}

/// Whether a text has only the characters of a code or token: printable ASCII (RFC 6749 appendix
/// A.11, A.12).
fn is_vschar(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Parses a JSON object. Everything else, including an array, is `None`.
///
/// The error of `serde_json` is dropped because it may quote a value.
fn json_object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    // A derived `Deserialize` also accepts an array for a struct.
    if bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(bytes).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_secret_is_43_unreserved_characters() {
        let (one, other) = (random_secret(), random_secret());
        assert_ne!(one.expose(), other.expose());
        for secret in [one, other] {
            assert_eq!(secret.expose().len(), 43);
            assert!(
                secret
                    .expose()
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
        }
    }

    #[test]
    fn sanitized_text_has_no_control_or_bidi_characters() {
        for (text, expected) in [
            ("Grant's \"code\" expired\\", "Grant's \"code\" expired\\"),
            ("müßig 東京", "müßig 東京"),
            ("two\r\n\tlines\0", r"two lines\0"),
            ("a  b", "a b"),
            ("\u{1b}[2J", r"\u{1b}[2J"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b\u{2066}c", r"a\u{202e}b\u{2066}c"),
            ("a\u{200b}b\u{feff}c", r"a\u{200b}b\u{feff}c"),
            ("a\u{2028}b\u{e0041}c", r"a\u{2028}b\u{e0041}c"),
            ("  \n ", ""),
        ] {
            assert_eq!(sanitize(text), expected);
        }
    }

    #[test]
    fn long_text_is_truncated() {
        let shown = sanitize(&"ä".repeat(10_000));
        assert_eq!(shown.chars().count(), LONGEST_TEXT + 1);
        assert!(shown.ends_with("ä…"));
    }

    #[test]
    fn secrets_are_equal_only_if_every_byte_is() {
        for (expected, guess, same) in [
            ("abc", "abc", true),
            ("abc", "abd", false),
            ("abc", "ab", false),
            ("abc", "abcd", false),
            ("abc", "abc\0", false),
            ("abc", "", false),
        ] {
            assert_eq!(is_same_secret(expected, guess), same, "{expected} {guess}");
        }
    }

    #[test]
    fn only_a_json_object_is_parsed() {
        type Map = serde_json::Map<String, serde_json::Value>;
        assert!(json_object::<Map>(b" {\"a\":1}").is_some());
        for body in ["", "[]", "null", "\"{}\"", "{", "{} x", "<html>"] {
            assert!(json_object::<Map>(body.as_bytes()).is_none(), "{body}");
        }
    }
}
