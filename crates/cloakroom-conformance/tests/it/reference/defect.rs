//! The ways to be wrong, each with the case that has to find it.

/// Declares the defects and the table of who finds them.
macro_rules! defects {
    ($($defect:ident => $($case:literal)|+,)+) => {
        /// A way to be wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Defect {
            $($defect,)+
        }

        impl Defect {
            /// Every defect, and each case that finds it.
            pub(crate) const FOUND_BY: &[(Self, &str)] = &[$($((Self::$defect, $case),)+)+];
        }
    };
}

defects! {
    InsertOverwritesDigests => "insert::a_digest_that_is_taken_is_refused",
    InsertOverwritesIds => "insert::an_id_that_is_taken_is_refused",
    InsertOverwritesTombstones => "insert::digest_and_id_of_an_ended_session_are_taken",
    InsertOverwritesRetiredTokens => "insert::the_digest_of_a_retired_token_is_taken",
    ReplacedSessionsLiveOn => "insert::a_session_that_replaces_another_ends_it_in_the_same_step",
    LimitIsCheckedFirst => "limit::parallel_sign_ins_never_exceed_it_and_put_out_as_many_as_too_many",
    LimitCountsTheExpired => "limit::sessions_that_are_over_do_not_count",
    LimitCountsTheReplaced => "limit::a_session_that_is_replaced_does_not_count",
    LimitEndsTheWrongOne => "limit::the_session_unused_for_longest_ends",
    LimitEndsOneAtMost => "limit::a_limit_that_was_lowered_ends_as_many_as_are_too_many",
    LimitPutsOutTheNewcomer =>
        "limit::whoever_signs_in_is_not_put_out_by_that_however_slow_their_nodes_clock",
    RefusedSignInsReplaceAllTheSame => "limit::a_session_that_is_replaced_lives_where_the_sign_in_is_refused",
    PutOutUnreported => "limit::whoever_was_put_out_is_reported_once",
    GetReturnsTheExpired => "get::an_expired_session_is_never_live_before_or_after_a_sweep",
    GetIsActivity => "get::looking_is_not_activity",
    ExpiresAfterTheInstant => "get::a_session_ends_at_the_instant_of_its_idle_timeout",
    ReplaceCreates => "replace::a_session_that_was_never_filed_is_not_created",
    ReplaceRevives => "replace::a_session_that_ended_stays_ended",
    ReplaceIgnoresExpiry => "replace::a_session_is_over_at_the_instant_of_its_timeout",
    ReplaceIgnoresTheVersion => "replace::another_version_is_a_conflict_that_answers_the_current_session",
    ReplaceKeepsTheVersion => "replace::the_record_is_replaced_and_has_the_next_version",
    ReplaceIsActivity => "replace::replacing_is_not_activity",
    ReplaceReadsThenWrites => "race::of_many_changes_of_one_session_every_one_counts",
    ReplaceForgetsEndsOfAll => "end_all::nothing_revives_a_session_that_ended_with_the_others",
    RekeyRetiresFirst => "race::at_every_instant_exactly_one_token_of_an_exchange_is_live",
    RekeyRetiresLater => "race::at_every_instant_exactly_one_token_of_an_exchange_is_live",
    RekeyStopsHalfWay => "cancel::an_exchange_that_nobody_waits_for_happens_whole_or_not_at_all",
    InsertStopsHalfWay => "cancel::an_insert_that_nobody_waits_for_happens_whole_or_not_at_all",
    RekeyReadsThenWrites => "race::a_sign_out_is_not_undone_by_an_exchange_of_the_token_at_the_same_time",
    RekeyLeavesTheOldToken => "rekey::the_session_lives_under_the_new_token_and_the_old_one_is_retired",
    RekeyForgetsTheOldToken => "rekey::a_token_is_exchanged_only_once",
    RekeyOverwrites => "rekey::a_new_token_that_is_taken_is_refused",
    RekeyIgnoresTheVersion => "rekey::another_version_is_a_conflict_that_answers_the_current_session",
    RekeyIsNoActivity => "rekey::an_exchange_is_activity",
    RekeyRevives => "rekey::a_session_that_ended_stays_ended",
    RetiredReadsAsUnknown => "rekey::every_token_of_a_chain_stays_retired",
    RetiredTokensStillWrite => "replace::a_retired_token_changes_nothing",
    RetiredTokensStillExchange => "rekey::a_token_is_exchanged_only_once",
    RetiredTokensStillTouch => "rekey::a_retired_token_is_no_activity",
    RetiredTokensGoWithTheirSession => "rekey::a_retired_token_stays_retired_after_its_session_ended_until_its_retention_ends",
    RetiredTokensAreSwept => "rekey::a_retired_token_is_kept_for_its_retention_while_the_session_lives",
    RetiredTokensAreKeptForever => "rekey::nothing_is_left_of_a_retired_token_when_nothing_is_left_of_its_session",
    TouchRevives => "touch::a_session_that_ended_is_not_revived",
    TouchRevivesTheExpired => "touch::a_touch_in_the_last_millisecond_counts_and_one_at_the_idle_instant_does_not",
    TouchIsJudgedByWhenItWasSeen => "touch::a_touch_that_comes_too_late_changes_nothing_however_early_it_was_seen",
    TouchPassesTheAbsoluteInstant => "touch::a_touch_from_beyond_the_absolute_instant_lengthens_nothing",
    TouchGoesBack => "touch::activity_moves_forward_only",
    TouchRaisesTheVersion => "replace::activity_is_no_conflict",
    TouchReadsThenWrites => "race::a_sign_out_is_not_undone_by_activity_at_the_same_time",
    EndReportsAgain => "end::ending_again_reports_nothing_and_keeps_the_first_reason_and_instant",
    EndOverwritesTheReason => "end::ending_again_reports_nothing_and_keeps_the_first_reason_and_instant",
    EndForgetsTheException => "end::the_excepted_session_lives_on",
    EndLeavesNothing => "end::a_tombstone_stays_until_its_retention_ends",
    EndSkipsTheExpired => "end::a_session_that_looked_expired_here_is_refused_by_a_clock_behind_too",
    EndReadsThenWrites => "race::of_many_ends_of_one_session_exactly_one_reports_it",
    PrincipalsAreComparedLoosely => "end::principals_are_told_apart_byte_by_byte",
    ReasonsAreLost => "end::every_reason_reads_back",
    AllComparesTheInstantOfIssue => "end_all::a_session_issued_by_a_clock_ahead_ends_too",
    AllEndsWhatComesInTheSameMillisecond => "end_all::a_session_issued_afterwards_in_the_same_millisecond_lives",
    AllRenamesTheExpired => "end_all::a_session_that_idled_out_before_keeps_its_timeout_as_reason",
    AllCountsTheDead => "end_all::ending_everything_again_ends_nothing_more_and_keeps_the_first_reason",
    LaterEndsOfAllWin => "end_all::ends_in_stages_each_have_their_own_reason",
    IssuedBeforeIncludesTheInstant => "end_all::ending_what_was_issued_before_an_instant_ends_nothing_issued_at_it",
    IssuedBeforeForgetsLatecomers =>
        "end_all::a_session_issued_before_the_instant_is_refused_even_when_it_is_filed_later",
    ListSkipsTies => "list::pages_of_every_size_hold_each_session_once",
    ListRepeatsTheLast => "list::pages_stay_stable_while_sessions_come_and_go",
    ListPromisesMore => "list::the_last_page_says_so_even_when_it_is_full",
    ListShowsTheExpired => "list::a_session_that_is_over_is_never_listed_as_live",
    ListForgetsTheAddress => "list::addresses_of_both_families_are_told_apart",
    CountTakesTokensForSessions => "count::a_new_token_is_no_other_session",
    SweepForgetsToReport => "sweep::every_session_that_expired_is_reported_exactly_once",
    SweepForgetsToReportEndsOfAll => "end_all::every_session_is_reported_exactly_once",
    SweepReportsAgainWhatItRemoves => "end::a_session_ended_by_decision_is_not_reported_by_a_sweep",
    SweepReportsItsOwnInstant => "sweep::the_report_names_the_exact_instant_however_late_it_comes",
    SweepRemovesEarly => "sweep::what_is_left_of_a_session_is_removed_from_the_instant_its_retention_ends",
    SweepRemovesLate => "sweep::what_is_left_of_a_session_is_removed_from_the_instant_its_retention_ends",
    SweepTakesTheLiving => "sweep::what_lives_is_left_alone",
    SweepKnowsNoBounds => "sweep::a_round_looks_at_no_more_than_its_limit_and_says_whether_there_is_more",
    SweepSaysItIsDone => "sweep::a_round_looks_at_no_more_than_its_limit_and_says_whether_there_is_more",
    SweepStopsAtDamage => "corrupt::a_sweep_goes_on_and_removes_it_in_the_end",
    SweepIgnoresTheLease => "shared::while_one_holds_the_lease_the_other_does_not_sweep",
    LeaseKeepsItsHolderAway => "sweep::this_node_may_sweep_again_within_its_own_lease",
    ImportOverwrites => "import::what_is_there_is_not_overwritten",
    ImportRevives => "import::what_has_ended_here_does_not_come_back",
    ImportStartsAtTheFirstVersion => "import::a_live_session_lives_as_it_was",
    ImportIsActivity => "import::a_live_session_lives_as_it_was",
    ImportIsReportedLater =>
        "import::what_is_left_of_a_session_is_filed_and_is_kept_as_long_as_where_it_was",
    ImportKeepsTombstonesNoLonger =>
        "import::what_is_left_of_a_session_is_filed_and_is_kept_as_long_as_where_it_was",
    ImportLeavesRetiredTokensOut => "import::a_retired_token_is_filed_and_writes_nothing",
    ImportForgetsEndsOfAll =>
        "import::an_end_of_everything_ends_what_was_issued_until_then_and_comes_later",
    ImportForgetsEndsThatWereCarriedOut =>
        "durable::what_comes_after_a_restart_has_ended_with_everything_before_it",
    ImportIsEndedForEver => "import::what_was_issued_after_an_end_of_everything_lives",
    ImportIsNobodys => "import::sessions_that_came_count_for_the_next_sign_in",
    ImportKeepsALimit => "import::no_limit_applies",
    ImportLooksThenFiles => "import::of_many_imports_of_one_session_exactly_one_is_done",
    ImportRenewsTheTimeout => "import::a_session_that_time_has_ended_on_the_way_is_not_live",
    RestartForgetsImports => "durable::what_came_from_another_store_is_there_after_a_restart",
    ExportLeavesRetiredTokensOut => "export::everything_is_told_as_it_is",
    ExportTellsTheFirstVersion => "export::everything_is_told_as_it_is",
    ExportStopsEarly => "export::pages_of_every_size_hold_everything",
    ExportCountsPages => "export::what_is_there_throughout_is_told_while_others_come_and_go",
    ExportTellsTheExpiredAsLive => "export::a_session_that_is_over_is_told_as_ended",
    ExportForgetsEndsOfAll => "export::everything_that_was_ended_at_once_is_told_as_ended",
    ExportTakesAnyCursor => "export::a_cursor_of_another_store_is_an_error",
    ExportStopsAtDamage => "export::a_damaged_record_is_left_out_and_counted",
    DamageReadsAsUnknown => "corrupt::a_damaged_record_is_an_error_of_its_own_kind_and_never_live",
    CannotBeDamaged => "corrupt::a_store_that_is_durable_keeps_bytes_that_can_be_damaged",
    RestartForgetsEverything => "durable::live_sessions_are_there_after_a_restart_as_they_were",
    RestartForgetsEnds => "durable::ended_sessions_stay_ended_after_a_restart",
    RestartForgetsEndsOfAll => "durable::everything_that_was_ended_at_once_stays_ended_after_a_restart",
    RestartForgetsActivity => "durable::live_sessions_are_there_after_a_restart_as_they_were",
    RestartForgetsRetiredTokens => "durable::retired_tokens_stay_retired_after_a_restart",
    LimitIsKeptByEachHandle => "shared::parallel_sign_ins_at_both_never_exceed_the_limit"
        | "shared::of_parallel_sign_ins_at_both_exactly_as_many_succeed_as_are_allowed",
    ReplaceRevivesWhatEndedMeanwhile => "race::a_sign_out_is_not_undone_by_a_change_at_the_same_time",
    ReplaceIsAtomicForEachHandle => "shared::of_many_changes_by_both_every_one_counts"
        | "shared::a_sign_out_at_one_is_not_undone_by_a_change_at_the_other",
    TouchIsAtomicForEachHandle => "shared::a_sign_out_at_one_is_not_undone_by_activity_at_the_other",
    RekeyIsAtomicForEachHandle => "shared::of_parallel_exchanges_at_both_exactly_one_is_done"
        | "shared::a_sign_out_at_one_is_not_undone_by_an_exchange_of_the_token_at_the_other",
    EachHandleKnowsWhomItSignedIn =>
        "shared::whoever_signed_in_at_one_before_the_other_ended_all_their_sessions_is_out",
    EachHandleEndsWhatItFiled =>
        "shared::whoever_signed_in_at_one_before_the_other_ended_everything_is_out",
    EndOfAPrincipalComesLater => "race::whoever_signed_in_before_all_of_their_sessions_ended_is_out",
    EndOfAllComesLater => "race::whoever_signed_in_before_everything_ended_is_out",
    HandlesShareNothing => "shared::what_one_ends_the_other_refuses",
    UnderstatesDurability => "durable::a_store_that_claims_not_to_be_durable_starts_empty",
    UnderstatesSharing => "shared::a_store_that_claims_not_to_be_shared_knows_nothing_of_another",
    UnderstatesListing => "unsupported::a_list_answers_unsupported",
    UnderstatesLimits => "unsupported::an_insert_with_a_limit_answers_unsupported_and_files_nothing",
}
