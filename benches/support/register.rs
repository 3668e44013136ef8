//! A compiled register of any size.

use std::env;
use std::path::{Path, PathBuf};

use crate::scatter::scatter;
use weir::equipment::devices::DevicesBuilder;
use weir::equipment::{Builder, Device, RuleSpec, Scope, Status, Validity};
use weir::snapfile;
use weir::snapshot::Provenance;
use weir::time::UnixTime;

/// Devices in a TAC.
const OF_TAC: u64 = 5000;

/// The file that `WEIR_BENCH_SNAPSHOT` names, or one in a directory; if it is not
/// there, it is made of as many devices as `WEIR_BENCH_DEVICES` says, or else so
/// many.
pub(crate) fn path(dir: &Path, devices: u64) -> PathBuf {
    let named = env::var_os("WEIR_BENCH_SNAPSHOT").map(PathBuf::from);
    let path = named.unwrap_or_else(|| dir.join("register.weir"));
    if !path.exists() {
        let count = env::var("WEIR_BENCH_DEVICES").ok();
        let count = count.map_or(devices, |count| count.parse().expect("a number"));
        make(&path, count);
    }
    path
}

/// Makes a snapshot of about so many devices. What each has said of it is one of
/// two things.
fn make(path: &Path, count: u64) {
    let mut builder = Builder::new();
    let file = builder.file("devices.csv").expect("a file");
    let statuses = [Status::Blacklisted, Status::Greylisted];
    let lists = statuses.map(|status| builder.list(status.name(), status).expect("a list"));
    for (list, status) in lists.into_iter().zip(statuses) {
        let rule = RuleSpec {
            scope: Scope::Device(Device::MIN),
            status,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: 1,
        };
        builder.rule(list, rule).expect("room");
    }
    let mut devices = DevicesBuilder::new(1);
    let places = (count / OF_TAC).max(1);
    let mut serials = Vec::new();
    for place in 0..places {
        serials.clear();
        let each = count.div_ceil(places);
        serials.extend((0..each).map(|number| scatter(scatter(place) ^ number) % 1_000_000));
        serials.sort_unstable();
        serials.dedup();
        let tac = 100_000_000 / places * place;
        for &serial in &serials {
            let device = tac * 1_000_000 + serial;
            devices.push(device, 1 + (scatter(device) % 5 / 4) as u32);
        }
    }
    let snapshot = builder.finish_with(devices.finish());
    let written = snapfile::write(path, &snapshot, &Provenance::default(), UnixTime(0));
    written.expect("a snapshot");
}
