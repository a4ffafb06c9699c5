//! A page of a list, gathered from several parts within a bound.

use std::cmp::Ordering;

use crate::{Cursor, ListItem, ListPage, ListQuery};

/// A page in the making, of a store whose sessions lie in several parts (shards, buckets), or that asks for them a few at a
/// time.
///
/// Each part is searched in the order of the list, a few rows in each round, until enough is known of all of them or
/// [`ListQuery::MOST_READ`] rows were looked at. One part's answer is about one instant: what moves from one of its indexes
/// to another meanwhile is in neither too early nor too late.
#[derive(Debug)]
pub struct Gathering<'a> {
    query: &'a ListQuery,
    /// How many indexes each part is searched by at once.
    indexes: usize,
    items: Vec<(Cursor, ListItem)>,
    reached: Vec<Reached>,
    rounds: u32,
    /// Whether the last round was cut short by the bound. Another one would look at ever fewer rows.
    is_cut: bool,
    read: usize,
}

/// A part to be searched, and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its number, counted from 0.
    pub number: usize,
    /// The place behind which to search; `None` from the beginning.
    pub after: Option<Cursor>,
    /// How many rows of each index to look at, at most. Not zero.
    pub rows: usize,
}

/// How far a part has been searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    Nothing,
    /// Everything up to this place, inclusively.
    Place(Cursor),
    /// All of it.
    End,
}

impl<'a> Gathering<'a> {
    /// Nothing yet, of so many parts that are each searched by so many indexes.
    #[must_use]
    pub fn new(query: &'a ListQuery, parts: usize, indexes: usize) -> Self {
        let reached = vec![Reached::Nothing; parts];
        Self { query, indexes: indexes.max(1), items: Vec::new(), reached, rounds: 0, is_cut: false, read: 0 }
    }

    /// The parts to search next, each behind where it was left; none where the page is complete or the bound is reached.
    pub fn next_round(&mut self) -> Vec<Part> {
        let needed = self.needed();
        let unsettled = |reached: &Reached| self.compare(*reached, needed).is_lt();
        let open: Vec<usize> = (0..)
            .zip(&self.reached)
            .filter_map(|(number, reached)| unsettled(reached).then_some(number))
            .collect();
        let wanted = self.wanted();
        let left = usize::from(ListQuery::MOST_READ).saturating_sub(self.read);
        let rows = wanted.min(left.checked_div(open.len().saturating_mul(self.indexes)).unwrap_or(0));
        if rows == 0 || self.is_cut {
            return Vec::new();
        }
        self.is_cut = rows < wanted;
        self.rounds += 1;
        let after = |number: usize| match self.reached.get(number) {
            Some(Reached::Place(place)) => Some(*place),
            Some(Reached::Nothing | Reached::End) | None => self.query.after,
        };
        open.into_iter().map(|number| Part { number, after: after(number), rows }).collect()
    }

    /// Takes in what was found in a part, each at its place, from `read` rows, and the last place up to which all of its indexes were
    /// searched; `None` where that was the end of each.
    ///
    /// What was found beyond that place may be among the items; it is found again.
    pub fn take_in(
        &mut self,
        part: usize,
        items: impl IntoIterator<Item = (Cursor, ListItem)>,
        read: usize,
        reached: Option<Cursor>,
    ) {
        let order = self.query.order;
        let is_known = |(place, _): &(Cursor, ListItem)| {
            reached.is_none_or(|reached| order.compare(*place, reached).is_le())
        };
        self.items.extend(items.into_iter().filter(is_known));
        self.read = self.read.saturating_add(read);
        if let Some(part) = self.reached.get_mut(part) {
            *part = reached.map_or(Reached::End, Reached::Place);
        }
    }

    /// Counts rows that were looked at to find out how to search.
    pub fn charge(&mut self, read: usize) {
        self.read = self.read.saturating_add(read);
    }

    /// The page: what is known up to the place that every part has reached.
    #[must_use]
    pub fn finish(mut self) -> ListPage {
        let limit = usize::from(self.query.limit.get());
        let least = self.reached.iter().copied().min_by(|one, other| self.compare(*one, *other));
        let horizon = match least {
            Some(Reached::Place(place)) => Some(place),
            Some(Reached::Nothing) => self.query.after,
            Some(Reached::End) | None => None,
        };
        let order = self.query.order;
        let mut items = std::mem::take(&mut self.items);
        items.retain(|(place, _)| horizon.is_none_or(|horizon| order.compare(*place, horizon).is_le()));
        items.sort_unstable_by(|(one, _), (other, _)| order.compare(*one, *other));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|(place, _)| *place) } else { horizon };
        let items = items.into_iter().map(|(_, item)| item).collect();
        ListPage { items, next, read: u64::try_from(self.read).unwrap_or(u64::MAX) }
    }

    /// How far every part has to be searched for the page to be complete. One item more than fits tells whether there is
    /// another page.
    fn needed(&mut self) -> Reached {
        let (order, limit) = (self.query.order, usize::from(self.query.limit.get()));
        if self.items.len() <= limit {
            return Reached::End;
        }
        let by_place =
            |(one, _): &(Cursor, ListItem), (other, _): &(Cursor, ListItem)| order.compare(*one, *other);
        let (_, (last, _), _) = self.items.select_nth_unstable_by(limit, by_place);
        Reached::Place(*last)
    }

    /// Few rows at first, since most lists let most rows through; then more and more.
    fn wanted(&self) -> usize {
        let limit = usize::from(self.query.limit.get());
        let (first, growth) = match self.reached.len() {
            1 => (limit.saturating_add(1), GROWTH_OF_ONE),
            // As many as come of a part on average, and twice the deviation; of few parts come more, and those are asked again.
            parts => (limit / parts + (4 * limit / parts).isqrt() + 2, GROWTH),
        };
        first.saturating_mul(growth.saturating_pow(self.rounds))
    }

    fn compare(&self, one: Reached, other: Reached) -> Ordering {
        match (one, other) {
            (Reached::Place(one), Reached::Place(other)) => self.query.order.compare(one, other),
            _ => one.rank().cmp(&other.rank()),
        }
    }
}

impl Reached {
    fn rank(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Place(_) => 1,
            Self::End => 2,
        }
    }
}

/// Each round looks at so many times as many rows of a part as the round before: a filter lets few of them through.
const GROWTH: usize = 2;
/// The same where there is but one part, and each round a round trip.
const GROWTH_OF_ONE: usize = 8;
