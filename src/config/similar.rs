//! "Did you mean …?": the known name closest to an unknown one.

/// The closest of the `known` names, if it is close enough to be a misspelling.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wrong = wrong.replace('-', "_").to_lowercase();
    // Up to a third of the letters may differ, and at least one in very short names.
    let furthest = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, name), name))
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_recognized_but_a_different_word_is_not() {
        let known = [
            "issuer",
            "client_id",
            "client_secret_file",
            "scopes",
            "base",
        ];
        for (wrong, expected) in [
            ("isuer", Some("issuer")),
            ("isseur", Some("issuer")),
            ("client-id", Some("client_id")),
            ("clientId", Some("client_id")),
            ("CLIENT_ID", Some("client_id")),
            ("scope", Some("scopes")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, known).as_deref(), expected, "{wrong}");
        }
    }
}
