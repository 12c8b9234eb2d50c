//! Who can change a file on Windows, according to its owner and its access list.
//!
//! It errs on the safe side: an entry that denies access is ignored, and one that hallpass can't
//! evaluate (with a condition, or for one kind of object) counts as access for others.
//!
//! Specification: [MS-DTYP] 2.4.2 (SID), 2.4.4 (entries), 2.4.5 (lists), 2.4.6 (descriptors),
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-dtyp/>

#![cfg_attr(
    not(any(windows, test)),
    expect(dead_code, reason = "other platforms have owners and modes instead")
)]

use std::fmt;

/// The identifier of a user or group.
#[derive(Clone, PartialEq, Eq)]
pub struct Sid {
    authority: u64,
    parts: Vec<u32>,
}

const NT: u64 = 5;

/// The only ones who may change the file. Anyone who controls one of these controls the machine.
const ADMINISTRATORS: [&[u32]; 3] = [
    // SYSTEM
    &[18],
    // BUILTIN\Administrators
    &[32, 544],
    // NT SERVICE\TrustedInstaller
    &[
        80,
        956_008_885,
        3_418_522_649,
        1_831_038_044,
        1_853_292_631,
        2_271_478_464,
    ],
];

impl Sid {
    fn read(bytes: &[u8]) -> Option<Self> {
        const MOST_PARTS: u8 = 15;
        let ([revision, count], rest) = bytes.split_first_chunk()?;
        let (authority, rest) = rest.split_first_chunk::<6>()?;
        if *revision != 1 || *count > MOST_PARTS {
            return None;
        }
        let authority = authority.iter();
        Some(Self {
            authority: authority.fold(0, |all, byte| (all << 8) | u64::from(*byte)),
            parts: (0..usize::from(*count))
                .map(|index| u32_at(rest, index * 4))
                .collect::<Option<_>>()?,
        })
    }

    fn is_administrator(&self) -> bool {
        self.authority == NT && ADMINISTRATORS.contains(&&*self.parts)
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.authority, &*self.parts) {
            (1, [0]) => Some("Everyone"),
            (NT, [11]) => Some("Authenticated Users"),
            (NT, [32, 545]) => Some("Users"),
            _ => None,
        };
        if let Some(name) = name {
            return f.write_str(name);
        }
        write!(f, "S-1-{}", self.authority)?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why someone other than an administrator could decide what a file or folder contains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    #[error("belongs to {0}; it must belong to Administrators or SYSTEM")]
    Owner(Sid),
    #[error("can be changed by {0}, not only by Administrators and SYSTEM")]
    Writer(Sid),
    #[error("has no access list, so everyone can change it")]
    NoList,
    #[error("has an access list that hallpass can't check")]
    Unknown,
    #[error("is a link, which hallpass doesn't follow here")]
    Link,
    #[error("can't be read by you, so hallpass can't tell who may change it")]
    Unreadable,
}

/// The rights that don't let their holder change anything. Every other right counts, even that to
/// write attributes: it suffices to turn an empty folder into a link.
const HARMLESS: u32 = {
    const READ_DATA_OR_LIST_FOLDER: u32 = 0x1;
    const READ_EXTENDED_ATTRIBUTES: u32 = 0x8;
    const EXECUTE_OR_TRAVERSE: u32 = 0x20;
    const READ_ATTRIBUTES: u32 = 0x80;
    const READ_CONTROL: u32 = 0x2_0000;
    const SYNCHRONIZE: u32 = 0x10_0000;
    const GENERIC_EXECUTE: u32 = 0x2000_0000;
    const GENERIC_READ: u32 = 0x8000_0000;
    READ_DATA_OR_LIST_FOLDER
        | READ_EXTENDED_ATTRIBUTES
        | EXECUTE_OR_TRAVERSE
        | READ_ATTRIBUTES
        | READ_CONTROL
        | SYNCHRONIZE
        | GENERIC_EXECUTE
        | GENERIC_READ
};

/// Checks that only administrators can change a file or folder, given its self-relative security
/// descriptor with the owner and the access list.
pub(super) fn check(descriptor: &[u8]) -> Result<(), Weakness> {
    use Weakness::{NoList, Owner, Unknown, Writer};

    const HAS_LIST: u16 = 0x4;
    const SELF_RELATIVE: u16 = 0x8000;
    let control = u16_at(descriptor, 2).ok_or(Unknown)?;
    if descriptor.first() != Some(&1) || control & SELF_RELATIVE == 0 {
        return Err(Unknown);
    }
    let owner = part(descriptor, 4).and_then(Sid::read).ok_or(Unknown)?;
    if !owner.is_administrator() {
        return Err(Owner(owner));
    }
    // An empty list allows nothing, but no list allows everything.
    if control & HAS_LIST == 0 || u32_at(descriptor, 16) == Some(0) {
        return Err(NoList);
    }
    let list = part(descriptor, 16).ok_or(Unknown)?;
    let size = usize::from(u16_at(list, 2).ok_or(Unknown)?);
    let count = u16_at(list, 4).ok_or(Unknown)?;
    let mut rest = list.get(8..size).ok_or(Unknown)?;
    for _ in 0..count {
        let entry = Entry::read(rest).ok_or(Unknown)?;
        if let Some(sid) = entry.writer()? {
            return Err(Writer(sid));
        }
        rest = rest.get(entry.size..).ok_or(Unknown)?;
    }
    Ok(())
}

struct Entry<'a> {
    kind: u8,
    flags: u8,
    size: usize,
    /// The rights, and what follows them.
    body: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        const HEADER: usize = 4;
        let size = usize::from(u16_at(bytes, 2)?);
        Some(Self {
            kind: *bytes.first()?,
            flags: *bytes.get(1)?,
            body: bytes.get(HEADER..size)?,
            size,
        })
    }

    /// Who can change the file because of this entry, apart from administrators.
    fn writer(&self) -> Result<Option<Sid>, Weakness> {
        const ALLOWED: u8 = 0;
        /// Plain, for one kind of object, with a condition, and both.
        const DENIED: [u8; 4] = [1, 6, 10, 12];
        /// The entry applies only to files that will be created in the folder. They have their own
        /// lists, which are checked too.
        const INHERIT_ONLY: u8 = 0x8;
        if self.flags & INHERIT_ONLY != 0 || DENIED.contains(&self.kind) {
            return Ok(None);
        }
        if self.kind != ALLOWED {
            return Err(Weakness::Unknown);
        }
        let rights = u32_at(self.body, 0).ok_or(Weakness::Unknown)?;
        let sid = self.body.get(4..).and_then(Sid::read);
        let sid = sid.ok_or(Weakness::Unknown)?;
        Ok((rights & !HARMLESS != 0 && !sid.is_administrator()).then_some(sid))
    }
}

/// What the offset at a place in the descriptor leads to.
fn part(descriptor: &[u8], place: usize) -> Option<&[u8]> {
    let offset = usize::try_from(u32_at(descriptor, place)?).ok()?;
    descriptor.get(offset..).filter(|_| offset != 0)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let found = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*found))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*found))
}

#[cfg(test)]
mod tests {
    use super::Weakness::{NoList, Owner, Unknown, Writer};
    use super::*;

    const SYSTEM: &[u32] = &[18];
    const ADMINS: &[u32] = &[32, 544];
    const INSTALLER: &[u32] = ADMINISTRATORS[2];
    const USERS: &[u32] = &[32, 545];
    const PERSON: &[u32] = &[21, 1, 2, 3, 1001];

    const FULL: u32 = 0x1f_01ff;
    const MODIFY: u32 = 0x13_01bf;
    const READ_AND_EXECUTE: u32 = 0x12_00a9;

    const ALLOW: u8 = 0;
    const DENY: u8 = 1;
    const ALLOW_OBJECT: u8 = 5;
    const ALLOW_IF: u8 = 9;
    const DENY_IF: u8 = 10;

    const FOR_FILES_AND_FOLDERS: u8 = 0x3;
    const INHERIT_ONLY: u8 = 0x8;
    const INHERITED: u8 = 0x10;

    fn sid(authority: u8, parts: &[u32]) -> Vec<u8> {
        let length = u8::try_from(parts.len()).unwrap();
        let mut bytes = vec![1, length, 0, 0, 0, 0, 0, authority];
        bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }

    fn nt(parts: &[u32]) -> Vec<u8> {
        sid(5, parts)
    }

    fn entry(kind: u8, flags: u8, rights: u32, sid: &[u8]) -> Vec<u8> {
        let size = u16::try_from(8 + sid.len()).unwrap().to_le_bytes();
        let mut bytes = vec![kind, flags, size[0], size[1]];
        bytes.extend(rights.to_le_bytes());
        bytes.extend(sid);
        bytes
    }

    fn allow(rights: u32, parts: &[u32]) -> Vec<u8> {
        entry(ALLOW, 0, rights, &nt(parts))
    }

    fn descriptor(owner: &[u32], entries: &[Vec<u8>]) -> Vec<u8> {
        let owner = nt(owner);
        let list = 20 + u32::try_from(owner.len()).unwrap();
        let mut bytes = vec![1, 0, 0x04, 0x80];
        for offset in [20, 0, 0, list] {
            bytes.extend(u32::to_le_bytes(offset));
        }
        bytes.extend(owner);
        let size = u16::try_from(8 + entries.concat().len()).unwrap();
        bytes.extend([2, 0]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(entries.concat());
        bytes
    }

    fn read(sid: &[u8]) -> Sid {
        Sid::read(sid).unwrap()
    }

    #[test]
    fn only_administrators_may_own_the_file() {
        let list = [allow(FULL, ADMINS), allow(READ_AND_EXECUTE, USERS)];
        for owner in [SYSTEM, ADMINS, INSTALLER] {
            assert_eq!(check(&descriptor(owner, &list)), Ok(()), "{owner:?}");
        }
        for owner in [PERSON, USERS, &[], &[32], &[32, 544, 1], &[18, 0]] {
            let found = check(&descriptor(owner, &list));
            assert_eq!(found, Err(Owner(read(&nt(owner)))), "{owner:?}");
        }
    }

    #[test]
    fn only_administrators_may_change_the_file() {
        let users = nt(USERS);
        let person = nt(PERSON);
        let everyone = sid(1, &[0]);
        let creator_owner = sid(3, &[0]);
        // The numbers of Administrators, issued by another authority.
        let impostor = sid(6, ADMINS);
        let writer = |sid: &[u8]| Err(Writer(read(sid)));
        for (case, entry, expected) in [
            ("reads", allow(READ_AND_EXECUTE, USERS), Ok(())),
            ("reads", allow(0x8000_0000 | 0x2000_0000, USERS), Ok(())),
            ("installs", allow(FULL, INSTALLER), Ok(())),
            ("another user", allow(FULL, PERSON), writer(&person)),
            ("a group", allow(MODIFY, USERS), writer(&users)),
            ("all", entry(ALLOW, 0, MODIFY, &everyone), writer(&everyone)),
            (
                "impostor",
                entry(ALLOW, 0, FULL, &impostor),
                writer(&impostor),
            ),
            // What all users may do in a new folder in `%ProgramData%`, by default.
            (
                "default",
                entry(ALLOW, 0x12, 0x10_0116, &users),
                writer(&users),
            ),
            ("add a file", allow(0x2, USERS), writer(&users)),
            ("add a folder", allow(0x4, USERS), writer(&users)),
            (
                "write extended attributes",
                allow(0x10, USERS),
                writer(&users),
            ),
            ("delete a child", allow(0x40, USERS), writer(&users)),
            ("write attributes", allow(0x100, USERS), writer(&users)),
            ("delete", allow(0x1_0000, USERS), writer(&users)),
            ("write the list", allow(0x4_0000, USERS), writer(&users)),
            ("take ownership", allow(0x8_0000, USERS), writer(&users)),
            ("everything", allow(0x1000_0000, USERS), writer(&users)),
            ("generic write", allow(0x4000_0000, USERS), writer(&users)),
            ("an unknown right", allow(0x200, USERS), writer(&users)),
            (
                "inherited",
                entry(ALLOW, INHERITED, FULL, &users),
                writer(&users),
            ),
            (
                "also inherited by children",
                entry(ALLOW, FOR_FILES_AND_FOLDERS, FULL, &users),
                writer(&users),
            ),
            (
                "inherited by children only",
                entry(
                    ALLOW,
                    FOR_FILES_AND_FOLDERS | INHERIT_ONLY,
                    FULL,
                    &creator_owner,
                ),
                Ok(()),
            ),
            (
                "the creator",
                entry(ALLOW, 0, FULL, &creator_owner),
                writer(&creator_owner),
            ),
            ("denied", entry(DENY, 0, FULL, &users), Ok(())),
            ("denied if", entry(DENY_IF, 0, FULL, &users), Ok(())),
            (
                "allowed if",
                entry(ALLOW_IF, 0, READ_AND_EXECUTE, &users),
                Err(Unknown),
            ),
            (
                "one kind of object",
                entry(ALLOW_OBJECT, 0, READ_AND_EXECUTE, &users),
                Err(Unknown),
            ),
            ("unknown kind", entry(99, 0, 0, &users), Err(Unknown)),
        ] {
            // Wherever it is in the list, and whatever is denied before it.
            let admins = allow(FULL, ADMINS);
            let denied = entry_that_denies(&users);
            for entries in [
                [entry.clone(), admins.clone(), denied.clone()],
                [denied, admins, entry],
            ] {
                assert_eq!(check(&descriptor(ADMINS, &entries)), expected, "{case}");
            }
        }
    }

    fn entry_that_denies(sid: &[u8]) -> Vec<u8> {
        entry(DENY, 0, FULL, sid)
    }

    #[test]
    fn no_access_list_means_that_everyone_may_change_the_file() {
        let whole = descriptor(ADMINS, &[allow(FULL, ADMINS)]);
        assert_eq!(check(&whole), Ok(()));
        let mut absent = whole.clone();
        absent[2] = 0;
        assert_eq!(check(&absent), Err(NoList));
        let mut null = whole;
        null[16..20].fill(0);
        assert_eq!(check(&null), Err(NoList));
        // An empty list lets only the owner change it.
        assert_eq!(check(&descriptor(ADMINS, &[])), Ok(()));
    }

    #[test]
    fn a_torn_descriptor_is_never_trusted() {
        let whole = descriptor(ADMINS, &[allow(FULL, ADMINS), allow(FULL, SYSTEM)]);
        for length in 0..whole.len() {
            assert_eq!(check(&whole[..length]), Err(Unknown), "{length}");
        }
        let list = 20 + nt(ADMINS).len();
        for (what, place, value) in [
            ("revision", 0, 2),
            ("absolute", 3, 0),
            ("owner's revision", 20, 2),
            ("owner's length", 21, 16),
            ("list too short for its entries", list + 2, 12),
            ("list longer than the descriptor", list + 2, 255),
            ("more entries than there are", list + 4, 3),
            ("entry without a size", list + 8 + 2, 0),
            ("entry too short for its SID", list + 8 + 2, 12),
        ] {
            let mut torn = whole.clone();
            torn[place] = value;
            assert_eq!(check(&torn), Err(Unknown), "{what}");
        }
    }

    #[test]
    fn a_sid_is_shown_with_its_name_or_as_windows_writes_it() {
        let shown = |sid: &[u8]| read(sid).to_string();
        assert_eq!(shown(&nt(PERSON)), "S-1-5-21-1-2-3-1001");
        assert_eq!(shown(&nt(USERS)), "Users");
        assert_eq!(shown(&sid(1, &[0])), "Everyone");
    }
}
