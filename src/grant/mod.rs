//! The grants that need a person.
pub mod launch;
pub mod listener;
pub mod page;
