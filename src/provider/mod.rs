//! Providers, and the resources that they sign in to: what the configuration says about them.

mod configuration;
mod definition;
mod entry;
mod layer;
mod overrides;
pub(crate) mod presets;
pub mod realm;
mod resolve;
pub mod resource;
mod values;
pub mod web_url;

pub use configuration::{Config, Match};
pub use definition::{
    Identity, OF_ANY_ISSUER, Origin, Provider, RegistryExchange, SignInScopes, Word,
};
pub use overrides::ProviderOverrides;
pub use realm::Realm;
