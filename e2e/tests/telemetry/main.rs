//! What a real Prometheus makes of what the server says about itself: exposition, rules, alerts, dashboard.

#![expect(clippy::indexing_slicing, reason = "JSON that lacks a member has null there")]

mod deployed;

use std::collections::BTreeSet;
use std::time::Duration;

use cloakroom_servers::{Prometheus, Redis, promtool};
use e2e::{Failure, Outcome, Server, World, eventually, run};
use reqwest::Method;
use serde_json::{Value, json};

use crate::deployed::{Question, alerts, configuration, directory, metrics_in, questions};

#[test]
fn rules_and_alerts_are_well_formed_and_each_alert_fires_when_it_should_and_not_otherwise() {
    let said = promtool(&["check", "config", "prometheus.yml"], &directory("prometheus"), "").unwrap();
    assert!(said.contains("2 rule files found"), "{said}");
    promtool(&["test", "rules", "cloakroom-alerts.test.yml"], &directory("prometheus"), "").unwrap();
    let tests = deployed::read("prometheus/cloakroom-alerts.test.yml");
    for alert in alerts() {
        for kind in ["fires", "does not fire"] {
            assert!(
                tests.contains(&format!("- name: \"{alert} {kind}\"")),
                "nothing tests that {alert} {kind}"
            );
        }
    }
}

#[test]
fn a_real_prometheus_answers_every_expression_of_the_dashboard_and_of_the_rules() {
    let redis = Redis::start().unwrap();
    run("telemetry", &["--store", &redis.url()], async |world| {
        world.server.add_account("alice", PASSWORD)?;
        let target = world.server.address();
        let prometheus = tokio::task::spawn_blocking(move || start_prometheus(&target)).await?;
        let prometheus = prometheus.map_err(|failure| Failure::new(failure.to_string()))?;
        let ask = Ask { client: reqwest::Client::builder().no_proxy().build()?, base: prometheus.url() };
        let mut open: BTreeSet<Question> = questions().into_iter().collect();
        assert!(open.len() > 60, "the dashboard and the rules ask for more: {}", open.len());
        // Under a little load all the while: what is counted has to be seen to grow.
        let mut missing = BTreeSet::new();
        eventually("Prometheus to have an answer for everything", PATIENCE, async || {
            some_traffic(world).await?;
            let exposed = exposed(&world.server).await?;
            missing = BTreeSet::new();
            for question in open.clone() {
                let names = metrics_in(&question.expression);
                let here = names
                    .iter()
                    .all(|name| name.starts_with("cloakroom:") || name == "up" || exposed.contains(name));
                let has_data = !ask.query(&question.expression).await?.is_empty();
                if has_data || question.may_be_empty() {
                    open.remove(&question);
                } else if !here {
                    missing.extend(names.into_iter().filter(|name| !exposed.contains(name)));
                    open.remove(&question);
                }
            }
            Ok(open.is_empty().then_some(()))
        })
        .await
        .map_err(|failure| failure.while_doing(format!("asking for {open:#?}")))?;
        let unexpected: Vec<_> = missing.iter().filter(|name| !NOT_HERE.contains(&name.as_str())).collect();
        assert!(unexpected.is_empty(), "the dashboard shows what no server has: {unexpected:?}");
        rules_are_healthy(&ask).await?;
        exposition_is_clean(&world.server).await
    });
}

/// Metrics that this server has no occasion to move.
const NOT_HERE: &[&str] = &[
    "cloakroom_audit_sink_events_total",
    "cloakroom_otlp_metric_exports_total",
    "cloakroom_otlp_spans_total",
    "cloakroom_store_errors_total",
    "cloakroom_webhook_deliveries_total",
];

fn start_prometheus(target: &str) -> cloakroom_servers::Outcome<Prometheus> {
    let quick = configuration().replace("127.0.0.1:8080", target).replace("interval: 15s", "interval: 250ms");
    let rules = ["cloakroom-rules.yml", "cloakroom-alerts.yml"];
    let rules = rules.map(|name| (name, deployed::read(&format!("prometheus/{name}"))));
    Prometheus::start(&quick, &rules.each_ref().map(|(name, text)| (*name, text.as_str())))
}

/// Somebody signs in, works, signs out, comes back with what is over; somebody else guesses.
async fn some_traffic(world: &World) -> Outcome {
    let server = &world.server;
    let wrong = json!({"username": "alice", "password": "wrong", "mode": "bearer"});
    server.send_json(Method::POST, "/v1/sign-in", &[], &wrong).await?;
    let right = json!({"username": "alice", "password": PASSWORD, "mode": "bearer"});
    let reply = server.send_json(Method::POST, "/v1/sign-in", &[], &right).await?;
    let answer: Value = serde_json::from_str(&reply.body)?;
    let Some(token) = answer["token"].as_str() else { return Err(Failure::new(format!("{reply:?}"))) };
    world.output.note_secret(token)?;
    let authorization = format!("Bearer {token}");
    let bearer = [("authorization", authorization.as_str())];
    server.send_json(Method::PATCH, "/v1/session/attributes", &bearer, &json!({"seen": 1})).await?;
    for (method, path) in [
        // One validation in sixteen is timed.
        (Method::GET, "/v1/session"),
        (Method::GET, "/v1/sessions"),
        (Method::GET, "/nowhere"),
        (Method::GET, "/readyz"),
    ] {
        for _ in 0..8 {
            server.ask(method.clone(), path, &bearer).await?;
        }
    }
    for path in ["/v1/session", "/v1/session"] {
        server.ask(Method::DELETE, path, &bearer).await?;
    }
    let stranger = format!("Bearer cr1_{}", "A".repeat(46));
    server.ask(Method::GET, "/v1/session", &[("authorization", &stranger)]).await?;
    Ok(())
}

/// The names of all metrics that the server has.
async fn exposed(server: &Server) -> Outcome<BTreeSet<String>> {
    let text = server.ask(Method::GET, "/metrics", &[]).await?.body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    Ok(types.map(str::to_owned).collect())
}

async fn exposition_is_clean(server: &Server) -> Outcome {
    let text = server.ask(Method::GET, "/metrics", &[]).await?.body;
    let checked = text.clone();
    let said = tokio::task::spawn_blocking(move || {
        promtool(&["check", "metrics"], &directory("prometheus"), &checked)
    });
    said.await?.map_err(|failure| Failure::new(failure.to_string()))?;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        if !text.contains(&format!("# HELP {name} ")) {
            return Err(Failure::new(format!("{name} is not described")));
        }
    }
    let labels = deployed::labels_in_the_book();
    for (name, found) in text.lines().filter_map(deployed::series) {
        let known =
            labels.get(&name).ok_or_else(|| Failure::new(format!("the book does not know {name}")))?;
        if found != *known {
            return Err(Failure::new(format!("{name} has the labels {found:?}; the book says {known:?}")));
        }
    }
    Ok(())
}

async fn rules_are_healthy(ask: &Ask) -> Outcome {
    let answer = ask.get("/api/v1/rules").await?;
    let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
    let rules: Vec<&Value> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    let book = deployed::read("../docs/book/metrics.md").to_lowercase();
    for rule in &rules {
        let name = rule["name"].as_str().unwrap_or_default();
        let health = (rule["health"].as_str(), rule["lastError"].as_str());
        if health != (Some("ok"), None) {
            return Err(Failure::new(format!("{name}: {health:?}")));
        }
        if rule["type"] != "alerting" {
            continue;
        }
        for annotation in ["summary", "description", "runbook_url"] {
            if rule["annotations"][annotation].as_str().is_none_or(str::is_empty) {
                return Err(Failure::new(format!("{name} has no {annotation}")));
            }
        }
        let anchor = rule["annotations"]["runbook_url"].as_str().and_then(|url| url.rsplit('#').next());
        if !anchor.is_some_and(|anchor| book.contains(&format!("### {anchor}\n"))) {
            return Err(Failure::new(format!("{name}: its runbook has no place {anchor:?}")));
        }
    }
    if rules.len() < 20 { Err(Failure::new(format!("only {} rules", rules.len()))) } else { Ok(()) }
}

/// Prometheus' HTTP API.
struct Ask {
    client: reqwest::Client,
    base: String,
}

impl Ask {
    async fn get(&self, path: &str) -> Outcome<Value> {
        let reply = self.client.get(format!("{}{path}", self.base)).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&reply)?;
        if answer["status"] == "success" { Ok(answer) } else { Err(Failure::new(format!("{path}: {reply}"))) }
    }

    async fn query(&self, expression: &str) -> Outcome<Vec<Value>> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = self.get(&format!("/api/v1/query?{query}")).await?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

const PASSWORD: &str = "a quiet umbrella stand";
/// Long enough for a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(60);
