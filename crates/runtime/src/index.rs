//! What is kept of watched objects, and who refers to whom.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use kube::runtime::watcher::Event;

/// One value for each object of a watch. What is kept is complete after each list: an object that a new list lacks is gone.
#[derive(Debug)]
pub struct Index<K, V> {
    values: HashMap<K, V>,
    listed: HashSet<K>,
    /// Changed during the list under way; told when it is complete, because only then others see it.
    changed: Vec<K>,
}

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), listed: HashSet::new(), changed: Vec::new() }
    }
}

impl<K: Eq + Hash + Clone, V: PartialEq> Index<K, V> {
    /// Takes in a watch event; `reduce` gives what is kept of an object. Gives the objects whose value changed or that are gone;
    /// what a list brings is told at its end.
    pub fn observe<T>(&mut self, event: &Event<T>, reduce: impl Fn(&T) -> (K, V)) -> Vec<K> {
        match event {
            Event::Init => self.begin_list(),
            Event::InitApply(object) => {
                let (key, value) = reduce(object);
                if self.list(key.clone(), value) {
                    self.changed.push(key);
                }
            }
            Event::InitDone => {
                let mut changed = std::mem::take(&mut self.changed);
                changed.extend(self.end_list());
                return changed;
            }
            Event::Apply(object) => {
                let (key, value) = reduce(object);
                if self.put(key.clone(), value) {
                    return vec![key];
                }
            }
            Event::Delete(object) => {
                let (key, _) = reduce(object);
                self.remove(&key);
                return vec![key];
            }
        }
        Vec::new()
    }

    /// A list begins. What was known stays known until its end.
    pub fn begin_list(&mut self) {
        self.listed.clear();
    }

    /// The list has an object. Tells whether its value is another one than before.
    pub fn list(&mut self, key: K, value: V) -> bool {
        self.listed.insert(key.clone());
        self.put(key, value)
    }

    /// The list is complete. Gives the objects that it lacks.
    pub fn end_list(&mut self) -> Vec<K> {
        let listed = std::mem::take(&mut self.listed);
        let gone = self.values.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        self.values.retain(|key, _| listed.contains(key));
        gone
    }

    /// An object appeared or changed. Tells whether its value is another one than before.
    pub fn put(&mut self, key: K, value: V) -> bool {
        let same = self.values.get(&key) == Some(&value);
        self.values.insert(key, value);
        !same
    }

    /// An object is gone.
    pub fn remove(&mut self, key: &K) {
        self.values.remove(key);
    }

    /// What is kept of an object.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// All objects that there are.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.values.keys()
    }
}

/// Who refers to what, so that a change finds those whom it concerns without a look at all of them.
#[derive(Debug)]
pub struct Referrers<R, T> {
    /// By referrer; those that refer to nothing are absent.
    targets: HashMap<R, Vec<T>>,
    /// The same the other way round.
    referrers: HashMap<T, HashSet<R>>,
}

impl<R, T> Default for Referrers<R, T> {
    fn default() -> Self {
        Self { targets: HashMap::new(), referrers: HashMap::new() }
    }
}

impl<R: Eq + Hash + Clone, T: Eq + Hash + Clone> Referrers<R, T> {
    /// From now on `referrer` refers to these, and to nothing else.
    pub fn set(&mut self, referrer: &R, targets: Vec<T>) {
        if self.targets.get(referrer).is_some_and(|before| *before == targets) {
            return;
        }
        for before in self.targets.remove(referrer).unwrap_or_default() {
            if let Some(referrers) = self.referrers.get_mut(&before) {
                referrers.remove(referrer);
                if referrers.is_empty() {
                    self.referrers.remove(&before);
                }
            }
        }
        for target in &targets {
            self.referrers.entry(target.clone()).or_default().insert(referrer.clone());
        }
        if !targets.is_empty() {
            self.targets.insert(referrer.clone(), targets);
        }
    }

    /// What `referrer` refers to.
    pub fn targets(&self, referrer: &R) -> &[T] {
        self.targets.get(referrer).map_or(&[], Vec::as_slice)
    }

    /// Who refers to `target`.
    pub fn of(&self, target: &T) -> impl Iterator<Item = &R> {
        self.referrers.get(target).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Events = Vec<Event<(&'static str, u32)>>;

    /// The keys that are told for each event, sorted.
    fn told(index: &mut Index<&'static str, u32>, events: Events) -> Vec<Vec<&'static str>> {
        let tell = |event: &Event<(&'static str, u32)>| {
            let mut keys = index.observe(event, |object| *object);
            keys.sort_unstable();
            keys
        };
        events.iter().map(tell).collect()
    }

    #[test]
    fn an_index_tells_of_new_changed_and_deleted_objects_once() {
        let mut index = Index::default();
        let events = vec![
            Event::Apply(("a", 1)),
            Event::Apply(("a", 1)),
            Event::Apply(("a", 2)),
            Event::Delete(("a", 2)),
            Event::Apply(("a", 2)),
        ];
        assert_eq!(told(&mut index, events), [vec!["a"], vec![], vec!["a"], vec!["a"], vec!["a"]]);
        assert_eq!(index.get(&"a"), Some(&2));
    }

    #[test]
    fn an_index_tells_of_a_list_at_its_end_and_of_what_it_lacks() {
        let mut index = Index::default();
        told(&mut index, vec![Event::Apply(("a", 1)), Event::Apply(("b", 1)), Event::Apply(("c", 1))]);
        let events = vec![Event::Init, Event::InitApply(("b", 2)), Event::InitApply(("c", 1))];
        assert_eq!(told(&mut index, events), [vec![], vec![], Vec::<&str>::new()]);
        assert_eq!(index.get(&"a"), Some(&1), "what was known stays known until the list ends");
        assert_eq!(told(&mut index, vec![Event::InitDone]), [vec!["a", "b"]]);
        assert_eq!(index.get(&"a"), None);
        assert_eq!(index.keys().count(), 2);
    }

    #[test]
    fn an_index_forgets_a_list_that_was_broken_off() {
        let mut index = Index::default();
        told(&mut index, vec![Event::Apply(("a", 1)), Event::Init, Event::InitApply(("a", 1))]);
        assert_eq!(told(&mut index, vec![Event::Init, Event::InitDone]), [vec![], vec!["a"]]);
    }

    #[test]
    fn referrers_follow_what_refers_to_what() {
        let mut referrers = Referrers::default();
        fn of(referrers: &Referrers<&'static str, &'static str>, target: &'static str) -> Vec<&'static str> {
            let mut all: Vec<_> = referrers.of(&target).copied().collect();
            all.sort_unstable();
            all
        }
        referrers.set(&"x", vec!["s", "t"]);
        referrers.set(&"y", vec!["s"]);
        assert_eq!((of(&referrers, "s"), of(&referrers, "t")), (vec!["x", "y"], vec!["x"]));
        referrers.set(&"x", vec!["t"]);
        assert_eq!((of(&referrers, "s"), of(&referrers, "t")), (vec!["y"], vec!["x"]));
        assert_eq!(referrers.targets(&"x"), ["t"]);
        referrers.set(&"x", vec![]);
        referrers.set(&"y", vec![]);
        assert!(referrers.targets.is_empty() && referrers.referrers.is_empty(), "nothing is left behind");
    }
}
