//! What can be seen of it from outside (G11).

use cloakroom::describe_metrics;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::{LEASE, Pair, end};

/// Everything that was measured since the last call, of the metric with this name and these labels.
fn read(snapshotter: &Snapshotter, wanted: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<&str> = key.key().labels().map(metrics::Label::value).collect();
        if format!("{} {}", key.key().name(), labels.join(" ")).trim() != wanted {
            continue;
        }
        match value {
            DebugValue::Counter(count) => values.push(f64::from(u32::try_from(count).unwrap())),
            DebugValue::Gauge(gauge) => values.push(gauge.into_inner()),
            DebugValue::Histogram(samples) => values.extend(samples.into_iter().map(|sample| *sample)),
        }
    }
    values
}

#[tokio::test(start_paused = true)]
async fn where_answers_come_from_and_how_far_memory_is_believed_is_measured() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let mut pair = metrics::with_local_recorder(&recorder, || {
        describe_metrics();
        Pair::unwatched()
    });
    pair.watch().await;
    let (token, _) = pair.warm("alice").await;
    for _ in 0..3 {
        assert!(pair.lives(&token).await.0);
    }
    assert_eq!(read(&metrics, "cloakroom_validations_total active store"), [1.0]);
    pair.pass(LEASE).await;
    assert_eq!(read(&metrics, "cloakroom_near_cache_trusted"), [1.0]);
    // The recorder forgets what it was asked for: the next proof measures anew.
    pair.pass(LEASE).await;
    assert_eq!(read(&metrics, "cloakroom_near_cache_entries"), [1.0]);
    pair.feed.cut();
    pair.pass(LEASE * 2).await;
    assert_eq!(read(&metrics, "cloakroom_near_cache_trusted"), [0.0]);
}

#[tokio::test(start_paused = true)]
async fn how_long_the_news_of_an_end_took_is_measured_for_each() {
    let recorder = DebuggingRecorder::new();
    let metrics = recorder.snapshotter();
    let mut pair = metrics::with_local_recorder(&recorder, Pair::unwatched);
    pair.watch().await;
    let (_, session) = pair.warm("alice").await;
    pair.feed.hold_news();
    end(&pair.here.sessions, &session).await;
    pair.pass(LEASE / 2).await;
    assert!(read(&metrics, "cloakroom_revocation_lag_seconds").is_empty());
    pair.feed.let_through();
    pair.until_trusted().await;
    assert_eq!(read(&metrics, "cloakroom_revocation_lag_seconds"), [0.5]);
}
