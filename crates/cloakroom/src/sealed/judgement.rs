//! What a token means by what is known of it: one table, by which everybody judges who judges sealed sessions.
//!
//! Plain values in and out. What is known is looked up by [`Mirror::look`](super::Mirror::look) and by time; what is done about it
//! is done by whoever asks.

use super::mirror::Need;
use super::{By, WhenUnreachable};

/// What is known of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    pub(crate) says: Says,
    /// Whether its issuer had read more of the list than this node.
    pub(crate) knows_more: bool,
    pub(crate) time: Time,
    pub(crate) by: By,
    pub(crate) unreachable: WhenUnreachable,
}

/// What this node's copy of the list says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Says {
    /// It is over, whatever else is in the list.
    Over,
    /// It is over, unless it was begun by a node that knew of an end which was written here and not read back yet.
    OverUnlessLater,
    /// Nothing covers it, and the copy may be believed.
    Clear,
    /// Nothing that is known here covers it; but more may be in the list by now.
    Unproven,
}

/// What the clock says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    Within,
    /// It has expired.
    Over,
    /// It was begun or used later than any clock could say, and than anything that it had to come after, as far as that was read.
    Ahead,
}

/// What it comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judgement {
    /// What covers it holds.
    Over,
    /// Nothing does but time.
    Stands,
    /// The same as far as is known, which is not all.
    StandsUnproven,
    /// Nobody can say: neither is it let in, nor is its client told to forget it.
    Ahead,
}

impl Facts {
    /// What it comes to by what is known here; or what the list has to be read for first.
    pub(crate) fn at_once(self) -> Result<Judgement, Need> {
        match (self.says, self.knows_more, self.time) {
            _ if self.is_over() => Ok(Judgement::Over),
            (_, _, Time::Ahead) => Err(Need::Fresh),
            (_, _, Time::Over) => Ok(Judgement::Stands),
            (Says::Clear, false, Time::Within) if self.by == By::Memory => Ok(Judgement::Stands),
            (Says::Unproven, false, Time::Within) if self.by == By::Memory => Err(Need::Trust),
            _ => Err(Need::Fresh),
        }
    }

    /// What it comes to after the list was read, or could not be: by what is known since.
    ///
    /// # Errors
    /// Why it could not be read, where it must not be guessed.
    pub(crate) fn after<E>(self, read: Result<(), E>) -> Result<Judgement, E> {
        let is_guessed = self.unreachable == WhenUnreachable::Open && self.by == By::Memory;
        match (self.time, read) {
            _ if self.is_over() => Ok(Judgement::Over),
            (Time::Ahead, Ok(())) => Ok(Judgement::Ahead),
            (Time::Over, _) => Ok(Judgement::Stands),
            // Who knows more than there is: of another list, or forged with a stolen key.
            (Time::Within, Ok(())) if self.knows_more => Ok(Judgement::Ahead),
            // What holds here was lost by the list, or came since.
            (Time::Within, Ok(())) if self.says != Says::OverUnlessLater => Ok(Judgement::Stands),
            (Time::Within, Ok(())) if is_guessed => Ok(Judgement::StandsUnproven),
            (Time::Within, Ok(())) => Ok(Judgement::Ahead),
            (Time::Within, Err(_)) if is_guessed => Ok(Judgement::StandsUnproven),
            (Time::Ahead | Time::Within, Err(error)) => Err(error),
        }
    }

    /// Whether what covers it holds, by what is in memory now.
    ///
    /// An end that was written here and not read back covers whoever did not know of it. Whoever did had read more than this node. Where
    /// sessions are begun only after the list was read, all others did not; where they may be begun without, they may have come
    /// later, and would be locked out of this node.
    pub(crate) fn is_over(self) -> bool {
        match self.says {
            Says::Over => true,
            Says::OverUnlessLater => !self.knows_more && self.unreachable == WhenUnreachable::Closed,
            Says::Clear | Says::Unproven => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At once; after the list was read; after it could not be.
    fn told(facts: Facts) -> String {
        let said = |judgement| match judgement {
            Judgement::Over => "over",
            Judgement::Stands => "stands",
            Judgement::StandsUnproven => "guessed",
            Judgement::Ahead => "ahead",
        };
        let at_once = match facts.at_once() {
            Ok(judgement) => return said(judgement).into(),
            Err(Need::Trust) => "trust",
            Err(Need::Fresh) => "fresh",
            Err(Need::Turn) => "turn",
        };
        let after = |read: Result<(), ()>| facts.after(read).map_or("503", said);
        format!("{at_once} {} {}", after(Ok(())), after(Err(())))
    }

    fn row(says: Says, knows_more: bool, time: Time) -> [String; 4] {
        let of = |by, unreachable| told(Facts { says, knows_more, time, by, unreachable });
        [
            of(By::Memory, WhenUnreachable::Closed),
            of(By::List, WhenUnreachable::Closed),
            of(By::Memory, WhenUnreachable::Open),
            of(By::List, WhenUnreachable::Open),
        ]
    }

    #[test]
    fn whatever_is_known_of_a_token_it_is_judged_by_one_table() {
        use Says::{Clear, Over, OverUnlessLater, Unproven};
        use Time::{Ahead, Within};
        let over = Time::Over;
        // What is said, whether it knows more, time | memory, closed | list, closed | memory, open | list, open.
        // Where the list has to be read: for what, then if it was read, then if it could not be.
        for (says, knows_more, time, expected) in [
            (Over, false, Within, ["over"; 4]),
            (Over, true, Within, ["over"; 4]),
            (Over, false, over, ["over"; 4]),
            (Over, true, over, ["over"; 4]),
            (Over, false, Ahead, ["over"; 4]),
            (Over, true, Ahead, ["over"; 4]),
            (OverUnlessLater, false, Within, ["over", "over", "fresh guessed guessed", "fresh ahead 503"]),
            (
                OverUnlessLater,
                true,
                Within,
                ["fresh ahead 503", "fresh ahead 503", "fresh ahead guessed", "fresh ahead 503"],
            ),
            (OverUnlessLater, false, over, ["over", "over", "stands", "stands"]),
            (OverUnlessLater, true, over, ["stands"; 4]),
            (OverUnlessLater, false, Ahead, ["over", "over", "fresh ahead 503", "fresh ahead 503"]),
            (OverUnlessLater, true, Ahead, ["fresh ahead 503"; 4]),
            (Clear, false, Within, ["stands", "fresh stands 503", "stands", "fresh stands 503"]),
            (
                Clear,
                true,
                Within,
                ["fresh ahead 503", "fresh ahead 503", "fresh ahead guessed", "fresh ahead 503"],
            ),
            (Clear, false, over, ["stands"; 4]),
            (Clear, true, over, ["stands"; 4]),
            (Clear, false, Ahead, ["fresh ahead 503"; 4]),
            (Clear, true, Ahead, ["fresh ahead 503"; 4]),
            (
                Unproven,
                false,
                Within,
                ["trust stands 503", "fresh stands 503", "trust stands guessed", "fresh stands 503"],
            ),
            (
                Unproven,
                true,
                Within,
                ["fresh ahead 503", "fresh ahead 503", "fresh ahead guessed", "fresh ahead 503"],
            ),
            (Unproven, false, over, ["stands"; 4]),
            (Unproven, true, over, ["stands"; 4]),
            (Unproven, false, Ahead, ["fresh ahead 503"; 4]),
            (Unproven, true, Ahead, ["fresh ahead 503"; 4]),
        ] {
            assert_eq!(row(says, knows_more, time), expected, "{says:?}, knows more: {knows_more}, {time:?}");
        }
    }
}
