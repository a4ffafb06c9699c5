//! Names of spans are part of the interface: dashboards and trace queries depend on them.

use std::cell::RefCell;

use cloakroom::{Attribute, Changes, EndReason, Renewal, Revocation, Selector};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::World;

thread_local! {
    static NAMES: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    static OUTCOMES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the names of spans, for each thread: the other tests of this program run beside.
struct Names;

impl Subscriber for Names {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("cloakroom")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Words);
        NAMES.with_borrow_mut(|names| names.push(span.metadata().name()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Words);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Looks at each value that a span is given: a span carries nothing that could identify anybody.
struct Words;

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        let words: &[&str] = match field.name() {
            // The other tests of this program bring stores of their own, and fail them.
            "store" => {
                return assert!(value.len() < 20 && value.bytes().all(|byte| byte.is_ascii_lowercase()));
            }
            "outcome" => &[
                "ok",
                "active",
                "ended",
                "retired",
                "unknown",
                "error",
                "unavailable",
                "timeout",
                "corrupt",
                "internal",
                "read_only",
                "full",
                "unsupported",
            ],
            "otel.kind" => &["client"],
            "otel.status_code" => &["error"],
            other => panic!("a span has a field {other}"),
        };
        assert!(words.contains(&value), "{field} is {value}");
        OUTCOMES.with_borrow_mut(|outcomes| {
            outcomes.extend((field.name() == "outcome").then(|| value.to_owned()))
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        panic!("a span has a field {field} of another kind: {value:?}");
    }
}

#[test]
fn each_step_has_a_span_with_the_store_call_below_it() {
    const NOTE: Attribute<u32> = Attribute::new("note");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // For the whole program: spans are switched on once, for all threads, whichever test comes first.
    tracing::subscriber::set_global_default(Names).unwrap();
    runtime.block_on(async {
        let world = World::new();
        let issued = world.sign_in("alice").await;
        let _ = world.look(&issued.token).await;
        let changes = Changes::new().set(&NOTE, &1).unwrap();
        let _ = world.sessions.apply(&issued.session, changes).await.unwrap();
        let _ = world.sessions.rotate(&world.active(&issued.token).await, Renewal::new()).await.unwrap();
        let end = Revocation::by_system(EndReason::SignedOut);
        world.sessions.revoke(&Selector::One(issued.session.id()), end).await.unwrap();
        world.sessions.sweep().await.unwrap();
    });
    assert_eq!(
        NAMES.take(),
        [
            "engine.issue",
            "store.insert",
            "engine.validate",
            "store.get",
            "engine.apply",
            "store.replace",
            "engine.validate",
            "store.get",
            "engine.rotate",
            "store.rekey",
            "engine.revoke",
            "store.end",
            "engine.sweep",
            "store.sweep",
        ]
    );
    assert_eq!(
        OUTCOMES.take().join(" "),
        "ok ok active ok ok active ok ok ok",
        "what each store call and each validation came to"
    );
}
