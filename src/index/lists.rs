//! An order of memories, and which of them pass a filter, remembered: the next question with the same filter begins where
//! the last one has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::view::{Query, SessionFilter};
use crate::lock::lock;

/// So many filters are remembered for an order.
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

/// An order that has been worked out: places of memories, newest first.
#[derive(Debug, Clone)]
pub(super) struct NewestFirst {
    /// The time zone that it holds in; none if it depends on none.
    zone: Option<Arc<str>>,
    order: Arc<[u32]>,
    lists: Arc<Mutex<HashMap<Filter, Arc<Mutex<List>>>>>,
}

impl NewestFirst {
    pub(super) fn new(zone: Option<Arc<str>>, order: Arc<[u32]>) -> Self {
        Self { zone, order, lists: Arc::default() }
    }

    pub(super) fn holds_in(&self, zone: &Arc<str>) -> bool {
        self.zone.as_ref().is_none_or(|own| own == zone)
    }

    /// Those that pass a question's filter.
    pub(super) fn passing(&self, query: &Query) -> Passing {
        let filter = Filter::of(query);
        if filter.is_empty() {
            return Passing { order: self.order.clone(), list: None };
        }
        let mut lists = lock(&self.lists);
        if lists.len() >= MOST && !lists.contains_key(&filter) {
            lists.clear();
        }
        Passing { order: self.order.clone(), list: Some(lists.entry(filter).or_default().clone()) }
    }
}

/// The places of the memories that pass, as far as the order was gone through.
#[derive(Debug, Default)]
struct List {
    places: Vec<u32>,
    seen: usize,
}

/// The memories that pass a question's filter, newest first.
#[derive(Debug)]
pub(super) struct Passing {
    order: Arc<[u32]>,
    /// `None` if all pass.
    list: Option<Arc<Mutex<List>>>,
}

impl Passing {
    /// How many of those that are known come before the others: they are newer than what is asked for.
    pub(super) fn newer(&self, is_newer: impl Fn(u32) -> bool) -> usize {
        let is_newer = |place: &u32| is_newer(*place);
        match &self.list {
            None => self.order.partition_point(is_newer),
            Some(list) => lock(list).places.partition_point(is_newer),
        }
    }

    /// The place of the memory that is the `at`th of them; `None` also when no step more may be taken.
    pub(super) fn get(&self, at: usize, passes: impl Fn(u32) -> bool, step: impl Fn() -> bool) -> Option<u32> {
        let Some(list) = &self.list else { return self.order.get(at).copied() };
        let List { places, seen } = &mut *lock(list);
        while places.len() <= at {
            let place = *self.order.get(*seen)?;
            if !step() {
                return None;
            }
            *seen += 1;
            if passes(place) {
                places.push(place);
            }
        }
        Some(places[at])
    }
}
