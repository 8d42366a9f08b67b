//! Series about budgets.

use budget::Budget;

use super::{Metrics, Sample};

impl Metrics {
    /// Shows what is used of a budget, and how many wait for it; `work` is what it is for.
    pub fn budget(&self, work: impl Into<String>, budget: &Budget) {
        let (work, budget) = (work.into(), budget.clone());
        self.totals.add(Box::new(move || {
            let usage = budget.usage();
            let numbers = [
                ("limit", usage.limit),
                ("used", usage.used),
                ("waiting", usage.waiting),
                ("refused", usage.refused),
            ];
            let sample = |(state, number): (&'static str, u64)| Sample {
                name: "gotk_budget",
                help: "What work of a sort may use at once and uses, how many wait for some, and how many were refused.",
                labels: vec![("state", state.to_owned()), ("work", work.clone())],
                value: number as f64,
            };
            numbers.map(sample).to_vec()
        }));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use budget::{Limits, Request};

    use super::*;

    #[test]
    fn a_budget_shows_in_the_metrics() {
        let (budget, metrics) = (Budget::new(Limits { process: 3, tenant: 2 }), Metrics::new().unwrap());
        metrics.budget("fetch", &budget);
        let _granted = budget.enter(Request::new("a", 2));
        let _waiting = [budget.enter(Request::new("a", 1)), budget.enter(Request::new("b", 2))];
        assert!(budget.check(4).is_err());
        let text = metrics.render();
        for (state, number) in [("limit", 3), ("used", 2), ("waiting", 2), ("refused", 1)] {
            let line = format!("gotk_budget{{state=\"{state}\",work=\"fetch\"}} {number}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
