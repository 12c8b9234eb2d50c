//! The programs that the benchmark runs beside hallpass.

/// The path of a program, if it is installed.
pub(crate) fn which(name: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .map(|file| file.to_string_lossy().into_owned())
}
