//! `hallpass setup TOOL`: tells a tool to ask hallpass, and can take that back. One file a tool;
//! what they share stands in `host` (what is set up), `opener` (the provider that opens it, and
//! the block of the user's file that says so), `program` (how a tool starts this program) and
//! `shown` (what a person sees of it all).

pub(super) mod docker;
pub(super) mod git;
mod git_config;
pub(super) mod host;
pub(super) mod json_file;
pub(super) mod kubectl;
pub(super) mod link;
mod opener;
mod program;
mod shown;
