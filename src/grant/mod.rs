//! The grants that need a person: in the browser, or with a code on another device.
//!
//! They end with what the provider answered; exchanging, checking and keeping it is the
//! session's part.

pub mod browser;
pub mod device;
pub mod launch;
pub mod listener;
pub mod page;
