use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Happening, Listener, Method, Notice, Request, Watch};
use crate::index::{Directories, Vault};
use crate::store::{Options, Store};

/// A watch of an empty vault with one user, and what it tells.
fn watched(method: Method) -> (tempfile::TempDir, Watch, Receiver<(Happening, String)>) {
    let (sender, receiver) = channel();
    let tell = move |notice| {
        if let Notice::Event(event) = notice {
            let name = event.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Nobody listens any more: the test has ended.
            let _ = sender.send((event.happening, name));
        }
        vec!["0".to_owned()]
    };
    let (folder, watch) = watched_by(method, Box::new(tell));
    (folder, watch, receiver)
}

fn watched_by(method: Method, tell: Box<dyn Fn(Notice) -> Vec<String> + Send + Sync>) -> (tempfile::TempDir, Watch) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("users/ann/capsules")).expect("a folder");
    let watch = watch_of(folder.path(), method, tell);
    (folder, watch)
}

fn watch_of(root: &Path, method: Method, tell: Box<dyn Fn(Notice) -> Vec<String> + Send + Sync>) -> Watch {
    let store = Store::open(root, Options::default()).expect("a vault");
    let [users, capsules, transcripts] = ["users", "capsules", "transcripts"].map(str::to_owned);
    let vault = Arc::new(Vault::new(store, Directories { users, capsules, transcripts }, None));
    let listener = Listener { tell, wake: Box::new(|| {}) };
    let request = Request { method, since: None, cache: None, progress: Arc::default() };
    Watch::begin(vault, &request, listener).expect("a watch")
}

/// As on a network drive.
#[cfg(target_os = "linux")]
#[test]
fn what_others_may_write_unnoticed_is_polled_and_that_is_told_once() {
    for (method, expected) in [(Method::Notified, 1), (Method::Polling(Duration::from_millis(20)), 0)] {
        let (sender, told) = channel();
        let tell = move |notice| {
            if let Notice::Trouble(error) = notice {
                let _ = sender.send(error);
            }
            vec!["0".to_owned()]
        };
        // Of a file system whose writers are elsewhere: in the kernel.
        let watch = watch_of(Path::new("/proc/self/attr"), method, Box::new(tell));
        watch.stop();
        let codes: Vec<_> = told.try_iter().map(|error| error.code()).collect();
        assert_eq!(codes, vec!["VVAULT_WATCH"; expected], "{method:?}");
    }
}

/// Else a listener would wait for ever for what nobody tells.
#[test]
fn a_watch_that_a_panic_ends_tells_so_and_readers_rely_on_it_no_more() {
    let (sender, told) = channel();
    let tell = move |notice| match notice {
        Notice::Event(_) => panic!("as a defect would (part of a test)"),
        Notice::Trouble(error) => {
            sender.send(error).expect("the test waits");
            vec!["0".to_owned()]
        }
    };
    let (folder, watch) = watched_by(Method::Notified, Box::new(tell));
    fs::write(folder.path().join("users/ann/capsules/a.json"), "{}").expect("a file");
    let error = told.recv_timeout(Duration::from_secs(10)).expect("an error");
    assert_eq!((error.code(), error.path()), ("VVAULT_WATCH", Some(folder.path())));
    assert!(!watch.is_settled());
    assert!(watch.settle());
    watch.stop();
}

/// Else who asks would wait for who listens.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_does_not_wait_until_somebody_takes_what_is_told() {
    let (folder, watch, told) = watched(Method::Notified);
    // Nobody takes what is in the queue.
    for number in 0..super::QUEUE + 2 * super::BATCH {
        fs::write(folder.path().join(format!("users/ann/capsules/{number}.json")), "{}").expect("a file");
    }
    for _ in 0..super::QUEUE {
        told.recv_timeout(Duration::from_secs(10)).expect("an event");
    }
    let (sender, settled) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(watch.settle()).expect("the test waits"));
        let is_settled = settled.recv_timeout(Duration::from_secs(10));
        while watch.take().is_some() {}
        assert_eq!(is_settled, Ok(false), "it must ask the disk");
    });
    for _ in 0..2 * super::BATCH {
        while told.recv_timeout(Duration::from_millis(50)).is_err() {
            while watch.take().is_some() {}
        }
    }
    assert!(watch.settle());
    watch.stop();
}

#[test]
fn what_is_told_is_taken_in_its_order_in_texts_of_some_kilobytes() {
    let lengths = |number: usize| [3, 900, 5 * super::TEXT_SIZE / 2, 7000][number % 4];
    let (sender, told) = channel();
    let count = AtomicUsize::new(0);
    let tell = move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let _ = sender.send(number);
        vec![number.to_string(), format!("\"{}\"", "x".repeat(lengths(number)))]
    };
    let (folder, watch) = watched_by(Method::Notified, Box::new(tell));
    for number in 0..300 {
        fs::write(folder.path().join(format!("users/ann/capsules/{number}.json")), "{}").expect("a file");
    }
    while told.recv_timeout(Duration::from_secs(10)).expect("an event") < 299 {}
    while watch.count() < 300 {
        std::thread::yield_now();
    }
    let texts: Vec<String> = std::iter::from_fn(|| watch.take()).collect();
    let values: Vec<Value> =
        texts.iter().flat_map(|text| serde_json::from_str::<Vec<Value>>(text).expect("an array")).collect();
    let expected: Vec<Value> =
        (0..300).flat_map(|number| [json!(number), json!("x".repeat(lengths(number)))]).collect();
    assert_eq!(values, expected);
    let is_small = |text: &String| text.len() <= super::TEXT_SIZE + 2 || text.matches('"').count() == 2;
    assert!(
        texts.iter().all(is_small) && texts.len() <= 151,
        "{:?}",
        texts.iter().map(String::len).collect::<Vec<_>>()
    );
    watch.stop();
}

/// Hints that come all the time, as of a folder that stays closed, must not keep a poll from its turn.
#[test]
fn a_poll_comes_in_time_whatever_else_comes() {
    let (folder, watch, told) = watched(Method::Polling(Duration::from_millis(100)));
    fs::write(folder.path().join("users/ann/capsules/a.json"), "{}").expect("a file");
    let other = std::path::PathBuf::from("users/ann/capsules/never.json");
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let event = loop {
        watch.shared.hint_if_concerned(&other, super::Urgency::Now);
        match told.recv_timeout(Duration::from_millis(20)) {
            Ok(event) => break Some(event),
            Err(_) if std::time::Instant::now() > until => break None,
            Err(_) => {}
        }
    };
    assert_eq!(event, Some((Happening::Imported, "a.json".to_owned())));
    watch.stop();
}

/// The library's notifications are those of macOS and Windows; here they are at least tried.
#[test]
fn every_method_tells_what_comes_changes_and_goes() {
    for method in [Method::Notified, Method::Library, Method::Polling(Duration::from_millis(20))] {
        let (folder, watch, told) = watched(method);
        let next = || told.recv_timeout(Duration::from_secs(10)).expect("an event");
        let path = folder.path().join("users/ann/capsules/a.json");
        fs::write(&path, r#"{"raw":"a"}"#).expect("a file");
        assert_eq!(next(), (Happening::Imported, "a.json".to_owned()), "{method:?}");
        fs::write(&path, r#"{"raw":"b"}"#).expect("a file");
        assert_eq!(next(), (Happening::Updated, "a.json".to_owned()), "{method:?}");
        fs::create_dir_all(folder.path().join("users/bob/capsules")).expect("a folder");
        fs::write(folder.path().join("users/bob/capsules/c.json"), "{}").expect("a file");
        assert_eq!(next(), (Happening::Imported, "c.json".to_owned()), "{method:?}");
        fs::remove_file(&path).expect("removed");
        assert_eq!(next(), (Happening::Removed, "a.json".to_owned()), "{method:?}");
        watch.stop();
        fs::write(&path, "{}").expect("a file");
        assert!(told.try_recv().is_err(), "nothing comes after the end");
    }
}

/// A watch is of a folder, not of its name.
#[test]
fn a_root_that_is_made_again_is_watched_again() {
    for method in [Method::Notified, Method::Library, Method::Polling(Duration::from_millis(20))] {
        let (folder, watch, told) = watched(method);
        let next = || told.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("no event: {method:?}"));
        let path = folder.path().join("users/ann/capsules/a.json");
        let event = |happening| (happening, "a.json".to_owned());
        fs::write(&path, r#"{"raw":"a"}"#).expect("a file");
        assert_eq!(next(), event(Happening::Imported), "{method:?}");
        fs::remove_dir_all(folder.path()).expect("removed");
        assert_eq!(next(), event(Happening::Removed), "{method:?}");
        // At once: the library may miss a folder that is made in one which it is just looking into.
        let made = tempfile::tempdir().expect("a folder").keep();
        fs::create_dir_all(made.join("users/ann/capsules")).expect("a folder");
        fs::write(made.join("users/ann/capsules/a.json"), r#"{"raw":"b"}"#).expect("a file");
        fs::rename(&made, folder.path()).expect("renamed");
        assert_eq!(next(), event(Happening::Imported), "{method:?}");
        fs::write(&path, r#"{"raw":"c"}"#).expect("a file");
        assert_eq!(next(), event(Happening::Updated), "{method:?}");
        watch.stop();
    }
}

/// More at once than Windows keeps notifications of.
#[test]
fn nothing_of_a_storm_is_missed_by_any_method() {
    const COUNT: usize = 3000;
    for method in [Method::Notified, Method::Library, Method::Polling(Duration::from_millis(20))] {
        let (folder, watch, told) = watched(method);
        for number in 0..COUNT {
            fs::write(folder.path().join(format!("users/ann/capsules/{number}.json")), "{}").expect("a file");
        }
        let names: std::collections::BTreeSet<String> = (0..COUNT)
            .map(|_| told.recv_timeout(Duration::from_secs(20)).expect("an event"))
            .map(|(happening, name)| {
                assert_eq!(happening, Happening::Imported, "{method:?}: {name}");
                name
            })
            .collect();
        assert_eq!(names.len(), COUNT, "{method:?}: one twice");
        watch.stop();
    }
}

/// What went with its folder is news when it comes back, also if it can't be read.
#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_told_again_when_its_folder_comes_back() {
    for method in [Method::Notified, Method::Polling(Duration::from_millis(20))] {
        let (folder, watch, told) = watched(method);
        let next = || told.recv_timeout(Duration::from_secs(10)).expect("an event");
        let both = || {
            let mut both = [next(), next()];
            both.sort_by(|(_, one), (_, other)| one.cmp(other));
            both
        };
        let [own, away] = ["users/ann/instances/nova-001", "away"].map(|name| folder.path().join(name));
        fs::create_dir_all(&own).expect("a folder");
        std::os::unix::fs::symlink("loop.capsule", own.join("loop.capsule")).expect("a link");
        fs::write(own.join("sound.capsule"), "{}").expect("a file");
        let came =
            [(Happening::Rejected, "loop.capsule".to_owned()), (Happening::Imported, "sound.capsule".to_owned())];
        assert_eq!(both(), came, "{method:?}");
        fs::rename(&own, &away).expect("renamed");
        assert_eq!(next(), (Happening::Removed, "sound.capsule".to_owned()), "{method:?}");
        fs::rename(&away, &own).expect("renamed");
        assert_eq!(both(), came, "{method:?}");
        watch.stop();
    }
}
