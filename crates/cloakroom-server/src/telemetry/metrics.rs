//! Metrics as OTLP has them, made of the text that `/metrics` serves.
//!
//! The recorder has no other way to be read. Its text is our own, so the reader here knows its one form and no other; a line
//! of another form is left out.

use std::collections::BTreeMap;

use cloakroom::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::sender::nanos;

/// Makes snapshots of one process.
pub(super) struct Snapshots {
    resource: Resource,
    started: u64,
}

impl Snapshots {
    pub(super) fn new(resource: &opentelemetry_sdk::Resource, started: Timestamp) -> Self {
        let attributes =
            resource.iter().map(|(key, value)| attribute(key.as_str(), value.as_str().as_ref())).collect();
        let resource = Resource { attributes, ..Resource::default() };
        Self { resource, started: nanos(started) }
    }

    /// The request that brings the metrics in `text` to a collector.
    pub(super) fn take(&self, text: &str, now: Timestamp) -> Vec<u8> {
        let times = Times { started: self.started, now: nanos(now) };
        let metrics = families(text).into_values().filter_map(|family| family.metric(times)).collect();
        let scope = InstrumentationScope { name: "cloakroom".to_owned(), ..InstrumentationScope::default() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
        let resource = Some(self.resource.clone());
        let resource_metrics =
            vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
    }
}

#[derive(Clone, Copy)]
struct Times {
    started: u64,
    now: u64,
}

/// All series of one name.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    samples: Vec<Sample<'a>>,
}

struct Sample<'a> {
    /// The whole name, with what a histogram's parts have behind it.
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

fn families(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let family = families.entry(name).or_default();
            (family.name, family.help) = (name, help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let family = families.entry(name).or_default();
            (family.name, family.kind) = (name, kind);
            current = name;
        } else if let (Some(sample), Some(family)) = (sample(line), families.get_mut(current)) {
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, read_labels(labels.strip_suffix('}')?)?),
        None => (head, Vec::new()),
    };
    Some(Sample { name, labels, value: value.parse().ok()? })
}

/// Reads `a="b",c="d"`.
fn read_labels(mut text: &str) -> Option<Vec<(&str, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
        text = rest.get(end + 1..)?;
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

impl Family<'_> {
    fn metric(self, times: Times) -> Option<Metric> {
        let data = match self.kind {
            "counter" => metric::Data::Sum(Sum {
                data_points: self.samples.iter().map(|sample| number(sample, times)).collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
            "gauge" => metric::Data::Gauge(Gauge {
                data_points: self.samples.iter().map(|sample| number(sample, times)).collect(),
            }),
            "histogram" => metric::Data::Histogram(Histogram {
                data_points: histograms(self.samples, times),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
            _ => return None,
        };
        let unit = if self.name.ends_with("_seconds") {
            "s"
        } else if self.name.ends_with("_bytes") {
            "By"
        } else {
            ""
        };
        Some(Metric {
            name: self.name.to_owned(),
            description: self.help.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }
}

fn number(sample: &Sample<'_>, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: sample.labels.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: times.started,
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    }
}

/// The parts of histograms, put together by their labels. Prometheus counts what is at most a bound; OTLP, what lies between
/// two.
fn histograms(samples: Vec<Sample<'_>>, times: Times) -> Vec<HistogramDataPoint> {
    let mut points: BTreeMap<Vec<(&str, String)>, HistogramDataPoint> = BTreeMap::new();
    for mut sample in samples {
        let bound =
            sample.labels.iter().position(|(name, _)| *name == "le").map(|at| sample.labels.remove(at).1);
        let point = points.entry(sample.labels).or_default();
        match (bound, sample.name.rsplit_once('_').map(|(_, part)| part)) {
            (Some(bound), _) => {
                let below: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(whole(sample.value).saturating_sub(below));
                // The last one, without a bound, is "+Inf".
                point.explicit_bounds.extend(bound.parse().ok().filter(|bound: &f64| bound.is_finite()));
            }
            (None, Some("sum")) => point.sum = Some(sample.value),
            (None, _) => point.count = whole(sample.value),
        }
    }
    let complete = |(labels, point): (Vec<(&str, String)>, HistogramDataPoint)| HistogramDataPoint {
        attributes: labels.iter().map(|(name, value)| attribute(name, value)).collect(),
        start_time_unix_nano: times.started,
        time_unix_nano: times.now,
        ..point
    };
    points.into_iter().map(complete).collect()
}

/// A count, which the text has as digits: read again, since a float cannot be made a whole number without `as`.
fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap_or(0)
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

    use super::*;

    #[test]
    fn everything_the_recorder_writes_arrives_with_its_value() {
        let buckets = Matcher::Suffix("_seconds".to_owned());
        let recorder =
            PrometheusBuilder::new().set_buckets_for_metric(buckets, &[0.5, 1.0]).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::describe_counter!("c_total", "Counted, \"so\" to say\nin two lines");
            metrics::counter!("c_total", "a" => "x\"y\\z,}", "b" => "").increment(7);
            metrics::gauge!("g_bytes").set(-0.25);
            for value in [0.1, 0.5, 0.7, 30.0] {
                metrics::histogram!("h_seconds", "k" => "v").record(value);
            }
        });
        let snapshots = Snapshots::new(
            &opentelemetry_sdk::Resource::builder_empty().with_service_name("test").build(),
            Timestamp::from_millis(1_000),
        );
        let bytes = snapshots.take(&recorder.handle().render(), Timestamp::from_millis(2_000));
        let request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
        let of_resource = &request.resource_metrics[0];
        assert_eq!(of_resource.resource.as_ref().unwrap().attributes, [attribute("service.name", "test")]);
        let [counter, gauge, histogram] = &of_resource.scope_metrics[0].metrics[..] else {
            panic!("{request:?}")
        };
        let metric::Data::Sum(sum) = counter.data.as_ref().unwrap() else { panic!("{counter:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{sum:?}");
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(7.0)));
        assert_eq!(point.attributes, [attribute("a", "x\"y\\z,}"), attribute("b", "")]);
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 2_000_000_000));
        let metric::Data::Gauge(Gauge { data_points }) = gauge.data.as_ref().unwrap() else {
            panic!("{gauge:?}")
        };
        assert_eq!(data_points[0].value, Some(number_data_point::Value::AsDouble(-0.25)));
        assert_eq!((gauge.name.as_str(), gauge.unit.as_str()), ("g_bytes", "By"));
        let metric::Data::Histogram(Histogram { data_points, .. }) = histogram.data.as_ref().unwrap() else {
            panic!("{histogram:?}")
        };
        let point = &data_points[0];
        assert_eq!(point.explicit_bounds, [0.5, 1.0]);
        assert_eq!(point.bucket_counts, [2, 1, 1], "between bounds, the last without one");
        assert_eq!((point.count, point.sum), (4, Some(31.3)));
        assert_eq!(point.attributes, [attribute("k", "v")]);
    }
}
