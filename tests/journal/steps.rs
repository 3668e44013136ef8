//! Steps at random, and a plain telling of what they come to.

use std::sync::Arc;

use proptest::prelude::*;
use weir::changes::Step;
use weir::equipment::{
    Action, Change, Device, Edit, Entry, Imsi, Scope, Status, Subject, Svn, Tac, TacPrefix,
    Validity,
};
use weir::time::UnixTime;

/// A subject, of few enough that they meet.
fn subject() -> impl Strategy<Value = Subject> {
    let device = |low: u64| Device::from_number(35_209_900_000_000 + low).unwrap();
    let scope = prop_oneof![
        4 => (0..40u64).prop_map(move |low| Scope::Device(device(low))),
        1 => (0..5u64, 0..3u8).prop_map(move |(low, svn)| {
            Scope::DeviceSvn(device(low), Svn::from_number(svn).unwrap())
        }),
        1 => (0..5u64, 5..9u64).prop_map(move |(from, to)| Scope::Range {
            from: device(from),
            to: device(to),
        }),
        1 => (0..5u32).prop_map(|low| Scope::Tac(Tac::from_number(low).unwrap())),
        1 => (1..8usize).prop_map(|digits| {
            Scope::TacPrefix(TacPrefix::from_number(digits, 3).unwrap())
        }),
    ];
    let lists = prop::sample::select(vec!["stolen", "gsma", "bindings/été", ""]);
    (lists, prop::option::weighted(0.3, imsi()), scope).prop_map(|(list, subscriber, scope)| {
        Subject {
            list: list.into(),
            subscriber,
            scope,
        }
    })
}

/// A subscriber.
fn imsi() -> impl Strategy<Value = Imsi> {
    prop::sample::select(vec!["001010", "001010000000001", "999999999999999"])
        .prop_map(|text| Imsi::parse(text.as_bytes()).unwrap())
}

/// A moment, or none.
fn moment() -> impl Strategy<Value = Option<UnixTime>> {
    prop::option::of(prop_oneof![Just(0), Just(i64::MIN), any::<i64>()].prop_map(UnixTime))
}

/// What a list says.
fn entry() -> impl Strategy<Value = Entry> {
    (
        prop::sample::select(Status::ALL.to_vec()),
        moment(),
        moment(),
        prop::option::of("[ -~é]{0,40}"),
        prop::collection::vec(imsi(), 0..3),
    )
        .prop_map(|(status, from, until, reason, exceptions)| Entry {
            status,
            validity: Validity { from, until },
            reason: reason.map(Into::into),
            exceptions: exceptions.into(),
        })
}

/// Steps in their order, from this number on.
pub(crate) fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        3 => entry().prop_map(|entry| Some(Action::Set(entry))),
        1 => Just(Some(Action::Remove)),
        1 => Just(None),
    ];
    let step = (subject(), what, any::<i64>(), "[a-z]{0,12}");
    prop::collection::vec(step, count).prop_map(|steps| {
        (1..)
            .zip(steps)
            .map(|(number, (subject, action, time, by))| {
                step_of(number, &by, subject, action, UnixTime(time))
            })
            .collect()
    })
}

/// One step.
pub(crate) fn step_of(
    number: u64,
    by: &str,
    subject: Subject,
    action: Option<Action>,
    time: UnixTime,
) -> Step {
    let by: Arc<str> = by.into();
    let edit = match action {
        None => Edit::Undo(subject),
        Some(action) => Edit::Change(Arc::new(Change {
            number,
            time,
            by: Arc::clone(&by),
            subject,
            action,
        })),
    };
    Step {
        number,
        time,
        by,
        edit,
    }
}

/// A step that blacklists the device with this number.
pub(crate) fn black(number: u64, device: u64) -> Step {
    let subject = Subject {
        list: "stolen".into(),
        subscriber: None,
        scope: Scope::Device(Device::from_number(device).unwrap()),
    };
    let entry = Entry {
        status: Status::Blacklisted,
        validity: Validity::ALWAYS,
        reason: None,
        exceptions: [].into(),
    };
    step_of(
        number,
        "test",
        subject,
        Some(Action::Set(entry)),
        UnixTime(7),
    )
}

/// What is in force after steps: a scan for the last about each subject.
pub(crate) fn in_force(steps: &[Step]) -> Vec<Arc<Change>> {
    let is_last = |place: usize, step: &Step| {
        let later = &steps[place + 1..];
        !later
            .iter()
            .any(|other| other.edit.subject() == step.edit.subject())
    };
    let last = steps
        .iter()
        .enumerate()
        .filter(|(place, step)| is_last(*place, step));
    let changes = last.filter_map(|(_, step)| match &step.edit {
        Edit::Change(change) => Some(Arc::clone(change)),
        Edit::Undo(_) => None,
    });
    changes.collect()
}
