//! The pages about explanations, changes, transports and moving from other registers,
//! tried as a new user would:
//! each block of commands is run, and what the page shows behind it must be
//! what it prints.
#![cfg(feature = "server")]

use std::path::Path;
use std::process::Command;

/// The blocks of a page that are marked as commands or as output, in order.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push((language, block.join("\n") + "\n"));
    }
    found.retain(|(language, _)| !language.is_empty());
    found
}

/// Runs all commands of a page in one directory, and holds their output
/// against the page.
fn try_page(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    let page = std::fs::read_to_string(path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut printed = None;
    let (mut commands, mut compared) = (0, 0);
    for (language, block) in blocks(&page) {
        match language {
            "sh" => {
                assert!(
                    printed.is_none_or(|text: String| text.is_empty()),
                    "{name}: the output of the commands before is not shown:\n{block}"
                );
                // A page that waits for what never comes is to fail, too.
                let output = Command::new("timeout")
                    .args(["100", "sh", "-e", "-c", &block])
                    .current_dir(dir.path())
                    .env("PATH", &search)
                    .output()
                    .unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{name}: {block}\n{text}{errors}");
                printed = Some(text);
                commands += 1;
            }
            "text" => {
                assert_eq!(printed.take().as_deref(), Some(&*block), "{name}");
                compared += 1;
            }
            // Shown, and not to be run.
            "console" | "swanctl" => {}
            other => panic!("{name}: a block of `{other}`"),
        }
    }
    assert!(commands >= 3 && compared >= 2, "{name}");
}

#[test]
fn moving_from_pyhss_goes_as_described() {
    try_page("moving-from-pyhss.md");
}

#[test]
fn moving_from_open5gs_goes_as_described() {
    try_page("moving-from-open5gs.md");
}

#[test]
fn moving_from_eagle_goes_as_described() {
    try_page("moving-from-eagle.md");
}

#[test]
fn certificates_are_made_as_described() {
    try_page("transports.md");
}

#[test]
fn snapshots_are_made_and_served_as_described() {
    try_page("snapshots.md");
}

#[test]
fn changes_are_made_as_described() {
    try_page("changes.md");
}

#[test]
fn verdicts_are_explained_as_described() {
    try_page("explained-verdicts.md");
}

//----------- weir rollback ----------------------------------------------------

/// A configuration with one list that was kept at 6000 entries, and has one
/// line now.
fn kept_and_spoiled() -> tempfile::TempDir {
    use weir::config::Config;
    use weir::state::{Stamps, State, now};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.toml");
    let text = "[register]\nstate_dir = \"state\"\n[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"l.csv\"\n";
    std::fs::write(&path, text).unwrap();
    std::fs::create_dir(dir.path().join("lists")).unwrap();
    let lines: Vec<String> = (0..6000).map(|number| format!("{number:014}")).collect();
    let list = dir.path().join("lists/l.csv");
    std::fs::write(&list, format!("imei\n{}\n", lines.join("\n"))).unwrap();
    let config = Config::load(&path).unwrap();
    let stamps = Stamps::take(&config);
    let loaded = weir::load::load(&config).unwrap();
    let number = State::of(&config)
        .unwrap()
        .save(&stamps, &loaded.report, now())
        .unwrap();
    assert_eq!(number, Some(1));
    std::fs::write(&list, "imei\n00000000000001\n").unwrap();
    dir
}

/// Runs `weir` in a directory; gives its standard output and error.
fn weir(dir: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[test]
fn one_command_puts_the_last_good_lists_back() {
    let dir = kept_and_spoiled();
    let check = ["config", "--check", "weir.toml"];
    let error = weir(dir.path(), &check).unwrap_err();
    assert!(
        error.contains("1 entries, 5999 fewer than the 6000 in force"),
        "{error}"
    );
    // A server would not start with it either.
    let error = weir(dir.path(), &["serve", "-c", "weir.toml"]).unwrap_err();
    assert!(error.contains("max_change = \"off\""), "{error}");

    let listed = weir(dir.path(), &["rollback", "-c", "weir.toml", "--list"]).unwrap();
    assert!(listed.ends_with("6000 entries in 1 files\n"), "{listed}");
    let error = weir(dir.path(), &["rollback", "-c", "weir.toml", "--to", "7"]).unwrap_err();
    assert!(error.contains("there is no load 7; there are 1"), "{error}");
    let done = weir(dir.path(), &["rollback", "-c", "weir.toml"]).unwrap();
    assert!(done.contains("lists/l.csv.refused\n"), "{done}");
    assert!(
        done.ends_with("the files are those of load 1 again\n"),
        "{done}"
    );
    assert!(weir(dir.path(), &check).is_ok());
}

#[test]
fn nothing_is_restored_where_nothing_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("weir.toml"), "").unwrap();
    let error = weir(dir.path(), &["rollback", "-c", "weir.toml"]).unwrap_err();
    assert!(error.contains("names no `state_dir`"), "{error}");
    std::fs::write(
        dir.path().join("weir.toml"),
        "[register]\nstate_dir = \"s\"\n",
    )
    .unwrap();
    let error = weir(dir.path(), &["rollback", "-c", "weir.toml"]).unwrap_err();
    assert!(error.contains("nothing was kept yet"), "{error}");
}
