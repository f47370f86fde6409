//! The store against a model, with processes that are killed and disks that fail at any step.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::faults::{ERRNOS, Fault};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Allocate(u8),
    Release(u8),
    Request(u8, u8),
    /// `host-local` gives an address, if it is free, to one of its own.
    Theirs(u8, u8),
    /// `host-local` releases an owner.
    TheirRelease(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..24).prop_map(Step::Allocate),
        3 => (0u8..24).prop_map(Step::Release),
        1 => (0u8..24, 0u8..20).prop_map(|(o, a)| Step::Request(o, a)),
        1 => (24u8..28, 2u8..15).prop_map(|(o, a)| Step::Theirs(o, a)),
        1 => (0u8..28).prop_map(Step::TheirRelease),
        1 => Just(Step::Sweep),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        5 => Just(None),
        2 => (1usize..16).prop_map(|at| Some(Fault::Kill(at))),
        2 => (1usize..16, prop::sample::select(&ERRNOS[..])).prop_map(|(at, e)| Some(Fault::Fail(at, e))),
    ]
}

/// Who holds what, for certain; and who may hold something, after an ADD or DEL that was not finished
/// and before the DEL that must follow.
#[derive(Default)]
struct Model {
    held: BTreeMap<IpAddr, Owner>,
    unsettled: BTreeSet<Owner>,
}

impl Model {
    fn held_by(&self, owner: &Owner) -> Vec<IpAddr> {
        self.held.iter().filter(|(_, o)| *o == owner).map(|(address, _)| *address).collect()
    }

    /// The disk holds what the model does, and beyond it only what the unsettled may have.
    fn compare(&self, store: &Store) {
        let disk: BTreeMap<IpAddr, Option<Owner>> =
            store.reservations().unwrap().into_iter().map(|r| (r.address, r.owner)).collect();
        for (address, owner) in &self.held {
            assert_eq!(disk.get(address), Some(&Some(owner.clone())), "{address}");
        }
        for (address, owner) in &disk {
            let owner = owner.as_ref().unwrap();
            assert!(self.held.get(address) == Some(owner) || self.unsettled.contains(owner), "{address}");
        }
        keeps_the_promise_of_the_seal(store);
    }
}

fn play(model: &mut Model, scratch: &Scratch, step: &Step, fault: Option<Fault>) {
    let (store, sets) = (scratch.store(), [whole("10.0.0.0/28")]);
    let fault = fault.unwrap_or(Fault::Kill(usize::MAX));
    let their_file = |address: &IpAddr| scratch.path(&address.to_string());
    match *step {
        Step::Allocate(id) => allocate(model, &store, &sets, (id, None), fault),
        Step::Request(id, last) => allocate(model, &store, &sets, (id, Some(last)), fault),
        Step::Release(id) => {
            let owner = owner(id);
            let (outcome, _) = faults::run(fault, || store.release(&owner));
            let mine = model.held_by(&owner);
            model.held.retain(|_, o| *o != owner);
            match outcome {
                Ok(released) => {
                    assert!(mine.iter().all(|address| released.contains(address)));
                    assert!(released == mine || model.unsettled.contains(&owner));
                    model.unsettled.remove(&owner);
                    assert_eq!(store.held_by(&owner).unwrap(), [] as [IpAddr; 0]);
                }
                Err(_) => drop(model.unsettled.insert(owner)),
            }
        }
        Step::Theirs(id, last) => {
            let address = ip(&format!("10.0.0.{last}"));
            if !their_file(&address).exists() {
                fs::create_dir_all(scratch.path("")).unwrap();
                fs::write(their_file(&address), owner(id).line()).unwrap();
                model.held.insert(address, owner(id));
            }
        }
        Step::TheirRelease(id) => {
            for address in model.held_by(&owner(id)) {
                fs::remove_file(their_file(&address)).unwrap();
                model.held.remove(&address);
            }
        }
        Step::Sweep => {
            let unsettled = model.unsettled.clone();
            let life = |h: &Holding| if unsettled.contains(&h.owner) { Life::Gone } else { Life::Alive };
            let sweep = || store.sweep(std::time::Duration::ZERO, life);
            if let (Ok(swept), _) = faults::run(fault, sweep) {
                assert!(swept.freed.iter().all(|holding| unsettled.contains(&holding.owner)));
                if swept.failures.is_empty() {
                    model.unsettled.clear();
                }
            }
        }
    }
}

fn allocate(model: &mut Model, store: &Store, sets: &[RangeSet], (id, last): (u8, Option<u8>), fault: Fault) {
    let owner = owner(id);
    let request = last.map(|last| ip(&format!("10.0.0.{last}")));
    let holds = !model.held_by(&owner).is_empty();
    let (outcome, met) = faults::run(fault, || store.allocate(&owner, sets, request.as_slice()));
    match outcome {
        Ok(given) => {
            assert!(!holds && given.len() == 1);
            let address = given[0].address;
            assert!(sets[0].range_of(address).is_some());
            assert!(request.is_none_or(|r| r == address));
            assert_eq!(model.held.insert(address, owner.clone()), None);
            // It may have been left with something before; that is gone, or it would be a duplicate.
            model.unsettled.remove(&owner);
        }
        Err(Error::Duplicate { .. }) => assert!(holds || model.unsettled.contains(&owner)),
        Err(Error::Exhausted { .. }) => {
            assert!(model.held.len() == 13 || !model.unsettled.is_empty());
        }
        Err(Error::Taken { address }) => {
            assert!(model.held.contains_key(&address) || !model.unsettled.is_empty());
        }
        Err(Error::Requested { address, .. }) => assert!(sets[0].range_of(address).is_none()),
        Err(other) => {
            assert!(met, "{other}");
            // Without a kill, it has been undone, unless that went wrong as well.
            if !holds {
                model.unsettled.insert(owner);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the order and whatever goes wrong: nobody gets what another holds, nobody loses what
    /// he holds, a DEL that succeeds leaves nothing, exhaustion is real, and a whole seal is right.
    #[test]
    fn no_address_is_held_twice_and_none_is_lost(
        steps in prop::collection::vec((step(), fault()), 1..100)
    ) {
        let scratch = Scratch::new();
        let mut model = Model::default();
        for (step, fault) in steps {
            play(&mut model, &scratch, &step, fault);
            model.compare(&scratch.store());
        }
    }
}

/// Every step of an ADD, a DEL and a repair, one by one: killed there, and failing there. After that
/// the same call again succeeds, and nothing is left behind.
#[test]
fn every_step_may_be_the_last() {
    let sets = [whole("10.0.0.0/28"), whole("fd00::/64")];
    let faults = |at| ERRNOS.map(|errno| Fault::Fail(at, errno)).into_iter().chain([Fault::Kill(at)]);
    type Act = fn(&Store, &[RangeSet]) -> Result<(), Error>;
    let add: Act = |store, sets| store.allocate(&owner("c"), sets, &[]).map(drop);
    let del: Act = |store, _| store.release(&owner("b")).map(drop);
    for (act, is_add) in [(add, true), (del, false)] {
        let mut met_any = 0;
        for (at, is_sealed) in (1..40).flat_map(|at| [(at, true), (at, false)]) {
            for fault in faults(at) {
                let scratch = Scratch::new();
                let store = scratch.store();
                for id in ["a", "b"] {
                    store.allocate(&owner(id), &sets, &[]).unwrap();
                }
                if !is_sealed {
                    scratch.write("10.0.0.9", "h\r\neth0");
                    scratch.write("10.0.0.8", "");
                    scratch.write(".new", "x");
                }
                let (outcome, met) = faults::run(fault, || act(&store, &sets));
                assert!(met || outcome.is_ok(), "{fault:?}: {outcome:?}");
                met_any += usize::from(met);
                if outcome.is_err() || !is_add {
                    // As the runtime does; a process that was killed may have done all there was to do.
                    let again = act(&store, &sets);
                    assert!(again.is_ok() || matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
                }
                let kept = if is_add { "b" } else { "a" };
                assert_eq!(store.held_by(&owner(kept)).unwrap().len(), 2, "{fault:?}");
                for id in ["a", "b", "c", "h"] {
                    store.release(&owner(id)).unwrap();
                }
                assert_eq!(store.reservations().unwrap(), [], "{fault:?}");
                assert_eq!(scratch.records(), [""; 0], "{fault:?}");
                keeps_the_promise_of_the_seal(&store);
            }
        }
        assert!(met_any > 50, "{met_any}");
    }
}
