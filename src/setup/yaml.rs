//! Changes one node of a YAML file and preserves every other byte: comments, order and layout are
//! the user's.
//!
//! New text is laid out as kubectl does it, so that it still matches after kubectl has rewritten the
//! file. The caller checks that the edited file has the intended meaning, with the program that
//! reads it.
//!
//! Specification: <https://yaml.org/spec/1.2.2/>

mod block;
mod change;
mod node;
#[cfg(test)]
mod tests;

pub(crate) use block::lines;
pub(crate) use change::{appended, removed, replaced};
pub(crate) use node::{Node, Unfit, parse};
