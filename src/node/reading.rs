//! `readMemories` for JavaScript: one question, from finding the files to the rows.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use napi::JsString;
use napi::bindgen_prelude::{Env, Float64Array, Int32ArraySlice, PromiseRaw};
use napi_derive::napi;

use super::progress::ReadingProgress;
use super::text::Text;
use super::vault::rejected;
use super::{promised, to_js, to_json};
use crate::Error;
use crate::formats::json;
use crate::formats::rows::Rows;
use crate::index::{
    Comparison, FoundInVault, Freshness, PageCursor, Progress, Query, Request, Selection, SessionFilter, Source,
    Storage, Ticket, UndecidedDate, Vault, View, Warning, WarningKind, read, read_unchanged,
};
use crate::javascript::date;
use crate::lock::lock;
use crate::watch::Watch;

/// A JSON text is about so large, in bytes: V8 parses it in a third of a millisecond, and it is no "large object" that
/// would get memory pages of its own.
pub(super) const TEXT_SIZE: usize = 64 << 10;

/// So many bytes of memories are handed out at a time. JavaScript takes a millisecond to build them; and their texts are such
/// "large objects", which V8's collector does not copy.
const ROWS_SIZE: usize = 512 << 10;

/// So many of these are made at a time. JavaScript builds them while no thread of ours wants its core, or V8's collector, whose
/// threads it waits for, would stall it for twice as long.
const MOST_ROWS: usize = 8;

/// What is asked for; paths absolute, times in milliseconds since 1970.
#[napi(object)]
pub struct ReadingRequest {
    /// The vault's root.
    pub vault: String,
    /// The folder of all users.
    pub users: String,
    /// The user's folder by name.
    pub user: String,
    /// The folder of memory capsules, from the user's folder.
    pub capsules: Option<String>,
    /// The folder of transcripts, from the user's folder.
    pub transcripts: Option<String>,
    /// The session as JSON: a string, or anything else for one that no session equals.
    pub session: Option<String>,
    /// The role as a JSON string.
    pub role: Option<String>,
    /// At most so many memories; all if absent.
    pub limit: Option<f64>,
    /// Only memories of this time or later.
    pub since: Option<f64>,
    /// Only memories of this time or earlier.
    pub until: Option<f64>,
    /// The present time.
    pub now: f64,
    /// Only memories behind this cursor.
    pub before: Option<String>,
    /// Where indexes are kept beyond the process; of a vault, what it was opened with counts.
    pub cache: Option<String>,
    /// Only memories that have all of these tags, JSON strings; of a vault.
    pub tags: Option<Vec<String>>,
    /// Also the memories of this construct; of a vault.
    pub construct: Option<String>,
    /// What `Date` depends on besides its argument: the process's time zone, in any form.
    pub zone: String,
}

/// How far a reading has come.
#[napi(object)]
pub struct ReadingOutcome {
    /// `none` (no such user), `capsules` or `transcripts`.
    pub source: String,
    /// What could not be read.
    pub warnings: Vec<ReadingWarning>,
    /// Dates must be told first: `undecided` and `decide`, then `select`.
    pub undecided: bool,
    /// How many memories there are: `next` hands them out.
    pub count: u32,
    /// Behind those that `next` has by now there are others: `more` makes them.
    pub more: bool,
    /// What was handed out is void, as the memories had to be read again: `next` begins anew.
    pub again: bool,
    /// The cursor behind the last of them; absent if no more follow.
    pub next: Option<String>,
    /// What was left out as unsound and was not told of before: events, as JSON.
    pub rejected: Vec<String>,
    /// Why there can be no memories, although they were found: an error as JSON.
    pub failure: Option<String>,
    /// How it is known that the memories are as they are on disk.
    #[napi(ts_type = "'watched' | 'notified' | 'swept'")]
    pub freshness: String,
}

/// Something that could not be read.
#[napi(object)]
pub struct ReadingWarning {
    /// What kind of thing.
    #[napi(
        ts_type = "'capsuleFile' | 'emptyCapsule' | 'transcriptFile' | 'capsulesFolder' | 'transcriptsFolder' | 'sessionFolder' | 'link' | 'closed'"
    )]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// What has come just now is applied by then, as a rule, and to ask another thread would take longer.
const PATIENCE: Duration = Duration::from_micros(250);

/// How often a reading begins anew because what was kept of the vault is damaged, or was overwritten just now.
const TRIES: usize = 3;

struct State {
    request: Request,
    vault: Option<Arc<Vault>>,
    watch: Option<Arc<Watch>>,
    construct: Option<String>,
    query: Query,
    /// If what was given as a cursor is none.
    problem: Option<Error>,
    now_text: String,
    warnings: Vec<Warning>,
    rejected: Vec<String>,
    source: Source,
    freshness: Freshness,
    view: View,
    undecided: VecDeque<UndecidedDate>,
    /// Those that JavaScript is just being asked for.
    asked: Vec<UndecidedDate>,
    /// How often what was kept of the vault was found damaged.
    damaged: usize,
    comparison: Comparison,
    selection: Selection,
    /// So many memories of the selection are in rows.
    written: usize,
    made: Made,
}

/// With a lock of its own: JavaScript takes out what is there while more is made.
type Made = Arc<Mutex<VecDeque<Rows>>>;

/// Memories for JavaScript: see [`Rows`]. The Latin-1 text, the UTF-16 text, the places, the values.
type JsRows<'env> = (JsString<'env>, JsString<'env>, Int32ArraySlice<'env>, JsString<'env>);

fn rows_to_js<'env>(rows: &Rows, env: &'env Env) -> napi::Result<JsRows<'env>> {
    let (latin1, wide) = (env.create_string_latin1(rows.latin1())?, env.create_string_utf16(rows.wide())?);
    let places = Int32ArraySlice::copy_from(env, rows.places())?;
    Ok((latin1, wide, places, Text::of_json(rows.values()).to_js(env)?))
}

impl State {
    /// Finds the memories and selects, if no date is undecided.
    fn run(&mut self) -> Result<ReadingOutcome, Error> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        loop {
            match self.find().map(|()| self.select_decided()) {
                Err(Error::Damaged) | Ok(Err(Error::Damaged)) if self.may_try_again() => {}
                found => return found.map(|selected| self.with_told(selected)),
            }
        }
    }

    fn may_try_again(&mut self) -> bool {
        self.damaged += 1;
        self.view.distrust_after(self.damaged);
        self.damaged < TRIES
    }

    /// Makes more of what was selected.
    fn more(&mut self) -> Result<ReadingOutcome, Error> {
        match self.write() {
            Err(Error::Damaged) if self.may_try_again() => Ok(ReadingOutcome { again: true, ..self.run()? }),
            written => written.map(|()| self.outcome()),
        }
    }

    fn write(&mut self) -> Result<(), Error> {
        let (rows, written) = self.selection.to_rows(&self.now_text, ROWS_SIZE, self.written, MOST_ROWS)?;
        self.written = written;
        let mut made = lock(&self.made);
        // Asked while nobody takes rows out: what is made after the end is dropped here, what was made before by `next`.
        let is_aborted = self.request.progress.is_aborted();
        if is_aborted || self.written == self.selection.len() {
            // What keeps memories in memory goes with the last of them.
            (self.selection, self.written) = (Selection::default(), 0);
        }
        if is_aborted {
            return Err(Error::Aborted);
        }
        made.extend(rows);
        Ok(())
    }

    fn unchanged(&self) -> Option<(Rows, Option<String>)> {
        if self.problem.is_some() || self.construct.is_some() {
            return None;
        }
        let is_settled = || self.watch.as_ref().is_some_and(|watch| watch.is_settled_within(PATIENCE));
        let (found, folder) = read_unchanged(&self.request, is_settled)?;
        let selection = found.view.select_quickly(&self.query)?;
        if selection.text_size() > TEXT_SIZE || !selection.is_as_in(&folder) {
            return None;
        }
        let (mut rows, written) = selection.to_rows(&self.now_text, usize::MAX, 0, 1).ok()?;
        let rows = rows.pop().filter(|_| written == selection.len())?;
        Some((rows, selection.next().map(PageCursor::to_string)))
    }

    fn find(&mut self) -> Result<(), Error> {
        let found = if let Some(vault) = &self.vault {
            if let Some(watch) = &self.watch
                && !watch.settle()
            {
                // Else who asks would wait for who listens.
                self.request.watched = None;
            }
            let FoundInVault { found, rejections } = vault.read(&self.request, self.construct.as_deref())?;
            self.rejected.extend(rejections.iter().map(|rejection| rejected(vault, rejection)));
            found
        } else {
            let mut found = read(&self.request)?;
            found.warnings.retain(|warning| warning.kind != WarningKind::Closed);
            found
        };
        self.warnings.extend(found.warnings);
        self.source = found.source;
        self.freshness = found.freshness;
        self.view = found.view;
        self.undecided = self.view.undecided(&self.query.zone)?.into();
        Ok(())
    }

    fn select_decided(&mut self) -> Result<ReadingOutcome, Error> {
        while self.undecided.is_empty() {
            self.selection = self.view.select(&self.query)?;
            let answer = (&self.view, &self.selection);
            let look_at = |file: &Path| {
                if let Some(watch) = &self.watch {
                    watch.distrust(file);
                }
            };
            if !self.comparison.is_outdated(&mut self.request, answer, self.freshness, look_at) {
                return self.begin_rows();
            }
            self.find()?;
        }
        Ok(self.outcome())
    }

    /// With what was met on the way: that is to be told also where it ends in an error.
    fn with_told(&mut self, selected: Result<ReadingOutcome, Error>) -> ReadingOutcome {
        let outcome = selected.unwrap_or_else(|error| ReadingOutcome {
            failure: Some(to_json(&error)),
            more: false,
            ..self.outcome()
        });
        let warnings = std::mem::take(&mut self.warnings).into_iter().map(ReadingWarning::from).collect();
        ReadingOutcome { warnings, rejected: std::mem::take(&mut self.rejected), ..outcome }
    }

    fn select(&mut self) -> Result<ReadingOutcome, Error> {
        self.undecided = self.view.undecided(&self.query.zone)?.into();
        self.select_decided()
    }

    fn begin_rows(&mut self) -> Result<ReadingOutcome, Error> {
        self.written = 0;
        lock(&self.made).clear();
        let count = u32::try_from(self.selection.len()).unwrap_or(u32::MAX);
        let next = self.selection.next().map(PageCursor::to_string);
        self.write()?;
        Ok(ReadingOutcome { count, next, ..self.outcome() })
    }

    fn outcome(&self) -> ReadingOutcome {
        let source = match self.source {
            Source::NoUser => "none",
            Source::Capsules => "capsules",
            Source::Transcripts => "transcripts",
        };
        ReadingOutcome {
            source: source.to_owned(),
            warnings: Vec::new(),
            undecided: !self.undecided.is_empty(),
            count: 0,
            more: !self.selection.is_empty(),
            again: false,
            next: None,
            rejected: Vec::new(),
            failure: None,
            freshness: match self.freshness {
                Freshness::Watched => "watched",
                Freshness::Notified => "notified",
                Freshness::Swept => "swept",
            }
            .to_owned(),
        }
    }
}

/// A date that can't be made from its timestamp.
#[napi(object)]
pub struct ThrownDate {
    /// Which of those asked for, from 0.
    pub place: u32,
    /// The message of what `new Date` threw.
    pub message: String,
}

/// One question.
#[napi]
pub struct MemoryReading {
    state: Arc<Mutex<State>>,
    made: Made,
    progress: Arc<Progress>,
}

#[napi]
impl MemoryReading {
    /// The question is asked now: what was written before is in its answer.
    #[napi(constructor, catch_unwind)]
    #[must_use]
    pub fn new(request: ReadingRequest) -> Self {
        Self::with(request, None)
    }

    /// How far it has come, and how it is ended.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn progress(&self) -> ReadingProgress {
        ReadingProgress::of(self.progress.clone())
    }

    /// The memories and the cursor behind them, on this thread: if nothing has changed since the last question and the answer
    /// takes but some microseconds. Else `null`: then `run` is to be asked.
    ///
    /// # Errors
    /// If the JavaScript engine can't make the strings.
    #[napi(catch_unwind, ts_return_type = "[[string, string, Int32Array, string], string | null] | null")]
    pub fn unchanged<'env>(&self, env: &'env Env) -> napi::Result<Option<(JsRows<'env>, Option<String>)>> {
        let Some((rows, next)) = lock(&self.state).unchanged() else { return Ok(None) };
        Ok(Some((rows_to_js(&rows, env)?, next)))
    }

    /// Finds the memories and, if no date is undecided, selects.
    ///
    /// # Errors
    /// [`Error::OutsideVault`], [`Error::InvalidCursor`], [`Error::Aborted`]
    #[napi(catch_unwind, ts_return_type = "Promise<ReadingOutcome>")]
    pub fn run<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ReadingOutcome>> {
        // Owned by the work: a worker thread that ends in mid-call frees `self`.
        let state = self.state.clone();
        promised(env, move || lock(&state).run())
    }

    /// The timestamps of the next undecided dates, as a JSON array; `null` when there are no more.
    ///
    /// # Errors
    /// [`Error::Aborted`]
    #[napi(catch_unwind)]
    pub fn undecided(&self) -> napi::Result<Option<String>> {
        const MOST: usize = 1000;
        self.check_wanted()?;
        let mut state = lock(&self.state);
        let mut text = String::from("[");
        while text.len() < TEXT_SIZE && state.asked.len() < MOST {
            let Some(date) = state.undecided.pop_front() else { break };
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(date.timestamp());
            state.asked.push(date);
        }
        text.push(']');
        Ok((!state.asked.is_empty()).then_some(text))
    }

    /// Takes the times of the dates that `undecided` gave last, told in this time zone; for those that threw, the messages by
    /// place.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "napi hands arguments over")]
    pub fn decide(&self, times: Float64Array, thrown: Vec<ThrownDate>, zone: String) {
        let mut state = lock(&self.state);
        // The question is then put in that one, in which other dates may be undecided again.
        state.query.zone = zone.into();
        let zone = state.query.zone.clone();
        for (place, (date, time)) in state.asked.drain(..).zip(times.iter()).enumerate() {
            let thrown = thrown.iter().find(|thrown| usize::try_from(thrown.place) == Ok(place));
            date.answer(zone.clone(), thrown.map_or(Ok(*time), |thrown| Err(thrown.message.as_str().into())));
        }
    }

    /// Selects, after the undecided dates were told. If the memories had to be read again, dates may be undecided again.
    ///
    /// # Errors
    /// As `run`.
    #[napi(catch_unwind, ts_return_type = "Promise<ReadingOutcome>")]
    pub fn select<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ReadingOutcome>> {
        let state = self.state.clone();
        promised(env, move || {
            let mut state = lock(&state);
            match state.select() {
                Err(Error::Damaged) => state.run(),
                selected => Ok(state.with_told(selected)),
            }
        })
    }

    /// Makes more for `next`.
    ///
    /// # Errors
    /// As `run`.
    #[napi(catch_unwind, ts_return_type = "Promise<ReadingOutcome>")]
    pub fn more<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ReadingOutcome>> {
        let state = self.state.clone();
        promised(env, move || lock(&state).more())
    }

    /// The next memories; `null` when there are none by now. Two texts of their strings, where these end, and a JSON text of
    /// everything else: see `formats/rows.rs`.
    ///
    /// # Errors
    /// [`Error::Aborted`], and if the JavaScript engine can't make the strings.
    #[napi(catch_unwind, ts_return_type = "[string, string, Int32Array, string] | null")]
    pub fn next<'env>(&self, env: &'env Env) -> napi::Result<Option<JsRows<'env>>> {
        self.check_wanted()?;
        let rows = lock(&self.made).pop_front();
        rows.map(|rows| rows_to_js(&rows, env)).transpose()
    }
}

impl MemoryReading {
    /// Drops what is made, once the reading has been ended.
    fn check_wanted(&self) -> napi::Result<()> {
        if !self.progress.is_aborted() {
            return Ok(());
        }
        lock(&self.made).clear();
        Err(to_js(&Error::Aborted))
    }

    /// A question to an open vault.
    pub(super) fn of_vault(request: ReadingRequest, vault: Arc<Vault>, watch: Option<Arc<Watch>>) -> Self {
        let reading = Self::with(request, Some(vault));
        let mut state = lock(&reading.state);
        state.request.watched = watch.as_ref().and(state.vault.as_ref()).map(|vault| vault.watched().clone());
        state.watch = watch;
        drop(state);
        reading
    }

    fn with(request: ReadingRequest, vault: Option<Arc<Vault>>) -> Self {
        let session = request.session.as_deref().map(string_of);
        let (before, problem) = match request.before.as_deref().map(PageCursor::parse) {
            None => (None, None),
            Some(Ok(cursor)) => (Some(cursor), None),
            Some(Err(problem)) => (None, Some(problem)),
        };
        let storage = match &vault {
            Some(vault) => vault.storage().cloned(),
            None => request.cache.map(|cache| Arc::new(Storage::new(&PathBuf::from(cache)))),
        };
        let progress = Arc::<Progress>::default();
        let now =
            before.as_ref().map(PageCursor::now).filter(|now| *now > 0.0 && *now <= request.now).unwrap_or(request.now);
        let query = Query {
            before,
            limit: request.limit.map(whole),
            session: session.clone().map(|session| session.map_or(SessionFilter::Nameless, SessionFilter::Named)),
            role: request.role.as_deref().and_then(string_of),
            since: request.since,
            until: request.until,
            tags: request.tags.iter().flatten().map(|tag| string_of(tag).unwrap_or_default()).collect(),
            policy: vault.as_ref().map(|vault| vault.store().options().policy),
            now,
            zone: request.zone.into(),
        };
        let request_of_core = Request {
            vault: PathBuf::from(request.vault),
            users: PathBuf::from(request.users),
            user: PathBuf::from(request.user),
            capsules: request.capsules.map(PathBuf::from),
            transcripts: request.transcripts.map(PathBuf::from),
            session: session.map(|session| session.and_then(|name| String::from_utf8(name).ok())),
            asked: Ticket::draw(),
            watched: None,
            storage,
            progress: progress.clone(),
        };
        let made = Made::default();
        let state = State {
            request: request_of_core,
            vault,
            watch: None,
            construct: request.construct,
            query,
            problem,
            now_text: date::to_iso(request.now),
            warnings: Vec::new(),
            rejected: Vec::new(),
            source: Source::NoUser,
            freshness: Freshness::Swept,
            view: View::default(),
            undecided: VecDeque::new(),
            asked: Vec::new(),
            damaged: 0,
            comparison: Comparison::default(),
            selection: Selection::default(),
            written: 0,
            made: made.clone(),
        };
        Self { state: Arc::new(Mutex::new(state)), made, progress }
    }
}

/// The string that a JSON text is, in WTF-8.
fn string_of(text: &str) -> Option<Vec<u8>> {
    json::string(text).map(std::borrow::Cow::into_owned)
}

/// A limit as `Array.prototype.slice` takes it.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "that is how `as` cuts, and negatives are 0"
)]
fn whole(limit: f64) -> usize {
    limit as usize
}

impl From<Warning> for ReadingWarning {
    fn from(warning: Warning) -> Self {
        Self { kind: kind(warning.kind).to_owned(), name: warning.name, message: warning.message }
    }
}

fn kind(kind: WarningKind) -> &'static str {
    match kind {
        WarningKind::CapsuleFile => "capsuleFile",
        WarningKind::EmptyCapsule => "emptyCapsule",
        WarningKind::TranscriptFile => "transcriptFile",
        WarningKind::CapsulesFolder => "capsulesFolder",
        WarningKind::TranscriptsFolder => "transcriptsFolder",
        WarningKind::SessionFolder => "sessionFolder",
        WarningKind::Link => "link",
        WarningKind::Closed => "closed",
    }
}
