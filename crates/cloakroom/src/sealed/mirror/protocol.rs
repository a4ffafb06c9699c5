//! When a copy of the list may be believed: the decisions alone, without async, clock, I/O or threads.
//!
//! Instants are readings of one node's monotonic clock in nanoseconds. Everything here is a plain value, so that a model
//! checker can put it into every state.

use cloakroom_core::Timestamp;
use cloakroom_store::{Place, Reading};

/// How far a node has read, and in which of the list's histories: a list that was restored, failed over or emptied begins
/// another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Course {
    place: Place,
    history: u32,
}

/// What an answer of the list is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// Its entries are to be taken in, under this history; then there is more to be read.
    More(u32),
    /// Its entries are to be taken in, under this history; then the copy is complete as of the moment it was asked for.
    Complete(u32),
    /// The list does not know the place any more: it is to be read from its start. What is known stays known.
    Anew,
    /// It makes no sense: numbers that do not rise, a start that is lost. Nothing is taken in.
    Nonsense,
}

impl Default for Course {
    fn default() -> Self {
        Self { place: Place::START, history: 1 }
    }
}

impl Course {
    /// From where to read.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// The same history, to be read once more from its start.
    pub(crate) const fn anew(self) -> Self {
        Self { place: Place::START, ..self }
    }

    /// What was asked for at this place has been answered.
    ///
    /// The place moves on: the entries are to be taken in before anything is asked again, and before anything is believed.
    pub(crate) fn answered(&mut self, reading: &Reading) -> Step {
        match reading {
            Reading::Lost if self.place == Place::START => Step::Nonsense,
            Reading::Lost => {
                self.place = Place::START;
                self.history = self.history.saturating_add(1);
                Step::Anew
            }
            Reading::Entries { entries, more } => {
                let mut last = self.place.number;
                for (number, _) in entries {
                    if *number <= last {
                        return Step::Nonsense;
                    }
                    last = *number;
                }
                if *more && entries.is_empty() {
                    return Step::Nonsense;
                }
                if let Some((number, entry)) = entries.last() {
                    self.place = Place { number: *number, nonce: entry.nonce };
                }
                if *more { Step::More(self.history) } else { Step::Complete(self.history) }
            }
        }
    }
}

/// What a reading is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// To be trusted again: whoever's reading brings that will do, and one that has just failed is not repeated at once.
    Trust,
    /// To know what is in the list now: only a reading that begins after this will do.
    Fresh,
    /// To keep on reading, whatever has just failed.
    Turn,
}

/// How whoever wants a reading, and whose turn it is now, is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The copy may be believed: another's reading has brought that meanwhile.
    Trusted,
    /// As another's reading was that began after this was asked.
    Anothers,
    /// A reading has failed a moment ago.
    TooSoon,
    /// The list is to be read.
    Read,
}

/// What whoever wants a reading finds when it is their turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The copy may be believed.
    pub(crate) is_trusted: bool,
    /// The last reading began after this one was asked for.
    pub(crate) is_later: bool,
    /// The last reading failed; how long ago is less than what is rested after a failure.
    pub(crate) failed: Option<Rest>,
}

/// How long ago the last reading failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// Nobody tries again yet, but for who reads all the time.
    Rests,
    Over,
}

impl Need {
    /// How it is answered that a reading is needed for this.
    pub(crate) fn answer(self, found: Found) -> Answer {
        let Found { is_trusted, is_later, failed } = found;
        match (self, failed) {
            (Self::Trust, _) if is_trusted => Answer::Trusted,
            _ if is_later => Answer::Anothers,
            (Self::Trust | Self::Fresh, Some(Rest::Rests)) => Answer::TooSoon,
            _ => Answer::Read,
        }
    }
}

/// Until when the copy may be used: a lease after the newest complete reading was *sent*.
///
/// What was acknowledged before that instant is in the copy, because an answer of the list holds all that was acknowledged before it
/// was asked. What is acknowledged later is accepted for no longer than a lease after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Trust(u64);

impl Trust {
    pub(crate) const fn from_nanos(until: u64) -> Self {
        Self(until)
    }

    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    /// The last page of a complete reading was sent at `sent_at`; all of it is in the copy.
    #[must_use]
    pub(crate) fn read(self, sent_at: u64, lease: u64) -> Self {
        // A reading that took its time takes nothing back.
        Self(self.0.max(sent_at.saturating_add(lease)))
    }

    /// Whether a reader may go by the copy that read this first, then the copy, and then the clock.
    ///
    /// In this order: a reader that pauses in between would else go by an old copy under a new lease.
    pub(crate) const fn holds(self, now: u64) -> bool {
        now < self.0
    }
}

/// What a look at the copy reads, one after the other, while others write. Each may be followed by whatever they do.
pub(crate) trait Words {
    /// What the copy says where something covers the token.
    type Cover;
    /// Why reading stops halfway.
    type Stop;

    /// The greatest number that was ever taken in. It follows its entry.
    fn newest(&self) -> Result<u64, Self::Stop>;
    /// How often what was forgotten has been read anew. It follows the trust that is taken back for that, and comes before what was
    /// forgotten counts as known.
    fn anew(&self) -> Result<u64, Self::Stop>;
    /// What was over by this instant was forgotten. It comes before the forgetting.
    fn forgot(&self) -> Result<Timestamp, Self::Stop>;
    /// It follows the entries by which it was earned.
    fn trust(&self) -> Result<Trust, Self::Stop>;
    /// The copy.
    fn cover(&self) -> Result<Option<Self::Cover>, Self::Stop>;
    /// This node's monotonic clock.
    fn clock(&self) -> Result<u64, Self::Stop>;
}

/// What is changed beside the looks when all is read anew, because too much was forgotten.
pub(crate) trait Anew {
    fn take_trust_back(&self);
    fn count(&self);
    fn forgot_nothing(&self);
}

/// In this order: whoever finds nothing forgotten must not find the trust of before, and whoever found that must find out that it was
/// taken back.
pub(crate) fn begin_anew(words: &impl Anew) {
    words.take_trust_back();
    words.count();
    words.forgot_nothing();
}

/// What a look at the copy saw.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Look<C> {
    /// What covers the token.
    pub(crate) cover: Option<C>,
    /// Nothing does, and the copy may be believed.
    pub(crate) is_clear: bool,
    /// Its issuer had read more of the list than this node.
    pub(crate) knows_more: bool,
}

/// Looks what the copy says at `now` of a token that knows of entries up to `known`. All that counts is the order.
///
/// - The newest number before the copy: an end that is read back meanwhile is not held any more, and whoever knew of it did know more.
/// - The trust before the copy, and the clock after it: or a reader that pauses would go by an old copy under a new lease.
/// - What was forgotten before the trust, because that is taken back first; and once more after the copy, because it is said first; and
///   whether both have happened in between.
pub(crate) fn look<W: Words>(words: &W, known: u64, now: Timestamp) -> Result<Look<W::Cover>, W::Stop> {
    let knows_more = known > words.newest()?;
    let anew = words.anew()?;
    let knew_all = words.forgot()? <= now;
    let trust = words.trust()?;
    if let cover @ Some(_) = words.cover()? {
        return Ok(Look { cover, is_clear: false, knows_more });
    }
    let is_clear = knew_all && words.forgot()? <= now && words.anew()? == anew && trust.holds(words.clock()?);
    Ok(Look { cover: None, is_clear, knows_more })
}
