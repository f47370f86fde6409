//! The text exposition format of Prometheus: metrics are gathered one by one and then written. Knows none of
//! them by name.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// What has been gathered so far.
#[derive(Default)]
pub struct Exposition {
    families: Vec<MetricFamily>,
}

impl Exposition {
    /// All of it.
    ///
    /// # Errors
    /// The encoder refuses, which it does only for a family that is malformed.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.families)
    }

    /// Adds a metric that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        self.family(name, help, MetricType::GAUGE, samples, |metric, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    /// Adds a metric that only grows.
    pub fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample>) {
        self.family(name, help, MetricType::COUNTER, samples, |metric, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample>,
        set: fn(&mut Metric, f64),
    ) {
        let metrics: Vec<Metric> = samples
            .into_iter()
            .map(|sample| {
                let mut metric = Metric::from_label(sample.labels);
                set(&mut metric, sample.value);
                metric
            })
            .collect();
        // A family without a sample is left out: the encoder takes it for a mistake.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

/// A value with its labels.
pub struct Sample {
    labels: Vec<LabelPair>,
    value: f64,
}

/// Exact up to 2^53, as everything in Prometheus.
pub fn sample<const N: usize>(labels: [(&str, &str); N], value: u64) -> Sample {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Sample { labels: labels.into_iter().map(pair).collect(), value: value as f64 }
}
