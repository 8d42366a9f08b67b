//! Series that are computed when they are read: what they tell of is known elsewhere, and a copy could only be wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// One sample of a gauge.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the series.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// Its value now.
    pub value: f64,
}

type Source = Box<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Where samples come from. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<Vec<Source>>>);

impl Live {
    /// Asks `source`, too, from now on.
    pub fn add(&self, source: Source) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// The samples of now.
    pub fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|source| source()).collect()
    }

    /// The samples of now, one family for each name.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families: BTreeMap<&'static str, (&'static str, Vec<Metric>)> = BTreeMap::new();
        for sample in self.samples() {
            let family = families.entry(sample.name).or_insert((sample.help, Vec::new()));
            family.1.push(metric(sample));
        }
        families.into_iter().map(|(name, (help, metrics))| family(name, help, metrics)).collect()
    }
}

fn family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(metrics);
    family
}

fn metric(sample: Sample) -> Metric {
    let labels = sample.labels.into_iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value);
        label
    });
    let mut gauge = Gauge::default();
    gauge.set_value(sample.value);
    let mut metric = Metric::from_label(labels.collect());
    metric.set_gauge(gauge);
    metric
}
