//! The last good lists.

#![cfg(feature = "server")]

use weir::state::{Stamps, State};

use super::*;

/// A server's configuration with one list and a `state_dir`.
struct Site {
    /// All of it.
    dir: TempDir,
    /// What it says.
    config: Config,
    /// Where loads are kept.
    state: State,
}

impl Site {
    /// One with these paths of the list, and this in `[register]`.
    fn new(paths: &str, register: &str) -> Self {
        let dir = directory(&[]);
        fs::create_dir(dir.path().join("lists")).unwrap();
        let path: PathBuf = dir.path().join("weir.toml");
        let text = format!(
            "[register]\nstate_dir = \"state\"\n{register}\n\
             [[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"{paths}\"\n"
        );
        fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        let state = State::of(&config).unwrap();
        Self { dir, config, state }
    }

    /// The path of a list.
    fn list(&self, name: &str) -> PathBuf {
        self.dir.path().join("lists").join(name)
    }

    /// Writes a list.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.list(name), text).unwrap();
    }

    /// Loads the lists as after `previous` ones and keeps them; gives how many
    /// entries there are, and the number of the load, if it is a new one.
    fn publish_after(&self, previous: &Previous) -> Result<(u64, Option<u64>), String> {
        let stamps = Stamps::take(&self.config);
        let report = load_after(&self.config, previous).map(|loaded| loaded.report);
        let report: LoadReport = report.map_err(|error| error.to_string())?;
        let number = self.state.save(&stamps, &report, NOW).unwrap();
        Ok((report.entries(), number))
    }

    /// Loads the lists and keeps them; gives the number of the load, if it is a
    /// new one.
    fn publish(&self) -> Option<u64> {
        self.publish_after(&self.state.previous()).unwrap().1
    }
}

/// Whoever reads this directory finds these files.
fn files_of(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = (fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_last_good_lists_are_kept_and_put_back() {
    let site = Site::new("*", "keep = 2");
    let (state, config) = (&site.state, &site.config);
    assert_eq!(state.numbers().unwrap(), [0; 0]);
    site.write("a.csv", "imei\n00000000000001\n");
    site.write("b.csv", "imei\n00000000000002\n");
    assert_eq!(site.publish(), Some(1));
    assert_eq!(site.publish(), None, "nothing has changed");
    site.write("a.csv", "imei\n00000000000001\n00000000000003\n");
    assert_eq!(site.publish(), Some(2));
    assert_eq!(state.previous().entries["l"], 3);
    site.write("a.csv", "imei\n00000000000004\n");
    assert_eq!(site.publish(), Some(3));
    assert_eq!(state.numbers().unwrap(), [2, 3], "two are kept");

    // A bad list, one too many, and one that is gone.
    site.write("a.csv", "imei\nx\n");
    site.write("c.csv", "imei\ny\n");
    fs::remove_file(site.list("b.csv")).unwrap();
    assert!(load(config).is_err());
    let restored = state.restore(3, config).unwrap();
    assert_eq!(restored.restored.len(), 2);
    // The pattern reads all names, so those are hidden from it.
    assert_eq!(
        files_of(&site.dir.path().join("lists")),
        [".a.csv.refused", ".c.csv.refused", "a.csv", "b.csv"]
    );
    let loaded = load(config).unwrap();
    expect(
        &loaded,
        &[
            ("00000000000002", "", BLACK),
            ("00000000000004", "", BLACK),
            ("00000000000003", "", UNKNOWN),
        ],
    );
    assert_eq!(state.restore(3, config).unwrap().unchanged.len(), 2);

    // An older load, and one whose copy is damaged, which changes nothing.
    state.restore(2, config).unwrap();
    expect(&load(config).unwrap(), &[("00000000000003", "", BLACK)]);
    fs::write(site.dir.path().join("state/3/0"), "imei\n").unwrap();
    let error = state.restore(3, config).unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
    expect(&load(config).unwrap(), &[("00000000000003", "", BLACK)]);
}

#[test]
fn what_is_kept_follows_the_content_and_not_the_time_of_writing() {
    let site = Site::new("l.csv", "");
    let (state, config) = (&site.state, &site.config);
    // As long, and with the same time of writing, as `rsync -t` leaves it.
    let replace = |text: &str| {
        let new = site.list("new");
        fs::write(&new, text).unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(then).unwrap();
        fs::rename(&new, site.list("l.csv")).unwrap();
    };
    replace("imei\n00000000000001\n");
    assert_eq!(site.publish(), Some(1));
    replace("imei\n00000000000002\n");
    assert_eq!(site.publish(), Some(2));
    // The same once more does not push out what is older.
    replace("imei\n00000000000002\n");
    assert_eq!(site.publish(), None);
    assert_eq!(state.numbers().unwrap(), [1, 2]);
    fs::remove_file(site.list("l.csv")).unwrap();
    state.restore(2, config).unwrap();
    expect(&load(config).unwrap(), &[("00000000000002", "", BLACK)]);
}

#[test]
fn a_list_that_is_put_back_is_not_held_to_the_one_it_replaces() {
    let site = Site::new("l.csv", "");
    let (state, config) = (&site.state, &site.config);
    let publish = |previous: &Previous| {
        let (entries, _) = site.publish_after(previous)?;
        state.settle().unwrap();
        Ok::<_, String>(entries)
    };
    let good: String = (0..5000).map(|n| format!("{n:014}\n")).collect();
    let good = format!("imei\n{good}");
    site.write("l.csv", &good);
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Forced, and regretted.
    site.write("l.csv", "imei\n00000000000001\n");
    assert_eq!(publish(&Previous::default()), Ok(1));
    state.restore(1, config).unwrap();
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Once: what comes next is held to what is in force.
    site.write("l.csv", "imei\n00000000000001\n");
    assert!(
        publish(&state.previous())
            .unwrap_err()
            .contains("max_change")
    );
}

#[test]
fn a_restore_that_fails_leaves_the_lists_held_to_what_is_in_force() {
    let site = Site::new("l.csv", "");
    site.write("l.csv", "imei\n00000000000001\n");
    assert_eq!(site.publish(), Some(1));
    // What is no file cannot be replaced by one.
    fs::remove_file(site.list("l.csv")).unwrap();
    fs::create_dir_all(site.list("l.csv/more")).unwrap();
    let error = site.state.restore(1, &site.config).unwrap_err();
    assert!(error.contains("l.csv"), "{error}");
    assert_eq!(site.state.restored(), None);
    fs::remove_dir_all(site.list("l.csv")).unwrap();
    site.state.restore(1, &site.config).unwrap();
    assert!(site.state.restored().is_some());
}
