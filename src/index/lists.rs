//! Which memories of a snapshot pass a filter, remembered: the next question with the same filter begins where the last one
//! has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::folder::{Content, Entry, Snapshot};
use super::view::{Query, SessionFilter};
use crate::formats::memory::Memory;
use crate::lock::lock;

/// So many filters are remembered for a snapshot.
const MOST: usize = 16;

/// What does not depend on time, of a question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Filter {
    session: Option<SessionFilter>,
    role: Option<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

impl Filter {
    fn of(query: &Query) -> Self {
        Self { session: query.session.clone(), role: query.role.clone(), tags: query.tags.clone() }
    }

    fn is_empty(&self) -> bool {
        self.session.is_none() && self.role.is_none() && self.tags.is_empty()
    }
}

/// The lists of one snapshot in one order.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists(Arc<Mutex<HashMap<Filter, Arc<Mutex<List>>>>>);

/// The places of the memories that pass, as far as the order was gone through.
#[derive(Debug, Default)]
struct List {
    places: Vec<u32>,
    seen: usize,
}

/// The memories of a snapshot that pass a question's filter, newest first.
#[derive(Debug)]
pub(super) struct Passing<'a> {
    snapshot: &'a Snapshot,
    order: Arc<[u32]>,
    /// `None` if all pass.
    list: Option<Arc<Mutex<List>>>,
}

impl<'a> Passing<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, order: Arc<[u32]>, lists: &Lists, query: &Query) -> Self {
        let filter = Filter::of(query);
        if filter.is_empty() {
            return Self { snapshot, order, list: None };
        }
        let mut lists = lock(&lists.0);
        if lists.len() >= MOST && !lists.contains_key(&filter) {
            lists.clear();
        }
        Self { snapshot, order, list: Some(lists.entry(filter).or_default().clone()) }
    }

    /// How many of those that are known come before the others: they are newer than what is asked for.
    pub(super) fn newer(&self, is_newer: impl Fn(&Entry) -> bool) -> usize {
        let is_newer = |place: &u32| is_newer(&self.snapshot.entries[*place as usize]);
        match &self.list {
            None => self.order.partition_point(is_newer),
            Some(list) => lock(list).places.partition_point(is_newer),
        }
    }

    /// The place of the memory that is the `at`th of them.
    pub(super) fn get(&self, at: usize, passes: impl Fn(&Memory) -> bool) -> Option<usize> {
        let Some(list) = &self.list else { return self.order.get(at).map(|place| *place as usize) };
        let List { places, seen } = &mut *lock(list);
        while places.len() <= at {
            let place = *self.order.get(*seen)?;
            *seen += 1;
            if let Content::Memory(memory) = &self.snapshot.entries[place as usize].content
                && passes(memory)
            {
                places.push(place);
            }
        }
        Some(places[at] as usize)
    }
}
