//! Stub: written elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    Auto,
    Keyring,
    Kernel,
    File,
    None,
}
