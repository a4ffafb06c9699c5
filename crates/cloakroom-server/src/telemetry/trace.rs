//! The span of a request, and whether it is traced.

use http::HeaderMap;
#[cfg(feature = "otlp")]
use opentelemetry::{Context, KeyValue, propagation::Extractor, trace::TraceContextExt as _};
use tracing::Span;
#[cfg(feature = "otlp")]
use tracing::field::Empty;
#[cfg(feature = "otlp")]
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use cloakroom::Random;

use crate::config::{TelemetryConfig, Traceparent};

/// Decides which requests are traced.
#[derive(Debug)]
pub(crate) struct Tracing {
    /// The share of requests that are.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nothing is traced in this build"))]
    ratio: f64,
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nothing is traced in this build"))]
    believed: Traceparent,
}

/// What is known of a request before it is answered. All of it has bounds, and none of it names anybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) method: &'static str,
    pub(crate) route: &'static str,
    /// Whether a proxy that the configuration names sent it.
    pub(crate) from_proxy: bool,
}

/// The span in which a request is answered.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    span: Span,
    #[cfg(feature = "otlp")]
    traced: bool,
}

impl Tracing {
    pub(crate) fn new(config: &TelemetryConfig) -> Self {
        let ratio = if config.endpoint.is_some() { config.sample_ratio.as_f64() } else { 0.0 };
        let believed = if config.endpoint.is_some() { config.traceparent } else { Traceparent::Ignored };
        Self { ratio, believed }
    }

    /// The span of a request: traced where its caller, if he is believed, says so; else as chance has it.
    ///
    /// # Security
    /// A `traceparent` of somebody who is not believed is not looked at: it would choose what is recorded, and could lay a
    /// stranger's requests into another's trace.
    pub(crate) fn begin(&self, asked: Asked<'_>, headers: &HeaderMap, random: &dyn Random) -> RequestSpan {
        #[cfg(feature = "otlp")]
        {
            let caller = (asked.from_proxy && self.believed == Traceparent::FromProxies)
                .then(|| caller_of(headers))
                .flatten();
            let traced = match &caller {
                Some(caller) => caller.span().span_context().is_sampled(),
                None => self.is_chosen(random),
            };
            if traced {
                return RequestSpan { span: traced_span(asked, caller), traced };
            }
        }
        let _ = (headers, random);
        let span = tracing::error_span!("request", request_id = asked.request_id);
        RequestSpan {
            span,
            #[cfg(feature = "otlp")]
            traced: false,
        }
    }

    #[cfg(feature = "otlp")]
    fn is_chosen(&self, random: &dyn Random) -> bool {
        if self.ratio <= 0.0 {
            return false;
        }
        let mut bytes = [0; 4];
        // Without randomness there are no tokens either; what is traced then matters little.
        random.fill(&mut bytes).is_ok() && f64::from(u32::from_le_bytes(bytes)) < self.ratio * ALL
    }
}

impl RequestSpan {
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Writes the answer into the trace.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        #[cfg(feature = "otlp")]
        if self.traced {
            self.span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
            if status.is_server_error() {
                self.span.set_status(opentelemetry::trace::Status::error(""));
            }
        }
        let _ = status;
    }
}

#[cfg(feature = "otlp")]
fn traced_span(asked: Asked<'_>, caller: Option<Context>) -> Span {
    let span = tracing::error_span!(
        target: TRACED, "request", otel.kind = "server", request_id = asked.request_id, trace_id = Empty
    );
    if let Some(caller) = caller {
        // Fails only where nothing records spans.
        let _ = span.set_parent(caller);
    }
    let context = span.context();
    let recorded = context.span();
    if recorded.span_context().is_valid() {
        span.record("trace_id", tracing::field::display(recorded.span_context().trace_id()));
        recorded.update_name(format!("{} {}", asked.method, asked.route));
        recorded.set_attribute(KeyValue::new("http.request.method", asked.method));
        recorded.set_attribute(KeyValue::new("http.route", asked.route));
    }
    span
}

/// Whose span asks, by W3C Trace Context. `None` where the field is missing or malformed.
#[cfg(feature = "otlp")]
fn caller_of(headers: &HeaderMap) -> Option<Context> {
    use opentelemetry::propagation::TextMapPropagator as _;
    let fields = Fields(headers);
    let context = opentelemetry_sdk::propagation::TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &fields);
    context.span().span_context().is_valid().then_some(context)
}

#[cfg(feature = "otlp")]
struct Fields<'a>(&'a HeaderMap);

#[cfg(feature = "otlp")]
impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        // Two of them contradict each other, or are meant to.
        let mut all = self.0.get_all(key).iter();
        let first = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(first)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// How many numbers there are of 32 bits.
#[cfg(feature = "otlp")]
const ALL: f64 = 4_294_967_296.0;

/// The target of spans of requests that are traced.
#[cfg(feature = "otlp")]
pub(super) const TRACED: &str = "cloakroom_server::traced";

#[cfg(test)]
#[cfg(feature = "otlp")]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_requests_that_are_traced_is_the_configured_one() {
        #[derive(Debug)]
        struct Always(u32);
        impl Random for Always {
            fn fill(&self, bytes: &mut [u8]) -> Result<(), cloakroom::RandomError> {
                bytes.copy_from_slice(&self.0.to_le_bytes());
                Ok(())
            }
        }
        for (ratio, last) in
            [(1.0, Some(u32::MAX)), (0.5, Some((1 << 31) - 1)), (0.1, Some(429_496_729)), (0.0, None)]
        {
            let tracing = Tracing { ratio, believed: Traceparent::Ignored };
            assert_eq!(tracing.is_chosen(&Always(0)), last.is_some(), "{ratio}");
            let Some(last) = last else { continue };
            assert!(tracing.is_chosen(&Always(last)), "{ratio}");
            assert!(last == u32::MAX || !tracing.is_chosen(&Always(last + 1)), "{ratio}");
        }
    }

    #[test]
    fn a_caller_is_known_by_one_well_formed_field_alone() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", value.parse().unwrap());
            }
            caller_of(&headers).map(|caller| {
                let span = caller.span().span_context().clone();
                (span.trace_id().to_string(), span.is_sampled())
            })
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let good = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(of(&[&good]), Some((trace.to_owned(), true)));
        assert_eq!(of(&[&good.replace("-01", "-00")]), Some((trace.to_owned(), false)));
        assert_eq!(of(&[&good, &good]), None);
        for bad in [
            "",
            "00",
            "00-zz",
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace("00-0af", "ff-0af"),
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert_eq!(of(&[]), None);
    }
}
