//! Values under small numbers, in chunks: growing moves nothing, and a chunk that empties is given back.

use std::num::NonZeroU32;

/// The place of a value in a [`Slab`]. `Option<Index>` is four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Index(NonZeroU32);

impl Index {
    /// Indices stay below this number, so that a link has room for a few marks that are no index.
    pub(crate) const END: u32 = 1 << 31;

    /// The index as a number from 1.
    pub(crate) fn get(self) -> u32 {
        self.0.get()
    }

    /// The index that [`get`](Self::get) returned `number` of.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    fn new(chunk: usize, offset: usize) -> Option<Self> {
        let number = u32::try_from(chunk.checked_mul(CHUNK)?.checked_add(offset + 1)?).ok()?;
        if number < Self::END { Self::from_number(number) } else { None }
    }

    fn chunk_and_offset(self) -> (usize, usize) {
        let position = usize::try_from(self.0.get() - 1).expect("an index fits the memory it points into");
        (position / CHUNK, position % CHUNK)
    }
}

/// Values under indices that stay the same until the value is removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Option<Box<Chunk<T>>>>,
    /// For each chunk one bit for each value that is not there.
    free: Vec<u64>,
    /// Numbers of the chunks that have room, each once.
    open: Vec<usize>,
    /// Numbers of the chunks that were given back.
    gaps: Vec<usize>,
}

type Chunk<T> = [Option<T>; CHUNK];

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), open: Vec::new(), gaps: Vec::new() }
    }

    /// Puts `value` somewhere; `None`, and the value is dropped, where the numbers are used up.
    pub(crate) fn insert(&mut self, value: T) -> Option<Index> {
        let number = match self.open.last() {
            Some(number) => *number,
            None => self.add_chunk(),
        };
        let free = self.free.get_mut(number).expect(OPEN);
        let offset = usize::try_from(free.trailing_zeros()).expect("a bit's number is small");
        let index = Index::new(number, offset)?;
        *free &= *free - 1;
        if *free == 0 {
            self.open.pop();
        }
        let chunk = self.chunks.get_mut(number).and_then(Option::as_mut).expect(OPEN);
        *chunk.get_mut(offset).expect(OPEN) = Some(value);
        Some(index)
    }

    /// Takes the value out; its index may be given to another one.
    pub(crate) fn remove(&mut self, index: Index) -> T {
        let (number, offset) = index.chunk_and_offset();
        let chunk = self.chunks.get_mut(number).and_then(Option::as_mut).expect(LEADS);
        let value = chunk.get_mut(offset).and_then(Option::take).expect(LEADS);
        let free = self.free.get_mut(number).expect(LEADS);
        if *free == 0 {
            self.open.push(number);
        }
        *free |= 1 << offset;
        // The last open chunk is kept: a session that comes and goes shall not allocate a chunk each time.
        if *free == u64::MAX && self.open.len() > 1 {
            self.open.retain(|open| *open != number);
            self.chunks.get_mut(number).expect(LEADS).take();
            self.gaps.push(number);
        }
        value
    }

    pub(crate) fn get(&self, index: Index) -> &T {
        let (number, offset) = index.chunk_and_offset();
        let chunk = self.chunks.get(number).and_then(Option::as_ref);
        chunk.and_then(|chunk| chunk.get(offset)).and_then(Option::as_ref).expect(LEADS)
    }

    pub(crate) fn get_mut(&mut self, index: Index) -> &mut T {
        self.find_mut(index).expect(LEADS)
    }

    /// The value under an index that may be out of date.
    pub(crate) fn find_mut(&mut self, index: Index) -> Option<&mut T> {
        let (number, offset) = index.chunk_and_offset();
        self.chunks.get_mut(number)?.as_mut()?.get_mut(offset)?.as_mut()
    }

    /// The first value at or after position `from`, counted from 0, and the position after it.
    pub(crate) fn next(&self, from: usize) -> Option<(Index, usize)> {
        let (mut number, mut offset) = (from / CHUNK, from % CHUNK);
        while let Some(free) = self.free.get(number) {
            let there = !free & (u64::MAX << offset);
            if there != 0 {
                let found = usize::try_from(there.trailing_zeros()).expect("a bit's number is small");
                return Some((Index::new(number, found)?, number * CHUNK + found + 1));
            }
            (number, offset) = (number + 1, 0);
        }
        None
    }

    /// All values, in the order of their positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Index, &T)> {
        let mut position = 0;
        std::iter::from_fn(move || {
            let (index, after) = self.next(position)?;
            position = after;
            Some((index, self.get(index)))
        })
    }

    fn add_chunk(&mut self) -> usize {
        let values: Box<[Option<T>]> = (0..CHUNK).map(|_| None).collect();
        let chunk = values.try_into().ok();
        let number = self.gaps.pop().unwrap_or(self.chunks.len());
        match self.chunks.get_mut(number) {
            Some(gap) => *gap = chunk,
            None => {
                self.chunks.push(chunk);
                self.free.push(u64::MAX);
            }
        }
        self.open.push(number);
        number
    }
}

/// Values in a chunk: one for each bit of a word.
const CHUNK: usize = 64;
const OPEN: &str = "an open chunk is there and has room";
const LEADS: &str = "an index is forgotten together with its value";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_under_their_index_while_others_come_and_go() {
        let mut slab = Slab::new();
        let indices: Vec<Index> = (0..1_000).map(|value| slab.insert(value).unwrap()).collect();
        for index in indices.iter().step_by(2) {
            slab.remove(*index);
        }
        for value in 1_000..1_200 {
            slab.insert(value).unwrap();
        }
        for (value, index) in indices.iter().enumerate().skip(1).step_by(2) {
            assert_eq!(*slab.get(*index), value);
        }
        assert_eq!(slab.iter().count(), 700);
    }

    #[test]
    fn a_chunk_that_empties_is_given_back_and_its_number_used_again() {
        let mut slab = Slab::new();
        let indices: Vec<Index> = (0..CHUNK * 10).map(|value| slab.insert(value).unwrap()).collect();
        for index in &indices {
            slab.remove(*index);
        }
        assert_eq!(slab.chunks.iter().flatten().count(), 1, "one is kept");
        for value in 0..CHUNK * 10 {
            slab.insert(value).unwrap();
        }
        assert_eq!(slab.chunks.len(), 10);
        assert_eq!(slab.iter().count(), CHUNK * 10);
    }

    #[test]
    fn an_optional_index_takes_four_bytes() {
        assert_eq!(size_of::<Option<Index>>(), 4);
    }
}
