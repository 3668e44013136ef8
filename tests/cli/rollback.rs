//! `weir rollback`: which load it goes back to, and which ones it leaves alone.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use weir::config::Config;
use weir::load::{Previous, load, load_after};
use weir::state::{Stamps, State, now};

use crate::harness::*;

/// A configuration with all lists of a directory.
const LISTS: &str = "[register]\nstate_dir = \"state\"\nkeep = 3\n\
     [[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*.csv\"\n";

/// One with a snapshot of them, and the same `state_dir`.
const SNAPSHOT: &str =
    "[register]\nstate_dir = \"state\"\nkeep = 3\nsnapshot = \"register.weir\"\n";

/// Lists that are loaded and kept as a server does it.
struct Site {
    /// All of it.
    dir: TempDir,
}

impl Site {
    /// One with this configuration and no list.
    fn new(config: &str) -> Self {
        let dir = directory(&[("weir.toml", config)]);
        fs::create_dir(dir.path().join("lists")).unwrap();
        Self { dir }
    }

    /// A path in it.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a list of one device.
    fn write(&self, name: &str, device: u8) {
        let text = format!("imei\n001012340000{device:02}\n");
        fs::write(self.path("lists").join(name), text).unwrap();
    }

    /// The names of the lists.
    fn lists(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("lists")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// Loads what there is and keeps it; gives the number of the load, if it is
    /// a new one.
    fn publish(&self) -> Option<u64> {
        let config = Config::load(&self.path("weir.toml")).unwrap();
        let state = State::of(&config).unwrap();
        let stamps = Stamps::take(&config);
        let loaded = load_after(&config, &Previous::default()).unwrap();
        let number = state.save(&stamps, &loaded.report, now()).unwrap();
        state.settle().unwrap();
        number
    }

    /// Writes a list of one device, and publishes it.
    fn publish_with(&self, name: &str, device: u8) -> Option<u64> {
        self.write(name, device);
        self.publish()
    }

    /// The one device of a list.
    fn device(&self, name: &str) -> u8 {
        let text = fs::read_to_string(self.path("lists").join(name)).unwrap();
        text.trim_end()[text.trim_end().len() - 2..]
            .parse()
            .unwrap()
    }

    /// Runs the command.
    fn rollback(&self, args: &[&str]) -> Run {
        let mut command = command();
        command
            .arg("rollback")
            .arg("-c")
            .arg(self.path("weir.toml"));
        finish(command.args(args))
    }

    /// The loads that are kept: their numbers, and whether they were rolled back.
    fn loads(&self) -> Vec<(u64, bool)> {
        let loads = self.rollback(&["--list", "--json"]).ends(0).json();
        let load = |load: &serde_json::Value| {
            let rolled_back = load["rolled_back"].as_bool().unwrap();
            (load["number"].as_u64().unwrap(), rolled_back)
        };
        loads.as_array().unwrap().iter().map(load).collect()
    }

    /// Compiles the lists to the snapshot that [`SNAPSHOT`] serves.
    fn compile(&self) {
        fs::write(self.path("lists.toml"), LISTS.replace("state_dir", "#")).unwrap();
        let mut command = command();
        command.args(["compile", "-c"]).arg(self.path("lists.toml"));
        finish(command.arg("-o").arg(self.path("register.weir"))).ends(0);
    }
}

/// A load that only added a list differs from the one before, too.
#[test]
fn a_list_that_was_added_is_set_aside() {
    let site = Site::new(LISTS);
    assert_eq!(site.publish_with("s.csv", 1), Some(1));
    assert_eq!(site.publish_with("wrong.csv", 2), Some(2));
    let run = site.rollback(&[]).ends(0);
    assert!(run.out.ends_with("are those of load 1 again\n"), "{run:?}");
    assert_eq!(site.lists(), ["s.csv", "wrong.csv.refused"]);
}

#[test]
fn where_no_load_differs_nothing_is_done() {
    let site = Site::new(LISTS);
    assert_eq!(site.publish_with("s.csv", 1), Some(1));
    let run = site.rollback(&[]).ends(1);
    assert!(run.err.contains("nothing to roll back"), "{run:?}");
    assert_eq!(site.loads(), [(1, false)]);
    // A list that was never in force differs.
    site.write("wrong.csv", 2);
    site.rollback(&[]).ends(0);
    assert_eq!(site.lists(), ["s.csv", "wrong.csv.refused"]);
}

/// Lists are of no use to a configuration with a snapshot, nor the other way
/// round.
#[test]
fn loads_of_the_other_kind_are_left_alone() {
    let site = Site::new(LISTS);
    assert_eq!(site.publish_with("s.csv", 1), Some(1));
    site.compile();
    fs::write(site.path("weir.toml"), SNAPSHOT).unwrap();
    let run = site.rollback(&[]).ends(1);
    assert!(run.err.contains("take `snapshot` out"), "{run:?}");
    assert_eq!(site.publish(), Some(2));
    for args in [&[][..], &["--to", "1"]] {
        site.rollback(args).ends(1);
        assert!(site.path("register.weir").exists());
    }
    let run = site.rollback(&["--to", "1"]);
    let why = "load 1 is of lists; take `snapshot` out of [register]";
    assert!(run.err.contains(why), "{run:?}");
    // Those of the same kind are offered.
    site.write("s.csv", 2);
    site.compile();
    assert_eq!(site.publish(), Some(3));
    let run = site.rollback(&[]).ends(0);
    assert!(run.out.ends_with("are those of load 2 again\n"), "{run:?}");
    load(&Config::load(&site.path("weir.toml")).unwrap()).unwrap();

    fs::write(site.path("weir.toml"), LISTS).unwrap();
    let run = site.rollback(&["--to", "3"]).ends(1);
    assert!(run.err.contains("load 3 is of the snapshot "), "{run:?}");
    assert!(run.err.contains("write `snapshot = \"/"), "{run:?}");
    let listed = site.rollback(&["--list"]).ends(0).out;
    let other = listed.matches(", not for this configuration\n").count();
    assert_eq!(other, 2, "{listed}");
    let run = site.rollback(&[]).ends(0);
    assert!(run.out.ends_with("are those of load 1 again\n"), "{run:?}");
    assert_eq!(site.device("s.csv"), 1);
}

#[test]
fn loads_that_cannot_be_read_do_not_stand_in_the_way() {
    let site = Site::new(LISTS);
    for number in 1..=3 {
        assert_eq!(site.publish_with("s.csv", number), Some(number.into()));
    }
    fs::write(site.path("state/2/manifest.toml"), "time = ").unwrap();
    fs::create_dir(site.path("state/7")).unwrap();
    let run = site.rollback(&["--list"]).ends(0);
    assert_eq!(run.out.lines().count(), 2, "{run:?}");
    for number in [2, 7] {
        let path = format!("state/{number}/manifest.toml: ");
        let warning = format!("warning: load {number} is left out: ");
        let mut lines = run.err.lines();
        let named = lines.any(|line| line.starts_with(&warning) && line.contains(&path));
        assert!(named, "{run:?}");
    }
    assert!(!run.err.contains("weir.toml"), "{run:?}");
    site.rollback(&["--to", "1"]).ends(0);
    assert_eq!(site.device("s.csv"), 1);
    // They take no place from those that can be read.
    assert_eq!(site.publish_with("s.csv", 8), Some(8));
    assert_eq!(site.publish_with("s.csv", 9), Some(9));
    assert_eq!(site.loads(), [(1, false), (8, false), (9, false)]);
}

#[test]
fn what_was_rolled_back_does_not_come_again() {
    let site = Site::new(LISTS);
    for number in 1..=3 {
        assert_eq!(site.publish_with("s.csv", number), Some(number.into()));
    }
    // The third was wrong. What was put back is used under a new number, and the
    // first load is still there.
    site.rollback(&[]).ends(0);
    assert_eq!(site.device("s.csv"), 2);
    assert_eq!(site.publish(), Some(4));
    assert_eq!(site.loads(), [(1, false), (3, true), (4, false)]);
    let listed = site.rollback(&["--list"]).ends(0).out;
    assert_eq!(listed.matches(", rolled back\n").count(), 1, "{listed}");
    // So was the second; with or without a server that loads it meanwhile.
    site.rollback(&[]).ends(0);
    assert_eq!(site.device("s.csv"), 1);
    assert_eq!(site.loads(), [(1, false), (3, true), (4, true)]);
    let run = site.rollback(&[]).ends(1);
    assert!(run.err.contains("nothing to roll back"), "{run:?}");
    assert_eq!(site.device("s.csv"), 1);
    assert_eq!(site.publish(), Some(5));
    site.rollback(&[]).ends(1);
    // What is wrong goes before what is good where there is no place for both.
    assert_eq!(site.publish_with("s.csv", 6), Some(6));
    assert_eq!(site.loads(), [(4, true), (5, false), (6, false)]);
    // Who asks for it gets it, and it counts as good again.
    site.rollback(&["--to", "4"]).ends(0);
    assert_eq!(site.device("s.csv"), 2);
    assert_eq!(site.loads(), [(4, false), (5, false), (6, false)]);
}

/// A list that was rolled back and is in force once more is one that one may
/// go back to.
#[test]
fn what_is_in_force_again_is_not_refused() {
    let site = Site::new(LISTS);
    assert_eq!(site.publish_with("s.csv", 1), Some(1));
    assert_eq!(site.publish_with("s.csv", 2), Some(2));
    site.rollback(&[]).ends(0);
    assert_eq!(site.loads(), [(1, false), (2, true)]);
    assert_eq!(site.publish_with("s.csv", 2), None);
    assert_eq!(site.loads(), [(1, false), (2, false)]);
}
