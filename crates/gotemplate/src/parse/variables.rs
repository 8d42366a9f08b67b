use std::collections::HashMap;

/// The variables that can be used at a place. A source can declare very many, and all are looked up by name.
pub(super) struct Variables {
    declared: Vec<Vec<u8>>,
    /// How often each name is among them.
    counts: HashMap<Vec<u8>, usize>,
}

impl Variables {
    /// `$` alone.
    pub(super) fn new() -> Self {
        let mut variables = Self { declared: Vec::new(), counts: HashMap::new() };
        variables.declare(b"$".to_vec());
        variables
    }

    pub(super) fn declare(&mut self, name: Vec<u8>) {
        *self.counts.entry(name.clone()).or_default() += 1;
        self.declared.push(name);
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.counts.get(name).is_some_and(|count| *count > 0)
    }

    pub(super) fn len(&self) -> usize {
        self.declared.len()
    }

    /// Those beyond the first `count` are gone.
    pub(super) fn leave(&mut self, count: usize) {
        for name in self.declared.drain(count.min(self.declared.len())..) {
            if let Some(count) = self.counts.get_mut(&name) {
                *count -= 1;
            }
        }
    }
}
