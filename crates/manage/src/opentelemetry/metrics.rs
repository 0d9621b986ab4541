//! Numbers as a collector reads them: `ExportMetricsServiceRequest` of opentelemetry.proto.metrics.v1.

use gatepost_transport::metrics::{Family, Kind, Sample, Value};

use super::protobuf::{Message, nanoseconds, scope};

/// AGGREGATION_TEMPORALITY_CUMULATIVE: since the start.
const CUMULATIVE: u64 = 2;

/// All families as one request. `about` is the resource.
pub fn write(about: &[u8], families: &[Family], started_ms: u64, now_ms: u64) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_metrics| {
        resource_metrics.bytes(1, about);
        resource_metrics.message(2, |scope_metrics| {
            scope_metrics.message(1, scope);
            for family in families.iter().filter(|family| !family.samples.is_empty()) {
                scope_metrics.message(2, |metric| write_family(metric, family, started_ms, now_ms));
            }
        });
    });
    request.0
}

fn write_family(metric: &mut Message, family: &Family, started_ms: u64, now_ms: u64) {
    metric.text(1, family.name);
    metric.text(2, family.help);
    if family.name.ends_with("_seconds") {
        metric.text(3, "s");
    } else if family.name.ends_with("_bytes") {
        metric.text(3, "By");
    }
    let points = |data: &mut Message| {
        for Sample { labels, value } in &family.samples {
            data.message(1, |point| {
                point.fixed(2, nanoseconds(started_ms));
                point.fixed(3, nanoseconds(now_ms));
                write_value(point, value);
                let field = if matches!(value, Value::Distribution(_)) { 9 } else { 7 };
                for (name, value) in labels {
                    point.attribute(field, name, value);
                }
            });
        }
    };
    match family.kind {
        Kind::Gauge => metric.message(5, points),
        Kind::Counter => metric.message(7, |sum| {
            points(sum);
            sum.number(2, CUMULATIVE);
            sum.number(3, 1);
        }),
        Kind::Histogram => metric.message(9, |histogram| {
            points(histogram);
            histogram.number(2, CUMULATIVE);
        }),
    }
}

fn write_value(point: &mut Message, value: &Value) {
    match value {
        // `sfixed64`: what is beyond nobody counts.
        Value::Whole(value) => point.fixed(6, (*value).min(i64::MAX as u64)),
        Value::Real(value) => point.double(4, *value),
        Value::Distribution(distribution) => {
            point.fixed(4, distribution.count);
            point.double(5, distribution.sum);
            // Prometheus counts up to each bound, OpenTelemetry between them.
            let up_to = distribution.buckets.iter().map(|(_, count)| *count).chain([distribution.count]);
            let mut before = 0;
            let between = up_to.map(|count| count.saturating_sub(std::mem::replace(&mut before, count)));
            point.packed(6, between);
            point.packed(7, distribution.buckets.iter().map(|(bound, _)| bound.to_bits()));
        }
    }
}
