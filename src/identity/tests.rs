use std::collections::BTreeMap;

use super::*;

const HOST: &str = "         0          0 4294967295\n";
const PODMAN: &str = "         0       1234          1\n         1     100000      65536\n";

#[test]
fn a_uid_map_reveals_a_namespace_and_the_uid_outside() {
    for (map, identity, inside, outside) in [
        (HOST, true, 1000, Some(1000)),
        (PODMAN, false, 0, Some(1234)),
        (PODMAN, false, 1000, Some(100_999)),
        (PODMAN, false, 65_536, Some(165_535)),
        (PODMAN, false, 65_537, None),
        (
            "      1000       1234          1\n",
            false,
            1000,
            Some(1234),
        ),
        ("0 0 1\n", false, 0, Some(0)),
        ("", false, 0, None),
        ("no map", false, 0, None),
    ] {
        assert_eq!(is_identity(map), identity, "{map}");
        assert_eq!(translate(map, inside), outside, "{map} {inside}");
    }
}

#[test]
fn our_own_uid_is_the_users_wherever_we_run() {
    assert_eq!(Owner::of(user()), Owner::User);
    if !in_user_namespace() {
        assert_eq!(user_outside(), user());
        assert_ne!(Owner::of(65_534), Owner::Unknown);
        assert_ne!(Owner::of(65_534), Owner::Root);
    }
}

#[test]
fn homes_are_those_of_people() {
    let accounts = "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/bin/false\n\
        alice:x:1000:1000::/srv/people/alice:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nbad\n";
    let found: Vec<_> = homes(accounts).collect();
    assert_eq!(found, [Path::new("/srv/people/alice")]);
}

/// A tree of files: what is not named here is not there.
struct Tree(BTreeMap<&'static str, Entry>);

impl Tree {
    /// `owner` is `u` for the user, `?` for an unknown owner, `s` for a subordinate uid.
    fn of(entries: &[(&'static str, char, u32, Option<&str>)]) -> Self {
        let entries = entries.iter().enumerate();
        Self(
            entries
                .map(|(number, (path, owner, mode, link))| {
                    let owner = match owner {
                        'u' => Owner::User,
                        '?' => Owner::Unknown,
                        _ => Owner::Other(1000),
                    };
                    let entry = Entry {
                        owner,
                        mode: *mode,
                        link: link.map(PathBuf::from),
                        id: (1, number as u64),
                    };
                    (*path, entry)
                })
                .collect(),
        )
    }

    fn accepts(&self, path: &str, led_to: LedTo) -> bool {
        let look = |path: &Path| {
            let name = path.to_str().and_then(|path| self.0.get(path));
            name.cloned().ok_or(io::ErrorKind::NotFound.into())
        };
        resolve(Path::new(path), led_to, &look).is_some()
    }
}

fn tree() -> Tree {
    Tree::of(&[
        ("/", '?', 0o755, None),
        ("/etc", '?', 0o755, None),
        ("/etc/hallpass", '?', 0o755, None),
        ("/etc/hallpass/config.toml", '?', 0o644, None),
        ("/etc/hallpass/open.toml", '?', 0o664, None),
        ("/etc/hallpass/ours.toml", 'u', 0o644, None),
        (
            "/etc/hallpass/linked.toml",
            '?',
            0o777,
            Some("/nix/store/a/config.toml"),
        ),
        (
            "/etc/hallpass/by-user.toml",
            'u',
            0o777,
            Some("/nix/store/a/config.toml"),
        ),
        ("/etc/group", '?', 0o775, None),
        ("/etc/group/config.toml", '?', 0o644, None),
        ("/etc/loop", '?', 0o777, Some("loop")),
        ("/nix", '?', 0o755, None),
        ("/nix/store", '?', 0o1775, None),
        ("/nix/store/a", '?', 0o555, None),
        ("/nix/store/a/config.toml", '?', 0o444, None),
        (
            "/nix/store/a/next.toml",
            '?',
            0o777,
            Some("../b/config.toml"),
        ),
        ("/nix/store/a/out.toml", '?', 0o777, Some("/tmp/third.toml")),
        ("/nix/store/b", '?', 0o555, None),
        ("/nix/store/b/config.toml", '?', 0o444, None),
        ("/tmp", '?', 0o1777, None),
        ("/tmp/third.toml", '?', 0o644, None),
        (
            "/tmp/link.toml",
            '?',
            0o777,
            Some("/nix/store/a/config.toml"),
        ),
        ("/sub", 's', 0o755, None),
        ("/sub/config.toml", '?', 0o644, None),
        ("/home", '?', 0o755, None),
        ("/home/third", '?', 0o755, None),
        ("/home/third/config.toml", '?', 0o644, None),
        ("/home/us", 'u', 0o755, None),
        ("/home/us/theirs.toml", '?', 0o644, None),
        ("/home/us/to-theirs", 'u', 0o777, Some("theirs.toml")),
        (
            "/home/us/to-nix",
            'u',
            0o777,
            Some("/nix/store/a/config.toml"),
        ),
        (
            "/home/us/to-next",
            'u',
            0o777,
            Some("../../nix/store/a/next.toml"),
        ),
        ("/home/us/to-out", 'u', 0o777, Some("/nix/store/a/out.toml")),
        (
            "/home/us/to-third",
            'u',
            0o777,
            Some("/home/third/config.toml"),
        ),
        ("/home/us/to-tmp", 'u', 0o777, Some("/tmp/third.toml")),
        ("/home/us/to-link", 'u', 0o777, Some("/tmp/link.toml")),
        (
            "/home/us/to-group",
            'u',
            0o777,
            Some("/etc/group/config.toml"),
        ),
        ("/home/us/to-sub", 'u', 0o777, Some("/sub/config.toml")),
        ("/home/us/folder", 'u', 0o777, Some("/nix/store/a")),
        (
            "/home/us/foreign-link",
            '?',
            0o777,
            Some("/nix/store/a/config.toml"),
        ),
    ])
}

#[test]
fn an_unknown_owner_is_accepted_only_where_every_folder_is_closed() {
    use LedTo::{BySystem, ByUser};

    let tree = tree();
    for (path, led_to, accepted) in [
        ("/etc/hallpass/config.toml", BySystem, true),
        ("/etc/hallpass/linked.toml", BySystem, true),
        ("/etc/hallpass/open.toml", BySystem, false),
        ("/etc/hallpass/ours.toml", BySystem, false),
        ("/etc/hallpass/by-user.toml", BySystem, false),
        ("/etc/hallpass/absent.toml", BySystem, false),
        ("/etc/group/config.toml", BySystem, false),
        ("/etc/loop", BySystem, false),
        // No link of the user's leads there.
        ("/etc/hallpass/config.toml", ByUser, false),
        ("/nix/store/a/config.toml", ByUser, false),
        ("/home/third/config.toml", ByUser, false),
        ("/home/us/theirs.toml", ByUser, false),
        ("/home/us/foreign-link", ByUser, false),
        ("/tmp/link.toml", ByUser, false),
        // One does.
        ("/home/us/to-nix", ByUser, true),
        ("/home/us/to-next", ByUser, true),
        ("/home/us/folder/config.toml", ByUser, true),
        ("/home/us/to-out", ByUser, false),
        ("/home/us/to-third", ByUser, false),
        ("/home/us/to-theirs", ByUser, false),
        ("/home/us/to-tmp", ByUser, false),
        ("/home/us/to-link", ByUser, false),
        ("/home/us/to-group", ByUser, false),
        ("/home/us/to-sub", ByUser, false),
    ] {
        assert_eq!(tree.accepts(path, led_to), accepted, "{path} {led_to:?}");
    }
}
