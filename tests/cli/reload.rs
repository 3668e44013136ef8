//! New lists while the server answers: told by SIGHUP, and noticed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::*;

const DEVICE: &str = "00101234000001";
const OTHER: &str = "00101234000009";

/// A list of one device with this status.
fn list(status: &str) -> String {
    list_of(DEVICE, status)
}

/// The same of another device.
fn list_of(device: &str, status: &str) -> String {
    format!("imei,status\n{device},{status}\n")
}

/// The lists `*.csv` and `late/*.csv`, watched or not.
fn config(watch: bool) -> String {
    format!(
        "[register]\nwatch = {watch}\n\
         [[list]]\nname = \"a\"\nstatus = \"blacklisted\"\npath = [\"*.csv\", \"late/*.csv\"]\n\
         [log]\nlevel = \"debug\"\n"
    )
}

/// Where the list is, and a server that has loaded it.
fn start(watch: bool) -> (tempfile::TempDir, Serving) {
    let dir = directory(&[
        ("weir.toml", &config(watch)),
        ("lists/a.csv", &list("white")),
    ]);
    let server = Serving::start_in(dir.path());
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    (dir, server)
}

/// Gives a file new content as copying programs do: under another name first.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

const RELOADED: &str = "INFO register reloaded: ";
const REFUSED: &str = "ERROR reload refused, the register in force stays: ";
const UNCHANGED: &str = "DEBUG files were touched, but no list and no configuration has changed";

/// Who reloads gives way to who answers, by the scheduler's own account.
#[test]
fn only_the_reload_thread_is_nice() {
    let (_dir, server) = start(false);
    let tasks = format!("/proc/{}/task", server.child.id());
    let mut threads = Vec::new();
    for task in fs::read_dir(tasks).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (name, fields) = stat.split_once(") ").unwrap();
        let (_, name) = name.split_once('(').unwrap();
        // The nineteenth field of all, of which two stand before these.
        let nice: i32 = fields.split(' ').nth(16).unwrap().parse().unwrap();
        threads.push((name.to_owned(), nice));
    }
    let nice = |name: &str| threads.iter().find(|(own, _)| own == name).unwrap().1;
    let serving = nice("weir");
    assert_eq!(nice("reload"), 19);
    let others = threads.iter().filter(|(name, _)| name != "reload");
    assert!(others.clone().count() > 1);
    assert!(
        others.clone().all(|&(_, nice)| nice == serving),
        "{threads:?}"
    );
}

//----------- SIGHUP

#[test]
fn sighup_loads_good_lists_and_leaves_bad_ones() {
    let (dir, server) = start(false);
    let path = dir.path().join("lists/a.csv");
    fs::write(&path, list("black")).unwrap();
    server.signal(Signal::HUP);
    server
        .log
        .wait_for(&format!("{RELOADED}lists=1 entries=1\n"), 1);
    assert_eq!(server.verdict(DEVICE), "blacklisted");

    fs::write(&path, format!("{}49015420323751,purple\n", list("white"))).unwrap();
    server.signal(Signal::HUP);
    let log = server
        .log
        .wait_for("nothing was loaded; correct the lines", 1);
    let place = format!(
        "{REFUSED}{}:3:2: status: `purple` is no status",
        path.display()
    );
    assert!(log.contains(&place), "{log}");
    assert_eq!(server.verdict(DEVICE), "blacklisted");

    fs::write(&path, list("grey")).unwrap();
    server.signal(Signal::HUP);
    server.log.wait_for(RELOADED, 2);
    assert_eq!(server.verdict(DEVICE), "greylisted");
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let (dir, server) = start(false);
    let path = dir.path().join("weir.toml");
    fs::write(&path, "[register]\nunlsited = \"black\"\n").unwrap();
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    server.signal(Signal::HUP);
    let log = server.log.wait_for(REFUSED, 1);
    assert!(
        log.contains(":2:1: unknown key `unlsited` in [register]; did you mean `unlisted`?"),
        "{log}"
    );
    assert_eq!(server.verdict(DEVICE), "whitelisted");

    // A good one is in force as a whole, but for the names and addresses.
    let text = config(false).replace("[register]\n", "[register]\nunlisted = \"greylisted\"\n");
    fs::write(
        &path,
        format!("[diameter]\norigin_host = \"other.localdomain\"\n{text}"),
    )
    .unwrap();
    server.signal(Signal::HUP);
    let log = server.log.wait_for(RELOADED, 1);
    assert!(log.contains("WARN"), "{log}");
    assert!(
        log.contains("changes of [diameter] take effect at the next start, but for those of peers and certificates"),
        "{log}"
    );
    let json = server.check(&[DEVICE, "--json"]).ends(0).json();
    assert_eq!(json["verdict"], "blacklisted");
    assert_ne!(json["origin_host"], "other.localdomain");
    assert_eq!(server.verdict("35349006987331"), "greylisted");
}

#[test]
fn sighup_applies_peers_and_the_level_of_the_log() {
    let (dir, server) = start(false);
    let path = dir.path().join("weir.toml");
    let check = |host: &str| server.check(&[DEVICE, "--origin-host", host]);
    check("bad.localdomain").ends(0);
    let debug = || server.log.count("DEBUG");
    assert!(debug() > 0);

    let denied = "[diameter.deny]\norigin_host = \"bad.localdomain\"\n";
    let text = config(false).replace("debug", "info");
    // Nothing of a bad configuration is applied.
    fs::write(&path, format!("{denied}network = \"127.0.0.1/8\"\n{text}")).unwrap();
    server.signal(Signal::HUP);
    let log = server.log.wait_for(REFUSED, 1);
    assert!(log.contains("write `127.0.0.0/8`"), "{log}");
    check("bad.localdomain").ends(0);

    fs::write(&path, format!("{denied}{text}")).unwrap();
    server.signal(Signal::HUP);
    server.log.wait_for(RELOADED, 1);
    let run = check("bad.localdomain").ends(1);
    assert!(run.err.contains("DIAMETER_UNKNOWN_PEER (3010)"), "{run:?}");
    check("good.localdomain").ends(0);
    let log = server.log.wait_for("good.localdomain: closed", 1);
    assert!(!log.contains("take effect at the next start"), "{log}");
    let verdicts = "good.localdomain (127.0.0.1";
    assert!(!log.contains(verdicts), "no answers at this level: {log}");
}

#[test]
fn what_the_command_line_says_is_no_change_of_the_configuration() {
    // The tests' servers are all started with --listen.
    let (_dir, server) = start(false);
    server.signal(Signal::HUP);
    let log = server.log.wait_for(RELOADED, 1);
    assert!(!log.contains("take effect at the next start"), "{log}");
}

#[test]
fn a_server_without_a_configuration_takes_sighup_as_well() {
    let mut server = Serving::start([""; 0]);
    server.signal(Signal::HUP);
    server.log.wait_for(RELOADED, 1);
    assert_eq!(server.verdict(WHITE), "whitelisted");
    server.stop();
}

//----------- Noticed

#[test]
fn files_that_are_replaced_or_rewritten_are_noticed() {
    let (dir, server) = start(true);
    let path = dir.path().join("lists/a.csv");
    replace(&path, &list("black"));
    server.wait_for_verdict(DEVICE, "blacklisted");
    fs::write(&path, list("grey")).unwrap();
    server.wait_for_verdict(DEVICE, "greylisted");
    // Told by itself, and healed by itself.
    fs::write(&path, list("purple")).unwrap();
    server.log.wait_for(REFUSED, 1);
    assert_eq!(server.verdict(DEVICE), "greylisted");
    fs::write(&path, list("white")).unwrap();
    server.wait_for_verdict(DEVICE, "whitelisted");
}

#[test]
fn files_that_come_and_go_are_noticed() {
    let (dir, server) = start(true);
    fs::write(dir.path().join("lists/b.csv"), list_of(OTHER, "black")).unwrap();
    server.wait_for_verdict(OTHER, "blacklisted");
    fs::remove_file(dir.path().join("lists/b.csv")).unwrap();
    server.wait_for_verdict(OTHER, "unknown");
    // In a directory that was not there at the start.
    fs::create_dir(dir.path().join("lists/late")).unwrap();
    fs::write(dir.path().join("lists/late/c.csv"), list_of(OTHER, "grey")).unwrap();
    server.wait_for_verdict(OTHER, "greylisted");
    // A directory that is gone may be one that is being replaced: a list never
    // loses all its devices that way.
    fs::remove_dir_all(dir.path().join("lists")).unwrap();
    server.log.wait_for("all its files are gone", 1);
    assert_eq!(server.verdict(OTHER), "greylisted");
    fs::create_dir(dir.path().join("lists")).unwrap();
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    server.wait_for_verdict(DEVICE, "blacklisted");
}

#[test]
fn what_is_wrong_with_a_list_is_logged_without_the_identity() {
    let (dir, server) = start(true);
    let wrong = "imei,imsi\n49015420323751x,\n,00101012345678901\n";
    fs::write(dir.path().join("lists/b.csv"), wrong).unwrap();
    let log = server.log.wait_for("b.csv:2:1: imei: `49015420******x`", 1);
    assert!(!log.contains("490154203"), "{log}");
    assert!(!log.contains("001010123"), "{log}");
}

#[test]
fn what_is_no_list_is_not_read() {
    let (dir, mut server) = start(true);
    // The first look, at what changed during the start.
    server.log.wait_for(UNCHANGED, 1);
    fs::write(dir.path().join("lists/notes.txt"), "x").unwrap();
    server.log.wait_for(UNCHANGED, 2);
    // Names that begin with a dot are those of unfinished copies.
    fs::write(dir.path().join("lists/.b.csv.Xy1"), list("black")).unwrap();
    server.log.wait_for(UNCHANGED, 3);
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    server.stop();
    assert_eq!(server.log.count(RELOADED), 0, "{}", server.log.text());
}

#[test]
fn the_configuration_is_watched_and_its_lists_from_then_on() {
    let (dir, server) = start(true);
    let b = dir.path().join("elsewhere/b.txt");
    let text = format!(
        "{}[[list]]\nname = \"b\"\nstatus = \"black\"\npath = \"../elsewhere/b.txt\"\n",
        config(true)
    );
    replace(&dir.path().join("weir.toml"), &text);
    server.log.wait_for(REFUSED, 1);
    assert!(server.log.text().contains("elsewhere/b.txt: no such file"));
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    // Only the configuration that was refused names it.
    fs::create_dir(b.parent().unwrap()).unwrap();
    fs::write(&b, "imei\n1\n").unwrap();
    server.log.wait_for("b.txt:2:1: imei: `1` has 1 digit", 1);
    fs::write(&b, list("black")).unwrap();
    server.wait_for_verdict(DEVICE, "blacklisted");
    fs::write(&b, list("grey")).unwrap();
    server.wait_for_verdict(DEVICE, "greylisted");
}

#[test]
fn links_that_are_swapped_are_noticed() {
    // As container platforms and deployment tools publish whole directories.
    let dir = directory(&[
        (
            "weir.toml",
            &config(true).replace(
                "[register]\n",
                "[register]\nlists_dir = \"links/current\"\n",
            ),
        ),
        ("v1/a.csv", &list("white")),
        ("v2/a.csv", &list("black")),
        ("v3/a.csv", &list("grey")),
        ("links/README", ""),
    ]);
    let current = dir.path().join("links/current");
    symlink("../v1", &current).unwrap();
    let server = Serving::start_in(dir.path());
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    for (target, verdict) in [("../v2", "blacklisted"), ("../v3", "greylisted")] {
        let new = dir.path().join("links/new");
        symlink(target, &new).unwrap();
        fs::rename(&new, &current).unwrap();
        server.wait_for_verdict(DEVICE, verdict);
    }
    fs::write(dir.path().join("v3/a.csv"), list("white")).unwrap();
    server.wait_for_verdict(DEVICE, "whitelisted");
}

#[test]
fn nothing_is_watched_if_the_configuration_says_so() {
    let (dir, mut server) = start(false);
    fs::write(dir.path().join("lists/a.csv"), list("black")).unwrap();
    // Switching it on takes a reload, which the file does not cause.
    replace(&dir.path().join("weir.toml"), &config(true));
    assert_eq!(server.verdict(DEVICE), "whitelisted");
    server.signal(Signal::HUP);
    server.log.wait_for(RELOADED, 1);
    assert_eq!(server.verdict(DEVICE), "blacklisted");
    fs::write(dir.path().join("lists/a.csv"), list("grey")).unwrap();
    server.wait_for_verdict(DEVICE, "greylisted");
    server.stop();
    assert_eq!(server.log.count(RELOADED), 2, "{}", server.log.text());
}
