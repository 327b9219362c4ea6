//! Measures what could hold the persistent index: `cargo run --release` in this folder. Linux only.
//!
//! Each figure is from processes of their own, one for each store and round, the stores taking turns; every file was
//! written just before, so it is in the page cache. `--under 'flock /tmp/lock'` puts a command before each of them.
//!
//! `--only times` (or `together`, `kill`, `damage`), `--sizes 1000,10000`, `--rounds 7`, `--trials 50`.

mod rows;
mod stores;
mod trials;
mod turn;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rows::Result;
use stores::{CONTESTANTS, Contestant};
use trials::{Damage, Outcomes};

type Figures = HashMap<String, String>;

pub struct Bench {
    folder: PathBuf,
    rows: u32,
    under: Vec<String>,
}

impl Bench {
    fn fresh_folder(&self) -> Result<PathBuf> {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(&self.folder)?;
        Ok(self.folder.clone())
    }

    fn command(&self, contestant: &Contestant, what: &str, folder: &Path, last: u32) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg("turn").args([contestant.name, what]).args([self.rows.to_string(), last.to_string()]).arg(folder);
        // A panic in a trial is counted, not shown.
        command.stdout(Stdio::piped()).stderr(if what == "check" { Stdio::null() } else { Stdio::inherit() });
        command
    }

    fn turn_alone(&self, contestant: &Contestant, what: &str, folder: &Path) -> Result<Figures> {
        let output = self.command(contestant, what, folder, 0).output()?;
        if output.status.code().is_none() || (!output.status.success() && what != "check") {
            return Err(format!("{} {what}: {}", contestant.name, output.status).into());
        }
        Ok(figures(&output.stdout))
    }

    /// One process that takes times, under the command that was asked for.
    fn turn(&self, contestant: &Contestant, what: &str, folder: &Path) -> Result<Figures> {
        let [program, arguments @ ..] = &self.under[..] else { return self.turn_alone(contestant, what, folder) };
        let alone = self.command(contestant, what, folder, 0);
        let mut command = Command::new(program);
        command.args(arguments).arg(std::env::current_exe()?).args(alone.get_args()).stderr(Stdio::inherit());
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("{} {what}: {}", contestant.name, output.status).into());
        }
        Ok(figures(&output.stdout))
    }
}

fn figures(output: &[u8]) -> Figures {
    let text = String::from_utf8_lossy(output);
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The median, and the lowest: what other processes did not disturb.
fn median_and_lowest(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index| values.get(index).copied().unwrap_or(f64::NAN);
    (at(values.len() / 2), at(0))
}

fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

fn times(bench: &Bench, rounds: usize) -> Result<()> {
    let turns = ["create", "reopen", "reopen-with-texts", "fetch", "replace-1", "replace-100"];
    let mut found: HashMap<(&str, String), Vec<f64>> = HashMap::new();
    for round in 0..rounds {
        for at in 0..CONTESTANTS.len() {
            let contestant = &CONTESTANTS[(at + round) % CONTESTANTS.len()];
            let folder = bench.fresh_folder()?;
            for what in turns {
                for (name, value) in bench.turn(contestant, what, &folder)? {
                    found.entry((contestant.name, format!("{what} {name}"))).or_default().push(value.parse()?);
                }
            }
        }
    }
    println!("\n### {} rows, {rounds} rounds: ms, median (lowest), and MB\n", bench.rows);
    println!(
        "| | create | reopen | reopen with texts | fetch 10 | replace 1 | replace 100 | file | RSS (anonymous, peak) |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for Contestant { name, .. } in CONTESTANTS {
        let mut figure = |key: &str| median_and_lowest(found.remove(&(*name, key.to_owned())).unwrap_or_default());
        let cells = turns.map(|what| {
            let (median, lowest) = figure(&format!("{what} ms"));
            format!("{} ({})", short(median), short(lowest))
        });
        let cells = cells.join(" | ");
        let [mb, rss, anonymous, peak] =
            ["create mb", "reopen rss", "reopen anonymous", "reopen peak"].map(|key| short(figure(key).0));
        println!("| {name} | {cells} | {mb} | {rss} ({anonymous}, {peak}) |");
    }
    Ok(())
}

/// Two readers that open anew each time, alone and beside a writer that replaces 100 rows each 20 ms.
fn together(bench: &Bench) -> Result<()> {
    println!("\n### Several processes, {} rows (ms)\n", bench.rows);
    println!(
        "| | reader of two, median (p99) | beside a writer | failed turns | writer's 100 rows alone | beside two readers |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for contestant in CONTESTANTS {
        let folder = bench.fresh_folder()?;
        bench.turn_alone(contestant, "create", &folder)?;
        let at_once = |roles: &[&str]| -> Result<Vec<Figures>> {
            let spawned: std::io::Result<Vec<_>> =
                roles.iter().map(|role| bench.command(contestant, role, &folder, 0).spawn()).collect();
            spawned?.into_iter().map(|child| Ok(figures(&child.wait_with_output()?.stdout))).collect()
        };
        let readers = at_once(&["reader", "reader"])?;
        let writer = at_once(&["writer"])?;
        let all = at_once(&["reader", "reader", "writer"])?;
        let figure = |figures: &Figures, name| {
            figures.get(name).and_then(|value| value.parse().ok()).map_or_else(|| "–".to_owned(), short)
        };
        let count = |figures: &[Figures], name| -> u32 {
            figures.iter().filter_map(|figures| figures.get(name)?.parse::<u32>().ok()).sum()
        };
        println!(
            "| {} | {} ({}) | {} ({}) | {} of {} | {} | {} |",
            contestant.name,
            figure(&readers[0], "ms"),
            figure(&readers[0], "p99"),
            figure(&all[0], "ms"),
            figure(&all[0], "p99"),
            count(&all, "failures"),
            count(&all, "turns"),
            figure(&writer[0], "ms"),
            figure(&all[2], "ms"),
        );
        if let Some(failure) = all.iter().find_map(|figures| figures.get("first-failure")) {
            eprintln!("{}: {failure}", contestant.name);
        }
    }
    Ok(())
}

fn trials(bench: &Bench, title: &str, trial: impl Fn(&Contestant) -> Result<Outcomes>) -> Result<()> {
    println!("\n### {title}, {} rows\n", bench.rows);
    println!("| | right | an earlier state | refused | crashed | wrong | temporary files left |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for contestant in CONTESTANTS {
        let outcomes = trial(contestant)?;
        println!("| {} | {} |", contestant.name, outcomes.cells());
        if let Some(why) = outcomes.first_refusal {
            eprintln!("{}: {why}", contestant.name);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, what, count, last, folder] = &arguments[..]
        && first == "turn"
    {
        let contestant = CONTESTANTS.iter().find(|contestant| contestant.name == name).ok_or("no such store")?;
        return turn::run(contestant, what, count.parse()?, Path::new(folder), last.parse()?);
    }
    let option = |name: &str| arguments.iter().position(|word| word == name).and_then(|at| arguments.get(at + 1));
    let wanted = |part: &str| option("--only").is_none_or(|only| only == part);
    let rounds = option("--rounds").map_or(Ok(7), |text| text.parse())?;
    let count = option("--trials").map_or(Ok(50), |text| text.parse())?;
    let sizes = option("--sizes").map_or("1000,10000,100000", |text| text);
    let folder = std::env::temp_dir().join(format!("vvault-native-index-stores-{}", std::process::id()));
    let under = option("--under").map_or_else(Vec::new, |text| text.split_whitespace().map(str::to_owned).collect());
    let mut bench = Bench { folder, rows: 10_000, under };

    for contestant in CONTESTANTS {
        println!("- {}: {}", contestant.name, contestant.settings);
    }
    if wanted("together") {
        together(&bench)?;
    }
    if wanted("kill") {
        trials(&bench, "Killed while replacing 100 rows", |store| trials::kill_writers(&bench, store, count))?;
        trials(&bench, "Killed while creating", |store| trials::kill_creators(&bench, store, count))?;
    }
    if wanted("damage") {
        for (title, damage) in
            [("One bit flipped", Damage::Bit), ("4,096 bytes zeroed", Damage::Page), ("The file cut off", Damage::End)]
        {
            trials(&bench, title, |store| trials::damage(&bench, store, count, damage))?;
        }
    }
    if wanted("times") {
        for size in sizes.split(',') {
            bench.rows = size.parse()?;
            times(&bench, rounds)?;
        }
    }
    let _ = fs::remove_dir_all(&bench.folder);
    Ok(())
}
