//! The presets: what is known about a provider before it is configured.
//!
//! They are data only, with one file for each provider in `config/providers`. Only the preset in
//! use is parsed. A preset has a `client_id` only if hallpass may use that ID.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::layer::{ProviderLayer, SERVER_KEYS};
use crate::config::error::ConfigError;
use crate::config::section::{Blanks, Name, Source, UnknownKeys};

/// The presets, sorted by name.
const PRESETS: &[(&str, &str)] = &[
    ("acr", include_str!("../../config/providers/acr.toml")),
    (
        "artifact-registry",
        include_str!("../../config/providers/artifact-registry.toml"),
    ),
    ("auth0", include_str!("../../config/providers/auth0.toml")),
    (
        "azure-devops",
        include_str!("../../config/providers/azure-devops.toml"),
    ),
    (
        "bitbucket",
        include_str!("../../config/providers/bitbucket.toml"),
    ),
    (
        "codeberg",
        include_str!("../../config/providers/codeberg.toml"),
    ),
    (
        "forgejo",
        include_str!("../../config/providers/forgejo.toml"),
    ),
    ("gitea", include_str!("../../config/providers/gitea.toml")),
    ("github", include_str!("../../config/providers/github.toml")),
    ("gitlab", include_str!("../../config/providers/gitlab.toml")),
    ("google", include_str!("../../config/providers/google.toml")),
    (
        "keycloak",
        include_str!("../../config/providers/keycloak.toml"),
    ),
    (
        "microsoft",
        include_str!("../../config/providers/microsoft.toml"),
    ),
    ("okta", include_str!("../../config/providers/okta.toml")),
];

/// Identifies this version of the presets: FNV-1a, computed at compile time.
pub(crate) const EDITION: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < PRESETS.len() {
        let (name, text) = PRESETS[at];
        hash = hashed(hashed(hash, name), text);
        at += 1;
    }
    hash
};

const fn hashed(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    // A terminator, so that adjacent texts can't run together.
    hash.wrapping_mul(0x0100_0000_01b3)
}

pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    PRESETS.iter().map(|(name, _)| *name)
}

pub(crate) fn known(name: &str) -> Option<&'static str> {
    PRESETS.iter().map(|(id, _)| *id).find(|id| *id == name)
}

/// A preset as a layer, and its first unfilled placeholder.
pub(super) struct Filled {
    pub(super) layer: ProviderLayer,
    pub(super) unfilled: Option<&'static str>,
}

/// Reads the preset `id`, with its placeholders filled in from the layers above it.
pub(super) fn read(id: &'static str, above: &ProviderLayer) -> Result<Filled, ConfigError> {
    let text = PRESETS.iter().find(|(name, _)| *name == id);
    let text = text.map_or("", |(_, text)| *text);
    for (key, blank, given) in [
        ("base", "{base}", &above.base),
        ("tenant", "{tenant}", &above.tenant),
    ] {
        if given.is_some() && !text.contains(blank) {
            return Err(ConfigError::NotInPreset { preset: id, key });
        }
    }
    let source = Source {
        name: Name::Preset(id),
        text: Zeroizing::new(text.to_owned()),
        folder: PathBuf::new(),
        home: None,
        unknown_keys: UnknownKeys::Refused,
    };
    let mut section = source.parse()?;
    let own_base = section.text("base")?;
    section.fill(Blanks {
        base: above.base.as_deref().or(own_base.as_deref()),
        tenant: above.tenant.as_deref(),
    });
    if above.server.is_named() {
        section.forget(SERVER_KEYS);
    }
    let layer = ProviderLayer::read_keys(&mut section)?;
    // An unknown registration page is no reason to fail if the server is configured directly.
    let unfilled = section.unfilled().filter(|_| !above.server.is_named());
    section.end()?;
    Ok(Filled { layer, unfilled })
}
