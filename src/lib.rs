//! hallpass. There is no public API: the library exists so that `main`, the tests and the
//! benchmarks share one crate.
pub mod clock;
pub mod config;
pub mod credential;
pub mod env;
pub mod oauth;
pub mod provider;
pub mod secret;
pub mod store;
