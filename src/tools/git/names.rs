//! User names in a request: which ones identify a person, and which person.

use crate::provider::Match;
use crate::session::record::Session;

/// Whether the name identifies no person, because it goes with any account's token.
pub(super) fn is_neutral(found: &Match, username: &str) -> bool {
    let sent = found
        .username
        .as_deref()
        .or(found.provider.git_username.as_deref());
    let neutral = &found.provider.git_neutral_usernames;
    username.is_empty()
        || sent == Some(username)
        || neutral.iter().any(|name| is_same(name, username))
}

/// Whether a name that matches no account identifies no person, such as an organization's name.
pub(super) fn ignores_unknown_names(found: &Match) -> bool {
    found
        .provider
        .git_neutral_usernames
        .iter()
        .any(|name| name == "*")
}

/// Names are compared without regard to case, as git servers do.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// Whether a session can be that person's: the provider told no name, or this one.
pub(super) fn may_be(session: &Session, name: &str) -> bool {
    let Some(person) = &session.person else {
        return true;
    };
    let is_named = person.name.is_some() || person.email.is_some() || !is_opaque(&person.subject);
    !is_named || person.names().any(|known| is_same(known, name))
}

/// Whether a subject is a number or another machine-made identifier, rather than a name.
fn is_opaque(subject: &str) -> bool {
    const LONGEST_NAME: usize = 19;
    subject.chars().all(|c| c.is_ascii_digit() || c == '-')
        || (subject.len() > LONGEST_NAME
            && !subject.contains('@')
            && subject.contains(|c: char| c.is_ascii_digit()))
}

/// Whether a user name may be a token that was pasted into a URL. A name that looks like one is
/// only not shown.
pub(super) fn may_be_token(username: &str) -> bool {
    const LONGEST_NAME: usize = 39;
    const SHORTEST_TOKEN: usize = 20;
    let is_address = username.contains('@');
    let prefixes = [
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "eyJ",
    ];
    prefixes.iter().any(|prefix| username.starts_with(prefix))
        || (!is_address && username.len() > LONGEST_NAME)
        || (!is_address
            && username.len() >= SHORTEST_TOKEN
            && username.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_told_from_a_name() {
        for (subject, expected) in [
            ("alice", false),
            ("alice.smith@a-long-domain-1.example", false),
            ("4711", true),
            ("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", true),
            ("auth0|5f7c8ec7c33c6c004bbafe82", true),
        ] {
            assert_eq!(is_opaque(subject), expected, "{subject}");
        }
    }

    #[test]
    fn a_token_is_told_from_a_name() {
        for (name, expected) in [
            ("alice", false),
            ("Alice.Smith-42", false),
            ("a.very.long.name.without.digits", false),
            ("alice.smith.2023.at.work@people.example", false),
            ("ghp_0", true),
            ("glpat-abc", true),
            ("0123456789abcdef0123456789abcdef01234567", true),
            ("abcdefghij0123456789", true),
            ("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", true),
        ] {
            assert_eq!(may_be_token(name), expected, "{name}");
        }
    }
}
