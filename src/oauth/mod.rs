//! The OAuth 2.0 and OpenID Connect messages, sans-I/O: what is sent, and what an answer means.
//!
//! Nothing here opens a socket or a file, reads the clock or prints: bytes and `now` come in by
//! value, so that a test needs neither a server nor patience. It imports `crate::secret` and
//! nothing else of this crate.
//!
//! Two grants are offered, the authorization code with PKCE and the device code; RFC 9700 rules
//! the implicit (§2.1.2) and the password grant (§2.4) out.

pub mod authorization;
pub mod callback;
pub mod device;
pub mod discovery;
pub mod error_code;
pub mod id_token;
pub mod pkce;
pub mod redirect_uri;
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

/// Makes a `state`, a `nonce` or a code verifier: 32 bytes from the operating system, in base64url.
///
/// 43 characters, which is what RFC 7636 §4.1 asks of a verifier. A system without randomness is
/// no place to sign in, so that ends the process.
pub fn random_secret() -> Secret<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    UnwrapErr(SysRng).fill_bytes(bytes.as_mut_slice());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

/// The longest text of a foreign server that is shown, in characters.
const LONGEST_FOREIGN_TEXT: usize = 200;

/// Makes a foreign server's text fit for a terminal: one line, nothing invisible, not too long.
///
/// Line breaks and other white space become one space. Control, bidirectional, zero-width and other characters that do not print become `\u{…}`; what
/// goes beyond 200 characters becomes `…`.
pub fn sanitized(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST_FOREIGN_TEXT));
    let words = text.split_ascii_whitespace();
    let spaced = words.flat_map(|word| std::iter::once(' ').chain(word.chars()));
    for (position, character) in spaced.skip(1).enumerate() {
        if position == LONGEST_FOREIGN_TEXT {
            shown.push('…');
            break;
        }
        // `escape_debug` knows what prints; it also escapes these three, which are harmless here.
        if matches!(character, '\'' | '"' | '\\') {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    shown
}

/// Compares in a time that does not tell how much of the guess was right.
fn is_same_secret(expected: &str, guess: &str) -> bool {
    // `ring::hmac::verify` compares in constant time, and the tags have one length.
    let key = hmac::Key::new(hmac::HMAC_SHA256, expected.as_bytes());
    let tag = hmac::sign(&key, expected.as_bytes());
    hmac::verify(&key, guess.as_bytes(), tag.as_ref()).is_ok()
}

/// Reads a JSON object; anything else, an array included, is `None`.
///
/// The error of `serde_json` is dropped on purpose: it may quote a value.
fn json_object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    // A derived `Deserialize` takes an array for a struct, too.
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
    fn a_random_secret_is_43_unreserved_characters_and_never_the_same() {
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
    fn foreign_text_cannot_move_the_cursor_or_turn_the_line() {
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
            assert_eq!(sanitized(text), expected);
        }
    }

    #[test]
    fn foreign_text_is_cut() {
        let shown = sanitized(&"ä".repeat(10_000));
        assert_eq!(shown.chars().count(), LONGEST_FOREIGN_TEXT + 1);
        assert!(shown.ends_with("ä…"));
    }

    #[test]
    fn secrets_are_the_same_only_when_each_byte_is() {
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
    fn only_an_object_is_an_object() {
        type Map = serde_json::Map<String, serde_json::Value>;
        assert!(json_object::<Map>(b" {\"a\":1}").is_some());
        for body in ["", "[]", "null", "\"{}\"", "{", "{} x", "<html>"] {
            assert!(json_object::<Map>(body.as_bytes()).is_none(), "{body}");
        }
    }
}
