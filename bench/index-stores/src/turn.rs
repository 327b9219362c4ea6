//! One figure, in a process of its own. What it finds goes to standard output, `name=value` for each line.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rows::{Random, Result, Row, changed, expected, first_rows, is_text_of};
use crate::stores::Contestant;

/// How many rows a batch of the trials replaces, and how many texts a question fetches.
pub const BATCH: u32 = 100;
const FETCHED: u64 = 10;

fn tell(name: &str, value: impl std::fmt::Display) {
    println!("{name}={value}");
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// MB of this process's memory, by a name of `/proc/self/status`.
fn memory(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure")?;
    let kilobytes: f64 = line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse()?;
    Ok(kilobytes / 1e3)
}

fn some_ids(count: u32, random: &mut Random) -> Vec<u32> {
    (0..FETCHED).map(|_| random.below(u64::from(count)) as u32).collect()
}

pub fn run(contestant: &Contestant, what: &str, count: u32, folder: &Path, last: u32) -> Result<()> {
    match what {
        "create" => create(contestant, count, folder),
        "reopen" => reopen(contestant, count, folder, false),
        "reopen-with-texts" => reopen(contestant, count, folder, true),
        "fetch" => fetch(contestant, count, folder),
        "replace-1" => replace(contestant, count, folder, 1, 1),
        "replace-100" => replace(contestant, count, folder, 2, 100),
        "reader" => {
            reader(contestant, count, folder);
            Ok(())
        }
        "writer" => writer(contestant, count, folder),
        "write-until-killed" => write_until_killed(contestant, count, folder, last),
        "check" => {
            check(contestant, count, folder);
            Ok(())
        }
        _ => Err(format!("unknown: {what}").into()),
    }
}

fn create(contestant: &Contestant, count: u32, folder: &Path) -> Result<()> {
    let rows = first_rows(count);
    tell("ready", 1);
    io::stdout().flush()?;
    let start = Instant::now();
    (contestant.create)(folder, &rows)?;
    tell("ms", milliseconds(start));
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        // So that no figure after this one is taken while the system writes these files back.
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.blocks() * 512;
    }
    tell("mb", bytes as f64 / 1e6);
    Ok(())
}

fn reopen(contestant: &Contestant, count: u32, folder: &Path, with_texts: bool) -> Result<()> {
    let (before, anonymous) = (memory("VmRSS:")?, memory("RssAnon:")?);
    let start = Instant::now();
    let mut store = (contestant.open)(folder)?;
    let heads = store.heads()?;
    let texts = if with_texts { Some(store.all_texts()?) } else { None };
    tell("ms", milliseconds(start));
    tell("rss", memory("VmRSS:")? - before);
    tell("anonymous", memory("RssAnon:")? - anonymous);
    tell("peak", memory("VmHWM:")? - before);
    let (right_heads, right_texts) = expected(&vec![0; count as usize]);
    if heads != right_heads || texts.is_some_and(|texts| texts != right_texts) {
        return Err("what was read is wrong".into());
    }
    Ok(())
}

fn fetch(contestant: &Contestant, count: u32, folder: &Path) -> Result<()> {
    let mut store = (contestant.open)(folder)?;
    let heads = store.heads()?;
    let ids = some_ids(count, &mut Random(u64::from(std::process::id())));
    let start = Instant::now();
    let texts = store.texts(&ids)?;
    tell("ms", milliseconds(start));
    drop(heads);
    if !ids.iter().zip(&texts).all(|(id, text)| is_text_of(*id, text)) {
        return Err("what was read is wrong".into());
    }
    Ok(())
}

fn replace(contestant: &Contestant, count: u32, folder: &Path, generation: u32, changes: u32) -> Result<()> {
    let rows: Vec<_> = changed(count, generation, changes).map(|id| Row::new(id, generation)).collect();
    let mut store = (contestant.open)(folder)?;
    let heads = store.heads()?;
    let start = Instant::now();
    store.replace(&rows)?;
    tell("ms", milliseconds(start));
    drop(heads);
    Ok(())
}

const TOGETHER: Duration = Duration::from_millis(1500);

fn tell_times(mut times: Vec<f64>, failures: &[String]) {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get((times.len() * share).div_ceil(100).saturating_sub(1)).copied();
    tell("turns", times.len());
    tell("ms", at(50).unwrap_or(f64::NAN));
    tell("p99", at(99).unwrap_or(f64::NAN));
    tell("failures", failures.len());
    if let Some(first) = failures.first() {
        tell("first-failure", first);
    }
}

/// What a process does that starts on an index: open, all heads, the texts of one answer.
fn reader(contestant: &Contestant, count: u32, folder: &Path) {
    let mut random = Random(u64::from(std::process::id()));
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < TOGETHER {
        let ids = some_ids(count, &mut random);
        let start = Instant::now();
        let turn = (contestant.open)(folder).and_then(|mut store| {
            let heads = store.heads()?;
            Ok((heads, store.texts(&ids)?))
        });
        times.push(milliseconds(start));
        match turn {
            Ok((heads, texts)) if heads.rows.len() == count as usize => {
                if !ids.iter().zip(&texts).all(|(id, text)| is_text_of(*id, text)) {
                    failures.push("a wrong text".to_owned());
                }
            }
            Ok(_) => failures.push("not all rows".to_owned()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    tell_times(times, &failures);
}

fn writer(contestant: &Contestant, count: u32, folder: &Path) -> Result<()> {
    let mut store = (contestant.open)(folder)?;
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    for generation in 1.. {
        if begin.elapsed() >= TOGETHER {
            break;
        }
        let rows: Vec<_> = changed(count, generation, BATCH).map(|id| Row::new(id, generation)).collect();
        let start = Instant::now();
        match store.replace(&rows) {
            Ok(()) => times.push(milliseconds(start)),
            Err(error) => failures.push(error.to_string()),
        }
        sleep(Duration::from_millis(20));
    }
    tell_times(times, &failures);
    Ok(())
}

/// Each generation is told once it is written.
fn write_until_killed(contestant: &Contestant, count: u32, folder: &Path, last: u32) -> Result<()> {
    let mut store = (contestant.open)(folder)?;
    for generation in last + 1.. {
        let rows: Vec<_> = changed(count, generation, BATCH).map(|id| Row::new(id, generation)).collect();
        store.replace(&rows)?;
        tell("written", generation);
        io::stdout().flush()?;
    }
    Ok(())
}

/// Whether the store opens, and holds one generation's state, entirely and nothing else.
fn check(contestant: &Contestant, count: u32, folder: &Path) {
    let read = (contestant.open)(folder).and_then(|mut store| Ok((store.heads()?, store.all_texts()?)));
    let (heads, texts) = match read {
        Ok(read) => read,
        Err(error) => {
            tell("state", "refused");
            tell("why", error);
            return;
        }
    };
    if heads.rows.is_empty() && texts.ends.is_empty() {
        tell("state", "empty");
        return;
    }
    let starts = std::iter::once(0).chain(texts.ends.iter().copied());
    let last = starts
        .zip(&texts.ends)
        .filter_map(|(start, end)| {
            let text = std::str::from_utf8(&texts.bytes[start as usize..*end as usize]).ok()?;
            text.split_once(r#""generation":"#)?.1.split_once(',')?.0.parse().ok()
        })
        .max()
        .unwrap_or(0);
    // A damaged number must not make this endless.
    let last: u32 = if last < 100_000 { last } else { 0 };
    let mut generations = vec![0; count as usize];
    for generation in 1..=last {
        for id in changed(count, generation, BATCH) {
            generations[id as usize] = generation;
        }
    }
    let right = (heads, texts) == expected(&generations);
    tell("state", if right { "right" } else { "wrong" });
    tell("generation", last);
}
