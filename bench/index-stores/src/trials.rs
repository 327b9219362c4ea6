//! What happens to a store whose writer is killed, or whose file is damaged. No times are taken here.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::rows::{Random, Result};
use crate::stores::Contestant;

/// How often a trial ended in which way.
#[derive(Default)]
pub struct Outcomes {
    /// Whole, and nothing that was acknowledged is missing.
    pub right: u32,
    /// Whole, in an earlier state than the last that was acknowledged.
    pub lost: u32,
    /// Told as an error, or with nothing in it: it is built again.
    pub refused: u32,
    /// The process that looked was ended by a signal.
    pub crashed: u32,
    /// It opened, and what it held was wrong.
    pub wrong: u32,
    /// Files that remained beside those of a store.
    pub leftovers: u32,
    pub first_refusal: Option<String>,
}

impl Outcomes {
    pub fn cells(&self) -> String {
        let Self { right, lost, refused, crashed, wrong, leftovers, .. } = self;
        format!("{right} | {lost} | {refused} | {crashed} | {wrong} | {leftovers}")
    }

    fn count(&mut self, bench: &Bench, contestant: &Contestant, folder: &Path, acknowledged: u32) -> u32 {
        self.leftovers += fs::read_dir(folder).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "tmp")).count() as u32
        });
        let Ok(found) = bench.turn_alone(contestant, "check", folder) else {
            self.crashed += 1;
            return 0;
        };
        let generation = found.get("generation").and_then(|text| text.parse().ok()).unwrap_or(0);
        match found.get("state").map(String::as_str) {
            Some("right") if generation < acknowledged => self.lost += 1,
            Some("right") => self.right += 1,
            Some("wrong") => self.wrong += 1,
            // A panic ends without a state: told, if roughly.
            state => {
                let why = found.get("why").or(state.is_none().then_some(&"a panic".to_owned())).cloned();
                self.first_refusal = self.first_refusal.take().or(why);
                self.refused += 1;
            }
        }
        generation
    }
}

/// Kills a writer that replaces 100 rows again and again; the next goes on with what the last one left.
pub fn kill_writers(bench: &Bench, contestant: &Contestant, trials: u32) -> Result<Outcomes> {
    let mut outcomes = Outcomes::default();
    let mut random = Random(1);
    let folder = bench.fresh_folder()?;
    bench.turn_alone(contestant, "create", &folder)?;
    let mut last = 0;
    for _ in 0..trials {
        let mut writer =
            bench.command(contestant, "write-until-killed", &folder, last).stdout(Stdio::piped()).spawn()?;
        sleep(Duration::from_micros(random.below(80_000)));
        writer.kill()?;
        let told = BufReader::new(writer.stdout.take().ok_or("no output")?).lines().map_while(std::result::Result::ok);
        let acknowledged = told.filter_map(|line| line.strip_prefix("written=")?.parse().ok()).last().unwrap_or(last);
        writer.wait()?;
        let before = (outcomes.right, outcomes.lost);
        last = outcomes.count(bench, contestant, &folder, acknowledged);
        if before == (outcomes.right, outcomes.lost) {
            fs::remove_dir_all(&folder)?;
            bench.fresh_folder()?;
            bench.turn_alone(contestant, "create", &folder)?;
            last = 0;
        }
    }
    Ok(outcomes)
}

/// Kills a process that writes all rows for the first time.
pub fn kill_creators(bench: &Bench, contestant: &Contestant, trials: u32) -> Result<Outcomes> {
    let mut outcomes = Outcomes::default();
    let mut random = Random(2);
    let mut longest = Duration::ZERO;
    for trial in 0..=trials {
        let folder = bench.fresh_folder()?;
        let mut creator = bench.command(contestant, "create", &folder, 0).stdout(Stdio::piped()).spawn()?;
        let mut told = BufReader::new(creator.stdout.take().ok_or("no output")?);
        told.read_line(&mut String::new())?;
        if trial == 0 {
            // The first may go to its end, to learn how long that takes.
            let start = Instant::now();
            told.read_line(&mut String::new())?;
            longest = start.elapsed();
            creator.wait()?;
        } else {
            sleep(longest.mul_f64(random.below(1200) as f64 / 1000.0));
            creator.kill()?;
            creator.wait()?;
            outcomes.count(bench, contestant, &folder, 0);
        }
        fs::remove_dir_all(&folder)?;
    }
    Ok(outcomes)
}

#[derive(Clone, Copy)]
pub enum Damage {
    /// One bit is another.
    Bit,
    /// 4,096 bytes are zero, as a power cut may leave them.
    Page,
    /// The file ends early.
    End,
}

pub fn damage(bench: &Bench, contestant: &Contestant, trials: u32, damage: Damage) -> Result<Outcomes> {
    let mut outcomes = Outcomes::default();
    let mut random = Random(3);
    let folder = bench.fresh_folder()?;
    bench.turn_alone(contestant, "create", &folder)?;
    let mut files = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.sort_by_key(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()));
    let path = files.pop().ok_or("no file")?;
    let whole = fs::read(&path)?;
    for _ in 0..trials {
        fs::write(&path, &whole)?;
        let file = File::options().write(true).open(&path)?;
        let at = random.below(whole.len() as u64);
        match damage {
            Damage::Bit => file.write_all_at(&[whole[at as usize] ^ (1 << random.below(8))], at)?,
            Damage::Page => {
                let at = at & !4095;
                file.write_all_at(&vec![0; (whole.len() - at as usize).min(4096)], at)?;
            }
            Damage::End => file.set_len(at)?,
        }
        outcomes.count(bench, contestant, &folder, 0);
        // What a store made beside it belongs to the damaged file.
        for entry in fs::read_dir(&folder)? {
            fs::remove_file(entry?.path())?;
        }
    }
    Ok(outcomes)
}
