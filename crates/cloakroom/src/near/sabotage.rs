//! The protocol broken on purpose, one step at a time: whoever tests it has to notice.

/// A step of the near cache's protocol that is left out or done wrong.
///
/// For tests of the tests: with any of these, the model, the simulation or the run against real servers has to find an
/// acceptance that the promise forbids, or a node that goes back on its word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[cfg_attr(
    not(any(test, feature = "sabotage")),
    expect(
        unreachable_pub,
        reason = "public with the feature; without it the names of what nothing can break"
    )
)]
pub enum Sabotage {
    /// An answer is kept although there was news of its digest while it was on its way.
    SkipMark,
    /// The mark reads whether its part is trusted before it reads the part's generation.
    MarkTrustFirst,
    /// An answer is kept although nothing was covered when the store was asked.
    FillWhileUntrusted,
    /// An answer is filed under the generation that is current when it arrives, whatever it was when the store was asked.
    FillAcrossGap,
    /// After a gap everything is trusted as before.
    TrustAfterGap,
    /// After a gap nothing is trusted until the next proof; but what was known before is kept.
    KeepEntriesAfterGap,
    /// A proof counts although its probe was sent before a gap, or before an end by this node.
    LateProofCounts,
    /// The lease counts from the instant of the answer, not from that of the probe.
    LeaseFromReply,
    /// News of changes is not heard.
    ForgetNews,
    /// A change by this node is left to the feed to tell.
    ForgetOwnChanges,
    /// An end by this node is left to the feed to tell.
    KeepTrustAfterOwnEnd,
    /// The entry is looked up before the lease is read.
    EntryBeforeTrust,
    /// The clock is read before the entry is looked up.
    ClockBeforeEntry,
    /// A feed that is opened anew trusts what was known before it.
    ReopenKeepsEntries,
    /// What the store itself has just said to be over stays in memory as it was.
    EndedAnswerIsNoNews,
}

#[cfg(any(test, feature = "sabotage"))]
impl Sabotage {
    /// Every one of them.
    pub const ALL: [Self; 15] = [
        Self::SkipMark,
        Self::MarkTrustFirst,
        Self::FillWhileUntrusted,
        Self::FillAcrossGap,
        Self::TrustAfterGap,
        Self::KeepEntriesAfterGap,
        Self::LateProofCounts,
        Self::LeaseFromReply,
        Self::ForgetNews,
        Self::ForgetOwnChanges,
        Self::KeepTrustAfterOwnEnd,
        Self::EntryBeforeTrust,
        Self::ClockBeforeEntry,
        Self::ReopenKeepsEntries,
        Self::EndedAnswerIsNoNews,
    ];
}

/// Which step is broken: none, and in an ordinary build there is no way to say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Harm(#[cfg(any(test, feature = "sabotage"))] Option<Sabotage>);

impl Harm {
    /// This step.
    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) const fn by(sabotage: Sabotage) -> Self {
        Self(Some(sabotage))
    }

    /// Whether it is this step.
    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn does(self, sabotage: Sabotage) -> bool {
        self.0 == Some(sabotage)
    }

    /// Whether it is this step.
    #[cfg(not(any(test, feature = "sabotage")))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) const fn does(self, _: Sabotage) -> bool {
        false
    }
}
