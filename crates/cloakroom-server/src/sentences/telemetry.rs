//! Where metrics and traces go, in sentences.

use crate::config::{Config, Traceparent, format_duration};

/// Where metrics can be fetched, and where metrics and traces are sent.
pub(crate) fn of_telemetry(config: &Config) -> Vec<String> {
    let telemetry = &config.telemetry;
    let mut sentences = vec![match config.metrics_listen {
        Some(address) => {
            format!("Metrics are served at http://{address}/metrics, to whoever reaches that address.")
        }
        None => "Metrics are served at /metrics, to programs on this machine alone.".to_owned(),
    }];
    let Some(endpoint) = &telemetry.endpoint else {
        sentences.push("No traces are recorded, and nothing is sent to a collector.".to_owned());
        return sentences;
    };
    let place = format!("{endpoint} under the name {}", telemetry.service_name);
    sentences.push(if telemetry.metrics_interval.is_zero() {
        "No metrics are sent to the collector.".to_owned()
    } else {
        format!("Metrics are sent to {place}, every {}.", format_duration(telemetry.metrics_interval))
    });
    let share = telemetry.sample_ratio.as_f64() * 100.0;
    let chosen = match telemetry.traceparent {
        Traceparent::Ignored => "whatever callers ask for",
        Traceparent::FromProxies => "and those that a proxy of yours says are traced",
    };
    sentences.push(
        format!("Traces are sent to {place}: {share:.4} % of requests, {chosen}.").replace(".0000 %", " %"),
    );
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};

    #[test]
    fn where_metrics_and_traces_go_is_said() {
        for (text, said) in [
            (
                "",
                "Metrics are served at /metrics, to programs on this machine alone. No traces are recorded, and nothing is \
                 sent to a collector.",
            ),
            (
                "metrics_listen = \"127.0.0.1:9100\"\n[telemetry]\notlp_endpoint = \"http://localhost:4318\"",
                "Metrics are served at http://127.0.0.1:9100/metrics, to whoever reaches that address. Metrics are sent to \
                 http://localhost:4318/ under the name cloakroom, every 1m. Traces are sent to http://localhost:4318/ under \
                 the name cloakroom: 10 % of requests, whatever callers ask for.",
            ),
            (
                "trust.proxies = \"::1\"\n[telemetry]\notlp_endpoint = \"https://c.example/otlp\"\nmetrics_interval = \"0s\"\n\
                 traces_sample_ratio = 0.00125\nservice_name = \"id\"\ntraceparent = \"from-proxies\"",
                "Metrics are served at /metrics, to programs on this machine alone. No metrics are sent to the collector. Traces \
                 are sent to https://c.example/otlp under the name id: 0.1250 % of requests, and those that a proxy of yours \
                 says are traced.",
            ),
        ] {
            let config = Loaded::from_sources(&Sources::of_text(text)).unwrap().config;
            assert_eq!(of_telemetry(&config).join(" "), said);
        }
    }
}
