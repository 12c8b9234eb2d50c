//! Where the data key is stored: what the user asks for, and the places there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where the user wants to store the data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// The OS keyring, or the kernel keyring if there is none, or else nowhere.
    #[default]
    Auto,
    Keyring,
    Kernel,
    File,
    /// Nothing is stored, and existing records are ignored.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store must be auto, keyring, kernel, file or none")]
pub struct UnknownSetting;

impl FromStr for Setting {
    type Err = UnknownSetting;

    fn from_str(text: &str) -> Result<Self, UnknownSetting> {
        [
            Self::Auto,
            Self::Keyring,
            Self::Kernel,
            Self::File,
            Self::None,
        ]
        .into_iter()
        .find(|setting| setting.as_str() == text)
        .ok_or(UnknownSetting)
    }
}

impl Setting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Keyring => "keyring",
            Self::Kernel => "kernel",
            Self::File => "file",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the data key is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Keyring,
    Kernel,
    File,
    None,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyring => "OS keyring",
            Self::Kernel => "kernel keyring",
            Self::File => "key file",
            Self::None => "store \"none\"",
        })
    }
}

impl Setting {
    /// The place that was requested by name; `None` if hallpass chooses it.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Auto => None,
            Self::Keyring => Some(Place::Keyring),
            Self::Kernel => Some(Place::Kernel),
            Self::File => Some(Place::File),
            Self::None => Some(Place::None),
        }
    }
}
