//! The protocol broken on purpose, one step at a time: whoever tests it has to notice.

/// A step of the mirror's protocol that is left out or done wrong. For tests of the tests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
// Without tests these are the names of what nothing can break.
pub(crate) enum Sabotage {
    /// The lease counts from the instant of the answer, not from that of the question.
    LeaseFromReply,
    /// The lease is published before the entries are taken in.
    TrustBeforeEntries,
    /// A page counts as the whole list.
    FirstPageIsAll,
    /// What the list does not know any more is forgotten here too.
    #[cfg(test)]
    ForgetWhatWasLost,
    /// The copy is looked at before the lease is.
    EntriesBeforeTrust,
    /// The clock is read before the copy is looked at.
    ClockBeforeEntries,
    /// What this node ended itself is left to the list to tell.
    OwnEndsUntold,
    /// What the list has lost is not offered to it again.
    KeepToOneself,
}

#[cfg(test)]
impl Sabotage {
    /// Every one of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::LeaseFromReply,
        Self::TrustBeforeEntries,
        Self::FirstPageIsAll,
        Self::ForgetWhatWasLost,
        Self::EntriesBeforeTrust,
        Self::ClockBeforeEntries,
        Self::OwnEndsUntold,
        Self::KeepToOneself,
    ];
}

/// Which step is broken: none, and in an ordinary build there is no way to say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Harm(#[cfg(test)] Option<Sabotage>);

impl Harm {
    /// This step.
    #[cfg(test)]
    pub(crate) const fn by(sabotage: Sabotage) -> Self {
        Self(Some(sabotage))
    }

    /// Whether it is this step.
    #[cfg(test)]
    pub(crate) fn does(self, sabotage: Sabotage) -> bool {
        self.0 == Some(sabotage)
    }

    /// What was known is forgotten when the list has lost its history, where that is the step.
    #[cfg(test)]
    pub(crate) fn forget(self, copy: &super::copy::Copy) {
        if self.does(Sabotage::ForgetWhatWasLost) {
            copy.clear();
        }
    }

    /// Nothing is.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same signature as in tests")]
    pub(crate) const fn forget(self, _: &super::copy::Copy) {}

    /// Whether it is this step.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same signature as in tests")]
    pub(crate) const fn does(self, _: Sabotage) -> bool {
        false
    }
}
