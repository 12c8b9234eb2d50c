//! Where the data folder is.
//!
//! <https://specifications.freedesktop.org/basedir-spec/latest/>
//!
//! A relative path would depend on the working directory and could lead to another user's folder,
//! so it is refused, or ignored where the specification says so.

use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::env::Env;

/// The folder for the records, the locks and the key's name. It need not exist yet.
///
/// `HALLPASS_DATA_DIR`, or else the platform's default. On a network file system, each machine has
/// its own folder inside, because neither locks nor the kernel keyring work across machines.
pub fn data_dir(env: &Env) -> Result<PathBuf, StoreError> {
    let folder = chosen(env, std::env::home_dir)?;
    if !is_on_network(&folder) {
        return Ok(folder);
    }
    let Some(machine) = machine_id() else {
        return Err(StoreError::NoMachineId { path: folder });
    };
    Ok(folder.join(of_machine(&machine)))
}

fn chosen(env: &Env, user_home: fn() -> Option<PathBuf>) -> Result<PathBuf, StoreError> {
    match env.var_os("HALLPASS_DATA_DIR").map(PathBuf::from) {
        Some(path) if path.is_absolute() => Ok(path),
        Some(path) => Err(StoreError::RelativeDataDir { path }),
        None => of_platform(env, user_home),
    }
}

#[cfg(unix)]
fn of_platform(env: &Env, user_home: fn() -> Option<PathBuf>) -> Result<PathBuf, StoreError> {
    if let Some(data) = env
        .var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && !cfg!(target_os = "macos"))
    {
        return Ok(data.join("hallpass"));
    }
    let home = match env.var_os("HOME") {
        Some(home) => PathBuf::from(home),
        // Some versions of the standard library take an empty HOME for the current folder.
        None => user_home()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or(StoreError::NoHome)?,
    };
    if !home.is_absolute() {
        return Err(StoreError::RelativeHome { path: home });
    }
    Ok(home.join(if cfg!(target_os = "macos") {
        "Library/Application Support/hallpass"
    } else {
        ".local/share/hallpass"
    }))
}

// Windows itself names the folder, regardless of the environment. It is the local profile: a
// roaming one would copy the records to machines that do not have the key.
#[cfg(not(unix))]
fn of_platform(_env: &Env, _user_home: fn() -> Option<PathBuf>) -> Result<PathBuf, StoreError> {
    directories::ProjectDirs::from("", "", "hallpass")
        .map(|project| project.data_local_dir().to_owned())
        .ok_or(StoreError::NoHome)
}

/// Whether the folder, or its nearest existing parent, is on a file system that other machines may
/// share.
#[cfg(target_os = "linux")]
fn is_on_network(folder: &Path) -> bool {
    folder
        .ancestors()
        .find_map(|path| rustix::fs::statfs(path).ok())
        .is_some_and(|found| is_network_type(found.f_type))
}

/// Numbers from statfs(2) and linux/magic.h. Their type depends on the processor.
#[cfg(target_os = "linux")]
fn is_network_type(magic: impl TryInto<i64>) -> bool {
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0x517b;
    const SMB2: i64 = 0xfe53_4d42;
    const CIFS: i64 = 0xff53_4d42;
    const CODA: i64 = 0x7375_7245;
    const AFS: i64 = 0x5346_414f;
    const KERNEL_AFS: i64 = 0x6b41_4653;
    const CEPH: i64 = 0x00c3_6400;
    const LUSTRE: i64 = 0x0bd0_0bd0;
    const GPFS: i64 = 0x4750_4653;
    const BEEGFS: i64 = 0x1983_0326;
    const PLAN9: i64 = 0x0102_1997;
    // sshfs or a local FUSE file system. They look the same, and a folder for each machine is right
    // for both.
    const FUSE: i64 = 0x6573_5546;
    // If the number is 32 bits wide, large values are negative.
    matches!(
        magic.try_into().unwrap_or_default() & 0xffff_ffff,
        NFS | SMB
            | SMB2
            | CIFS
            | CODA
            | AFS
            | KERNEL_AFS
            | CEPH
            | LUSTRE
            | GPFS
            | BEEGFS
            | PLAN9
            | FUSE
    )
}

#[cfg(not(target_os = "linux"))]
fn is_on_network(_folder: &Path) -> bool {
    false
}

/// machine-id(5): "uninitialized" until the first boot is complete.
fn machine_id() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map(|id| id.trim().to_owned())
        .filter(|id| super::hex::decode::<16>(id).is_some())
}

// machine-id(5) says not to expose the ID itself where others may see it, as on a file server.
fn of_machine(id: &str) -> String {
    let hash = super::name::digest(&[b"hallpass", id.as_bytes()]);
    format!("machine-{}", &hash[..32])
}

/// Whether the environment indicates a container, whose kernel keyring is not its own.
pub fn in_container(env: &Env) -> bool {
    env.var_os("container").is_some() || env.var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Whether the file system indicates a container. Not checked on the hot path.
pub(super) fn has_container_mark() -> bool {
    [
        "/.dockerenv",
        "/run/.containerenv",
        "/run/systemd/container",
    ]
    .iter()
    .any(|path| Path::new(path).exists())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)], user_home: fn() -> Option<PathBuf>) -> Result<String, String> {
        let env = Env::new(Vec::<&str>::new(), vars.iter().copied());
        match chosen(&env, user_home) {
            Ok(path) => Ok(path.to_string_lossy().into_owned()),
            Err(StoreError::NoHome) => Err("no home".to_owned()),
            Err(StoreError::RelativeHome { .. }) => Err("relative home".to_owned()),
            Err(StoreError::RelativeDataDir { .. }) => Err("relative data dir".to_owned()),
            Err(error) => Err(format!("unexpected: {error}")),
        }
    }

    #[test]
    fn a_relative_data_folder_is_refused() {
        let passwd: fn() -> Option<PathBuf> = || Some("/home/passwd".into());
        let nobody: fn() -> Option<PathBuf> = || None;
        let empty: fn() -> Option<PathBuf> = || Some(PathBuf::new());
        let below = if cfg!(target_os = "macos") {
            "Library/Application Support/hallpass"
        } else {
            ".local/share/hallpass"
        };
        for (vars, user_home, expected) in [
            (
                &[("HALLPASS_DATA_DIR", "/d")][..],
                nobody,
                Ok("/d".to_owned()),
            ),
            (
                &[("HALLPASS_DATA_DIR", "d"), ("HOME", "/h")],
                passwd,
                Err("relative data dir"),
            ),
            (
                &[("HALLPASS_DATA_DIR", ""), ("HOME", "/h")],
                nobody,
                Ok(format!("/h/{below}")),
            ),
            (&[("HOME", "/h")], nobody, Ok(format!("/h/{below}"))),
            (
                &[("HOME", "/h"), ("XDG_DATA_HOME", "")],
                nobody,
                Ok(format!("/h/{below}")),
            ),
            (
                &[("HOME", "/h"), ("XDG_DATA_HOME", "x")],
                nobody,
                Ok(format!("/h/{below}")),
            ),
            (&[("HOME", "h")], passwd, Err("relative home")),
            (&[("HOME", ".")], passwd, Err("relative home")),
            (&[("HOME", "")], passwd, Ok(format!("/home/passwd/{below}"))),
            (&[], passwd, Ok(format!("/home/passwd/{below}"))),
            (&[], nobody, Err("no home")),
            (&[("HOME", "")], empty, Err("no home")),
        ] {
            assert_eq!(
                of(vars, user_home),
                expected.map_err(str::to_owned),
                "{vars:?}"
            );
        }
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn xdg_data_home_comes_before_home() {
        let vars = [("HOME", "h"), ("XDG_DATA_HOME", "/x")];
        assert_eq!(of(&vars, || None), Ok("/x/hallpass".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_recognized() {
        for (magic, shared) in [
            (0x6969_i64, true),
            (0xff53_4d42, true),
            (i64::from(0xff53_4d42_u32.cast_signed()), true),
            (0x6573_5546, true),
            (0xef53, false),      // ext4
            (0x9123_683e, false), // btrfs
            (0x0102_1994, false), // tmpfs
            (0x794c_7630, false), // overlayfs
        ] {
            assert_eq!(is_network_type(magic), shared, "{magic:#x}");
        }
    }

    #[test]
    fn a_machines_folder_does_not_reveal_its_id() {
        let id = "0123456789abcdef0123456789abcdef";
        let folder = of_machine(id);
        assert_eq!(folder, of_machine(id));
        assert!(folder.starts_with("machine-") && !folder.contains(id));
    }

    #[test]
    fn a_container_is_recognized_by_its_environment() {
        assert!(!in_container(&Env::default()));
        for name in ["container", "KUBERNETES_SERVICE_HOST"] {
            assert!(in_container(&Env::new(Vec::<&str>::new(), [(name, "x")])));
        }
    }
}
