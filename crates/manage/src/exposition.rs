//! Numbers as Prometheus reads them: its text format 0.0.4, and OpenMetrics 1.0.
//!
//! Takes families of samples, hands on text. Knows no server and decides nothing. The two formats differ in the name of a
//! counter above its samples and in the last line.

use std::fmt::Write;

use gatepost_transport::metrics::{Family, Kind, Sample, Value};

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What every Prometheus reads.
    Text,
    /// What a newer one asks for.
    OpenMetrics,
}

impl Format {
    /// The one that an Accept field asks for; [`Format::Text`] where it asks for nothing that we know.
    pub fn accepted(accept: &str) -> Format {
        let wants = accept.split(',').any(|kind| kind.trim().starts_with("application/openmetrics-text"));
        if wants { Format::OpenMetrics } else { Format::Text }
    }

    /// Its Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All of them as text.
pub fn write(families: &[Family], format: Format) -> String {
    let mut text = String::with_capacity(16 << 10);
    for family in families {
        // Writing to a String cannot fail.
        let _ = write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) -> std::fmt::Result {
    let Family { name, help, kind, samples } = family;
    let (suffix, word) = match kind {
        Kind::Counter => ("_total", "counter"),
        Kind::Gauge => ("", "gauge"),
        Kind::Histogram => ("", "histogram"),
    };
    let title = if format == Format::Text { suffix } else { "" };
    write!(text, "# HELP {name}{title} ")?;
    escape(text, help, false)?;
    writeln!(text, "\n# TYPE {name}{title} {word}")?;
    for Sample { labels, value } in samples {
        match value {
            Value::Whole(value) => write_sample(text, (name, suffix), labels, None, &value.to_string())?,
            Value::Real(value) => write_sample(text, (name, suffix), labels, None, &number(*value))?,
            Value::Distribution(distribution) => {
                for (bound, count) in &distribution.buckets {
                    write_sample(text, (name, "_bucket"), labels, Some(&number(*bound)), &count.to_string())?;
                }
                write_sample(text, (name, "_bucket"), labels, Some("+Inf"), &distribution.count.to_string())?;
                write_sample(text, (name, "_sum"), labels, None, &number(distribution.sum))?;
                write_sample(text, (name, "_count"), labels, None, &distribution.count.to_string())?;
            }
        }
    }
    Ok(())
}

fn write_sample(
    text: &mut String,
    (name, suffix): (&str, &str),
    labels: &[(&'static str, String)],
    bound: Option<&str>,
    value: &str,
) -> std::fmt::Result {
    write!(text, "{name}{suffix}")?;
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    for (place, (name, value)) in labels.chain(bound.map(|bound| ("le", bound))).enumerate() {
        write!(text, "{}{name}=\"", if place == 0 { '{' } else { ',' })?;
        escape(text, value, true)?;
        text.push('"');
    }
    if text.ends_with('"') {
        text.push('}');
    }
    writeln!(text, " {value}")
}

/// A number with a point, as OpenMetrics wants bounds to be.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.1}") } else { value.to_string() }
}

fn escape(text: &mut String, value: &str, is_label: bool) -> std::fmt::Result {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if is_label => text.push_str("\\\""),
            c => text.push(c),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_written_as_they_are_read() {
        let sample = |labels: &[(&'static str, &str)], value| Sample {
            labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            value,
        };
        let distribution =
            gatepost_transport::metrics::Distribution { buckets: vec![(0.25, 1), (1.0, 3)], count: 4, sum: 7.5 };
        let families = [
            Family {
                name: "mail",
                help: "All of it.\nReally \\ \"all\".",
                kind: Kind::Counter,
                samples: vec![
                    sample(&[], Value::Whole(u64::MAX)),
                    sample(&[("connector", "a\"b\\c\nd"), ("reason", "")], Value::Whole(1)),
                ],
            },
            Family { name: "age", help: "", kind: Kind::Gauge, samples: vec![sample(&[], Value::Real(1.5e9))] },
            Family {
                name: "took",
                help: "Time.",
                kind: Kind::Histogram,
                samples: vec![sample(&[("connector", "x")], Value::Distribution(distribution))],
            },
        ];
        let common = "age 1500000000.0\n# HELP took Time.\n# TYPE took histogram\n\
            took_bucket{connector=\"x\",le=\"0.25\"} 1\ntook_bucket{connector=\"x\",le=\"1.0\"} 3\n\
            took_bucket{connector=\"x\",le=\"+Inf\"} 4\ntook_sum{connector=\"x\"} 7.5\ntook_count{connector=\"x\"} 4\n";
        let samples = "mail_total 18446744073709551615\nmail_total{connector=\"a\\\"b\\\\c\\nd\",reason=\"\"} 1\n\
            # HELP age \n# TYPE age gauge\n";
        let text = write(&families, Format::Text);
        let title = "# HELP mail_total All of it.\\nReally \\\\ \"all\".\n# TYPE mail_total counter\n";
        assert_eq!(text, format!("{title}{samples}{common}"));
        let open = write(&families, Format::OpenMetrics);
        assert_eq!(open, format!("{}{samples}{common}# EOF\n", title.replace("mail_total", "mail")));
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Format::OpenMetrics),
            ("text/plain;q=0.5, application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
        ] {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }
}
