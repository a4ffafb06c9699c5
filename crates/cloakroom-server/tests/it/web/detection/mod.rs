//! Detection from outside: what ordinary traffic gives no sign of, and what attacks do, replayed through the whole server
//! in virtual time. Each trace is a file; see [`trace`] for how to read one.

mod calling;
mod forging;
mod trace;

use std::path::Path;

/// Plays a trace, and compares the signals it gave with those it expects.
async fn check(path: &Path) {
    trace::Trace::read(path).play().await;
}

macro_rules! traces {
    ($directory:literal: $($(#[$about:meta])* $name:ident = $file:literal,)+) => {
        $(
            $(#[$about])*
            #[tokio::test]
            async fn $name() {
                let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/web/detection/");
                check(&Path::new(tests).join($directory).join($file)).await;
            }
        )+

        #[test]
        fn every_trace_is_played() {
            let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/web/detection/");
            let files = std::fs::read_dir(Path::new(tests).join($directory)).unwrap();
            let mut there: Vec<String> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            there.sort();
            let mut played = vec![$($file),+];
            played.sort_unstable();
            assert_eq!(there, played);
        }
    };
}

mod ordinary {
    use super::*;

    traces! { "ordinary":
        a_browser_that_is_updated_is_the_same_browser = "browser-update.txt",
        a_crawler_without_cookies_is_nobody = "crawler.txt",
        a_device_with_addresses_of_both_families_is_one_device = "dual-stack.txt",
        somebody_who_forgets_passwords_and_signs_out_a_lot_is_no_thief = "forgetful.txt",
        a_laptop_goes_from_home_to_the_office_and_back = "laptop.txt",
        a_phone_changes_networks_all_day = "mobile.txt",
        a_household_shares_an_address = "nat.txt",
        two_hundred_people_share_an_address = "office.txt",
        requests_that_race_with_an_exchange_are_no_replay = "rotation.txt",
        a_train_ride_through_one_country_is_no_impossible_travel = "train.txt",
    }
}

mod attacks {
    use super::*;

    traces! { "attacks":
        a_cookie_in_another_program_has_to_prove_identity = "another-program.txt",
        a_cookie_abroad_is_noticed_with_a_database = "another-country.txt",
        a_cookie_in_another_network_is_noticed = "another-network.txt",
        nobody_is_in_berlin_and_in_tokyo = "impossible-travel.txt",
        a_cookie_that_two_use_at_once_is_noticed = "parallel-use.txt",
        an_account_that_is_guessed_at_is_noticed_and_its_owner_undisturbed = "password-guessing.txt",
        a_token_that_was_exchanged_ends_its_session = "replay.txt",
        a_token_replayed_at_once_from_another_device_ends_its_session = "replay-at-once.txt",
        a_program_that_signs_in_again_and_again_is_noticed = "sign-in-burst.txt",
        an_address_that_guesses_tokens_is_noticed = "token-guessing.txt",
        the_cookie_of_somebody_who_signed_out_is_noticed = "used-after-end.txt",
        a_network_that_is_answered_with_an_end_ends_it = "strict-network.txt",
    }
}
