//! The block that configures a provider.
//!
//! It is apart from the blocks that assign hosts to the provider, so several set-ups can share it. It
//! stays in the user's file as long as a set-up or an entry needs it.

use super::edit::Edit;
use super::error::SetupError;
use super::record::Records;
use crate::config::UserFile;
use crate::config::user_file::check_end;
use crate::env::Env;

/// The beginning of the title of every block that a set-up writes.
pub(crate) const ANY: &str = "hallpass setup";

/// The beginning of the title of every provider's block. It is no command.
const TITLE: &str = "hallpass setup: provider ";

/// The title of a provider's block.
pub(crate) fn title_of(name: &str) -> String {
    format!("{TITLE}{name}")
}

/// The blocks whose titles start so, whatever is in them, for removing them without a record.
pub(crate) fn blocks(file: &UserFile, begin: &str) -> impl Iterator<Item = Edit> {
    let titles = file.titles(begin).into_iter();
    titles.map(|title| Edit::block(file.path(), &title, ""))
}

/// The providers' blocks.
pub(crate) fn of_providers(file: &UserFile) -> impl Iterator<Item = Edit> {
    blocks(file, TITLE)
}

/// Whether the text names the provider that the block with this title configures. It need not be
/// valid TOML.
pub(crate) fn is_named(text: &str, title: &str) -> bool {
    let Some(name) = title.strip_prefix(TITLE) else {
        return false;
    };
    // TOML allows either kind of quotes, around the key too.
    let plain = |line: &str| line.replace([' ', '\t'], "").replace('\'', "\"");
    let texts = [
        format!("provider=\"{name}\""),
        format!("provider\"=\"{name}\""),
    ];
    let mut lines = text.lines().map(plain);
    lines.any(|line| !line.starts_with('#') && texts.iter().any(|text| line.contains(text)))
}

/// Takes blocks out of the file, and the blocks of the providers that only they named, except for the
/// provider `wanted`. Returns the titles of all these blocks.
pub(crate) fn take_out(
    env: &Env,
    file: &mut UserFile,
    mut titles: Vec<String>,
    wanted: Option<&str>,
) -> Result<Vec<String>, SetupError> {
    for title in &titles {
        check_end(file.text(), title).map_err(|why| SetupError::Unfit {
            file: file.shown(),
            why,
        })?;
    }
    let blocks = titles.iter().filter_map(|title| file.remove(title));
    let blocks: String = blocks.collect();
    let records = Records::read(env);
    for title in file.titles(TITLE) {
        let of_record = |record: &&super::record::Record| {
            record.edits().any(|done| done.edit.title() == Some(&title))
        };
        let is_wanted = wanted.is_some_and(|wanted| title_of(wanted) == title);
        let is_shared = records.all.iter().filter(of_record).count() > 1;
        if is_named(&blocks, &title) && !is_named(file.text(), &title) && !is_wanted && !is_shared {
            file.remove(&title);
            titles.push(title);
        }
    }
    Ok(titles)
}

/// The edits that remove those of the blocks that are no longer in the file.
pub(crate) fn removals(file: &UserFile, gone: &[String]) -> impl Iterator<Item = Edit> {
    let gone = gone.iter().filter(|title| file.block(title).is_none());
    gone.map(|title| Edit::no_block(file.path(), title))
}

/// The edits that keep these blocks in the file as they are.
pub(crate) fn edits_of<'t>(
    file: &UserFile,
    titles: impl IntoIterator<Item = &'t String>,
) -> Vec<Edit> {
    let titles = titles.into_iter();
    let blocks = titles.filter_map(|title| Some((title, file.block(title)?)));
    blocks
        .map(|(title, lines)| Edit::block(file.path(), title, lines))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_named_however_toml_writes_it() {
        for (text, expected) in [
            ("provider = \"corp\"", true),
            ("provider='corp'", true),
            ("\"provider\" = 'corp' # mine", true),
            (
                "resources = [{ match = \"x\", 'provider' = \"corp\" }]",
                true,
            ),
            ("# provider = \"corp\"", false),
            ("provider = \"corp2\"", false),
            ("[providers.corp]", false),
        ] {
            assert_eq!(is_named(text, &title_of("corp")), expected, "{text}");
        }
    }
}
