use super::*;

#[test]
fn a_file_is_replaced_atomically_and_leaves_nothing_beside_it() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temp.path().join("a/b")).unwrap();
    assert_eq!(folder.read("x").unwrap(), None);
    for (bytes, durable) in [(&b"one"[..], Durable::Yes), (b"", Durable::No)] {
        folder.replace("x", bytes, durable).unwrap();
        assert_eq!(folder.read("x").unwrap().unwrap(), bytes);
    }
    assert_eq!(folder.names().unwrap(), ["x"]);
    assert!(folder.remove("x").unwrap());
    assert!(!folder.remove("x").unwrap());
}

#[test]
fn reading_a_head_stops_at_the_end_of_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temp.path().join("a")).unwrap();
    folder.replace("x", b"12345", Durable::No).unwrap();
    for (len, expected) in [(0, &b""[..]), (3, b"123"), (9, b"12345")] {
        assert_eq!(folder.head("x", len).unwrap().unwrap(), expected);
    }
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::open_or_create(&temp.path().join("a")).unwrap();
    let file = folder.create_new("x").unwrap();
    file.set_len(MAX_LEN + 1).unwrap();
    assert!(matches!(folder.read("x"), Err(StoreError::Damaged { .. })));
}

#[cfg(unix)]
mod on_unix {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn new_files_and_folders_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let folder = Folder::open_or_create(&path).unwrap();
        let inner = folder.subfolder_or_create("c").unwrap();
        inner.open_lock("lock").unwrap();
        inner.create_new("new").unwrap();
        inner.replace("file", b"x", Durable::Yes).unwrap();
        for folder in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&temp.path().join(folder)), 0o700, "{folder}");
        }
        for file in ["lock", "new", "file"] {
            assert_eq!(mode(&path.join("c").join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn a_folder_that_is_not_private_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        for bits in [0o710, 0o701, 0o770, 0o755, 0o777, 0o704] {
            let path = at(&format!("{bits:o}"));
            fs::create_dir(&path).unwrap();
            chmod(&path, bits);
            assert!(
                matches!(Folder::open(&path), Err(StoreError::TooOpen { mode, .. }) if mode == bits),
                "{bits:o}"
            );
        }
        fs::create_dir(at("safe")).unwrap();
        chmod(&at("safe"), 0o700);
        symlink("safe", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        fs::write(at("file"), "").unwrap();
        for name in ["link", "link/", "link/.", "dangling"] {
            assert!(
                matches!(
                    Folder::open_or_create(&PathBuf::from(format!(
                        "{}/{name}",
                        temp.path().display()
                    ))),
                    Err(StoreError::IsALink { .. })
                ),
                "{name}"
            );
        }
        assert!(matches!(
            Folder::open_or_create(&at("file")),
            Err(StoreError::NotAFolder { .. })
        ));
        // The same applies one level down.
        let safe = Folder::open(&at("safe")).unwrap().unwrap();
        symlink("..", at("safe/sessions")).unwrap();
        assert!(matches!(
            safe.subfolder_or_create("sessions"),
            Err(StoreError::IsALink { .. })
        ));
    }

    #[test]
    fn a_file_that_is_not_private_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join("a").join(name);
        let folder = Folder::open_or_create(&temp.path().join("a")).unwrap();
        for bits in [0o640, 0o604, 0o620, 0o602, 0o666, 0o610] {
            let name = format!("{bits:o}");
            fs::write(at(&name), "secret").unwrap();
            chmod(&at(&name), bits);
            for result in [
                folder.read(&name).map(drop),
                folder.head(&name, 1).map(drop),
                folder.open_lock(&name).map(drop),
            ] {
                assert!(
                    matches!(result, Err(StoreError::TooOpen { mode, .. }) if mode == bits),
                    "{bits:o}"
                );
            }
        }
        fs::write(temp.path().join("target"), "not ours to read").unwrap();
        chmod(&temp.path().join("target"), 0o600);
        symlink("../target", at("link")).unwrap();
        symlink("../nowhere", at("dangling")).unwrap();
        for name in ["link", "dangling"] {
            for result in [
                folder.read(name).map(drop),
                folder.open_lock(name).map(drop),
            ] {
                assert!(matches!(result, Err(StoreError::IsALink { .. })), "{name}");
            }
            assert!(folder.create_new(name).is_err(), "{name}");
        }
        assert!(!temp.path().join("nowhere").exists());
        fs::create_dir(at("folder")).unwrap();
        assert!(matches!(
            folder.read("folder"),
            Err(StoreError::NotAFile { .. })
        ));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_refused_without_blocking() {
        use rustix::fs::{CWD, Mode, mkfifoat};

        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open_or_create(&temp.path().join("a")).unwrap();
        mkfifoat(CWD, temp.path().join("a/pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        assert!(matches!(
            folder.read("pipe"),
            Err(StoreError::NotAFile { .. })
        ));
    }
}
