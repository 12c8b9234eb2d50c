//! "Did you mean …?": the known name that is nearest to one that is not known.

/// The nearest of `known`, if it is near enough that a person may have meant it.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wrong = wrong.replace('-', "_").to_lowercase();
    // A third of the letters may be wrong; at least one, for very short names.
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
    fn a_slip_is_recognized_and_another_word_is_not() {
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
