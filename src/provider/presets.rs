//! The presets: what is known about a provider before it is configured.
//!
//! They are data only, with one file for each provider in `config/providers`. Only the preset in
//! use is parsed. A preset has a `client_id` only if hallpass may use that ID.

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

/// The text of a preset's file.
pub(super) fn text(id: &str) -> &'static str {
    let preset = PRESETS.iter().find(|(name, _)| *name == id);
    preset.map_or("", |(_, text)| *text)
}
