//! The last good lists.

use super::*;

/// Whoever reads this directory finds these files.
fn files_of(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = (fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(feature = "server")]
#[test]
fn the_last_good_lists_are_kept_and_put_back() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    fs::write(
        &path,
        "[register]\nstate_dir = \"state\"\nkeep = 2\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*\"\n",
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    assert_eq!(state.numbers().unwrap(), [0; 0]);
    let publish = || {
        let stamps = Stamps::take(&config);
        let report: LoadReport = load_after(&config, &state.previous()).unwrap().report;
        state.save(&stamps, &report, NOW).unwrap()
    };
    fs::write(lists.join("a.csv"), "imei\n00000000000001\n").unwrap();
    fs::write(lists.join("b.csv"), "imei\n00000000000002\n").unwrap();
    assert_eq!(publish(), Some(1));
    assert_eq!(publish(), None, "nothing has changed");
    fs::write(
        lists.join("a.csv"),
        "imei\n00000000000001\n00000000000003\n",
    )
    .unwrap();
    assert_eq!(publish(), Some(2));
    assert_eq!(state.previous().entries["l"], 3);
    fs::write(lists.join("a.csv"), "imei\n00000000000004\n").unwrap();
    assert_eq!(publish(), Some(3));
    assert_eq!(state.numbers().unwrap(), [2, 3], "two are kept");

    // A bad list, one too many, and one that is gone.
    fs::write(lists.join("a.csv"), "imei\nx\n").unwrap();
    fs::write(lists.join("c.csv"), "imei\ny\n").unwrap();
    fs::remove_file(lists.join("b.csv")).unwrap();
    assert!(load(&config).is_err());
    let restored = state.restore(3, &config).unwrap();
    assert_eq!(restored.restored.len(), 2);
    // The pattern reads all names, so those are hidden from it.
    assert_eq!(
        files_of(&lists),
        [".a.csv.refused", ".c.csv.refused", "a.csv", "b.csv"]
    );
    let loaded = load(&config).unwrap();
    expect(
        &loaded,
        &[
            ("00000000000002", "", BLACK),
            ("00000000000004", "", BLACK),
            ("00000000000003", "", UNKNOWN),
        ],
    );
    assert_eq!(state.restore(3, &config).unwrap().unchanged.len(), 2);

    // An older load, and one whose copy is damaged, which changes nothing.
    state.restore(2, &config).unwrap();
    expect(&load(&config).unwrap(), &[("00000000000003", "", BLACK)]);
    fs::write(dir.path().join("state/3/0"), "imei\n").unwrap();
    let error = state.restore(3, &config).unwrap_err();
    assert!(error.contains("is damaged"), "{error}");
    expect(&load(&config).unwrap(), &[("00000000000003", "", BLACK)]);
}

#[cfg(feature = "server")]
#[test]
fn what_is_kept_follows_the_content_and_not_the_time_of_writing() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    let text = "[register]\nstate_dir = \"state\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    let publish = || {
        let stamps = Stamps::take(&config);
        let report: LoadReport = load_after(&config, &state.previous()).unwrap().report;
        state.save(&stamps, &report, NOW).unwrap()
    };
    // As long, and with the same time of writing, as `rsync -t` leaves it.
    let replace = |text: &str| {
        let new = lists.join("new");
        fs::write(&new, text).unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(then).unwrap();
        fs::rename(&new, lists.join("l.csv")).unwrap();
    };
    replace("imei\n00000000000001\n");
    assert_eq!(publish(), Some(1));
    replace("imei\n00000000000002\n");
    assert_eq!(publish(), Some(2));
    // The same once more does not push out what is older.
    replace("imei\n00000000000002\n");
    assert_eq!(publish(), None);
    assert_eq!(state.numbers().unwrap(), [1, 2]);
    fs::remove_file(lists.join("l.csv")).unwrap();
    state.restore(2, &config).unwrap();
    expect(&load(&config).unwrap(), &[("00000000000002", "", BLACK)]);
}

#[cfg(feature = "server")]
#[test]
fn a_list_that_is_put_back_is_not_held_to_the_one_it_replaces() {
    use weir::state::{Stamps, State};

    let dir = directory(&[]);
    let lists = dir.path().join("lists");
    fs::create_dir(&lists).unwrap();
    let path: PathBuf = dir.path().join("weir.toml");
    let text = "[register]\nstate_dir = \"state\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let state = State::of(&config).unwrap();
    let publish = |previous: &Previous| {
        let stamps = Stamps::take(&config);
        let report = load_after(&config, previous).map(|loaded| loaded.report);
        let report: LoadReport = report.map_err(|error| error.to_string())?;
        state.save(&stamps, &report, NOW).unwrap();
        state.settle().unwrap();
        Ok::<_, String>(report.entries())
    };
    let good: String = (0..5000).map(|n| format!("{n:014}\n")).collect();
    let good = format!("imei\n{good}");
    fs::write(lists.join("l.csv"), &good).unwrap();
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Forced, and regretted.
    fs::write(lists.join("l.csv"), "imei\n00000000000001\n").unwrap();
    assert_eq!(publish(&Previous::default()), Ok(1));
    state.restore(1, &config).unwrap();
    assert_eq!(publish(&state.previous()), Ok(5000));
    // Once: what comes next is held to what is in force.
    fs::write(lists.join("l.csv"), "imei\n00000000000001\n").unwrap();
    assert!(
        publish(&state.previous())
            .unwrap_err()
            .contains("max_change")
    );
}

#[test]
fn what_is_no_imsi_tells_notifications_apart() {
    let full = b"imei,imsi,msisdn,block_date,reasons\n\
        35000000000009,bad,491,20250101,x\n35000000000009,worse,491,20240101,x\n";
    let resolved = b"imei,imsi,msisdn,block_date,reasons\n35000000000009,worse,491,20240101,x\n";
    let files: [(&str, &[u8]); 2] = [
        ("20260102_notifications_op1.csv", full),
        (
            "20260103_notifications_op1_delta_2_3_resolved.csv",
            resolved,
        ),
    ];
    let loaded = load_list("dirbs-notifications", &files).unwrap();
    expect(&loaded, &[("35000000000009", "", BLACK)]);
}

#[test]
fn an_expression_that_contradicts_a_rule_is_left_out_whole() {
    let rules = br#"[{"imei":"^35349007","regex_mode":1,"match_response_code":0},
        {"imei":"^3534900[67]","regex_mode":1,"match_response_code":1}]"#;
    let loaded = load_with("pyhss", &[("rules.json", rules)], "max_bad_lines = 1").unwrap();
    expect(
        &loaded,
        &[
            ("35349006000000", "", UNKNOWN),
            ("35349007000000", "", WHITE),
        ],
    );
}
