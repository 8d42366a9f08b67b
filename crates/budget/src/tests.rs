use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::FutureExt as _;
use proptest::prelude::*;

use super::*;

fn budget(process: u64, tenant: u64) -> Budget {
    Budget::new(Limits { process, tenant })
}

/// One unit, at a host that has three.
fn at_host(tenant: &str, host: &str) -> Request {
    let host = Some(Host { name: host.to_owned(), limit: 3, tenant: 3 });
    Request { host, ..Request::new(tenant, 1) }
}

/// A grant that is to be had now.
fn now(budget: &Budget, request: Request) -> Option<Grant> {
    budget.acquire(request).now_or_never()
}

fn granted<'a>(pending: &mut [(&'a str, Pending)]) -> Vec<&'a str> {
    pending.iter_mut().filter_map(|(name, pending)| pending.is_granted().then_some(*name)).collect()
}

#[test]
fn the_process_a_tenant_and_a_host_have_so_much() {
    let budget = budget(6, 4);
    let of_host: Vec<_> = (0..5).filter_map(|_| now(&budget, at_host("a", "one"))).collect();
    assert_eq!(of_host.len(), 3, "of one host");
    let of_tenant: Vec<_> = (0..5).filter_map(|n| now(&budget, at_host("a", &n.to_string()))).collect();
    assert_eq!(of_tenant.len(), 1, "of one tenant");
    let of_process: Vec<_> = (0..5).filter_map(|_| now(&budget, Request::new("b", 1))).collect();
    assert_eq!(of_process.len(), 2, "of all");
    drop((of_host, of_tenant, of_process));
    assert!(budget.state().is_empty());
}

#[test]
fn who_waits_for_a_share_or_a_host_keeps_nobody_else_waiting() {
    let budget = budget(10, 3);
    let _held: Vec<_> = (0..3).map(|_| now(&budget, at_host("a", "slow")).unwrap()).collect();
    let _share = budget.enter(at_host("a", "shared"));
    let _host = budget.enter(at_host("b", "slow"));
    assert!(now(&budget, at_host("b", "shared")).is_some() && now(&budget, at_host("c", "shared")).is_some());
}

#[test]
fn what_is_free_goes_to_the_tenant_that_uses_the_least() {
    let budget = budget(3, 3);
    let held: Vec<_> = (0..3).map(|_| now(&budget, Request::new("many", 1)).unwrap()).collect();
    let enter = |tenant| (tenant, budget.enter(Request::new(tenant, 1)));
    let mut waiting: Vec<_> = ["many", "few", "none"].map(enter).into();
    let mut order = Vec::new();
    for grant in held {
        drop(grant);
        let went = waiting.iter_mut().position(|(_, pending)| pending.is_granted());
        order.push(waiting.remove(went.unwrap()));
    }
    assert_eq!(order.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>(), ["few", "none", "many"]);
}

#[test]
fn a_large_request_is_not_passed_by_small_ones_that_came_later() {
    let budget = budget(4, 2);
    let small = now(&budget, Request::new("a", 1)).unwrap();
    let mut waiting =
        vec![("large", budget.enter(Request::new("b", 4))), ("small", budget.enter(Request::new("c", 1)))];
    assert!(granted(&mut waiting).is_empty());
    drop(small);
    assert_eq!(granted(&mut waiting), ["large"]);
    waiting.remove(0);
    assert_eq!(granted(&mut waiting), ["small"]);
}

#[test]
fn a_tenant_that_uses_nothing_may_have_more_than_its_share() {
    let budget = budget(4, 2);
    let large = now(&budget, Request::new("a", 3)).unwrap();
    assert!(now(&budget, Request::new("a", 1)).is_none());
    assert!(now(&budget, Request::new("b", 1)).is_some());
    drop(large);
    let _two = (now(&budget, Request::new("a", 1)).unwrap(), now(&budget, Request::new("a", 1)).unwrap());
    assert!(now(&budget, Request::new("a", 1)).is_none());
}

#[test]
fn more_than_there_is_is_refused_and_counted() {
    let budget = budget(4, 2);
    let error = budget.check(5).err().unwrap();
    assert_eq!(error, Exceeded { cost: 5, limit: 4 });
    assert_eq!((error.to_string().as_str(), budget.check(4)), ("5 exceeds the limit of 4", Ok(())));
    let _grant = now(&budget, Request::new("a", 3)).unwrap();
    let _pending = budget.enter(Request::new("b", 2));
    assert_eq!(budget.usage(), Usage { limit: 4, used: 3, waiting: 1, refused: 1 });
}

#[test]
fn a_cost_of_more_than_there_is_takes_all_of_it() {
    let budget = budget(4, 2);
    let all = now(&budget, Request::new("a", u64::MAX)).unwrap();
    assert_eq!(budget.usage().used, 4);
    drop(all);
    assert!(budget.state().is_empty());
}

#[test]
fn a_request_that_waits_is_told_why() {
    let budget = budget(5, 4);
    let _held: Vec<_> = (0..3).map(|_| now(&budget, at_host("a", "slow")).unwrap()).collect();
    assert_eq!(budget.bound(&at_host("b", "slow")), Bound::Host(3));
    let _fourth = now(&budget, Request::new("a", 1)).unwrap();
    assert_eq!(budget.bound(&at_host("a", "other")), Bound::Tenant(4));
    assert_eq!(budget.bound(&Request::new("b", 2)), Bound::Process(5));
}

#[test]
fn who_gives_up_waiting_leaves_nothing_behind() {
    let budget = budget(2, 2);
    let held = now(&budget, Request::new("a", 1)).unwrap();
    let given_up = budget.enter(Request::new("b", 2));
    let mut next = budget.enter(Request::new("c", 1));
    assert!(!next.is_granted());
    drop(given_up);
    assert!(next.is_granted(), "nobody is before it any more");
    let granted_unseen = budget.enter(Request::new("d", 1));
    drop((held, next, granted_unseen));
    assert!(budget.state().is_empty());
}

#[test]
fn a_budget_of_nothing_lets_work_go_on() {
    let budget = budget(0, 0);
    assert!(now(&budget, Request::new("a", 1)).is_some());
}

#[test]
fn a_grant_gives_back_what_it_does_not_need() {
    let budget = budget(10, 8);
    let mut grant = now(&budget, Request::new("a", 8)).unwrap();
    let mut next = budget.enter(Request::new("b", 5));
    grant.shrink(9);
    assert!(!next.is_granted());
    grant.shrink(5);
    assert!(next.is_granted());
    assert_eq!(budget.usage().used, 10);
    drop((grant, next));
    assert!(budget.state().is_empty());
}

#[test]
fn a_grant_grows_within_the_share_of_its_tenant_or_alone() {
    let budget = budget(10, 5);
    let (mut first, mut second, mut other) = (budget.start("a"), budget.start("a"), budget.start("b"));
    assert_eq!(first.try_grow(6), Ok(()), "it is the only one of its tenant");
    let refused = |cost| Err(Exceeded { cost, limit: 10 });
    assert_eq!((second.try_grow(1), other.try_grow(5)), (refused(1), refused(5)));
    assert_eq!((other.try_grow(4), first.try_grow(3)), (Ok(()), Ok(())), "less changes nothing");
    assert_eq!(budget.usage(), Usage { limit: 10, used: 10, waiting: 0, refused: 2 });
    drop((first, second, other));
    assert!(budget.state().is_empty());
}

#[test]
fn a_tenant_has_a_share_of_each_host() {
    let budget = budget(10, 10);
    let ask = |tenant, host: &str| {
        let host = Some(Host { name: host.to_owned(), limit: 4, tenant: 2 });
        Request { host, ..Request::new(tenant, 1) }
    };
    let held: Vec<_> = (0..4).filter_map(|_| now(&budget, ask("a", "one"))).collect();
    assert_eq!((held.len(), budget.bound(&ask("a", "one"))), (2, Bound::HostTenant(2)));
    assert!(now(&budget, ask("a", "other")).is_some());
    let others = (now(&budget, ask("b", "one")), now(&budget, ask("c", "one")));
    assert!(others.0.is_some() && others.1.is_some());
    assert_eq!(budget.bound(&ask("d", "one")), Bound::Host(4));
    drop((held, others));
    assert!(budget.state().is_empty());
}

/// The rules as they are told, over a list of all who wait and a list of all that is granted.
#[derive(Default)]
struct Model {
    granted: Vec<(usize, Request)>,
    waiting: Vec<(usize, Request)>,
}

impl Model {
    fn used(&self, is_counted: impl Fn(&Request) -> bool) -> u64 {
        self.granted.iter().filter(|(_, granted)| is_counted(granted)).map(|(_, granted)| granted.cost).sum()
    }

    fn of_tenant(&self, tenant: &str) -> u64 {
        self.used(|granted| granted.tenant == tenant)
    }

    fn is_ready(&self, request: &Request, limits: Limits) -> bool {
        let used = self.of_tenant(&request.tenant);
        let is_at =
            |granted: &Request, host: &Host| granted.host.as_ref().is_some_and(|h| h.name == host.name);
        (used == 0 || used + request.cost <= limits.tenant)
            && request.host.as_ref().is_none_or(|host| {
                let by_all = self.used(|granted| is_at(granted, host));
                let by_tenant = self.used(|granted| granted.tenant == request.tenant && is_at(granted, host));
                by_all + request.cost <= host.limit && by_tenant + request.cost <= host.tenant
            })
    }

    fn grant(&mut self, limits: Limits) {
        while self.used(|_| true) < limits.process {
            let ready = self.waiting.iter().filter(|(_, request)| self.is_ready(request, limits));
            let next = ready.min_by_key(|(number, request)| (self.of_tenant(&request.tenant), *number));
            let Some((number, request)) = next.cloned() else { return };
            if self.used(|_| true) + request.cost > limits.process {
                return;
            }
            self.waiting.retain(|(waiting, _)| *waiting != number);
            self.granted.push((number, request));
        }
    }

    fn leave(&mut self, number: usize) {
        self.waiting.retain(|(waiting, _)| *waiting != number);
        self.granted.retain(|(granted, _)| *granted != number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Each step is a request (tenant, cost, host), or the end of one that was made before.
    #[test]
    fn who_goes_on_is_who_the_rules_name(
        (process, tenant) in (1..12_u64, 1..12_u64),
        steps in prop::collection::vec((0..100_usize, 0..4_u8, 0..5_u64, 0..4_u8), 1..80),
    ) {
        let (budget, limits, mut model) = (budget(process, tenant), Limits { process, tenant }, Model::default());
        let mut pending = BTreeMap::new();
        for (number, (end, tenant, cost, host)) in steps.into_iter().enumerate() {
            if end < 45 && !pending.is_empty() {
                let ended = *pending.keys().nth(end % pending.len()).unwrap();
                drop(pending.remove(&ended));
                model.leave(ended);
            } else {
                // Number 0 is none.
                let limited = || Host { name: host.to_string(), limit: 4, tenant: 1 + u64::from(host) };
                let host = (host > 0).then(limited);
                let request = Request { tenant: tenant.to_string(), cost: cost.min(process), host };
                pending.insert(number, budget.enter(request.clone()));
                model.waiting.push((number, request));
            }
            model.grant(limits);
            let went = pending.iter_mut().filter_map(|(number, pending)| pending.is_granted().then_some(*number));
            let expected: BTreeSet<_> = model.granted.iter().map(|(number, _)| *number).collect();
            prop_assert_eq!(went.collect::<BTreeSet<_>>(), expected);
        }
        drop(pending);
        prop_assert!(budget.state().is_empty());
    }
}

#[test]
fn looking_for_who_is_next_takes_no_longer_if_many_wait() {
    const WAITING: u64 = 5_000;
    // At one host, at one that is asked by as many as may, at a host each, and of a tenant each.
    for (tenants, hosts, per_host) in [(3, 1, 100), (3, 1, 3), (1, WAITING, 3), (WAITING, 1, 100)] {
        let budget = budget(11, 10);
        let enter = |n: u64| {
            let host = Host { name: (n % hosts).to_string(), limit: per_host, tenant: per_host };
            budget.enter(Request { host: Some(host), ..Request::new((n % tenants).to_string(), 1) })
        };
        let mut waiting: VecDeque<_> = (0..WAITING).map(enter).collect();
        while !waiting.is_empty() {
            // Nobody's turn is far from that of those who came with it.
            let next = waiting.iter_mut().position(Pending::is_granted).unwrap();
            assert!(next < 100, "{next}");
            waiting.remove(next);
        }
        let looks = budget.state().looks.get();
        assert!(looks < 20 * WAITING, "{looks} looks at {tenants} tenants, {hosts} hosts");
    }
}
