//! A provider out of its layers, and of the preset that they name.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::definition::{Origin, Provider};
use super::layer::{ProviderLayer, SERVER_KEYS};
use super::presets;
use crate::config::error::ConfigError;
use crate::config::section::{Blanks, Name, Source, UnknownKeys};

impl ProviderLayer {
    /// The provider that all layers together describe. Only the preset that they name is parsed.
    pub(crate) fn resolve(
        self,
        name: String,
        origin: Origin,
        ca_file: Option<PathBuf>,
    ) -> Result<Provider, ConfigError> {
        let mut unfilled = None;
        let layer = match self.preset {
            None => self,
            Some(id) => {
                let preset = preset_layer(id, &self)?;
                unfilled = preset.unfilled;
                self.over_preset(id, preset.layer)
            }
        };
        let provider = layer.into_provider(name, origin, ca_file);
        match unfilled {
            Some("base") => return Err(provider.unfilled("base", "https://git.corp.example")),
            Some("tenant") => {
                let example = "00000000-0000-0000-0000-000000000000";
                return Err(provider.unfilled("tenant", example));
            }
            Some(_) | None => {}
        }
        check(provider)
    }
}

/// A preset as a layer, and its first unfilled placeholder.
struct Filled {
    layer: ProviderLayer,
    unfilled: Option<&'static str>,
}

/// Reads the preset `id`, with its placeholders filled in from the layers above it.
fn preset_layer(id: &'static str, above: &ProviderLayer) -> Result<Filled, ConfigError> {
    let text = presets::text(id);
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

/// Checks what every flow needs. The client ID is checked when it is used.
fn check(provider: Provider) -> Result<Provider, ConfigError> {
    let by_hand = provider.token_endpoint.is_some()
        && (provider.authorization_endpoint.is_some()
            || provider.device_authorization_endpoint.is_some());
    if provider.issuer.is_none() && !by_hand {
        if provider.preset.is_none()
            && let Some(preset) = presets::known(&provider.name)
        {
            return Err(provider.missing("preset", preset));
        }
        return Err(provider.unfilled("issuer", "https://login.corp.example"));
    }
    if provider.issuer.is_none() && provider.is_openid() {
        return Err(ConfigError::OpenIdWithoutIssuer {
            provider: provider.name,
        });
    }
    Ok(provider)
}
