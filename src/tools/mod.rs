//! The tools, one folder each.

pub mod docker;
pub mod findings;
pub mod git;
pub mod kubectl;
pub mod tool;

pub use tool::AnyTool;

/// Every tool. A new one is a folder and a line here.
pub const ALL: &[&dyn AnyTool] = &[&git::Git, &docker::Docker, &kubectl::Kubectl];
