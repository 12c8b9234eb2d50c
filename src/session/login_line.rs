//! What a person types to sign in.

use serde::{Deserialize, Serialize};

/// The account that is meant where none is named.
pub const DEFAULT_ACCOUNT: &str = "default";

/// What a person types to sign in: whole command lines, which can be copied as they stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginLine {
    /// To this account.
    pub this: String,
    /// To another account at the same provider.
    pub another: String,
}

impl LoginLine {
    /// The command that signs out of this account.
    pub fn logout(&self) -> String {
        self.this.replacen("hallpass login", "hallpass logout", 1)
    }
}
