use std::fs;

use super::{Directory, LARGEST_FILE};
use crate::vault::Boundary;

struct Folder {
    place: tempfile::TempDir,
    boundary: Boundary,
}

impl Folder {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a folder");
        let boundary = Boundary::new(place.path()).expect("a vault");
        Self { place, boundary }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut buffer = vec![7; 3];
        let directory = Directory::open(self.place.path()).expect("a folder");
        let looked = directory.file_signature(name, &self.boundary);
        match directory.read(name, &self.boundary, 1000, &mut buffer) {
            Ok((signature, length)) => {
                assert_eq!(looked, Ok(signature));
                Ok(buffer[..length].to_vec())
            }
            Err(problem) => Err(problem.to_string()),
        }
    }
}

#[test]
fn reads_whole_files_of_any_size() {
    let folder = Folder::new();
    for size in [0, 1, 2, 999, 1000] {
        fs::write(folder.place.path().join("a"), vec![b'x'; size]).expect("a file");
        assert_eq!(folder.read("a"), Ok(vec![b'x'; size]));
    }
    fs::write(folder.place.path().join("a"), vec![b'x'; 1001]).expect("a file");
    assert_eq!(folder.read("a"), Err("the file has 1001 bytes; at most 1000 are read".to_owned()));
}

#[test]
fn a_giant_is_not_read() {
    let folder = Folder::new();
    let giant = fs::File::create(folder.place.path().join("giant")).expect("a file");
    giant.set_len(LARGEST_FILE + 1).expect("a sparse file");
    assert!(folder.read("giant").expect_err("too large").contains("at most 1000"));
}

#[test]
fn lists_in_the_order_of_bytes() {
    let folder = Folder::new();
    for name in ["b", "a", "Z", "\u{ffee}", "\u{1f600}", ".x", "10", "9"] {
        fs::write(folder.place.path().join(name), "").expect("a file");
    }
    let names = Directory::open(folder.place.path()).expect("a folder").list().expect("names");
    assert_eq!(
        names.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
        [".x", "10", "9", "Z", "a", "b", "\u{ffee}", "\u{1f600}"]
    );
}

#[cfg(unix)]
mod unix {
    use super::super::Item;
    use super::{Directory, Folder};
    use std::fs;
    use std::ops::ControlFlow;
    use std::os::unix::fs::symlink;

    #[test]
    fn hands_out_each_file_that_nobody_looked_at_with_its_own_text() {
        let folder = Folder::new();
        // Some that fill what is read together, and one beyond the limit.
        let sizes = [0, 1, 40_000, 64 << 10, (64 << 10) - 1, 300_000, 5, 400_001, 64 << 10, 3];
        let mut files: Vec<Item> = (0..40).map(|number: u64| (format!("{number}").into(), Some(number))).collect();
        let text_of = |number: u64| {
            let size = sizes[usize::try_from(number).expect("small") % sizes.len()];
            vec![number.to_le_bytes()[0]; size]
        };
        for number in 0..40 {
            fs::write(folder.place.path().join(number.to_string()), text_of(number)).expect("a file");
        }
        symlink("0", folder.place.path().join("link")).expect("a link");
        files.insert(17, ("link".into(), Some(100)));
        files.insert(3, ("missing".into(), Some(101)));
        files.insert(0, ("1".into(), None));
        let directory = Directory::open(folder.place.path()).expect("a folder");
        let mut handed_out = Vec::new();
        directory.each_unseen(files.clone(), 400_000, |file, text| {
            let is_own = file.1.is_some_and(|number| text == Some(&text_of(number)));
            handed_out.push((file, text.is_some(), is_own));
            ControlFlow::Continue(())
        });
        let expected = files.iter().map(|(name, number)| {
            let is_read = number.is_some_and(|number| number < 40 && number % 10 != 7);
            ((name.clone(), *number), is_read, is_read)
        });
        assert_eq!(handed_out, expected.collect::<Vec<_>>());

        let mut count = 0;
        directory.each_unseen(files, 400_000, |_, _| {
            count += 1;
            if count == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(count, 20);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = Folder::new();
        let path = folder.place.path();
        fs::create_dir(path.join("folder")).expect("a folder");
        // macOS has no call for it that `rustix` offers.
        let made = std::process::Command::new("mkfifo").arg(path.join("pipe")).status();
        assert!(made.expect("mkfifo").success());
        let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).expect("a socket");
        symlink("pipe", path.join("to-pipe")).expect("a link");
        assert_eq!(folder.read("folder"), Err("EISDIR: illegal operation on a directory, read".to_owned()));
        assert_eq!(folder.read("pipe"), Err("not a regular file".to_owned()));
        assert_eq!(folder.read("to-pipe"), Err("not a regular file".to_owned()));
        assert!(folder.read("socket").is_err());
    }

    /// A mark is written to the disk for each file that was not read since it was written.
    #[cfg(target_os = "linux")]
    #[test]
    fn reading_a_file_leaves_no_mark() {
        use std::os::unix::fs::MetadataExt as _;
        use std::time::{Duration, SystemTime};
        let folder = Folder::new();
        let path = folder.place.path().join("a");
        fs::write(&path, "text").expect("a file");
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let times = fs::FileTimes::new().set_accessed(before);
        fs::File::options().write(true).open(&path).and_then(|file| file.set_times(times)).expect("a time");
        let directory = Directory::open(folder.place.path()).expect("a folder");
        let inode = path.symlink_metadata().expect("a file").ino();
        assert_eq!(folder.read("a"), Ok(b"text".to_vec()));
        directory.each_unseen(vec![("a".into(), Some(inode))], 1000, |_, text| {
            assert_eq!(text, Some(&b"text"[..]));
            ControlFlow::Continue(())
        });
        assert_eq!(fs::metadata(&path).and_then(|state| state.accessed()).expect("a time"), before);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_of_others_are_read_all_the_same() {
        use std::os::unix::fs::PermissionsExt as _;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = Folder::new();
        let path = folder.place.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::write(path.join("a"), "text").expect("a file");
        fs::write(path.join("secret"), "text").expect("a file");
        fs::set_permissions(path.join("secret"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let read = std::thread::scope(|threads| {
            let as_nobody = || {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).expect("root may");
                (folder.read("a"), folder.read("secret"))
            };
            threads.spawn(as_nobody).join().expect("read")
        });
        assert_eq!(read.0, Ok(b"text".to_vec()));
        assert!(read.1.is_err_and(|problem| problem.starts_with("EACCES")));
    }

    #[test]
    fn links_are_followed_inside_only() {
        let (folder, other) = (Folder::new(), tempfile::tempdir().expect("a folder"));
        let path = folder.place.path();
        fs::write(path.join("real"), "inside").expect("a file");
        fs::write(other.path().join("secret"), "outside").expect("a file");
        symlink("real", path.join("relative")).expect("a link");
        symlink(path.join("real"), path.join("absolute")).expect("a link");
        symlink(other.path().join("secret"), path.join("out")).expect("a link");
        symlink("nowhere", path.join("dangling")).expect("a link");
        symlink("loop", path.join("loop")).expect("a link");
        symlink(other.path().join("link-back"), path.join("through")).expect("a link");
        symlink(path.join("real"), other.path().join("link-back")).expect("a link");
        assert_eq!(folder.read("relative"), Ok(b"inside".to_vec()));
        assert_eq!(folder.read("absolute"), Ok(b"inside".to_vec()));
        // By way of the outside, but it ends inside.
        assert_eq!(folder.read("through"), Ok(b"inside".to_vec()));
        assert!(folder.read("out").expect_err("outside").starts_with("a link that leads out of the vault"));
        assert!(
            folder
                .read("dangling")
                .expect_err("nothing there")
                .starts_with("ENOENT: no such file or directory, open '")
        );
        assert!(folder.read("loop").expect_err("a loop").starts_with("ELOOP"));
    }
}

#[test]
fn a_change_changes_the_signature() {
    let folder = Folder::new();
    let path = folder.place.path().join("a");
    let directory = Directory::open(folder.place.path()).expect("a folder");
    let signature = || directory.file_signature("a", &folder.boundary).expect("a file");
    fs::write(&path, "one").expect("a file");
    let first = signature();
    assert_eq!(signature(), first);
    fs::write(&path, "longer").expect("a file");
    let second = signature();
    assert_ne!(second, first);
    fs::write(folder.place.path().join("b"), "longer").expect("a file");
    fs::rename(folder.place.path().join("b"), &path).expect("a replacement");
    assert_ne!(signature(), second);
}
