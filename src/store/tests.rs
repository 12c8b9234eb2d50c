use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::*;
use data_key::KeyId;
use folder::{Durable, Folder};
use key_file::KeyFile;

fn options(data_dir: &Path, setting: Setting) -> Options {
    Options {
        setting,
        data_dir: data_dir.to_owned(),
        kernel_cache: Some(Duration::from_secs(60)),
        keyring_wait: UNATTENDED,
        announce: || (),
        container: false,
    }
}

fn store(data_dir: &Path) -> Store {
    Store::new(options(data_dir, Setting::File))
}

fn name() -> RecordName {
    RecordName::session(b"identity")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn put(store: &Store, name: &RecordName, value: &str, generation: u64) -> Result<(), StoreError> {
    store.reserve(name, value.len())?.commit(value, generation)
}

fn get(store: &Store, name: &RecordName) -> Result<Option<(String, u64)>, StoreError> {
    Ok(store
        .read::<String>(name)?
        .map(|kept| (kept.value, kept.generation)))
}

/// Every file below a folder, by its relative path.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap();
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn edit_key_file(folder: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("key.json");
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
}

struct Sandbox {
    _temp: tempfile::TempDir,
    data: PathBuf,
}

fn sandbox() -> Sandbox {
    let temp = tempfile::tempdir().unwrap();
    Sandbox {
        data: temp.path().join("data"),
        _temp: temp,
    }
}

#[test]
fn a_record_is_stored_replaced_and_removed() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    assert_eq!(get(&store, &name()).unwrap(), None);
    assert!(!data.exists(), "to look leaves nothing behind");
    assert_eq!(store.ensure_key().unwrap(), Place::File);
    let lock = store.lock(&name(), LockKind::Record, soon()).unwrap();
    let long = "x".repeat(100_000);
    for (generation, value) in [(1, "one"), (2, &long), (3, "")] {
        put(&store, &name(), value, generation).unwrap();
        assert_eq!(
            get(&self::store(&data), &name()).unwrap(),
            Some((value.to_owned(), generation))
        );
    }
    put(
        &store,
        &RecordName::stored_credentials("git", "https://a"),
        "k",
        1,
    )
    .unwrap();
    assert_eq!(store.sessions().unwrap(), [Listed { name: name() }]);
    assert!(store.remove(&name(), &lock).unwrap());
    assert!(!store.remove(&name(), &lock).unwrap());
    assert_eq!(get(&store, &name()).unwrap(), None);
    assert_eq!(store.sessions().unwrap(), []);
}

#[test]
fn nothing_on_disk_reveals_the_content() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    put(&store, &name(), "a-token-nobody-may-see", 1).unwrap();
    for file in files(&data) {
        let bytes = fs::read(data.join(&file)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("token"), "{file}");
    }
}

struct Unwritable;
impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn a_reservation_takes_its_space_at_once_and_frees_it() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    let before = files(&data);
    for (payload, reserved) in [(0, 16 << 10), (10_000, 20_000), (100_000, 200_000)] {
        let reservation = store.reserve(&name(), payload).unwrap();
        let temp: Vec<_> = files(&data)
            .into_iter()
            .filter(|file| file.ends_with(folder::TEMP))
            .collect();
        assert_eq!(temp.len(), 1);
        assert_eq!(fs::metadata(data.join(&temp[0])).unwrap().len(), reserved);
        drop(reservation);
        assert_eq!(files(&data), before);
    }
    // A value that can't be serialized fails late, and leaves nothing either.
    let reservation = store.reserve(&name(), 0).unwrap();
    assert!(matches!(
        reservation.commit(&Unwritable, 1),
        Err(StoreError::NotJson)
    ));
    assert_eq!(files(&data), before);
}

#[test]
fn an_unreadable_record_is_an_error_and_stays() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    put(&store, &name(), "x", 1).unwrap();
    let path = data.join(name().as_str());
    let good = fs::read(&path).unwrap();
    let changed = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    };
    let lock = store.lock(&name(), LockKind::Record, soon()).unwrap();
    let kind = |error: StoreError| {
        [
            (
                matches!(error, StoreError::UnknownFormat { .. }),
                "unknown format",
            ),
            (
                matches!(error, StoreError::ForeignKey { .. }),
                "foreign key",
            ),
            (matches!(error, StoreError::Damaged { .. }), "damaged"),
        ]
        .into_iter()
        .find_map(|(is, kind)| is.then_some(kind))
        .unwrap_or("something else")
    };
    // The results of reading, replacing and removing it.
    for (what, bytes, read, replaced, removed) in [
        (
            "a later version",
            changed(8),
            "unknown format",
            Err("unknown format"),
            Err("unknown format"),
        ),
        (
            "another key's id",
            changed(9),
            "foreign key",
            Err("foreign key"),
            Err("foreign key"),
        ),
        ("a changed body", changed(60), "damaged", Ok(()), Ok(true)),
        (
            "half a header",
            good[..30].to_vec(),
            "damaged",
            Err("damaged"),
            Ok(true),
        ),
        ("an empty file", vec![], "damaged", Err("damaged"), Ok(true)),
        ("zeros", vec![0; 900], "damaged", Err("damaged"), Ok(true)),
    ] {
        let restore = |bytes: &[u8]| {
            let _ = store.remove(&name(), &lock);
            let _ = fs::remove_file(&path);
            Folder::open(path.parent().unwrap())
                .unwrap()
                .unwrap()
                .replace(name().file(), bytes, folder::Durable::No)
                .unwrap();
        };
        restore(&bytes);
        assert_eq!(get(&store, &name()).map_err(kind), Err(read), "{what}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
        assert_eq!(
            put(&store, &name(), "y", 2).map_err(kind),
            replaced,
            "{what}"
        );
        if replaced.is_err() {
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
        }
        restore(&bytes);
        assert_eq!(
            store.remove(&name(), &lock).map_err(kind),
            removed,
            "{what}"
        );
        assert_eq!(path.exists(), removed.is_err(), "{what}");
    }
}

#[test]
fn a_record_that_became_foreign_after_the_reservation_is_not_replaced() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    let reservation = store.reserve(&name(), 1).unwrap();
    put(&store, &name(), "x", 1).unwrap();
    let path = data.join(name().as_str());
    let mut foreign = fs::read(&path).unwrap();
    foreign[10] ^= 1;
    fs::write(&path, &foreign).unwrap();
    assert!(matches!(
        reservation.commit("y", 2),
        Err(StoreError::ForeignKey { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), foreign);
}

#[test]
fn records_cannot_be_swapped() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    let other = RecordName::session(b"other");
    put(&store, &name(), "mine", 1).unwrap();
    put(&store, &other, "other", 1).unwrap();
    fs::copy(data.join(other.as_str()), data.join(name().as_str())).unwrap();
    assert!(matches!(
        get(&store, &name()),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn without_a_store_nothing_is_written_and_nothing_blocks() {
    let Sandbox { _temp, data } = sandbox();
    let store = Store::new(options(&data, Setting::None));
    assert_eq!(store.place().unwrap(), Place::None);
    assert_eq!(store.ensure_key().unwrap(), Place::None);
    assert_eq!(get(&store, &name()).unwrap(), None);
    let lock = store.lock(&name(), LockKind::Login, soon()).unwrap();
    assert!(store.try_lock(&name(), LockKind::Login).unwrap().is_some());
    assert!(!store.remove(&name(), &lock).unwrap());
    assert!(matches!(
        store.reserve(&name(), 1),
        Err(StoreError::NotSaved)
    ));
    store.write_plain(Plain::Attempt, "a", &1).unwrap();
    assert_eq!(store.read_plain::<u32>(Plain::Attempt, "a").unwrap(), None);
    assert_eq!(store.sessions().unwrap(), []);
    assert!(!store.drop_cached_key().unwrap());
    assert!(!data.exists());
}

#[test]
fn twenty_threads_share_one_lock_without_losing_an_update() {
    let Sandbox { _temp, data } = sandbox();
    let (holders, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Barrier::new(20);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let store = store(&data);
                start.wait();
                let _lock = store.lock(&name(), LockKind::Record, soon()).unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                thread::yield_now();
                turns.fetch_add(1, Ordering::SeqCst);
                holders.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(turns.into_inner(), 20);
    assert_eq!(
        files(&data),
        [format!("{}.lock", name().as_str())],
        "the lock's file stays"
    );
}

#[test]
fn waiting_for_a_lock_ends_at_the_deadline() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    let held = store.lock(&name(), LockKind::Record, soon()).unwrap();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(120);
    assert!(matches!(
        store.lock(&name(), LockKind::Record, deadline),
        Err(StoreError::LockTimedOut { .. })
    ));
    assert!(Instant::now() >= deadline);
    assert!(store.try_lock(&name(), LockKind::Record).unwrap().is_none());
    // Another record, and the same record's sign-in, have separate locks.
    let other = RecordName::session(b"other");
    for (name, kind) in [(&other, LockKind::Record), (&name(), LockKind::Login)] {
        assert!(store.try_lock(name, kind).unwrap().is_some());
    }
    drop(held);
    drop(store.lock(&name(), LockKind::Record, soon()).unwrap());
    // A free lock is taken even after the deadline.
    let free = RecordName::session(b"free");
    drop(store.lock(&free, LockKind::Record, started).unwrap());
}

#[test]
fn twenty_threads_create_one_key() {
    let Sandbox { _temp, data } = sandbox();
    let start = Barrier::new(20);
    thread::scope(|scope| {
        for number in 0..20 {
            let (data, start) = (&data, &start);
            scope.spawn(move || {
                let store = store(data);
                start.wait();
                assert_eq!(store.ensure_key().unwrap(), Place::File);
                let name = RecordName::session(&[number]);
                put(&store, &name, "x", 1).unwrap();
            });
        }
    });
    let store = store(&data);
    let listed = store.sessions().unwrap();
    assert_eq!(listed.len(), 20);
    for Listed { name } in listed {
        assert_eq!(get(&store, &name).unwrap(), Some(("x".to_owned(), 1)));
    }
}

#[test]
fn the_place_is_remembered_and_changes_only_while_nothing_is_encrypted() {
    let Sandbox { _temp, data } = sandbox();
    store(&data).ensure_key().unwrap();
    let automatic = Store::new(options(&data, Setting::Auto));
    assert_eq!(automatic.place().unwrap(), Place::File);
    assert_eq!(automatic.ensure_key().unwrap(), Place::File);
    put(&automatic, &name(), "x", 1).unwrap();

    let kernel = Store::new(options(&data, Setting::Kernel));
    let is_other_place = |error: &StoreError| {
        matches!(
            error,
            StoreError::OtherPlace {
                remembered: Place::File,
                asked: Place::Kernel
            }
        )
    };
    for error in [
        kernel.place().map(drop).unwrap_err(),
        kernel.ensure_key().map(drop).unwrap_err(),
        get(&kernel, &name()).map(drop).unwrap_err(),
        kernel.reserve(&name(), 1).map(drop).unwrap_err(),
    ] {
        assert!(is_other_place(&error), "{error}");
    }
    assert_eq!(get(&automatic, &name()).unwrap(), Some(("x".to_owned(), 1)));

    let lock = kernel.lock(&name(), LockKind::Record, soon()).unwrap();
    assert!(kernel.remove(&name(), &lock).unwrap());
    match kernel.ensure_key() {
        Ok(place) => {
            assert_eq!(place, Place::Kernel);
            assert_eq!(automatic.place().unwrap(), Place::Kernel);
            assert!(!data.join("key").exists(), "the old key is not left behind");
            key_cache::forget(id_in(&data)).unwrap();
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Kernel(_)), "{error}");
            assert_eq!(automatic.place().unwrap(), Place::File);
        }
    }
}

fn id_in(data: &Path) -> KeyId {
    KeyFile::read(&Folder::open(data).unwrap().unwrap())
        .unwrap()
        .unwrap()
        .id
}

#[test]
fn a_missing_key_is_an_error_and_is_recreated_only_if_nothing_is_encrypted() {
    let Sandbox { _temp, data } = sandbox();
    store(&data).ensure_key().unwrap();
    put(&store(&data), &name(), "x", 1).unwrap();
    let first = id_in(&data);
    fs::remove_file(data.join("key")).unwrap();
    for error in [
        get(&store(&data), &name()).map(drop).unwrap_err(),
        store(&data).ensure_key().map(drop).unwrap_err(),
        put(&store(&data), &name(), "y", 2).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::KeyMissing { place: Place::File }),
            "{error}"
        );
    }
    assert_eq!(id_in(&data), first);
    let store = store(&data);
    let lock = store.lock(&name(), LockKind::Record, soon()).unwrap();
    assert!(store.remove(&name(), &lock).unwrap());
    assert_eq!(store.ensure_key().unwrap(), Place::File);
    assert_ne!(id_in(&data), first);
}

#[test]
fn a_missing_or_damaged_key_file_is_rebuilt_from_the_records() {
    let garbage = |data: &Path| {
        Folder::open(data)
            .unwrap()
            .unwrap()
            .replace("key.json", b"{", Durable::Yes)
            .unwrap();
    };
    let gone = |data: &Path| fs::remove_file(data.join("key.json")).unwrap();
    for damage in [&garbage as &dyn Fn(&Path), &gone] {
        let Sandbox { _temp, data } = sandbox();
        store(&data).ensure_key().unwrap();
        let id = id_in(&data);
        put(&store(&data), &name(), "x", 1).unwrap();
        // A record of another key and a file that isn't a record: neither affects the folder's key.
        for (identity, bytes) in [("foreign", foreign_record()), ("garbage", b"x".to_vec())] {
            let name = RecordName::session(identity.as_bytes());
            Folder::open(&data.join("sessions"))
                .unwrap()
                .unwrap()
                .replace(name.file(), &bytes, Durable::Yes)
                .unwrap();
        }
        damage(&data);
        assert_eq!(
            get(&store(&data), &name()).unwrap(),
            Some(("x".to_owned(), 1))
        );
        assert_eq!(id_in(&data), id);
        damage(&data);
        assert_eq!(store(&data).ensure_key().unwrap(), Place::File);
        assert_eq!(id_in(&data), id);
        damage(&data);
        put(&store(&data), &name(), "y", 2).unwrap();

        // Without the key, nothing is rebuilt and nothing is removed.
        damage(&data);
        let key = fs::read(data.join("key")).unwrap();
        fs::remove_file(data.join("key")).unwrap();
        for error in [
            get(&store(&data), &name()).unwrap_err(),
            store(&data).ensure_key().unwrap_err(),
            store(&data).place().unwrap_err(),
        ] {
            assert!(error.is_loss_of_the_key(), "{error}");
        }
        Folder::open(&data)
            .unwrap()
            .unwrap()
            .replace("key", &key, Durable::Yes)
            .unwrap();
        assert_eq!(
            get(&store(&data), &name()).unwrap(),
            Some(("y".to_owned(), 2))
        );
    }
}

fn foreign_record() -> Vec<u8> {
    let key = data_key::DataKey::of(KeyId::of([7; 16]), [8; 32]);
    seal::seal(&key, &RecordName::session(b"foreign"), "x", 1).unwrap()
}

#[test]
fn a_newer_key_file_stays_and_a_damaged_one_without_records_is_replaced() {
    for (content, newer) in [
        (r#"{"version":2,"what":"ever"}"#, true),
        (
            r#"{"version":2,"id":"00112233445566778899aabbccddeeff","place":"file"}"#,
            true,
        ),
        ("", false),
        ("{}", false),
        (r#"{"version":1,"id":"short","place":"file"}"#, false),
        (
            r#"{"version":1,"id":"00112233445566778899aabbccddeeff","place":"none"}"#,
            false,
        ),
        (
            r#"{"version":1,"id":"00112233445566778899aabbccddeeff","place":"cloud"}"#,
            false,
        ),
    ] {
        let Sandbox { _temp, data } = sandbox();
        Folder::open_or_create(&data)
            .unwrap()
            .replace("key.json", content.as_bytes(), Durable::No)
            .unwrap();
        let made = store(&data).ensure_key();
        if newer {
            assert!(
                matches!(made, Err(StoreError::KeyFileNewer { .. })),
                "{content}"
            );
            assert_eq!(fs::read_to_string(data.join("key.json")).unwrap(), content);
            store(&data).forget_useless_key().unwrap();
            assert_eq!(store(&data).ensure_key().unwrap(), Place::File);
        } else {
            assert_eq!(made.unwrap(), Place::File, "{content}");
        }
    }
}

#[test]
fn moving_a_key_leaves_its_records_unchanged() {
    let Sandbox { _temp, data } = sandbox();
    assert!(matches!(
        store(&data).move_key(Place::File).unwrap(),
        Moved::NoKey
    ));
    store(&data).ensure_key().unwrap();
    put(&store(&data), &name(), "x", 1).unwrap();
    let id = id_in(&data);
    assert!(matches!(
        store(&data).move_key(Place::File).unwrap(),
        Moved::Already
    ));
    if kernel::probe().is_err() {
        assert!(store(&data).move_key(Place::Kernel).is_err());
        assert_eq!(store(&data).place().unwrap(), Place::File);
        return;
    }
    let auto = || Store::new(options(&data, Setting::Auto));
    // Another process read key.json before the move, and looks for the key after it.
    let late = KeyFile::read(&Folder::open(&data).unwrap().unwrap())
        .unwrap()
        .unwrap();
    let moved = store(&data).move_key(Place::Kernel).unwrap();
    assert!(matches!(
        moved,
        Moved::From {
            place: Place::File,
            left_behind: None
        }
    ));
    assert_eq!((auto().place().unwrap(), id_in(&data)), (Place::Kernel, id));
    assert!(!data.join("key").exists());
    let folder = Folder::open(&data).unwrap().unwrap();
    assert!(matches!(
        auto().find(&folder, &late),
        Ok(key::Found::Key(_))
    ));
    assert_eq!(get(&auto(), &name()).unwrap(), Some(("x".to_owned(), 1)));
    // With a setting that names the old place, the error suggests the command, which still works.
    assert!(matches!(
        get(&store(&data), &name()),
        Err(StoreError::OtherPlace {
            remembered: Place::Kernel,
            asked: Place::File
        })
    ));
    store(&data).move_key(Place::File).unwrap();
    assert_eq!(
        get(&store(&data), &name()).unwrap(),
        Some(("x".to_owned(), 1))
    );
    assert_eq!(kernel::read(id), Ok(None));
}

#[test]
fn a_key_that_has_been_replaced_encrypts_nothing() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    let reservation = store.reserve(&name(), 1).unwrap();
    edit_key_file(&data, |file| {
        file["id"] = "00112233445566778899aabbccddeeff".into();
    });
    assert!(matches!(
        reservation.commit("x", 1),
        Err(StoreError::KeyChanged)
    ));
    assert_eq!(get(&store, &name()).unwrap(), None);
}

#[cfg(target_os = "linux")]
#[test]
fn after_a_reboot_records_of_a_kernel_only_key_count_as_missing() {
    let Sandbox { _temp, data } = sandbox();
    let open = || Store::new(options(&data, Setting::Kernel));
    if let Err(error) = kernel::probe() {
        assert!(matches!(open().ensure_key(), Err(StoreError::Kernel(_))));
        assert_eq!(
            open().report().kernel_cache,
            KernelCache::Unavailable(error)
        );
        return;
    }
    assert_eq!(open().ensure_key().unwrap(), Place::Kernel);
    put(&open(), &name(), "x", 1).unwrap();
    assert_eq!(get(&open(), &name()).unwrap(), Some(("x".to_owned(), 1)));
    assert!(matches!(
        open().drop_cached_key(),
        Err(StoreError::OnlyPlace)
    ));

    // Missing without a reboot: an error, because it may only be hidden.
    let first = id_in(&data);
    kernel::forget(first).unwrap();
    assert!(matches!(
        get(&open(), &name()),
        Err(StoreError::KeyMissing {
            place: Place::Kernel
        })
    ));
    assert!(matches!(
        open().ensure_key(),
        Err(StoreError::KeyMissing { .. })
    ));

    edit_key_file(&data, |file| file["boot_id"] = "an earlier one".into());
    let foreign = RecordName::session(b"foreign");
    let mut bytes = fs::read(data.join(name().as_str())).unwrap();
    bytes[10] ^= 1;
    Folder::open(&data.join("sessions"))
        .unwrap()
        .unwrap()
        .replace(foreign.file(), &bytes, folder::Durable::No)
        .unwrap();
    assert_eq!(get(&open(), &name()).unwrap(), None);
    assert_eq!(open().ensure_key().unwrap(), Place::Kernel);
    assert_ne!(id_in(&data), first);
    put(&open(), &name(), "y", 1).unwrap();
    assert_eq!(get(&open(), &name()).unwrap(), Some(("y".to_owned(), 1)));
    assert_eq!(
        fs::read(data.join(foreign.as_str())).unwrap(),
        bytes,
        "a key that is not ours may come back"
    );
    kernel::forget(id_in(&data)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_hit_gets_the_os_keyrings_key_from_the_kernel() {
    let Sandbox { _temp, data } = sandbox();
    store(&data).ensure_key().unwrap();
    put(&store(&data), &name(), "x", 1).unwrap();
    let id = id_in(&data);
    let text = fs::read_to_string(data.join("key")).unwrap();
    let secret = crate::secret::Secret::new(hex::decode(&text).unwrap());
    edit_key_file(&data, |file| file["place"] = "keyring".into());
    fs::remove_file(data.join("key")).unwrap();

    let store = Store::new(options(&data, Setting::Auto));
    if let Err(error) = kernel::keep(id, &secret, Some(Duration::from_secs(60))) {
        assert_eq!(kernel::probe(), Err(error));
        assert_ne!(store.report().kernel_cache, KernelCache::Holds);
        assert!(!store.drop_cached_key().unwrap());
        return;
    }
    assert_eq!(get(&store, &name()).unwrap(), Some(("x".to_owned(), 1)));
    assert_eq!(store.report().kernel_cache, KernelCache::Holds);
    assert!(store.drop_cached_key().unwrap());
    assert!(!store.drop_cached_key().unwrap());
    assert_eq!(kernel::read(id), Ok(None));
    assert_eq!(store.report().kernel_cache, KernelCache::Empty);
}

#[test]
fn an_attempt_is_found_by_its_name_and_garbage_counts_as_missing() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    let read = |name| store.read_plain::<u32>(Plain::Attempt, name).unwrap();
    assert_eq!(read("a"), None);
    for (name, value) in [("a", 1), ("../b", 2)] {
        store.write_plain(Plain::Attempt, name, &value).unwrap();
    }
    assert_eq!((read("a"), read("../b")), (Some(1), Some(2)));
    assert_eq!(
        store.read_plain::<String>(Plain::Attempt, "a").unwrap(),
        None
    );
    for garbage in ["", "{", r#"{"version":2,"value":1}"#, r#"{"version":1}"#] {
        for file in files(&data.join("attempts")) {
            fs::write(data.join("attempts").join(file), garbage).unwrap();
        }
        assert_eq!(read("a"), None, "{garbage}");
    }
}

#[test]
fn a_cached_document_decrypts_only_with_its_issuer_and_key() {
    let Sandbox { _temp, data } = sandbox();
    let (one, other) = (
        RecordName::metadata("https://a.example", "metadata"),
        RecordName::metadata("https://b.example", "metadata"),
    );
    let read = |name| store(&data).read_cached::<String>(name);
    // Without a key, nothing is cached.
    store(&data).write_cached(&one, "x");
    assert!(!data.exists());
    store(&data).ensure_key().unwrap();
    assert_eq!(read(&one), None);
    store(&data).write_cached(&one, "x");
    assert_eq!(read(&one).as_deref(), Some("x"));
    assert_eq!(read(&other), None);
    let bytes = fs::read(data.join(one.as_str())).unwrap();
    assert!(!bytes.windows(3).any(|bytes| bytes == b"\"x\""));
    // Another issuer's document, and an edited one.
    let folder = Folder::open(&data.join("metadata")).unwrap().unwrap();
    let put = |name: &RecordName, bytes: &[u8]| {
        folder
            .replace(name.file(), bytes, folder::Durable::No)
            .unwrap();
    };
    put(&other, &bytes);
    assert_eq!(read(&other), None);
    for edited in [&b"{}"[..], b"", &bytes[..bytes.len() - 1]] {
        put(&one, edited);
        assert_eq!(read(&one), None);
    }
    store(&data).write_cached(&one, "y");
    assert_eq!(read(&one).as_deref(), Some("y"));
    // If the key needs the OS keyring, nothing is cached: a cache is not worth a dialog.
    edit_key_file(&data, |file| file["place"] = "keyring".into());
    let auto = Store::new(options(&data, Setting::Auto));
    assert_eq!(auto.read_cached::<String>(&one), None);
    auto.write_cached(&one, "z");
    edit_key_file(&data, |file| file["place"] = "file".into());
    assert_eq!(read(&one).as_deref(), Some("y"));
    // Unencrypted documents of earlier versions are removed.
    put(&other, b"{}");
    fs::rename(
        data.join(other.as_str()),
        data.join(format!("{other}.json")),
    )
    .unwrap();
    store(&data).sessions().unwrap();
    assert!(!data.join(format!("{other}.json")).exists());
}

#[test]
fn leftovers_of_a_crash_are_removed_after_an_hour() {
    let Sandbox { _temp, data } = sandbox();
    let store = store(&data);
    store.ensure_key().unwrap();
    put(&store, &name(), "x", 1).unwrap();
    let folder = Folder::open(&data.join("sessions")).unwrap().unwrap();
    for (file, minutes) in [("old.tmp", 61), ("young.tmp", 59), ("old.lock", 61)] {
        folder
            .create_new(file)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(minutes * 60))
            .unwrap();
    }
    store.sessions().unwrap();
    let left = folder.names().unwrap();
    for (file, stays) in [("old.tmp", false), ("young.tmp", true), ("old.lock", true)] {
        assert_eq!(left.iter().any(|name| name == file), stays, "{file}");
    }
    assert_eq!(get(&store, &name()).unwrap(), Some(("x".to_owned(), 1)));
}

#[cfg(unix)]
#[test]
fn a_folder_accessible_to_others_is_refused_before_anything_is_written() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let Sandbox { _temp, data } = sandbox();
    let open = data.with_file_name("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&open, &data).unwrap();
    for (folder, link) in [(&open, false), (&data, true)] {
        let store = store(folder);
        for error in [
            store.ensure_key().map(drop).unwrap_err(),
            store
                .lock(&name(), LockKind::Login, soon())
                .map(drop)
                .unwrap_err(),
            store.write_plain(Plain::Attempt, "a", &1).unwrap_err(),
            store.reserve(&name(), 1).map(drop).unwrap_err(),
            get(&store, &name()).map(drop).unwrap_err(),
            store.sessions().map(drop).unwrap_err(),
        ] {
            assert_eq!(matches!(error, StoreError::IsALink { .. }), link, "{error}");
            assert_eq!(
                matches!(error, StoreError::TooOpen { mode: 0o755, .. }),
                !link,
                "{error}"
            );
        }
    }
    assert_eq!(files(&open), Vec::<String>::new());
}

#[test]
fn settings_parse_as_they_are_displayed() {
    for text in ["auto", "keyring", "kernel", "file", "none"] {
        let setting: Setting = text.parse().unwrap();
        assert_eq!(setting.to_string(), text);
        let json = format!("\"{text}\"");
        assert_eq!(serde_json::from_str::<Setting>(&json).unwrap(), setting);
    }
    for text in ["", "Auto", "plain"] {
        assert_eq!(text.parse::<Setting>(), Err(UnknownSetting), "{text}");
    }
}

#[test]
fn errors_never_quote_file_contents() {
    let Sandbox { _temp, data } = sandbox();
    let folder = Folder::open_or_create(&data).unwrap();
    store(&data).ensure_key().unwrap();
    put(&store(&data), &name(), "x", 1).unwrap();
    for name in ["key", "key.json"] {
        folder
            .replace(
                name,
                b"{\"version\":1,\"id\":\"hunter2\"}",
                folder::Durable::No,
            )
            .unwrap();
        let error = store(&data).ensure_key().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
