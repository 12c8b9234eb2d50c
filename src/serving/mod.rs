//! Serves any tool: finds out whose credential a request is for, and answers it from a session.

pub(crate) mod answer;
pub mod format;
pub(crate) mod prepared;
pub(crate) mod recall;
pub mod resolution;
pub(crate) mod serve;
pub mod stored_credentials;
pub(crate) mod target;
