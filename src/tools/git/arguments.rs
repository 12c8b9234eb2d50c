//! The names and the command line of `hallpass git`.

use crate::arguments::OperationHelp;

/// `hallpass git`.
pub(crate) const NAME: &str = "git";

/// The file name under which git starts this program.
pub(crate) const PROGRAM_NAME: &str = "git-credential-hallpass";

pub(crate) const HELP: OperationHelp = OperationHelp {
    name: NAME,
    about: "Answer git, as its credential helper",
    more: "git passes it an operation: get, store, erase or capability.",
    operations: "get|store|erase|capability",
    examples: "  printf 'protocol=https\\nhost=git.corp.example\\n\\n' | hallpass git get",
};
