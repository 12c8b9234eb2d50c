//! A file of hallpass's own, such as one with a client secret.
//!
//! A record has only the hash of the content, so a secret is written to one place only.

use serde::{Deserialize, Serialize};

use super::super::content::fingerprint;
use super::kind::{Bytes, Kind, Unfit};
use crate::secret::Secret;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WholeFile {
    /// The description of its content for the user.
    about: String,
    fingerprint: String,
    #[serde(skip)]
    content: Option<Secret<Vec<u8>>>,
}

impl PartialEq for WholeFile {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for WholeFile {}

impl WholeFile {
    pub(super) fn new(about: &str, content: Vec<u8>) -> Self {
        Self {
            about: about.to_owned(),
            fingerprint: fingerprint(Some(&content)),
            content: Some(Secret::new(content)),
        }
    }
}

impl Kind for WholeFile {
    fn add(&self, bytes: Bytes<'_>) -> Result<Option<Vec<u8>>, Unfit> {
        match (&self.content, bytes) {
            (Some(content), None) => Ok(Some(content.expose().clone())),
            (_, Some(_)) => Err(Unfit("already exists with other content".to_owned())),
            (None, None) => Err(Unfit("is missing".to_owned())),
        }
    }

    fn is_in_place(&self, bytes: Bytes<'_>) -> bool {
        bytes.is_some() && fingerprint(bytes) == self.fingerprint
    }

    fn view(&self, bytes: Bytes<'_>) -> Vec<String> {
        if self.is_in_place(bytes) {
            vec![self.about.clone()]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_can_be_created_and_removed_but_never_replaces_another_one() {
        let file = WholeFile::new("the secret", b"hush\n".to_vec());
        let made = file.apply(None).unwrap();
        assert_eq!(made.as_deref(), Some(&b"hush\n"[..]));
        assert_eq!(file.view(made.as_deref()), ["the secret"]);
        assert_eq!(file.remove(made.as_deref(), None).unwrap(), None);
        assert!(file.apply(Some(b"theirs")).is_err());
        assert!(!file.is_ours(Some(b"theirs")));
        // The record doesn't contain the secret.
        let record = serde_json::to_string(&file).unwrap();
        assert!(!record.contains("hush"), "{record}");
        let read: WholeFile = serde_json::from_str(&record).unwrap();
        assert!(read == file && read.is_ours(made.as_deref()));
        assert!(read.apply(None).is_err());
    }
}
