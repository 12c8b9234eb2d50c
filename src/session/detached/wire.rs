//! Messages as JSON, one value per line.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::secret::Wiping;

/// Far longer than any message.
pub(super) const LONGEST: usize = 4 << 20;

/// A message to send. It may hold a session, so its bytes are wiped.
pub(super) fn line<T: Serialize>(message: &T) -> Zeroizing<Vec<u8>> {
    let mut line = Wiping::with_capacity(256);
    // Strings, numbers and maps of strings always serialize.
    let _ = serde_json::to_writer(&mut line, message);
    line.add(b"\n");
    line.into_bytes()
}

/// Received bytes, until they form complete lines.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Wiping,
    read: usize,
}

impl Incoming {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.add(bytes);
    }

    /// Whether the other side has sent more than any message.
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes.bytes().len() - self.read > LONGEST
    }

    pub(super) fn has_message(&self) -> bool {
        self.bytes.bytes()[self.read..].contains(&b'\n')
    }

    /// The next message: `None` until it is complete, an error if it is invalid.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, serde_json::Error>> {
        let rest = &self.bytes.bytes()[self.read..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let message = serde_json::from_slice(&rest[..end]);
        self.read += end + 1;
        if self.read == self.bytes.bytes().len() {
            *self = Self::default();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{FromCaller, FromProcess, VERSION};
    use super::*;
    use crate::terminal::{Line, LineKind};

    #[test]
    fn messages_arrive_in_pieces_and_several_at_once() {
        let said = [
            FromProcess::Hello { version: VERSION },
            FromProcess::Line(Line {
                kind: LineKind::Explain(2),
                text: "one\ntwo \u{1b}".to_owned(),
            }),
        ];
        let bytes: Vec<u8> = said.iter().flat_map(|it| line(it).to_vec()).collect();
        for size in [1, 7, bytes.len()] {
            let mut incoming = Incoming::default();
            let mut heard = Vec::new();
            for piece in bytes.chunks(size) {
                incoming.add(piece);
                while let Some(message) = incoming.next::<FromProcess>() {
                    heard.push(message.unwrap());
                }
            }
            assert_eq!(format!("{heard:?}"), format!("{said:?}"), "{size}");
        }
    }

    #[test]
    fn a_message_of_a_later_version_is_unknown_and_no_error() {
        let mut incoming = Incoming::default();
        incoming.add(b"{\"type\":\"paste\",\"url\":\"http://127.0.0.1/\"}\nrubbish\n");
        assert!(matches!(
            incoming.next::<FromCaller>(),
            Some(Ok(FromCaller::Unknown))
        ));
        assert!(incoming.next::<FromCaller>().unwrap().is_err());
        assert!(incoming.next::<FromCaller>().is_none());
    }
}
