//! The grants in which the user signs in: in a browser, or with a code on another device.
//!
//! They return the provider's response. `session` exchanges, verifies and saves it.

pub mod browser;
pub mod device;
pub mod launch;
pub mod listener;
pub mod page;
