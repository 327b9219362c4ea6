//! Orders of memories, newest first, and in such an order the memories of each role, session and tag.

use std::sync::{Arc, OnceLock};

use super::segment::Segment;

/// An order that has been worked out: places of memories, newest first.
#[derive(Debug, Clone)]
pub(super) struct NewestFirst {
    /// The time zone that it holds in; none if it depends on none.
    zone: Option<Arc<str>>,
    pub(super) order: Arc<[u32]>,
    /// Of a segment, from the first question that asks for some of its memories.
    postings: Arc<OnceLock<Postings>>,
}

impl NewestFirst {
    pub(super) fn new(zone: Option<Arc<str>>, order: Arc<[u32]>) -> Self {
        Self { zone, order, postings: Arc::default() }
    }

    pub(super) fn holds_in(&self, zone: &Arc<str>) -> bool {
        self.zone.as_ref().is_none_or(|own| own == zone)
    }

    pub(super) fn depends_on_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// The memories by role, session and tag; worked out once.
    pub(super) fn postings(&self, segment: &Segment) -> &Postings {
        self.postings.get_or_init(|| Postings::new(segment, &self.order))
    }

    /// Whether they have been worked out.
    pub(super) fn has_postings(&self) -> bool {
        self.postings.get().is_some()
    }
}

/// Which memories of an order have a label: their ranks in it, ascending.
#[derive(Debug)]
pub(super) struct Postings {
    roles: Lists,
    sessions: Lists,
    tags: Lists,
}

/// What a list of postings is of, with the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Posting {
    Role(u32),
    /// 0 for the memories that name no session.
    Session(u32),
    Tag(u32),
}

impl Postings {
    fn new(segment: &Segment, order: &[u32]) -> Self {
        let labels = segment.label_count();
        let of_each = |at: u32| segment.labels(at);
        Self {
            roles: Lists::new(labels, order, |at, take| take(of_each(at).0)),
            sessions: Lists::new(labels, order, |at, take| take(of_each(at).1)),
            tags: Lists::new(labels, order, |at, take| segment.tags(at).iter().copied().for_each(take)),
        }
    }

    pub(super) fn get(&self, posting: Posting) -> &[u32] {
        match posting {
            Posting::Role(label) => self.roles.get(label),
            Posting::Session(label) => self.sessions.get(label),
            Posting::Tag(label) => self.tags.get(label),
        }
    }
}

/// Lists by label, one after the other.
#[derive(Debug)]
struct Lists {
    /// Where each ends.
    ends: Box<[u32]>,
    ranks: Box<[u32]>,
}

impl Lists {
    /// `each` hands on the labels of the memory at a place.
    fn new(labels: usize, order: &[u32], each: impl Fn(u32, &mut dyn FnMut(u32))) -> Self {
        let mut ends = vec![0_u32; labels + 1];
        for at in order {
            each(*at, &mut |label| ends[label as usize] += 1);
        }
        let mut end = 0;
        for count in &mut ends {
            // Where each begins; it moves on to its end as the list is filled.
            end += std::mem::replace(count, end);
        }
        let mut ranks = vec![0; end as usize];
        for (rank, at) in (0..).zip(order) {
            each(*at, &mut |label| {
                let next = &mut ends[label as usize];
                ranks[*next as usize] = rank;
                *next += 1;
            });
        }
        Self { ends: ends.into(), ranks: ranks.into() }
    }

    fn get(&self, label: u32) -> &[u32] {
        let label = label as usize;
        let Some(end) = self.ends.get(label) else { return &[] };
        let start = if label == 0 { 0 } else { self.ends[label - 1] };
        &self.ranks[start as usize..*end as usize]
    }
}
