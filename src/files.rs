//! Reads files that another user or program may have created: a repository's `.git`, a kubeconfig,
//! a client's configuration.
//!
//! It reads only regular files, because reading a named pipe waits for a writer and a device may be
//! endless; and only up to a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Larger than any of these files: a kubeconfig with many clusters, a bundle of certificates.
pub const LARGEST: u64 = 16 << 20;

/// The whole of a file.
///
/// # Errors
///
/// `InvalidInput` for anything but a regular file, `FileTooLarge` beyond the limit.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = checked(&file, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// The whole of a text file.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Whether another program can read the file to its end without waiting.
pub fn check(path: &Path, limit: u64) -> io::Result<()> {
    checked(&open(path)?, limit).map(drop)
}

/// Opens without blocking. The caller has to check the file's type.
#[cfg(unix)]
pub fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

#[cfg(not(unix))]
pub fn open(path: &Path) -> io::Result<File> {
    crate::held_open::retry(crate::held_open::Use::Read, || File::open(path))
}

fn checked(file: &File, limit: u64) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    Ok(metadata.len())
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {} KiB", limit >> 10),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("small"), "four").unwrap();
        std::fs::write(at("large"), "fives").unwrap();
        std::fs::write(at("binary"), b"\xff").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, target) in [
            ("link", "small"),
            ("zero", "/dev/zero"),
            ("null", "/dev/null"),
            ("to-fifo", "fifo"),
            ("dangling", "absent"),
        ] {
            std::os::unix::fs::symlink(target, at(name)).unwrap();
        }
        for (name, expected) in [
            ("small", Ok("four")),
            ("link", Ok("four")),
            ("large", Err(io::ErrorKind::FileTooLarge)),
            ("binary", Err(io::ErrorKind::InvalidData)),
            ("folder", Err(io::ErrorKind::InvalidInput)),
            ("fifo", Err(io::ErrorKind::InvalidInput)),
            ("to-fifo", Err(io::ErrorKind::InvalidInput)),
            ("zero", Err(io::ErrorKind::InvalidInput)),
            ("null", Err(io::ErrorKind::InvalidInput)),
            ("dangling", Err(io::ErrorKind::NotFound)),
            ("absent", Err(io::ErrorKind::NotFound)),
        ] {
            let read = read_text(&at(name), 4);
            assert_eq!(read.as_deref().map_err(io::Error::kind), expected, "{name}");
        }
    }
}
