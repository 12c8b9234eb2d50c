//! The presets: what is known about a provider before anybody configures it.
//!
//! Data only, one file a provider in `config/providers`; the one that is named is parsed, and
//! no other. A `client_id` stands in a preset only where that ID is ours to use.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::layer::{ProviderLayer, SERVER_KEYS};
use crate::config::error::ConfigError;
use crate::config::section::{Blanks, Name, Source, UnknownKeys};

/// By name, in the order of their names.
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

/// Tells one edition of the presets from another: FNV-1a, which a compiler can work out.
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
    // An end of its own, so that no text runs into the next one.
    hash.wrapping_mul(0x0100_0000_01b3)
}

pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    PRESETS.iter().map(|(name, _)| *name)
}

pub(crate) fn known(name: &str) -> Option<&'static str> {
    PRESETS.iter().map(|(id, _)| *id).find(|id| *id == name)
}

/// A preset as a layer, and the first blank in it that nobody filled in.
pub(super) struct Filled {
    pub(super) layer: ProviderLayer,
    pub(super) unfilled: Option<&'static str>,
}

/// Reads the preset `id`, its blanks filled in from the layers above it.
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
    // A page that cannot be named is no reason to fail where the server is named by hand.
    let unfilled = section.unfilled().filter(|_| !above.server.is_named());
    section.end()?;
    Ok(Filled { layer, unfilled })
}
