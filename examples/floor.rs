//! The machine's floor: how quickly a folder of files can be listed and read, or listed and statted, at all.
//!
//! `floor read DIR` lists DIR and reads every byte of every `.json` file in it; `floor stat DIR` lists DIR and stats
//! each of them. Nothing is parsed and nothing is kept: whoever reads a vault afresh has to do at least this much.
//! Two threads share the work: one lists, and hands over names as they come in, so that the other starts before the
//! list is whole. Each thread reads into one buffer that it uses again for every file. The times go to standard output
//! as JSON; `npm run bench` puts them beside the other figures.
//!
//! ```text
//! floor read|stat DIR [--rounds N] [--threads N]
//! ```

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match floor::Arguments::parse(std::env::args().skip(1)).and_then(|arguments| floor::run(&arguments)) {
        Ok(report) => {
            println!("{report}");
            std::process::ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("floor: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("floor: measures Linux system calls only");
    std::process::ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod floor {
    use std::collections::VecDeque;
    use std::ffi::CStr;
    use std::mem::MaybeUninit;
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::path::{Path, PathBuf};
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Instant;

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
    use rustix::io::Errno;

    /// What one `getdents64` call may fill: a few calls list a large folder.
    const LISTING_BUFFER: usize = 256 * 1024;
    /// Names handed over together: few enough that both threads end at about the same time.
    const NAMES_PER_BATCH: usize = 128;
    /// Larger than a usual capsule file, so that one `read` takes it whole.
    const READ_BUFFER: usize = 256 * 1024;

    #[derive(Clone, Copy)]
    enum Operation {
        Read,
        Stat,
    }

    pub struct Arguments {
        operation: Operation,
        folder: PathBuf,
        rounds: usize,
        threads: usize,
    }

    impl Arguments {
        pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
            const USAGE: &str = "floor read|stat DIR [--rounds N] [--threads N]";
            let operation = match words.next().as_deref() {
                Some("read") => Operation::Read,
                Some("stat") => Operation::Stat,
                _ => return Err(format!("usage: {USAGE}")),
            };
            let folder = words.next().map(PathBuf::from).ok_or(format!("usage: {USAGE}"))?;
            let (mut rounds, mut threads) = (5, 2);
            while let Some(word) = words.next() {
                let target = match word.as_str() {
                    "--rounds" => &mut rounds,
                    "--threads" => &mut threads,
                    _ => return Err(format!("unknown word {word}; usage: {USAGE}")),
                };
                *target = words
                    .next()
                    .and_then(|text| text.parse().ok())
                    .filter(|&number| number > 0)
                    .ok_or(format!("{word} needs a number above 0"))?;
            }
            Ok(Self { operation, folder, rounds, threads })
        }
    }

    /// Some names of the folder, each ended by a NUL, one behind the other.
    #[derive(Default)]
    struct Batch {
        names: Vec<u8>,
        count: usize,
    }

    impl Batch {
        fn push(&mut self, name: &CStr) {
            self.names.extend_from_slice(name.to_bytes_with_nul());
            self.count += 1;
        }

        fn iter(&self) -> impl Iterator<Item = &CStr> {
            self.names.split_inclusive(|&byte| byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        }
    }

    #[derive(Default)]
    struct Waiting {
        batches: VecDeque<Batch>,
        listed: bool,
    }

    /// Batches on their way from the listing thread to whichever thread is free.
    #[derive(Default)]
    struct Queue {
        waiting: Mutex<Waiting>,
        changed: Condvar,
    }

    impl Queue {
        fn push(&self, batch: Batch) {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).batches.push_back(batch);
            self.changed.notify_one();
        }

        fn close(&self) {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).listed = true;
            self.changed.notify_all();
        }

        fn pop(&self) -> Option<Batch> {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                if let Some(batch) = waiting.batches.pop_front() {
                    return Some(batch);
                }
                if waiting.listed {
                    return None;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    #[derive(Default, Clone, Copy)]
    struct Tally {
        files: u64,
        bytes: u64,
    }

    impl std::ops::AddAssign for Tally {
        fn add_assign(&mut self, other: Self) {
            self.files += other.files;
            self.bytes += other.bytes;
        }
    }

    pub fn run(arguments: &Arguments) -> Result<String, String> {
        let describe = |error: Errno| format!("{}: {error}", arguments.folder.display());
        let mut times = Vec::with_capacity(arguments.rounds);
        let mut tally = Tally::default();
        for _ in 0..arguments.rounds {
            let begin = Instant::now();
            tally = sweep(&arguments.folder, arguments.operation, arguments.threads).map_err(describe)?;
            times.push(format!("{:.4}", begin.elapsed().as_secs_f64() * 1000.0));
        }
        Ok(format!(
            "{{\"operation\":\"{}\",\"threads\":{},\"files\":{},\"bytes\":{},\"milliseconds\":[{}]}}",
            match arguments.operation {
                Operation::Read => "read",
                Operation::Stat => "stat",
            },
            arguments.threads,
            tally.files,
            tally.bytes,
            times.join(",")
        ))
    }

    /// One round: opens the folder, lists it, and reads or stats all that it lists.
    fn sweep(folder: &Path, operation: Operation, threads: usize) -> Result<Tally, Errno> {
        let folder = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(|| work_off(&folder, operation, &queue))).collect();
            let listing = list(&folder, &queue);
            queue.close();
            let mut total = listing.and_then(|()| work_off(&folder, operation, &queue))?;
            for helper in helpers {
                total += helper.join().map_err(|_| Errno::CANCELED)??;
            }
            Ok(total)
        })
    }

    fn list(folder: &OwnedFd, queue: &Queue) -> Result<(), Errno> {
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_BUFFER];
        let mut entries = RawDir::new(folder, &mut buffer);
        let mut batch = Batch::default();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let wanted = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            if !wanted || !entry.file_name().to_bytes().ends_with(b".json") {
                continue;
            }
            batch.push(entry.file_name());
            if batch.count == NAMES_PER_BATCH {
                queue.push(std::mem::take(&mut batch));
            }
        }
        queue.push(batch);
        Ok(())
    }

    fn work_off(folder: &OwnedFd, operation: Operation, queue: &Queue) -> Result<Tally, Errno> {
        let folder = std::os::fd::AsFd::as_fd(folder);
        let mut buffer = vec![0; READ_BUFFER];
        let mut tally = Tally::default();
        while let Some(batch) = queue.pop() {
            for name in batch.iter() {
                tally.bytes += match operation {
                    Operation::Read => read_file(folder, name, &mut buffer)?,
                    Operation::Stat => stat_file(folder, name)?,
                };
                tally.files += 1;
            }
        }
        Ok(tally)
    }

    fn read_file(folder: BorrowedFd<'_>, name: &CStr, buffer: &mut [u8]) -> Result<u64, Errno> {
        let file =
            rustix::fs::openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
        let mut total = 0;
        loop {
            let count = rustix::io::read(&file, &mut *buffer)?;
            total += count as u64;
            // A regular file fills the buffer unless it ends: a second call to be told so is not needed.
            if count < buffer.len() {
                return Ok(total);
            }
        }
    }

    fn stat_file(folder: BorrowedFd<'_>, name: &CStr) -> Result<u64, Errno> {
        let status = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(status.st_size.unsigned_abs())
    }
}
