//! `hallpass setup TOOL`: tells a tool to ask hallpass, and can take that back. One file a tool.

pub(super) mod git;
mod git_config;
