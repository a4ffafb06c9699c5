//! A server whose memory is full.

use cloakroom_conformance::{Filing, Fixtures, Seeded, T0, at, principal_id};
use cloakroom_servers::Redis;
use cloakroom_store::{Applied, ErrorKind, Inserted, Lookup, Selector, Store as _, SweepRequest};

use super::{alice, end, end_one, file, is_live, lasting, open, run, take_any, touch};

/// Fills the server until it refuses.
async fn fill(
    store: &cloakroom_redis::RedisStore,
    fixtures: &mut Fixtures,
) -> (Vec<Filing>, cloakroom_store::StoreError) {
    let mut filings = Vec::new();
    loop {
        let filing = alice(fixtures).with_attribute("cart", vec![7; 1_000]);
        match file(store, &filing, None).await {
            Ok(_) => filings.push(filing),
            Err(error) => return (filings, error),
        }
        assert!(filings.len() < 100_000, "a server with a limit is full at some time");
    }
}

#[test]
fn a_full_server_refuses_sign_ins_and_lets_everybody_read_be_active_and_sign_out() {
    let server = Redis::start_with(&["--maxmemory", "6mb", "--maxmemory-policy", "noeviction"]).unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let (filings, error) = fill(&store, &mut fixtures).await;
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Full, Applied::No), "{error:?}");
        assert!(filings.len() > 100, "{}", filings.len());
        for filing in &filings {
            assert!(is_live(&store, filing).await.unwrap(), "nobody is signed out by it");
        }
        assert_eq!(touch(&store, &filings[0], at(5)).await.unwrap().touched, 1);
        assert_eq!(end_one(&store, &filings[1]).await.unwrap().ended.len(), 1);
        assert!(matches!(store.get(filings[1].digest, T0).await.unwrap(), Lookup::Ended(_)));
        store.ping().await.expect_err("it cannot be written to");
        let selector =
            Selector::Principal { principal: principal_id("alice"), except: Some(filings[0].id()) };
        assert_eq!(end(&store, selector, T0).await.unwrap().ended.len(), filings.len() - 2);
        end(&store, Selector::All, T0).await.unwrap();
        store
            .sweep(SweepRequest { now: at(1), limit: 1_000, lease: std::time::Duration::ZERO })
            .await
            .unwrap();
        // Ended sessions leave little: there is room again.
        let filing = lasting(fixtures.signed_in("bob"));
        assert_eq!(file(&store, &filing, None).await.unwrap(), Inserted::Done { ended: Vec::new() });
        for filing in &filings {
            assert!(!is_live(&store, filing).await.unwrap());
        }
    });
}

#[test]
fn a_full_server_that_evicts_forgets_sessions_and_revives_none() {
    for policy in ["allkeys-lru", "allkeys-random", "volatile-lru"] {
        let server = Redis::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", policy]).unwrap();
        run(async {
            let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
            let (mut live, mut ended) = (Vec::new(), Vec::new());
            let mut random = Seeded::new(0xE71C);
            for step in 0..6_000_u64 {
                let name = format!("user-{}", random.below(500));
                let filing = lasting(fixtures.signed_in(&name)).with_attribute("cart", vec![7; 300]);
                if file(&store, &filing, None).await.is_err() {
                    // `volatile-lru` has nothing left that it may remove.
                    continue;
                }
                live.push(filing);
                if random.below(3) == 0 {
                    let victim = take_any(&mut random, &mut live);
                    end_one(&store, &victim).await.unwrap();
                    ended.push(victim);
                }
                if random.below(200) == 0 {
                    let selector = Selector::Principal { principal: principal_id(&name), except: None };
                    end(&store, selector, T0).await.unwrap();
                    let own = |filing: &Filing| filing.principal() == Some(principal_id(&name));
                    ended.extend(live.extract_if(.., |filing| own(filing)));
                }
                if step % 500 == 0 {
                    let request = SweepRequest { now: at(1), limit: 1_000, lease: std::time::Duration::ZERO };
                    store.sweep(request).await.unwrap();
                }
                if step == 4_000 {
                    end(&store, Selector::All, T0).await.unwrap();
                    ended.append(&mut live);
                }
            }
            let evicted: u64 = server.info("evicted_keys").unwrap().trim().parse().unwrap();
            assert!(evicted > 1_000, "{policy}: {evicted} keys were evicted");
            for filing in &ended {
                assert!(!is_live(&store, filing).await.unwrap(), "{policy}: an ended session lives");
            }
            let mut found = 0;
            for filing in &live {
                found += usize::from(is_live(&store, filing).await.unwrap());
            }
            println!(
                "{policy}: {evicted} keys evicted, {} ended, {found} of {} live",
                ended.len(),
                live.len()
            );
            assert!(found > 0, "{policy}: not everybody is forgotten");
            // Whatever is still there can still be ended.
            for filing in &live {
                end_one(&store, filing).await.unwrap();
                assert!(!is_live(&store, filing).await.unwrap(), "{policy}");
            }
        });
    }
}
