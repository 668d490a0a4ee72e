//! Making, finding and removing segments: every fault has its own error, a name is absent or whole, and it is there
//! exactly as long as it should be.

mod common;

use common::{
    Board, Dice, LIMIT, Scratch, Unique, alone, forge, fork, meanwhile, overwrite, scratch, unique, until,
    within,
};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Uid, geteuid};
use slipring::{Align, Error, Options, Peer, Ring, Trust, Wakeup};
use std::fs::{File, Permissions};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CAPACITY: usize = 4096;

fn small() -> Options {
    Options::new().capacity(CAPACITY)
}

/// A sound ring in a file, which nobody has open.
fn sound(dir: &Scratch) -> PathBuf {
    let path = dir.0.join("ring");
    let _ = std::fs::remove_file(&path);
    drop(Ring::create_file(&path, &small()).unwrap());
    path
}

/// The error, which must name what it is about.
fn error_of<T>(result: Result<T, Error>, name: &Path) -> Error {
    let Err(error) = result else { panic!("{}: accepted", name.display()) };
    let text = error.to_string();
    assert!(text.contains(&*name.to_string_lossy()), "{text:?} does not name {}", name.display());
    error
}

#[track_caller]
fn open_fails(path: &Path) -> Error {
    error_of(Ring::open_file(path), path)
}

macro_rules! assert_matches {
    ($value:expr, $($pattern:tt)+) => {
        match $value {
            $($pattern)+ => {}
            other => panic!("{other:?} is not {}", stringify!($($pattern)+)),
        }
    };
}

// --- what is not there, and what is there already ---

#[test]
fn a_name_that_is_not_there_is_not_found() {
    let _alone = alone();
    let name = unique();
    assert_matches!(Ring::open(&name.0).map(drop), Err(Error::NotFound { name: n }) if n == name.0);
    assert_matches!(slipring::stat(&name.0).map(drop), Err(Error::NotFound { .. }));
    assert_matches!(slipring::unlink(&name.0), Err(Error::NotFound { .. }));
    assert_matches!(slipring::unlink_forced(&name.0), Err(Error::NotFound { .. }));
    let dir = scratch();
    assert_matches!(open_fails(&dir.0.join("none")), Error::NotFound { .. });
    assert_matches!(open_fails(&dir.0.join("none/none")), Error::NotFound { .. });
}

#[test]
fn a_name_that_is_taken_exists() {
    let _alone = alone();
    let name = unique();
    let _ring = Ring::create(&name.0, &small()).unwrap();
    assert_matches!(Ring::create(&name.0, &small()).map(drop), Err(Error::Exists { name: n }) if n == name.0);
    let dir = scratch();
    let path = sound(&dir);
    assert_matches!(error_of(Ring::create_file(&path, &small()), &path), Error::Exists { .. });
}

#[test]
fn whatever_file_has_the_name_is_left_as_it_is_by_create() {
    let _alone = alone();
    let name = unique();
    std::fs::write(name.path(), "precious").unwrap();
    assert_matches!(Ring::create(&name.0, &small()).map(drop), Err(Error::Exists { .. }));
    assert_eq!(std::fs::read(name.path()).unwrap(), b"precious");
}

#[test]
fn the_slash_before_a_name_may_be_left_out() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0[1..], &small()).unwrap();
    assert_eq!(ring.info().name, name.0);
    assert!(Ring::open(&name.0).is_ok());
}

// --- names and options ---

#[test]
fn malformed_names_are_refused_by_every_verb() {
    let _alone = alone();
    for name in ["", "/", ".", "/.", "..", "/..", "/a/b", "a/b", "//a", "/a/", "/nul\0byte", "\0"] {
        let refused = [
            Ring::create(name, &small()).map(drop),
            Ring::open(name).map(drop),
            Ring::open_or_create(name, &small()).map(drop),
            slipring::stat(name).map(drop),
            slipring::unlink(name),
            slipring::unlink_forced(name),
        ];
        for result in refused {
            assert_matches!(result, Err(Error::BadName { name: n, .. }) if n == name);
        }
    }
}

#[test]
fn malformed_paths_are_refused() {
    let _alone = alone();
    for path in ["", "/", "..", "a/..", "nul\0byte"] {
        assert_matches!(Ring::open_file(path).map(drop), Err(Error::BadName { .. }));
        assert_matches!(Ring::create_file(path, &small()).map(drop), Err(Error::BadName { .. }));
    }
}

#[test]
fn a_path_that_ends_in_a_slash_names_no_file() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("ring/");
    assert_matches!(error_of(Ring::create_file(&path, &small()), &path), Error::BadName { .. });
    assert_matches!(error_of(Ring::open_or_create_file(&path, &small()), &path), Error::BadName { .. });
    assert_matches!(error_of(Ring::open_file(&path), &path), Error::BadName { .. });
}

#[test]
fn a_name_may_have_255_bytes_and_no_more() {
    let _alone = alone();
    let longest = Unique(format!("{:x<256}", unique().0));
    assert_eq!(longest.0.len(), 256, "a slash and 255 bytes");
    assert!(Ring::create(&longest.0, &small()).is_ok());
    let longer = format!("{}x", longest.0);
    assert_matches!(
        Ring::create(&longer, &small()).map(drop),
        Err(Error::NameTooLong { len: 256, max: 255, .. })
    );
    assert_matches!(Ring::open(&longer).map(drop), Err(Error::NameTooLong { len: 256, max: 255, .. }));
    let dir = scratch();
    assert_matches!(open_fails(&dir.0.join(&longer[1..])), Error::NameTooLong { len: 256, .. });
}

#[test]
fn of_a_path_that_is_too_long_the_error_names_what_is() {
    let _alone = alone();
    let dir = scratch();
    let part = dir.0.join("x".repeat(300)).join("ring");
    let whole = dir.0.join("x/".repeat(2500)).join("ring");
    let opened = |path: &Path| Ring::open_file(path).map(drop);
    for fails in [opened, |path: &Path| Ring::create_file(path, &small()).map(drop)] {
        assert_matches!(error_of(fails(&part), &part), Error::NameTooLong { len: 300, max: 255, .. });
        let error = fails(&whole).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a path has at most 4095"), "{error}");
        assert!(text.starts_with(&*dir.0.to_string_lossy()) && text.contains("/x/ring: has "), "{error}");
        assert!(text.len() < 400, "so long a path hides what is said of it: {error}");
        assert_matches!(error, Error::NameTooLong { len: 5000.., max: 4095, .. });
    }
}

#[test]
fn a_directory_that_is_not_there_is_named_as_what_is_missing() {
    let _alone = alone();
    let path = scratch().0.join("none/ring");
    assert_matches!(error_of(Ring::create_file(&path, &small()), &path), Error::NoDirectory { .. });
}

#[test]
fn impossible_capacities_are_refused() {
    let _alone = alone();
    let name = unique();
    for capacity in [0, 1, 64, 2048, 4095, 4097, 6000, (1 << 32) + 1, 1 << 33, usize::MAX] {
        let error = Ring::create(&name.0, &Options::new().capacity(capacity)).map(drop).unwrap_err();
        let text = error.to_string();
        assert_matches!(error, Error::BadOption { option: "capacity", found, .. } if found == capacity.to_string());
        assert!(text.contains("power of two"), "{text}");
        assert!(!name.path().exists());
    }
}

#[test]
fn impossible_modes_are_refused() {
    let _alone = alone();
    let name = unique();
    for mode in [0, 0o400, 0o200, 0o044, 0o1600, 0o4600, 0o100_600] {
        let result = Ring::create(&name.0, &small().mode(mode)).map(drop);
        assert_matches!(result, Err(Error::BadOption { option: "mode", .. }));
    }
}

#[test]
fn a_named_ring_that_others_may_write_is_refused() {
    let _alone = alone();
    let name = unique();
    for mode in [0o620, 0o602, 0o666, 0o660] {
        let result = Ring::create(&name.0, &small().mode(mode)).map(drop);
        assert_matches!(result, Err(Error::BadOption { option: "mode", .. }));
    }
    assert!(Ring::anonymous(&small().mode(0o666)).is_ok(), "only holders of its descriptor reach a memfd");
}

#[test]
fn only_a_sealed_memfd_can_be_distrusted() {
    let _alone = alone();
    let name = unique();
    let distrust = small().trust(Trust::Distrust);
    assert_matches!(Ring::create(&name.0, &distrust).map(drop), Err(Error::Unsealed { .. }));
    assert!(Ring::anonymous(&distrust).is_ok());
}

#[test]
fn the_mode_is_what_was_asked_whatever_the_umask() {
    let _alone = alone();
    let name = unique();
    fork(|link| {
        nix::sys::stat::umask(Mode::from_bits_truncate(0o777));
        let ring = Ring::create(&name.0, &small().mode(0o640)).unwrap();
        assert_eq!(ring.info().mode, 0o640);
        link.say(u64::from(std::fs::metadata(name.path()).unwrap().mode() & 0o7777));
        assert!(Ring::open(&name.0).is_ok());
    })
    .join();
}

#[test]
fn a_ring_is_what_its_options_say() {
    let _alone = alone();
    for (align, wakeup, persistent) in [
        (Align::Line, Wakeup::Futex, false),
        (Align::Dense, Wakeup::Semaphore, true),
        (Align::Dense, Wakeup::None, false),
    ] {
        let name = unique();
        let options = Options::new().capacity(8192).align(align).wakeup(wakeup).persistent(persistent);
        let made = Ring::create(&name.0, &options).unwrap();
        for info in
            [made.info(), Ring::open(&name.0).unwrap().info(), slipring::stat(&name.0).unwrap().info.unwrap()]
        {
            assert_eq!((info.name.as_str(), info.kind), (name.0.as_str(), "spsc"));
            assert_eq!((info.capacity, info.max_len, info.segment_bytes), (8192, 4088, 4096 + 8192));
            assert_eq!((info.align, info.wakeup, info.persistent), (align, wakeup, persistent));
            assert_eq!((info.mode, info.uid), (0o600, geteuid().as_raw()));
            assert_eq!((info.creator_pid, info.used_bytes), (std::process::id(), 0));
            assert_eq!((info.producer.peer, info.consumer.peer), (Peer::Absent, Peer::Absent));
            assert!(info.created.elapsed().unwrap() < LIMIT);
        }
    }
}

// --- what stands there is no sound segment ---

#[test]
fn a_file_of_somebody_else_is_no_ring() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("file");
    for content in [&b"short"[..], &[0; 100], &[0; 8192], &[0xff; 300], b"SLIPRINX and so on"] {
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_matches!(open_fails(&path), Error::NotARing { .. });
        assert_matches!(error_of(slipring::unlink_file(&path), &path), Error::NotARing { .. });
        assert_matches!(error_of(slipring::unlink_file_forced(&path), &path), Error::NotARing { .. });
        assert_eq!(std::fs::read(&path).unwrap(), content, "left as it was");
    }
}

#[test]
fn an_empty_file_is_too_small() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("file");
    File::create(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_matches!(open_fails(&path), Error::TooSmall { len: 0, least: 256, .. });
}

#[test]
fn a_segment_cut_within_its_header_is_too_small() {
    let _alone = alone();
    let dir = scratch();
    for len in [8, 9, 88, 255] {
        let path = sound(&dir);
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert_matches!(open_fails(&path), Error::TooSmall { len: l, least: 256, .. } if l == len);
    }
}

#[test]
fn a_segment_cut_behind_its_header_is_truncated() {
    let _alone = alone();
    let dir = scratch();
    for len in [256, 4096, 8191] {
        let path = sound(&dir);
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert_matches!(open_fails(&path), Error::Truncated { len: l, wanted: 8192, .. } if l == len);
    }
}

#[test]
fn a_segment_with_more_bytes_than_it_says_is_refused() {
    let _alone = alone();
    let dir = scratch();
    let path = sound(&dir);
    File::options().write(true).open(&path).unwrap().set_len(8193).unwrap();
    assert_matches!(open_fails(&path), Error::Geometry { field: "file length", found: 8193, .. });
}

#[test]
fn another_layout_version_is_refused_with_both_numbers() {
    let _alone = alone();
    let dir = scratch();
    for version in [0_u32, 1, 3, 77, u32::MAX] {
        let path = sound(&dir);
        overwrite(&path, 8, &version.to_ne_bytes());
        assert_matches!(open_fails(&path), Error::Version { found, known: 2, .. } if found == version);
    }
}

#[test]
fn a_header_with_a_changed_bit_fails_its_checksum() {
    let _alone = alone();
    let dir = scratch();
    for offset in 12..96 {
        let path = sound(&dir);
        let byte = std::fs::read(&path).unwrap()[offset as usize];
        overwrite(&path, offset, &[byte ^ 0x10]);
        assert_matches!(open_fails(&path), Error::Checksum { .. });
    }
}

#[test]
fn another_kind_of_ring_is_refused() {
    let _alone = alone();
    let dir = scratch();
    let path = sound(&dir);
    forge(&path, 12, &3_u32.to_ne_bytes());
    assert_matches!(open_fails(&path), Error::WrongKind { found: 3, .. });
}

#[test]
fn unknown_features_are_refused() {
    let _alone = alone();
    let dir = scratch();
    for flags in [4_u32, 0x8000_0000, u32::MAX] {
        let path = sound(&dir);
        forge(&path, 56, &flags.to_ne_bytes());
        assert_matches!(open_fails(&path), Error::Features { flags: f, .. } if f == flags);
    }
}

#[test]
fn each_impossible_field_is_named() {
    let _alone = alone();
    let dir = scratch();
    let long = |offset, field, values: &[u64]| {
        for &value in values {
            let path = sound(&dir);
            forge(&path, offset, &value.to_ne_bytes());
            assert_matches!(open_fails(&path), Error::Geometry { field: f, found, .. } if (f, found) == (field, value));
        }
    };
    long(24, "ring_offset", &[0, 8, 1023, 1025, 4096, u64::MAX]);
    long(32, "data_offset", &[0, 64, 4095, 8192, u64::MAX]);
    long(40, "capacity", &[0, 1, 2048, 4095, 4097, 6144, 1 << 33, 1 << 63, u64::MAX]);
    // A possible capacity that is not that of this segment.
    for capacity in [8192_u64, 1 << 32] {
        let path = sound(&dir);
        forge(&path, 40, &capacity.to_ne_bytes());
        assert_matches!(open_fails(&path), Error::Geometry { field: "segment_len", found: 8192, .. });
    }
    // A segment_len that fits the file, and nothing else.
    for len in [256_u64, 4096, 8191, 8193, 16384] {
        let path = sound(&dir);
        forge(&path, 16, &len.to_ne_bytes());
        File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert_matches!(open_fails(&path), Error::Geometry { field: "segment_len", found, .. } if found == len);
    }
    for len in [8193_u64, 1 << 40, u64::MAX] {
        let path = sound(&dir);
        forge(&path, 16, &len.to_ne_bytes());
        assert_matches!(open_fails(&path), Error::Truncated { len: 8192, wanted, .. } if wanted == len);
    }
    let short = |offset, field, values: &[u32]| {
        for &value in values {
            let path = sound(&dir);
            forge(&path, offset, &value.to_ne_bytes());
            assert_matches!(
                open_fails(&path),
                Error::Geometry { field: f, found, .. } if (f, found) == (field, u64::from(value))
            );
        }
    };
    short(48, "align", &[0, 1, 16, 32, 63, 128, u32::MAX]);
    short(52, "wakeup", &[3, 4, u32::MAX]);
}

#[test]
fn control_lines_that_nobody_writes_are_corrupt() {
    let _alone = alone();
    let dir = scratch();
    let path = sound(&dir);
    overwrite(&path, 1024, &3_u64.to_ne_bytes());
    let ring = Ring::open_file(&path).unwrap();
    assert_matches!(error_of(ring.producer(), &path), Error::Corrupt { .. });
    assert_matches!(error_of(ring.consumer(), &path), Error::Corrupt { .. });
    // And the roles are given back.
    overwrite(&path, 1024, &0_u64.to_ne_bytes());
    assert!(ring.producer().is_ok() && ring.consumer().is_ok());
}

// --- what stands there belongs to somebody else, or is no file ---

#[test]
fn a_segment_of_another_user_is_refused() {
    let _alone = alone();
    if !geteuid().is_root() {
        println!("skipped: only root can give a file to another user; run as root");
        return;
    }
    let dir = scratch();
    let path = sound(&dir);
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    assert_matches!(open_fails(&path), Error::WrongOwner { uid: 65_534, own: 0, .. });
    assert_matches!(error_of(slipring::unlink_file(&path), &path), Error::WrongOwner { .. });
}

#[test]
fn a_user_without_permission_is_told_so() {
    let _alone = alone();
    if !geteuid().is_root() {
        println!("skipped: only root can become another user; run as root");
        return;
    }
    let name = unique();
    let dir = scratch();
    let _ring = Ring::create(&name.0, &small().mode(0o644)).unwrap();
    fork(|_| {
        nix::unistd::setgid(Gid::from_raw(65_534)).unwrap();
        nix::unistd::setuid(Uid::from_raw(65_534)).unwrap();
        assert_matches!(error_of(Ring::open(&name.0), Path::new(&name.0)), Error::Permission { .. });
        assert_matches!(error_of(slipring::unlink(&name.0), Path::new(&name.0)), Error::Permission { .. });
        assert_matches!(
            error_of(slipring::unlink_forced(&name.0), Path::new(&name.0)),
            Error::Permission { .. }
        );
        let path = dir.0.join("ring");
        assert_matches!(error_of(Ring::create_file(&path, &small()), &path), Error::Permission { .. });
    })
    .join();
}

#[test]
fn a_file_that_cannot_be_read_is_not_said_to_be_no_ring() {
    let _alone = alone();
    if !geteuid().is_root() {
        println!("skipped: only root can become another user; run as root");
        return;
    }
    let name = unique();
    let _ring = Ring::create(&name.0, &small()).unwrap();
    fork(|_| {
        nix::unistd::setgid(Gid::from_raw(65_534)).unwrap();
        nix::unistd::setuid(Uid::from_raw(65_534)).unwrap();
        let error = error_of(slipring::unlink_forced(&name.0), Path::new(&name.0));
        assert_matches!(error, Error::Permission { .. });
    })
    .join();
}

#[test]
fn a_segment_that_others_may_write_is_refused() {
    let _alone = alone();
    let dir = scratch();
    for mode in [0o620, 0o602, 0o666, 0o622] {
        let path = sound(&dir);
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_matches!(open_fails(&path), Error::WrongMode { mode: m, .. } if m == mode);
    }
}

/// What may be planted in a ring's place, and the error that names it.
type Plant = (&'static str, fn(&Path), fn(&Error) -> bool);

const PLANTS: [Plant; 9] = [
    (
        "symbolic link to a ring",
        |path| {
            let ring = path.with_extension("sound");
            drop(Ring::create_file(&ring, &small()));
            symlink(&ring, path).unwrap();
        },
        |e| matches!(e, Error::Symlink { .. }),
    ),
    ("dangling symbolic link", |path| symlink("none", path).unwrap(), |e| matches!(e, Error::Symlink { .. })),
    ("symbolic link to itself", |path| symlink(path, path).unwrap(), |e| matches!(e, Error::Symlink { .. })),
    (
        "symbolic link to a FIFO",
        |path| {
            let fifo = path.with_extension("fifo");
            let _ = nix::unistd::mkfifo(&fifo, Mode::S_IRWXU);
            symlink(&fifo, path).unwrap();
        },
        |e| matches!(e, Error::Symlink { .. }),
    ),
    ("directory", |path| std::fs::create_dir(path).unwrap(), |e| matches!(e, Error::Directory { .. })),
    (
        "FIFO",
        |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        |e| matches!(e, Error::NotAFile { what: "FIFO", .. }),
    ),
    (
        "socket",
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        |e| matches!(e, Error::NotAFile { what: "socket", .. }),
    ),
    // /dev/null, and a block device that nothing drives. A file system mounted nodev says EACCES to both.
    (
        "character device",
        |path| device(path, SFlag::S_IFCHR, 1, 3),
        |e| matches!(e, Error::NotAFile { what: "character device", .. } | Error::Permission { .. }),
    ),
    (
        "block device",
        |path| device(path, SFlag::S_IFBLK, 240, 0),
        |e| matches!(e, Error::NotAFile { what: "block device", .. } | Error::Permission { .. }),
    ),
];

fn device(path: &Path, kind: SFlag, major: u64, minor: u64) {
    if let Err(errno) = mknod(path, kind, Mode::S_IRWXU, makedev(major, minor)) {
        println!("skipped: {errno} for mknod(2); run as root");
        std::os::unix::fs::symlink("/dev/null", path).unwrap();
    }
}

#[test]
fn whatever_is_planted_in_a_rings_place_is_named_and_hangs_nobody() {
    let _alone = alone();
    for (what, plant, is_named) in PLANTS {
        let dir = scratch();
        let path = dir.0.join("planted");
        plant(&path);
        type Verb = (&'static str, fn(&Path) -> Result<(), Error>);
        let verbs: [Verb; 7] = [
            ("open", |path| Ring::open_file(path).map(drop)),
            ("create", |path| Ring::create_file(path, &small()).map(drop)),
            ("open or create", |path| Ring::open_or_create_file(path, &small()).map(drop)),
            ("stat", |path| slipring::stat_file(path).map(drop)),
            ("inspect", |path| slipring::inspect_file(path).map(drop)),
            ("unlink", |path| slipring::unlink_file(path)),
            ("unlink forced", |path| slipring::unlink_file_forced(path)),
        ];
        for (verb, run) in verbs {
            let at = path.clone();
            let start = Instant::now();
            let error = error_of(within(LIMIT, move || run(&at)), &path);
            let took = start.elapsed();
            let skipped = what.ends_with("device") && path.is_symlink();
            assert!(skipped || is_named(&error), "{verb} of a {what}: {error:?}");
            // The goal is 100 ms; a loaded machine gets more.
            assert!(took < Duration::from_secs(5), "{verb} of a {what}: {took:?}");
            assert!(path.symlink_metadata().is_ok(), "{verb} removed a {what}");
        }
    }
}

/// What may be wrong with a file in a ring's place, and the error that names it.
const DAMAGES: [Plant; 24] = [
    ("empty file", |path| cut(path, 0), |e| matches!(e, Error::TooSmall { len: 0, .. })),
    ("beginning of a header", |path| cut(path, 100), |e| matches!(e, Error::TooSmall { len: 100, .. })),
    ("cut ring", |path| cut(path, 5000), |e| matches!(e, Error::Truncated { len: 5000, .. })),
    ("ring and more", |path| cut(path, 9000), |e| has_field(e, "file length")),
    (
        "file of somebody else",
        |path| overwrite(path, 0, b"precious"),
        |e| matches!(e, Error::NotARing { .. }),
    ),
    (
        "ring of a later version",
        |path| overwrite(path, 8, &77_u32.to_ne_bytes()),
        |e| matches!(e, Error::Version { found: 77, .. }),
    ),
    ("flipped bit", |path| overwrite(path, 40, &[1]), |e| matches!(e, Error::Checksum { .. })),
    ("unknown kind", |path| forge(path, 12, &77_u32.to_ne_bytes()), |e| matches!(e, Error::WrongKind { .. })),
    (
        "unknown feature",
        |path| forge(path, 56, &64_u32.to_ne_bytes()),
        |e| matches!(e, Error::Features { .. }),
    ),
    (
        "ring that may be longer",
        |path| forge(path, 16, &8193_u64.to_ne_bytes()),
        |e| matches!(e, Error::Truncated { .. }),
    ),
    ("ring elsewhere", |path| forge(path, 24, &4096_u64.to_ne_bytes()), |e| has_field(e, "ring_offset")),
    ("ring before the file", |path| forge(path, 24, &[0; 8]), |e| has_field(e, "ring_offset")),
    ("data elsewhere", |path| forge(path, 32, &64_u64.to_ne_bytes()), |e| has_field(e, "data_offset")),
    ("data behind the file", |path| forge(path, 32, &[0xff; 8]), |e| has_field(e, "data_offset")),
    ("no capacity", |path| forge(path, 40, &[0; 8]), |e| has_field(e, "capacity")),
    ("no power of two", |path| forge(path, 40, &4097_u64.to_ne_bytes()), |e| has_field(e, "capacity")),
    (
        "another ring's capacity",
        |path| forge(path, 40, &8192_u64.to_ne_bytes()),
        |e| has_field(e, "segment_len"),
    ),
    ("no boundary", |path| forge(path, 48, &[0; 4]), |e| has_field(e, "align")),
    ("odd boundary", |path| forge(path, 48, &63_u32.to_ne_bytes()), |e| has_field(e, "align")),
    ("unknown wake-up", |path| forge(path, 52, &3_u32.to_ne_bytes()), |e| has_field(e, "wakeup")),
    (
        "file that its group may write",
        |path| mode(path, 0o620),
        |e| matches!(e, Error::WrongMode { mode: 0o620, .. }),
    ),
    (
        "file that all may write",
        |path| mode(path, 0o602),
        |e| matches!(e, Error::WrongMode { mode: 0o602, .. }),
    ),
    (
        "file of another user",
        |path| {
            if std::os::unix::fs::chown(path, Some(65534), Some(65534)).is_err() {
                println!("skipped: only root can give a file to another user; run as root");
                cut(path, 1);
            }
        },
        |e| {
            matches!(
                e,
                Error::WrongOwner { uid: 65534, .. }
                    | Error::NotARing { .. }
                    | Error::TooSmall { len: 1, .. }
            )
        },
    ),
    (
        "ring whose head is in the middle of a record",
        |path| overwrite(path, 1024, &3_u64.to_ne_bytes()),
        |e| matches!(e, Error::Corrupt { fault, .. } if fault.field == "head"),
    ),
];

fn cut(path: &Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn has_field(error: &Error, wanted: &str) -> bool {
    matches!(error, Error::Geometry { field, .. } if *field == wanted)
}

/// The shortest of some tries, since others use the machine as well.
fn shortest<T: Send + 'static>(run: impl Fn() -> T + Clone + Send + 'static) -> (T, Duration) {
    let tries = (0..5).map(|_| {
        let start = Instant::now();
        (within(LIMIT, run.clone()), start.elapsed())
    });
    tries.min_by_key(|(_, took)| *took).unwrap()
}

#[test]
fn more_than_twenty_kinds_of_planted_names_each_give_their_own_error_within_100_ms() {
    let _alone = alone();
    let mut texts = std::collections::BTreeMap::new();
    for (what, plant, is_named) in PLANTS.into_iter().chain(DAMAGES) {
        let dir = scratch();
        let path = match PLANTS.iter().any(|(planted, ..)| *planted == what) {
            true => dir.0.join("ring"),
            false => sound(&dir),
        };
        plant(&path);
        for attach in [false, true] {
            let at = path.clone();
            let (result, took) = shortest(move || {
                let ring =
                    if attach { Ring::open_or_create_file(&at, &small()) } else { Ring::open_file(&at) };
                ring.and_then(|ring| ring.into_producer().map(drop))
            });
            let error = error_of(result, &path);
            let skipped = what.ends_with("device") && path.is_symlink();
            assert!(skipped || is_named(&error), "{what}: {error:?}");
            assert!(took < Duration::from_millis(100), "{what}: {took:?}");
            texts.insert(error.to_string().replace(&*path.to_string_lossy(), "RING"), what);
        }
    }
    println!("{} errors: {texts:#?}", texts.len());
    assert!(texts.len() >= 20, "{}", texts.len());
}

#[test]
fn a_listing_passes_over_what_is_no_segment() {
    let _alone = alone();
    let names: Vec<_> = PLANTS.iter().map(|_| unique()).collect();
    for ((_, plant, _), name) in PLANTS.iter().zip(&names) {
        plant(&name.path());
        // Beside the plant; removed with it.
        let _ = std::fs::remove_file(name.path().with_extension("fifo"));
        let _ = std::fs::remove_file(name.path().with_extension("sound"));
    }
    let foreign = unique();
    std::fs::write(foreign.path(), "somebody's").unwrap();
    let listed = within(LIMIT, || slipring::list().unwrap());
    let mine = |listed: &&slipring::Listed| {
        listed.name == foreign.0 || names.iter().any(|name| name.0 == listed.name)
    };
    assert_eq!(listed.iter().filter(mine).count(), 0);
}

#[test]
fn a_fifo_that_takes_a_files_place_at_any_moment_hangs_no_listing() {
    let _alone = alone();
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    let (name, other) = (unique(), unique());
    std::fs::write(name.path(), "a file as any").unwrap();
    nix::unistd::mkfifo(&other.path(), Mode::S_IRWXU).unwrap();
    let (from, to) = (name.path(), other.path());
    let _swapper = meanwhile(move || {
        renameat2(AT_FDCWD, &from, AT_FDCWD, &to, RenameFlags::RENAME_EXCHANGE).unwrap();
    });
    let forced = name.0.clone();
    within(LIMIT, move || {
        for _ in 0..3000 {
            slipring::list().unwrap();
            assert!(slipring::unlink_forced(&forced).is_err());
        }
    });
}

// --- no room ---

#[test]
fn a_full_file_system_is_an_error_at_creation() {
    let _alone = alone();
    let name = unique();
    let mut child = fork(|link| {
        use nix::mount::{MsFlags, mount};
        use nix::sched::{CloneFlags, unshare};
        let none = None::<&str>;
        let mounted = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
            .and_then(|()| {
                mount(Some("slipring-test"), "/dev/shm", Some("tmpfs"), MsFlags::empty(), Some("size=1m"))
            });
        link.say(u64::from(mounted.is_err()));
        if mounted.is_err() {
            return;
        }
        let error = error_of(Ring::create(&name.0, &Options::new().capacity(4 << 20)), Path::new(&name.0));
        let text = error.to_string();
        assert_matches!(error, Error::NoSpace { wanted: 4_198_400, free: Some(1_048_576), .. });
        assert!(text.contains("4198400 bytes (1048576 are free)"), "{text}");
        assert!(!name.path().exists());
        // Whatever was allocated is given back: the rest of the file system can be used, to the last page.
        let rings: Vec<_> = (0..)
            .map(|i| Ring::create(&format!("{}-{i}", name.0), &small()))
            .take_while(|ring| !matches!(ring, Err(Error::NoSpace { .. })))
            .map(|ring| {
                let ring = ring.unwrap();
                let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
                // Every page is there already: no SIGBUS.
                for _ in 0..64 {
                    tx.try_send(&[1; 1000]).unwrap();
                    rx.try_recv(&mut [0; 1000]).unwrap();
                }
                ring
            })
            .collect();
        assert!(rings.len() > 100, "{}", rings.len());
    });
    if child.hear() == 1 {
        println!("skipped: no mount namespace of its own; run as root");
    }
    child.join();
}

/// So many bytes, or fewer where shared memory is small, as in a container: a power of two, at most half of what is there.
fn large(bytes: usize) -> usize {
    let room = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    let half = room.blocks_available() * room.fragment_size() / 2;
    bytes.min(1 << half.max(4096).ilog2())
}

#[test]
fn every_page_of_a_large_ring_is_allocated_at_creation() {
    let _alone = alone();
    use std::os::unix::fs::MetadataExt;
    let name = unique();
    let capacity = large(128 << 20);
    let _ring = Ring::create(&name.0, &Options::new().capacity(capacity)).unwrap();
    let file = std::fs::metadata(name.path()).unwrap();
    assert_eq!(file.len(), capacity as u64 + 4096);
    assert!(file.blocks() * 512 >= file.len(), "{} blocks", file.blocks());
}

#[test]
fn a_file_size_limit_is_an_error_at_creation() {
    let _alone = alone();
    let name = unique();
    fork(|_| {
        use nix::sys::resource::{Resource, setrlimit};
        use nix::sys::signal::{SigSet, Signal};
        SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
        let error = error_of(Ring::create(&name.0, &Options::new().capacity(4 << 20)), Path::new(&name.0));
        assert_matches!(error, Error::NoSpace { wanted: 4_198_400, .. });
        assert!(!name.path().exists());
        assert!(Ring::create(&name.0, &small()).is_ok());
    })
    .join();
}

#[test]
fn a_large_ring_is_made_in_a_process_that_is_signalled_all_the_time() {
    let _alone = alone();
    let name = unique();
    let mut child = fork(|link| {
        common::interruptible();
        link.say(1);
        assert!(Ring::create(&name.0, &Options::new().capacity(large(256 << 20))).is_ok());
        assert!(Ring::anonymous(&Options::new().capacity(256 << 20)).is_ok());
        link.say(2);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    let interrupter = child.interrupter();
    let _signals = meanwhile(move || {
        interrupter();
        std::thread::sleep(Duration::from_micros(500));
    });
    child.hear();
}

// --- anonymous and passed on ---

fn memfd(seals: nix::fcntl::SealFlag, content: &[u8]) -> OwnedFd {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let fd = memfd_create(c"slipring-test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    nix::unistd::write(&fd, content).unwrap();
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_ADD_SEALS(seals)).unwrap();
    fd
}

#[test]
fn an_unsealed_memfd_is_refused() {
    let _alone = alone();
    use nix::fcntl::SealFlag;
    let dir = scratch();
    let ring = std::fs::read(sound(&dir)).unwrap();
    for trust in [Trust::Kernel, Trust::Distrust] {
        for seals in [SealFlag::empty(), SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW] {
            assert_matches!(Ring::from_fd(memfd(seals, &ring), trust).map(drop), Err(Error::Unsealed { .. }));
        }
        let both = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        assert!(Ring::from_fd(memfd(both, &ring), trust).is_ok());
        assert_matches!(Ring::from_fd(memfd(both, &[0; 8192]), trust).map(drop), Err(Error::NotARing { .. }));
        assert_matches!(Ring::from_fd(memfd(both, b""), trust).map(drop), Err(Error::TooSmall { .. }));
        let cut = Ring::from_fd(memfd(both, &ring[..4096]), trust).map(drop);
        assert_matches!(cut, Err(Error::Truncated { len: 4096, wanted: 8192, .. }));
    }
}

#[test]
fn a_descriptor_of_something_else_is_refused() {
    let _alone = alone();
    let dir = scratch();
    let path = sound(&dir);
    let open = |path: &Path| OwnedFd::from(File::options().read(true).write(true).open(path).unwrap());
    for trust in [Trust::Kernel, Trust::Distrust] {
        assert_matches!(Ring::from_fd(open(&path), trust).map(drop), Err(Error::Unsealed { .. }));
        let null = Ring::from_fd(open(Path::new("/dev/null")), trust).map(drop);
        assert_matches!(null, Err(Error::NotAFile { what: "character device", .. }));
        let pipe = nix::unistd::pipe().unwrap();
        assert_matches!(Ring::from_fd(pipe.0, trust).map(drop), Err(Error::NotAFile { what: "FIFO", .. }));
    }
}

#[test]
fn a_sealed_memfd_cannot_be_resized_by_anybody() {
    let _alone = alone();
    let ring = Ring::anonymous(&small()).unwrap();
    let file = File::from(ring.fd().unwrap().try_clone_to_owned().unwrap());
    for len in [0, 4096, 8191, 8193, 1 << 20] {
        assert!(file.set_len(len).is_err());
    }
}

#[test]
fn a_memfd_of_another_user_needs_distrust() {
    let _alone = alone();
    if !geteuid().is_root() {
        println!("skipped: only root can give a file to another user; run as root");
        return;
    }
    let made = Ring::anonymous(&small()).unwrap();
    let fd = || made.fd().unwrap().try_clone_to_owned().unwrap();
    nix::unistd::fchown(fd(), Some(Uid::from_raw(65_534)), None).unwrap();
    let refused = Ring::from_fd(fd(), Trust::Kernel).map(drop);
    assert_matches!(refused, Err(Error::WrongOwner { uid: 65_534, own: 0, .. }));
    let mut tx = Ring::from_fd(fd(), Trust::Distrust).unwrap().into_producer().unwrap();
    tx.try_send(b"copied in").unwrap();
    assert_eq!(made.consumer().unwrap().try_recv(&mut [0; 16]), Ok(9));
}

#[test]
fn a_memfd_received_over_a_socket_is_the_same_ring() {
    let _alone = alone();
    use nix::sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg,
        sendmsg, socketpair,
    };
    let (here, there) =
        socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
    // Forked before there is a ring: nothing of it is inherited.
    let child = fork(|_| {
        let mut byte = [0];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
        let mut iov = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(there.as_raw_fd(), &mut iov, Some(&mut space), flags).unwrap();
        let received = message.cmsgs().unwrap().find_map(|cmsg| match cmsg {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let ring = Ring::from_fd(common::owned(received.unwrap()), Trust::Kernel).unwrap();
        assert!(matches!(ring.consumer(), Err(Error::Busy { .. })), "the parent has that role");
        ring.producer().unwrap().send(b"by descriptor").unwrap();
    });
    let ring = Ring::anonymous(&small()).unwrap();
    let mut rx = ring.consumer().unwrap();
    let fds = [ring.fd().unwrap().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<UnixAddr>(here.as_raw_fd(), &[IoSlice::new(&[1])], &rights, MsgFlags::empty(), None).unwrap();
    let mut buffer = [0; 64];
    let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
    assert_eq!(&buffer[..len], b"by descriptor");
    child.join();
}

#[test]
fn an_anonymous_ring_is_inherited_by_a_forked_child() {
    let _alone = alone();
    let ring = Ring::anonymous(&small()).unwrap();
    let mut rx = ring.consumer().unwrap();
    let mut child = fork(|link| {
        let mut tx = ring.producer().unwrap();
        assert_matches!(ring.consumer().map(drop), Err(Error::Busy { role: "consumer", .. }));
        tx.send(b"from the child").unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    let pid = child.pid();
    assert_eq!(rx.peer(), Peer::Attached { pid });
    child.kill();
    assert_eq!(rx.try_recv(&mut [0; 64]), Ok(14));
    assert_eq!(rx.peer(), Peer::Died { pid });
    // By descriptor as well.
    let fd = ring.fd().unwrap().try_clone_to_owned().unwrap();
    fork(move |_| Ring::from_fd(fd, Trust::Kernel).unwrap().into_producer().unwrap().send(b"again").unwrap())
        .join();
    assert_eq!(rx.try_recv(&mut [0; 64]), Ok(5));
    assert_eq!(rx.peer(), Peer::Closed);
}

// --- files, and several mappings ---

#[test]
fn a_ring_in_a_file_stays_with_its_messages() {
    let _alone = alone();
    // On a real file system as well as in memory.
    for dir in [scratch(), Scratch(Path::new(env!("CARGO_TARGET_TMPDIR")).join(&unique().0[1..]))] {
        std::fs::create_dir_all(&dir.0).unwrap();
        let path = dir.0.join("ring");
        match Ring::create_file(&path, &small()) {
            Err(Error::Unsupported { .. }) => println!("skipped: no O_TMPFILE in {}", dir.0.display()),
            ring => {
                drop(ring.unwrap());
                assert!(path.exists(), "a file stays");
                fork(|_| {
                    let ring = Ring::open_file(&path).unwrap();
                    ring.into_producer().unwrap().send(b"kept").unwrap();
                })
                .join();
                let ring = Ring::open_file(&path).unwrap();
                assert!(ring.info().persistent && ring.info().used_bytes > 0);
                assert_eq!(ring.consumer().unwrap().try_recv(&mut [0; 8]), Ok(4));
                drop(ring);
                slipring::unlink_file(&path).unwrap();
                assert!(!path.exists());
            }
        }
    }
}

#[test]
fn a_relative_path_is_taken_from_the_working_directory() {
    let _alone = alone();
    let dir = scratch();
    fork(|_| {
        std::env::set_current_dir(&dir.0).unwrap();
        drop(Ring::create_file("ring", &small()).unwrap());
        assert!(Ring::open_file("./ring").is_ok());
    })
    .join();
    assert!(Ring::open_file(dir.0.join("ring")).is_ok());
}

#[test]
fn two_mappings_of_one_ring_in_a_process_are_one_ring() {
    let _alone = alone();
    let name = unique();
    let (here, there) = (Ring::create(&name.0, &small()).unwrap(), Ring::open(&name.0).unwrap());
    let (mut tx, mut rx) = (here.into_producer().unwrap(), there.into_consumer().unwrap());
    for i in 0..1000_usize {
        let mut grant = tx.try_reserve(8).unwrap();
        let written_at = grant.as_ptr();
        grant.copy_from_slice(&i.to_ne_bytes());
        grant.commit_all();
        let frame = rx.try_frame().unwrap();
        assert_ne!(frame.as_ptr(), written_at, "mapped at two addresses");
        assert_eq!(*frame, i.to_ne_bytes());
    }
}

// --- one ring a name, as long as it should be there ---

#[test]
fn of_eight_processes_that_open_or_create_one_creates() {
    let _alone = alone();
    for _ in 0..25 {
        let name = unique();
        let board = Board::new(2);
        let mut children: Vec<_> = (0..8)
            .map(|_| {
                fork(|link| {
                    board.add(0, 1);
                    until("all are there", || board.get(0) >= 8);
                    let ring = Ring::open_or_create(&name.0, &small()).unwrap();
                    let info = ring.info();
                    let inode = std::fs::metadata(name.path()).unwrap().ino();
                    link.say(u64::from(info.creator_pid));
                    link.say(inode);
                    board.add(1, 1);
                    until("all have it", || board.get(1) >= 8);
                })
            })
            .collect();
        let seen: Vec<_> = children.iter_mut().map(|child| (child.hear() as u32, child.hear())).collect();
        assert!(seen.iter().all(|ring| *ring == seen[0]), "{seen:?}");
        assert!(children.iter().any(|child| child.pid() == seen[0].0));
        children.into_iter().for_each(common::Child::join);
        assert!(!name.path().exists());
    }
}

#[test]
fn a_name_vanishes_with_its_last_user_also_when_two_leave_at_once() {
    let _alone = alone();
    const ROUNDS: u64 = 300;
    let names: Vec<_> = (0..ROUNDS).map(|_| unique()).collect();
    let board = Board::new(2);
    let leave = || {
        fork(|_| {
            for (round, name) in (1..).zip(&names) {
                let ring = Ring::open_or_create(&name.0, &small()).unwrap();
                board.add(0, 1);
                // Spinning: they shall leave in the same microsecond.
                while board.get(0) < 2 * round {
                    std::hint::spin_loop();
                }
                drop(ring);
                board.add(1, 1);
                until("both have left", || board.get(1) >= 2 * round);
            }
        })
    };
    let children = [leave(), leave()];
    children.into_iter().for_each(common::Child::join);
    let left: Vec<_> = names.iter().filter(|name| name.path().exists()).map(|name| &name.0).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn whoever_has_a_ring_open_finds_it_under_its_name() {
    let _alone = alone();
    let name = unique();
    // All of them come and go: the ring is made and taken away all the time.
    let come_and_go = || {
        fork(|_| {
            for _ in 0..300 {
                let ring = Ring::open_or_create(&name.0, &small()).unwrap();
                let again = Ring::open(&name.0).unwrap();
                assert_eq!(ring.info().created, again.info().created);
                assert_eq!(ring.info().creator_pid, again.info().creator_pid);
            }
        })
    };
    let children = [come_and_go(), come_and_go(), come_and_go()];
    children.into_iter().for_each(common::Child::join);
    assert!(!name.path().exists());
}

#[test]
fn an_end_alone_keeps_the_name() {
    let _alone = alone();
    let name = unique();
    let tx = Ring::create(&name.0, &small()).unwrap().into_producer().unwrap();
    let rx = Ring::open(&name.0).unwrap().into_consumer().unwrap();
    drop(tx);
    assert!(name.path().exists());
    drop(rx);
    assert!(!name.path().exists());
}

#[test]
fn a_persistent_name_stays() {
    let _alone = alone();
    let name = unique();
    drop(Ring::create(&name.0, &small().persistent(true)).unwrap());
    Ring::open(&name.0).unwrap().into_producer().unwrap().send(b"kept").unwrap();
    assert_eq!(Ring::open(&name.0).unwrap().into_consumer().unwrap().try_recv(&mut [0; 8]), Ok(4));
    assert!(name.path().exists());
    slipring::unlink(&name.0).unwrap();
    assert!(!name.path().exists());
}

#[test]
fn a_name_left_by_a_killed_last_user_is_stale_and_goes_with_the_next() {
    let _alone = alone();
    let name = unique();
    let mut child = fork(|link| {
        let _ring = Ring::create(&name.0, &small()).unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    assert!(!slipring::stat(&name.0).unwrap().is_stale());
    child.kill();
    let left = slipring::stat(&name.0).unwrap();
    assert!(left.is_stale() && !left.in_use);
    drop(Ring::open(&name.0).unwrap());
    assert!(!name.path().exists());
}

// --- removing ---

#[test]
fn unlink_refuses_a_ring_in_use_and_names_its_users() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &small()).unwrap();
    assert_matches!(slipring::unlink(&name.0), Err(Error::InUse { pids, .. }) if pids.is_empty());
    let _rx = ring.consumer().unwrap();
    let mut child = fork(|link| {
        let _tx = Ring::open(&name.0).unwrap().into_producer().unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    let error = slipring::unlink(&name.0).unwrap_err();
    let text = error.to_string();
    let mut users = vec![child.pid(), std::process::id()];
    users.sort_unstable();
    assert!(text.contains(&format!("by pid {}, {}", users[0], users[1])), "{text}");
    assert_matches!(error, Error::InUse { pids, .. } if pids == users);
    assert!(name.path().exists());
}

#[test]
fn unlink_removes_what_a_killed_user_left() {
    let _alone = alone();
    let name = unique();
    let mut child = fork(|link| {
        let _tx = Ring::create(&name.0, &small()).unwrap().into_producer().unwrap();
        link.say(1);
        std::thread::sleep(LIMIT);
    });
    child.hear();
    assert_matches!(slipring::unlink(&name.0), Err(Error::InUse { .. }));
    child.kill();
    slipring::unlink(&name.0).unwrap();
    assert!(!name.path().exists());
}

#[test]
fn a_forced_unlink_leaves_the_memory_to_its_users() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &small()).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    slipring::unlink_forced(&name.0).unwrap();
    assert_matches!(Ring::open(&name.0).map(drop), Err(Error::NotFound { .. }));
    tx.send(b"still").unwrap();
    assert_eq!(rx.try_recv(&mut [0; 8]), Ok(5));
    // A new ring of that name is not theirs to remove.
    let new = Ring::create(&name.0, &small()).unwrap();
    drop((tx, rx, ring));
    assert!(name.path().exists());
    drop(new);
    assert!(!name.path().exists());
}

#[test]
fn a_forced_unlink_removes_a_damaged_segment() {
    let _alone = alone();
    let damages: [fn(&Path); 3] = [
        |path| overwrite(path, 8, &9_u32.to_ne_bytes()),
        |path| overwrite(path, 40, &[0xff]),
        |path| File::options().write(true).open(path).unwrap().set_len(100).unwrap(),
    ];
    for damage in damages {
        let name = unique();
        drop(Ring::create(&name.0, &small().persistent(true)).unwrap());
        damage(&name.path());
        assert!(slipring::unlink(&name.0).is_err());
        slipring::unlink_forced(&name.0).unwrap();
        assert!(!name.path().exists());
    }
}

#[test]
fn a_listing_shows_the_sound_and_the_damaged() {
    let _alone = alone();
    let (used, left, damaged) = (unique(), unique(), unique());
    let _ring = Ring::create(&used.0, &small()).unwrap();
    for name in [&left, &damaged] {
        drop(Ring::create(&name.0, &small().persistent(true)).unwrap());
    }
    overwrite(&damaged.path(), 40, &[0xff]);
    let listed = slipring::list().unwrap();
    assert!(listed.is_sorted_by(|a, b| a.name < b.name));
    let find = |name: &Unique| listed.iter().find(|listed| listed.name == name.0).unwrap();
    assert!(find(&used).in_use && find(&used).info.is_ok() && !find(&used).is_stale());
    assert!(!find(&left).in_use && find(&left).info.as_ref().unwrap().persistent);
    assert_matches!(&find(&damaged).info, Err(Error::Checksum { .. }));
}

#[test]
fn looking_at_a_ring_keeps_no_name_alive() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &small()).unwrap();
    let before = slipring::stat(&name.0).unwrap();
    assert!(before.in_use);
    drop(ring);
    assert!(!name.path().exists());
    drop(before);
}

#[test]
fn a_listing_names_who_is_attached() {
    let _alone = alone();
    let name = unique();
    let ring = Ring::create(&name.0, &small()).unwrap();
    let mut tx = ring.producer().unwrap();
    tx.send(&[0; 100]).unwrap();
    let info = slipring::stat(&name.0).unwrap().info.unwrap();
    assert_eq!(info.pids(), [std::process::id()]);
    assert_eq!(info.used_bytes, 128, "a header of 8 and 100 bytes, on 64-byte boundaries");
    assert!(info.producer.since.unwrap().elapsed().unwrap() < LIMIT);
    assert_eq!((info.consumer.peer, info.consumer.since), (Peer::Absent, None));
}

#[test]
fn a_creator_killed_anywhere_leaves_no_name_or_a_whole_one() {
    let _alone = alone();
    let dir = scratch();
    let path = dir.0.join("ring");
    let options = Options::new().capacity(1 << 20).wakeup(Wakeup::Semaphore);
    let (mut absent, mut whole) = (0, 0);
    let mut dice = Dice::new(6);
    let go = Board::new(1);
    // When to kill: sooner the more rings were made whole, and later the fewer, until both were met often enough. One in ten
    // at its end and one before its beginning, however slow the machine is.
    let (mut within, start) = (Duration::from_millis(1), Instant::now());
    for round in 1.. {
        if round > 200 && absent >= 20 && whole >= 20 {
            break;
        }
        assert!(start.elapsed() < LIMIT, "{absent} absent, {whole} whole: killed at too few points");
        let (begins, ends) = (round % 10 == 5, round % 10 == 0);
        let child = fork(|_| {
            go.set(0, round);
            if !begins {
                let _ring = Ring::create_file(&path, &options).unwrap();
                std::thread::sleep(LIMIT);
            }
            std::thread::sleep(LIMIT);
        });
        until("it begins", || go.get(0) == round);
        if ends {
            until("it is made", || path.exists());
        }
        let end = Instant::now() + within.mul_f64(dice.below(1000) as f64 / 1000.0);
        while Instant::now() < end {}
        child.kill();
        let entries: Vec<_> = std::fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        if begins || ends {
            assert_eq!(entries.is_empty(), begins, "killed before its beginning, or at its end");
        }
        if entries.is_empty() {
            absent += u32::from(!begins);
            within = within.mul_f64(1.25).min(Duration::from_secs(1));
            continue;
        }
        within = within.mul_f64(0.8).max(Duration::from_micros(1));
        assert_eq!(entries, std::slice::from_ref(&path));
        let ring = Ring::open_file(&path).unwrap();
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        tx.send(b"whole").unwrap();
        assert_eq!(rx.recv(&mut [0; 8]), Ok(5));
        drop((tx, rx, ring));
        slipring::unlink_file(&path).unwrap();
        whole += u32::from(!ends);
    }
    println!("{absent} creators left no name, {whole} a whole one; the last was killed within {within:?}");
}
