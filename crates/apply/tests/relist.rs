//! A list of very many objects that has to be made anew. Alone in its process, whose memory it measures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;

use apply::observe::Presence;
use apply::prepare::Owner;
use support::{ApiServer, Watching, config_maps, id, owner, synced};
use tokio::time::Instant;

const OBJECTS: usize = 50_000;
const OBJECTS_PER_OWNER: usize = 50;
/// As kustomize-controller asks for them.
const PAGE_SIZE: usize = 500;
/// Most memory for each object, everything included. Decoded, each takes several times as much.
const BYTES_PER_OBJECT: usize = 1024;

fn name(number: usize) -> String {
    format!("object-{number:05}")
}

/// Every page of one list was limited, and no more of them were asked for than it has.
fn is_one_list(server: &ApiServer, objects: usize) {
    let lists = server.take_lists();
    assert_eq!(lists.len(), objects.div_ceil(PAGE_SIZE));
    let limit = format!("limit={PAGE_SIZE}");
    assert!(lists.iter().all(|query| query.split('&').any(|parameter| parameter == limit)));
    assert_eq!(lists.iter().filter(|query| !query.contains("continue=")).count(), 1);
}

/// How often each owner was told.
fn counts(told: Vec<Owner>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    told.into_iter().for_each(|owner| *counts.entry(owner.name).or_default() += 1);
    counts
}

/// A line of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_new_list_of_50000_objects_loses_none_and_is_taken_in_page_by_page() {
    let server = ApiServer::new(Watching::Quiet);
    for number in 0..OBJECTS {
        server.put(&name(number), &format!("app-{}", number / OBJECTS_PER_OWNER));
    }
    let index = server.index(PAGE_SIZE as u32);
    let before = memory("VmRSS:");
    index.ensure(&config_maps());
    synced(&index).await;
    is_one_list(&server, OBJECTS);
    assert!((0..OBJECTS).all(|number| index.get(&id(&name(number))).is_some()));
    let seen = index.get(&id(&name(OBJECTS - 1))).unwrap();

    // All objects of some owners go, others come: the watch ends, and tells nothing of it.
    let last = Presence { resource_version: seen.resource_version.clone(), at: Instant::now() };
    let (gone, come) = (10 * OBJECTS_PER_OWNER, 7 * OBJECTS_PER_OWNER);
    (0..gone).for_each(|number| server.delete(&name(number)));
    (OBJECTS..OBJECTS + come)
        .for_each(|number| drop(server.put(&name(number), &format!("app-{}", number / OBJECTS_PER_OWNER))));
    server.expire_watches();
    let mut told = Vec::new();
    while !told.contains(&owner("app-0")) {
        told.extend(support::told(&index).await);
    }
    is_one_list(&server, OBJECTS - gone + come);
    let peak = memory("VmHWM:") - before;
    assert!(peak <= OBJECTS * BYTES_PER_OBJECT, "{} bytes per object", peak / OBJECTS);

    for number in 0..OBJECTS + come {
        assert_eq!(index.get(&id(&name(number))).is_some(), number >= gone, "{number}");
    }
    assert!(index.has_gone(&id(&name(0)), &last, &owner("app-0")));
    assert_eq!(index.get(&id(&name(OBJECTS - 1))), Some(seen), "it is as it was");
    let counts = counts(told);
    assert_eq!(counts.len(), (OBJECTS + come) / OBJECTS_PER_OWNER);
    println!("{peak} bytes, {} per object", peak / OBJECTS);
    // Those of the new objects may hear of them before the list ends, too.
    let old = (0..OBJECTS / OBJECTS_PER_OWNER).map(|number| format!("app-{number}"));
    assert!(old.into_iter().all(|owner| counts[&owner] == 1), "each is told once");
}
